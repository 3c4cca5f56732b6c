package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"plastron/gate/audit"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// static publishes a log of n short entries.
func static(t *testing.T, n int) (*logtest.Static, [][]byte) {
	t.Helper()
	s := logtest.NewStatic(t)
	entries := numbered(0, n)
	s.Append(t, entries...)
	s.Publish(t)
	return s, entries
}

func numbered(from, to int) (out [][]byte) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Appendf(nil, "entry %d", i))
	}
	return out
}

func look(t *testing.T, s *logtest.Static, older []byte) (*audit.View, error) {
	t.Helper()
	r, err := audit.Open(s.Dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return audit.Look(t.Context(), r, s.Policy, older)
}

func mustLook(t *testing.T, s *logtest.Static) *audit.View {
	t.Helper()
	v, err := look(t, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestWalk reads logs of sizes around those at which tiles are completed, whole
// and from the middle.
func TestWalk(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 2, 3, 255, 256, 257, 300, 511, 512, 513, 1000, 70_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			s, entries := static(t, size)
			v := mustLook(t, s)
			for _, from := range []int{0, size / 3, size - size/5, size} {
				next := uint64(from)
				err := v.Walk(t.Context(), next, v.Size(), func(index uint64, e []byte) error {
					if index != next || !bytes.Equal(e, entries[index]) {
						t.Errorf("entry %d: got %d, %q", next, index, e)
					}
					next++
					return nil
				})
				if err != nil || next != uint64(size) {
					t.Errorf("from %d: stopped at %d of %d: %v", from, next, size, err)
				}
			}
		})
	}
}

func TestViewEntry(t *testing.T) {
	t.Parallel()
	s, entries := static(t, 600)
	v := mustLook(t, s)
	for _, i := range []uint64{0, 1, 255, 256, 511, 512, 599} {
		e, p, err := v.Entry(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Verify(s.Policy, proof.LeafHash(entries[i])); err != nil || !bytes.Equal(e, entries[i]) {
			t.Errorf("entry %d: %q, %v", i, e, err)
		}
	}
	if _, _, err := v.Entry(t.Context(), 600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("entry 600 of 600: %v, want %v", err, fs.ErrNotExist)
	}
	if err := v.Walk(t.Context(), 0, 601, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("601 entries of 600: %v, want %v", err, fs.ErrNotExist)
	}
}

// TestWalkTampered changes one byte of every file of a log, one at a time: no
// entry that was changed is ever handed out, and where only tiles were, nothing
// false is.
func TestWalkTampered(t *testing.T) {
	t.Parallel()
	s, entries := static(t, 600)
	err := filepath.WalkDir(s.Dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(s.Dir, file)
		name = filepath.ToSlash(name)
		sound := s.Read(t, name)
		spoilt := bytes.Clone(sound)
		spoilt[len(spoilt)/2] ^= 1
		s.Write(t, name, spoilt)
		defer s.Write(t, name, sound)
		v, err := look(t, s, nil)
		if name == "checkpoint" {
			if !errors.Is(err, audit.ErrMisbehaved) {
				t.Errorf("%s: %v, want %v", name, err, audit.ErrMisbehaved)
			}
			return nil
		}
		if err != nil {
			return err
		}
		n := 0
		err = v.Walk(t.Context(), 0, v.Size(), func(index uint64, e []byte) error {
			if n++; !bytes.Equal(e, entries[index]) {
				t.Errorf("%s: entry %d was handed out as %q", name, index, e)
			}
			return nil
		})
		if err != nil && !errors.Is(err, audit.ErrMisbehaved) || err == nil && n != len(entries) {
			t.Errorf("%s: %v after %d entries", name, err, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A bundle may not be the one of another place.
func TestWalkMovedBundle(t *testing.T) {
	t.Parallel()
	s, _ := static(t, 1024)
	s.Write(t, proof.BundlePath(1, 256), s.Read(t, proof.BundlePath(2, 256)))
	v := mustLook(t, s)
	n := uint64(0)
	err := v.Walk(t.Context(), 0, 1024, func(uint64, []byte) error { n++; return nil })
	if !errors.Is(err, audit.ErrMisbehaved) || n != 256 {
		t.Errorf("%v after %d entries, want %v after 256", err, n, audit.ErrMisbehaved)
	}
	if _, _, err := v.Entry(t.Context(), 300); !errors.Is(err, audit.ErrMisbehaved) {
		t.Errorf("got %v, want %v", err, audit.ErrMisbehaved)
	}
}

// TestLook: a log must extend what it has shown before.
func TestLook(t *testing.T) {
	t.Parallel()
	s, _ := static(t, 300)
	older := s.Read(t, "checkpoint")
	s.Append(t, numbered(300, 700)...)
	s.Publish(t)
	if _, err := look(t, s, older); err != nil {
		t.Error(err)
	}
	fork := logtest.NewStatic(t)
	fork.Signer, fork.Policy = s.Signer, s.Policy
	fork.Append(t, numbered(1, 800)...)
	fork.Publish(t)
	if _, err := look(t, fork, older); !errors.Is(err, audit.ErrMisbehaved) {
		t.Errorf("a fork: %v, want %v", err, audit.ErrMisbehaved)
	}
	v := mustLook(t, s)
	if err := v.Extends(t.Context(), proof.Checkpoint{Origin: s.Policy.Origin(), Size: 701}); !errors.Is(err, audit.ErrMisbehaved) {
		t.Errorf("a rollback: %v, want %v", err, audit.ErrMisbehaved)
	}
	if err := os.Remove(filepath.Join(s.Dir, "checkpoint")); err != nil {
		t.Fatal(err)
	}
	if _, err := look(t, s, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing published: %v, want %v", err, fs.ErrNotExist)
	}
}

// openServed returns a reader of a log over HTTP, once all it holds is published.
func openServed(t *testing.T, l *logtest.Log) *audit.Reader {
	t.Helper()
	web := httptest.NewServer(l.Handler())
	t.Cleanup(web.Close)
	return open(t, l, web.URL)
}
