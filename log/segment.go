package log

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"plastron/log/proof"
)

// markEvery is how many bytes of a segment lie between two remembered places:
// memory grows by 24 bytes for so many bytes of log.
const markEvery = 64 << 10

// zeroStep is how many zeros are written and synced at once: an append that
// syncs meanwhile waits for no more.
const zeroStep = 1 << 20

// A place is where a record begins.
type place struct {
	start   uint64 // index of its first entry
	segment uint64
	offset  int64
}

// segments are the write-ahead log: numbered files of zeros, filled from the
// front, never used again. One goroutine appends; any number read what it has
// appended.
type segments struct {
	fs   FS
	dir  string
	size int64 // of a new segment, but for the first ones
	// failed is told when the next segment cannot be made.
	failed func(error)

	// Owned by whoever appends.
	file   File
	number uint64
	offset int64 // where the next record begins
	length int64 // of file
	next   chan error

	mu     sync.RWMutex // guards places
	places []place      // ascending; at least one in every segment in use
}

func (s *segments) name(number uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%08d", number))
}

// count returns how many segments there are and removes one that was being
// made when the program died.
func (s *segments) count() (n uint64, err error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		switch path := filepath.Join(s.dir, name); {
		case strings.HasSuffix(name, ".tmp"):
			if err := s.fs.Remove(path); err != nil {
				return 0, err
			}
		case path == s.name(n):
			n++
		default:
			return 0, fmt.Errorf("%s is not segment %d, which is missing: restore it, nothing of a log may be taken away", path, n)
		}
	}
	return n, nil
}

// firstSegment is the size of the first segment in bytes. Each next one is twice
// as long, up to the size that all further ones have: a young log is small.
const firstSegment = 1 << 20

// make makes a segment that is durable, zeros included, before it has its
// name: writing into it later changes no metadata, so one fdatasync is enough.
func (s *segments) make(number uint64) error {
	return s.write(number, min(s.size, firstSegment<<min(number, 40)), nil)
}

// write makes or replaces a segment, with the first bytes from head.
func (s *segments) write(number uint64, size int64, head io.Reader) error {
	tmp := s.name(number) + ".tmp"
	f, err := s.fs.Open(tmp, true)
	if err != nil {
		return err
	}
	err = fill(f, size, head)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := s.fs.Rename(tmp, s.name(number)); err != nil {
		return err
	}
	return s.fs.SyncDir(s.dir)
}

func fill(f File, size int64, head io.Reader) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	step := make([]byte, min(zeroStep, size))
	for at := int64(0); at < size; at += int64(len(step)) {
		step = step[:min(int64(len(step)), size-at)]
		clear(step)
		if head != nil {
			if _, err := io.ReadFull(head, step); err == io.EOF || err == io.ErrUnexpectedEOF {
				head = nil
			} else if err != nil {
				return err
			}
		}
		if _, err := f.WriteAt(step, at); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the next segment, unless it is there, while this one is being
// filled.
func (s *segments) prepare(there bool) {
	s.next = make(chan error, 1)
	if there {
		s.next <- nil
		return
	}
	go func(number uint64, made chan<- error) { // ends by itself; close waits
		err := s.make(number)
		if err != nil {
			err = fmt.Errorf("make segment %d: %w", number, err)
			s.failed(err)
		}
		made <- err
	}(s.number+1, s.next)
}

// open opens a segment to append at offset.
func (s *segments) open(number uint64, offset int64) error {
	f, err := s.fs.Open(s.name(number), false)
	if err != nil {
		return err
	}
	if s.length, err = f.Size(); err != nil {
		return errors.Join(err, f.Close())
	}
	if s.file != nil {
		err = s.file.Close()
	}
	s.file, s.number, s.offset = f, number, offset
	return err
}

// reserve returns where a record of n bytes goes: behind the last one or, if
// it does not fit, at the front of the next segment, which grows for a record
// that is longer than a segment.
func (s *segments) reserve(n int64) (segment uint64, offset int64, err error) {
	if s.offset > 0 && s.offset+n > s.length {
		err := <-s.next
		s.next = nil
		if err != nil {
			return 0, 0, err
		}
		if err := s.open(s.number+1, 0); err != nil {
			return 0, 0, err
		}
		s.prepare(false)
	}
	return s.number, s.offset, nil
}

// append writes a record where reserve said, and returns once it is durable.
func (s *segments) append(r *record, head, blobs []byte) error {
	if _, err := s.file.WriteAt(head, s.offset); err != nil {
		return err
	}
	if len(blobs) > 0 {
		if _, err := s.file.WriteAt(blobs, s.offset+int64(len(head))); err != nil {
			return err
		}
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.remember(r)
	s.offset += r.size()
	s.length = max(s.length, s.offset)
	return nil
}

func (s *segments) close() error {
	err := s.file.Close()
	if s.next != nil {
		err = errors.Join(err, <-s.next)
	}
	return err
}

// remember keeps the place of a record now and then.
func (s *segments) remember(r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.places); n > 0 {
		last := s.places[n-1]
		if last.segment == r.segment && r.offset-last.offset < markEvery {
			return
		}
	}
	s.places = append(s.places, place{r.start, r.segment, r.offset})
}

// find returns the last remembered place at or before the entry at index.
func (s *segments) find(index uint64) place {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := sort.Search(len(s.places), func(i int) bool { return s.places[i].start > index })
	if i == 0 {
		return place{}
	}
	return s.places[i-1]
}

// zeroFrom reports whether a segment has only zeros from offset on.
func (s *segments) zeroFrom(number uint64, offset int64) (bool, error) {
	f, err := s.fs.Open(s.name(number), false)
	if err != nil {
		return false, err
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return false, err
	}
	b := make([]byte, max(0, min(zeroStep, n-offset)))
	for ; offset < n; offset += int64(len(b)) {
		b = b[:min(int64(len(b)), n-offset)]
		if _, err := f.ReadAt(b, offset); err != nil {
			return false, err
		}
		if !isZero(b) {
			return false, nil
		}
	}
	return true, nil
}

var errBlob = errors.New("bytes do not have their hash: erased or damaged")

// blob reads bytes that follow the head of a record, and verifies them.
func (s *segments) blob(b blobPlace, want proof.Hash) ([]byte, error) {
	f, err := s.fs.Open(s.name(uint64(b.segment)), false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := make([]byte, b.length)
	if _, err := f.ReadAt(out, b.offset); err != nil {
		return nil, err
	}
	if sum(out) != want {
		return nil, fmt.Errorf("segment %d, byte %d: %w", b.segment, b.offset, errBlob)
	}
	return out, nil
}
