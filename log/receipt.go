package log

import (
	"bytes"
	"fmt"
	"slices"

	"plastron/log/proof"
)

// A Receipt is an entry, its place in the log, and the proof of both. It comes
// from a [Log] and yields its entry only to whoever has it verified: the zero
// Receipt, another log's, and one without a quorum yield nothing.
type Receipt struct {
	entry []byte
	proof proof.Proof
}

// Open returns the entry, framed, once the receipt proves under p that it is
// logged: the log's signature, the witnesses' quorum, the path from the entry
// to the root. Any doubt is [ErrNotLogged]. The signatures of a checkpoint that
// p opened lately are not verified again.
func (r *Receipt) Open(p *Policy) (entry []byte, err error) {
	if r == nil || len(r.entry) == 0 {
		return nil, fmt.Errorf("open receipt: zero receipt: %w", ErrNotLogged)
	}
	if _, err := r.proof.Verify(p, proof.LeafHash(r.entry)); err != nil {
		return nil, fmt.Errorf("open receipt for entry %d: %w: %w", r.proof.Index, ErrNotLogged, err)
	}
	return bytes.Clone(r.entry), nil
}

// Index returns the index the receipt claims; it is proven by Open.
func (r *Receipt) Index() uint64 { return r.proof.Index }

// Proof returns the proof, for whoever carries it on.
func (r *Receipt) Proof() proof.Proof {
	return proof.Proof{
		Index:      r.proof.Index,
		Hashes:     slices.Clone(r.proof.Hashes),
		Checkpoint: bytes.Clone(r.proof.Checkpoint),
	}
}
