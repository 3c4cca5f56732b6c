package log_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// backup copies a closed log's directories into a new one.
func backup(t *testing.T, l *logtest.Log) string {
	t.Helper()
	dir := t.TempDir()
	copyAll(t, l.Options.Dir, filepath.Join(dir, "data"))
	copyAll(t, l.Options.Lock, filepath.Join(dir, "lock"))
	return dir
}

func copyAll(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func removeAll(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// restore puts one directory of a backup in place of today's.
func restore(t *testing.T, from, to string) {
	t.Helper()
	removeAll(t, to)
	copyAll(t, from, to)
}

func closeLog(t *testing.T, l *logtest.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// edit changes the bytes of a file.
func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestOpenRefuses spoils a closed log of three entries, of which a backup after
// the second exists, in every way that must keep it from starting.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	none := logtest.Unwitnessed()
	for _, c := range []struct {
		name   string
		option logtest.Option
		spoil  func(t *testing.T, l *logtest.Log, old string)
		says   string
	}{
		{"no lock", none, func(t *testing.T, l *logtest.Log, old string) {
			removeAll(t, l.Options.Lock)
		}, "there is no lock in"},
		{"no data", none, func(t *testing.T, l *logtest.Log, old string) {
			removeAll(t, l.Options.Dir)
		}, "there is no data"},
		{"data behind the lock", none, func(t *testing.T, l *logtest.Log, old string) {
			restore(t, old+"/data", l.Options.Dir)
		}, "has our signature over size 3, but the data ends at size 2: the data directory is older than the lock"},
		{"data and lock behind the published checkpoint", none, func(t *testing.T, l *logtest.Log, old string) {
			restore(t, old+"/data/segments", l.Options.Dir+"/segments")
			restore(t, old+"/lock", l.Options.Lock)
		}, "the mark of the tiles directory has our signature over size 3"},
		{"data and lock behind a witness", logtest.Witnesses(1, 1), func(t *testing.T, l *logtest.Log, old string) {
			restore(t, old+"/data", l.Options.Dir)
			restore(t, old+"/lock", l.Options.Lock)
		}, "witness w1 has our signature over size 3, but the data ends at size 2: this log was rolled back"},
		{"forked behind a witness's back", logtest.Witnesses(1, 1), func(t *testing.T, l *logtest.Log, old string) {
			restore(t, old+"/data", l.Options.Dir)
			restore(t, old+"/lock", l.Options.Lock)
			alone := *l
			alone.Options.Policy = logtest.Policy(t, l.Signer, 0)
			alone.Open(t)
			mustAppend(t, &alone, "another third")
			mustAppend(t, &alone, "and a fourth")
			closeLog(t, &alone)
		}, "witness w1 has our signature over another root for size 3"},
		{"no witness answers", logtest.Witnesses(2, 2), func(t *testing.T, l *logtest.Log, old string) {
			l.Witnesses[0].Down(true)
			l.Witnesses[1].Down(true)
		}, "too few witnesses show what they cosigned last"},
		{"those that do not answer could be a quorum", logtest.Witnesses(3, 2), func(t *testing.T, l *logtest.Log, old string) {
			l.Witnesses[0].Down(true)
			l.Witnesses[1].Down(true)
		}, "too few witnesses show what they cosigned last"},
		{"a quorum of one does not answer", logtest.Witnesses(3, 1), func(t *testing.T, l *logtest.Log, old string) {
			l.Witnesses[2].Down(true)
		}, "too few witnesses show what they cosigned last"},
		{"the only witness has lost its state", logtest.Witnesses(1, 1), func(t *testing.T, l *logtest.Log, old string) {
			l.Witnesses[0].Replace(http.NotFoundHandler())
		}, "it lost its state"},
		{"another log's data", none, func(t *testing.T, l *logtest.Log, old string) {
			other := logtest.New(t, none, logtest.Origin("other.example"))
			grow(t, other, 4)
			closeLog(t, other)
			restore(t, other.Options.Dir, l.Options.Dir)
		}, `this is the data of log "other.example"`},
		{"another key's data", none, func(t *testing.T, l *logtest.Log, old string) {
			other := logtest.New(t, none)
			mustAppend(t, other, "entry 0")
			mustAppend(t, other, "entry 1")
			mustAppend(t, other, "entry 2")
			mustAppend(t, other, "entry 3")
			closeLog(t, other)
			restore(t, other.Options.Dir, l.Options.Dir)
		}, "are not signed with this log's key"},
		{"another log's lock", none, func(t *testing.T, l *logtest.Log, old string) {
			other := logtest.New(t, none, logtest.Origin("other.example"))
			closeLog(t, other)
			restore(t, other.Options.Lock, l.Options.Lock)
		}, "is another log's, or was signed with another key"},
		{"another key's lock", none, func(t *testing.T, l *logtest.Log, old string) {
			other := logtest.New(t, none)
			closeLog(t, other)
			restore(t, other.Options.Lock, l.Options.Lock)
		}, "is another log's, or was signed with another key"},
		{"lock damaged", none, func(t *testing.T, l *logtest.Log, old string) {
			edit(t, l.Options.Lock+"/checkpoint", func(b []byte) []byte { b[100] ^= 1; b[4096+100] ^= 1; return b })
		}, "neither slot is valid"},
		{"lock of another size", none, func(t *testing.T, l *logtest.Log, old string) {
			edit(t, l.Options.Lock+"/checkpoint", func(b []byte) []byte { return b[:8000] })
		}, "not 8192 bytes long"},
		{"first segment missing", none, func(t *testing.T, l *logtest.Log, old string) {
			removeAll(t, l.Options.Dir+"/segments/00000000")
		}, "is not segment 0, which is missing"},
		{"an entry flipped", none, func(t *testing.T, l *logtest.Log, old string) {
			edit(t, l.Options.Dir+"/segments/00000000", func(b []byte) []byte {
				b[strings.Index(string(b), "entry 1")] ^= 1
				return b
			})
		}, "its checksum is wrong"},
		{"a record erased", none, func(t *testing.T, l *logtest.Log, old string) {
			edit(t, l.Options.Dir+"/segments/00000000", func(b []byte) []byte {
				clear(b[:strings.Index(string(b), "entry 1")])
				return b
			})
		}, "no record begins here"},
		{"a tile above the mark of other bytes", none, func(t *testing.T, l *logtest.Log, old string) {
			removeAll(t, l.Options.Dir+"/tiles/mark")
			edit(t, l.Options.Dir+"/tiles/tile/0/000.p/3", func(b []byte) []byte { b[40] ^= 0x81; return b })
		}, "move the tiles directory away"},
		{"a tile above the mark that is longer", none, func(t *testing.T, l *logtest.Log, old string) {
			removeAll(t, l.Options.Dir+"/tiles/mark")
			edit(t, l.Options.Dir+"/tiles/tile/0/000.p/3", func(b []byte) []byte { return append(b, 0) })
		}, "move the tiles directory away"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := logtest.New(t, c.option)
			mustAppend(t, l, "entry 0")
			mustAppend(t, l, "entry 1")
			closeLog(t, l)
			old := backup(t, l)
			l.Open(t)
			mustAppend(t, l, "entry 2")
			closeLog(t, l)
			c.spoil(t, l, old)
			again, err := log.Open(t.Context(), l.Options)
			if err == nil {
				again.Close()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %q in it", err, c.says)
			}
		})
	}
}

// TestOpenDamageInTheMiddle damages a segment that others follow, and brings
// back a lock that knows of neither.
func TestOpenDamageInTheMiddle(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed(), logtest.With(func(o *log.Options) { o.Segment = 1024 }))
	closeLog(t, l)
	old := backup(t, l)
	l.Open(t)
	for range 8 {
		mustAppend(t, l, strings.Repeat("x", 500))
	}
	closeLog(t, l)
	restore(t, old+"/lock", l.Options.Lock)
	removeAll(t, l.Options.Dir+"/tiles")
	edit(t, l.Options.Dir+"/segments/00000002", func(b []byte) []byte { b[200] ^= 1; return b })
	if _, err := log.Open(t.Context(), l.Options); err == nil || !strings.Contains(err.Error(), "segment 2 is damaged at byte 0: its checksum is wrong, and segment 3 follows it") {
		t.Errorf("%v, want damage in segment 2", err)
	}
}

// TestAnotherWriter writes to the lock behind the log's back.
func TestAnotherWriter(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	mustAppend(t, l, "one")
	mine, err := os.ReadFile(l.Options.Lock + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, "two")
	if err := os.WriteFile(l.Options.Lock+"/checkpoint", mine, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), []byte("three"), free); !errors.Is(err, log.ErrPoisoned) || !strings.Contains(err.Error(), "another process has written to it") {
		t.Errorf("%v, want ErrPoisoned: another process", err)
	}
}

// TestBlobOnce appends blobs that many entries bring at the same time.
func TestBlobOnce(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			if _, err := l.Append(t.Context(), fmt.Append(nil, i), free, fmt.Appendf(nil, "blob-%02d-blob", i/20)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b, err := os.ReadFile(filepath.Join(l.Options.Dir, "segments", "00000000"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if n := strings.Count(string(b), fmt.Sprintf("blob-%02d-blob", i)); n != 1 {
			t.Errorf("blob %d is stored %d times", i, n)
		}
	}
}

// TestOpenMends spoils a closed log of three entries in ways that crashes and
// operators do, and that must not keep it from starting with all three.
func TestOpenMends(t *testing.T) {
	t.Parallel()
	none := logtest.Unwitnessed()
	for _, c := range []struct {
		name   string
		option logtest.Option
		spoil  func(t *testing.T, l *logtest.Log, old string)
	}{
		{"nothing", none, func(t *testing.T, l *logtest.Log, old string) {}},
		{"lock behind the data", none, func(t *testing.T, l *logtest.Log, old string) {
			restore(t, old+"/lock", l.Options.Lock)
		}},
		{"one slot torn", none, func(t *testing.T, l *logtest.Log, old string) {
			edit(t, l.Options.Lock+"/checkpoint", func(b []byte) []byte { b[100] ^= 1; return b })
		}},
		{"the other slot torn", none, func(t *testing.T, l *logtest.Log, old string) {
			edit(t, l.Options.Lock+"/checkpoint", func(b []byte) []byte { b[4096+100] ^= 1; return b })
		}},
		{"bytes behind the last record", none, func(t *testing.T, l *logtest.Log, old string) {
			edit(t, l.Options.Dir+"/segments/00000000", func(b []byte) []byte { b[5000] = 1; return b })
		}},
		{"bytes in the next segment", none, func(t *testing.T, l *logtest.Log, old string) {
			edit(t, l.Options.Dir+"/segments/00000001", func(b []byte) []byte { b[5000] = 1; return b })
		}},
		{"a segment that was being made", none, func(t *testing.T, l *logtest.Log, old string) {
			if err := os.WriteFile(l.Options.Dir+"/segments/00000002.tmp", []byte{1}, 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{"no tiles", none, func(t *testing.T, l *logtest.Log, old string) {
			removeAll(t, l.Options.Dir+"/tiles")
		}},
		{"old tiles", logtest.Witnesses(1, 1), func(t *testing.T, l *logtest.Log, old string) {
			restore(t, old+"/data/tiles", l.Options.Dir+"/tiles")
		}},
		{"torn tile above the mark", none, func(t *testing.T, l *logtest.Log, old string) {
			removeAll(t, l.Options.Dir+"/tiles/mark")
			edit(t, l.Options.Dir+"/tiles/tile/0/000.p/3", func(b []byte) []byte { clear(b[20:]); return b[:60] })
		}},
		{"published checkpoint torn", none, func(t *testing.T, l *logtest.Log, old string) {
			edit(t, l.Options.Dir+"/tiles/checkpoint", func(b []byte) []byte { return b[:20] })
		}},
		{"mark torn", none, func(t *testing.T, l *logtest.Log, old string) {
			edit(t, l.Options.Dir+"/tiles/mark", func(b []byte) []byte { return nil })
		}},
		{"one of three witnesses down", logtest.Witnesses(3, 2), func(t *testing.T, l *logtest.Log, old string) {
			l.Witnesses[0].Down(true)
		}},
		{"one of three witnesses lies", logtest.Witnesses(3, 2), func(t *testing.T, l *logtest.Log, old string) {
			liar := logtest.Signer(t, l.Signer.Name())
			note, err := liar.Sign(proof.Checkpoint{Origin: liar.Name(), Size: 1000, Root: proof.Hash{1}})
			if err != nil {
				t.Fatal(err)
			}
			l.Witnesses[0].Replace(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					w.Write(note)
					return
				}
				w.Header().Set("Content-Type", "text/x.tlog.size")
				w.WriteHeader(http.StatusConflict)
				fmt.Fprintln(w, 1000)
			}))
		}},
		{"one of three witnesses has lost its state", logtest.Witnesses(3, 2), func(t *testing.T, l *logtest.Log, old string) {
			l.Witnesses[0].Replace(http.NotFoundHandler())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := logtest.New(t, c.option)
			mustAppend(t, l, "entry 0", []byte("a blob"))
			mustAppend(t, l, "entry 1")
			closeLog(t, l)
			old := backup(t, l)
			l.Open(t)
			mustAppend(t, l, "entry 2", []byte("another blob"))
			closeLog(t, l)
			c.spoil(t, l, old)
			l.Open(t)
			if l.Size() != 3 {
				t.Fatalf("size %d, want 3", l.Size())
			}
			mustAppend(t, l, "entry 3", []byte("a blob"))
			web := served(t, l, 4)
			if status, _, _ := get(t, web.URL+"/tile/0/000.p/3"); status != http.StatusOK {
				t.Errorf("tile of size 3: %d", status)
			}
			n := 0
			for e, err := range l.Entries(t.Context(), 0) {
				if err != nil {
					t.Fatal(err)
				}
				if want := fmt.Sprintf("entry %d", n); string(e.Entry) != want {
					t.Errorf("%q, want %q", e.Entry, want)
				}
				for _, h := range e.Blobs {
					if _, err := l.Blob(h); err != nil {
						t.Error(err)
					}
				}
				n++
			}
		})
	}
}

func TestOpenOnce(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	if _, err := log.Open(t.Context(), l.Options); err == nil || !strings.Contains(err.Error(), "one process writes a log") {
		t.Errorf("the same directory twice: %v", err)
	}
	o := l.Options
	o.Dir = t.TempDir()
	if _, err := log.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "held by another process") {
		t.Errorf("the same lock twice: %v", err)
	}
	mustAppend(t, l, "undisturbed")
}

func TestOpenOptions(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	for _, c := range []struct {
		name  string
		spoil func(o *log.Options)
	}{
		{"zero", func(o *log.Options) { *o = log.Options{} }},
		{"no data directory", func(o *log.Options) { o.Dir = "" }},
		{"no lock directory", func(o *log.Options) { o.Lock = "" }},
		{"lock is the data", func(o *log.Options) { o.Lock = o.Dir }},
		{"lock within the data", func(o *log.Options) { o.Lock = o.Dir + "/x/../lock" }},
		{"data within the lock", func(o *log.Options) { o.Dir = o.Lock + "/data" }},
		{"no signer", func(o *log.Options) { o.Signer = nil }},
		{"no policy", func(o *log.Options) { o.Policy = nil }},
		{"zero policy", func(o *log.Options) { o.Policy = &log.Policy{} }},
		{"another log's policy", func(o *log.Options) { o.Policy = logtest.Policy(t, logtest.Signer(t, o.Signer.Name()), 0) }},
		{"negative segment", func(o *log.Options) { o.Segment = -1 }},
	} {
		o := l.Options
		o.Dir, o.Lock = filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "lock")
		c.spoil(&o)
		if _, err := log.Open(t.Context(), o); err == nil {
			t.Errorf("%s: opened", c.name)
		}
	}
}

// TestOpenFresh opens a log of which nothing was written but directories.
func TestOpenFresh(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	closeLog(t, l)
	l.Open(t) // empty, with a lock
	if l.Size() != 0 || l.Checkpoint() != nil {
		t.Errorf("size %d, checkpoint %q", l.Size(), l.Checkpoint())
	}
	closeLog(t, l)
	removeAll(t, l.Options.Lock)
	l.Open(t) // empty, its lock was not made yet
	mustAppend(t, l, "first")
}

// TestBlobs erases one blob, as retention will, and damages none other.
func TestBlobs(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	mustAppend(t, l, "one", []byte("erased later"), []byte("kept"))
	mustAppend(t, l, "two", []byte("kept"))
	e, err := l.Entry(0)
	if err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(l.Options.Dir, "segments", "00000000")
	stored := func(what string) int {
		b, err := os.ReadFile(segment)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(b), what)
	}
	if stored("kept") != 1 {
		t.Errorf("the same blob is stored %d times", stored("kept"))
	}
	closeLog(t, l)
	edit(t, segment, func(b []byte) []byte {
		at := strings.Index(string(b), "erased later")
		clear(b[at : at+len("erased later")])
		return b
	})
	for _, mark := range []bool{true, false} { // verified at start, or when read
		if !mark {
			removeAll(t, filepath.Join(l.Options.Dir, "tiles"))
		}
		l.Open(t)
		if _, err := l.Blob(e.Blobs[0]); err == nil || mark && errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the erased blob: %v", err)
		}
		if b, err := l.Blob(e.Blobs[1]); err != nil || string(b) != "kept" {
			t.Errorf("the other blob: %q, %v", b, err)
		}
		closeLog(t, l)
	}
	l.Open(t)
	removeAll(t, filepath.Join(l.Options.Dir, "tiles", "mark"))
	closeLog(t, l)
	removeAll(t, filepath.Join(l.Options.Dir, "tiles"))
	l.Open(t)
	mustAppend(t, l, "three", []byte("erased later"))
	if b, err := l.Blob(e.Blobs[0]); err != nil || string(b) != "erased later" {
		t.Errorf("stored again: %q, %v", b, err)
	}
}
