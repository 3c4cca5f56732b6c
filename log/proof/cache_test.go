package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"testing"
)

// A uniform is a tree of any size whose leaves are all alike, so that a node is
// told by its level alone and 2^24 entries cost nothing.
type uniform struct {
	levels [64]Hash

	mu    sync.Mutex // guards reads
	reads int
}

func newUniform() *uniform {
	u := &uniform{}
	u.levels[0] = LeafHash([]byte("leaf"))
	for i := 1; i < len(u.levels); i++ {
		u.levels[i] = Hash(tree.HashChildren(u.levels[i-1][:], u.levels[i-1][:]))
	}
	return u
}

func (u *uniform) ReadTile(_ context.Context, level int, _ uint64, width int) ([]byte, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reads++
	return bytes.Repeat(u.levels[level*TileHeight][:], width), nil
}

func (u *uniform) root(t testing.TB, size uint64) Hash {
	t.Helper()
	var hs []Hash
	for s := size; s > 0; s &^= 1 << (bits.Len64(s) - 1) {
		hs = append(hs, u.levels[bits.Len64(s)-1])
	}
	r, err := OpenRange(size, hs)
	if err != nil {
		t.Fatal(err)
	}
	return r.Root()
}

// hashed counts the nodes a cache has hashed itself.
func (c *Cache) hashed() (n int) {
	for _, t := range c.tiles {
		for _, level := range t.nodes[1:] {
			n += len(level)
		}
	}
	return n
}

func TestProofsOfLargeTrees(t *testing.T) {
	t.Parallel()
	ctx, u := context.Background(), newUniform()
	c := NewCache(u, 0)
	for _, size := range []uint64{1, 255, 256, 257, 65535, 65536, 65537, 1<<24 - 3, 1 << 24, 1<<40 + 7, MaxSize} {
		for _, index := range []uint64{0, size / 3, size - 1} {
			hs, err := Inclusion(ctx, c, index, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyInclusion(u.levels[0], index, size, hs, u.root(t, size)); err != nil {
				t.Error(err)
			}
			if from := index + 1; from < size {
				hs, err := Consistency(ctx, c, from, size)
				if err != nil {
					t.Fatal(err)
				}
				if err := VerifyConsistency(from, size, hs, u.root(t, from), u.root(t, size)); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// At the right edge of a growing tree an entry costs one read of each tile it
// widens, one hash a node it completes, and no more.
func TestCacheAtTheRightEdge(t *testing.T) {
	t.Parallel()
	ctx, u := context.Background(), newUniform()
	c := NewCache(u, 64)
	const first, grown = 1<<24 + 1, 2000
	if _, err := Inclusion(ctx, c, first-1, first); err != nil {
		t.Fatal(err)
	}
	hashed, reads := c.hashed(), u.reads
	for size := uint64(first + 1); size <= first+grown; size++ {
		if _, err := Inclusion(ctx, c, size-1, size); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.hashed() - hashed; n > grown || n < grown/2 {
		t.Errorf("%d nodes hashed for %d entries", n, grown)
	}
	if n := u.reads - reads; n > grown+grown/256+8 {
		t.Errorf("%d reads for %d proofs", n, grown)
	}
	reads = u.reads
	for range 100 {
		if _, err := Inclusion(ctx, c, first+grown-1, first+grown); err != nil {
			t.Fatal(err)
		}
	}
	if u.reads != reads {
		t.Errorf("%d reads for a proof that was just built", u.reads-reads)
	}
}

func TestCacheForgetsTheOldest(t *testing.T) {
	t.Parallel()
	ctx, u := context.Background(), newUniform()
	c := NewCache(u, 3)
	for i := range uint64(20) {
		if _, err := Inclusion(ctx, c, i*256+1, 20*256); err != nil {
			t.Fatal(err)
		}
		if len(c.tiles) > 3 {
			t.Fatalf("%d tiles kept, want 3", len(c.tiles))
		}
	}
	if c.tiles[tileID{0, 19}] == nil || c.tiles[tileID{1, 0}] == nil {
		t.Error("the tiles used last are forgotten")
	}
}

func TestCacheConcurrently(t *testing.T) {
	t.Parallel()
	ctx, u := context.Background(), newUniform()
	c := NewCache(u, 4)
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			for i := range uint64(300) {
				size := 1<<16 + 300*g + i
				hs, err := Inclusion(ctx, c, size-1-i%7, size)
				if err == nil {
					err = VerifyInclusion(u.levels[0], size-1-i%7, size, hs, u.root(t, size))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

type badReader struct {
	err   error
	bytes int
}

func (b badReader) ReadTile(context.Context, int, uint64, int) ([]byte, error) {
	return make([]byte, b.bytes), b.err
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	ctx, u, down := context.Background(), newUniform(), errors.New("disk is gone")
	for _, tt := range []struct {
		rule string
		do   func() ([]Hash, error)
		says string
	}{
		{"index past the tree", func() ([]Hash, error) { return Inclusion(ctx, u, 5, 5) }, "want index < size"},
		{"empty tree", func() ([]Hash, error) { return Inclusion(ctx, u, 0, 0) }, "want index < size"},
		{"past the largest tree", func() ([]Hash, error) { return Inclusion(ctx, u, 5, MaxSize+1) }, "want index < size"},
		{"backwards", func() ([]Hash, error) { return Consistency(ctx, u, 6, 5) }, "want from <= to"},
		{"to past the largest tree", func() ([]Hash, error) { return Consistency(ctx, u, 6, MaxSize+1) }, "want from <= to"},
		{"short tile", func() ([]Hash, error) { return Inclusion(ctx, badReader{bytes: 4*32 - 1}, 1, 4) }, "127 bytes, want 128"},
		{"long tile", func() ([]Hash, error) { return Inclusion(ctx, badReader{bytes: 5 * 32}, 1, 4) }, "160 bytes, want 128"},
		{"reader fails", func() ([]Hash, error) { return Consistency(ctx, badReader{err: down}, 1, 4) }, "read tile/0/000.p/4: disk is gone"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := tt.do()
			if err == nil || !bytes.Contains([]byte(err.Error()), []byte(tt.says)) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

func BenchmarkInclusionAtTheRightEdge(b *testing.B) {
	ctx, u := context.Background(), newUniform()
	for _, cached := range []bool{true, false} {
		b.Run(fmt.Sprintf("cached=%v", cached), func(b *testing.B) {
			var r TileReader = u
			if cached {
				r = NewCache(u, 16)
			}
			for size := uint64(1<<24 - 100); b.Loop(); size++ {
				if _, err := Inclusion(ctx, r, size-1, size); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
