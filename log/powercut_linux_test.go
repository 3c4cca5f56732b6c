package log_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"plastron/log"
)

var powercuts = flag.Int("powercuts", 0, "how many power cuts TestPowerCut tries in each journal mode of ext4; as root")

// TestPowerCut has a log on a file system of its own, on a loop device, and
// copies the device at any moment, while the log is used: what the kernel still
// had in memory is not in the copy. The copy is mounted, which replays its
// journal, and opened.
//
// The file that the device is made of is on another file system of that kind,
// which is frozen for the copy, so that the copy is of one moment. What reached
// the device counts as written, flushed or not: of a disk that loses its own
// cache this says nothing, [TestStates] does.
//
// With data=writeback, a file that was not synced may have the bytes of one that
// was removed. The log does not take tiles for its own that it did not write: it
// may refuse to start, and then it must start without them.
func TestPowerCut(t *testing.T) {
	if c := asChild(t); c != nil {
		c.appendForEver(t)
		return
	}
	if *powercuts == 0 {
		t.Skip("needs -powercuts, and root: make powercut")
	}
	for _, mode := range []string{"ordered", "writeback", "journal"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			disk, under, root := filepath.Join(dir, "disk"), filepath.Join(dir, "under"), filepath.Join(dir, "root")
			format(t, disk, 96<<20)
			mount(t, disk, under, "loop")
			device := filepath.Join(under, "device")
			format(t, device, 64<<20)
			mount(t, device, root, "loop,data="+mode)
			w := &wire{c: newChild(root), device: device, under: under, mode: mode}
			rng := rand.New(rand.NewPCG(4, 4))
			for n := 0; n < *powercuts; {
				unplug := w.plug(t)
				for range min(5, *powercuts-n) {
					time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
					w.cut(t, filepath.Join(dir, fmt.Sprint("cut", n)))
					n++
				}
				unplug()
			}
			t.Logf("%d power cuts, %d acknowledged; %d times tiles of other bytes", *powercuts, len(w.c.acked), w.foreign)
		})
	}
}

// A wire is what power comes through to a child and its disk.
type wire struct {
	mu     sync.Mutex // guards what c has heard
	c      *child
	device string // file
	under  string // file system that it is on
	mode   string // of the journal
	// foreign is how many copies had tiles of other bytes.
	foreign int
}

// plug starts the child, and waits until it has appended something.
func (w *wire) plug(t *testing.T) (unplug func()) {
	t.Helper()
	cmd := w.c.command(t, "TestPowerCut")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	appended, ended := make(chan struct{}), make(chan error, 1)
	go func() { // ends with the child
		var err error
		for lines, n := bufio.NewScanner(out), 0; lines.Scan(); n++ {
			w.mu.Lock()
			err = errors.Join(err, w.c.hear(lines.Text()))
			w.mu.Unlock()
			if n == 10 {
				close(appended)
			}
		}
		ended <- err
	}()
	select {
	case <-appended:
	case err := <-ended:
		t.Fatalf("the child ended: %v, %v", cmd.Wait(), err)
	}
	unplug = sync.OnceFunc(func() {
		cmd.Process.Kill()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		cmd.Wait() // it was killed
	})
	t.Cleanup(unplug) // before its file system is unmounted
	return unplug
}

// cut copies the device and looks at the copy. What was heard before must be
// there.
func (w *wire) cut(t *testing.T, dir string) {
	t.Helper()
	w.mu.Lock()
	before := heard{maps.Clone(w.c.acked), maps.Clone(w.c.roots)}
	w.mu.Unlock()
	copied := dir + ".device"
	frozen(t, w.under, func() error { return copyFile(copied, w.device) })
	unmount := mount(t, copied, dir, "loop,data="+w.mode)
	defer os.Remove(copied)
	defer unmount()
	c := &child{dir, w.c.seed, before}
	if w.mode == "writeback" {
		w.foreign += c.removeForeign(t)
	}
	c.reopen(t, 64<<10)
}

// removeForeign does what a log asks for that will not start on tiles of other
// bytes. It returns how many times, 0 or 1.
func (c *child) removeForeign(t *testing.T) int {
	t.Helper()
	o := c.options(t, 64<<10)
	l, err := log.Open(t.Context(), o)
	switch {
	case err == nil:
		err = l.Close()
	case strings.Contains(err.Error(), "move the tiles directory away and start again"):
		if err := os.RemoveAll(filepath.Join(o.Dir, "tiles")); err != nil {
			t.Fatal(err)
		}
		return 1
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// frozen does something while nothing is written to a file system.
func frozen(t *testing.T, dir string, do func() error) {
	t.Helper()
	const freeze, thaw = 0xc0045877, 0xc0045878 // FIFREEZE, FITHAW
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := unix.IoctlSetInt(int(d.Fd()), freeze, 0); err != nil {
		t.Fatalf("freeze %s: %v", dir, err)
	}
	err = do()
	if err := unix.IoctlSetInt(int(d.Fd()), thaw, 0); err != nil {
		t.Fatalf("thaw %s: %v", dir, err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	return err
}

// format makes a file with an empty file system in it.
func format(t *testing.T, name string, size int) {
	t.Helper()
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-E", "nodiscard", name).CombinedOutput(); err != nil {
		t.Skipf("needs mkfs.ext4: %v %s", err, out)
	}
}

// mount mounts it until the test ends or what it returns is called.
func mount(t *testing.T, name, dir, options string) (unmount func()) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "ext4", "-o", options, name, dir).CombinedOutput(); err != nil {
		t.Skipf("needs root and loop devices: mount: %v %s", err, out)
	}
	unmount = sync.OnceFunc(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	t.Cleanup(unmount)
	return unmount
}
