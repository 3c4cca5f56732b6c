package log

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"plastron/log/proof"
)

// world is a log of two entries with a key and a witness of its own.
type world struct {
	policy   *Policy
	receipts [2]Receipt
}

func newWorld(t *testing.T, origin string) world {
	t.Helper()
	key := func() ed25519.PrivateKey {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	signer, err := proof.NewLogSigner(origin, key())
	if err != nil {
		t.Fatal(err)
	}
	witness, err := proof.NewCosigner("witness.example", key())
	if err != nil {
		t.Fatal(err)
	}
	w := world{}
	w.policy, err = proof.ParsePolicy(fmt.Appendf(nil, "log %s\nwitness w %s\nquorum w\n", signer.VKey(), witness.VKey()))
	if err != nil {
		t.Fatal(err)
	}
	entries := [2][]byte{[]byte(origin + " 0"), []byte(origin + " 1")}
	leaves := [2]proof.Hash{proof.LeafHash(entries[0]), proof.LeafHash(entries[1])}
	tree := proof.NewRange()
	tree.Append(leaves[0], nil)
	tree.Append(leaves[1], nil)
	note, err := signer.Sign(proof.Checkpoint{Origin: origin, Size: 2, Root: tree.Root()})
	if err != nil {
		t.Fatal(err)
	}
	line, err := witness.Cosign(note, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	note = append(note, line...)
	for i := range 2 {
		w.receipts[i] = Receipt{entries[i], proof.Proof{Index: uint64(i), Hashes: []proof.Hash{leaves[1-i]}, Checkpoint: note}}
	}
	return w
}

func TestReceiptOpen(t *testing.T) {
	t.Parallel()
	ours, others := newWorld(t, "ours.example"), newWorld(t, "others.example")
	if got, err := ours.receipts[1].Open(ours.policy); err != nil || string(got) != "ours.example 1" {
		t.Fatalf("%q, %v", got, err)
	}
	for _, c := range []struct {
		name  string
		spoil func(r *Receipt)
	}{
		{"zero receipt", func(r *Receipt) { *r = Receipt{} }},
		{"another log's receipt", func(r *Receipt) { *r = others.receipts[1] }},
		{"no entry", func(r *Receipt) { r.entry = nil }},
		{"another entry", func(r *Receipt) { r.entry = ours.receipts[0].entry }},
		{"entry flipped", func(r *Receipt) { r.entry[0] ^= 1 }},
		{"entry truncated", func(r *Receipt) { r.entry = r.entry[:len(r.entry)-1] }},
		{"another index", func(r *Receipt) { r.proof.Index = 0 }},
		{"index beyond the tree", func(r *Receipt) { r.proof.Index = 2 }},
		{"no path", func(r *Receipt) { r.proof.Hashes = nil }},
		{"surplus hash", func(r *Receipt) { r.proof.Hashes = append(r.proof.Hashes, proof.Hash{}) }},
		{"another's path", func(r *Receipt) { r.proof.Hashes = ours.receipts[0].proof.Hashes }},
		{"hash flipped", func(r *Receipt) { r.proof.Hashes[0][0] ^= 1 }},
		{"no checkpoint", func(r *Receipt) { r.proof.Checkpoint = nil }},
		{"another log's checkpoint", func(r *Receipt) { r.proof.Checkpoint = others.receipts[0].proof.Checkpoint }},
		{"checkpoint flipped", func(r *Receipt) { r.proof.Checkpoint[20] ^= 1 }},
		{"missing quorum", func(r *Receipt) {
			_, bare, err := ours.policy.Bare(r.proof.Checkpoint)
			if err != nil {
				t.Fatal(err)
			}
			r.proof.Checkpoint = bare
		}},
	} {
		r := ours.receipts[1]
		r.entry, r.proof = slices.Clone(r.entry), r.Proof()
		c.spoil(&r)
		entry, err := r.Open(ours.policy)
		if !errors.Is(err, ErrNotLogged) || entry != nil {
			t.Errorf("%s: %q, %v; want ErrNotLogged", c.name, entry, err)
		}
	}
	if _, err := (*Receipt)(nil).Open(ours.policy); !errors.Is(err, ErrNotLogged) {
		t.Errorf("nil receipt: %v, want ErrNotLogged", err)
	}
	if _, err := ours.receipts[1].Open(others.policy); !errors.Is(err, ErrNotLogged) {
		t.Errorf("another policy: %v, want ErrNotLogged", err)
	}
	if _, err := ours.receipts[1].Open(&Policy{}); !errors.Is(err, ErrNotLogged) {
		t.Errorf("zero policy: %v, want ErrNotLogged", err)
	}
	// What Open returned is the caller's.
	entry, err := ours.receipts[1].Open(ours.policy)
	if err != nil {
		t.Fatal(err)
	}
	entry[0] ^= 1
	if _, err := ours.receipts[1].Open(ours.policy); err != nil {
		t.Errorf("after the entry was changed: %v", err)
	}
}
