package proof

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
)

// A Prefix collects, from a tree of one size, the root that its first leaves
// have and the consistency proof from there: what a [ForkProof] is made of. It
// is told the tree's nodes, by [Prefix.Visit] as they are computed from the
// leaves or by [Prefix.Read] from tiles.
type Prefix struct {
	from, to uint64
	first    []compact.NodeID // the perfect subtrees that the prefix is made of
	proof    proof.Nodes
	nodes    map[compact.NodeID]Hash // the wanted ones that are known
	wanted   map[compact.NodeID]bool
}

// NewPrefix returns the prefix of size from of a tree of size to, from < to.
func NewPrefix(from, to uint64) (*Prefix, error) {
	if from >= to || to > MaxSize {
		return nil, fmt.Errorf("prefix of size %d in a tree of %d: want less, and at most %d", from, to, uint64(MaxSize))
	}
	nodes, err := proof.Consistency(from, to)
	if err != nil {
		return nil, fmt.Errorf("prefix of size %d in a tree of %d: %w", from, to, err)
	}
	p := &Prefix{
		from: from, to: to, first: compact.RangeNodes(0, from, nil), proof: nodes,
		nodes: map[compact.NodeID]Hash{}, wanted: map[compact.NodeID]bool{},
	}
	for _, id := range slices.Concat(p.first, nodes.IDs) {
		p.wanted[id] = true
	}
	return p, nil
}

// Visit is told a complete node of the tree ([Range.Append]).
func (p *Prefix) Visit(level uint, index uint64, h Hash) {
	if id := compact.NewNodeID(level, index); p.wanted[id] {
		p.nodes[id] = h
	}
}

// Read reads all the nodes it needs from tiles, O(log size) of them.
func (p *Prefix) Read(ctx context.Context, r TileReader) error {
	c, ok := r.(*Cache)
	if !ok {
		c = NewCache(r, 0)
	}
	for id := range p.wanted {
		h, err := c.node(ctx, id, p.to)
		if err != nil {
			return fmt.Errorf("prefix of size %d in a tree of %d: %w", p.from, p.to, err)
		}
		p.nodes[id] = h
	}
	return nil
}

// Proof returns the root of the prefix and the consistency proof from it to the
// root of the tree, once all nodes are known. That the nodes are of the tree,
// [VerifyConsistency] can tell.
func (p *Prefix) Proof() (root Hash, proof []Hash, err error) {
	if len(p.nodes) < len(p.wanted) {
		return Hash{}, nil, errors.New("prefix: the tree is not known that far")
	}
	first, err := OpenRange(p.from, p.pick(p.first))
	if err != nil {
		return Hash{}, nil, err
	}
	bs, err := p.proof.Rehash(views(p.pick(p.proof.IDs)), tree.HashChildren)
	if err != nil {
		return Hash{}, nil, fmt.Errorf("prefix: %w", err)
	}
	return first.Root(), hashes(bs), nil
}

func (p *Prefix) pick(ids []compact.NodeID) []Hash {
	hs := make([]Hash, len(ids))
	for i, id := range ids {
		hs[i] = p.nodes[id]
	}
	return hs
}

// ReadRange reads from tiles the tree of a size, as one that can be appended
// to. Every hash of its incomplete tiles goes into its root, by which it can be
// verified.
func ReadRange(ctx context.Context, r TileReader, size uint64) (*Range, error) {
	c := NewCache(r, 0)
	var hs []Hash
	for _, id := range compact.RangeNodes(0, size, nil) {
		h, err := c.node(ctx, id, size)
		if err != nil {
			return nil, fmt.Errorf("tree of size %d: %w", size, err)
		}
		hs = append(hs, h)
	}
	return OpenRange(size, hs)
}
