package witness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"plastron/log/proof"
)

// derive makes the tiles of the tree of size to that the tree of size from has
// not: each continues the one that is there.
func (m *mirror) derive(from, to uint64) error {
	for t := range proof.Grown(from, to) {
		if t.Level == proof.Entries {
			continue // they came with the entries
		}
		widest, err := m.widest(t.Level, t.Index)
		if err != nil {
			return err
		}
		if widest == proof.TileWidth {
			continue // it was made with its last entry, or before a crash
		}
		if err := m.tile(t.Level, t.Index, t.Width, proof.WidthAt(t.Level, t.Index, from)); err != nil {
			return err
		}
	}
	return nil
}

// tile makes one tile, of which the first had hashes are those that are there.
// What more may be there was not signed for, and a crash may have torn it.
func (m *mirror) tile(level int, index uint64, width, had int) (err error) {
	b := make([]byte, 0, width*proof.HashSize)
	if had > 0 {
		held, err := m.read(level, index, had)
		if err != nil {
			return err
		}
		b = append(b, held...)
	}
	var entries [][]byte
	if level == 0 {
		if entries, err = m.bundle(index, width); err != nil {
			return err
		}
	}
	for i := had; i < width; i++ {
		h, err := m.node(level, index*proof.TileWidth+uint64(i), entries, i)
		if err != nil {
			return err
		}
		b = append(b, h[:]...)
	}
	return m.put(level, index, width, b)
}

// node returns hash number n of a level of tiles.
func (m *mirror) node(level int, n uint64, entries [][]byte, i int) (proof.Hash, error) {
	if level == 0 {
		return proof.LeafHash(entries[i]), nil
	}
	b, err := m.read(level-1, n, proof.TileWidth)
	if err != nil {
		return proof.Hash{}, err
	}
	return proof.TileRoot(b)
}

// bundle reads the first width entries of a bundle.
func (m *mirror) bundle(index uint64, width int) ([][]byte, error) {
	b, err := m.read(proof.Entries, index, width)
	if err != nil {
		return nil, err
	}
	return proof.ParseBundle(b, width)
}

// path returns the file of a tile or bundle.
func (m *mirror) path(level int, index uint64, width int) string {
	return filepath.Join(m.dir, proof.TilePath(level, index, width))
}

// widest returns the width of the widest file of a tile or bundle, 0 if there
// is none.
func (m *mirror) widest(level int, index uint64) (int, error) {
	full := m.path(level, index, proof.TileWidth)
	if _, err := os.Stat(full); err == nil {
		return proof.TileWidth, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	names, err := os.ReadDir(full + ".p")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	most := 0
	for _, n := range names {
		if w, err := strconv.Atoi(n.Name()); err == nil && w < proof.TileWidth { // no .tmp
			most = max(most, w)
		}
	}
	return most, nil
}

// read returns the first width hashes or entries of a tile or bundle. One that
// grows while it is being looked for is looked for again.
func (m *mirror) read(level int, index uint64, width int) ([]byte, error) {
	for tries := 0; ; tries++ {
		widest, err := m.widest(level, index)
		if err != nil {
			return nil, err
		}
		if widest < width {
			return nil, fmt.Errorf("%s: %w", proof.TilePath(level, index, width), fs.ErrNotExist)
		}
		b, err := os.ReadFile(m.path(level, index, widest))
		if errors.Is(err, fs.ErrNotExist) && tries < 3 {
			continue
		}
		if err != nil {
			return nil, err
		}
		return proof.CutTile(level, b, width)
	}
}

// put writes a tile or bundle and removes narrower ones. It is durable then, but
// for a partial tile, which is made anew if a crash took it.
func (m *mirror) put(level int, index uint64, width int, b []byte) error {
	path := m.path(level, index, width)
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := replace(path, b, level == proof.Entries || width == proof.TileWidth); err != nil {
		return err
	}
	partials := m.path(level, index, proof.TileWidth) + ".p"
	names, err := os.ReadDir(partials)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, n := range names {
		if w, err := strconv.Atoi(n.Name()); err != nil || w < width {
			if err := os.Remove(filepath.Join(partials, n.Name())); err != nil {
				return err
			}
		}
	}
	if width == proof.TileWidth && err == nil {
		return os.Remove(partials)
	}
	return nil
}

// makeDir makes a directory and those above it that are not there, durably.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	above := filepath.Dir(dir)
	if err := makeDir(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(above)
}

// diskTiles reads the tiles of a mirror to build and check proofs.
type diskTiles struct{ *mirror }

func (t diskTiles) ReadTile(_ context.Context, level int, index uint64, width int) ([]byte, error) {
	return t.read(level, index, width)
}
