package log

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"plastron/log/proof"
)

// checksum makes the checksum of a record or slot right.
func checksum(b []byte) {
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
}

func sample() []byte {
	r := &record{
		segment: 3, offset: 4096, start: 7,
		blobs:      []blobHead{{proof.Hash{5}, 9}},
		checkpoint: []byte("log.example\n9\nroot\n\n— log.example sig\n"),
	}
	head := make([]byte, recordHeader)
	for _, e := range []Stored{
		{Index: 7, Entry: []byte("one"), Conditions: Conditions{Decided: 3, Spent: []proof.Hash{{1}, {2}}}, Blobs: []proof.Hash{{5}}},
		{Index: 8, Entry: []byte("two"), Conditions: Conditions{Decided: Unconditional, Barrier: true}},
	} {
		r.entries = append(r.entries, e)
		head = appendEntry(head, &e)
	}
	return finishHead(head, r)
}

// FuzzSegment feeds the record parser. Whatever it takes has one encoding.
func FuzzSegment(f *testing.F) {
	f.Add(sample())
	f.Add(make([]byte, recordHeader))
	f.Add(sample()[:recordHeader+20])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 12 && len(b) < 1<<20 {
			checksum(b) // a checksum is no obstacle to the curious
		}
		r, err := parseHead(b)
		if err != nil {
			return
		}
		again := make([]byte, recordHeader)
		for _, e := range r.entries {
			again = appendEntry(again, &e)
		}
		if again = finishHead(again, r); !bytes.Equal(again, b) {
			t.Fatalf("parsed and written again:\n%x\n%x", b, again)
		}
	})
}

// TestRecordFlip flips each bit of a record's head.
func TestRecordFlip(t *testing.T) {
	t.Parallel()
	good := sample()
	if _, err := parseHead(good); err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(good) {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		if _, err := parseHead(b); err == nil {
			t.Errorf("bit %d flipped: accepted", i)
		}
	}
	for n := range good {
		if _, err := parseHead(good[:n]); err == nil {
			t.Errorf("%d bytes of it: accepted", n)
		}
	}
	if _, err := parseHead(append(good, 0)); err == nil {
		t.Error("a byte more: accepted")
	}
}

// FuzzLockSlot feeds the slot parser. Whatever it takes has one encoding.
func FuzzLockSlot(f *testing.F) {
	s, err := slot{7, []byte("log.example\n9\nroot\n\n— log.example sig\n")}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s[:64])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, start []byte) {
		b := make([]byte, slotSize)
		copy(b, start)
		checksum(b)
		s, err := parseSlot(b)
		if err != nil {
			return
		}
		if again, err := s.encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("parsed and written again: %v\n%x\n%x", err, b, again)
		}
	})
}

func TestSlotFlip(t *testing.T) {
	t.Parallel()
	good, err := slot{7, []byte("note")}.encode()
	if err != nil {
		t.Fatal(err)
	}
	if s, err := parseSlot(good); err != nil || s.sequence != 7 || string(s.note) != "note" {
		t.Fatalf("%+v, %v", s, err)
	}
	for i := range 8 * slotSize {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		if _, err := parseSlot(b); err == nil {
			t.Errorf("bit %d flipped: accepted", i)
		}
	}
	if _, err := (slot{1, make([]byte, slotSize)}).encode(); err == nil {
		t.Error("a note longer than a slot: written")
	}
	if _, err := parseSlot(make([]byte, slotSize)); err == nil {
		t.Error("zeros are a slot")
	}
}
