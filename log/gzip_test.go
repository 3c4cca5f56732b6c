package log

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestGzipForgets has more bundles compressed than are kept.
func TestGzipForgets(t *testing.T) {
	t.Parallel()
	g := gzipped{kept: kept[uint64]{most: 8 << 20}}
	rng := rand.NewChaCha8([32]byte{})
	b := make([]byte, 1<<20)
	rng.Read(b)
	first := g.bundle(0, b)
	for i := range uint64(40) {
		b[0] = byte(i)
		if z := g.bundle(1+i, b); len(z) < 1<<20 {
			t.Fatal("random bytes were compressed")
		}
		g.bundle(0, nil) // is asked for again and again, and stays
	}
	if !bytes.Equal(g.bundle(0, nil), first) {
		t.Error("what is asked for most was forgotten")
	}
	kept := 0
	for _, m := range []map[uint64][]byte{g.kept.young, g.kept.old} {
		for _, z := range m {
			kept += len(z)
		}
	}
	if kept > 2*g.kept.most {
		t.Errorf("%d bytes are kept, want at most %d", kept, 2*g.kept.most)
	}
	g.busy.Lock()
	defer g.busy.Unlock()
	if g.bundle(1000, b) != nil {
		t.Error("waited for another bundle")
	}
	if g.bundle(0, nil) == nil {
		t.Error("what is kept waited for another bundle")
	}
}
