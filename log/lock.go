package log

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
)

// The lock file; see the package comment.
const (
	slotSize   = 4096
	slotMagic  = 0x504c4b01 // "PLK", format 1
	slotHeader = 20
	lockName   = "checkpoint"
)

// A lock is the newest checkpoint that may have left this process, in a place
// of its own: what the data directory holds less than that is a data directory
// that somebody restored.
type lock struct {
	file     File
	held     io.Closer
	sequence uint64 // of the slot written last
	note     []byte // in it
}

// A slot is half of a lock file.
type slot struct {
	sequence uint64 // each write's is one more than the last's
	note     []byte // signed by the log
}

// encode returns the slotSize bytes of a slot.
func (s slot) encode() ([]byte, error) {
	if len(s.note) > slotSize-slotHeader {
		return nil, fmt.Errorf("checkpoint of %d bytes, a slot of the lock holds %d: choose a shorter origin", len(s.note), slotSize-slotHeader)
	}
	b := make([]byte, slotSize)
	binary.BigEndian.PutUint32(b, slotMagic)
	binary.BigEndian.PutUint64(b[8:], s.sequence)
	binary.BigEndian.PutUint32(b[16:], uint32(len(s.note)))
	copy(b[slotHeader:], s.note)
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b, nil
}

// parseSlot reads a slot. It refuses one that was torn, and one that was never
// written.
func parseSlot(b []byte) (slot, error) {
	switch {
	case len(b) != slotSize:
		return slot{}, errLength
	case binary.BigEndian.Uint32(b) != slotMagic:
		return slot{}, errMagic
	case crc32.Checksum(b[8:], castagnoli) != binary.BigEndian.Uint32(b[4:]):
		return slot{}, errChecksum
	}
	n := binary.BigEndian.Uint32(b[16:])
	if n > slotSize-slotHeader || !isZero(b[slotHeader+n:]) {
		return slot{}, errLayout
	}
	return slot{binary.BigEndian.Uint64(b[8:]), b[slotHeader : slotHeader+n]}, nil
}

// openLock takes the lock for this process and returns the note in it, nil if
// there is no lock.
func openLock(fsys FS, dir string) (*lock, []byte, error) {
	held, err := fsys.Lock(filepath.Join(dir, "writer"))
	if err != nil {
		return nil, nil, fmt.Errorf("one process signs for a log, even while it is paused: stop the other one first: %w", err)
	}
	l := &lock{held: held}
	f, err := fsys.Open(filepath.Join(dir, lockName), false)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil, nil
	}
	if err == nil {
		l.file = f
		var s slot
		if s, err = l.newest(); err == nil {
			l.sequence, l.note = s.sequence, s.note
			return l, s.note, nil
		}
	}
	return nil, nil, errors.Join(err, l.close())
}

// newest returns the valid slot that was written last.
func (l *lock) newest() (best slot, err error) {
	b := make([]byte, 2*slotSize+1)
	n, err := l.file.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return best, err
	}
	return newestSlot(b[:n])
}

// newestSlot reads a lock file. One torn slot is what a crash leaves; the
// checkpoint it was to hold never left the process.
func newestSlot(b []byte) (best slot, err error) {
	if len(b) != 2*slotSize {
		return best, fmt.Errorf("the file is not %d bytes long", 2*slotSize)
	}
	zero, errZero := parseSlot(b[:slotSize])
	one, errOne := parseSlot(b[slotSize:])
	switch {
	case errZero != nil && errOne != nil:
		return best, fmt.Errorf("neither slot is valid: %w, %w", errZero, errOne)
	case errOne != nil || errZero == nil && zero.sequence > one.sequence:
		return zero, nil
	}
	return one, nil
}

// create makes the lock file of an empty log. It is whole before it has its
// name, so that two invalid slots are always damage.
func (l *lock) create(fsys FS, dir string, note []byte) error {
	b, err := slot{sequence: 0, note: note}.encode()
	if err != nil {
		return err
	}
	tmp, name := filepath.Join(dir, lockName+".tmp"), filepath.Join(dir, lockName)
	if l.file, err = fsys.Open(tmp, true); err != nil {
		return err
	}
	if _, err := l.file.WriteAt(append(b, make([]byte, slotSize)...), 0); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return err
	}
	l.note = note
	return fsys.SyncDir(dir)
}

// renew writes the newest slot again, where it is. It may have been read from a
// page cache that the disk never got: then the disk has only the older slot,
// and that one must not be overwritten yet.
func (l *lock) renew() error {
	s, err := l.newest()
	if err != nil {
		return err
	}
	b, err := s.encode()
	if err != nil {
		return err
	}
	if _, err := l.file.WriteAt(b, int64(s.sequence%2)*slotSize); err != nil {
		return err
	}
	return l.file.Sync()
}

// put overwrites the older slot, and returns once that is durable. A slot that
// this process has not written means another writer, whose checkpoints ours
// would contradict.
func (l *lock) put(note []byte) error {
	if err := l.still(); err != nil {
		return err
	}
	s := slot{l.sequence + 1, note}
	b, err := s.encode()
	if err != nil {
		return err
	}
	if _, err := l.file.WriteAt(b, int64(s.sequence%2)*slotSize); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.sequence, l.note = s.sequence, note
	// Paused between the look and the write, we may have written over what
	// another process has put there since.
	return l.still()
}

// still refuses a lock whose newest slot is not the one that this process wrote
// last, or has read when it took the lock.
func (l *lock) still() error {
	s, err := l.newest()
	if err != nil {
		return err
	}
	if s.sequence != l.sequence || !bytes.Equal(s.note, l.note) {
		return forked("another process has written to it (sequence number %d, ours was %d): it has taken this log over, while this process was paused or with a copy of the data. Nothing of this batch has left; leave the log to the other process, and do not start it from this data again", s.sequence, l.sequence)
	}
	return nil
}

func (l *lock) close() error {
	var err error
	if l.file != nil {
		err = l.file.Close()
	}
	return errors.Join(err, l.held.Close())
}
