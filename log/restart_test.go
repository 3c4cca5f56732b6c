package log_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"plastron/log"
)

// syncFails opens a log, has it append, and fails the next sync of a file whose
// name ends so. It returns the disk as another process of the machine finds it:
// with pages that read as written, count as clean and never got to the disk.
func (h *history) syncFails(t *testing.T, d *memDisk, suffix string) {
	t.Helper()
	l, err := log.Open(t.Context(), h.options(d))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = log.Open(t.Context(), h.options(d)); err != nil {
		t.Fatal(err)
	}
	add := func(entry string) error {
		h.asked[entry], h.blobs[entry] = free, []byte("blob of "+entry)
		r, err := l.Append(t.Context(), []byte(entry), free, h.blobs[entry])
		if err == nil {
			h.saw(r.Proof().Checkpoint)
			h.told(log.Stored{Index: r.Index(), Entry: []byte(entry)})
		}
		return err
	}
	if err := add("before"); err != nil {
		t.Fatal(err)
	}
	d.failSync(suffix, 0)
	if err := add("not durable"); !errors.Is(err, log.ErrPoisoned) || !errors.Is(err, errIO) {
		t.Fatalf("%v, want ErrPoisoned and the cause", err)
	}
	if err := l.Close(); !errors.Is(err, log.ErrPoisoned) {
		t.Errorf("close: %v, want ErrPoisoned", err)
	}
	d.restart()
}

// TestRestart starts a process after one whose sync failed. It finds the entry
// in the page cache and gives it out, so that it must be on the disk by then:
// when the power fails at any op after the sync that failed, or later.
func TestRestart(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"segments/00000000", "lock/checkpoint"} {
		t.Run(suffix, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			cached := newDisk()
			h.syncFails(t, cached, suffix)
			rng := rand.New(rand.NewPCG(3, 3))
			synctest.Test(t, func(t *testing.T) {
				h.t = t
				d := cached.fork()
				d.record()
				l, err := log.Open(t.Context(), h.options(d))
				if err != nil {
					t.Fatal(err)
				}
				if l.Size() != 2 {
					t.Errorf("size %d: the page cache has 2", l.Size())
				}
				opened := d.position()
				defer l.Close()
				for at := range opened + 1 {
					before := cached.fork()
					for _, o := range d.trace.ops[:at] {
						before.do(o)
					}
					for i := range 50 {
						after := before.crash(rng)
						if i == 0 {
							after = before.after(nothing{})
						}
						h.locked(after)
						again, err := log.Open(t.Context(), h.options(after))
						if err != nil {
							t.Fatalf("after %d of %d ops: %v", at, opened, err)
						}
						h.check(again)
						if at == opened && again.Size() != 2 {
							t.Errorf("the second process gave out an entry that is gone; size %d", again.Size())
						}
						if err := again.Close(); err != nil {
							t.Fatal(err)
						}
					}
				}
			})
		})
	}
}

// TestPoisonedForGood fails each sync of a life in turn. From then on the
// process does nothing to the disk, though the disk is well again: not to
// append, not to publish, not to close.
func TestPoisonedForGood(t *testing.T) {
	t.Parallel()
	for n, failed := 0, true; failed; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h := newHistory(t)
			synctest.Test(t, func(t *testing.T) {
				h.t = t
				d := newDisk()
				l, err := log.Open(t.Context(), h.options(d))
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				d.record()
				d.failSync("", n)
				rng := rand.New(rand.NewPCG(1, 1))
				for range 30 {
					h.append(l, rng)
				}
				time.Sleep(11 * time.Second) // the mark moves
				if failed = d.spoilt(); !failed {
					return // there were fewer syncs
				}
				if l.Err() == nil {
					t.Fatal("a sync failed, and the log goes on")
				}
				synctest.Wait()
				done := d.position()
				for range 3 {
					if _, err := l.Append(t.Context(), []byte("again"), free); !errors.Is(err, log.ErrPoisoned) || !errors.Is(err, errIO) {
						t.Errorf("append: %v, want ErrPoisoned and the cause", err)
					}
				}
				time.Sleep(11 * time.Second) // the mark moves
				if err := l.Close(); !errors.Is(err, log.ErrPoisoned) {
					t.Errorf("close: %v, want ErrPoisoned", err)
				}
				if more := d.trace.ops[done:]; len(more) > 0 {
					t.Errorf("after a sync that failed: %v", more)
				}
			})
		})
	}
}
