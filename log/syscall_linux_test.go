package log_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"plastron/log"
)

// syscallSegment is the size of a segment: two entries fill one.
const syscallSegment = 4096

// A child's exit status says what came of it.
const (
	exitDone     = 0
	exitStart    = 10 // the log did not open
	exitPoisoned = 11 // as the program that keeps the log would exit
	exitWrong    = 12 // the log broke its word
)

// A tampering is what strace does to the system call of that name: all that a
// log asks of the kernel to change the disk.
type tampering struct {
	name   string
	inject string // see strace(1)
	calls  string
}

const (
	changing = "pwrite64,ftruncate,fdatasync,fsync,syncfs,rename,renameat,renameat2,unlink,unlinkat"
	opening  = "openat,mkdir,mkdirat"
)

var tamperings = []tampering{
	{"kill", "signal=SIGKILL", changing + "," + opening},
	{"EIO", "error=EIO", changing},
	{"ENOSPC", "error=ENOSPC", changing},
	{"nothing written", "retval=0", "pwrite64"},
}

// TestSyscalls interferes with each system call by which a log changes its
// disk: while it starts, appends, begins the next segment, publishes and
// closes. The process is killed at its entry, or the call fails, or writes
// nothing. Then the process has acknowledged nothing more, and the next one
// finds all that was acknowledged.
func TestSyscalls(t *testing.T) {
	if c := asChild(t); c != nil {
		os.Exit(c.appendSome(t))
	}
	t.Parallel()
	if out, err := exec.Command("strace", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		t.Skipf("needs strace, and to be allowed to use it: %v %s", err, out)
	}
	// The first life makes everything; the second one finds it.
	counts := []map[string]int{}
	c := newChild(t.TempDir())
	for range 2 {
		trace := c.traced(t, exitDone, "-e", "trace="+known(changing+","+opening))
		counts = append(counts, count(trace))
		c.reopen(t, syscallSegment)
	}
	var tried, hit atomic.Int64
	t.Run("call", func(t *testing.T) {
		for life, counts := range counts {
			for _, tamper := range tamperings {
				for name, n := range counts {
					if !strings.Contains(","+tamper.calls+",", ","+name+",") {
						continue
					}
					for i := 1; i <= n; i += sparse(n) {
						t.Run(fmt.Sprintf("life %d/%s/%s/%d", life+1, tamper.name, name, i), func(t *testing.T) {
							t.Parallel()
							tried.Add(1)
							if tamper.once(t, life, name, i) {
								hit.Add(1)
							}
						})
					}
				}
			}
		}
	})
	t.Logf("calls in a first and second life: %v; %d were interfered with of %d tried", counts, hit.Load(), tried.Load())
	if hit.Load() < tried.Load()*3/4 && !given("test.run") {
		t.Error("too few were met")
	}
}

var everySyscall = flag.Bool("syscalls", false, "TestSyscalls interferes with every system call, not with some of each name")

// sparse returns that one of so many calls is tried, of n.
func sparse(n int) int {
	switch {
	case *everySyscall:
		return 1
	case slow || testing.Short():
		return max(1, n/2)
	}
	return max(1, n/4)
}

// once interferes with one call in one life. It reports false if that life came
// to its end before: publishing depends on the time.
func (tamper tampering) once(t *testing.T, life int, name string, n int) bool {
	c := newChild(t.TempDir())
	for range life {
		c.plain(t)
	}
	status := exitPoisoned
	if strings.HasPrefix(tamper.inject, "signal") {
		status = -1
	}
	trace := c.traced(t, status, "-e", "trace="+name, "-e", fmt.Sprintf("inject=%s:%s:when=%d", name, tamper.inject, n))
	c.reopen(t, syscallSegment)
	return strings.Contains(trace, "(INJECTED)") || strings.Contains(trace, "+++ killed by SIGKILL +++")
}

// plain runs a life that nobody interferes with.
func (c *child) plain(t *testing.T) {
	t.Helper()
	out, err := c.command(t, "TestSyscalls").Output()
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	c.listen(t, bytes.NewReader(out), func(int) {})
}

// traced runs a life under strace and returns the trace. The child ends with
// status, -1: a signal, unless nobody interfered.
func (c *child) traced(t *testing.T, status int, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace")
	cmd := c.command(t, "TestSyscalls", append([]string{"strace", "-f", "-qq", "-o", file}, args...)...)
	out, err := cmd.Output()
	trace, readErr := os.ReadFile(file)
	if readErr != nil {
		t.Fatal(err, readErr)
	}
	got, met := cmd.ProcessState.ExitCode(), bytes.Contains(trace, []byte("(INJECTED)"))
	if status == exitPoisoned && got == exitStart {
		got = exitPoisoned // it met the call before it was open
	}
	if got != status && (met || got != exitDone) {
		t.Fatalf("child: %v, want exit status %d\n%s", err, status, out)
	}
	c.listen(t, bytes.NewReader(out), func(int) {})
	return string(trace)
}

// known marks each system call as one that this machine may not have.
func known(calls string) string { return "?" + strings.ReplaceAll(calls, ",", ",?") }

var callLine = regexp.MustCompile(`(?m)^(\d+) +(\w+)\(`)

// count returns how often the thread that uses the disk made each call.
func count(trace string) map[string]int {
	most, each := map[string]int{}, map[string]int{}
	for _, m := range callLine.FindAllStringSubmatch(trace, -1) {
		each[m[1]+m[2]]++
		most[m[2]] = max(most[m[2]], each[m[1]+m[2]])
	}
	return most
}

// appendSome is a life: it opens the log, appends, and closes it, or finds that
// it is poisoned.
func (c *child) appendSome(t *testing.T) (status int) {
	signal.Ignore(unix.SIGXFSZ)
	o := c.options(t, syscallSegment)
	o.FS = newOneThread()
	l, err := log.Open(t.Context(), o)
	if err != nil {
		fmt.Println("open:", err)
		return exitStart
	}
	for i := range 4 {
		entry := fmt.Sprintf("%d.%d.%s", os.Getpid(), i, strings.Repeat("x", 300))
		r, err := l.Append(t.Context(), []byte(entry), free, bytes.Repeat([]byte(entry), 5))
		if err != nil {
			break
		}
		fmt.Println(said(o.Policy, entry, r))
	}
	if l.Err() != nil {
		return poisoned(t, l)
	}
	if err := l.Close(); err != nil {
		fmt.Println("close:", err)
		return exitPoisoned
	}
	return exitDone
}

func poisoned(t *testing.T, l *log.Log) (status int) {
	fmt.Println(l.Err())
	if _, err := l.Append(t.Context(), []byte("again"), free); !errors.Is(err, log.ErrPoisoned) {
		fmt.Println("append again:", err)
		return exitWrong
	}
	if err := l.Close(); !errors.Is(err, log.ErrPoisoned) {
		fmt.Println("close:", err)
		return exitWrong
	}
	return exitPoisoned
}

// A oneThread is the disk, used by one thread of the process only: strace
// counts the calls of each by itself.
type oneThread struct{ calls chan func() }

func newOneThread() oneThread {
	d := oneThread{make(chan func())}
	go func() { // ends with the process
		runtime.LockOSThread()
		for f := range d.calls {
			f()
		}
	}()
	return d
}

func (d oneThread) do(f func(log.FS) error) (err error) {
	done := make(chan struct{})
	d.calls <- func() { err = f(log.Disk()); close(done) }
	<-done
	return err
}

func (d oneThread) Open(name string, create bool) (file log.File, err error) {
	err = d.do(func(fs log.FS) (err error) { file, err = fs.Open(name, create); return err })
	return oneThreadFile{file, d}, err
}

func (d oneThread) Rename(from, to string) error {
	return d.do(func(fs log.FS) error { return fs.Rename(from, to) })
}

func (d oneThread) Remove(name string) error {
	return d.do(func(fs log.FS) error { return fs.Remove(name) })
}

func (d oneThread) List(dir string) (names []string, err error) {
	err = d.do(func(fs log.FS) (err error) { names, err = fs.List(dir); return err })
	return names, err
}

func (d oneThread) SyncDir(dir string) error {
	return d.do(func(fs log.FS) error { return fs.SyncDir(dir) })
}

func (d oneThread) SyncAll(dir string) error {
	return d.do(func(fs log.FS) error { return fs.SyncAll(dir) })
}

func (d oneThread) Lock(name string) (held io.Closer, err error) {
	err = d.do(func(fs log.FS) (err error) { held, err = fs.Lock(name); return err })
	return held, err
}

type oneThreadFile struct {
	log.File
	d oneThread
}

func (f oneThreadFile) WriteAt(b []byte, off int64) (n int, err error) {
	err = f.d.do(func(log.FS) (err error) { n, err = f.File.WriteAt(b, off); return err })
	return n, err
}

func (f oneThreadFile) Truncate(size int64) error {
	return f.d.do(func(log.FS) error { return f.File.Truncate(size) })
}

func (f oneThreadFile) Sync() error {
	return f.d.do(func(log.FS) error { return f.File.Sync() })
}

// TestShortWrite has the kernel write a part of a record and then refuse: no
// file may be longer than a little more than a segment.
func TestShortWrite(t *testing.T) {
	const limit = syscallSegment * 5 / 4
	if c := asChild(t); c != nil {
		signal.Ignore(unix.SIGXFSZ)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit * 2, Max: math.MaxUint64}); err != nil {
			t.Fatal(err)
		}
		os.Exit(c.appendLonger(t))
	}
	t.Parallel()
	c := newChild(t.TempDir())
	cmd := c.command(t, "TestShortWrite")
	out, err := cmd.Output()
	if cmd.ProcessState.ExitCode() != exitPoisoned {
		t.Fatalf("child: %v, want it poisoned\n%s", err, out)
	}
	c.listen(t, bytes.NewReader(out), func(int) {})
	if len(c.acked) == 0 {
		t.Errorf("nothing was acknowledged:\n%s", out)
	}
	c.reopen(t, syscallSegment)
}

// appendLonger appends ever longer records.
func (c *child) appendLonger(t *testing.T) (status int) {
	o := c.options(t, syscallSegment)
	l, err := log.Open(t.Context(), o)
	if err != nil {
		fmt.Println("open:", err)
		return exitStart
	}
	for i := range 20 {
		entry := fmt.Sprint("entry.", i)
		r, err := l.Append(t.Context(), []byte(entry), free, make([]byte, 1+i*1000))
		if err != nil {
			break
		}
		fmt.Println(said(o.Policy, entry, r))
	}
	return poisoned(t, l)
}
