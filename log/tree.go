package log

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"plastron/log/proof"
)

// A tree is the Merkle tree of the entries: its right edge in memory, the rest
// in the tiles on disk. It holds 32 bytes for each entry that is not in a
// published tile yet, and less than a tile a level beyond that. It may hold
// leaves that are not durable yet; who asks for a size that is durable does not
// see them.
type tree struct {
	fs  FS
	dir string // of tiles

	mu    sync.RWMutex // guards all below
	edge  *proof.Range
	tiles []hashes // by tile level: hashes of the nodes of tree level 8 * level
}

// hashes are the nodes of one level from the index base on, which begins a tile.
type hashes struct {
	base  uint64
	nodes []proof.Hash
}

func newTree(fs FS, dir string) *tree {
	return &tree{fs: fs, dir: dir, edge: proof.NewRange()}
}

// append adds a leaf.
func (t *tree) append(leaf proof.Hash) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.edge.Append(leaf, func(level uint, _ uint64, h proof.Hash) {
		if level%proof.TileHeight != 0 {
			return
		}
		l := int(level / proof.TileHeight)
		if l == len(t.tiles) {
			t.tiles = append(t.tiles, hashes{})
		}
		t.tiles[l].nodes = append(t.tiles[l].nodes, h)
	})
}

func (t *tree) size() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.edge.Size()
}

func (t *tree) root() proof.Hash {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.edge.Root()
}

// trim forgets what is in full tiles of the tree of that size, which are on
// disk.
func (t *tree) trim(size uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range t.tiles {
		h := &t.tiles[l]
		if full := size >> (l * proof.TileHeight) &^ (proof.TileWidth - 1); full > h.base {
			// A new array: the old one would keep what was cut off.
			h.nodes = append([]proof.Hash(nil), h.nodes[full-h.base:]...)
			h.base = full
		}
	}
}

// ReadTile returns the first width hashes of a tile, from memory or disk. What
// comes from the disk must hash to what the level above has, and that in the
// end to what is in memory: no damaged tile gets into a proof.
func (t *tree) ReadTile(ctx context.Context, level int, index uint64, width int) ([]byte, error) {
	if b := t.fromMemory(level, index, width); b != nil {
		return b, nil
	}
	path := proof.TilePath(level, index, proof.TileWidth)
	b, err := readAll(t.fs, filepath.Join(t.dir, path))
	if err != nil {
		return nil, err
	}
	parent := int(index % proof.TileWidth)
	above, err := t.ReadTile(ctx, level+1, index/proof.TileWidth, parent+1)
	if err != nil {
		return nil, err
	}
	if root, err := proof.TileRoot(b); err != nil || root != proof.Hash(above[parent*proof.HashSize:]) {
		return nil, fmt.Errorf("%s on disk is damaged: remove the tiles directory and start again, all of it is derived from the segments", path)
	}
	return b[:width*proof.HashSize], nil
}

func (t *tree) fromMemory(level int, index uint64, width int) []byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if level < 0 || level >= len(t.tiles) {
		return nil
	}
	h := t.tiles[level]
	first := index * proof.TileWidth
	if first < h.base || first+uint64(width) > h.base+uint64(len(h.nodes)) {
		return nil
	}
	b := make([]byte, 0, width*proof.HashSize)
	for _, n := range h.nodes[first-h.base:][:width] {
		b = append(b, n[:]...)
	}
	return b
}

// readAll returns the bytes of a file.
func readAll(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if n > 0 {
		if _, err := f.ReadAt(b, 0); err != nil {
			return nil, err
		}
	}
	return b, nil
}
