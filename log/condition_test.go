package log_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// TestSpentOnce lets a thousand appends spend one key at the same time.
func TestSpentOnce(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	mustAppend(t, l, "before")
	key := proof.LeafHash([]byte("a token"))
	var winners atomic.Uint64
	var mu sync.Mutex
	named := map[uint64]int{}
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			r, err := l.Append(t.Context(), fmt.Appendf(nil, "entry %d", i), log.Conditions{Decided: 1, Spent: []proof.Hash{{byte(i), byte(i >> 8), 1}, key}})
			var spent *log.SpentError
			switch {
			case err == nil:
				winners.Add(1)
				mu.Lock()
				named[r.Index()] += 0
				mu.Unlock()
			case errors.As(err, &spent) && spent.Key == key:
				mu.Lock()
				named[spent.Index]++
				mu.Unlock()
				if by, ok := l.Spent(key); !ok || by != spent.Index {
					t.Errorf("refused before entry %d was applied: Spent says %d, %t", spent.Index, by, ok)
				}
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if winners.Load() != 1 || len(named) != 1 {
		t.Fatalf("%d winners, entries named: %v; want one", winners.Load(), named)
	}
	if l.Size() != 2 {
		t.Errorf("size %d, want 2: a refused append leaves nothing", l.Size())
	}
	// What a refused append would have spent beside the key is not spent.
	for i := range 1000 {
		k := proof.Hash{byte(i), byte(i >> 8), 1}
		if by, ok := l.Spent(k); ok && by != 1 {
			t.Errorf("key %d is spent by entry %d, which was refused", i, by)
		}
	}
}

// TestBarrier appends a barrier among a thousand conditional appends.
func TestBarrier(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var applied []log.Stored
	l := logtest.New(t, logtest.Unwitnessed(), logtest.With(func(o *log.Options) {
		o.Apply = func(e log.Stored) error {
			mu.Lock()
			defer mu.Unlock()
			applied = append(applied, log.Stored{Index: e.Index, Conditions: e.Conditions})
			return nil
		}
	}))
	mustAppend(t, l, "before")
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			for {
				decided := l.Size()
				_, err := l.Append(t.Context(), fmt.Appendf(nil, "entry %d", i), log.Conditions{Decided: decided})
				var stale *log.StaleError
				if !errors.As(err, &stale) {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if stale.Barrier < decided {
					t.Errorf("stale by %d, decided on %d", stale.Barrier, decided)
				}
				mu.Lock()
				if uint64(len(applied)) <= stale.Barrier {
					t.Errorf("refused before barrier %d was applied", stale.Barrier)
				}
				mu.Unlock()
			}
		})
		if i%100 == 50 {
			wg.Go(func() {
				if _, err := l.Append(t.Context(), fmt.Appendf(nil, "barrier %d", i), log.Conditions{Decided: log.Unconditional, Barrier: true}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	last := uint64(0) // index of the newest barrier + 1
	for i, e := range applied {
		if e.Index != uint64(i) {
			t.Fatalf("entry %d applied as number %d", e.Index, i)
		}
		if d := e.Conditions.Decided; d != log.Unconditional && d < last {
			t.Fatalf("entry %d was decided on %d entries, barrier %d came between", i, d, last-1)
		}
		if e.Conditions.Barrier {
			last = e.Index + 1
		}
	}
	if len(applied) != 1011 {
		t.Errorf("%d entries applied, want 1011", len(applied))
	}
}

// TestSpentApplied asks for a spent key before and after its entry is applied.
func TestSpentApplied(t *testing.T) {
	t.Parallel()
	key := proof.Hash{1}
	var l *logtest.Log
	l = logtest.New(t, logtest.Unwitnessed(), logtest.With(func(o *log.Options) {
		o.Apply = func(log.Stored) error {
			if by, ok := l.Spent(key); ok {
				t.Errorf("spent by %d before that was applied", by)
			}
			return nil
		}
	}))
	if _, err := l.Append(t.Context(), []byte("one"), log.Conditions{Decided: 0, Spent: []proof.Hash{key}}); err != nil {
		t.Fatal(err)
	}
	if by, ok := l.Spent(key); !ok || by != 0 {
		t.Errorf("spent by %d, %t", by, ok)
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	key := proof.Hash{1}
	if _, err := l.Append(t.Context(), []byte("first"), log.Conditions{Decided: 0, Spent: []proof.Hash{key}, Barrier: true}); err != nil {
		t.Fatal(err)
	}
	many := make([]proof.Hash, log.MaxSpent+1)
	for i := range many {
		many[i] = proof.Hash{2, byte(i)}
	}
	for _, c := range []struct {
		name  string
		entry []byte
		log.Conditions
		blobs [][]byte
		want  error
	}{
		{name: "empty entry", Conditions: free},
		{name: "entry too long", entry: make([]byte, proof.MaxEntry+1), Conditions: free},
		{name: "empty blob", entry: []byte("x"), Conditions: free, blobs: [][]byte{{}}},
		{name: "blobs too long together", entry: []byte("x"), Conditions: free, blobs: [][]byte{make([]byte, log.MaxBlobBytes), {1}}},
		{name: "too many blobs", entry: []byte("x"), Conditions: free, blobs: make([][]byte, log.MaxBlobs+1)},
		{name: "too many keys", entry: []byte("x"), Conditions: log.Conditions{Decided: 1, Spent: many}},
		{name: "one key twice", entry: []byte("x"), Conditions: log.Conditions{Decided: 1, Spent: []proof.Hash{{9}, {8}, {9}}}},
		{name: "decided on entries that are not applied", entry: []byte("x"), Conditions: log.Conditions{Decided: 2}},
		{name: "spent", entry: []byte("x"), Conditions: log.Conditions{Decided: 1, Spent: []proof.Hash{{9}, key}}, want: &log.SpentError{Key: key, Index: 0}},
		{name: "spent and unconditional", entry: []byte("x"), Conditions: log.Conditions{Decided: log.Unconditional, Spent: []proof.Hash{key}}, want: &log.SpentError{Key: key, Index: 0}},
		{name: "stale", entry: []byte("x"), Conditions: log.Conditions{Decided: 0}, want: &log.StaleError{Barrier: 0}},
		{name: "spent and stale", entry: []byte("x"), Conditions: log.Conditions{Decided: 0, Spent: []proof.Hash{key}}, want: &log.SpentError{Key: key, Index: 0}},
		{name: "a barrier that is stale", entry: []byte("x"), Conditions: log.Conditions{Decided: 0, Barrier: true}, want: &log.StaleError{Barrier: 0}},
	} {
		r, err := l.Append(t.Context(), c.entry, c.Conditions, c.blobs...)
		if err == nil || r != nil {
			t.Errorf("%s: appended", c.name)
		}
		if c.want != nil && (err == nil || err.Error() != c.want.Error()) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if l.Size() != 1 {
		t.Errorf("size %d, want 1: a refused append leaves nothing", l.Size())
	}
	if _, ok := l.Spent(proof.Hash{9}); ok {
		t.Error("a refused append has spent a key")
	}
	// A barrier does not make stale what was decided on it.
	if _, err := l.Append(t.Context(), []byte("x"), log.Conditions{Decided: 1, Spent: []proof.Hash{{9}}}); err != nil {
		t.Error(err)
	}
}
