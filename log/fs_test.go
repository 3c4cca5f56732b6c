package log_test

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"plastron/log"
)

// A memDisk is a file system that can lose power. What was written and not
// synced may then be there, or not, or in part: each block of 64 bytes for
// itself. Of what was done to a directory and not synced a part is there, in
// order. A sync that fails leaves, as on Linux, pages that read as written,
// count as clean, and never get to the disk.
type memDisk struct {
	mu    sync.Mutex // guards all below
	names map[string]*inode
	held  map[string]bool
	done  []change // to names, in order, not yet synced
	stale map[string]*inode
	left  int  // changes until the fault; negative: none
	eio   bool // the fault is one failed call, not loss of power
	dead  bool
}

type inode struct {
	data   []byte  // as read
	synced []byte  // as on the disk
	writes []write // since then
	syncs  int     // that were asked for
}

// A write with nil data is a truncation to size off.
type write struct {
	off  int64
	data []byte
}

// A change is a name that now means another inode, or none.
type change struct {
	name string
	node *inode
}

var (
	errPower = errors.New("power lost")
	errIO    = errors.New("input/output error")
)

func newDisk() *memDisk {
	return &memDisk{names: map[string]*inode{}, stale: map[string]*inode{}, held: map[string]bool{}, left: -1}
}

// fault makes the change after the next n fail.
func (d *memDisk) fault(n int, eio bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.eio = n, eio
}

// healthy reports whether no fault lies ahead.
func (d *memDisk) healthy() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left < 0 && !d.dead
}

func (d *memDisk) lost() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

// step counts a change. It reports an error if that is the one that fails.
func (d *memDisk) step() error {
	switch {
	case d.dead:
		return errPower
	case d.left < 0:
	case d.left > 0:
		d.left--
	case d.eio:
		d.left = -1
		return errIO
	default:
		d.dead = true
		return errPower
	}
	return nil
}

// restart is what another process finds on a running machine.
func (d *memDisk) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.held = -1, map[string]bool{}
}

// crash returns what is found when power is back.
func (d *memDisk) crash(rng *rand.Rand) *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := maps.Clone(d.stale)
	cut := map[string]bool{} // directories whose later changes are lost
	for _, c := range d.done {
		dir := filepath.Dir(c.name)
		if cut[dir] = cut[dir] || rng.IntN(4) == 0; cut[dir] {
			continue
		}
		if names[c.name] = c.node; c.node == nil {
			delete(names, c.name)
		}
	}
	after := newDisk()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		data := names[name].survive(rng)
		after.names[name] = &inode{data: data, synced: slices.Clone(data)}
	}
	after.stale = maps.Clone(after.names)
	return after
}

func (n *inode) survive(rng *rand.Rand) []byte {
	data := slices.Clone(n.synced)
	for _, w := range n.writes {
		switch rng.IntN(3) {
		case 0:
			data = apply(data, w)
		case 1: // some blocks
			for at := 0; at < len(w.data); {
				end := min(at+64-int(w.off+int64(at))%64, len(w.data))
				if rng.IntN(2) == 0 {
					data = apply(data, write{w.off + int64(at), w.data[at:end]})
				}
				at = end
			}
		}
	}
	return data
}

func apply(data []byte, w write) []byte {
	if w.data == nil {
		return resize(data, w.off)
	}
	if end := w.off + int64(len(w.data)); end > int64(len(data)) {
		data = resize(data, end)
	}
	copy(data[w.off:], w.data)
	return data
}

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size]
	}
	return append(data, make([]byte, size-int64(len(data)))...)
}

func (d *memDisk) set(name string, n *inode) {
	if d.names[name] = n; n == nil {
		delete(d.names, name)
	}
	d.done = append(d.done, change{name, n})
}

func (d *memDisk) Open(name string, create bool) (log.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errPower
	}
	n := d.names[name]
	if n == nil {
		if !create {
			return nil, fs.ErrNotExist
		}
		if err := d.step(); err != nil {
			return nil, err
		}
		n = &inode{}
		d.set(name, n)
	}
	return &memFile{d, n}, nil
}

func (d *memDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	n := d.names[from]
	if n == nil {
		return fs.ErrNotExist
	}
	// One change as far as a crash is concerned would need a journal entry of
	// two names; a file under both is the worse case.
	d.set(to, n)
	d.set(from, nil)
	return nil
}

func (d *memDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil || d.names[name] == nil {
		return err
	}
	d.set(name, nil)
	return nil
}

func (d *memDisk) List(dir string) (names []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errPower
	}
	for name := range d.names {
		if below, ok := strings.CutPrefix(name, dir+"/"); ok {
			first, _, _ := strings.Cut(below, "/")
			names = append(names, first)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (d *memDisk) SyncDir(dir string) error {
	return d.sync(func(name string) bool { return filepath.Dir(name) == dir }, false)
}

func (d *memDisk) SyncAll(dir string) error {
	return d.sync(func(name string) bool { return strings.HasPrefix(name, dir+"/") }, true)
}

func (d *memDisk) sync(within func(string) bool, data bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	var rest []change
	for _, c := range d.done {
		if !within(c.name) {
			rest = append(rest, c)
		} else if d.stale[c.name] = c.node; c.node == nil {
			delete(d.stale, c.name)
		}
	}
	d.done = rest
	for name, n := range d.names {
		if data && within(name) {
			n.flush()
		}
	}
	return nil
}

func (d *memDisk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held[name] {
		return nil, errors.New("held by another process")
	}
	d.held[name] = true
	return held{d, name}, nil
}

type held struct {
	d    *memDisk
	name string
}

func (h held) Close() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	delete(h.d.held, h.name)
	return nil
}

// flush brings to the disk what is not counted as clean.
func (n *inode) flush() {
	for _, w := range n.writes {
		n.synced = apply(n.synced, w)
	}
	n.writes = nil
}

type memFile struct {
	d *memDisk
	n *inode
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.dead {
		return 0, errPower
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) write(w write) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.dead {
		return errPower
	}
	// A write that fails may still have got somewhere.
	f.n.data = apply(f.n.data, w)
	f.n.writes = append(f.n.writes, w)
	return f.d.step()
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.write(write{off, slices.Clone(b)}); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (f *memFile) Truncate(size int64) error { return f.write(write{off: size}) }

func (f *memFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step(); err != nil {
		if err == errIO {
			f.n.writes = nil
		}
		return err
	}
	f.n.syncs++
	f.n.flush()
	return nil
}

// syncs returns how often a file was synced.
func (d *memDisk) syncs(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[name].syncs
}

func (f *memFile) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.n.data)), nil
}

func (f *memFile) Close() error { return nil }
