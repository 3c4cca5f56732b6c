package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"time"

	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/svid"
)

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

// ErrMisbehaved means that the log broke a promise of a log: a checkpoint that
// does not extend an older one, a root that its entries do not have, an entry
// that was appended against its own conditions. It is never a network error.
var ErrMisbehaved = errors.New("the log misbehaved")

func misbehaved(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMisbehaved, fmt.Errorf(format, args...))
}

// A Report is what Verify has found true.
type Report struct {
	Origin     string         `json:"origin"`
	Size       uint64         `json:"size"`
	Root       proof.Hash     `json:"root"`
	From       uint64         `json:"from"`       // size of the older checkpoint that this one was proven to extend; 0 for none
	Entries    uint64         `json:"entries"`    // read and checked
	Kinds      map[string]int `json:"kinds"`      // number of entries of each kind
	Witnesses  []string       `json:"witnesses"`  // who cosigned the checkpoint
	Checkpoint []byte         `json:"checkpoint"` // the signed note
}

// Verify reads a whole log and checks it: the newest checkpoint meets policy;
// it extends the older one, if one is given; its root is that of the entries
// served; and every entry kept the conditions it was appended under. progress,
// if not nil, is told the number of entries done. Where the two checkpoints
// contradict each other and the log serves what proves it, the error is a
// [ForkError].
func Verify(ctx context.Context, r *Reader, p *proof.Policy, older []byte, progress func(done, total uint64)) (*Report, error) {
	v, err := Look(ctx, r, p, older)
	if err != nil {
		return nil, err
	}
	now := v.Checkpoint()
	rep := &Report{
		Origin: now.Origin, Size: now.Size, Root: now.Root, From: v.from, Kinds: map[string]int{},
		Witnesses: v.Witnesses(), Checkpoint: v.Note(),
	}
	if err := rep.readEntries(ctx, r, now, progress); err != nil {
		return nil, err
	}
	return rep, nil
}

// publishWithin is how long a log may take to show a checkpoint that it has
// already given to somebody, in an SVID or a beacon. It promises 250 ms.
const publishWithin = 5 * time.Second

// newest returns the log's newest checkpoint, once that is of a size at least.
// A smaller one that it keeps showing is returned with the error.
func newest(ctx context.Context, r *Reader, p *proof.Policy, size uint64) (*proof.Cosigned, error) {
	for deadline := time.Now().Add(publishWithin); ; {
		note, err := r.Checkpoint(ctx)
		if err != nil {
			return nil, err
		}
		c, err := p.OpenPublished(note)
		if err != nil {
			return nil, misbehaved("checkpoint: %w", err)
		}
		shown := c.Checkpoint().Size
		if shown >= size {
			return c, nil
		}
		if time.Now().After(deadline) {
			return c, misbehaved("it shows size %d, but has signed size %d before: entries are gone", shown, size)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// extends proves that the log of an older checkpoint is a prefix of the newer.
func extends(ctx context.Context, r *Reader, was, now proof.Checkpoint) error {
	if was.Size == now.Size && was.Root != now.Root {
		return misbehaved("it signed two roots of size %d: %s before, %s now", now.Size, was.Root, now.Root)
	}
	hashes, err := proof.Consistency(ctx, r, was.Size, now.Size)
	if err != nil {
		return err
	}
	if err := proof.VerifyConsistency(was.Size, now.Size, hashes, was.Root, now.Root); err != nil {
		return misbehaved("size %d is not a prefix of size %d: %w", was.Size, now.Size, err)
	}
	return nil
}

// readEntries recomputes the root from the entries and checks each.
func (rep *Report) readEntries(ctx context.Context, r *Reader, now proof.Checkpoint, progress func(done, total uint64)) error {
	a := newAuditor()
	tree := proof.NewRange()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for b := range readAhead(ctx, r, 0, now.Size) {
		read := <-b
		if read.err != nil {
			return read.err
		}
		for _, e := range read.entries {
			if err := a.entry(rep.Entries, e); err != nil {
				return misbehaved("entry %d: %w", rep.Entries, err)
			}
			rep.Kinds[e.kind()]++
			rep.Entries++
			tree.Append(e.leaf, nil)
		}
		if progress != nil {
			progress(rep.Entries, now.Size)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if root := tree.Root(); root != now.Root {
		return misbehaved("its %d entries have root %s, but it signed %s", now.Size, root, now.Root)
	}
	return nil
}

// A bundle is what was read of 256 entries, or why it could not be.
type bundle struct {
	entries []entry
	err     error
}

// readAhead reads, hashes and parses the bundles from the one numbered first up
// to a size, on all processors, while others are being checked, and returns them
// in their order, until ctx ends.
func readAhead(ctx context.Context, r *Reader, first, size uint64) <-chan (<-chan bundle) {
	out := make(chan (<-chan bundle), 2*runtime.GOMAXPROCS(0))
	go func() {
		defer close(out)
		for n := first; n*256 < size; n++ {
			b := make(chan bundle, 1)
			select {
			case out <- b:
			case <-ctx.Done():
				return
			}
			go func() {
				var read bundle
				entries, err := r.ReadBundle(ctx, n, int(min(256, size-n*256)))
				for _, e := range entries {
					read.entries = append(read.entries, parse(e))
				}
				read.err = err
				b <- read
			}()
		}
	}()
	return out
}

// auditor follows the conditions of entries through a log, from its first entry.
type auditor struct {
	spent   map[proof.Hash]uint64 // spent key -> index of the entry that took it
	barrier uint64                // 1 + index of the newest barrier
	policy  uint64                // index of the newest policy
	newest  map[uint64]bool       // indexes of SVIDs: whether nothing has renewed them yet

	journal func(change) // told every change of spent and newest
}

func newAuditor() *auditor {
	return &auditor{spent: map[proof.Hash]uint64{}, newest: map[uint64]bool{}, journal: func(change) {}}
}

// A change is what one entry did to spent or newest.
type change struct {
	kind  byte       // one of the constants below
	key   proof.Hash // of changeSpent
	index uint64     // of the entry that spent, was issued, or was renewed
}

const (
	changeSpent = iota + 1
	changeIssued
	changeRenewed
)

func (a *auditor) apply(c change) {
	switch c.kind {
	case changeSpent:
		a.spent[c.key] = c.index
	case changeIssued:
		a.newest[c.index] = true
	case changeRenewed:
		a.newest[c.index] = false
	}
	a.journal(c)
}

// entry checks one entry against all before it.
func (a *auditor) entry(index uint64, e entry) error {
	_, trust := e.predicate.(*statement.Trust)
	switch {
	case index == 0 && !trust:
		return errors.Join(errors.New("entry 0 is not the genesis, a trust statement"), e.err)
	case e.err != nil:
		return e.err
	case e.tbs != nil:
		return a.svid(index, e.tbs)
	}
	return a.statement(index, e.predicate)
}

func (a *auditor) svid(index uint64, t *svid.TBS) error {
	if t.Decision.Policy != a.policy {
		return fmt.Errorf("%s was decided by policy %d, but %d was in force", t.ID, t.Decision.Policy, a.policy)
	}
	if r := t.Decision.Renews; r != nil {
		newest, ok := a.newest[*r]
		switch {
		case !ok:
			return fmt.Errorf("%s renews entry %d, which is no SVID", t.ID, *r)
		case !newest:
			return fmt.Errorf("%s renews entry %d, which was renewed before", t.ID, *r)
		}
		a.apply(change{kind: changeRenewed, index: *r})
	}
	a.apply(change{kind: changeIssued, index: index})
	var keys []proof.Hash
	for _, k := range t.Decision.Spent {
		keys = append(keys, k)
	}
	return a.conditional(index, t.Decision.Decided, keys)
}

// conditional checks that a decision saw everything that could have changed it,
// and spent nothing that was spent.
func (a *auditor) conditional(index, decided uint64, spent []proof.Hash) error {
	if decided > index {
		return fmt.Errorf("decided on %d entries, more than there were", decided)
	}
	if decided < a.barrier {
		return fmt.Errorf("decided on %d entries, but entry %d changed policy, trust or bans before it was appended", decided, a.barrier-1)
	}
	for _, k := range spent {
		if by, ok := a.spent[k]; ok {
			return fmt.Errorf("spends %s, which entry %d has spent", k, by)
		}
		a.apply(change{changeSpent, k, index})
	}
	return nil
}

func (a *auditor) statement(index uint64, p statement.Predicate) error {
	switch p := p.(type) {
	case *statement.Policy:
		a.barrier, a.policy = index+1, index
	case *statement.Trust, *statement.Ban, *statement.Unban:
		a.barrier = index + 1
	case *statement.JoinToken:
	case *statement.Enrolment:
		return a.conditional(index, p.Decided, p.Spent)
	default:
		return fmt.Errorf("a %T is no entry", p)
	}
	return nil
}
