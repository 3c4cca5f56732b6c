package log

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plastron/log/proof"
)

// TestRecordsRefused writes records that are whole and signed with our key, and
// that this program would not have written.
func TestRecordsRefused(t *testing.T) {
	t.Parallel()
	key := proof.Hash{1}
	entry := func(c Conditions, blobs ...proof.Hash) Stored {
		return Stored{Entry: []byte("entry"), Conditions: c, Blobs: blobs}
	}
	open := Conditions{Decided: Unconditional}
	for _, c := range []struct {
		name    string
		records [][]Stored
		spoil   func(r *record)
		says    string // "": it starts
	}{
		{"nothing wrong", [][]Stored{{entry(open), entry(Conditions{Decided: 0, Spent: []proof.Hash{key}})}, {entry(open)}}, nil, ""},
		{"a key spent twice", [][]Stored{{entry(Conditions{Decided: 0, Spent: []proof.Hash{key}})}, {entry(Conditions{Decided: 1, Spent: []proof.Hash{key}})}}, nil, "which entry 0 has spent"},
		{"decided before a barrier", [][]Stored{{entry(open), entry(Conditions{Decided: 0, Barrier: true})}, {entry(Conditions{Decided: 1})}}, nil, "was decided before the barrier 1"},
		{"decided after itself", [][]Stored{{entry(Conditions{Decided: 1})}}, nil, ""},
		{"a blob that is nowhere", [][]Stored{{entry(open, proof.Hash{7})}}, nil, "was never stored"},
		{"entries left out", [][]Stored{{entry(open)}, {entry(open)}}, func(r *record) {
			if r.start == 1 {
				r.start = 2
			}
		}, "1 entries come before it"},
		{"another root", [][]Stored{{entry(open)}}, func(r *record) {
			r.checkpoint = []byte(strings.Replace(string(r.checkpoint), "\n1\n", "\n1\nAA", 1))
		}, "does not have the root"},
		{"signature flipped", [][]Stored{{entry(open)}}, func(r *record) { r.checkpoint[len(r.checkpoint)-10] ^= 2 }, "are not signed with this log's key"},
		{"no signature", [][]Stored{{entry(open)}}, func(r *record) {
			text, _, _ := strings.Cut(string(r.checkpoint), "\n\n")
			r.checkpoint = []byte(text + "\n\n")
		}, "are not signed with this log's key"},
		{"another segment's record", [][]Stored{{entry(open)}}, func(r *record) { r.segment = 1 }, ""},
		{"another place's record", [][]Stored{{entry(open)}}, func(r *record) { r.offset = 1 }, ""},
	} {
		o := newOptions(t)
		l, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		writeSegment(t, o, c.records, c.spoil)
		l, err = Open(t.Context(), o)
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			want := uint64(3)
			if len(c.records) == 1 {
				want = 0 // cut: nobody can have acknowledged it
			}
			if l.Size() != want {
				t.Errorf("%s: size %d, want %d", c.name, l.Size(), want)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil {
			l.Close()
			t.Errorf("%s: started", c.name)
		} else if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %q in it", c.name, err, c.says)
		}
	}
}

func newOptions(t *testing.T) Options {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := proof.NewLogSigner("log.example/records", key)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := proof.ParsePolicy(fmt.Appendf(nil, "log %s\nquorum none\n", signer.VKey()))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return Options{
		Dir: filepath.Join(dir, "data"), Lock: filepath.Join(dir, "lock"), Segment: 1 << 16,
		Signer: signer, Policy: policy, Logger: slog.New(slog.DiscardHandler),
	}
}

// writeSegment writes segment 0 with a record for each batch.
func writeSegment(t *testing.T, o Options, batches [][]Stored, spoil func(*record)) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(o.Dir, "segments", "00000000"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tree, offset := proof.NewRange(), int64(0)
	for _, batch := range batches {
		r := &record{offset: offset, start: tree.Size()}
		head := make([]byte, recordHeader)
		for _, e := range batch {
			head = appendEntry(head, &e)
			r.entries = append(r.entries, e)
			tree.Append(proof.LeafHash(e.Entry), nil)
		}
		r.checkpoint, err = o.Signer.Sign(proof.Checkpoint{Origin: o.Signer.Name(), Size: tree.Size(), Root: tree.Root()})
		if err != nil {
			t.Fatal(err)
		}
		if spoil != nil {
			spoil(r)
		}
		head = finishHead(head, r)
		if _, err := f.WriteAt(head, offset); err != nil {
			t.Fatal(err)
		}
		offset += int64(len(head))
	}
}
