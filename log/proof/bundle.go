package proof

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MarshalBundle returns an entry bundle (C2SP tlog-tiles): for each of 1 to
// 256 entries its length in two bytes, big-endian, and its bytes.
func MarshalBundle(entries [][]byte) ([]byte, error) {
	if len(entries) < 1 || len(entries) > TileWidth {
		return nil, fmt.Errorf("entry bundle of %d entries: want 1 to %d", len(entries), TileWidth)
	}
	var b []byte
	for i, e := range entries {
		if len(e) > MaxEntry {
			return nil, fmt.Errorf("entry bundle: entry %d of %d bytes: longer than %d", i, len(e), MaxEntry)
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(e))), e...)
	}
	return b, nil
}

// ParseBundle reads an entry bundle of exactly width entries. They share
// memory with b, and are not verified: their leaf hashes can be.
func ParseBundle(b []byte, width int) ([][]byte, error) {
	if width < 1 || width > TileWidth {
		return nil, fmt.Errorf("entry bundle of width %d: want 1 to %d", width, TileWidth)
	}
	entries := make([][]byte, width)
	for i := range entries {
		if len(b) < 2 {
			return nil, fmt.Errorf("entry bundle: ends before entry %d of %d", i, width)
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; len(b) < n {
			return nil, fmt.Errorf("entry bundle: ends within entry %d of %d", i, width)
		}
		entries[i], b = b[:n:n], b[n:]
	}
	if len(b) > 0 {
		return nil, errors.New("entry bundle: surplus bytes")
	}
	return entries, nil
}
