package log_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
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
	t      *testing.T
	signer *proof.Signer
	policy *proof.Policy

	mu     sync.Mutex                // guards all below
	asked  map[string]log.Conditions // by entry
	blobs  map[string][]byte         // by entry
	acked  map[uint64]string         // entries with a receipt
	roots  map[uint64]proof.Hash     // of every checkpoint seen
	spent  map[proof.Hash]uint64     // by acknowledged entries
	unique int
}

func newHistory(t *testing.T) *history {
	s := logtest.Signer(t, "log.example/crash")
	return &history{
		t: t, signer: s, policy: logtest.Policy(t, s, 0),
		asked: map[string]log.Conditions{}, blobs: map[string][]byte{}, acked: map[uint64]string{},
		roots: map[uint64]proof.Hash{}, spent: map[proof.Hash]uint64{},
	}
}

func (h *history) options(d *memDisk) log.Options {
	return log.Options{
		Dir: "/data", Lock: "/lock", FS: d, Segment: 4096,
		Signer: h.signer, Policy: h.policy, Logger: slog.New(slog.DiscardHandler),
	}
}

// saw remembers a checkpoint that got out.
func (h *history) saw(note []byte) {
	if note == nil {
		return
	}
	opened, err := h.policy.OpenCheckpoint(note)
	if err != nil {
		h.t.Error(err)
		return
	}
	c := opened.Checkpoint()
	if root, ok := h.roots[c.Size]; ok && root != c.Root {
		h.t.Errorf("size %d has two roots", c.Size)
	}
	h.roots[c.Size] = c.Root
}

// live appends until the disk fails or enough is done.
func (h *history) live(l *log.Log, rng *rand.Rand) {
	var wg sync.WaitGroup
	for range 1 + rng.IntN(3) {
		seed := rng.Uint64()
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 0))
			for range rng.IntN(8) {
				if !h.append(l, rng) {
					return
				}
				time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	if rng.IntN(8) == 0 {
		for range 300 { // one batch, and full tiles
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
	entry := fmt.Sprintf("%d %x", h.unique, make([]byte, rng.IntN(600)))
	c := log.Conditions{Decided: log.Unconditional, Barrier: rng.IntN(10) == 0}
	if rng.IntN(2) == 0 {
		c.Decided = l.Size()
	}
	for range rng.IntN(3) {
		c.Spent = append(c.Spent, proof.LeafHash(fmt.Append(nil, rng.IntN(200))))
	}
	var blob []byte
	if rng.IntN(2) == 0 {
		blob = bytes.Repeat([]byte{byte(rng.IntN(5))}, 1+rng.IntN(6000))
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
		h.acked[r.Index()] = entry
		h.saw(r.Proof().Checkpoint)
		for _, k := range c.Spent {
			h.spent[k] = r.Index()
		}
		if _, err := r.Open(h.policy); err != nil {
			h.t.Error(err)
		}
	}
	return true
}

// check compares a log that has just been opened with what got out of its
// former lives.
func (h *history) check(l *log.Log) {
	h.t.Helper()
	tree, n := proof.NewRange(), uint64(0)
	spent := map[proof.Hash]uint64{}
	for e, err := range l.Entries(h.t.Context(), 0) {
		if err != nil {
			h.t.Fatal(err)
		}
		c, ok := h.asked[string(e.Entry)]
		if !ok || c.Decided != e.Conditions.Decided || c.Barrier != e.Conditions.Barrier || len(c.Spent) != len(e.Conditions.Spent) {
			h.t.Fatalf("entry %d was never appended like that: %+v", e.Index, e.Conditions)
		}
		if want, ok := h.acked[n]; ok && want != string(e.Entry) {
			h.t.Fatalf("entry %d is not the one that was acknowledged", n)
		}
		for _, b := range e.Blobs {
			if got, err := l.Blob(b); err != nil || !bytes.Equal(got, h.blobs[string(e.Entry)]) {
				h.t.Fatalf("blob of entry %d: %d bytes, %v", n, len(got), err)
			}
		}
		for _, k := range e.Conditions.Spent {
			if by, twice := spent[k]; twice {
				h.t.Fatalf("entries %d and %d spend one key", by, n)
			}
			spent[k] = n
			if by, ok := l.Spent(k); !ok || by != n {
				h.t.Fatalf("key spent by %d: Spent says %d, %t", n, by, ok)
			}
		}
		n++
		tree.Append(proof.LeafHash(e.Entry), nil)
		if root, ok := h.roots[n]; ok && root != tree.Root() {
			h.t.Fatalf("size %d had another root once", n)
		}
	}
	for index := range h.acked {
		if index >= n {
			h.t.Fatalf("entry %d was acknowledged and is gone; size %d", index, n)
		}
	}
	for size := range h.roots {
		if size > n {
			h.t.Fatalf("size %d was signed and seen; size %d", size, n)
		}
	}
	for k, by := range h.spent {
		if spent[k] != by {
			h.t.Fatalf("key was spent by entry %d, now by %d", by, spent[k])
		}
	}
	h.saw(l.Checkpoint())
	h.served(l)
}

// served reads all that the published checkpoint promises and compares it with
// the entries.
func (h *history) served(l *log.Log) {
	h.t.Helper()
	get := func(path string) []byte {
		w := httptest.NewRecorder()
		l.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/"+path, nil))
		if w.Code != http.StatusOK {
			h.t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
		}
		return w.Body.Bytes()
	}
	if l.Checkpoint() == nil {
		return
	}
	note := get("checkpoint")
	h.saw(note)
	c, err := h.policy.OpenSigned(note)
	if err != nil {
		h.t.Fatal(err)
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
	c, err := h.policy.OpenSigned(note)
	if err != nil || c.Size < newest {
		h.t.Fatalf("the lock has size %d, size %d got out; %v", c.Size, newest, err)
	}
}

// life opens the log on a disk with a fault ahead, uses it and leaves.
func (h *history) life(d *memDisk, rng *rand.Rand) {
	l, err := log.Open(h.t.Context(), h.options(d))
	if errors.Is(err, errPower) || errors.Is(err, errIO) {
		return
	}
	if err != nil {
		h.t.Fatalf("does not start again: %v", err)
	}
	defer l.Close() // fails if the disk has
	h.saw(l.Checkpoint())
	if d.healthy() {
		h.check(l)
	}
	h.live(l, rng)
	h.saw(l.Checkpoint())
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
