package log_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"testing"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// TestPoison has each change to the disk fail in turn while a log is used.
// Whatever fails, nothing is appended afterwards, reading goes on, and Close
// says why.
func TestPoison(t *testing.T) {
	t.Parallel()
	for n := range 40 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			d := newDisk()
			l := logtest.New(t, logtest.Unwitnessed(), logtest.With(func(o *log.Options) { o.FS, o.Segment = d, 2048 }))
			mustAppend(t, l, "before", []byte("a blob"))
			d.fault(n, true)
			var err error
			appended := uint64(1)
			for err == nil {
				if _, err = l.Append(t.Context(), make([]byte, 300), free); err == nil {
					appended++
				}
			}
			if !errors.Is(err, log.ErrPoisoned) || !errors.Is(err, errIO) {
				t.Fatalf("%v, want ErrPoisoned and the cause", err)
			}
			<-l.Poisoned()
			for range 3 {
				if _, err := l.Append(t.Context(), []byte("again"), free); !errors.Is(err, log.ErrPoisoned) {
					t.Errorf("afterwards: %v, want ErrPoisoned", err)
				}
			}
			if l.Size() < appended {
				t.Errorf("size %d, %d were acknowledged", l.Size(), appended)
			}
			if _, err := l.Receipt(t.Context(), 0); err != nil {
				t.Errorf("read a receipt: %v", err)
			}
			e, err := l.Entry(0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Blob(e.Blobs[0]); err != nil {
				t.Errorf("read a blob: %v", err)
			}
			if err := l.Close(); !errors.Is(err, log.ErrPoisoned) {
				t.Errorf("close: %v, want ErrPoisoned", err)
			}
			if err := l.Close(); !errors.Is(err, log.ErrClosed) {
				t.Errorf("close again: %v, want ErrClosed", err)
			}
		})
	}
}

// A faultyKey signs wrongly when it is told to.
type faultyKey struct {
	ed25519.PrivateKey
	faulty atomic.Bool
}

func (k *faultyKey) Sign(r io.Reader, message []byte, o crypto.SignerOpts) ([]byte, error) {
	sig, err := k.PrivateKey.Sign(r, message, o)
	if k.faulty.Load() {
		sig[9] ^= 1
	}
	return sig, err
}

// TestFaultyKey has the log's key make a wrong signature, which can give the key
// away: nobody gets to see it.
func TestFaultyKey(t *testing.T) {
	t.Parallel()
	for _, witnesses := range []int{0, 1} {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key := &faultyKey{PrivateKey: private}
		l := logtest.New(t, logtest.Witnesses(witnesses, witnesses), logtest.Key(key))
		mustAppend(t, l, "before")
		served(t, l, 1)
		lock := readFile(t, l.Options.Lock+"/checkpoint")
		key.faulty.Store(true)
		if _, err := l.Append(t.Context(), []byte("wrong"), free); !errors.Is(err, log.ErrPoisoned) || !errors.Is(err, proof.ErrSignature) {
			t.Errorf("%v, want ErrPoisoned for a signature", err)
		}
		key.faulty.Store(false)
		if _, err := l.Append(t.Context(), []byte("after"), free); !errors.Is(err, log.ErrPoisoned) {
			t.Errorf("afterwards: %v, want ErrPoisoned", err)
		}
		l.Close()
		if !bytes.Equal(lock, readFile(t, l.Options.Lock+"/checkpoint")) {
			t.Error("the lock has it")
		}
		if c, err := l.Policy.OpenCheckpoint(readFile(t, l.Options.Dir+"/tiles/checkpoint")); err != nil || c.Checkpoint().Size != 1 {
			t.Errorf("published %v, %v", c.Checkpoint(), err)
		}
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestApplyFails has the program not understand an entry.
func TestApplyFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("cannot read it")
	var apply func(log.Stored) error
	l := logtest.New(t, logtest.Unwitnessed(), logtest.With(func(o *log.Options) {
		o.Apply = func(e log.Stored) error { return apply(e) }
	}))
	apply = func(log.Stored) error { return nil }
	mustAppend(t, l, "one")
	apply = func(e log.Stored) error {
		if string(e.Entry) == "two" {
			return broken
		}
		return nil
	}
	if _, err := l.Append(t.Context(), []byte("two"), free); !errors.Is(err, broken) || !errors.Is(err, log.ErrPoisoned) {
		t.Errorf("%v, want ErrPoisoned and the cause", err)
	}
	if l.Size() != 1 {
		t.Errorf("size %d, want 1", l.Size())
	}
	l.Close()
	// The entry is in the log, and the next program must be able to read it.
	if _, err := log.Open(t.Context(), l.Options); !errors.Is(err, broken) {
		t.Errorf("open: %v, want the cause", err)
	}
	var seen []string
	apply = func(e log.Stored) error { seen = append(seen, string(e.Entry)); return nil }
	l.Open(t)
	if fmt.Sprint(seen) != "[one two]" {
		t.Errorf("applied %q", seen)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	mustAppend(t, l, "one")
	closeLog(t, l)
	if _, err := l.Append(t.Context(), []byte("two"), free); !errors.Is(err, log.ErrClosed) {
		t.Errorf("append: %v, want ErrClosed", err)
	}
	if err := l.Recosign(t.Context()); !errors.Is(err, log.ErrClosed) {
		t.Errorf("recosign: %v, want ErrClosed", err)
	}
	if _, ok := l.Spent(proof.Hash{}); ok {
		t.Error("the zero key is spent")
	}
}
