package log_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"plastron/log"
	"plastron/log/logtest"
)

// TestBackup copies a log while it is being written, verifies each copy, and
// brings the last one back: the log goes on from there.
func TestBackup(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.With(func(o *log.Options) { o.Segment = 64 << 10 }))
	mustAppend(t, l, "first", []byte("a blob"))
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for client := range 4 {
		load.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				entry := fmt.Appendf(nil, "%d %d", client, i)
				if _, err := l.Append(t.Context(), entry, free, append(entry, strings.Repeat("x", 500)...)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var last *log.Copy
	for i := range 5 {
		for size := l.Size(); l.Size() < size+100; {
			mustAppend(t, l, fmt.Sprint("one of many, ", i, size, l.Size()))
		}
		to := filepath.Join(t.TempDir(), "copy")
		c, err := log.Backup(t.Context(), l.Options.Dir, l.Options.Lock, to, l.Policy, nil)
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && c.Checkpoint.Size <= last.Checkpoint.Size || c.Erased > 0 || c.Blobs == 0 {
			t.Errorf("copy %d: %+v", i, c)
		}
		last = c
	}
	cancel()
	load.Wait()
	to := filepath.Join(t.TempDir(), "copy")
	c, err := log.Backup(t.Context(), l.Options.Dir, l.Options.Lock, to, l.Policy, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Checkpoint.Size != l.Size() || c.Segments < 2 {
		t.Errorf("%d entries in %d segments, want %d in more than one", c.Checkpoint.Size, c.Segments, l.Size())
	}
	size := l.Size()
	closeLog(t, l)
	if err := log.Restore(t.Context(), to, c.Length, l.Options); err == nil || !strings.Contains(err.Error(), "nothing is overwritten") {
		t.Errorf("over the log: %v", err)
	}
	removeAll(t, l.Options.Dir)
	if err := log.Restore(t.Context(), to, c.Length, l.Options); err != nil {
		t.Fatal(err)
	}
	l.Open(t)
	if l.Size() != size {
		t.Errorf("size %d, want %d", l.Size(), size)
	}
	e, err := l.Entry(0)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := l.Blob(e.Blobs[0]); err != nil || string(b) != "a blob" {
		t.Errorf("blob: %q, %v", b, err)
	}
	mustAppend(t, l, "it goes on")
}

// TestRestoreRefuses brings a copy of two entries back where the log has moved
// on, in every way in which somebody may know it.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		option logtest.Option
		spoil  func(t *testing.T, l *logtest.Log, to string)
		forked bool
		says   string
	}{
		{
			"the lock is ahead", logtest.Unwitnessed(), func(t *testing.T, l *logtest.Log, _ string) {}, true,
			"has our signature over size 3, but the data ends at size 2: the data directory is older than the lock",
		},
		{"a witness is ahead", logtest.Witnesses(1, 1), func(t *testing.T, l *logtest.Log, to string) {
			restore(t, to+".lock", l.Options.Lock)
		}, true, "witness w1 has our signature over size 3, but the data ends at size 2"},
		{"no lock", logtest.Unwitnessed(), func(t *testing.T, l *logtest.Log, _ string) {
			removeAll(t, l.Options.Lock)
		}, true, "there is no lock in"},
		{"another log's lock", logtest.Unwitnessed(), func(t *testing.T, l *logtest.Log, _ string) {
			other := logtest.New(t, logtest.Unwitnessed(), logtest.Origin("other.example"))
			mustAppend(t, other, "x")
			closeLog(t, other)
			restore(t, other.Options.Lock, l.Options.Lock)
		}, false, "is another log's"},
		{"a damaged copy", logtest.Unwitnessed(), func(t *testing.T, l *logtest.Log, to string) {
			restore(t, to+".lock", l.Options.Lock)
			edit(t, to+"/00000000", func(b []byte) []byte { b[100] ^= 1; return b })
		}, true, "but the data ends at size 0 (segment 0 is damaged"},
		{"a writer is running", logtest.Unwitnessed(), func(t *testing.T, l *logtest.Log, to string) {
			alone := *l
			alone.Options.Dir = t.TempDir()
			copyAll(t, to, alone.Options.Dir+"/segments")
			restore(t, to+".lock", l.Options.Lock)
			alone.Open(t)
		}, false, "stop the other one first"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := logtest.New(t, c.option)
			mustAppend(t, l, "entry 0")
			mustAppend(t, l, "entry 1")
			to := filepath.Join(t.TempDir(), "copy")
			done, err := log.Backup(t.Context(), l.Options.Dir, l.Options.Lock, to, l.Policy, nil)
			if err != nil {
				t.Fatal(err)
			}
			copyAll(t, l.Options.Lock, to+".lock")
			mustAppend(t, l, "entry 2")
			closeLog(t, l)
			removeAll(t, l.Options.Dir)
			c.spoil(t, l, to)
			err = log.Restore(t.Context(), to, done.Length, l.Options)
			if err == nil || errors.Is(err, log.ErrForked) != c.forked || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			for _, left := range []string{l.Options.Dir, l.Options.Dir + ".restoring"} {
				if _, err := os.Stat(left); err == nil {
					t.Errorf("%s was left", left)
				}
			}
		})
	}
}

// TestCheckCopyRefuses spoils a copy in every way that makes it another log, or
// none; erased evidence does not.
func TestCheckCopyRefuses(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed(), logtest.With(func(o *log.Options) { o.Segment = 4096 }))
	for i := range 40 {
		mustAppend(t, l, fmt.Sprintf("entry %02d %s", i, strings.Repeat("x", 200)), fmt.Appendf(nil, "blob %02d", i))
	}
	whole := filepath.Join(t.TempDir(), "copy")
	done, err := log.Backup(t.Context(), l.Options.Dir, l.Options.Lock, whole, l.Policy, nil)
	if err != nil || done.Segments < 3 {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := log.Backup(t.Context(), l.Options.Dir, l.Options.Lock, whole, l.Policy, nil); !errors.Is(err, os.ErrExist) {
		t.Errorf("over another copy: %v", err)
	}
	stranger := logtest.New(t, logtest.Unwitnessed())
	if _, err := log.Backup(t.Context(), l.Options.Dir, l.Options.Lock, whole+"2", stranger.Policy, nil); err == nil {
		t.Error("under another log's policy")
	}
	last := fmt.Sprintf("/%08d", done.Segments-1)
	for name, spoil := range map[string]func(dir string) (note []byte){
		"an entry flipped": func(dir string) []byte {
			edit(t, dir+"/00000000", func(b []byte) []byte { b[strings.Index(string(b), "entry 01")] ^= 1; return b })
			return done.Note
		},
		"a segment missing":    func(dir string) []byte { removeAll(t, dir+"/00000001"); return done.Note },
		"the last one missing": func(dir string) []byte { removeAll(t, dir+last); return done.Note },
		"the last one cut": func(dir string) []byte {
			edit(t, dir+last, func(b []byte) []byte { return b[:len(b)-9] })
			return done.Note
		},
		"more behind the end": func(dir string) []byte {
			edit(t, dir+last, func(b []byte) []byte { return append(b, 1) })
			return done.Note
		},
		"a segment more": func(dir string) []byte {
			copySegmentTo(t, dir, last, fmt.Sprintf("/%08d", done.Segments))
			return done.Note
		},
		"a foreign file":           func(dir string) []byte { copySegmentTo(t, dir, last, "/x"); return done.Note },
		"another log's checkpoint": func(string) []byte { mustAppend(t, stranger, "x"); return stranger.Checkpoint() },
		"no checkpoint":            func(string) []byte { return nil },
	} {
		dir := filepath.Join(t.TempDir(), "copy")
		copyAll(t, whole, dir)
		if _, err := log.CheckCopy(t.Context(), dir, spoil(dir), l.Policy, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	edit(t, whole+"/00000000", func(b []byte) []byte { clear(b[strings.Index(string(b), "blob 01"):][:7]); return b })
	if c, err := log.CheckCopy(t.Context(), whole, done.Note, l.Policy, nil); err != nil || c.Erased != 1 || c.Blobs != 40 {
		t.Errorf("erased evidence: %+v, %v", c, err)
	}
}

func copySegmentTo(t *testing.T, dir, from, to string) {
	t.Helper()
	b, err := os.ReadFile(dir + from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
