package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

var free = log.Conditions{Decided: log.Unconditional}

func mustAppend(t testing.TB, l *logtest.Log, entry string, blobs ...[]byte) *log.Receipt {
	t.Helper()
	r, err := l.Append(t.Context(), []byte(entry), free, blobs...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAppend(t *testing.T) {
	t.Parallel()
	for _, option := range []struct {
		name string
		logtest.Option
	}{
		{"no witness", logtest.Unwitnessed()},
		{"1 of 1", logtest.Witnesses(1, 1)},
		{"2 of 3", logtest.Witnesses(3, 2)},
	} {
		t.Run(option.name, func(t *testing.T) {
			t.Parallel()
			l := logtest.New(t, option.Option)
			var wg sync.WaitGroup
			for i := range 300 {
				wg.Go(func() {
					entry := fmt.Appendf(nil, "entry %d", i)
					r, err := l.Append(t.Context(), entry, free, []byte("record of "+string(entry)), []byte("shared"))
					if err != nil {
						t.Error(err)
						return
					}
					if got, err := r.Open(l.Policy); err != nil || !bytes.Equal(got, entry) {
						t.Errorf("open receipt: %q, %v; want %q", got, err, entry)
					}
				})
			}
			wg.Wait()
			if l.Size() != 300 {
				t.Fatalf("size %d, want 300", l.Size())
			}
			check := func() {
				t.Helper()
				n := uint64(0)
				for e, err := range l.Entries(t.Context(), 0) {
					if err != nil {
						t.Fatal(err)
					}
					one, err := l.Entry(n)
					if err != nil || e.Index != n || !bytes.Equal(one.Entry, e.Entry) || len(e.Blobs) != 2 {
						t.Fatalf("entry %d: %v, %+v", n, err, e)
					}
					if b, err := l.Blob(e.Blobs[0]); err != nil || string(b) != "record of "+string(e.Entry) {
						t.Fatalf("blob of %d: %q, %v", n, b, err)
					}
					r, err := l.Receipt(t.Context(), n)
					if err != nil {
						t.Fatal(err)
					}
					if got, err := r.Open(l.Policy); err != nil || !bytes.Equal(got, e.Entry) || r.Index() != n {
						t.Fatalf("receipt %d: %q, %v", n, got, err)
					}
					n++
				}
				if n != 300 {
					t.Fatalf("%d entries, want 300", n)
				}
				if _, err := l.Entry(n); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("entry %d: %v, want fs.ErrNotExist", n, err)
				}
				if _, err := l.Receipt(t.Context(), n); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("receipt %d: %v, want fs.ErrNotExist", n, err)
				}
				if _, err := l.Blob(proof.Hash{1}); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("unknown blob: %v, want fs.ErrNotExist", err)
				}
			}
			check()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l.Open(t)
			check()
		})
	}
}

// TestSegmentsGrow fills the first segments of a log.
func TestSegmentsGrow(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed(), logtest.With(func(o *log.Options) { o.Segment = 3 << 20 }))
	for i := range 8 {
		mustAppend(t, l, fmt.Sprint(i), bytes.Repeat([]byte{byte(i)}, 900<<10))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{1 << 20, 2 << 20, 3 << 20, 3 << 20} {
		info, err := os.Stat(filepath.Join(l.Options.Dir, "segments", fmt.Sprintf("%08d", i)))
		if err != nil || info.Size() != want {
			t.Errorf("segment %d: %v, want %d bytes", i, info, want)
		}
	}
	l.Open(t)
	if l.Size() != 8 {
		t.Errorf("%d entries, want 8", l.Size())
	}
}
