package witness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"plastron/log/proof"
)

// A mirror is the copy of one log: a directory that is laid out as C2SP
// tlog-tiles. Of each bundle and tile the widest that was had is kept; narrower
// ones are cut from it.
type mirror struct {
	dir    string
	policy *proof.Policy // of the log alone

	uploads chan struct{}         // one place for each upload in hand
	shown   atomic.Pointer[shown] // the mirror checkpoint; nil: none
	next    atomic.Uint64         // the first entry that is not on disk; written under mu
	stopped atomic.Bool           // the disk failed or the server closed

	mu      sync.Mutex // guards what follows, and the files
	pending []pending  // checkpoints up to which entries are taken, ascending by size
}

// shown is the checkpoint up to which the mirror serves.
type shown struct {
	size uint64
	note []byte // with the log's signature and the mirror's
}

// pending is a checkpoint that extends all before it.
type pending struct {
	proof.Checkpoint
	note []byte // with the log's signature
}

const (
	// maxPending is how many checkpoints back an upload may lead.
	maxPending = 16
	// maxUploads bounds the uploads of one log at once; each holds one package,
	// of at most 16 MiB.
	maxUploads = 4
	// maxBehind is how far before what it lacks a mirror takes entries again.
	maxBehind = 32 * proof.TileWidth
)

// openMirror finds out what is on the disk. Bundles are durable before anybody
// is told of them, so that what lies there in a row is what the mirror has; the
// tiles must have the root of the checkpoint it signed.
func openMirror(dir string, p *proof.Policy, latest proof.Checkpoint, note []byte) (*mirror, error) {
	m := &mirror{dir: filepath.Join(dir, originHash(p.Origin())), policy: p, uploads: make(chan struct{}, maxUploads)}
	if err := makeDir(m.dir); err != nil {
		return nil, err
	}
	var size uint64
	held, err := os.ReadFile(filepath.Join(m.dir, "checkpoint"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		c, err := p.OpenSigned(held)
		if err != nil {
			return nil, fmt.Errorf("mirror checkpoint: %w", err)
		}
		if c.Size > latest.Size {
			return nil, fmt.Errorf("the mirror has signed size %d, and the state is at size %d: it was rolled back", c.Size, latest.Size)
		}
		if err := m.sound(c); err != nil { // partial tiles are not synced
			if err := errors.Join(m.mend(c.Size), m.sound(c)); err != nil {
				return nil, err
			}
		}
		size = c.Size
		m.shown.Store(&shown{c.Size, held})
	}
	if note != nil {
		m.pending = []pending{{latest, note}}
	}
	next, err := m.count(size)
	if err != nil {
		return nil, err
	}
	if next < size {
		return nil, fmt.Errorf("%s holds %d entries of %d that were signed for: bring back an undamaged copy", m.dir, next, size)
	}
	m.next.Store(min(next, latest.Size))
	return m, nil
}

// sound compares the tiles with a checkpoint.
func (m *mirror) sound(c proof.Checkpoint) error {
	root, err := proof.Root(context.Background(), diskTiles{m}, c.Size)
	if err != nil {
		return fmt.Errorf("tiles in %s: %w", m.dir, err)
	}
	if root != c.Root {
		return fmt.Errorf("tiles in %s have the root %s for size %d, and the checkpoint %s", m.dir, root, c.Size, c.Root)
	}
	return nil
}

// mend makes the partial tiles of the tree of that size anew, from bundles and
// full tiles.
func (m *mirror) mend(size uint64) error {
	for level := 0; size>>(proof.TileHeight*level) > 0; level++ {
		index := size >> (proof.TileHeight * level) / proof.TileWidth
		width := proof.WidthAt(level, index, size)
		if err := os.RemoveAll(m.path(level, index, proof.TileWidth) + ".p"); err != nil {
			return err
		}
		if width == 0 {
			continue
		}
		if err := m.tile(level, index, width, 0); err != nil {
			return fmt.Errorf("tiles in %s: %w", m.dir, err)
		}
	}
	return nil
}

// count returns how many entries are there without a gap; before from there is
// none.
func (m *mirror) count(from uint64) (uint64, error) {
	index := from / proof.TileWidth
	for {
		width, err := m.widest(proof.Entries, index)
		if err != nil || width < proof.TileWidth {
			return index*proof.TileWidth + uint64(width), err
		}
		index++
	}
}

// size returns the size of the mirror checkpoint.
func (m *mirror) size() uint64 {
	if s := m.shown.Load(); s != nil {
		return s.size
	}
	return 0
}

// learn takes a checkpoint that extends all before it.
func (m *mirror) learn(c proof.Checkpoint, note []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, known := slices.BinarySearchFunc(m.pending, c.Size, func(p pending, size uint64) int {
		return cmpSize(p.Size, size)
	})
	if known {
		return
	}
	m.pending = slices.Insert(m.pending, i, pending{c, note})
	if len(m.pending) > maxPending {
		m.pending = slices.Clone(m.pending[len(m.pending)-maxPending:])
	}
}

func cmpSize(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// find returns the checkpoint of that size, if entries up to it are taken.
func (m *mirror) find(size uint64) (pending, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pending {
		if p.Size == size && size >= m.size() {
			return p, true
		}
	}
	return pending{}, false
}

// stands returns where the mirror stands, for a client that uploads up to end.
func (m *mirror) stands(end uint64) info {
	i := info{size: end, next: m.next.Load()}
	if _, ok := m.find(end); ok {
		return i
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i.size = 0
	if n := len(m.pending); n > 0 {
		i.size = m.pending[n-1].Size
	}
	return i
}

// verify refuses a package that is not part of the checkpoint. What of its
// bundle comes before it is on the disk.
func (m *mirror) verify(p pack, up pending) error {
	tree := proof.NewRange()
	if p.base() < p.first {
		held, err := m.bundle(p.base()/proof.TileWidth, int(p.first-p.base()))
		if err != nil {
			return err
		}
		for _, e := range held {
			tree.Append(proof.LeafHash(e), nil)
		}
	}
	for _, e := range p.entries {
		tree.Append(proof.LeafHash(e), nil)
	}
	if err := proof.VerifySubtree(p.base(), p.end(), up.Size, p.hashes, tree.Root(), up.Root); err != nil {
		return &unproven{err}
	}
	return nil
}

// unproven refuses entries that are not those of the log.
type unproven struct{ error }

// save makes the entries of a verified package durable, but for those that are
// already. Two packages of one place hold the same entries: both were verified.
func (m *mirror) save(p pack) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.next.Load()
	switch {
	case m.stopped.Load():
		return errStopped
	case p.end() <= next:
		return nil
	}
	index := p.base() / proof.TileWidth
	var entries [][]byte
	if next > p.base() {
		held, err := m.bundle(index, int(next-p.base()))
		if err != nil {
			return m.fail(err)
		}
		entries = held
	}
	b, err := proof.MarshalBundle(append(entries, p.entries[next-p.first:]...))
	if err != nil {
		return err
	}
	if err := m.put(proof.Entries, index, int(p.end()-p.base()), b); err != nil {
		return m.fail(err)
	}
	// From here a crash loses the answer, not the entries. The tile of a full
	// bundle is made here and not with the checkpoint, for there may be thousands.
	m.next.Store(p.end())
	if p.end()-p.base() == proof.TileWidth {
		if err := m.tile(0, index, proof.TileWidth, proof.WidthAt(0, index, m.size())); err != nil {
			return m.fail(err)
		}
	}
	return nil
}

// commit serves the log up to a checkpoint whose entries are all there, and
// returns the mirror's signatures on it. Full tiles are durable before it is
// signed, and the signed checkpoint is before anybody has the signature.
func (m *mirror) commit(up pending, sign func(note []byte) ([]byte, error)) (lines []byte, ok bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch size := m.size(); {
	case m.stopped.Load():
		return nil, false, errStopped
	case up.Size < size:
		return nil, false, nil
	case up.Size > size:
		if err := m.derive(size, up.Size); err != nil {
			return nil, false, m.fail(err)
		}
		if err := m.sound(up.Checkpoint); err != nil {
			return nil, false, m.fail(err)
		}
	}
	if lines, err = sign(up.note); err != nil {
		return nil, false, err
	}
	note := slices.Concat(up.note, lines)
	if err := replace(filepath.Join(m.dir, "checkpoint"), note, true); err != nil {
		return nil, false, m.fail(err)
	}
	m.shown.Store(&shown{up.Size, note})
	return lines, true, nil
}

func (m *mirror) fail(err error) error {
	m.stopped.Store(true)
	return err
}
