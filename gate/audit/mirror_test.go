package audit_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"plastron/gate/audit"
	"plastron/log/logtest"
	"plastron/log/proof"
	"plastron/svid"
)

// checkTessera has Tessera check a directory.
func checkTessera(t *testing.T, l *logtest.Log, dir string) error {
	t.Helper()
	v, err := note.NewVerifier(l.Signer.VKey())
	if err != nil {
		t.Fatal(err)
	}
	leaves := func(b []byte) (hashes [][]byte, err error) {
		var bundle api.EntryBundle
		if err := bundle.UnmarshalText(b); err != nil {
			return nil, err
		}
		for _, e := range bundle.Entries {
			h := tlog.RecordHash(e)
			hashes = append(hashes, h[:])
		}
		return hashes, nil
	}
	return fsck.New(l.Signer.Name(), v, client.FileFetcher{Root: dir}, leaves, fsck.Opts{N: 2}).Check(t.Context())
}

// TestMirror copies a log as it grows past the sizes at which tiles are filled,
// and has ourselves and Tessera verify each copy, from the disk and as served.
func TestMirror(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	add(t, l, genesis(l), free)
	web := httptest.NewServer(l.Handler())
	defer web.Close()
	m := &audit.Mirror{Policy: l.Policy, Dir: filepath.Join(t.TempDir(), "mirror")}
	var was uint64
	for _, size := range []uint64{1, 2, 255, 256, 257, 300, 512, 4500} {
		bans(t, l, int(size-l.Size()))
		m.From = open(t, l, web.URL)
		for range 2 { // the second time there is nothing to do
			done, err := m.Update(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if done.Size != size || done.From != was {
				t.Errorf("%+v, want size %d from %d", done, size, was)
			}
			was = size
		}
		if err := checkTessera(t, l, m.Dir); err != nil {
			t.Errorf("size %d: Tessera: %v", size, err)
		}
		if rep, err := audit.Verify(t.Context(), readDir(t, m.Dir), l.Policy, nil, nil); err != nil || rep.Size != size {
			t.Errorf("size %d: %v", size, err)
		}
	}
	sameFiles(t, l, m.Dir)
	h, err := audit.ServeDir(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	served := httptest.NewServer(h)
	defer served.Close()
	r, err := audit.Open(served.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep, err := audit.Verify(t.Context(), r, l.Policy, nil, nil); err != nil || rep.Size != was {
		t.Errorf("served: %v", err)
	}
	for path, want := range map[string]int{
		"/tile/0/000.p/7": 200, "/tile/entries/000.p/7": 200, "/tile/0/000": 200, "/tile/0/999": 404, "/tile/0/0": 400,
		"/mirror.lock": 404, "/": 404, "/tile/..%2fmirror.lock": 400, "/tile/": 400,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("GET %s: %d, want %d", path, w.Code, want)
		}
	}
}

// sameFiles compares every full tile and the newest partial ones with the log's.
func sameFiles(t *testing.T, l *logtest.Log, dir string) {
	t.Helper()
	own := filepath.Join(l.Options.Dir, "tiles")
	n := 0
	err := filepath.WalkDir(own, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "mark") {
			return err
		}
		name, err := filepath.Rel(own, path)
		if err != nil {
			return err
		}
		if strings.Contains(name, ".p/") && !strings.Contains(name, fmt.Sprintf(".p/%d", l.Size()%256)) {
			return nil
		}
		want, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != string(want) {
			t.Errorf("%s differs, %v", name, err)
		}
		return nil
	})
	if err != nil || n < 30 {
		t.Errorf("%d files compared, %v", n, err)
	}
}

// TestMirrorResumes interrupts a copy, damages what it left, and goes on.
func TestMirrorResumes(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	add(t, l, genesis(l), free)
	bans(t, l, 600)
	src := copyLog(t, l)
	m := &audit.Mirror{From: readDir(t, src), Policy: l.Policy, Dir: t.TempDir()}
	if _, err := m.Update(t.Context()); err != nil {
		t.Fatal(err)
	}
	// All is there but the checkpoint, and of it something is torn.
	if err := os.Remove(filepath.Join(m.Dir, "checkpoint")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{proof.BundlePath(1, 256), proof.TilePath(0, 0, 256), proof.TilePath(1, 0, 2)} {
		if err := os.Truncate(filepath.Join(m.Dir, filepath.FromSlash(path)), 40); err != nil {
			t.Fatal(err)
		}
	}
	// What is whole is not read again.
	if err := os.Remove(filepath.Join(src, filepath.FromSlash(proof.BundlePath(0, 256)))); err != nil {
		t.Fatal(err)
	}
	gone := *m
	if _, err := gone.Update(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a step with a torn bundle is read anew, but %v", err)
	}
	m.From = readDir(t, copyLog(t, l))
	if _, err := m.Update(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := checkTessera(t, l, m.Dir); err != nil {
		t.Error(err)
	}
}

// TestMirrorRefuses: a mirror takes nothing that is not the log it has.
func TestMirrorRefuses(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	add(t, l, genesis(l), free)
	bans(t, l, 300)
	first := copyLog(t, l)
	bans(t, l, 300)
	second := copyLog(t, l)
	change := func(t *testing.T, dir, path string, f func(b []byte) []byte) {
		t.Helper()
		name := filepath.Join(dir, filepath.FromSlash(path))
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f(b), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, src, mirror string)
		is    error
		says  string
	}{
		{"an entry of another hash", func(t *testing.T, src, _ string) {
			change(t, src, proof.BundlePath(2, 89), func(b []byte) []byte { return []byte(strings.Replace(string(b), `"bad"`, `"dab"`, 1)) })
		}, audit.ErrMisbehaved, "are not those that it signed"},
		{"another history", func(t *testing.T, _, mirror string) {
			change(t, mirror, "checkpoint", func([]byte) []byte { return anotherTree(t, l, 301) })
		}, audit.ErrMisbehaved, "is not a prefix"},
		{"gone back", func(t *testing.T, src, mirror string) {
			change(t, mirror, "checkpoint", func([]byte) []byte { return anotherTree(t, l, 999) })
		}, audit.ErrMisbehaved, "entries are gone"},
		{"no quorum", func(t *testing.T, src, _ string) {
			other := logtest.New(t, logtest.Unwitnessed())
			change(t, src, "checkpoint", func([]byte) []byte { return anotherTree(t, other, 601) })
		}, audit.ErrMisbehaved, "signature"},
		{"a damaged mirror", func(t *testing.T, _, mirror string) {
			change(t, mirror, proof.TilePath(1, 0, 1), func(b []byte) []byte { b[0] ^= 1; return b })
		}, nil, "is damaged"},
		{"a mirror of another log", func(t *testing.T, _, mirror string) {
			other := logtest.New(t, logtest.Unwitnessed())
			change(t, mirror, "checkpoint", func([]byte) []byte { return anotherTree(t, other, 301) })
		}, nil, "signature"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			src, m := t.TempDir(), &audit.Mirror{From: readDir(t, first), Policy: l.Policy, Dir: t.TempDir()}
			if _, err := m.Update(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(src, os.DirFS(second)); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, src, m.Dir)
			before, err := os.ReadFile(filepath.Join(m.Dir, "checkpoint"))
			if err != nil {
				t.Fatal(err)
			}
			m.From = readDir(t, src)
			_, err = m.Update(t.Context())
			if err == nil || errors.Is(err, audit.ErrMisbehaved) != (c.is != nil) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v: %q", err, c.is, c.says)
			}
			if after, err := os.ReadFile(filepath.Join(m.Dir, "checkpoint")); err != nil || string(after) != string(before) {
				t.Error("the checkpoint was replaced")
			}
			if b, err := os.ReadFile(filepath.Join(m.Dir, filepath.FromSlash(proof.BundlePath(2, 89)))); err == nil && strings.Contains(string(b), `"dab"`) {
				t.Error("what was not verified was written")
			}
		})
	}
}

// TestMirrorRecords copies records to who may read them, once, and beside the
// files that are public.
func TestMirrorRecords(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	a := begin(t, l)
	addSVID(t, l, a, svid.Decision{Policy: 1, Decided: 2})
	status, asked := http.StatusForbidden, 0
	mux := http.NewServeMux()
	mux.Handle("/", l.Handler())
	mux.HandleFunc("GET /record/", func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(status)
		fmt.Fprint(w, "record") // its SHA-256 is what addSVID names
	})
	web := httptest.NewServer(mux)
	defer web.Close()
	m := &audit.Mirror{From: open(t, l, web.URL), Policy: l.Policy, Dir: t.TempDir(), Records: t.TempDir()}
	if _, err := m.Update(t.Context()); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want %v", err, fs.ErrPermission)
	}
	status = http.StatusOK
	for _, want := range []int{1, 0} {
		if done, err := m.Update(t.Context()); err != nil || done.Records != want {
			t.Errorf("%+v, %v; want %d records", done, err, want)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
	if names, err := filepath.Glob(filepath.Join(m.Records, "record", "*")); err != nil || len(names) != 1 {
		t.Errorf("%q, %v", names, err)
	}
	if _, err := os.Stat(filepath.Join(m.Dir, "record")); err == nil {
		t.Error("records are among the public files")
	}
}
