package proof

import (
	"context"
	"errors"
	"fmt"
	"math/bits"

	"github.com/transparency-dev/merkle/compact"
)

// A subtree is the part of a tree over the leaves [start, end), where start is a
// multiple of the smallest power of two that is not less than end - start. It is
// a tree by itself: its hash is the root of the tree of those leaves alone
// (draft-ietf-plants-merkle-tree-certs, section 4).

// checkSubtree refuses what is no subtree of a tree of that size.
func checkSubtree(start, end, size uint64) error {
	if start >= end || end > size || size > MaxSize {
		return fmt.Errorf("subtree [%d, %d) of size %d: want start < end <= size <= %d", start, end, size, uint64(MaxSize))
	}
	if span := uint64(1) << bits.Len64(end-start-1); start%span != 0 {
		return fmt.Errorf("subtree [%d, %d): want a start that is a multiple of %d", start, end, span)
	}
	return nil
}

// split returns the largest power of two smaller than n, for n > 1: where RFC
// 6962 parts a tree of n leaves.
func split(n uint64) uint64 { return 1 << (bits.Len64(n-1) - 1) }

// Subtree builds the proof that the subtree [start, end) is part of the tree of
// that size: SUBTREE_PROOF of section 4.4 of the draft, the deepest hash first.
// From 0 it is a consistency proof, over one leaf an inclusion proof.
func Subtree(ctx context.Context, r TileReader, start, end, size uint64) ([]Hash, error) {
	if err := checkSubtree(start, end, size); err != nil {
		return nil, fmt.Errorf("build proof: %w", err)
	}
	c, ok := r.(*Cache)
	if !ok {
		c = NewCache(r, 0)
	}
	var hashes []Hash
	var walk func(start, end, lo, hi uint64, known bool) error
	add := func(lo, hi uint64) error {
		h, err := c.span(ctx, lo, hi, size)
		hashes = append(hashes, h)
		return err
	}
	// walk proves [start, end) to be part of [lo, hi); known says that its hash
	// is what the verifier has, and not a part of it.
	walk = func(start, end, lo, hi uint64, known bool) error {
		if start == lo && end == hi {
			if known {
				return nil
			}
			return add(lo, hi)
		}
		mid := lo + split(hi-lo)
		switch {
		case end <= mid:
			return errors.Join(walk(start, end, lo, mid, known), add(mid, hi))
		case start >= mid:
			return errors.Join(walk(start, end, mid, hi, known), add(lo, mid))
		default: // then start is lo
			return errors.Join(walk(mid, end, mid, hi, false), add(lo, mid))
		}
	}
	if err := walk(start, end, 0, size, true); err != nil {
		return nil, fmt.Errorf("build proof for subtree [%d, %d) of %d: %w", start, end, size, err)
	}
	return hashes, nil
}

// Root computes the root of the tree of that size from its tiles.
func Root(ctx context.Context, r TileReader, size uint64) (Hash, error) {
	switch {
	case size == 0:
		return EmptyRoot(), nil
	case size > MaxSize:
		return Hash{}, fmt.Errorf("root of size %d: more than %d", size, uint64(MaxSize))
	}
	c, ok := r.(*Cache)
	if !ok {
		c = NewCache(r, 0)
	}
	h, err := c.span(ctx, 0, size, size)
	if err != nil {
		return Hash{}, fmt.Errorf("root of size %d: %w", size, err)
	}
	return h, nil
}

// span returns the hash of the subtree [lo, hi) of the tree of that size.
func (c *Cache) span(ctx context.Context, lo, hi, size uint64) (Hash, error) {
	n := hi - lo
	if n&(n-1) == 0 {
		level := uint(bits.TrailingZeros64(n))
		return c.node(ctx, compact.NewNodeID(level, lo>>level), size)
	}
	mid := lo + split(n)
	left, err := c.span(ctx, lo, mid, size)
	if err != nil {
		return Hash{}, err
	}
	right, err := c.span(ctx, mid, hi, size)
	return Hash(tree.HashChildren(left[:], right[:])), err
}

// VerifySubtree refuses unless hashes prove that the subtree [start, end) with
// the hash subtree is part of the tree of that size and root. A surplus or
// missing hash is refused.
func VerifySubtree(start, end, size uint64, hashes []Hash, subtree, root Hash) error {
	if err := checkSubtree(start, end, size); err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	ended := false
	next := func() (h Hash) {
		if ended = ended || len(hashes) == 0; ended {
			return h
		}
		h, hashes = hashes[0], hashes[1:]
		return h
	}
	node := func(left, right Hash) Hash { return Hash(tree.HashChildren(left[:], right[:])) }
	// walk returns the hashes of that part of the subtree which lies in
	// [lo, hi), and of all of [lo, hi). It is as deep as the tree.
	var walk func(start, end, lo, hi uint64, known bool) (part, all Hash)
	walk = func(start, end, lo, hi uint64, known bool) (part, all Hash) {
		if start == lo && end == hi {
			if known {
				return subtree, subtree
			}
			h := next()
			return h, h
		}
		mid := lo + split(hi-lo)
		switch {
		case end <= mid:
			part, all = walk(start, end, lo, mid, known)
			return part, node(all, next())
		case start >= mid:
			part, all = walk(start, end, mid, hi, known)
			return part, node(next(), all)
		default:
			part, all = walk(mid, end, mid, hi, false)
			h := next()
			return node(h, part), node(h, all)
		}
	}
	part, all := walk(start, end, 0, size, true)
	switch {
	case ended:
		return fmt.Errorf("proof for subtree [%d, %d) of %d: a hash is missing", start, end, size)
	case len(hashes) > 0:
		return fmt.Errorf("proof for subtree [%d, %d) of %d: %d surplus hashes", start, end, size, len(hashes))
	case part != subtree || all != root:
		return fmt.Errorf("proof for subtree [%d, %d) of %d: leads to other hashes", start, end, size)
	}
	return nil
}
