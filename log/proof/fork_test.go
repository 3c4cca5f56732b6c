package proof_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"plastron/log/proof"
)

// fork returns a proof that the log signed, at the size from, another tree than
// the beginning of the one it signed at the size to.
func (w *world) fork(t testing.TB, from, to uint64) proof.ForkProof {
	t.Helper()
	other := proof.Checkpoint{Origin: origin, Size: from, Root: proof.LeafHash([]byte("another history"))}
	f := proof.ForkProof{Older: w.note(t, other, w.witnesses...), Newer: w.note(t, w.checkpoint(t, to), w.witnesses...)}
	if from < to {
		f.Prefix, f.Hashes = w.prefix(t, from, to)
	}
	return f
}

func (w *world) prefix(t testing.TB, from, to uint64) (proof.Hash, []proof.Hash) {
	t.Helper()
	p := must(proof.NewPrefix(from, to))(t)
	if err := p.Read(context.Background(), &w.tree); err != nil {
		t.Fatal(err)
	}
	root, hashes, err := p.Proof()
	if err != nil {
		t.Fatal(err)
	}
	return root, hashes
}

// TestForkProof proves forks between all pairs of sizes around those at which
// trees change their shape, through text and back, and from leaves as from
// tiles.
func TestForkProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 300)
	sizes := []uint64{0, 1, 2, 3, 4, 7, 8, 70, 255, 256, 257, 300}
	for i, from := range sizes {
		for _, to := range sizes[i:] {
			if to == 0 {
				continue
			}
			f := w.fork(t, from, to)
			text, err := f.MarshalText()
			if err != nil {
				t.Fatalf("%d, %d: %v", from, to, err)
			}
			back, err := proof.ParseForkProof(text)
			if err != nil {
				t.Fatalf("%d, %d: %v", from, to, err)
			}
			got, err := back.Verify(w.policy)
			if err != nil {
				t.Fatalf("%d, %d: %v", from, to, err)
			}
			older, newer := got.Witnesses()
			if got.Older().Size != from || got.Newer().Size != to || len(older) != 1 || len(newer) != 1 {
				t.Errorf("%d, %d: %+v", from, to, got)
			}
			if from < to {
				wantPrefix(t, w, from, to, f)
			}
		}
	}
}

// wantPrefix compares a proof with one that was made from the leaves alone.
func wantPrefix(t *testing.T, w *world, from, to uint64, f proof.ForkProof) {
	t.Helper()
	p := must(proof.NewPrefix(from, to))(t)
	all := proof.NewRange()
	for i := range to {
		if _, _, err := p.Proof(); err == nil && from > 0 {
			t.Fatalf("%d, %d: a proof after %d leaves", from, to, i)
		}
		all.Append(proof.LeafHash(entry(int64(i))), p.Visit)
	}
	root, hashes, err := p.Proof()
	if err != nil || root != f.Prefix || !slices.Equal(hashes, f.Hashes) {
		t.Errorf("%d, %d: from leaves %v, from tiles %v, %v", from, to, root, f.Prefix, err)
	}
	if want := w.tree.root(t, from); root != want {
		t.Errorf("%d, %d: prefix %v, want %v", from, to, root, want)
	}
	if read, err := proof.ReadRange(t.Context(), &w.tree, from); err != nil || read.Root() != root || read.Size() != from {
		t.Errorf("%d: read as a range: %v", from, err)
	}
}

// TestForkProofRefuses: what proves nothing is refused, an honest log's two
// checkpoints above all.
func TestForkProofRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 300)
	stranger := newWorld(t, 1, 70)
	for _, tt := range []struct {
		rule string
		from uint64
		to   uint64
		bad  func(f *proof.ForkProof)
		says string
	}{
		{"honest sizes", 70, 300, func(f *proof.ForkProof) { f.Older = w.note(t, w.checkpoint(t, 70)) }, "they agree"},
		{"an honest power of two", 64, 300, func(f *proof.ForkProof) { f.Older = w.note(t, w.checkpoint(t, 64)) }, "they agree"},
		{"an honest size 0", 0, 300, func(f *proof.ForkProof) { f.Older = w.note(t, w.checkpoint(t, 0)) }, "they agree"},
		{"one checkpoint twice", 70, 70, func(f *proof.ForkProof) { f.Older = f.Newer }, "they agree"},
		{"one checkpoint, cosigned and not", 70, 70, func(f *proof.ForkProof) { f.Older = w.note(t, w.checkpoint(t, 70)) }, "they agree"},
		{"an invented prefix", 70, 300, func(f *proof.ForkProof) {
			f.Older, f.Prefix = w.note(t, w.checkpoint(t, 70)), proof.Hash{1}
		}, "not the newer tree's"},
		{"an invented prefix of a power of two", 64, 300, func(f *proof.ForkProof) {
			f.Older, f.Prefix = w.note(t, w.checkpoint(t, 64)), proof.Hash{1}
		}, "not the newer tree's"},
		{"an invented prefix of size 0", 0, 300, func(f *proof.ForkProof) {
			f.Older, f.Prefix = w.note(t, w.checkpoint(t, 0)), proof.Hash{1}
		}, "not the newer tree's"},
		{"the prefix of another size", 70, 300, func(f *proof.ForkProof) {
			f.Older = w.note(t, w.checkpoint(t, 70))
			f.Prefix, f.Hashes = w.prefix(t, 71, 300)
		}, "not the newer tree's"},
		{"the prefix of another tree", 70, 300, func(f *proof.ForkProof) { f.Prefix, f.Hashes = w.prefix(t, 70, 299) }, "not the newer tree's"},
		{"a flipped hash", 70, 300, func(f *proof.ForkProof) { f.Hashes[1][0] ^= 1 }, "not the newer tree's"},
		{"a missing hash", 70, 300, func(f *proof.ForkProof) { f.Hashes = f.Hashes[1:] }, "not the newer tree's"},
		{"a surplus hash", 70, 300, func(f *proof.ForkProof) { f.Hashes = append(f.Hashes, proof.Hash{1}) }, "not the newer tree's"},
		{"no hashes", 70, 300, func(f *proof.ForkProof) { f.Hashes = nil }, "not the newer tree's"},
		{"the other way round", 70, 300, func(f *proof.ForkProof) { f.Older, f.Newer = f.Newer, f.Older }, "comes before"},
		{"a prefix between equal sizes", 70, 70, func(f *proof.ForkProof) { f.Prefix = proof.Hash{1} }, "and a prefix"},
		{"hashes between equal sizes", 70, 70, func(f *proof.ForkProof) { f.Hashes = []proof.Hash{{1}} }, "and a prefix"},
		{"older by a stranger", 70, 300, func(f *proof.ForkProof) { f.Older = stranger.note(t, stranger.checkpoint(t, 70)) }, "signature missing"},
		{"newer by a stranger", 70, 70, func(f *proof.ForkProof) { f.Newer = stranger.note(t, stranger.checkpoint(t, 70)) }, "signature missing"},
		{"older by a witness alone", 70, 300, func(f *proof.ForkProof) {
			body, _, _ := bytes.Cut(f.Older, []byte("\n\n"))
			f.Older = fmt.Appendf(nil, "%s\n\n%s", body, must(w.witnesses[0].Cosign(f.Older, noon))(t))
		}, "signature missing"},
		{"no older", 70, 300, func(f *proof.ForkProof) { f.Older = nil }, "older checkpoint"},
		{"no newer", 70, 300, func(f *proof.ForkProof) { f.Newer = nil }, "newer checkpoint"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			f := w.fork(t, tt.from, tt.to)
			f.Hashes = slices.Clone(f.Hashes)
			tt.bad(&f)
			_, err := f.Verify(w.policy)
			wantErr(t, err, nil, tt.says)
		})
	}
	if _, err := w.fork(t, 70, 300).Verify(&proof.Policy{}); err == nil {
		t.Error("the zero policy believed a proof")
	}
	// A spoilt line of a witness neither counts nor unmakes the log's own.
	f := w.fork(t, 70, 300)
	lines := strings.SplitAfter(string(f.Older), "\n")
	last := []byte(lines[len(lines)-2])
	last[len(last)-10] ^= 1
	lines[len(lines)-2] = string(last)
	f.Older = []byte(strings.Join(lines, ""))
	got, err := f.Verify(w.policy)
	if err != nil {
		t.Fatal(err)
	}
	if older, newer := got.Witnesses(); len(older) != 0 || len(newer) != 1 {
		t.Errorf("witnesses %q and %q, want none and one", older, newer)
	}
}

func TestParseForkProofRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 300)
	f := w.fork(t, 70, 300)
	text := string(must(f.MarshalText())(t))
	same := string(must(w.fork(t, 70, 70).MarshalText())(t))
	lines := strings.SplitAfter(text, "\n") // header, prefix, hashes, empty, note, empty, note
	edit := func(f func(ls []string) []string) string { return strings.Join(f(slices.Clone(lines)), "") }
	set := func(i int, s string) string { return edit(func(ls []string) []string { ls[i] = s; return ls }) }
	for _, tt := range []struct{ rule, text, says string }{
		{"empty", "", "not a plastron.example/tlog-fork@v1"},
		{"another version", set(0, "plastron.example/tlog-fork@v2\n"), "not a plastron"},
		{"carriage returns", strings.ReplaceAll(text, "\n", "\r\n"), "not a plastron"},
		{"a tlog-proof", string(must(w.proof(t, 3, 5).MarshalText())(t)), "not a plastron"},
		{"no prefix", set(1, ""), "a prefix goes with"},
		{"a prefix between equal sizes", strings.Replace(same, "\n", "\n"+lines[1], 1), "a prefix goes with"},
		{"hashes between equal sizes", strings.Replace(same, "\n", "\n"+lines[2], 1), "hashes without a prefix"},
		{"prefix twice", set(1, lines[1]+lines[1]), "hash 0"},
		{"prefix of zeros", set(1, "prefix AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"), "zeros"},
		{"prefix of 31 bytes", set(1, "prefix AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n"), "31 bytes"},
		{"hash with spare bits", set(2, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n"), "canonical base64"},
		{"64 hashes", edit(func(ls []string) []string { return slices.Insert(ls, 2, slices.Repeat(ls[2:3], 60)...) }), "more than 63"},
		{"one note", text[:strings.Index(text, "\n\n"+origin+"\n300")+1], "3 parts"},
		{"three notes", text + "\n" + string(f.Newer), "7 parts"},
		{"an empty line more", strings.Replace(text, "\n\n", "\n\n\n", 1), ""},
		{"trailing empty line", text + "\n", "6 parts"},
		{"last line not terminated", strings.TrimSuffix(text, "\n"), "not terminated"},
		{"notes of two logs", strings.Replace(text, origin+"\n300", "other\n300", 1), "of two logs"},
		{"size with leading zero", strings.Replace(text, "\n70\n", "\n070\n", 1), "canonical"},
		{"extension line", strings.Replace(text, "\n70\n", "\n70\nx\n", 1), "exactly the lines"},
		{"too long", text + strings.Repeat("x", 1<<19), "longer than"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := proof.ParseForkProof([]byte(tt.text))
			wantErr(t, err, nil, tt.says)
		})
	}
	swapped := proof.ForkProof{Older: f.Newer, Newer: f.Older, Prefix: f.Prefix, Hashes: f.Hashes}
	if _, err := swapped.MarshalText(); err == nil {
		t.Error("the larger first was written")
	}
}

// What we accept has one text, and only what the log forked is a fork.
func FuzzParseForkProof(f *testing.F) {
	w := newWorld(f, 1, 20)
	for _, sizes := range [][2]uint64{{3, 20}, {16, 20}, {0, 20}, {20, 20}} {
		text, err := w.fork(f, sizes[0], sizes[1]).MarshalText()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		honest := w.fork(f, sizes[0], sizes[1])
		honest.Older = w.note(f, w.checkpoint(f, sizes[0]))
		if text, err = honest.MarshalText(); err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := proof.ParseForkProof(text)
		if err != nil {
			return
		}
		again, err := p.MarshalText()
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%q has another text %q, %v", text, again, err)
		}
		got, err := p.Verify(w.policy)
		if err == nil && got.Older().Root == w.tree.root(t, got.Older().Size) && got.Newer().Root == w.tree.root(t, got.Newer().Size) {
			t.Errorf("%q frames an honest log", text)
		}
	})
}
