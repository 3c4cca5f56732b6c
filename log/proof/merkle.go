package proof

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
)

// VerifyInclusion refuses unless hashes, the leaf's sibling first, prove that
// the leaf with the hash leaf is number index (from 0) of the tree of that
// size and root. RFC 6962, section 2.1.1; a surplus or missing hash is refused.
func VerifyInclusion(leaf Hash, index, size uint64, hashes []Hash, root Hash) error {
	r, err := rootOf(leaf, index, size, hashes)
	if err != nil {
		return err
	}
	if r != root {
		return fmt.Errorf("inclusion proof for leaf %d of %d: leads to another root", index, size)
	}
	return nil
}

// rootOf returns the root an inclusion proof leads to.
func rootOf(leaf Hash, index, size uint64, hashes []Hash) (Hash, error) {
	if size > MaxSize {
		return Hash{}, fmt.Errorf("inclusion proof: size %d is more than %d", size, uint64(MaxSize))
	}
	root, err := proof.RootFromInclusionProof(tree, index, size, leaf[:], views(hashes))
	if err != nil {
		return Hash{}, fmt.Errorf("inclusion proof for leaf %d of %d: %w", index, size, err)
	}
	return Hash(root), nil
}

// pathLength returns how many hashes an inclusion proof has, for index < size.
func pathLength(index, size uint64) int {
	inner := bits.Len64(index ^ (size - 1))
	return inner + bits.OnesCount64(index>>inner)
}

// VerifyConsistency refuses unless hashes prove that the tree of size from is
// a prefix of the tree of size to. RFC 6962, section 2.1.2. The proof is empty
// from size 0 and between equal sizes, where the roots must be too; the root of
// size 0 must be that of the empty tree.
func VerifyConsistency(from, to uint64, hashes []Hash, fromRoot, toRoot Hash) error {
	if from == 0 && fromRoot != EmptyRoot() || to == 0 && toRoot != EmptyRoot() {
		return errors.New("consistency proof: size 0 without the root of the empty tree")
	}
	if to > MaxSize {
		return fmt.Errorf("consistency proof: size %d is more than %d", to, uint64(MaxSize))
	}
	err := proof.VerifyConsistency(tree, from, to, views(hashes), fromRoot[:], toRoot[:])
	var mismatch proof.RootMismatchError
	switch {
	case errors.As(err, &mismatch):
		return fmt.Errorf("consistency proof from %d to %d: leads to another root", from, to)
	case err != nil:
		return fmt.Errorf("consistency proof from %d to %d: %w", from, to, err)
	}
	return nil
}

// A Range is a tree that is only appended to, held as the roots of the perfect
// subtrees it is made of: O(log size) hashes from which its root, and every
// complete node as it comes to be, can be had. The zero Range is not ready for
// use. A Range is not safe for concurrent use.
type Range struct {
	r *compact.Range
}

var ranges = compact.RangeFactory{Hash: tree.HashChildren}

// NewRange returns the empty tree.
func NewRange() *Range { return &Range{ranges.NewEmptyRange(0)} }

// OpenRange returns the tree of that size whose Hashes these are. They are not
// verified; a root that [Range.Root] returns can be.
func OpenRange(size uint64, hashes []Hash) (*Range, error) {
	r, err := ranges.NewRange(0, size, views(append([]Hash(nil), hashes...)))
	if err != nil {
		return nil, fmt.Errorf("compact range of size %d: %w", size, err)
	}
	return &Range{r}, nil
}

// Append adds a leaf. If visit is not nil it is told every node that is now
// complete, the leaf first: its level (0: leaves) and its index on that level.
func (r *Range) Append(leaf Hash, visit func(level uint, index uint64, h Hash)) {
	var visitor compact.VisitFn
	if visit != nil {
		visitor = func(id compact.NodeID, h []byte) { visit(id.Level, id.Index, Hash(h)) }
	}
	if err := r.r.Append(leaf[:], visitor); err != nil {
		panic("proof: internal error: append to a compact range: " + err.Error())
	}
}

// Size returns the number of leaves.
func (r *Range) Size() uint64 { return r.r.End() }

// Root returns the root of the tree (RFC 6962, section 2.1).
func (r *Range) Root() Hash {
	if r.Size() == 0 {
		return EmptyRoot()
	}
	root, err := r.r.GetRootHash(nil)
	if err != nil {
		panic("proof: internal error: root of a compact range: " + err.Error())
	}
	return Hash(root)
}

// Hashes returns the roots of the perfect subtrees, the largest, which is the
// leftmost, first.
func (r *Range) Hashes() []Hash { return hashes(r.r.Hashes()) }
