package log_test

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"plastron/log"
)

var states = flag.Int("states", 100_000, "how many crash states TestStates tries")

// statesEach is how many states TestStates tries of one history.
const statesEach = 2_500

// statesLife is how many states are tried of one life, if it has so many.
const statesLife = 500

// TestStates opens the log on every disk that a loss of power can leave. The
// changes that a log makes to its disk in several lives are written down once;
// then, after each of them, the power fails: of what was written and not synced
// all is there, or nothing, or any part of it, and of what was done to a
// directory a part, in order. On each such disk the log opens, has what anybody
// had been told until then, and goes on. One log in four has a witness, which
// does not forget.
func TestStates(t *testing.T) {
	t.Parallel()
	want := *states
	if (slow || testing.Short()) && !given("states") {
		want /= 40
	}
	defer debug.SetGCPercent(debug.SetGCPercent(800)) // much garbage, no heap
	n := (want + statesEach - 1) / statesEach
	var all tally
	ran := 0
	t.Run("history", func(t *testing.T) {
		for seed := range n {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				x := explorer{seed: uint64(seed), want: min(statesEach, want-seed*statesEach), all: &all}
				x.explore(t)
			})
			ran++
		}
	})
	if all.states.Load() < int64(want) && !t.Failed() && !given("test.run") {
		t.Errorf("only %d states were tried, want %d", all.states.Load(), want)
	}
	t.Logf("%d states tried, after %d changes to the disk in %d histories; %d distinct disks, %d repeated ones skipped",
		all.states.Load(), all.changes.Load(), ran, all.images.Load(), all.repeated.Load())
}

// given reports whether a flag is on the command line.
func given(name string) (is bool) {
	flag.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}

// A tally counts what was tried.
type tally struct{ states, images, repeated, changes atomic.Int64 }

// An explorer tries the crash states of one history: lives that follow each
// other, each on a disk that the one before may have left.
type explorer struct {
	seed uint64
	want int // states
	all  *tally

	h               *history
	rng             *rand.Rand
	tried           int
	fresh, repeated int                // of one pass
	seen            map[uint64]outcome // by hash of a disk
}

// An outcome is what a disk that was tried led to.
type outcome struct {
	contents
	promised int // number of promises it was compared with
}

// livesEach is how many lives a log has.
const livesEach = 3

func (x *explorer) explore(t *testing.T) {
	x.rng = rand.New(rand.NewPCG(x.seed, 2))
	for x.tried < x.want {
		x.h = newHistory(t)
		if x.rng.IntN(4) == 0 {
			x.h.watch(t)
		}
		disk := newDisk()
		for last := range livesEach {
			x.h.load = x.load(last == livesEach-1)
			l := x.record(t, disk)
			x.h.t = t
			disk = x.crashes(l, min(x.want, x.tried+statesLife))
		}
	}
}

// load is little: a state costs as much as its log is long.
func (x *explorer) load(last bool) load {
	l := load{clients: 2, appends: 3, entry: 50, blob: 500, burst: 1e9}
	if x.rng.IntN(6) == 0 {
		l.blob = 6000 // longer than a segment
	}
	if last && x.rng.IntN(24) == 0 {
		l.burst = 1
	}
	return l
}

// A timed is a promise and the number of ops before it.
type timed struct {
	after int
	promise
}

// A life is what one or two processes did to a disk, and what they let out.
type life struct {
	disk  *memDisk // at first
	kept  promises // that were made before
	ops   []op
	added []timed
}

// record lets a log live on a disk. A sync or another change may fail, and the
// next process may begin before the power does.
func (x *explorer) record(t *testing.T, disk *memDisk) (l life) {
	h := x.h
	l = life{disk: disk.fork(), kept: h.clone()}
	synctest.Test(t, func(t *testing.T) {
		h.t = t
		if h.witness != nil {
			s := h.server(t)
			defer s.Close()
			h.witness.via = asked{h, s}
		}
		disk.record()
		h.tell = func(p promise) { l.added = append(l.added, timed{disk.position(), p}) }
		if x.rng.IntN(3) == 0 {
			if x.rng.IntN(2) == 0 {
				disk.fault(x.rng.IntN(120), true)
			} else {
				disk.failSync("", x.rng.IntN(40))
			}
			h.life(disk, x.rng)
			disk.restart()
		}
		h.life(disk, x.rng)
		h.tell = nil
	})
	l.ops = disk.trace.ops
	x.all.changes.Add(int64(len(l.ops)))
	return l
}

// crashes tries states after each op of a life until there were enough, and
// returns the disk for the next life: one that lost power, or one whose process
// was killed.
func (x *explorer) crashes(l life, enough int) *memDisk {
	var next *memDisk
	var kept promises
	chosen := x.rng.IntN(len(l.ops) + 1)
	x.seen = map[uint64]outcome{}
	for pass := 0; pass == 0 || x.tried < enough && x.fresh > x.repeated; pass++ {
		x.fresh, x.repeated = 0, 0
		disk := l.disk.fork()
		x.h.promises = l.kept.clone()
		rest := l.added
		for at := 0; ; at++ {
			for len(rest) > 0 && rest[0].after == at {
				if err := x.h.add(rest[0].promise); err != nil {
					x.h.t.Fatal(err)
				}
				rest = rest[1:]
			}
			if pass == 0 && at == chosen {
				kept, next = x.h.clone(), disk.fork()
				if x.rng.IntN(3) > 0 {
					next = next.crash(x.rng)
				}
			}
			if pass == 0 || x.tried < enough {
				x.crash(l, disk, at, len(l.added)-len(rest), pass)
			}
			if at == len(l.ops) {
				break
			}
			disk.do(l.ops[at])
		}
	}
	x.h.promises = kept
	return next
}

// crash tries states at one point: at first everything kept, everything lost,
// and each pending change alone lost or torn or kept; then whatever comes.
func (x *explorer) crash(l life, disk *memDisk, at, promised, pass int) {
	for _, f := range x.fates(disk, pass) {
		image := disk.after(f)
		sum := image.sum()
		was, known := x.seen[sum]
		if known && was.promised == promised {
			x.repeated++
			x.all.repeated.Add(1)
			continue
		}
		x.tried++
		x.all.states.Add(1)
		if known { // the same bytes, of which more is demanded
			x.explain(l, image, at, f, func() { x.h.locked(image); x.h.keeps(was.contents) })
		} else {
			x.fresh++
			x.all.images.Add(1)
			x.explain(l, image, at, f, func() { was.contents = x.open(image) })
		}
		was.promised = promised
		x.seen[sum] = was
	}
}

// explain says more of a state if what is done there fails.
func (x *explorer) explain(l life, image *memDisk, at int, f fate, do func()) {
	h := x.h
	defer func() {
		if h.t.Failed() {
			h.t.Logf("seed %d, after %d of %d ops, %v; the last ones:", x.seed, at, len(l.ops), f)
			for i, o := range l.ops[max(0, at-30):at] {
				h.t.Log(max(0, at-30)+i, o)
			}
			h.t.Log("the disk:", image)
			h.t.FailNow()
		}
	}()
	do()
}

// exhaust is up to how many ways out of what is pending on the log's own files
// are all tried.
const exhaust = 24

// fates returns what may become of a disk. The first time: everything and
// nothing is left; every combination of what may become of the log's own files,
// or some if they are many, with everything, nothing or anything left of the
// tiles. Later: anything.
func (x *explorer) fates(disk *memDisk, pass int) (all []fate) {
	ways := disk.ways()
	if pass > 0 {
		for range min(ways, 4) {
			all = append(all, byKind{&pick{n: x.rng.IntN(ways), rng: x.rng}, chance{x.rng}})
		}
		return all
	}
	all = []fate{everything{}, nothing{}}
	for i := range min(ways, exhaust) {
		n := i
		if ways > exhaust {
			n = x.rng.IntN(ways)
		}
		tiles := []fate{everything{}, nothing{}, chance{x.rng}}[x.rng.IntN(3)]
		all = append(all, byKind{&pick{n: n, rng: x.rng}, tiles})
	}
	return all
}

// ways returns the number of ways out of what is pending on the log's own
// files, and at most a million.
func (d *memDisk) ways() int {
	n := 1
	dirs := map[string]int{}
	for _, c := range d.done {
		dirs[filepath.Dir(c.name)]++
	}
	for dir, changes := range dirs {
		if !derived(dir) {
			n = min(n*(changes+1), 1e6)
		}
	}
	counted := map[*inode]bool{}
	for _, names := range []map[string]*inode{d.names, d.stale} {
		for name, node := range names {
			if derived(name) || counted[node] {
				continue
			}
			counted[node] = true
			for range node.writes {
				n = min(n*3, 1e6)
			}
		}
	}
	return n
}

// derived reports whether a file or directory is below the tiles directory.
func derived(name string) bool { return strings.HasPrefix(name, "/data/tiles") }

// open looks whether a log on such a disk keeps its promises, and goes on.
func (x *explorer) open(image *memDisk) contents {
	h := x.h
	if h.witness != nil {
		h.witness.via = shown{h.cosigned}
	}
	h.locked(image)
	opened, err := log.Open(h.t.Context(), h.options(image))
	if err != nil {
		h.t.Fatalf("does not start: %v", err)
	}
	got := h.check(opened)
	if x.tried%8 == 0 {
		x.goOn(opened, image)
	} else if err := opened.Close(); err != nil {
		h.t.Fatalf("close: %v", err)
	}
	return got
}

// goOn appends, and loses power once more.
func (x *explorer) goOn(opened *log.Log, image *memDisk) {
	h := x.h
	entry, blob := "after the crash", []byte("its blob")
	if x.rng.IntN(2) == 0 {
		entry, blob = "after the crash, in the next segment", make([]byte, 4096)
	}
	c := log.Conditions{Decided: opened.Size()}
	h.asked[entry], h.blobs[entry] = c, blob
	size := opened.Size()
	if err := x.append(opened, entry, c, blob); err != nil {
		h.t.Fatalf("append at %d: %v", size, err)
	}
	again := image.after(nothing{})
	if err := opened.Close(); err != nil {
		h.t.Fatalf("close: %v", err)
	}
	opened, err := log.Open(h.t.Context(), h.options(again))
	if err != nil {
		h.t.Fatalf("does not start a second time: %v", err)
	}
	h.check(opened)
	if e, err := opened.Entry(size); err != nil || string(e.Entry) != entry {
		h.t.Fatalf("appended after the crash and gone after the next one: %v", err)
	}
	if err := opened.Close(); err != nil {
		h.t.Fatalf("close: %v", err)
	}
}

// append appends an entry, and does not wait for a witness that cosigns nothing.
func (x *explorer) append(l *log.Log, entry string, c log.Conditions, blob []byte) error {
	ctx, cancel := context.WithCancel(x.h.t.Context())
	defer cancel()
	size := l.Size()
	if x.h.witness != nil {
		go func() { // ends when the entry is durable
			for l.Size() == size && l.Err() == nil {
				runtime.Gosched()
			}
			cancel()
		}()
	}
	r, err := l.Append(ctx, []byte(entry), c, blob)
	var late *log.QuorumError
	switch {
	case x.h.witness != nil && errors.As(err, &late) && late.Index == size:
	case err != nil:
		return err
	case r.Index() != size:
		return fmt.Errorf("it got the index %d", r.Index())
	}
	return nil
}

// sum returns a hash of all names and bytes.
func (d *memDisk) sum() uint64 {
	var h maphash.Hash
	h.SetSeed(hashSeed)
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		h.WriteString(name)
		h.WriteByte(0)
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(len(d.names[name].data)))
		h.Write(b[:])
		h.Write(d.names[name].data)
	}
	return h.Sum64()
}

var hashSeed = maphash.MakeSeed()

func (d *memDisk) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		fmt.Fprintf(&b, "\n#%d %s: %d bytes", d.names[name].number, name, len(d.names[name].data))
	}
	return b.String()
}

// A byKind fate differs by what a thing is: below the tiles directory, or of the
// log itself.
type byKind struct{ log, tiles fate }

func (m byKind) of(name string) fate {
	if derived(name) {
		return m.tiles
	}
	return m.log
}

func (m byKind) changes(dir string, n int) int      { return m.of(dir).changes(dir, n) }
func (m byKind) write(name string, w write) []write { return m.of(name).write(name, w) }
func (m byKind) String() string                     { return fmt.Sprintf("log %v, tiles %v", m.log, m.tiles) }

// A pick is one of all the fates of a small number of pending things: it takes
// them in turn, each with its number of ways out.
type pick struct {
	n   int // which
	rng *rand.Rand
	was []string
}

// way returns the way out of the next thing that has so many.
func (p *pick) way(of int) (way int) {
	way, p.n = p.n%of, p.n/of
	return way
}

func (p *pick) changes(dir string, n int) int {
	left := p.way(n + 1)
	p.was = append(p.was, fmt.Sprintf("%s %d/%d", filepath.Base(dir), left, n))
	return left
}

func (p *pick) write(name string, w write) (left []write) {
	way := p.way(3)
	switch {
	case way == 1:
		left = []write{w}
	case way == 2 && w.data != nil:
		left = torn(w, p.rng)
	}
	p.was = append(p.was, fmt.Sprintf("%s@%d %d", filepath.Base(name), w.off, len(left)))
	return left
}

func (p *pick) String() string { return strings.Join(p.was, ", ") }
