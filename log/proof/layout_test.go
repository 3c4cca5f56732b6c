package proof_test

import (
	"bytes"
	"fmt"
	"testing"

	"plastron/log/proof"
)

// shape returns the width of every tile and bundle of a tree, leaf by leaf.
func shape(size uint64) map[string]int {
	widths := map[string]int{}
	at := func(level int, n uint64) string { return fmt.Sprint(level, " ", n/proof.TileWidth) }
	for i := range size {
		widths[at(proof.Entries, i)]++
		for level, n := 0, i; ; level, n = level+1, n/proof.TileWidth {
			widths[at(level, n)]++
			if n%proof.TileWidth != proof.TileWidth-1 {
				break
			}
		}
	}
	return widths
}

// TestGrown compares tiles with those that are filled leaf by leaf.
func TestGrown(t *testing.T) {
	t.Parallel()
	sizes := []uint64{0, 1, 2, 255, 256, 257, 511, 512, 65535, 65536, 65537, 66000}
	for i, from := range sizes {
		before := shape(from)
		for _, to := range sizes[i:] {
			after, grown := shape(to), map[string]int{}
			last := proof.Tile{Level: proof.Entries}
			for tile := range proof.Grown(from, to) {
				at := fmt.Sprint(tile.Level, " ", tile.Index)
				if grown[at] = tile.Width; after[at] != tile.Width || before[at] == tile.Width || proof.WidthAt(tile.Level, tile.Index, from) != before[at] {
					t.Errorf("%d to %d: %+v, was %d, is %d", from, to, tile, before[at], after[at])
				}
				if tile.Level < last.Level || tile.Level == last.Level && tile.Index < last.Index {
					t.Errorf("%d to %d: %+v comes after %+v", from, to, tile, last)
				}
				last = tile
			}
			for at, width := range after {
				if before[at] != width && grown[at] != width {
					t.Errorf("%d to %d: tile %s of width %d is left out", from, to, at, width)
				}
			}
		}
	}
	for range proof.Grown(0, 1000) {
		break // is taken at its word
	}
}

func TestCutTile(t *testing.T) {
	t.Parallel()
	entries := [][]byte{[]byte("a"), bytes.Repeat([]byte("b"), 300), []byte("cc")}
	bundle, err := proof.MarshalBundle(entries)
	if err != nil {
		t.Fatal(err)
	}
	tile := bytes.Repeat([]byte{7}, 3*proof.HashSize)
	for width := 1; width <= 3; width++ {
		want, err := proof.MarshalBundle(entries[:width])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := proof.CutTile(proof.Entries, bundle, width); err != nil || !bytes.Equal(got, want) {
			t.Errorf("bundle cut to %d: %d bytes, %v", width, len(got), err)
		}
		if got, err := proof.CutTile(0, tile, width); err != nil || len(got) != width*proof.HashSize {
			t.Errorf("tile cut to %d: %d bytes, %v", width, len(got), err)
		}
	}
	for n := range bundle {
		if _, err := proof.CutTile(proof.Entries, bundle[:n], 3); err == nil {
			t.Errorf("bundle of %d of %d bytes: not refused", n, len(bundle))
		}
	}
	for n := range tile {
		if _, err := proof.CutTile(2, tile[:n], 3); err == nil {
			t.Errorf("tile of %d bytes: not refused", n)
		}
	}
}

func TestTileRoot(t *testing.T) {
	t.Parallel()
	tree, tile := proof.NewRange(), []byte{}
	for i := range proof.TileWidth {
		h := proof.LeafHash([]byte{byte(i)})
		tree.Append(h, nil)
		tile = append(tile, h[:]...)
	}
	if root, err := proof.TileRoot(tile); err != nil || root != tree.Root() {
		t.Errorf("root %s, %v; want %s", root, err, tree.Root())
	}
	for _, b := range [][]byte{nil, tile[:len(tile)-1], tile[proof.HashSize:], append(tile, 0)} {
		if _, err := proof.TileRoot(b); err == nil {
			t.Errorf("tile of %d bytes: not refused", len(b))
		}
	}
}
