package log

import (
	"fmt"
	"runtime"
	"time"

	"plastron/log/proof"
)

// commitAll makes batches durable, one after the other, until the log is
// closed and empty or poisoned.
func (l *Log) commitAll() {
	defer l.committing.Done()
	for l.filled() {
		if err := l.commit(l.seal()); err != nil {
			l.poison(err)
			return
		}
	}
}

// holdBatch is how long a batch stays open for the witnesses' sake.
const holdBatch = 5 * time.Millisecond

// filled waits for a batch with an entry in it. While witnesses are being asked
// the batch stays open: it will wait for their next round in any case, and one
// batch a round is one signature, one record and two syncs for all. It then lets
// those run who are about to append: whoever was released with the last batch
// is, and would otherwise wait for the disk twice.
func (l *Log) filled() bool {
	select {
	case <-l.filling:
	case <-l.poisoned:
		return false
	case <-l.closing:
		select {
		case <-l.filling:
		default:
			return false
		}
	}
	l.rounds.wait(holdBatch, l.poisoned)
	for n, last := l.entriesOpen(), 0; n > last; n = l.entriesOpen() {
		last = n
		runtime.Gosched()
	}
	return true
}

func (l *Log) entriesOpen() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open.record.entries)
}

// seal takes the batch from the appenders; the next one begins where it ends.
func (l *Log) seal() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.open
	l.open, l.flying = nil, b
	b.root = l.tree.root()
	close(b.sealed)
	return b
}

// commit is steps 2 to 5 of the package comment. This is the only place where
// a checkpoint is signed but for the empty one: each size once, before it is
// known whether it will be durable, and it leaves only after it is.
func (l *Log) commit(b *batch) (err error) {
	r := &b.record
	r.checkpoint, err = l.o.Signer.SignUnchecked(proof.Checkpoint{Origin: l.o.Signer.Name(), Size: r.end(), Root: b.root})
	if err != nil {
		return err
	}
	r.head = len(b.head) + len(r.blobs)*blobHeader + len(r.checkpoint)
	if r.segment, r.offset, err = l.segments.reserve(r.size()); err != nil {
		return fmt.Errorf("write entries %d to %d: %w", r.start, r.end()-1, err)
	}
	opened := l.check(r.checkpoint)
	// Until append returns, a crash leaves the batch or nothing, and nobody
	// has heard of it. Until put returns, it leaves the batch: it is adopted.
	if err := l.segments.append(r, finishHead(b.head, r), b.bodies); err != nil {
		return fmt.Errorf("write entries %d to %d: %w", r.start, r.end()-1, err)
	}
	own := <-opened
	if own.err != nil {
		return fmt.Errorf("our own checkpoint of size %d: %w", r.end(), own.err)
	}
	if err := l.lock.put(r.checkpoint); err != nil {
		return fmt.Errorf("write lock for size %d: %w", r.end(), err)
	}
	// From here on a crash loses nothing, and no other history can be signed.
	l.blobs.add(r, nil)
	for _, e := range r.entries {
		l.told.Store(e.Index + 1)
		if err := l.o.Apply(e); err != nil {
			return fmt.Errorf("apply entry %d: %w", e.Index, err)
		}
	}
	l.mu.Lock()
	l.newest, l.flying = r.checkpoint, nil
	l.waiting = append(l.waiting, b)
	l.applied.Store(r.end())
	l.mu.Unlock()
	b.head, b.bodies, b.stored = nil, nil, nil
	if own.cosigned != nil {
		l.release(own.cosigned)
		return nil
	}
	l.changed.ring()
	l.rounds.wake()
	return nil
}

// ownNote is what a note of ours is to others.
type ownNote struct {
	cosigned *proof.Cosigned // nil: witnesses have to be asked
	err      error
}

// check verifies, while the disk is busy, what the log's key has signed: a
// signature that a faulty key made wrong must not leave. If the policy asks for
// no witnesses, that is all there is to it.
func (l *Log) check(note []byte) <-chan ownNote {
	checked := make(chan ownNote, 1)
	go func() { // ends by itself
		var own ownNote
		if l.o.Policy.Unwitnessed() {
			own.cosigned, own.err = l.o.Policy.OpenCheckpoint(note)
		} else {
			_, own.err = l.o.Policy.OpenSigned(note)
		}
		checked <- own
	}()
	return checked
}

// release gives a cosigned checkpoint to all who wait for one that covers
// their entry, and to the publisher.
func (l *Log) release(c *proof.Cosigned) {
	l.mu.Lock()
	l.cosigned.Store(c)
	covered := l.covers(c.Checkpoint().Size)
	l.mu.Unlock()
	for _, b := range covered {
		b.released = c
		close(b.settled)
	}
	l.changed.ring()
	l.publisher.wake()
}

// settle ends the waiting of all entries below size, with an error.
func (l *Log) settle(size uint64, err error) {
	l.mu.Lock()
	covered := l.covers(size)
	l.mu.Unlock()
	for _, b := range covered {
		b.err = err
		close(b.settled)
	}
}

// covers takes from the waiting batches, under l.mu, those that end at or
// before size.
func (l *Log) covers(size uint64) []*batch {
	n := 0
	for n < len(l.waiting) && l.waiting[n].record.end() <= size {
		n++
	}
	covered := l.waiting[:n:n]
	l.waiting = append([]*batch(nil), l.waiting[n:]...)
	return covered
}
