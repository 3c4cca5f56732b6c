package audit_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plastron/gate/audit"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// anotherTree returns a checkpoint of a size that the log signed over another
// tree than its own.
func anotherTree(t *testing.T, l *logtest.Log, size uint64) []byte {
	t.Helper()
	note, err := l.Signer.Sign(proof.Checkpoint{Origin: l.Policy.Origin(), Size: size, Root: sha256.Sum256([]byte("another tree"))})
	if err != nil {
		t.Fatal(err)
	}
	return note
}

// wantFork checks that an error carries a proof that a third party believes,
// who has the log policy and the text alone.
func wantFork(t *testing.T, err error, l *logtest.Log, older, newer uint64) {
	t.Helper()
	var fork *audit.ForkError
	if !errors.As(err, &fork) || !errors.Is(err, audit.ErrMisbehaved) {
		t.Fatalf("got %v, want a ForkError", err)
	}
	text, err := fork.Proof.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	read, err := proof.ParseForkProof(text)
	if err != nil {
		t.Fatal(err)
	}
	p, err := proof.ParsePolicy(l.Policy.Text())
	if err != nil {
		t.Fatal(err)
	}
	f, err := read.Verify(p)
	if err != nil || f.Older().Size != older || f.Newer().Size != newer {
		t.Errorf("%v: sizes %d and %d, want %d and %d", err, f.Older().Size, f.Newer().Size, older, newer)
	}
}

// copyLog puts what a log serves into a directory.
func copyLog(t *testing.T, l *logtest.Log) string {
	t.Helper()
	s := httptest.NewServer(l.Handler())
	defer s.Close()
	open(t, l, s.URL)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(l.Options.Dir, "tiles"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func readDir(t *testing.T, dir string) *audit.Reader {
	t.Helper()
	r, err := audit.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestForkProof has a log sign two trees, and an auditor who holds one of the
// checkpoints meet the other.
func TestForkProof(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	add(t, l, genesis(l), free)
	for range 300 {
		add(t, l, ban("x"), free)
	}
	dir := copyLog(t, l)
	t.Run("two roots of one size", func(t *testing.T) {
		_, err := audit.Verify(t.Context(), readDir(t, dir), l.Policy, anotherTree(t, l, 301), nil)
		wantFork(t, err, l, 301, 301)
	})
	t.Run("the older is no prefix", func(t *testing.T) {
		_, err := audit.Verify(t.Context(), readDir(t, dir), l.Policy, anotherTree(t, l, 200), nil)
		wantFork(t, err, l, 200, 301)
	})
	t.Run("the tiles do not prove it", func(t *testing.T) {
		spoilt := t.TempDir()
		if err := os.CopyFS(spoilt, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		tile := filepath.Join(spoilt, filepath.FromSlash(proof.TilePath(0, 0, 256)))
		b, err := os.ReadFile(tile)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			b[i] ^= 1
		}
		if err := os.WriteFile(tile, b, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err = audit.Verify(t.Context(), readDir(t, spoilt), l.Policy, anotherTree(t, l, 200), nil)
		wantFork(t, err, l, 200, 301)
	})
	t.Run("gone back, and the tiles are another tree's", func(t *testing.T) {
		_, err := audit.ProveFork(t.Context(), readDir(t, dir), l.Policy, l.Checkpoint(), anotherTree(t, l, 7))
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("gone back", func(t *testing.T) {
		_, err := audit.Verify(t.Context(), readDir(t, dir), l.Policy, anotherTree(t, l, 999), nil)
		var fork *audit.ForkError
		if !errors.Is(err, audit.ErrMisbehaved) || errors.As(err, &fork) || !strings.Contains(err.Error(), "keep both checkpoints") {
			t.Errorf("got %v, want misbehaviour that is not proven", err)
		}
	})
}

// An honest log cannot be convicted.
func TestProveForkOfNone(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	add(t, l, genesis(l), free)
	older := l.Checkpoint()
	for range 9 {
		add(t, l, ban("x"), free)
	}
	r := readDir(t, copyLog(t, l))
	stranger := logtest.New(t, logtest.Unwitnessed())
	add(t, stranger, genesis(stranger), free)
	for name, other := range map[string][]byte{
		"itself": l.Checkpoint(), "an older one": older, "another log's": stranger.Checkpoint(), "nothing": nil,
	} {
		if _, err := audit.ProveFork(context.Background(), r, l.Policy, other, l.Checkpoint()); err == nil {
			t.Errorf("%s: proven", name)
		}
	}
}
