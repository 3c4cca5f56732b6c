package log_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// BenchmarkAppend measures an entry of 1 KiB, durable and with its proof in
// hand. Beside it, by each client in turn with its appends or, for many, before
// them: 1.4 KiB written into a file of zeros, and its fdatasync.
func BenchmarkAppend(b *testing.B) {
	for _, witnesses := range []int{0, 1} {
		for _, clients := range []int{1, 64, 512} {
			b.Run(fmt.Sprintf("w%d/c%d", witnesses, clients), func(b *testing.B) {
				l := logtest.New(b, logtest.Witnesses(witnesses, witnesses), logtest.With(func(o *log.Options) { o.Segment = 64 << 20 }))
				f := newFloor(b)
				for range 200 {
					f.sync(b)
				}
				p50 := appendFrom(b, clients, func(e []byte) error {
					_, err := l.Append(b.Context(), e, free)
					return err
				}, func() {
					if clients == 1 {
						f.sync(b)
					}
				})
				b.ReportMetric(ms(quantile(f.took, 0.5)), "fdatasync-ms")
				b.ReportMetric(ms(p50)/ms(quantile(f.took, 0.5)), "p50/fdatasync")
			})
		}
	}
}

// appendFrom has a number of clients append entries of 1 KiB, reports what it
// took, and returns the median. Between two appends of a client comes pause,
// which is not counted.
func appendFrom(b *testing.B, clients int, appendOne func(entry []byte) error, pause func()) time.Duration {
	var mu sync.Mutex
	var took []time.Duration
	var paused time.Duration // of one client
	var done sync.WaitGroup
	entries := make(chan []byte, clients)
	b.ResetTimer()
	for range clients {
		done.Go(func() {
			var mine []time.Duration
			var idle time.Duration
			for e := range entries {
				began := time.Now()
				if err := appendOne(e); err != nil {
					b.Error(err)
				}
				ended := time.Now()
				pause()
				mine, idle = append(mine, ended.Sub(began)), idle+time.Since(ended)
			}
			mu.Lock()
			took, paused = append(took, mine...), idle
			mu.Unlock()
		})
	}
	for i := range b.N {
		e := make([]byte, 1024)
		copy(e, fmt.Sprint(i))
		entries <- e
	}
	close(entries)
	done.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/(b.Elapsed()-paused).Seconds(), "entries/s")
	b.ReportMetric(ms(quantile(took, 0.5)), "p50-ms")
	b.ReportMetric(ms(quantile(took, 0.99)), "p99-ms")
	return quantile(took, 0.5)
}

// BenchmarkStart opens a log of 200,000 entries of 1 KiB, each with a key that
// it spends and a blob of 100 bytes.
func BenchmarkStart(b *testing.B) {
	const n = 200_000
	l := logtest.New(b, logtest.Unwitnessed(), logtest.With(func(o *log.Options) { o.Segment = 64 << 20 }))
	var wg sync.WaitGroup
	for c := range 500 {
		wg.Go(func() {
			for i := range n / 500 {
				e := make([]byte, 1024)
				copy(e, fmt.Sprint(c, " ", i))
				spends := log.Conditions{Decided: log.Unconditional, Spent: []proof.Hash{proof.LeafHash(e)}}
				if _, err := l.Append(b.Context(), e, spends, e[:100]); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for b.Loop() {
		b.StopTimer()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		l.Open(b)
	}
	b.ReportMetric(n/(b.Elapsed().Seconds()/float64(b.N)), "entries/s")
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[int(float64(len(d)-1)*q)]
}

// A floor is what the disk takes for one durable write.
type floor struct {
	f    *os.File
	took []time.Duration
}

func newFloor(b *testing.B) *floor {
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	if _, err := f.Write(make([]byte, 4<<20)); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return &floor{f: f}
}

func (f *floor) sync(b *testing.B) {
	began := time.Now()
	if _, err := f.f.WriteAt(make([]byte, 1400), int64(len(f.took)%2900)*1400); err != nil {
		b.Error(err)
	}
	if err := unix.Fdatasync(int(f.f.Fd())); err != nil {
		b.Error(err)
	}
	f.took = append(f.took, time.Since(began))
}
