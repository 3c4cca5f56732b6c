package log

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

// A cursor reads records in the order of the log.
type cursor struct {
	s       *segments
	file    File
	segment uint64
	offset  int64
	length  int64
	window  []byte // of file
	from    int64  // offset of window
}

// cursor starts at a place.
func (s *segments) cursor(at place) *cursor {
	return &cursor{s: s, segment: at.segment, offset: at.offset}
}

func (c *cursor) close() {
	if c.file != nil {
		c.file.Close() // opened for reading what is durable already
	}
}

// next returns the next record, io.EOF where the last segment has only zeros
// left or is full, and *damage where something else than a record is.
// The record shares memory with the window it was read in, which is not used
// again.
func (c *cursor) next() (*record, error) {
	for {
		if c.file == nil {
			if err := c.open(); err != nil {
				return nil, err
			}
		}
		r, err := c.record()
		if err != io.EOF {
			return r, err
		}
		names, err := c.s.fs.List(c.s.dir)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(names, filepath.Base(c.s.name(c.segment+1))) {
			return nil, io.EOF
		}
		c.close()
		c.file, c.segment, c.offset, c.window = nil, c.segment+1, 0, nil
	}
}

func (c *cursor) open() (err error) {
	if c.file, err = c.s.fs.Open(c.s.name(c.segment), false); err != nil {
		c.file = nil
		return err
	}
	c.length, err = c.file.Size()
	return err
}

// record reads the record at the cursor and moves behind it; io.EOF: the
// segment has none there.
func (c *cursor) record() (*record, error) {
	if c.length-c.offset < recordHeader {
		return nil, io.EOF
	}
	b, err := c.bytes(recordHeader)
	if err != nil {
		return nil, err
	}
	if isZero(b) {
		return nil, io.EOF
	}
	n, err := headLength(b)
	if err == nil && int64(n) > c.length-c.offset {
		err = errLength
	}
	if err != nil {
		return nil, &damage{c.segment, c.offset, err}
	}
	if b, err = c.bytes(n); err != nil {
		return nil, err
	}
	r, err := parseHead(b)
	if err == nil && (r.segment != c.segment || r.offset != c.offset) {
		err = fmt.Errorf("it was written at byte %d of segment %d", r.offset, r.segment)
	}
	if err == nil && r.size() > c.length-c.offset {
		err = errLength
	}
	if err != nil {
		return nil, &damage{c.segment, c.offset, err}
	}
	c.offset += r.size()
	return r, nil
}

// bytes returns n bytes at the cursor, which the segment has.
func (c *cursor) bytes(n int) ([]byte, error) {
	at := c.offset - c.from
	if c.window == nil || at < 0 || at+int64(n) > int64(len(c.window)) {
		size := min(max(int64(n), markEvery), c.length-c.offset)
		c.window, c.from, at = make([]byte, size), c.offset, 0
		if _, err := c.file.ReadAt(c.window, c.offset); err != nil && err != io.EOF {
			return nil, err
		}
	}
	return c.window[at : at+int64(n)], nil
}

var zeros [64 << 10]byte

func isZero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}
