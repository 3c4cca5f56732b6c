package proof_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/proof"

	"plastron/log/proof"
)

func TestProofText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 70)
	for _, size := range []uint64{1, 2, 33, 70} {
		for _, index := range []uint64{0, size / 2, size - 1} {
			p := w.proof(t, index, size, w.witnesses...)
			text, err := p.MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			back, err := proof.ParseProof(text)
			if err != nil || back.Index != p.Index || !slices.Equal(back.Hashes, p.Hashes) || !bytes.Equal(back.Checkpoint, p.Checkpoint) {
				t.Fatalf("leaf %d of %d came back as %+v, %v", index, size, back, err)
			}
			c, err := back.Verify(w.policy, proof.LeafHash(entry(int64(index))))
			if err != nil || c.Checkpoint().Size != size {
				t.Errorf("leaf %d of %d: %v", index, size, err)
			}
			var peer formats.TLogProof
			if err := peer.Unmarshal(text); err != nil || peer.Index != index || len(peer.Hashes) != len(p.Hashes) {
				t.Errorf("formats reads %+v, %v", peer, err)
			}
		}
	}
}

func TestProofVerifyRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 70)
	good := w.proof(t, 44, 70, w.witnesses...)
	leaf := proof.LeafHash(entry(44))
	for _, tt := range []struct {
		rule  string
		spoil func(p *proof.Proof)
		leaf  proof.Hash
		is    error
	}{
		{"another leaf", func(*proof.Proof) {}, proof.LeafHash(entry(45)), nil},
		{"the entry as leaf", func(*proof.Proof) {}, proof.Hash{}, nil},
		{"another index", func(p *proof.Proof) { p.Index++ }, leaf, nil},
		{"index past the tree", func(p *proof.Proof) { p.Index = 70 }, leaf, nil},
		{"a flipped hash", func(p *proof.Proof) { p.Hashes[3][0] ^= 1 }, leaf, nil},
		{"a surplus hash", func(p *proof.Proof) { p.Hashes = append(p.Hashes, leaf) }, leaf, nil},
		{"a missing hash", func(p *proof.Proof) { p.Hashes = p.Hashes[1:] }, leaf, nil},
		{"no checkpoint", func(p *proof.Proof) { p.Checkpoint = nil }, leaf, nil},
		{"not cosigned", func(p *proof.Proof) { p.Checkpoint = w.note(t, w.checkpoint(t, 70)) }, leaf, proof.ErrQuorum},
		{"checkpoint of another size", func(p *proof.Proof) { p.Checkpoint = w.note(t, w.checkpoint(t, 69), w.witnesses...) }, leaf, nil},
		{"another log's checkpoint", func(p *proof.Proof) {
			o := newWorld(t, 1, 70)
			p.Checkpoint = o.note(t, o.checkpoint(t, 70), o.witnesses...)
		}, leaf, proof.ErrSignature},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			p := proof.Proof{Index: good.Index, Hashes: slices.Clone(good.Hashes), Checkpoint: good.Checkpoint}
			tt.spoil(&p)
			_, err := p.Verify(w.policy, tt.leaf)
			wantErr(t, err, tt.is, "")
		})
	}
	if _, err := good.Verify(w.policy, leaf); err != nil {
		t.Error(err)
	}
}

func TestParseProofRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, 5)
	p := w.proof(t, 3, 5)
	text, err := p.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n") // header, index, three hashes, empty, note
	edit := func(f func(ls []string) []string) string { return strings.Join(f(slices.Clone(lines)), "") }
	set := func(i int, s string) string { return edit(func(ls []string) []string { ls[i] = s; return ls }) }
	for _, tt := range []struct{ rule, text, says string }{
		{"empty", "", "not a c2sp.org/tlog-proof@v1"},
		{"another version", set(0, "c2sp.org/tlog-proof@v2\n"), "not a c2sp.org"},
		{"header with space", set(0, "c2sp.org/tlog-proof@v1 \n"), "not a c2sp.org"},
		{"carriage returns", strings.ReplaceAll(string(text), "\n", "\r\n"), "not a c2sp.org"},
		{"no index", set(1, ""), "no index line"},
		{"index with leading zero", set(1, "index 03\n"), "canonical"},
		{"index with sign", set(1, "index +3\n"), "decimal"},
		{"index past the tree", set(1, "index 5\n"), "index 5 in a tree of 5"},
		{"index past 2^63", set(1, "index 9223372036854775807\n"), "more than"},
		{"index of another path", set(1, "index 4\n"), "3 hashes for index 4 of 5, want 1"},
		{"index twice", edit(func(ls []string) []string { return slices.Insert(ls, 1, ls[1]) }), "hash 0"},
		{"extra not base64", set(1, "extra !\nindex 3\n"), "extra"},
		{"extra twice", set(1, "extra AA==\nextra AA==\nindex 3\n"), "no index line"},
		{"extra after index", set(1, "index 3\nextra AA==\n"), "hash 0"},
		{"surplus hash", edit(func(ls []string) []string { return slices.Insert(ls, 2, ls[2]) }), "4 hashes"},
		{"missing hash", set(2, ""), "2 hashes"},
		{"64 hashes", edit(func(ls []string) []string { return slices.Insert(ls, 2, slices.Repeat(ls[2:3], 61)...) }), "64 hashes: more than 63"},
		{"hash of 31 bytes", set(2, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n"), "31 bytes"},
		{"hash with spare bits", set(2, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n"), "canonical base64"},
		{"no empty line", set(5, ""), ""},
		{"no checkpoint", edit(func(ls []string) []string { return ls[:6] }), "without signatures"},
		{"checkpoint with extension line", set(8, lines[8]+"x\n"), "exactly the lines"},
		{"too long", string(text) + strings.Repeat("x", 1<<18), "longer than"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := proof.ParseProof([]byte(tt.text))
			wantErr(t, err, nil, tt.says)
		})
	}
	back, err := proof.ParseProof([]byte(set(1, "extra AA==\nindex 3\n")))
	if err != nil || back.Index != 3 {
		t.Errorf("extra data: %v", err)
	}
}

// What we accept has one text, but for extra data, and the formats library
// reads the same from it.
func FuzzParseProof(f *testing.F) {
	w := newWorld(f, 1, 5)
	for _, i := range []uint64{0, 3, 4} {
		text, err := w.proof(f, i, 5, w.witnesses...).MarshalText()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(bytes.Replace(text, []byte("index"), []byte("extra AAAA\nindex"), 1))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := proof.ParseProof(text)
		if err != nil {
			return
		}
		again, err := p.MarshalText()
		if err != nil {
			t.Fatalf("%q is read but not written: %v", text, err)
		}
		if !bytes.Equal(again, text) && !bytes.Contains(text, []byte("\nextra ")) {
			t.Errorf("%q has another text %q", text, again)
		}
		var peer formats.TLogProof
		if err := peer.Unmarshal(again); err != nil || peer.Index != p.Index || len(peer.Hashes) != len(p.Hashes) {
			t.Errorf("%q: formats reads %+v, %v", again, peer, err)
		}
	})
}
