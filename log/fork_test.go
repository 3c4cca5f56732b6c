package log_test

import (
	"bufio"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// TestForked: what would have a log sign a second history is ErrForked, and says
// what happened and what to do; what is merely wired wrongly is not.
func TestForked(t *testing.T) {
	t.Parallel()
	none := logtest.Unwitnessed()
	for _, c := range []struct {
		name   string
		option logtest.Option
		spoil  func(t *testing.T, l *logtest.Log, old string)
		forked bool
		says   []string
	}{
		{"a restored backup", none, func(t *testing.T, l *logtest.Log, old string) {
			restore(t, old+"/data", l.Options.Dir)
		}, true, []string{"the data ends at size 2", "bring back the newest one", "Never restore the lock"}},
		{"a restored backup with its lock", logtest.Witnesses(1, 1), func(t *testing.T, l *logtest.Log, old string) {
			restore(t, old+"/data", l.Options.Dir)
			restore(t, old+"/lock", l.Options.Lock)
		}, true, []string{"witness w1 has our signature over size 3", "rolled back", "find the data"}},
		{"no data", none, func(t *testing.T, l *logtest.Log, old string) {
			removeAll(t, l.Options.Dir)
		}, true, []string{"there is no data", "bring back the newest one"}},
		{"no lock", none, func(t *testing.T, l *logtest.Log, old string) {
			removeAll(t, l.Options.Lock)
		}, true, []string{"there is no lock", "Bring the lock back", "start another under a new origin"}},
		{"a lock of another history", none, func(t *testing.T, l *logtest.Log, old string) {
			alone := *l
			alone.Options.Dir, alone.Options.Lock = old+"/data", old+"/lock"
			alone.Open(t)
			mustAppend(t, &alone, "another third")
			closeLog(t, &alone)
			restore(t, old+"/lock", l.Options.Lock)
		}, true, []string{"another root for size 3", "Never restore the lock"}},
		{"data and lock swapped with another log's", none, func(t *testing.T, l *logtest.Log, old string) {
			other := logtest.New(t, none, logtest.Origin("other.example"))
			grow(t, other, 3)
			closeLog(t, other)
			restore(t, other.Options.Lock, l.Options.Lock)
		}, false, []string{"is another log's", "restore the one that belongs to this data"}},
		{"another log's data", none, func(t *testing.T, l *logtest.Log, old string) {
			other := logtest.New(t, none, logtest.Origin("other.example"))
			grow(t, other, 4)
			closeLog(t, other)
			restore(t, other.Options.Dir, l.Options.Dir)
		}, false, []string{`this is the data of log "other.example"`}},
		{"a lock that is rolled back", none, func(t *testing.T, l *logtest.Log, old string) {
			restore(t, old+"/lock", l.Options.Lock)
		}, false, nil}, // the data shows that it was signed
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
			}
			if errors.Is(err, log.ErrForked) != c.forked || (err == nil) != (c.says == nil) {
				t.Errorf("got %v", err)
			}
			for _, s := range c.says {
				if err != nil && !strings.Contains(err.Error(), s) {
					t.Errorf("%v; want %q in it", err, s)
				}
			}
		})
	}
}

// TestSecondProcess opens a log that another one writes.
func TestSecondProcess(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	elsewhere := l.Options
	elsewhere.Dir = t.TempDir()
	for _, o := range []log.Options{l.Options, elsewhere} {
		_, err := log.Open(t.Context(), o)
		if err == nil || errors.Is(err, log.ErrForked) || !strings.Contains(err.Error(), "even while it is paused: stop the other one first") {
			t.Errorf("got %v", err)
		}
	}
}

const pausedEnv = "PLASTRON_LOG_TEST_PAUSED"

// A writer is a process of its own that appends what it is told to.
type writer struct {
	t       *testing.T
	process *exec.Cmd
	in      io.Writer
	out     *bufio.Scanner
}

// startWriter starts one for a log that is closed.
func startWriter(t *testing.T, l *logtest.Log, key ed25519.PrivateKey) *writer {
	t.Helper()
	policy := filepath.Join(t.TempDir(), "policy")
	if err := os.WriteFile(policy, l.Policy.Text(), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &writer{t: t, process: exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPausedWriter$", "-test.v")}
	w.process.Env = append(os.Environ(), pausedEnv+"="+strings.Join([]string{l.Options.Dir, l.Options.Lock, policy, hex.EncodeToString(key.Seed())}, ":"))
	var err error
	if w.in, err = w.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := w.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.out = bufio.NewScanner(out)
	if err := w.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.process.Process.Kill(); w.process.Wait() })
	return w
}

// append returns what the writer says to an entry.
func (w *writer) append(entry string) string {
	w.t.Helper()
	fmt.Fprintln(w.in, entry)
	for w.out.Scan() {
		if said, ok := strings.CutPrefix(w.out.Text(), "said "); ok {
			return said
		}
	}
	w.t.Fatal("the writer has died")
	return ""
}

func (w *writer) signal(s syscall.Signal) {
	w.t.Helper()
	if err := w.process.Process.Signal(s); err != nil {
		w.t.Fatal(err)
	}
}

// writeWhatComes is the process of a writer.
func writeWhatComes(t *testing.T, env string) {
	f := strings.Split(env, ":")
	text, err := os.ReadFile(f[2])
	if err != nil {
		t.Fatal(err)
	}
	policy, err := proof.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := hex.DecodeString(f[3])
	if err != nil {
		t.Fatal(err)
	}
	signer, err := proof.NewLogSigner(policy.Origin(), ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	l, err := log.Open(t.Context(), log.Options{
		Dir: f[0], Lock: f[1], Segment: 1 << 20, Signer: signer, Policy: policy, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if _, err := l.Append(t.Context(), in.Bytes(), free); err != nil {
			fmt.Printf("said %t %t %s\n", errors.Is(err, log.ErrForked), errors.Is(err, log.ErrPoisoned), strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		fmt.Println("said logged")
	}
}

// TestPausedWriter stops a writer, as a suspended machine does, has another one
// take the log over, and lets the first go on: it appends nothing more. What is
// taken away are the files that keep two processes off one log, as on a machine
// that sees the same directory and not its locks.
func TestPausedWriter(t *testing.T) {
	if env := os.Getenv(pausedEnv); env != "" {
		writeWhatComes(t, env)
		return
	}
	t.Parallel()
	for _, c := range []struct {
		name   string
		option logtest.Option
		take   func(t *testing.T, o *log.Options, dir string) // has o take over with directories in dir
		says   string
	}{
		{"a copy of the data and the same lock", logtest.Unwitnessed(), func(t *testing.T, o *log.Options, dir string) {
			copyAll(t, o.Dir, dir+"/data")
			o.Dir = dir + "/data"
			removeAll(t, o.Lock+"/writer")
		}, "another process has written to it"},
		{"the same data and the same lock", logtest.Unwitnessed(), func(t *testing.T, o *log.Options, dir string) {
			removeAll(t, o.Dir+"/writer")
			removeAll(t, o.Lock+"/writer")
		}, "another process has written to it"},
		{"copies of both, and the same witness", logtest.Witnesses(1, 1), func(t *testing.T, o *log.Options, dir string) {
			copyAll(t, o.Dir, dir+"/data")
			copyAll(t, o.Lock, dir+"/lock")
			o.Dir, o.Lock = dir+"/data", dir+"/lock"
		}, "witness w1 holds our checkpoint of size 3, which ours does not extend"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, key := keyedLog(t, c.option)
			mustAppend(t, l, "one")
			closeLog(t, l)
			paused := startWriter(t, l, key)
			if said := paused.append("two"); said != "logged" {
				t.Fatal(said)
			}
			paused.signal(syscall.SIGSTOP)
			o := l.Options
			c.take(t, &o, t.TempDir())
			heir, err := log.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := heir.Append(t.Context(), []byte("three"), free); err != nil {
				t.Fatal(err)
			}
			paused.signal(syscall.SIGCONT)
			for range 2 { // and it stays so
				if said := paused.append("another three"); !strings.HasPrefix(said, "true true ") || !strings.Contains(said, c.says) {
					t.Errorf("it said %q; want an error that is ErrForked and ErrPoisoned, with %q", said, c.says)
				}
			}
			if _, err := heir.Append(t.Context(), []byte("four"), free); err != nil && c.name != "the same data and the same lock" {
				t.Errorf("the heir: %v", err)
			}
			if err := heir.Close(); err != nil && heir.Err() == nil {
				t.Error(err)
			}
		})
	}
}

// keyedLog opens a log whose key the test has.
func keyedLog(t *testing.T, option logtest.Option) (*logtest.Log, ed25519.PrivateKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return logtest.New(t, option, logtest.Key(key)), key
}
