package log

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// gzipKept is how many bytes of compressed bundles are kept, twice.
const gzipKept = 8 << 20

// gzipped compresses bundles for readers that take gzip, and keeps what was
// asked for lately. Only full bundles, which never change, and one at a time:
// readers cannot make compression keep appends from the processor.
type gzipped struct {
	mu         sync.Mutex // guards all below, and is held while one is compressed
	young, old map[uint64][]byte
	size       int // bytes in young
}

// bundle returns the bundle b compressed, or nil if another one is just being.
func (g *gzipped) bundle(index uint64, b []byte) []byte {
	if !g.mu.TryLock() {
		return nil
	}
	defer g.mu.Unlock()
	for _, kept := range []map[uint64][]byte{g.young, g.old} {
		if z := kept[index]; z != nil {
			g.keep(index, z)
			return z
		}
	}
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestSpeed)
	if err != nil {
		panic("log: internal error: " + err.Error())
	}
	w.Write(b) // to memory, as Close does
	w.Close()
	g.keep(index, z.Bytes())
	return z.Bytes()
}

// keep has a bundle survive the next time that the older ones are forgotten.
func (g *gzipped) keep(index uint64, z []byte) {
	if g.young[index] != nil {
		return
	}
	if g.young == nil || g.size+len(z) > gzipKept {
		g.young, g.old, g.size = map[uint64][]byte{}, g.young, 0
	}
	g.young[index] = z
	g.size += len(z)
}

// takesGzip reports whether a request takes an answer in gzip. Whoever wants a
// range wants it of the bundle itself.
func takesGzip(r *http.Request) bool {
	if r.Header.Get("Range") != "" {
		return false
	}
	for _, v := range r.Header.Values("Accept-Encoding") {
		for coding := range strings.SplitSeq(v, ",") {
			name, weight, _ := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";q=")
			if q, err := strconv.ParseFloat(weight, 64); strings.EqualFold(name, "gzip") && (err != nil || q > 0) {
				return true
			}
		}
	}
	return false
}
