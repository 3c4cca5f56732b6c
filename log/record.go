package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"plastron/log/proof"
)

// The fixed part of a record; see the package comment for all of it.
const (
	recordMagic  = 0x504c5701 // "PLW", format 1
	recordHeader = 48
	entryHeader  = 14
	blobHeader   = 4 + proof.HashSize
	flagBarrier  = 1
	maxHead      = 1 << 28 // bytes; a batch is bounded far below
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A record is one batch as the write-ahead log holds it.
type record struct {
	segment    uint64 // number of its segment
	offset     int64  // in the segment
	head       int    // bytes under the checksum and before the blobs
	start      uint64 // index of the first entry
	entries    []Stored
	blobs      []blobHead
	checkpoint []byte // signed by the log, covers the entries
}

// A blobHead is what the head of a record says of a blob after it.
type blobHead struct {
	hash   proof.Hash
	length uint32
}

// end returns the size of the log with this record.
func (r *record) end() uint64 { return r.start + uint64(len(r.entries)) }

// size returns the bytes of the whole record.
func (r *record) size() int64 {
	n := int64(r.head)
	for _, b := range r.blobs {
		n += int64(b.length)
	}
	return n
}

// appendEntry appends an entry and its conditions to a head.
func appendEntry(b []byte, e *Stored) []byte {
	var flags byte
	if e.Conditions.Barrier {
		flags |= flagBarrier
	}
	b = binary.BigEndian.AppendUint64(b, e.Conditions.Decided)
	b = append(b, flags, byte(len(e.Conditions.Spent)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(e.Blobs)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(e.Entry)))
	for _, k := range e.Conditions.Spent {
		b = append(b, k[:]...)
	}
	for _, h := range e.Blobs {
		b = append(b, h[:]...)
	}
	return append(b, e.Entry...)
}

// finishHead completes a head that begins with recordHeader free bytes and the
// entries, and returns it.
func finishHead(b []byte, r *record) []byte {
	for _, h := range r.blobs {
		b = binary.BigEndian.AppendUint32(b, h.length)
		b = append(b, h.hash[:]...)
	}
	b = append(b, r.checkpoint...)
	binary.BigEndian.PutUint32(b[0:], recordMagic)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)))
	binary.BigEndian.PutUint64(b[12:], r.segment)
	binary.BigEndian.PutUint64(b[20:], uint64(r.offset))
	binary.BigEndian.PutUint64(b[28:], r.start)
	binary.BigEndian.PutUint32(b[36:], uint32(len(r.entries)))
	binary.BigEndian.PutUint32(b[40:], uint32(len(r.blobs)))
	binary.BigEndian.PutUint32(b[44:], uint32(len(r.checkpoint)))
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

// Why a record does not parse. A torn write leads to any of them.
var (
	errMagic    = errors.New("no record begins here")
	errLength   = errors.New("its length is impossible")
	errChecksum = errors.New("its checksum is wrong")
	errLayout   = errors.New("its parts do not add up")
)

// headLength returns how many bytes the head has that begins with b, which has
// at least 12.
func headLength(b []byte) (int, error) {
	if binary.BigEndian.Uint32(b) != recordMagic {
		return 0, errMagic
	}
	n := binary.BigEndian.Uint32(b[8:])
	if n < recordHeader+entryHeader || n > maxHead {
		return 0, errLength
	}
	return int(n), nil
}

// parseHead reads the head of a record, of exactly the length it claims. What
// it returns shares memory with b. The checksum protects against tearing and
// decay; who wrote the record, its checkpoint says.
func parseHead(b []byte) (*record, error) {
	if len(b) < recordHeader {
		return nil, errLength
	}
	switch n, err := headLength(b); {
	case err != nil:
		return nil, err
	case n != len(b):
		return nil, errLength
	case crc32.Checksum(b[8:], castagnoli) != binary.BigEndian.Uint32(b[4:]):
		return nil, errChecksum
	}
	r := &record{
		head:    len(b),
		segment: binary.BigEndian.Uint64(b[12:]),
		offset:  int64(binary.BigEndian.Uint64(b[20:])),
		start:   binary.BigEndian.Uint64(b[28:]),
	}
	entries, blobs := binary.BigEndian.Uint32(b[36:]), binary.BigEndian.Uint32(b[40:])
	checkpoint := binary.BigEndian.Uint32(b[44:])
	if entries == 0 || r.offset < 0 || r.start > proof.MaxSize-uint64(entries) {
		return nil, errLayout
	}
	p := parser{b: b[recordHeader:]}
	r.entries = make([]Stored, 0, min(entries, uint32(len(p.b)/entryHeader)))
	for i := range entries {
		r.entries = append(r.entries, p.entry(r.start+uint64(i)))
		if p.short {
			return nil, errLayout
		}
	}
	for range blobs {
		h := blobHead{length: uint32(p.uint(4)), hash: p.hash()}
		if p.short || h.length == 0 || h.length > MaxBlobBytes {
			return nil, errLayout
		}
		r.blobs = append(r.blobs, h)
	}
	r.checkpoint = p.take(uint64(checkpoint))
	if p.short || len(p.b) > 0 {
		return nil, errLayout
	}
	return r, nil
}

// A parser takes fields off the front of b until one is too long.
type parser struct {
	b     []byte
	short bool
}

func (p *parser) take(n uint64) []byte {
	if p.short || n > uint64(len(p.b)) {
		p.short = true
		return nil
	}
	out := p.b[:n:n]
	p.b = p.b[n:]
	return out
}

func (p *parser) uint(n uint64) (v uint64) {
	for _, c := range p.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (p *parser) hash() (h proof.Hash) {
	copy(h[:], p.take(proof.HashSize))
	return h
}

func (p *parser) hashes(n uint64) (hs []proof.Hash) {
	b := p.take(n * proof.HashSize)
	for len(b) > 0 {
		hs = append(hs, proof.Hash(b))
		b = b[proof.HashSize:]
	}
	return hs
}

// entry refuses, as short, what appendEntry would not have written.
func (p *parser) entry(index uint64) Stored {
	e := Stored{Index: index}
	e.Conditions.Decided = p.uint(8)
	flags, spent, blobs, length := p.uint(1), p.uint(1), p.uint(2), p.uint(2)
	e.Conditions.Barrier = flags&flagBarrier != 0
	e.Conditions.Spent = p.hashes(spent)
	e.Blobs = p.hashes(blobs)
	e.Entry = p.take(length)
	if flags&^flagBarrier != 0 || spent > MaxSpent || blobs > MaxBlobs || length == 0 ||
		e.Conditions.Decided != Unconditional && e.Conditions.Decided > index {
		p.short = true
	}
	return e
}

// damage says that the bytes at a place in the segments are no record.
type damage struct {
	segment uint64
	offset  int64
	err     error
}

func (d *damage) Error() string {
	return fmt.Sprintf("segment %d is damaged at byte %d: %v", d.segment, d.offset, d.err)
}

func (d *damage) Unwrap() error { return d.err }
