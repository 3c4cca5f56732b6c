package log_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

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
	nodes []*inode // by number
	left  int      // changes until the fault; negative: none
	eio   bool     // the fault is one failed call, not loss of power
	dead  bool
	bad   *badSync // the sync that will fail; nil: none
	trace *trace   // of all that is done from now on; nil: nobody asked
}

// An inode's bytes are never changed in place: disks that were forked from one
// another share them.
type inode struct {
	number int
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

// A trace is what was done to a disk, one op after the other.
type trace struct {
	ops    []op
	before func() // is called before each op, while nobody else runs; nil: nothing
}

// An op is one change to a disk, such that the same ops done to the same disk
// lead to the same disk.
type op struct {
	kind     opKind
	name, to string // a path
	node     int    // number of an inode
	write    write
}

type opKind string

// Kinds of ops, and what of an op they use.
const (
	opCreate  opKind = "create"   // name
	opWrite   opKind = "write"    // node, write
	opSync    opKind = "sync"     // node
	opLose    opKind = "lose"     // node: a sync that failed
	opRename  opKind = "rename"   // name, to
	opRemove  opKind = "remove"   // name
	opSyncDir opKind = "sync dir" // name
	opSyncAll opKind = "sync all" // name
	opLoseAll opKind = "lose all" // name: a sync all that failed
)

func (o op) String() string {
	switch o.kind {
	case opCreate, opRemove, opSyncDir, opSyncAll, opLoseAll:
		return fmt.Sprintf("%s %s", o.kind, o.name)
	case opRename:
		return fmt.Sprintf("rename %s %s", o.name, o.to)
	case opWrite:
		if o.write.data == nil {
			return fmt.Sprintf("truncate #%d %d", o.node, o.write.off)
		}
		return fmt.Sprintf("write #%d at %d: %d bytes", o.node, o.write.off, len(o.write.data))
	}
	return fmt.Sprintf("%s #%d", o.kind, o.node)
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

// A badSync is the sync of a file or directory whose name ends so, after some
// that are well.
type badSync struct {
	suffix string
	after  int
}

// failSync has a sync fail, once.
func (d *memDisk) failSync(suffix string, after int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad = &badSync{suffix, after}
}

// spoilt reports whether the sync that was to fail has failed.
func (d *memDisk) spoilt() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bad == nil
}

// spoils reports whether the sync of so named a thing is the one that fails.
func (d *memDisk) spoils(name string) bool {
	switch {
	case d.bad == nil || !strings.HasSuffix(name, d.bad.suffix):
		return false
	case d.bad.after > 0:
		d.bad.after--
		return false
	}
	d.bad = nil
	return true
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

// pace lets all others run until they wait for the disk or for the time: what
// a finished op allows has then happened before the next one.
func (d *memDisk) pace() {
	d.mu.Lock()
	traced := d.trace != nil
	d.mu.Unlock()
	if !traced {
		return
	}
	time.Sleep(time.Nanosecond)
	d.mu.Lock()
	before := d.trace.before
	d.mu.Unlock()
	if before != nil {
		before()
	}
}

// record begins a trace; the disk is used in a synctest bubble.
func (d *memDisk) record() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trace = &trace{}
}

// before has f called before each op of the trace; nil: nothing.
func (d *memDisk) before(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.trace != nil {
		d.trace.before = f
	}
}

// position returns the number of ops in the trace.
func (d *memDisk) position() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.trace.ops)
}

// restart is what another process finds on a running machine.
func (d *memDisk) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.bad, d.held = -1, nil, map[string]bool{}
}

// do does an op, and writes it into the trace.
func (d *memDisk) do(o op) {
	if d.trace != nil {
		d.trace.ops = append(d.trace.ops, o)
	}
	switch o.kind {
	case opCreate:
		n := &inode{number: len(d.nodes)}
		d.nodes = append(d.nodes, n)
		d.set(o.name, n)
	case opWrite:
		n := d.nodes[o.node]
		n.data = apply(n.data, o.write)
		n.writes = append(n.writes, o.write)
	case opSync:
		n := d.nodes[o.node]
		n.syncs++
		n.flush()
	case opLose:
		d.nodes[o.node].lose()
	case opRename:
		// One change as far as a crash is concerned would need a journal entry
		// of two names; a file under both is the worse case.
		d.set(o.to, d.names[o.name])
		d.set(o.name, nil)
	case opRemove:
		d.set(o.name, nil)
	case opSyncDir:
		d.sync(func(name string) bool { return filepath.Dir(name) == o.name })
	case opSyncAll:
		below := func(name string) bool { return strings.HasPrefix(name, o.name+"/") }
		d.sync(below)
		d.each(below, (*inode).flush)
	case opLoseAll:
		d.each(func(name string) bool { return strings.HasPrefix(name, o.name+"/") }, (*inode).lose)
	}
}

func (d *memDisk) each(within func(string) bool, do func(*inode)) {
	for name, n := range d.names {
		if within(name) {
			do(n)
		}
	}
}

func (d *memDisk) set(name string, n *inode) {
	if d.names[name] = n; n == nil {
		delete(d.names, name)
	}
	d.done = append(d.done, change{name, n})
}

// sync makes names durable.
func (d *memDisk) sync(within func(string) bool) {
	var rest []change
	for _, c := range d.done {
		if !within(c.name) {
			rest = append(rest, c)
		} else if d.stale[c.name] = c.node; c.node == nil {
			delete(d.stale, c.name)
		}
	}
	d.done = rest
}

// flush brings to the disk what is not counted as clean.
func (n *inode) flush() {
	n.synced = apply(n.synced, n.writes...)
	n.writes = nil
}

// lose has what was not synced count as clean.
func (n *inode) lose() { n.writes = nil }

// apply returns the bytes after some writes.
func apply(data []byte, writes ...write) []byte {
	if len(writes) == 0 {
		return data
	}
	size, most := int64(len(data)), int64(len(data))
	for _, w := range writes {
		if w.data == nil {
			size = w.off
		} else {
			size = max(size, w.off+int64(len(w.data)))
		}
		most = max(most, size)
	}
	out := append(make([]byte, 0, most), data...)
	for _, w := range writes {
		switch end := w.off + int64(len(w.data)); {
		case w.data == nil && w.off <= int64(len(out)):
			out = out[:w.off]
		case end > int64(len(out)):
			old := len(out)
			out = out[:end]
			clear(out[old:])
		}
		copy(out[w.off:], w.data)
	}
	return out
}

// fork returns the same disk, with all that is pending, for another process.
func (d *memDisk) fork() *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	other := newDisk()
	for _, n := range d.nodes {
		own := *n
		own.writes = slices.Clone(n.writes)
		other.nodes = append(other.nodes, &own)
	}
	same := func(n *inode) *inode {
		if n == nil {
			return nil
		}
		return other.nodes[n.number]
	}
	for name, n := range d.names {
		other.names[name] = same(n)
	}
	for name, n := range d.stale {
		other.stale[name] = same(n)
	}
	for _, c := range d.done {
		other.done = append(other.done, change{c.name, same(c.node)})
	}
	return other
}

// A fate is what a loss of power leaves of what was not synced.
type fate interface {
	// changes returns how many of the changes to a directory are left, of n.
	changes(dir string, n int) int
	// write returns what is left of a write.
	write(name string, w write) []write
}

// after returns what is found when power is back.
func (d *memDisk) after(f fate) *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	byDir := map[string][]change{}
	for _, c := range d.done {
		dir := filepath.Dir(c.name)
		byDir[dir] = append(byDir[dir], c)
	}
	names := maps.Clone(d.stale)
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		for _, c := range byDir[dir][:f.changes(dir, len(byDir[dir]))] {
			if names[c.name] = c.node; c.node == nil {
				delete(names, c.name)
			}
		}
	}
	after := newDisk()
	twins := map[*inode]*inode{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old := names[name]
		n := twins[old]
		if n == nil {
			var left []write
			for _, w := range old.writes {
				left = append(left, f.write(name, w)...)
			}
			n = &inode{number: len(after.nodes), data: apply(old.synced, left...)}
			n.synced = n.data
			twins[old] = n
			after.nodes = append(after.nodes, n)
		}
		after.names[name] = n
	}
	after.stale = maps.Clone(after.names)
	return after
}

// nothing is the fate of what nobody had synced.
type nothing struct{}

func (nothing) changes(string, int) int     { return 0 }
func (nothing) write(string, write) []write { return nil }

// everything is as if all had been synced in time.
type everything struct{}

func (everything) changes(_ string, n int) int     { return n }
func (everything) write(_ string, w write) []write { return []write{w} }

// chance leaves anything.
type chance struct{ *rand.Rand }

func (rng chance) changes(_ string, n int) int {
	for i := range n {
		if rng.IntN(4) == 0 {
			return i
		}
	}
	return n
}

func (rng chance) write(_ string, w write) []write {
	switch rng.IntN(3) {
	case 0:
		return []write{w}
	case 1:
		return torn(w, rng.Rand)
	}
	return nil
}

// torn returns some blocks of a write: any, or the first ones.
func torn(w write, rng *rand.Rand) (left []write) {
	first, ends := rng.IntN(2) == 0, rng.IntN(len(w.data)+1)
	for at := 0; at < len(w.data); {
		end := min(at+64-int(w.off+int64(at))%64, len(w.data))
		if first && end <= ends || !first && rng.IntN(2) == 0 {
			left = append(left, write{w.off + int64(at), w.data[at:end]})
		}
		at = end
	}
	return left
}

// crash returns what may be found when power is back.
func (d *memDisk) crash(rng *rand.Rand) *memDisk { return d.after(chance{rng}) }

func (d *memDisk) Open(name string, create bool) (log.File, error) {
	if create {
		d.pace()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errPower
	}
	if d.names[name] == nil {
		if !create {
			return nil, fs.ErrNotExist
		}
		if err := d.step(); err != nil {
			return nil, err
		}
		d.do(op{kind: opCreate, name: name})
	}
	return &memFile{d, d.names[name], name}, nil
}

// try does an op unless it is the one that fails.
func (d *memDisk) try(o op) error {
	d.pace()
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.step()
	if err == nil && (o.kind == opSyncDir || o.kind == opSyncAll) && d.spoils(o.name) {
		err = errIO
	}
	switch {
	case err == nil:
		d.do(o)
	case err == errIO && o.kind == opSyncAll:
		d.do(op{kind: opLoseAll, name: o.name})
	}
	return err
}

func (d *memDisk) has(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.names[name] != nil
}

func (d *memDisk) Rename(from, to string) error {
	if !d.has(from) {
		return fs.ErrNotExist
	}
	return d.try(op{kind: opRename, name: from, to: to})
}

func (d *memDisk) Remove(name string) error {
	if !d.has(name) {
		return nil
	}
	return d.try(op{kind: opRemove, name: name})
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

func (d *memDisk) SyncDir(dir string) error { return d.try(op{kind: opSyncDir, name: dir}) }

func (d *memDisk) SyncAll(dir string) error { return d.try(op{kind: opSyncAll, name: dir}) }

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

type memFile struct {
	d    *memDisk
	n    *inode
	name string // it was opened by
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
	f.d.pace()
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.dead {
		return errPower
	}
	// A write that fails may still have got somewhere.
	f.d.do(op{kind: opWrite, node: f.n.number, write: w})
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
	f.d.pace()
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err := f.d.step()
	if err == nil && f.d.spoils(f.name) {
		err = errIO
	}
	switch err {
	case nil:
		f.d.do(op{kind: opSync, node: f.n.number})
	case errIO:
		f.d.do(op{kind: opLose, node: f.n.number})
	}
	return err
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
