package proof_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	formatsnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"plastron/log/proof"
)

func TestCompact(t *testing.T) {
	t.Parallel()
	for _, witnesses := range []int{0, 1, 5} {
		w := newWorld(t, witnesses, 70)
		for _, at := range [][2]uint64{{0, 1}, {0, 2}, {1, 2}, {44, 70}, {69, 70}, {0, 64}} {
			p := w.proof(t, at[0], at[1], w.witnesses...)
			leaf := proof.LeafHash(entry(int64(at[0])))
			b, err := p.Compact(w.policy)
			if err != nil {
				t.Fatal(err)
			}
			back, err := proof.ParseCompact(b, w.policy, leaf)
			if err != nil {
				t.Fatal(err)
			}
			c, err := back.Verify(w.policy, leaf)
			if err != nil || c.Checkpoint() != w.checkpoint(t, at[1]) || len(c.Witnesses()) != witnesses {
				t.Fatalf("%v: %v", at, err)
			}
			again, err := back.Compact(w.policy)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("%v: compact again: %x, want %x, %v", at, again, b, err)
			}
			if back.Index != p.Index || !slices.Equal(back.Hashes, p.Hashes) {
				t.Errorf("%v came back as %+v", at, back)
			}
		}
	}
}

// A reader written from the doc comment of Compact, and from nothing else.
func TestCompactBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 70)
	p := w.proof(t, 44, 70, w.witnesses...)
	b, err := p.Compact(w.policy)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	want = append(want, 1, byte(len(origin)))
	want = append(want, origin...)
	want = binary.BigEndian.AppendUint64(want, 44)
	want = binary.BigEndian.AppendUint64(want, 70)
	want = append(want, byte(len(p.Hashes)))
	for _, h := range p.Hashes {
		want = append(want, h[:]...)
	}
	n, err := note.Open(p.Checkpoint, verifiers(t, w))
	if err != nil || len(n.Sigs) != 2 {
		t.Fatal(err)
	}
	for i, s := range n.Sigs { // log, witness; base64 of id, [time,] signature
		if i == 1 {
			want = append(want, 1)
		}
		want = append(want, decode(t, s.Base64)...)
	}
	if !bytes.Equal(b, want) {
		t.Errorf("got  %x\nwant %x", b, want)
	}
}

func verifiers(t *testing.T, w *world) note.Verifiers {
	t.Helper()
	l, err := note.NewVerifier(w.log.VKey())
	if err != nil {
		t.Fatal(err)
	}
	list := []note.Verifier{l}
	for _, s := range w.witnesses {
		v, err := formatsnote.NewVerifierForCosignatureV1(s.VKey())
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return note.VerifierList(list...)
}

func TestParseCompactRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, 70)
	leaf := proof.LeafHash(entry(44))
	good, err := w.proof(t, 44, 70, w.witnesses[0], w.witnesses[1]).Compact(w.policy)
	if err != nil {
		t.Fatal(err)
	}
	// Where the fields begin.
	const (
		index  = 2 + len(origin)
		size   = index + 8
		count  = size + 8
		hashes = count + 1
		log    = hashes + 7*32
		seals  = log + 68
		first  = seals + 1
		second = first + 76
	)
	if len(good) != second+76 || good[count] != 7 || good[seals] != 2 {
		t.Fatalf("%d bytes, %d hashes, %d cosignatures: the test's offsets are wrong", len(good), good[count], good[seals])
	}
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	set := func(at int, v ...byte) []byte {
		return edit(func(b []byte) []byte { copy(b[at:], v); return b })
	}
	u64 := func(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
	for _, tt := range []struct {
		rule string
		b    []byte
		says string
	}{
		{"empty", nil, "version"},
		{"version 0", set(0, 0), "version 0"},
		{"version 2", set(0, 2), "version 2"},
		{"another origin", set(2, 'L'), "origin"},
		{"empty origin", slices.Delete(set(1, 0), 2, 2+len(origin)), "origin"},
		{"origin of another length", set(1, byte(len(origin)-1)), ""},
		{"index past the tree", set(index, u64(70)...), "index 70 in a tree of 70"},
		{"index of another path", set(index, u64(64)...), "7 hashes for index 64 of 70"},
		{"size 0", set(size, u64(0)...), "in a tree of 0"},
		{"size past 2^63-1", set(size, u64(math.MaxUint64)...), ""},
		{"size of another path", set(size, u64(45)...), "7 hashes for index 44 of 45"},
		{"surplus hash", edit(func(b []byte) []byte { b[count]++; return slices.Insert(b, hashes, make([]byte, 32)...) }), "8 hashes"},
		{"missing hash", edit(func(b []byte) []byte { b[count]--; return slices.Delete(b, hashes, hashes+32) }), "6 hashes"},
		{"hash count without the hashes", set(count, 63), "63 hashes"},
		{"64 hashes", edit(func(b []byte) []byte { b[count] = 64; return slices.Insert(b, hashes, make([]byte, 57*32)...) }), "64 hashes: more than 63"},
		{"unknown log key", set(log, 0, 0, 0, 0), "log key 00000000"},
		{"a witness as the log", edit(func(b []byte) []byte { copy(b[log:log+4], b[first:]); return b }), "log key"},
		{"the log as a witness", edit(func(b []byte) []byte { copy(b[first:first+4], b[log:]); return b }), "no Ed25519 witness"},
		{"unknown witness key", set(first, 0, 0, 0, 1), "no Ed25519 witness has the key id 00000001"},
		{"a witness twice", edit(func(b []byte) []byte { copy(b[second:], b[first:second]); return b }), "twice or out of order"},
		{"witnesses out of order", edit(func(b []byte) []byte { return append(slices.Concat(b[:first], b[second:]), b[first:second]...) }), "twice or out of order"},
		{"time 0", set(first+4, u64(0)...), "cosignature time 0"},
		{"time past 9999", set(first+4, u64(253402300800)...), "cosignature time"},
		{"65 cosignatures", set(seals, 65), "65 cosignatures: more than 64"},
		{"one cosignature fewer than said", set(seals, 3), "ends early"},
		{"one cosignature more than said", set(seals, 1), "76 trailing bytes"},
		{"trailing byte", append(bytes.Clone(good), 0), "1 trailing bytes"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := proof.ParseCompact(tt.b, w.policy, leaf)
			wantErr(t, err, nil, tt.says)
		})
	}
	for n := range good {
		if _, err := proof.ParseCompact(good[:n], w.policy, leaf); err == nil {
			t.Errorf("cut to %d bytes: accepted", n)
		}
	}
	// A flipped bit that leaves the form alone must leave no proof.
	for at := range len(good) * 8 {
		b := bytes.Clone(good)
		b[at/8] ^= 1 << (at % 8)
		p, err := proof.ParseCompact(b, w.policy, leaf)
		if err != nil {
			continue
		}
		if _, err := p.Verify(w.policy, leaf); err == nil {
			t.Errorf("bit %d flipped: verified", at)
		}
	}
	p, err := proof.ParseCompact(good, w.policy, proof.LeafHash(entry(45)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Verify(w.policy, proof.LeafHash(entry(45)))
	wantErr(t, err, proof.ErrSignature, "")
	_, err = proof.ParseCompact(good, newWorld(t, 3, 1).policy, leaf)
	wantErr(t, err, nil, "log key")
}

func TestCompactRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 70)
	good := w.proof(t, 44, 70, w.witnesses...)
	pqSkey, pqVkey, err := formatsnote.GenerateMLDSAKey("pq.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		rule  string
		spoil func(p *proof.Proof)
		is    error
		says  string
	}{
		{"not cosigned", func(p *proof.Proof) { p.Checkpoint = w.note(t, w.checkpoint(t, 70)) }, proof.ErrQuorum, "too few"},
		{"a wrong signature", func(p *proof.Proof) {
			p.Checkpoint = editSignature(p.Checkpoint, func(b []byte) []byte { b[20] ^= 1; return b })
		}, proof.ErrSignature, ""},
		{"surplus hash", func(p *proof.Proof) { p.Hashes = append(p.Hashes, proof.Hash{}) }, nil, "8 hashes"},
		{"index past the tree", func(p *proof.Proof) { p.Index = 70 }, nil, "in a tree of 70"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			p := proof.Proof{Index: good.Index, Hashes: slices.Clone(good.Hashes), Checkpoint: good.Checkpoint}
			tt.spoil(&p)
			_, err := p.Compact(w.policy)
			wantErr(t, err, tt.is, tt.says)
		})
	}
	t.Run("met by a post-quantum witness only", func(t *testing.T) {
		pq := must(formatsnote.NewSignerForCosignatureV1(pqSkey))(t)
		n := &note.Note{Text: w.checkpoint(t, 70).Text()}
		msg := must(note.Sign(n, pq))(t)
		p := good
		p.Checkpoint = append(bytes.Clone(good.Checkpoint), msg[len(n.Text)+1:]...)
		policy := newPolicy(t, "log "+w.log.VKey(), "witness w0 "+w.witnesses[0].VKey(), "witness pq "+pqVkey, "group g all w0 pq", "quorum g")
		if _, err := policy.OpenCheckpoint(p.Checkpoint); err != nil {
			t.Fatal(err)
		}
		_, err := p.Compact(policy)
		wantErr(t, err, proof.ErrQuorum, "Ed25519")
	})
}

// Witnesses outside the quorum are left out, whoever else signed.
func TestCompactKeepsTheQuorum(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 70)
	policy := newPolicy(t, "log "+w.log.VKey(), "witness in "+w.witnesses[0].VKey(), "witness out "+w.witnesses[1].VKey(), "quorum in")
	all, err := w.proof(t, 44, 70, append(w.witnesses, newCosigner(t, "beacon.example"))...).Compact(policy)
	if err != nil {
		t.Fatal(err)
	}
	one, err := w.proof(t, 44, 70, w.witnesses[0]).Compact(policy)
	if err != nil || !bytes.Equal(all, one) {
		t.Errorf("%d bytes, want %d, %v", len(all), len(one), err)
	}
}

func FuzzParseCompact(f *testing.F) {
	// Keys that stay, so that what was found in one run leads on in the next.
	w := newWorldOf(f, exampleKey, 3, 70)
	leaf := proof.LeafHash(entry(44))
	for _, p := range []proof.Proof{w.proof(f, 44, 70, w.witnesses...), w.proof(f, 0, 1, w.witnesses[1:]...)} {
		b, err := p.Compact(w.policy)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := proof.ParseCompact(b, w.policy, leaf)
		if err != nil {
			return
		}
		if _, err := proof.ParseProof(must(p.MarshalText())(t)); err != nil {
			t.Errorf("%x has no text: %v", b, err)
		}
		if _, err := p.Verify(w.policy, leaf); err == nil && !bytes.Equal(must(p.Compact(w.policy))(t), b) {
			t.Errorf("%x verifies and has another form", b)
		}
	})
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestCompactSize holds the budget: at most 1.3 kB in an SVID at 2^24 entries
// with one witness.
func TestCompactSize(t *testing.T) {
	t.Parallel()
	const budget = 1300
	p, policy, leaf := deepProof(t)
	b := must(p.Compact(policy))(t)
	text := must(p.MarshalText())(t)
	t.Logf("2^24 entries, one witness: compact %d bytes, text %d bytes", len(b), len(text))
	if len(b) > budget {
		t.Errorf("compact proof of %d bytes, budget %d", len(b), budget)
	}
	back := must(proof.ParseCompact(b, policy, leaf))(t)
	if _, err := back.Verify(policy, leaf); err != nil {
		t.Error(err)
	}
}

// deepProof returns the proof of the last of 2^24 entries, one witness having
// cosigned: its path is as long as any in that tree.
func deepProof(t testing.TB) (proof.Proof, *proof.Policy, proof.Hash) {
	t.Helper()
	w := newWorld(t, 1, 1)
	const size = 1 << 24
	p := proof.Proof{Index: size - 1, Hashes: make([]proof.Hash, 24)}
	leaf := proof.LeafHash(entry(0))
	root := leaf
	for i := range p.Hashes {
		p.Hashes[i] = proof.LeafHash(fmt.Appendf(nil, "subtree %d", i))
		pair := proof.NewRange() // of two leaves, whose root is one node
		pair.Append(p.Hashes[i], nil)
		pair.Append(root, nil)
		root = pair.Root()
	}
	p.Checkpoint = w.note(t, proof.Checkpoint{Origin: origin, Size: size, Root: root}, w.witnesses...)
	return p, w.policy, leaf
}
