package log

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// gzipped compresses bundles for readers that take gzip, and keeps what was
// asked for lately. Only full bundles, which never change, and one at a time:
// readers cannot make compression keep appends from the processor.
type gzipped struct {
	busy sync.Mutex // held while one is compressed
	kept kept[uint64]
}

// bundle returns the bundle b compressed, or nil if another one is just being.
func (g *gzipped) bundle(index uint64, b []byte) []byte {
	if z := g.kept.find(index); z != nil {
		return z
	}
	if !g.busy.TryLock() {
		return nil
	}
	defer g.busy.Unlock()
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestSpeed)
	if err != nil {
		panic("log: internal error: " + err.Error())
	}
	w.Write(b) // to memory, as Close does
	w.Close()
	g.kept.keep(index, z.Bytes())
	return z.Bytes()
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
