package audit

import (
	"context"
	"errors"
	"fmt"

	"plastron/log/proof"
)

// A ForkError is an [ErrMisbehaved] that can be proven to anybody: the log has
// signed two histories.
type ForkError struct {
	Proof proof.ForkProof // verified
	Err   error           // how it was found
}

func (e *ForkError) Error() string { return e.Err.Error() }
func (e *ForkError) Unwrap() error { return e.Err }

// convict turns the finding that two checkpoints contradict each other into a
// [ForkError], if the log serves what proves it. Errors that blame nobody are
// returned as they are.
func convict(ctx context.Context, r *Reader, p *proof.Policy, a, b []byte, finding error) error {
	if !errors.Is(finding, ErrMisbehaved) {
		return finding
	}
	f, err := ProveFork(ctx, r, p, a, b)
	if err != nil {
		return fmt.Errorf("%w (it is yours to see and not yet provable to others; keep both checkpoints: %v)", finding, err)
	}
	return &ForkError{f, finding}
}

// ProveFork makes the proof that two checkpoints of one log, which are signed
// notes in any order, contradict each other. Two roots of one size do by
// themselves. Otherwise it needs the tree of the larger one: it reads tiles,
// and all the entries where the tiles do not lead to the root.
func ProveFork(ctx context.Context, r *Reader, p *proof.Policy, a, b []byte) (proof.ForkProof, error) {
	older, err := p.OpenSigned(a)
	if err != nil {
		return proof.ForkProof{}, err
	}
	newer, err := p.OpenSigned(b)
	if err != nil {
		return proof.ForkProof{}, err
	}
	if older.Size > newer.Size {
		older, newer, a, b = newer, older, b, a
	}
	f := proof.ForkProof{Older: a, Newer: b}
	if older.Size == newer.Size {
		_, err := f.Verify(p)
		return f, err
	}
	var why error
	for _, read := range []func(*proof.Prefix) error{
		func(x *proof.Prefix) error { return x.Read(ctx, r) },
		func(x *proof.Prefix) error { return recompute(ctx, r, newer.Size, x) },
	} {
		x, err := proof.NewPrefix(older.Size, newer.Size)
		if err != nil {
			return f, err
		}
		if err = read(x); err == nil {
			f.Prefix, f.Hashes, err = x.Proof()
		}
		if err == nil {
			_, err = f.Verify(p)
		}
		if err == nil {
			return f, nil
		}
		why = err
	}
	return f, why
}

// recompute tells x the nodes of the tree over the entries that the log serves.
func recompute(ctx context.Context, r *Reader, size uint64, x *proof.Prefix) error {
	tree := proof.NewRange()
	for n := uint64(0); n*256 < size; n++ {
		entries, err := r.ReadBundle(ctx, n, int(min(256, size-n*256)))
		if err != nil {
			return err
		}
		for _, e := range entries {
			tree.Append(proof.LeafHash(e), x.Visit)
		}
	}
	return nil
}
