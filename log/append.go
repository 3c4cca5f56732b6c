package log

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"plastron/log/proof"
)

// Limits of one batch. An append that is larger by itself makes its own.
const (
	maxBatchEntries = 4096
	maxBatchBytes   = 8 << 20
)

// A batch is what becomes durable at once: filled by appenders, then owned by
// the committer, then by whoever releases it.
type batch struct {
	record  record
	root    proof.Hash // of the tree with its entries; set when it is sealed
	head    []byte     // recordHeader free bytes, then the entries
	bodies  []byte     // of the blobs
	stored  map[proof.Hash]bool
	sealed  chan struct{} // closed when it takes no more entries
	settled chan struct{} // closed when the outcome below is set

	released *proof.Cosigned // covers all its entries
	err      error           // why nobody waited for the witnesses
}

func (b *batch) full(more int) bool {
	n := len(b.record.entries)
	return n >= maxBatchEntries || n > 0 && len(b.head)+len(b.bodies)+more > maxBatchBytes
}

// A submission is an append that has been checked as far as one can be by
// itself.
type submission struct {
	stored Stored
	leaf   proof.Hash
	blobs  [][]byte // that Stored.Blobs names, in the same order
	bytes  int
}

// Append logs an entry with its records and evidence, and returns its receipt
// once it is durable, the lock is, Apply has been told and a quorum of
// witnesses has cosigned it. The bytes are copied. A blob that is durable
// already is not stored again.
//
// Errors that say that nothing was appended: [*SpentError], [*StaleError], and
// any that is none of the others. [*QuorumError]: the entry is in the log and
// its receipt may be had later. ctx's error, [ErrPoisoned] and [ErrClosed]: the
// entry may be in the log or not.
func (l *Log) Append(ctx context.Context, entry []byte, c Conditions, blobs ...[]byte) (*Receipt, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	s, err := l.submit(entry, c, blobs)
	if err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	b, err := l.enter(ctx, s)
	if err != nil {
		return nil, err
	}
	select {
	case <-b.settled:
	case <-l.poisoned:
		return nil, fmt.Errorf("append: %w", l.Err())
	case <-ctx.Done():
		if s.stored.Index < l.applied.Load() {
			return nil, &QuorumError{s.stored.Index, ctx.Err()}
		}
		return nil, fmt.Errorf("append: entry %d is being written: %w", s.stored.Index, ctx.Err())
	}
	if b.err != nil {
		return nil, &QuorumError{s.stored.Index, b.err}
	}
	return l.receipt(ctx, s.stored.Index, s.stored.Entry, b.released)
}

// submit checks and copies what was given, and hashes it.
func (l *Log) submit(entry []byte, c Conditions, blobs [][]byte) (*submission, error) {
	switch {
	case len(entry) == 0 || len(entry) > proof.MaxEntry:
		return nil, fmt.Errorf("entry of %d bytes, want 1 to %d", len(entry), proof.MaxEntry)
	case len(c.Spent) > MaxSpent:
		return nil, fmt.Errorf("%d spent keys, want at most %d", len(c.Spent), MaxSpent)
	case len(blobs) > MaxBlobs:
		return nil, fmt.Errorf("%d blobs, want at most %d", len(blobs), MaxBlobs)
	}
	for i, k := range c.Spent {
		for _, other := range c.Spent[:i] {
			if k == other {
				return nil, fmt.Errorf("key %s is spent twice by one entry", k)
			}
		}
	}
	s := &submission{blobs: blobs}
	c.Spent = slices.Clone(c.Spent)
	s.stored = Stored{Entry: bytes.Clone(entry), Conditions: c}
	s.leaf = proof.LeafHash(s.stored.Entry)
	for i, b := range blobs {
		if s.bytes += len(b); len(b) == 0 || s.bytes > MaxBlobBytes {
			return nil, fmt.Errorf("blob %d of %d bytes, %d in all: want at least 1, and at most %d in all", i, len(b), s.bytes, MaxBlobBytes)
		}
		s.stored.Blobs = append(s.stored.Blobs, sum(b))
	}
	s.bytes += len(entry)
	return s, nil
}

// enter puts the submission into the batch that is being filled, or refuses it
// after what refuses it has been applied.
func (l *Log) enter(ctx context.Context, s *submission) (*batch, error) {
	for {
		l.mu.Lock()
		b, refusal, err := l.admit(s)
		l.mu.Unlock()
		switch {
		case err != nil:
			return nil, fmt.Errorf("append: %w", err)
		case refusal != nil:
			if err := l.await(ctx, refusal.index, l.applied.Load); err != nil {
				return nil, fmt.Errorf("append: %w", err)
			}
			return nil, refusal.err
		case s.stored.Index == unplaced:
			select { // the batch is full: the next one will be open soon
			case <-b.sealed:
			case <-l.poisoned:
			case <-ctx.Done():
				return nil, fmt.Errorf("append: %w", ctx.Err())
			}
		default:
			return b, nil
		}
	}
}

// unplaced is the index of a submission that has found no room yet.
const unplaced = ^uint64(0)

// A refusal is the entry that stands in an append's way.
type refusal struct {
	index uint64
	err   error
}

// admit decides, under l.mu, on the index that the entry would have: here and
// nowhere else are conditions compared with the log. Refused, it leaves
// nothing.
func (l *Log) admit(s *submission) (*batch, *refusal, error) {
	s.stored.Index = unplaced
	if err := l.accepting(); err != nil {
		return nil, nil, err
	}
	if l.open != nil && l.open.full(s.bytes) {
		return l.open, nil, nil
	}
	index, c := l.sequenced, &s.stored.Conditions
	for _, k := range c.Spent {
		if by, taken := l.spent[k]; taken {
			return nil, &refusal{by, &SpentError{k, by}}, nil
		}
	}
	if c.Decided != Unconditional {
		// Apply is told entry by entry, and who decides on one that it was just
		// told may append before the batch is through.
		if told := l.told.Load(); c.Decided > told {
			return nil, nil, fmt.Errorf("decided on %d entries, only %d are applied", c.Decided, told)
		}
		if l.barriers > c.Decided {
			return nil, &refusal{l.barriers - 1, &StaleError{l.barriers - 1}}, nil
		}
	}
	if l.open == nil {
		l.open = l.newBatch(index)
		select {
		case l.filling <- struct{}{}:
		default:
		}
	}
	l.place(l.open, s, index)
	return l.open, nil, nil
}

func (l *Log) accepting() error {
	switch {
	case l.failure != nil:
		return l.failure
	case l.closed:
		return ErrClosed
	}
	if waiting := l.sequenced - l.covered(); waiting >= l.o.MaxUnwitnessed {
		return fmt.Errorf("%d entries wait for the witnesses: %w", waiting, ErrQuorum)
	}
	return nil
}

func (l *Log) newBatch(start uint64) *batch {
	return &batch{
		record:  record{start: start},
		head:    make([]byte, recordHeader, 4096),
		stored:  make(map[proof.Hash]bool),
		sealed:  make(chan struct{}),
		settled: make(chan struct{}),
	}
}

// place gives the entry its index.
func (l *Log) place(b *batch, s *submission, index uint64) {
	s.stored.Index = index
	l.sequenced++
	for _, k := range s.stored.Conditions.Spent {
		l.spent[k] = index
	}
	if s.stored.Conditions.Barrier {
		l.barriers = index + 1
	}
	l.tree.append(s.leaf)
	b.head = appendEntry(b.head, &s.stored)
	b.record.entries = append(b.record.entries, s.stored)
	for i, h := range s.stored.Blobs {
		if _, durable := l.blobs.find(h); durable || b.stored[h] || l.flying != nil && l.flying.stored[h] {
			continue
		}
		b.stored[h] = true
		b.record.blobs = append(b.record.blobs, blobHead{h, uint32(len(s.blobs[i]))})
		b.bodies = append(b.bodies, s.blobs[i]...)
	}
}
