package log

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"sync"
	"sync/atomic"

	"plastron/log/proof"
)

// A Log is one log, open for appending. Its methods may be called at once by
// any number of goroutines.
type Log struct {
	o        Options
	segments *segments
	lock     *lock
	writer   io.Closer // holds the data directory for this process
	tree     *tree
	cache    *proof.Cache // over tree
	blobs    blobs

	told     atomic.Uint64 // entries that Apply has been told, or is just being told
	applied  atomic.Uint64 // the same, once the batch they are in is through
	cosigned atomic.Pointer[proof.Cosigned]
	changed  bell   // rung when applied or cosigned changes
	newest   []byte // note of applied's checkpoint; owned by the committer, read under mu

	mu        sync.Mutex // guards all below
	sequenced uint64     // entries that have an index
	barriers  uint64     // index of the newest barrier + 1; 0: none
	spent     map[proof.Hash]uint64
	open      *batch   // being filled; nil: empty
	flying    *batch   // being written
	waiting   []*batch // durable, not cosigned
	failure   error
	closed    bool

	filling  chan struct{} // holds one token while open has not been seen
	poisoned chan struct{} // closed when failure is set
	closing  chan struct{} // closed when nothing more is admitted
	done     chan struct{} // closed when Close is through

	committing sync.WaitGroup  // the committer; ended by closing
	following  sync.WaitGroup  // witnesses, publisher; ended by stop
	life       context.Context // of those; ended by stop
	stop       context.CancelFunc
	rounds     rounds
	publisher  publisher
	gzipped    gzipped
	fullTiles  kept[tileID] // as served
}

// Size returns the number of durable entries.
func (l *Log) Size() uint64 { return l.applied.Load() }

// Checkpoint returns the newest signed note that a quorum has cosigned; nil if
// there is none yet.
func (l *Log) Checkpoint() []byte {
	if c := l.cosigned.Load(); c != nil {
		return c.Note()
	}
	return nil
}

// Spent returns the index of the entry that spent a key, once it is applied.
func (l *Log) Spent(key proof.Hash) (index uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	index, ok = l.spent[key]
	if !ok || index >= l.applied.Load() {
		return 0, false
	}
	return index, true
}

// Entry returns a durable entry; an index the log does not have is
// fs.ErrNotExist.
func (l *Log) Entry(index uint64) (Stored, error) {
	for e, err := range l.entries(context.Background(), index, l.applied.Load()) {
		return e, err
	}
	return Stored{}, fmt.Errorf("entry %d: %w", index, fs.ErrNotExist)
}

// Entries returns the durable entries from an index on, in order, up to those
// that are durable when it comes to them. It ends at the first error.
func (l *Log) Entries(ctx context.Context, from uint64) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for from < l.applied.Load() {
			for e, err := range l.entries(ctx, from, l.applied.Load()) {
				if !yield(e, err) || err != nil {
					return
				}
				from = e.Index + 1
			}
		}
	}
}

// entries reads from the segments what lies in [from, to), which is durable.
func (l *Log) entries(ctx context.Context, from, to uint64) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		if from >= to {
			return
		}
		c := l.segments.cursor(l.segments.find(from))
		defer c.close()
		for from < to {
			r, err := c.next()
			if err == nil {
				err = ctx.Err()
			}
			if err == nil && r.start > from {
				err = fmt.Errorf("the record at hand begins with entry %d", r.start)
			}
			if err != nil {
				yield(Stored{}, fmt.Errorf("read entry %d: %w", from, err))
				return
			}
			for from < min(to, r.end()) {
				if !yield(r.entries[from-r.start], nil) {
					return
				}
				from++
			}
		}
	}
}

// receipt proves an entry to be in a cosigned checkpoint.
func (l *Log) receipt(ctx context.Context, index uint64, entry []byte, c *proof.Cosigned) (*Receipt, error) {
	hashes, err := proof.Inclusion(ctx, l.cache, index, c.Checkpoint().Size)
	if err != nil {
		return nil, fmt.Errorf("receipt for entry %d: %w", index, err)
	}
	return &Receipt{entry, proof.Proof{Index: index, Hashes: hashes, Checkpoint: c.Note()}}, nil
}

// Receipt returns the receipt of an entry in the log as soon as a quorum has
// cosigned a checkpoint that covers it; [*QuorumError] if ctx ends before. An
// index the log does not have is fs.ErrNotExist.
func (l *Log) Receipt(ctx context.Context, index uint64) (*Receipt, error) {
	e, err := l.Entry(index)
	if err != nil {
		return nil, err
	}
	switch err := l.await(ctx, index, l.covered); {
	case errors.Is(err, ErrPoisoned), errors.Is(err, ErrClosed):
		return nil, fmt.Errorf("receipt for entry %d: %w", index, err)
	case err != nil:
		return nil, &QuorumError{index, err}
	}
	return l.receipt(ctx, index, e.Entry, l.cosigned.Load())
}

// covered returns the size of the newest cosigned checkpoint.
func (l *Log) covered() uint64 {
	if c := l.cosigned.Load(); c != nil {
		return c.Checkpoint().Size
	}
	return 0
}

// await waits until a size passes index.
func (l *Log) await(ctx context.Context, index uint64, size func() uint64) error {
	for {
		changed := l.changed.next()
		if size() > index {
			return nil
		}
		select {
		case <-changed:
		case <-l.poisoned:
			return l.Err()
		case <-l.done:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// poison ends writing for the life of the process: after a failed write or
// sync nobody knows what the disk holds, and asking again may be told a lie.
func (l *Log) poison(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure != nil {
		return
	}
	l.failure = failureOf(err)
	close(l.poisoned)
	l.o.Logger.Error("log poisoned", "dir", l.o.Dir, "err", err)
}

// Poisoned returns a channel that is closed when a write failed. The program
// should end: only a new start finds out what is on the disk.
func (l *Log) Poisoned() <-chan struct{} { return l.poisoned }

// Err returns why the log is poisoned: an [ErrPoisoned], or nil.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// Close refuses further appends, waits until those under way are durable,
// publishes what is cosigned and gives the directory up. Appends whose
// witnesses have not answered by then end with a [*QuorumError]. It returns
// why the log was poisoned, if it was.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		<-l.done
		return ErrClosed
	}
	l.closed = true
	close(l.closing)
	l.mu.Unlock()
	l.committing.Wait()
	l.stop()
	l.following.Wait()
	l.settle(^uint64(0), ErrClosed)
	err := errors.Join(l.Err(), l.segments.close(), l.lock.close(), l.writer.Close())
	close(l.done)
	if err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}
