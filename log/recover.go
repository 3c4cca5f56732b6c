package log

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"plastron/log/proof"
)

// A recovery is a log that is being opened: it replays the segments from the
// first entry on and finds where they end.
type recovery struct {
	*Log
	locked   []byte              // the note in the lock; nil: there is no lock
	lockSize uint64              // its size
	markSize uint64              // size up to which the tiles are durable
	claims   []claim             // what the data must lead to; met ones are taken out
	damaged  map[proof.Hash]bool // blobs that were stored and are not whole

	count  uint64  // of segments
	torn   *damage // what is behind the last record; nil: zeros
	behind place   // where the next record goes
}

// replay reads every record, builds tree, spent keys and blob index, and
// applies the entries. It writes nothing.
func (r *recovery) replay() (err error) {
	if r.count, err = r.segments.count(); err != nil {
		return err
	}
	slices.SortFunc(r.claims, func(a, b claim) int { return cmp.Compare(a.checkpoint.Size, b.checkpoint.Size) })
	if err := r.meet(); err != nil { // claims of size 0
		return err
	}
	if r.count > 0 {
		if err := r.records(); err != nil {
			return err
		}
	}
	return r.judge()
}

// A readRecord is a record whose checksum is right, or why there is none.
type readRecord struct {
	*record
	leaves <-chan []proof.Hash // gives the leaf hashes of its entries once
	err    error               // as cursor.next
}

// readAhead reads and hashes records while others are being accepted, up to the
// first that is none. It ends by itself, or when stop is closed.
func (s *segments) readAhead(stop <-chan struct{}) <-chan readRecord {
	out := make(chan readRecord, 64)
	go func() {
		c := s.cursor(place{})
		defer c.close()
		for {
			r, err := c.next()
			read := readRecord{record: r, err: err}
			if err == nil {
				read.leaves = hash(r)
			}
			select {
			case out <- read:
			case <-stop:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return out
}

// hash hashes the entries of a record, on whatever processor is idle.
func hash(r *record) <-chan []proof.Hash {
	out := make(chan []proof.Hash, 1)
	go func() { // ends by itself
		leaves := make([]proof.Hash, 0, len(r.entries))
		for i := range r.entries {
			leaves = append(leaves, proof.LeafHash(r.entries[i].Entry))
		}
		out <- leaves
	}()
	return out
}

// records replays up to the last whole record.
func (r *recovery) records() error {
	stop := make(chan struct{})
	defer close(stop)
	for read := range r.segments.readAhead(stop) {
		err := read.err
		if err == nil {
			err = r.accept(read.record, <-read.leaves)
		}
		var d *damage
		switch {
		case errors.As(err, &d):
			r.torn = d
			return r.rest(d.segment, d.offset)
		case err == io.EOF:
			return r.rest(r.behind.segment, r.behind.offset)
		case err != nil:
			return err
		}
		r.behind = place{read.end(), read.segment, read.offset + read.size()}
	}
	panic("log: internal error: no end of the segments")
}

// accept takes a record whose checksum is right. Up to the lock's size it was
// acknowledged, and the lock's root covers it. Beyond, its write may not have
// ended: it is whole if its blobs are, and then it is ours or nobody's.
func (r *recovery) accept(rec *record, leaves []proof.Hash) error {
	if rec.start != r.tree.size() {
		return fmt.Errorf("segment %d, byte %d: the record begins with entry %d, %d entries come before it", rec.segment, rec.offset, rec.start, r.tree.size())
	}
	if origin, _, _ := bytes.Cut(rec.checkpoint, []byte("\n")); string(origin) != r.o.Signer.Name() {
		return fmt.Errorf("this is the data of log %q, the signer is of %q", origin, r.o.Signer.Name())
	}
	bad, err := r.spoilt(rec)
	if err != nil {
		return err
	}
	ahead := rec.end() > r.lockSize
	if ahead && len(bad) > 0 {
		return &damage{rec.segment, rec.offset, errors.New("a blob is not whole")}
	}
	for _, leaf := range leaves {
		r.tree.append(leaf)
		if err := r.meet(); err != nil {
			return err
		}
	}
	if err := r.signed(rec, ahead); err != nil {
		return err
	}
	for i := range bad {
		r.damaged[rec.blobs[i].hash] = true
		r.o.Logger.Error("stored evidence is damaged", "sha256", rec.blobs[i].hash.String(), "segment", rec.segment)
	}
	r.blobs.add(rec, bad)
	r.segments.remember(rec)
	r.newest = bytes.Clone(rec.checkpoint)
	r.tree.trim(min(r.markSize, r.tree.size()))
	return r.project(rec)
}

// spoilt returns which blobs of a record above the mark do not have their
// hash. Below it they are verified when they are read.
func (r *recovery) spoilt(rec *record) (map[int]bool, error) {
	bad := map[int]bool{}
	if rec.end() <= min(r.markSize, r.lockSize) {
		return bad, nil
	}
	at := blobPlace{rec.offset + int64(rec.head), uint32(rec.segment), 0}
	for i, h := range rec.blobs {
		at.length = h.length
		if _, err := r.segments.blob(at, h.hash); errors.Is(err, errBlob) {
			bad[i] = true
		} else if err != nil {
			return nil, err
		}
		at.offset += int64(h.length)
	}
	return bad, nil
}

// signed compares the record's checkpoint with the tree, and beyond the lock
// verifies that we signed it. What we did not sign is not cut: it may be
// another log's data in the wrong place.
func (r *recovery) signed(rec *record, ahead bool) error {
	want := proof.Checkpoint{Origin: r.o.Signer.Name(), Size: rec.end(), Root: r.tree.root()}
	if !bytes.HasPrefix(rec.checkpoint, []byte(want.Text()+"\n")) {
		return fmt.Errorf("segment %d, byte %d: the checkpoint does not have the root of the entries up to %d: the segment was changed, bring back an unchanged copy", rec.segment, rec.offset, rec.end())
	}
	if ahead {
		if _, err := r.o.Policy.OpenSigned(rec.checkpoint); err != nil {
			return fmt.Errorf("segment %d, byte %d: entries from %d on are not signed with this log's key: %w", rec.segment, rec.offset, rec.start, err)
		}
	}
	return nil
}

// project feeds what is derived from the entries.
func (r *recovery) project(rec *record) error {
	for _, e := range rec.entries {
		for _, h := range e.Blobs {
			if _, stored := r.blobs.find(h); !stored && !r.damaged[h] {
				return fmt.Errorf("entry %d names blob %s, which was never stored: the segments were changed", e.Index, h)
			}
		}
		for _, k := range e.Conditions.Spent {
			if by, taken := r.spent[k]; taken {
				return fmt.Errorf("entry %d spends key %s, which entry %d has spent: the segments were changed", e.Index, k, by)
			}
			r.spent[k] = e.Index
		}
		if d := e.Conditions.Decided; d != Unconditional && r.barriers > d {
			return fmt.Errorf("entry %d was decided before the barrier %d: the segments were changed", e.Index, r.barriers-1)
		}
		if e.Conditions.Barrier {
			r.barriers = e.Index + 1
		}
		if err := r.o.Apply(e); err != nil {
			return fmt.Errorf("apply entry %d: %w", e.Index, err)
		}
	}
	return nil
}

// meet checks the claims on the size that the tree has now.
func (r *recovery) meet() error {
	for len(r.claims) > 0 && r.claims[0].checkpoint.Size == r.tree.size() {
		c := r.claims[0]
		if root := r.tree.root(); c.checkpoint.Root != root {
			return forked("%s has our signature over another root for size %d than the data: %s; ours %s: %s",
				c.holder, c.checkpoint.Size, c.checkpoint.Root, root, c.remedy)
		}
		r.claims = r.claims[1:]
	}
	return nil
}

// rest looks at all that is behind the last record: zeros, and at most one
// record that was being written when the program died. More than that is damage
// in the middle of the log.
func (r *recovery) rest(segment uint64, offset int64) error {
	r.behind.segment, r.behind.offset = segment, offset
	for n, from := segment, offset; n < r.count; n, from = n+1, 0 {
		zero, err := r.segments.zeroFrom(n, from)
		switch {
		case err != nil:
			return err
		case zero || r.torn != nil && n == r.torn.segment:
		case r.torn != nil:
			return fmt.Errorf("%w, and segment %d follows it: bring back an undamaged copy", r.torn, n)
		default:
			r.torn = &damage{n, from, errMagic}
			r.behind.segment, r.behind.offset = n, from
		}
	}
	return nil
}

// judge refuses data that does not lead to every claim.
func (r *recovery) judge() error {
	size := r.tree.size()
	if r.locked == nil && size > 0 {
		return forked("the data holds %d entries, but there is no lock in %s: without it nobody can tell whether this data is the newest. Bring the lock back; if it is lost for good, this log has ended: start another under a new origin and key", size, r.o.Lock)
	}
	if len(r.claims) == 0 {
		return nil
	}
	c := r.claims[len(r.claims)-1]
	state := fmt.Sprintf("the data ends at size %d", size)
	switch {
	case r.count == 0:
		state = "there is no data"
	case r.torn != nil:
		state += " (" + r.torn.Error() + ")"
	}
	return forked("%s has our signature over size %d, but %s: %s", c.holder, c.checkpoint.Size, state, c.remedy)
}

// mend makes what was found true on the disk: a torn end is zeros again, and a
// record that nobody acknowledged is durable before the lock says so. What was
// read may have come from a page cache that the disk never got, so the last
// segment is written to a new file, and the lock again.
func (r *recovery) mend() error {
	if r.count == 0 {
		if err := r.segments.make(0); err != nil {
			return fmt.Errorf("make segment 0: %w", err)
		}
		r.count = 1
	}
	size := r.tree.size()
	if r.torn != nil || size > r.lockSize {
		if err := r.rewrite(r.behind.segment, r.behind.offset); err != nil {
			return fmt.Errorf("rewrite segment %d: %w", r.behind.segment, err)
		}
	}
	if r.torn != nil {
		r.o.Logger.Warn("cut what was never acknowledged", "err", r.torn, "size", size)
	}
	if err := r.segments.open(r.behind.segment, r.behind.offset); err != nil {
		return err
	}
	r.segments.prepare(r.behind.segment+1 < r.count)
	if err := r.relock(size); err != nil {
		return fmt.Errorf("write lock %s: %w", r.o.Lock, err)
	}
	r.sequenced = size
	r.applied.Store(size)
	r.told.Store(size)
	r.publisher.marked = r.markSize
	return r.republish()
}

func (r *recovery) rewrite(segment uint64, end int64) error {
	f, err := r.o.FS.Open(r.segments.name(segment), false)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return err
	}
	return r.segments.write(segment, n, io.NewSectionReader(f, 0, end))
}

// relock writes the newest checkpoint to the lock, and what was there before
// it.
func (r *recovery) relock(size uint64) error {
	if r.locked == nil {
		note, err := r.o.Signer.Sign(proof.Checkpoint{Origin: r.o.Signer.Name(), Root: proof.EmptyRoot()})
		if err != nil {
			return err
		}
		return r.lock.create(r.o.FS, r.o.Lock, note)
	}
	if err := r.lock.renew(); err != nil || size == r.lockSize {
		return err
	}
	return r.lock.put(r.newest)
}

// republish derives the public files above the mark again, before anybody is
// served.
func (r *recovery) republish() error {
	if r.newest == nil {
		return nil
	}
	note := r.newest
	if !r.o.Policy.Unwitnessed() {
		var err error
		if note, _, err = r.own(checkpointFile); err != nil || note == nil {
			return err
		}
	}
	c, err := r.o.Policy.OpenCheckpoint(note)
	if err != nil {
		r.o.Logger.Warn("the published checkpoint does not meet the log policy; waiting for the witnesses", "err", err)
		return nil
	}
	r.cosigned.Store(c)
	return r.publish()
}
