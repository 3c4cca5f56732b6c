package log_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// A history is what has left the log in all its lives.
type history struct {
	t       *testing.T
	load    load
	signer  *proof.Signer
	policy  *proof.Policy
	witness *watcher // nil: none

	mu     sync.Mutex                // guards all below
	asked  map[string]log.Conditions // by entry
	blobs  map[string][]byte         // by entry
	unique int
	opened map[string]proof.Checkpoint // notes that were verified
	promises
	tell func(promise) // is told each promise when it is made; nil: nobody
}

// promises are what the log must keep.
type promises struct {
	acked map[uint64]string     // entries that were acknowledged or applied
	roots map[uint64]proof.Hash // of every checkpoint seen
	spent map[proof.Hash]uint64 // by those entries

	cosigned []byte // the checkpoint that the witness cosigned last; nil: none
}

// A promise is an entry that the log has given out, or a checkpoint.
type promise struct {
	index uint64
	entry string // "": none
	spent []proof.Hash
	size  uint64
	root  proof.Hash // the zero hash: none

	cosigned []byte // nil: none
}

func newPromises() promises {
	return promises{acked: map[uint64]string{}, roots: map[uint64]proof.Hash{}, spent: map[proof.Hash]uint64{}}
}

func (p promises) clone() promises {
	return promises{maps.Clone(p.acked), maps.Clone(p.roots), maps.Clone(p.spent), p.cosigned}
}

// add returns an error if one promise excludes another.
func (p *promises) add(n promise) error {
	if n.entry != "" {
		if old, ok := p.acked[n.index]; ok && old != n.entry {
			return fmt.Errorf("index %d was given to two entries", n.index)
		}
		p.acked[n.index] = n.entry
		for _, k := range n.spent {
			p.spent[k] = n.index
		}
	}
	if n.root != (proof.Hash{}) {
		if old, ok := p.roots[n.size]; ok && old != n.root {
			return fmt.Errorf("size %d has two roots", n.size)
		}
		p.roots[n.size] = n.root
	}
	if n.cosigned != nil {
		p.cosigned = n.cosigned
	}
	return nil
}

func newHistory(t *testing.T) *history {
	s := logtest.Signer(t, "log.example/crash")
	return &history{
		t: t, load: load{clients: 3, appends: 7, entry: 600, blob: 6000, burst: 8}, signer: s, policy: logtest.Policy(t, s, 0),
		asked: map[string]log.Conditions{}, blobs: map[string][]byte{},
		opened: map[string]proof.Checkpoint{}, promises: newPromises(),
	}
}

func (h *history) options(d *memDisk) log.Options {
	return log.Options{
		Dir: "/data", Lock: "/lock", FS: d, Segment: 4096,
		Signer: h.signer, Policy: h.policy, Witnesses: h.clients(), Logger: slog.New(slog.DiscardHandler),
	}
}

// promised takes note of a promise; h.mu is held.
func (h *history) promised(p promise) {
	if err := h.add(p); err != nil {
		h.t.Error(err)
	}
	if h.tell != nil {
		h.tell(p)
	}
}

// open verifies the log's signature on a checkpoint, once; h.mu is held.
func (h *history) open(note []byte) proof.Checkpoint {
	if c, ok := h.opened[string(note)]; ok {
		return c
	}
	c, err := h.policy.OpenSigned(note)
	if err != nil {
		h.t.Errorf("%v: %q", err, note)
		return c
	}
	h.opened[string(note)] = c
	return c
}

// saw remembers a checkpoint that got out.
func (h *history) saw(note []byte) {
	if note == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.open(note)
	h.promised(promise{size: c.Size, root: c.Root})
}

// told remembers an entry that somebody can have read.
func (h *history) told(e log.Stored) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.promised(promise{index: e.Index, entry: string(e.Entry), spent: slices.Clone(e.Conditions.Spent)})
}

// A load is how much a life appends, at most.
type load struct {
	clients, appends int // at least one client
	entry, blob      int // bytes
	burst            int // one life in so many ends with full tiles
}

// complete looks whether all is there that the checkpoint on the disk promises,
// as somebody sees it who reads the files of a running log.
func (h *history) complete(d *memDisk) {
	h.mu.Lock() // before the disk's, as whoever notes a promise takes them
	defer h.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	file := d.names["/data/tiles/checkpoint"]
	if file == nil {
		return
	}
	c, known := h.opened[string(file.data)]
	if !known {
		return // torn by a crash, and not yet replaced; what a log wrote was seen
	}
	size := c.Size
	for level, left := proof.Entries, size; left > 0; level++ {
		for index := uint64(0); index*proof.TileWidth < left; index++ {
			width := int(min(proof.TileWidth, left-index*proof.TileWidth))
			path := "/data/tiles/" + proof.TilePath(level, index, width)
			if d.names[path] == nil {
				h.t.Errorf("the checkpoint of size %d is there and %s is not", size, path)
			}
		}
		if level >= 0 {
			left /= proof.TileWidth
		}
	}
}

// live appends until the disk fails or enough is done.
func (h *history) live(l *log.Log, rng *rand.Rand) {
	var wg sync.WaitGroup
	for range 1 + rng.IntN(h.load.clients) {
		seed := rng.Uint64()
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 0))
			for range rng.IntN(h.load.appends + 1) {
				if !h.append(l, rng) {
					return
				}
				time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	if rng.IntN(h.load.burst) == 0 {
		for range 300 { // one batch
			seed := rng.Uint64()
			wg.Go(func() { h.append(l, rand.New(rand.NewPCG(seed, 0))) })
		}
		wg.Wait()
	}
	if rng.IntN(4) == 0 {
		time.Sleep(11 * time.Second) // the mark moves
	}
}

func (h *history) append(l *log.Log, rng *rand.Rand) bool {
	h.mu.Lock()
	h.unique++
	entry := fmt.Sprintf("%d %x", h.unique, make([]byte, rng.IntN(h.load.entry)))
	c := log.Conditions{Decided: log.Unconditional, Barrier: rng.IntN(10) == 0}
	if rng.IntN(2) == 0 {
		c.Decided = l.Size()
	}
	for range rng.IntN(3) {
		c.Spent = append(c.Spent, proof.LeafHash(fmt.Append(nil, rng.IntN(200))))
	}
	var blob []byte
	if rng.IntN(2) == 0 {
		blob = bytes.Repeat([]byte{byte(rng.IntN(5))}, 1+rng.IntN(h.load.blob))
	}
	h.asked[entry], h.blobs[entry] = c, blob
	h.mu.Unlock()
	var blobs [][]byte
	if blob != nil {
		blobs = append(blobs, blob)
	}
	r, err := l.Append(h.t.Context(), []byte(entry), c, blobs...)
	var spent *log.SpentError
	var stale *log.StaleError
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case errors.As(err, &spent):
		if by, ok := l.Spent(spent.Key); !ok || by != spent.Index {
			h.t.Errorf("key refused as spent by %d; Spent says %d, %t", spent.Index, by, ok)
		}
	case errors.As(err, &stale):
	case errors.Is(err, log.ErrPoisoned):
		return false
	case err != nil: // twice the same key
	default:
		seen := h.open(r.Proof().Checkpoint)
		h.promised(promise{index: r.Index(), entry: entry, spent: c.Spent, size: seen.Size, root: seen.Root})
		if _, err := r.Open(h.policy); err != nil {
			h.t.Error(err)
		}
	}
	return true
}

// check compares a log that has just been opened with what got out of its
// former lives, and returns what it is.
func (h *history) check(l *log.Log) contents {
	h.t.Helper()
	got := contents{roots: []proof.Hash{proof.EmptyRoot()}, spent: map[proof.Hash]uint64{}}
	tree := proof.NewRange()
	for e, err := range l.Entries(h.t.Context(), 0) {
		if err != nil {
			h.t.Fatal(err)
		}
		c, ok := h.asked[string(e.Entry)]
		if !ok || c.Decided != e.Conditions.Decided || c.Barrier != e.Conditions.Barrier || !slices.Equal(c.Spent, e.Conditions.Spent) {
			h.t.Fatalf("entry %d was never appended like that: %+v", e.Index, e.Conditions)
		}
		if want := h.blobs[string(e.Entry)]; (want != nil) != (len(e.Blobs) > 0) {
			h.t.Fatalf("entry %d has %d blobs", e.Index, len(e.Blobs))
		}
		for _, b := range e.Blobs {
			if got, err := l.Blob(b); err != nil || !bytes.Equal(got, h.blobs[string(e.Entry)]) {
				h.t.Fatalf("blob of entry %d: %d bytes, %v", e.Index, len(got), err)
			}
		}
		for _, k := range e.Conditions.Spent {
			if by, twice := got.spent[k]; twice {
				h.t.Fatalf("entries %d and %d spend one key", by, e.Index)
			}
			got.spent[k] = e.Index
			if by, ok := l.Spent(k); !ok || by != e.Index {
				h.t.Fatalf("key spent by %d: Spent says %d, %t", e.Index, by, ok)
			}
		}
		tree.Append(proof.LeafHash(e.Entry), nil)
		got.roots = append(got.roots, tree.Root())
		got.entries = append(got.entries, string(e.Entry))
	}
	if n := len(got.entries); uint64(n) != l.Size() {
		h.t.Fatalf("size %d, and %d entries", l.Size(), n)
	}
	h.keeps(got)
	h.served(l, got.roots)
	return got
}

// contents are what is in a log.
type contents struct {
	entries []string
	roots   []proof.Hash // by size
	spent   map[proof.Hash]uint64
}

// keeps compares the contents of a log with the promises.
func (h *history) keeps(got contents) {
	h.t.Helper()
	n := uint64(len(got.entries))
	for index, want := range h.acked {
		switch {
		case index >= n:
			h.t.Fatalf("entry %d was acknowledged and is gone; size %d", index, n)
		case got.entries[index] != want:
			h.t.Fatalf("entry %d is not the one that was acknowledged", index)
		}
	}
	for size, root := range h.roots {
		switch {
		case size > n:
			h.t.Fatalf("size %d was signed and seen; size %d", size, n)
		case got.roots[size] != root:
			h.t.Fatalf("size %d had another root once", size)
		}
	}
	for k, by := range h.spent {
		if now, ok := got.spent[k]; !ok || now != by {
			h.t.Fatalf("key was spent by entry %d, now by %d, %t", by, now, ok)
		}
	}
}

// served reads the newest checkpoints, which must have one of the roots, and
// all that the published one promises, and compares it with the entries.
func (h *history) served(l *log.Log, roots []proof.Hash) {
	h.t.Helper()
	get := func(path string) []byte {
		w := httptest.NewRecorder()
		l.Handler().ServeHTTP(w, &http.Request{Method: "GET", URL: &url.URL{Path: "/" + path}})
		if w.Code != http.StatusOK {
			h.t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
		}
		return w.Body.Bytes()
	}
	newest := l.Checkpoint()
	if newest == nil {
		return
	}
	var c proof.Checkpoint
	for _, note := range [][]byte{newest, get("checkpoint")} {
		h.mu.Lock()
		c = h.open(note)
		h.mu.Unlock()
		if c.Size >= uint64(len(roots)) || c.Root != roots[c.Size] {
			h.t.Fatalf("a checkpoint of size %d that is not the tree's", c.Size)
		}
	}
	var want [2][]byte // hashes of tile levels 0 and 1
	tile := proof.NewRange()
	for e, err := range l.Entries(h.t.Context(), 0) {
		if err != nil || e.Index == c.Size {
			break
		}
		leaf := proof.LeafHash(e.Entry)
		want[0] = append(want[0], leaf[:]...)
		if tile.Append(leaf, nil); tile.Size() == proof.TileWidth {
			root := tile.Root()
			want[1] = append(want[1], root[:]...)
			tile = proof.NewRange()
		}
	}
	for level, hashes := range want {
		for index := uint64(0); len(hashes) > 0; index++ {
			width := min(proof.TileWidth, len(hashes)/proof.HashSize)
			n := width * proof.HashSize
			if got := get(proof.TilePath(level, index, width)); !bytes.Equal(got, hashes[:n]) {
				h.t.Fatalf("tile %d of level %d is wrong", index, level)
			}
			if hashes = hashes[n:]; level > 0 {
				continue
			}
			entries, err := proof.ParseBundle(get(proof.BundlePath(index, width)), width)
			if err != nil {
				h.t.Fatal(err)
			}
			for i, e := range entries {
				if leaf := proof.LeafHash(e); !bytes.Equal(leaf[:], want[0][(int(index)*proof.TileWidth+i)*proof.HashSize:][:proof.HashSize]) {
					h.t.Fatalf("entry %d of bundle %d is wrong", i, index)
				}
			}
		}
	}
}

// locked looks into the lock after a crash: no checkpoint that got out may be
// newer, or a restored data directory could not be told from the newest.
func (h *history) locked(d *memDisk) {
	h.t.Helper()
	newest := uint64(0)
	for size := range h.roots {
		newest = max(newest, size)
	}
	if newest == 0 {
		return
	}
	note, err := log.LockNote(d.names["/lock/checkpoint"].data)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.open(note); c.Size < newest {
		h.t.Fatalf("the lock has size %d, size %d got out", c.Size, newest)
	}
}

// life opens the log on a disk with a fault ahead, uses it and leaves.
func (h *history) life(d *memDisk, rng *rand.Rand) {
	o, open := h.options(d), false
	o.Apply = func(e log.Stored) error {
		if open { // else the program does not run yet
			h.told(e)
		}
		return nil
	}
	l, err := log.Open(h.t.Context(), o)
	if errors.Is(err, errPower) || errors.Is(err, errIO) {
		return
	}
	if err != nil {
		h.t.Fatalf("does not start again: %v", err)
	}
	defer l.Close() // fails if the disk has
	open = true
	d.before(func() { h.look(l); h.complete(d) })
	defer d.before(nil)
	if d.healthy() {
		h.check(l)
	}
	for e, err := range l.Entries(h.t.Context(), 0) {
		if err != nil {
			break
		}
		h.told(e)
	}
	h.look(l)
	h.live(l, rng)
	h.look(l)
}

// look remembers what anybody can see who looks at a log now.
func (h *history) look(l *log.Log) {
	h.saw(l.Checkpoint())
	w := httptest.NewRecorder()
	if l.Handler().ServeHTTP(w, &http.Request{Method: "GET", URL: &url.URL{Path: "/checkpoint"}}); w.Code == http.StatusOK {
		h.saw(w.Body.Bytes())
	}
}

var histories = flag.Int("histories", 120, "how many histories TestCrash tries, of about six starts each")

// TestCrash loses power, or has a call fail, at any change to the disk in any
// of a log's lives, during recovery too, and looks whether the next life keeps
// what the former ones have promised.
func TestCrash(t *testing.T) {
	t.Parallel()
	for seed := range *histories {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(seed), 1))
			h := newHistory(t)
			d := newDisk()
			for range 5 {
				eio := rng.IntN(3) == 0
				d.fault(rng.IntN(120), eio)
				h.life(d, rng)
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
				if eio && !d.lost() {
					// Another process on the same machine, and then a crash.
					d.restart()
					h.life(d, rng)
				}
				d = d.crash(rng)
				h.locked(d)
			}
			h.life(d, rng)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
		if t.Failed() {
			return
		}
	}
}
