package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"plastron/gate/audit"
	"plastron/log"
	"plastron/log/proof"
	"plastron/log/statement"
)

// entrySize is about how long a benchmark's entries are, in bytes.
const entrySize = 1024

func benchLogCmd() *cobra.Command {
	var dir string
	var length time.Duration
	c := &cobra.Command{
		Use:   "log",
		Short: "Durable appends with the proof in hand, and a whole verification",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			tmp, err := os.MkdirTemp(dir, "plastron-bench-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(tmp)
			out, err := benchLog(cmd.Context(), tmp, length)
			if err != nil {
				return err
			}
			return print(cmd, out)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "a folder on the disk to measure (default: the temporary one)")
	c.Flags().DurationVar(&length, "time", 6*time.Second, "how long each load lasts")
	return c
}

func benchLog(ctx context.Context, dir string, length time.Duration) (out figures, err error) {
	floor, err := fdatasyncFloor(dir)
	if err != nil {
		return nil, err
	}
	l, p, err := benchOpen(ctx, filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	entries, err := benchEntries(256)
	if err != nil {
		return nil, err
	}
	for _, clients := range []int{1, 64, 512} {
		var next atomic.Uint64
		cpu := ownCPU()
		r := load(clients, length, func(int) error {
			e := entries[next.Add(1)%uint64(len(entries))]
			_, err := l.Append(ctx, e, log.Conditions{Decided: log.Unconditional})
			return err
		})
		f, err := r.figure(fmt.Sprintf("append.c%d", clients), clients, ownCPU()-cpu)
		if err != nil {
			return nil, err
		}
		f.Floor, f.Ratio = floor, f.P50/floor
		out = append(out, f)
	}
	f, err := benchVerify(ctx, l, p, filepath.Join(dir, "log", "tiles"))
	if err != nil {
		return nil, err
	}
	return append(out, f), nil
}

// fdatasyncFloor is the disk's own price: an append of one entry's bytes to a
// file that is there already, and one fdatasync.
func fdatasyncFloor(dir string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "floor"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	b, at := make([]byte, entrySize), int64(0)
	return median(200, func() error {
		if _, err := f.WriteAt(b, at); err != nil {
			return err
		}
		at += entrySize
		return syscall.Fdatasync(int(f.Fd()))
	})
}

// benchOpen makes a log without witnesses.
func benchOpen(ctx context.Context, dir string) (*log.Log, *proof.Policy, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	signer, err := proof.NewLogSigner("bench.example/log", key)
	if err != nil {
		return nil, nil, err
	}
	p, err := proof.ParsePolicy([]byte("log " + signer.VKey() + "\nquorum none\n"))
	if err != nil {
		return nil, nil, err
	}
	l, err := log.Open(ctx, log.Options{Dir: dir, Lock: dir + ".lock", Signer: signer, Policy: p})
	if err != nil {
		return nil, nil, err
	}
	genesis, err := statement.Marshal(&statement.Trust{
		TrustDomain: "bench.example", Origin: p.Origin(), Certificates: [][]byte{{}}, LogPolicy: string(p.Text()),
	})
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	e, err := proof.Frame(proof.Statement, genesis)
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	if _, err := l.Append(ctx, e, log.Conditions{Decided: log.Unconditional, Barrier: true}); err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	return l, p, nil
}

// benchEntries are well-formed entries of about entrySize bytes.
func benchEntries(n int) (out [][]byte, err error) {
	for i := range n {
		body, err := statement.Marshal(&statement.JoinToken{
			Node: "bench", PublicKey: make([]byte, 32), Rule: fmt.Sprintf("rule-%d", i), Expires: time.Unix(2e9, 0).UTC(),
			Reason: strings.Repeat("x", entrySize-512), Author: "bench",
		})
		if err != nil {
			return nil, err
		}
		e, err := proof.Frame(proof.Statement, body)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// published waits until the public files have caught up with the log.
func published(ctx context.Context, l *log.Log, dir string) error {
	for want := l.Size(); ; {
		b, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
		if err == nil && strings.Contains(string(b), fmt.Sprintf("\n%d\n", want)) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// benchVerify verifies the log that the appends made, as an auditor does. Its
// rate is entries a second, its floor the hashing of their bytes.
func benchVerify(ctx context.Context, l *log.Log, p *proof.Policy, dir string) (figure, error) {
	if err := published(ctx, l, dir); err != nil {
		return figure{}, err
	}
	r, err := audit.Open(dir, nil)
	if err != nil {
		return figure{}, err
	}
	cpu, began := ownCPU(), time.Now()
	rep, err := audit.Verify(ctx, r, p, nil, nil)
	if err != nil {
		return figure{}, err
	}
	took, n := time.Since(began), rep.Entries
	f := figure{
		Name: "log.verify", Unit: "ms", P50: ms(took), P99: ms(took), Rate: float64(n) / took.Seconds(),
		CPU: float64((ownCPU() - cpu).Microseconds()) / 1000 / float64(n), Clients: 1, N: int(n),
	}
	hash, err := median(1000, func() error { proof.LeafHash(make([]byte, entrySize)); return nil })
	f.Floor, f.Ratio = hash, f.CPU/hash
	return f, err
}
