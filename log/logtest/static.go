package logtest

import (
	"os"
	"path/filepath"
	"testing"

	"plastron/log/proof"
)

// A Static is a log of nothing but files, as C2SP tlog-tiles has them: large in
// no time, and as dishonest as a test wants it. No witness cosigns it.
type Static struct {
	Dir    string
	Signer *proof.Signer
	Policy *proof.Policy

	tree   *proof.Range
	tiles  [][]byte // by level: the tile that is filling
	bundle [][]byte // the bundle that is filling
}

// NewStatic returns an empty log in a temporary directory.
func NewStatic(t testing.TB) *Static {
	t.Helper()
	s := &Static{Dir: t.TempDir(), Signer: Signer(t, "log.example/static"), tree: proof.NewRange()}
	s.Policy = Policy(t, s.Signer, 0)
	return s
}

// Append adds entries. Readers see them with Publish.
func (s *Static) Append(t testing.TB, entries ...[]byte) {
	t.Helper()
	for _, e := range entries {
		index := s.tree.Size()
		s.tree.Append(proof.LeafHash(e), func(level uint, i uint64, h proof.Hash) {
			if level%8 == 0 {
				s.node(t, int(level/8), i, h)
			}
		})
		if s.bundle = append(s.bundle, e); len(s.bundle) == proof.TileWidth {
			s.writeBundle(t, index/proof.TileWidth)
			s.bundle = nil
		}
	}
}

func (s *Static) node(t testing.TB, level int, index uint64, h proof.Hash) {
	t.Helper()
	for len(s.tiles) <= level {
		s.tiles = append(s.tiles, nil)
	}
	if s.tiles[level] = append(s.tiles[level], h[:]...); len(s.tiles[level]) == proof.TileWidth*proof.HashSize {
		s.Write(t, proof.TilePath(level, index/proof.TileWidth, proof.TileWidth), s.tiles[level])
		s.tiles[level] = nil
	}
}

func (s *Static) writeBundle(t testing.TB, index uint64) {
	t.Helper()
	b, err := proof.MarshalBundle(s.bundle)
	if err != nil {
		t.Fatal(err)
	}
	s.Write(t, proof.BundlePath(index, len(s.bundle)), b)
}

// Publish writes the partial tiles and signs the checkpoint of all entries.
func (s *Static) Publish(t testing.TB) {
	t.Helper()
	size := s.tree.Size()
	for level, tile := range s.tiles {
		if len(tile) > 0 {
			s.Write(t, proof.TilePath(level, size>>(8*level)/proof.TileWidth, len(tile)/proof.HashSize), tile)
		}
	}
	if len(s.bundle) > 0 {
		s.writeBundle(t, size/proof.TileWidth)
	}
	note, err := s.Signer.Sign(proof.Checkpoint{Origin: s.Policy.Origin(), Size: size, Root: s.tree.Root()})
	if err != nil {
		t.Fatal(err)
	}
	s.Write(t, "checkpoint", note)
}

// Write writes one file of the log.
func (s *Static) Write(t testing.TB, path string, b []byte) {
	t.Helper()
	file := filepath.Join(s.Dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Read reads one file of the log.
func (s *Static) Read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Dir, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
