package proof_test

import (
	"context"
	"slices"
	"testing"

	"plastron/log/proof"
)

// subtreeHash is the draft's definition: the tree of those leaves alone.
func subtreeHash(start, end uint64) proof.Hash {
	r := proof.NewRange()
	for i := start; i < end; i++ {
		r.Append(proof.LeafHash(entry(int64(i))), nil)
	}
	return r.Root()
}

// Every subtree of every small tree is proven, and no proof proves another. From
// 0 the proof is a consistency proof, over one leaf an inclusion proof.
func TestSubtree(t *testing.T) {
	t.Parallel()
	const most = 19
	w := newWorld(t, 0, most)
	for size := uint64(1); size <= most; size++ {
		root := w.tree.root(t, size)
		for start := range size {
			for end := start + 1; end <= size; end++ {
				hs, err := proof.Subtree(context.Background(), &w.tree, start, end, size)
				span := uint64(1)
				for span < end-start {
					span *= 2
				}
				if valid := start%span == 0; (err == nil) != valid {
					t.Fatalf("[%d, %d) of %d: %v", start, end, size, err)
				} else if !valid {
					continue
				}
				sub := subtreeHash(start, end)
				if err := proof.VerifySubtree(start, end, size, hs, sub, root); err != nil {
					t.Fatal(err)
				}
				if start == 0 {
					want, err := proof.Consistency(context.Background(), &w.tree, end, size)
					if err != nil || !slices.Equal(hs, want) {
						t.Fatalf("[0, %d) of %d is no consistency proof", end, size)
					}
				}
				if end == start+1 {
					want, err := proof.Inclusion(context.Background(), &w.tree, start, size)
					if err != nil || !slices.Equal(hs, want) {
						t.Fatalf("[%d, %d) of %d is no inclusion proof", start, end, size)
					}
				}
				spoilSubtree(t, start, end, size, hs, sub, root)
			}
		}
	}
}

func spoilSubtree(t *testing.T, start, end, size uint64, hs []proof.Hash, sub, root proof.Hash) {
	t.Helper()
	refused := func(rule string, err error) {
		if err == nil {
			t.Errorf("[%d, %d) of %d: accepted: %s", start, end, size, rule)
		}
	}
	for i := range hs {
		bad := slices.Clone(hs)
		bad[i][3] ^= 1
		refused("flipped hash", proof.VerifySubtree(start, end, size, bad, sub, root))
	}
	if len(hs) > 0 {
		refused("missing hash", proof.VerifySubtree(start, end, size, hs[1:], sub, root))
		refused("missing last hash", proof.VerifySubtree(start, end, size, hs[:len(hs)-1], sub, root))
	}
	refused("surplus hash", proof.VerifySubtree(start, end, size, append(slices.Clone(hs), proof.Hash{}), sub, root))
	flipped := sub
	flipped[0] ^= 1
	refused("another subtree", proof.VerifySubtree(start, end, size, hs, flipped, root))
	flipped = root
	flipped[0] ^= 1
	refused("another root", proof.VerifySubtree(start, end, size, hs, sub, flipped))
	refused("empty", proof.VerifySubtree(start, start, size, hs, sub, root))
	refused("beyond the tree", proof.VerifySubtree(start, size+1, size, hs, sub, root))
	refused("too large", proof.VerifySubtree(start, end, 1<<63, hs, sub, root))
}

func TestRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, 600)
	for _, size := range []uint64{0, 1, 2, 3, 255, 256, 257, 511, 512, 600} {
		if got, err := proof.Root(context.Background(), &w.tree, size); err != nil || got != w.tree.root(t, size) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	if _, err := proof.Root(context.Background(), &w.tree, 601); err == nil {
		t.Error("past the tree")
	}
}

// A proof is checked in bounded time, whatever it claims.
func FuzzVerifySubtree(f *testing.F) {
	f.Add(uint64(0), uint64(5), uint64(9), []byte{1})
	f.Add(uint64(256), uint64(300), uint64(1)<<62, make([]byte, 64*32))
	f.Fuzz(func(t *testing.T, start, end, size uint64, b []byte) {
		var hs []proof.Hash
		for ; len(b) >= proof.HashSize; b = b[proof.HashSize:] {
			hs = append(hs, proof.Hash(b))
		}
		if err := proof.VerifySubtree(start, end, size, hs, proof.Hash{1}, proof.Hash{2}); err == nil {
			t.Errorf("[%d, %d) of %d proven", start, end, size)
		}
	})
}
