package log_test

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

const childEnv = "PLASTRON_LOG_TEST_CHILD"

// options are those of parent and child.
func killOptions(t *testing.T, dir string, seed []byte) log.Options {
	t.Helper()
	signer, err := proof.NewLogSigner("log.example/kill", ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	return log.Options{
		Dir: filepath.Join(dir, "data"), Lock: filepath.Join(dir, "lock"), Segment: 64 << 10,
		Signer: signer, Policy: logtest.Policy(t, signer, 0),
	}
}

// TestKill kills a process that appends, at any moment, again and again. What
// it had acknowledged by then must be in the log, and all it had signed must be
// consistent.
func TestKill(t *testing.T) {
	if child := os.Getenv(childEnv); child != "" {
		appendUntilKilled(t, child)
		return
	}
	t.Parallel()
	dir, seed := t.TempDir(), make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	acked := map[uint64]string{}
	roots := map[uint64]string{}
	for round := range 8 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$", "-test.v")
		child.Env = append(os.Environ(), childEnv+"="+hex.EncodeToString(seed)+":"+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			fields := strings.Fields(lines.Text())
			if len(fields) == 5 && fields[0] == "acked" {
				index, err := strconv.ParseUint(fields[1], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				size, err := strconv.ParseUint(fields[3], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				acked[index] = fields[2]
				if old, ok := roots[size]; ok && old != fields[4] {
					t.Fatalf("size %d has two roots", size)
				}
				roots[size] = fields[4]
			}
			if n == 20+round*17 {
				time.AfterFunc(time.Duration(round)*777*time.Microsecond, func() { child.Process.Kill() })
			}
		}
		if err := child.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Fatalf("child: %v", err)
		}
		l, err := log.Open(t.Context(), killOptions(t, dir, seed))
		if err != nil {
			t.Fatal(err)
		}
		tree := proof.NewRange()
		for e, err := range l.Entries(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if want, ok := acked[e.Index]; ok && want != string(e.Entry) {
				t.Fatalf("entry %d is %q, %q was acknowledged", e.Index, e.Entry, want)
			}
			tree.Append(proof.LeafHash(e.Entry), nil)
			if root, ok := roots[tree.Size()]; ok && root != tree.Root().String() {
				t.Fatalf("size %d had root %s", tree.Size(), root)
			}
		}
		for index := range acked {
			if index >= l.Size() {
				t.Fatalf("entry %d was acknowledged and is gone", index)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acknowledged", len(acked))
}

func appendUntilKilled(t *testing.T, env string) {
	key, dir, _ := strings.Cut(env, ":")
	seed, err := hex.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	o := killOptions(t, dir, seed)
	l, err := log.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for client := range 4 {
		go func() {
			for i := 0; ; i++ {
				entry := fmt.Sprintf("%d.%d.%d.%s", os.Getpid(), client, i, strings.Repeat("x", i%900))
				r, err := l.Append(t.Context(), []byte(entry), free, []byte(entry+" evidence"))
				if err != nil {
					return
				}
				c, err := o.Policy.OpenCheckpoint(r.Proof().Checkpoint)
				if err != nil {
					return
				}
				fmt.Printf("acked %d %s %d %s\n", r.Index(), entry, c.Checkpoint().Size, c.Checkpoint().Root)
			}
		}()
	}
	time.Sleep(time.Minute)
}
