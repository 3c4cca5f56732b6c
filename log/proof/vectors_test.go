package proof_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/transparency-dev/merkle/testonly"

	"plastron/log/proof"
)

// vectorTiles serves the tree over the test vectors' eight leaves.
type vectorTiles []byte

func (v vectorTiles) ReadTile(_ context.Context, level int, index uint64, width int) ([]byte, error) {
	if level != 0 || index != 0 || width*proof.HashSize > len(v) {
		return nil, fmt.Errorf("no tile %s", proof.TilePath(level, index, width))
	}
	return v[:width*proof.HashSize], nil
}

// TestCTVectors: the eight leaves that Certificate Transparency's first
// implementation published give the roots, nodes and compact ranges that it
// published, at every size; proofs built from their tile verify against those
// roots.
func TestCTVectors(t *testing.T) {
	t.Parallel()
	leaves, roots, nodes, ranges := testonly.LeafInputs(), testonly.RootHashes(), testonly.NodeHashes(), testonly.CompactTrees()
	r := proof.NewRange()
	var tile vectorTiles
	for size := 0; ; size++ {
		if got := r.Root(); got != proof.Hash(roots[size]) {
			t.Errorf("size %d: root %v, want %x", size, got, roots[size])
		}
		for i, h := range r.Hashes() {
			if h != proof.Hash(ranges[size][i]) {
				t.Errorf("size %d: range %v, want %x", size, r.Hashes(), ranges[size])
			}
		}
		proveAll(t, tile, leaves, roots, uint64(size))
		if size == len(leaves) {
			return
		}
		h := proof.LeafHash(leaves[size])
		tile = append(tile, h[:]...)
		r.Append(h, func(level uint, index uint64, h proof.Hash) {
			if h != proof.Hash(nodes[level][index]) {
				t.Errorf("node %d on level %d: %v, want %x", index, level, h, nodes[level][index])
			}
		})
	}
}

func proveAll(t *testing.T, tile vectorTiles, leaves, roots [][]byte, size uint64) {
	t.Helper()
	for i := range size {
		hs, err := proof.Inclusion(t.Context(), tile, i, size)
		if err == nil {
			err = proof.VerifyInclusion(proof.LeafHash(leaves[i]), i, size, hs, proof.Hash(roots[size]))
		}
		if err != nil {
			t.Error(err)
		}
		hs, err = proof.Consistency(t.Context(), tile, i, size)
		if err == nil {
			err = proof.VerifyConsistency(i, size, hs, proof.Hash(roots[i]), proof.Hash(roots[size]))
		}
		if err != nil {
			t.Error(err)
		}
	}
}
