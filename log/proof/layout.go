package proof

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// A Tile names a tile of hashes, or with level [Entries] a bundle, of a width.
type Tile struct {
	Level int
	Index uint64
	Width int // 1 to 256
}

// Path returns [TilePath] of the tile.
func (t Tile) Path() string { return TilePath(t.Level, t.Index, t.Width) }

// WidthAt returns how many hashes of a tile, or entries of a bundle, the tree of
// that size has: 0 to 256.
func WidthAt(level int, index, size uint64) int {
	if level != Entries {
		size >>= TileHeight * level
	}
	first := index * TileWidth
	if size <= first {
		return 0
	}
	return int(min(TileWidth, size-first))
}

// Grown returns the bundles and tiles of the tree of size to that the tree of
// size from does not have, or not as wide, from <= to: bundles first, then level
// by level upwards, each by its index, so that what a tile is made of comes
// before it.
func Grown(from, to uint64) iter.Seq[Tile] {
	return func(yield func(Tile) bool) {
		for level := Entries; level <= 63/TileHeight; level++ {
			for index := from >> (TileHeight * max(level, 0)) / TileWidth; ; index++ {
				width := WidthAt(level, index, to)
				if width == 0 {
					break
				}
				if width > WidthAt(level, index, from) && !yield(Tile{level, index, width}) {
					return
				}
			}
		}
	}
}

// CutTile returns the first width hashes of a tile, or with level [Entries] the
// first width entries of a bundle, each with the length before it: a wider tile
// begins with the narrower one. It refuses bytes that have less.
func CutTile(level int, b []byte, width int) ([]byte, error) {
	end := width * HashSize
	if level == Entries {
		end = 0
		for range width {
			if len(b) < end+2 {
				return nil, fmt.Errorf("bundle of %d bytes has less than %d entries", len(b), width)
			}
			end += 2 + int(binary.BigEndian.Uint16(b[end:]))
		}
	}
	if len(b) < end {
		return nil, fmt.Errorf("tile or bundle of %d bytes, want at least %d for a width of %d", len(b), end, width)
	}
	return b[:end], nil
}

// TileRoot returns the root of the tree over the hashes of a full tile, which is
// the hash that the level above has of it. It refuses a tile that is not full.
func TileRoot(b []byte) (Hash, error) {
	if len(b) != TileWidth*HashSize {
		return Hash{}, fmt.Errorf("tile of %d bytes, want %d: it is not full", len(b), TileWidth*HashSize)
	}
	r := NewRange()
	for ; len(b) > 0; b = b[HashSize:] {
		r.Append(Hash(b), nil)
	}
	return r.Root(), nil
}
