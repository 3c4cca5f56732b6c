package log_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// tilesPerSecond is what a log is to serve while it is appended to.
const tilesPerSecond = 10_000

// BenchmarkTiles reads full tiles of a log over loopback, one connection a
// reader. BenchmarkAppendWhileRead appends from 64 clients, alone and while
// tilesPerSecond are read.
func BenchmarkTiles(b *testing.B) {
	l, at := benchServed(b)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			r := newTileReader(b, at, l.Size())
			for left.Add(-1) >= 0 && r.read(b) {
			}
		})
	}
	readers.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tiles/s")
}

func BenchmarkAppendWhileRead(b *testing.B) {
	for _, rate := range []int{0, tilesPerSecond} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) {
			l, at := benchServed(b)
			ctx, stop := context.WithCancel(b.Context())
			var read atomic.Int64
			var readers sync.WaitGroup
			for range min(8, rate) {
				readers.Go(func() {
					r := newTileReader(b, at, l.Size())
					for began, n := time.Now(), 0; ctx.Err() == nil && r.read(b); n++ {
						read.Add(1) // each reader keeps its share of the pace
						time.Sleep(time.Until(began.Add(time.Duration(n) * 8 * time.Second / time.Duration(rate))))
					}
				})
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			var appenders sync.WaitGroup
			b.ResetTimer()
			for range 64 {
				appenders.Go(func() {
					for i := left.Add(-1); i >= 0; i = left.Add(-1) {
						e := make([]byte, 1024)
						copy(e, fmt.Sprint(i))
						if _, err := l.Append(b.Context(), e, free); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			appenders.Wait()
			b.StopTimer()
			stop()
			readers.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(float64(read.Load())/b.Elapsed().Seconds(), "tiles/s")
		})
	}
}

// benchServed serves a log of 20,000 entries.
func benchServed(b *testing.B) (*logtest.Log, string) {
	l := logtest.New(b, logtest.Unwitnessed(), logtest.With(func(o *log.Options) { o.Segment = 64 << 20 }))
	var wg sync.WaitGroup
	for c := range 500 {
		wg.Go(func() {
			for i := range 40 {
				if _, err := l.Append(b.Context(), fmt.Appendf(nil, "%d %d", c, i), free); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	web := httptest.NewServer(l.Handler())
	b.Cleanup(web.Close)
	for !strings.Contains(string(l.Checkpoint()), "\n20000\n") {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(time.Second) // until it is published
	return l, web.Listener.Addr().String()
}

// A tileReader reads random full tiles of hashes. It is no http.Client: what
// that costs would be taken from the log.
type tileReader struct {
	conn net.Conn
	in   *bufio.Reader
	size uint64
}

func newTileReader(b *testing.B, at string, size uint64) *tileReader {
	conn, err := net.Dial("tcp", at)
	if err != nil {
		panic(err)
	}
	b.Cleanup(func() { conn.Close() })
	return &tileReader{conn, bufio.NewReaderSize(conn, 16<<10), size}
}

// read reads one tile and reports whether it did.
func (r *tileReader) read(b *testing.B) bool {
	path := proof.TilePath(0, rand.Uint64N(r.size/proof.TileWidth), proof.TileWidth)
	if _, err := fmt.Fprintf(r.conn, "GET /%s HTTP/1.1\r\nHost: log\r\n\r\n", path); err != nil {
		b.Error(err)
		return false
	}
	status, err := r.in.ReadString('\n')
	length := int64(-1)
	for line := status; err == nil && line != "\r\n"; {
		if line, err = r.in.ReadString('\n'); err == nil {
			fmt.Sscanf(line, "Content-Length: %d", &length)
		}
	}
	n := int64(0)
	if err == nil {
		n, err = io.CopyN(io.Discard, r.in, max(0, length))
	}
	if err != nil || !strings.Contains(status, " 200 ") || n != 8192 {
		b.Errorf("%s: %q, %d bytes, %v", path, status, n, err)
		return false
	}
	return true
}
