package provenance

import (
	"container/list"
	"sync"
	"time"
)

const (
	memoSize = 4096      // builds, of about 3 kB each
	memoLife = time.Hour // so that a verdict does not outlive the reader's patience by much
)

// memoKey names a question: these bytes, about this artifact. The trust roots
// are the verifier's, which holds the memo.
type memoKey struct {
	bundle   [32]byte // SHA-256 of the bundle as sent
	artifact Digest
}

// A memo remembers verdicts that held. Refusals are not kept: they cost the
// sender more than us, and an attacker could make any number of them.
type memo struct {
	size int
	life time.Duration

	mu   sync.Mutex                // guards what follows
	byID map[memoKey]*list.Element // of *remembered
	used *list.List                // latest first
}

type remembered struct {
	key   memoKey
	build *Build
	until time.Time
}

func newMemo(size int, life time.Duration) *memo {
	return &memo{size: size, life: life, byID: make(map[memoKey]*list.Element), used: list.New()}
}

// get is the build for the key, or nil.
func (m *memo) get(key memoKey) *Build {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.byID[key]
	if !ok {
		return nil
	}
	r := e.Value.(*remembered)
	if !time.Now().Before(r.until) {
		m.drop(e)
		return nil
	}
	m.used.MoveToFront(e)
	return r.build
}

func (m *memo) put(key memoKey, b *Build) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.byID[key]; ok {
		m.drop(e)
	}
	m.byID[key] = m.used.PushFront(&remembered{key, b, time.Now().Add(m.life)})
	for m.used.Len() > m.size {
		m.drop(m.used.Back())
	}
}

// drop forgets e; mu is held.
func (m *memo) drop(e *list.Element) {
	delete(m.byID, e.Value.(*remembered).key)
	m.used.Remove(e)
}
