package provenance

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"plastron/log/proof"
)

// Bounds on what is remembered of transparency logs. Anyone can have a genuine
// log sign a checkpoint of a size of its own, by logging an entry, and show it
// in a bundle that holds. Were the oldest forgotten first, whoever means to show
// two faces of a log could first push out the one we saw; which one goes is
// therefore chance's to say, and the newest of a tree always stays. Where a
// tree's tiles can be read ([TileLog]) sizes that are proven go first: each is a
// prefix of a later one, which stands for it.
const (
	maxSightings = 4096 // sizes of one tree
	maxShards    = 64   // trees of one key: Rekor v1 starts another every year or so
)

// A treeID names one tree: a log's key signs one tree under each origin.
type treeID struct {
	key    [32]byte // SHA-256 of the SubjectPublicKeyInfo
	origin string   // in its checkpoints
}

// A checkpoint is a root that a log's key signed; whoever makes one has checked
// the signature.
type checkpoint struct {
	tree treeID
	size uint64
	root proof.Hash
}

// A sighting is a checkpoint, once met.
type sighting struct {
	size   uint64
	root   proof.Hash
	since  time.Time // when it was first met, by our clock, in seconds
	proven bool      // a prefix of a later sighting's tree, by the log's own tiles
}

// treeMemory is what is known of one tree.
type treeMemory struct {
	seen []sighting
	at   map[uint64]int // index in seen, by size
	fork *fork          // nil while the log says one thing
}

// A fork is found once and for ever: two roots that both are the log's word.
type fork struct {
	since time.Time
	how   string // one line
}

// logMemory remembers the checkpoints of transparency logs. Only those that
// verified come here.
type logMemory struct {
	mu     sync.Mutex // guards all below
	now    func() time.Time
	trees  map[treeID]*treeMemory
	shards map[[32]byte]int // trees of each key
	dirty  bool             // something is not on disk
	forked func(treeID, *fork)
}

func newLogMemory() *logMemory {
	return &logMemory{now: time.Now, trees: make(map[treeID]*treeMemory), shards: make(map[[32]byte]int), forked: func(treeID, *fork) {}}
}

// meet remembers checkpoints, all or none. It refuses them where the log is
// known to be forked, or where it signed another root for one of the sizes:
// then it is forked from now on, for of two signed roots nobody can tell which
// is true.
func (m *logMemory) meet(cs []checkpoint) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now().UTC().Truncate(time.Second)
	for _, c := range cs {
		if err := m.contradicted(c, now); err != nil {
			return err
		}
	}
	for _, c := range cs {
		m.tree(c.tree).add(c, now, &m.dirty)
	}
	return nil
}

// contradicted is nil if c may be remembered; mu is held.
func (m *logMemory) contradicted(c checkpoint, now time.Time) error {
	t := m.trees[c.tree]
	if t == nil {
		if n := m.shards[c.tree.key]; n >= maxShards {
			return fmt.Errorf("log %q is the key's tree number %d, want at most %d: its key signs ever new trees", c.tree.origin, n+1, maxShards)
		}
		return nil
	}
	if t.fork != nil {
		return t.fork.refusal(c.tree.origin)
	}
	i, known := t.at[c.size]
	if !known || t.seen[i].root == c.root {
		return nil
	}
	s := t.seen[i]
	m.markForked(c.tree, &fork{now, fmt.Sprintf("it signed root %s for size %d, and another, %s, is known since %s", c.root, c.size, s.root, stamp(s.since))})
	return t.fork.refusal(c.tree.origin)
}

// markForked notes a fork, the first for good; mu is held.
func (m *logMemory) markForked(id treeID, f *fork) {
	if t := m.tree(id); t.fork == nil {
		t.fork, m.dirty = f, true
		m.forked(id, f)
	}
}

func (f *fork) refusal(origin string) error {
	return fmt.Errorf("log %q shows two faces and is refused since %s: %s", origin, stamp(f.since), f.how)
}

// refused tells why nothing of these trees is believed any more, nil if it is.
func (m *logMemory) refused(ids []treeID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if t := m.trees[id]; t != nil && t.fork != nil {
			return t.fork.refusal(id.origin)
		}
	}
	return nil
}

// tree is the memory of a tree, new if need be; mu is held.
func (m *logMemory) tree(id treeID) *treeMemory {
	t := m.trees[id]
	if t == nil {
		t = &treeMemory{at: make(map[uint64]int)}
		m.trees[id] = t
		m.shards[id.key]++
	}
	return t
}

// add remembers c, which does not contradict what is known.
func (t *treeMemory) add(c checkpoint, now time.Time, dirty *bool) {
	if _, known := t.at[c.size]; known {
		return
	}
	if len(t.seen) >= maxSightings {
		t.forget()
	}
	t.at[c.size] = len(t.seen)
	t.seen = append(t.seen, sighting{size: c.size, root: c.root, since: now})
	*dirty = true
}

// forget makes room for one sighting: a proven one if there is, and never the
// largest.
func (t *treeMemory) forget() {
	largest, start := t.largest(), rand.IntN(len(t.seen))
	i := start
	for k := range t.seen {
		at := (start + k) % len(t.seen)
		if t.seen[at].size == largest {
			continue
		}
		if i = at; t.seen[at].proven {
			break
		}
	}
	delete(t.at, t.seen[i].size)
	last := len(t.seen) - 1
	if i != last {
		t.seen[i] = t.seen[last]
		t.at[t.seen[i].size] = i
	}
	t.seen = t.seen[:last]
}

func (t *treeMemory) largest() (size uint64) {
	for i := range t.seen {
		size = max(size, t.seen[i].size)
	}
	return size
}

// unproven are the sightings that are not yet shown to be prefixes of a later
// one, up to size most, smallest first.
func (m *logMemory) unproven(id treeID, most uint64) (out []sighting) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.trees[id]; t != nil {
		for _, s := range t.seen {
			if !s.proven && s.size <= most {
				out = append(out, s)
			}
		}
	}
	sortSightings(out)
	return out
}

// prove notes that the tree of a remembered size is a prefix of a later one.
func (m *logMemory) prove(id treeID, size uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.trees[id]; t != nil {
		if i, known := t.at[size]; known {
			t.seen[i].proven = true
		}
	}
}

// diverge notes that the log's own tiles prove a fork.
func (m *logMemory) diverge(id treeID, how string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.markForked(id, &fork{m.now().UTC().Truncate(time.Second), how})
}

// newest is the largest size met of a tree.
func (m *logMemory) newest(id treeID) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.trees[id]; t != nil {
		return t.largest()
	}
	return 0
}

// checkpoints are those under which the entries of a verified bundle are.
func (t *trial) checkpoints() (out []checkpoint) {
	for i := range t.ev.shape.Material.Entries {
		e := &t.ev.shape.Material.Entries[i]
		origin, _, _ := strings.Cut(e.Proof.Checkpoint.Envelope, "\n")
		out = append(out, checkpoint{treeID{t.log(e).key, origin}, uint64(e.Proof.TreeSize), proof.Hash(e.Proof.RootHash)})
	}
	return out
}

func treesOf(cs []checkpoint) (out []treeID) {
	for _, c := range cs {
		out = append(out, c.tree)
	}
	return out
}

func compareTrees(a, b treeID) int {
	return cmp.Or(cmp.Compare(string(a.key[:]), string(b.key[:])), cmp.Compare(a.origin, b.origin))
}
