package log_test

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/tessera/client"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// A child is this test binary run again, to append to a log until something
// happens to it.
type child struct {
	dir  string
	seed []byte // of the log's key
	heard
}

// heard is what a child has said that the log told it.
type heard struct {
	acked map[uint64]string // entries by index
	roots map[uint64]string // by size
}

func newChild(dir string) *child {
	c := &child{dir, make([]byte, ed25519.SeedSize), heard{map[uint64]string{}, map[uint64]string{}}}
	rand.Read(c.seed)
	return c
}

const childEnv = "PLASTRON_LOG_TEST_CHILD"

// command runs a test of this binary in a child, behind a wrapper such as
// strace.
func (c *child) command(t *testing.T, test string, wrapper ...string) *exec.Cmd {
	args := append(wrapper, os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"="+hex.EncodeToString(c.seed)+":"+c.dir)
	return cmd
}

// asChild returns the child that this process is; nil: it is none.
func asChild(t *testing.T) *child {
	env := os.Getenv(childEnv)
	if env == "" {
		return nil
	}
	key, dir, _ := strings.Cut(env, ":")
	seed, err := hex.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	return &child{dir: dir, seed: seed}
}

// options are those of parent and child.
func (c *child) options(t *testing.T, segment int64) log.Options {
	t.Helper()
	signer, err := proof.NewLogSigner("log.example/child", ed25519.NewKeyFromSeed(c.seed))
	if err != nil {
		t.Fatal(err)
	}
	return log.Options{
		Dir: filepath.Join(c.dir, "data"), Lock: filepath.Join(c.dir, "lock"), Segment: segment,
		Signer: signer, Policy: logtest.Policy(t, signer, 0), Logger: slog.New(slog.DiscardHandler),
	}
}

// said is what a child prints when an entry was acknowledged.
func said(p *log.Policy, entry string, r *log.Receipt) string {
	c, err := p.OpenCheckpoint(r.Proof().Checkpoint)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("acked %d %s %d %s", r.Index(), entry, c.Checkpoint().Size, c.Checkpoint().Root)
}

// listen reads what a child says, and calls after each line.
func (h heard) listen(t *testing.T, r io.Reader, after func(n int)) {
	t.Helper()
	lines := bufio.NewScanner(r)
	for n := 0; lines.Scan(); n++ {
		if err := h.hear(lines.Text()); err != nil {
			t.Fatal(err)
		}
		after(n)
	}
}

// hear takes note of a line, if it says that something was acknowledged.
func (h heard) hear(line string) error {
	var index, size uint64
	var entry, root string
	if _, err := fmt.Sscanf(line+"\n", "acked %d %s %d %s\n", &index, &entry, &size, &root); err != nil {
		return nil
	}
	if old, ok := h.roots[size]; ok && old != root {
		return fmt.Errorf("size %d has two roots", size)
	}
	h.acked[index], h.roots[size] = entry, root
	return nil
}

// reopen looks whether all that was heard is in the log, appends, and has
// Tessera check the files.
func (c *child) reopen(t *testing.T, segment int64) {
	t.Helper()
	o := c.options(t, segment)
	c.locked(t, o)
	l, err := log.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // may be closed already
	c.compare(t, l)
	again, err := l.Append(t.Context(), []byte("after.the.crash"), free, []byte("its blob"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.hear(said(o.Policy, "after.the.crash", again)); err != nil {
		t.Error(err)
	}
	files := client.FileFetcher{Root: filepath.Join(o.Dir, "tiles")}
	if err := check(t, &logtest.Log{Signer: o.Signer}, files); err != nil {
		t.Errorf("fsck: %v", err)
	}
}

// locked looks whether the lock is behind a checkpoint that was heard of.
func (h heard) locked(t *testing.T, o log.Options) {
	t.Helper()
	if len(h.roots) == 0 {
		return
	}
	b, err := os.ReadFile(filepath.Join(o.Lock, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	note, err := log.LockNote(b)
	if err != nil {
		t.Fatal(err)
	}
	c, err := o.Policy.OpenSigned(note)
	if err != nil {
		t.Fatal(err)
	}
	if newest := slices.Max(slices.Collect(maps.Keys(h.roots))); c.Size < newest {
		t.Errorf("the lock has size %d, size %d was heard of", c.Size, newest)
	}
}

// compare compares a log that was opened again with what was heard of it.
func (h heard) compare(t *testing.T, l *log.Log) {
	t.Helper()
	tree := proof.NewRange()
	for e, err := range l.Entries(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		want, ok := h.acked[e.Index]
		if ok && want != string(e.Entry) {
			t.Fatalf("entry %d is %q, %q was acknowledged", e.Index, e.Entry, want)
		}
		for _, b := range e.Blobs {
			if _, err := l.Blob(b); err != nil {
				t.Fatalf("blob of entry %d: %v", e.Index, err)
			}
		}
		tree.Append(proof.LeafHash(e.Entry), nil)
		if root, ok := h.roots[tree.Size()]; ok && root != tree.Root().String() {
			t.Fatalf("size %d had root %s", tree.Size(), root)
		}
	}
	for index := range h.acked {
		if index >= l.Size() {
			t.Fatalf("entry %d was acknowledged and is gone", index)
		}
	}
	for size := range h.roots {
		if size > l.Size() {
			t.Fatalf("size %d was signed and seen; size %d", size, l.Size())
		}
	}
}
