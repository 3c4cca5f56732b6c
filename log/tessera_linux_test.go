package log_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// BenchmarkTessera is BenchmarkAppend's peer: Tessera's POSIX driver at its
// shortest checkpoint interval and its best batch age, an entry of 1 KiB with
// the checkpoint that covers it and its inclusion proof in hand.
func BenchmarkTessera(b *testing.B) {
	for _, clients := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("c%d", clients), func(b *testing.B) {
			ctx := b.Context()
			driver, err := posix.New(ctx, posix.Config{Path: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			skey, _, err := note.GenerateKey(nil, "log.example/tessera")
			if err != nil {
				b.Fatal(err)
			}
			signer, err := note.NewSigner(skey)
			if err != nil {
				b.Fatal(err)
			}
			appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
				WithCheckpointSigner(signer).WithCheckpointInterval(100*time.Millisecond).WithBatching(1024, 10*time.Millisecond))
			if err != nil {
				b.Fatal(err)
			}
			defer shutdown(ctx)
			awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 10*time.Millisecond)
			appendFrom(b, clients, func(entry []byte) error {
				index, _, err := awaiter.Await(ctx, appender.Add(ctx, tessera.NewEntry(entry)))
				if err != nil {
					return err
				}
				size, err := reader.IntegratedSize(ctx)
				if err != nil {
					return err
				}
				proofs, err := client.NewProofBuilder(ctx, size, reader.ReadTile)
				if err != nil {
					return err
				}
				_, err = proofs.InclusionProof(ctx, index.Index)
				return err
			}, func() {})
		})
	}
}
