package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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
	var b logBench
	var dir string
	c := &cobra.Command{
		Use:   "log",
		Short: "Durable appends with the proof in hand, a start, and a whole verification",
		Long: "Log appends entries of 1 KiB to a log without witnesses, from 1, 64 and 512 clients, beside\n" +
			"the disk's own fdatasync. It then opens the log again and verifies it as an auditor does. Its\n" +
			"bytes are what was written to files for one entry, tiles, lock and segments of zeros included.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if b.dir, err = os.MkdirTemp(dir, "plastron-bench-"); err != nil {
				return err
			}
			defer os.RemoveAll(b.dir)
			out, err := b.run(cmd.Context())
			if err != nil {
				return err
			}
			return print(cmd, out)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "a folder on the disk to measure (default: the temporary one)")
	c.Flags().DurationVar(&b.length, "time", 5*time.Second, "how long each load lasts")
	c.Flags().IntVar(&b.entries, "entries", 500_000, "how many entries, at least, the log has when it is opened again")
	return c
}

// logBench is a log that is appended to.
type logBench struct {
	dir     string
	length  time.Duration // of a load
	entries int

	options log.Options
	log     *log.Log
	made    [][]byte // entries to append
	next    atomic.Uint64
	wrote   atomic.Int64 // bytes, to files of the log
}

// A countedDisk counts the bytes that are written to its files.
type countedDisk struct {
	log.FS
	wrote *atomic.Int64
}

func (d countedDisk) Open(name string, create bool) (log.File, error) {
	f, err := d.FS.Open(name, create)
	if err != nil {
		return nil, err
	}
	return countedFile{f, d.wrote}, nil
}

type countedFile struct {
	log.File
	wrote *atomic.Int64
}

func (f countedFile) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(b, at)
	f.wrote.Add(int64(n))
	return n, err
}

func (b *logBench) run(ctx context.Context) (out figures, err error) {
	floor, err := fdatasyncFloor(b.dir)
	if err != nil {
		return nil, err
	}
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.log.Close()) }()
	if b.made, err = benchEntries(256); err != nil {
		return nil, err
	}
	for _, clients := range []int{1, 64, 512} {
		f, err := b.appends(ctx, clients)
		if err != nil {
			return nil, err
		}
		f.Floor, f.Ratio = floor, f.P50/floor
		out = append(out, f)
	}
	heap, err := b.grow(ctx)
	if err != nil {
		return nil, err
	}
	start, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	verify, err := b.verify(ctx)
	if err != nil {
		return nil, err
	}
	return append(out, heap, start, verify), nil
}

func (b *logBench) append(ctx context.Context) error {
	e := b.made[b.next.Add(1)%uint64(len(b.made))]
	_, err := b.log.Append(ctx, e, log.Conditions{Decided: log.Unconditional})
	return err
}

func (b *logBench) appends(ctx context.Context, clients int) (figure, error) {
	cpu, written := ownCPU(), b.wrote.Load()
	r := load(clients, b.length, func(int) error { return b.append(ctx) })
	f, err := r.figure(fmt.Sprintf("append.c%d", clients), clients, ownCPU()-cpu)
	f.Bytes = float64(b.wrote.Load()-written) / float64(f.N)
	return f, err
}

// grow appends until the log has its entries. Its figure is the heap afterwards,
// its floor the heap before.
func (b *logBench) grow(ctx context.Context) (figure, error) {
	before, from := heap(), b.log.Size()
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for range 512 {
		wg.Go(func() {
			for failed.Load() == nil && b.log.Size() < uint64(b.entries) {
				if err := b.append(ctx); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return figure{}, *err
	}
	after := heap()
	return figure{Name: "append.heap", Unit: "bytes", P50: after, P99: after, Floor: before, Ratio: after / before, Clients: 512, N: int(b.log.Size() - from)}, nil
}

func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// start closes the log and opens it again.
func (b *logBench) start(ctx context.Context) (figure, error) {
	if err := b.log.Close(); err != nil {
		return figure{}, err
	}
	cpu, began := ownCPU(), time.Now()
	l, err := log.Open(ctx, b.options)
	if err != nil {
		return figure{}, err
	}
	b.log = l
	return perEntry("start", time.Since(began), ownCPU()-cpu, l.Size())
}

// perEntry is the figure of something that was done to all entries of a log. Its
// rate is entries a second, its floor the hashing of one.
func perEntry(name string, took, cpu time.Duration, n uint64) (figure, error) {
	hash, err := median(1000, func() error { proof.LeafHash(make([]byte, entrySize)); return nil })
	each := float64(cpu.Microseconds()) / 1000 / float64(n)
	return figure{
		Name: name, Unit: "ms", P50: ms(took), P99: ms(took), Rate: float64(n) / took.Seconds(),
		CPU: each, Floor: hash, Ratio: each / hash, Clients: 1, N: int(n),
	}, err
}

// fdatasyncFloor is the disk's own price: an append of one entry's bytes to a
// file that is there already, and one fdatasync.
func fdatasyncFloor(dir string) (float64, error) {
	f, err := log.Disk().Open(filepath.Join(dir, "floor"), true)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 1<<20), 0); err != nil {
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
		return f.Sync()
	})
}

// open makes a log without witnesses.
func (b *logBench) open(ctx context.Context) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	signer, err := proof.NewLogSigner("bench.example/log", key)
	if err != nil {
		return err
	}
	p, err := proof.ParsePolicy([]byte("log " + signer.VKey() + "\nquorum none\n"))
	if err != nil {
		return err
	}
	b.options = log.Options{Dir: filepath.Join(b.dir, "log"), Lock: filepath.Join(b.dir, "lock"), Signer: signer, Policy: p, FS: countedDisk{log.Disk(), &b.wrote}}
	if b.log, err = log.Open(ctx, b.options); err != nil {
		return err
	}
	genesis, err := statement.Marshal(&statement.Trust{
		TrustDomain: "bench.example", Origin: p.Origin(), Certificates: [][]byte{{}}, LogPolicy: string(p.Text()),
	})
	if err != nil {
		return errors.Join(err, b.log.Close())
	}
	e, err := proof.Frame(proof.Statement, genesis)
	if err == nil {
		_, err = b.log.Append(ctx, e, log.Conditions{Decided: log.Unconditional, Barrier: true})
	}
	if err != nil {
		return errors.Join(err, b.log.Close())
	}
	return nil
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

// verify verifies the log that the appends made, as an auditor does.
func (b *logBench) verify(ctx context.Context) (figure, error) {
	dir := filepath.Join(b.options.Dir, "tiles")
	if err := published(ctx, b.log, dir); err != nil {
		return figure{}, err
	}
	r, err := audit.Open(dir, nil)
	if err != nil {
		return figure{}, err
	}
	cpu, began := ownCPU(), time.Now()
	rep, err := audit.Verify(ctx, r, b.options.Policy, nil, nil)
	if err != nil {
		return figure{}, err
	}
	return perEntry("log.verify", time.Since(began), ownCPU()-cpu, rep.Entries)
}
