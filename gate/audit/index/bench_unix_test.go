//go:build unix

package index_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"plastron/gate/audit"
	"plastron/gate/audit/index"
	"plastron/log/logtest"
	"plastron/log/statement"
)

// benchEntries is the size of the log that is measured.
const benchEntries = 100_000

// BenchmarkIndex indexes a log of 100,000 entries with their records at hand,
// then searches it. Beside the processor time of an entry stand the floors: a pass
// through the verified entries, and one that decodes them too.
func BenchmarkIndex(b *testing.B) {
	s := logtest.NewStatic(b)
	m := newMaker(b, s.Policy)
	fill(b, s, m, 0, benchEntries)
	records := make(map[string]*statement.Record, 30)
	for i := range 30 {
		p, err := statement.Parse(record(b, i))
		if err != nil {
			b.Fatal(err)
		}
		records[fmt.Sprint(i)] = p.(*statement.Record)
	}
	known := func(_ context.Context, e *audit.Entry) (*statement.Record, error) {
		return records[fmt.Sprint(e.Index%30)], nil
	}
	path := filepath.Join(b.TempDir(), "x.index")
	b.Run("Update", func(b *testing.B) {
		for range b.N {
			if err := index.Remove(path); err != nil {
				b.Fatal(err)
			}
			pass := timed(b, func() error {
				return view(b, s).Walk(b.Context(), 0, benchEntries, func(uint64, []byte) error { return nil })
			})
			decode := timed(b, func() error {
				return view(b, s).Walk(b.Context(), 0, benchEntries, func(i uint64, e []byte) error {
					audit.ParseEntry(i, e)
					return nil
				})
			})
			x, err := index.Open(b.Context(), path)
			if err != nil {
				b.Fatal(err)
			}
			done := timed(b, func() error {
				_, err := x.Update(b.Context(), view(b, s), known, nil)
				return err
			})
			x.Close()
			b.ReportMetric(float64(done.Microseconds())/benchEntries, "cpu-us/entry")
			b.ReportMetric(float64(pass.Microseconds())/benchEntries, "pass-us/entry")
			b.ReportMetric(float64(decode.Microseconds())/benchEntries, "decode-us/entry")
			b.ReportMetric(done.Seconds()/decode.Seconds(), "x-decode")
		}
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		b.ReportMetric(float64(ms.HeapSys)/(1<<20), "heap-MB")
		if info, err := os.Stat(path); err == nil {
			b.ReportMetric(float64(info.Size())/benchEntries, "index-B/entry")
		}
	})
	x, err := index.Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	for name, q := range map[string]index.Query{
		"Artifact":   {Digest: fmt.Sprintf("%064x", 77_777)},
		"ID":         {ID: "spiffe://acme.example/shop1/api", Limit: 100},
		"Glob":       {Repository: "*/shop2", Limit: 100},
		"NodeWindow": {Node: "tpm:0003", Since: epoch.Add(50_000 * time.Second), Until: epoch.Add(51_000 * time.Second)},
		"Kind":       {Kind: "ban"},
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				hits, _, err := x.Search(b.Context(), q)
				if err != nil || len(hits) == 0 {
					b.Fatalf("%d hits, %v", len(hits), err)
				}
			}
		})
	}
}

// timed returns the processor time that f takes, user and system: the machine is
// shared.
func timed(b *testing.B, f func() error) time.Duration {
	b.Helper()
	start := cpu(b)
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return cpu(b) - start
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
