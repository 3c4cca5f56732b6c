package proof_test

import (
	"context"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"plastron/log/proof"
)

// Every leaf of every small tree: our builder against tlog's checker and
// tlog's builder against our checker, and nothing spoilt passes.
func TestInclusionAgainstPeer(t *testing.T) {
	t.Parallel()
	const most = 70
	w := newWorld(t, 0, most)
	for size := uint64(1); size <= most; size++ {
		root := w.tree.root(t, size)
		for index := range size {
			leaf := proof.LeafHash(entry(int64(index)))
			hs, err := proof.Inclusion(context.Background(), &w.tree, index, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(tlogHashes(hs), int64(size), tlog.Hash(root), int64(index), tlog.Hash(leaf)); err != nil {
				t.Fatalf("leaf %d of %d: tlog refuses our proof: %v", index, size, err)
			}
			theirs, err := tlog.ProveRecord(int64(size), int64(index), &w.tree)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyInclusion(leaf, index, size, ourHashes(theirs), root); err != nil {
				t.Fatalf("leaf %d of %d: we refuse tlog's proof: %v", index, size, err)
			}
			if size <= 20 {
				spoilInclusion(t, leaf, index, size, hs, root)
			}
		}
	}
}

func spoilInclusion(t *testing.T, leaf proof.Hash, index, size uint64, hs []proof.Hash, root proof.Hash) {
	t.Helper()
	refuse := func(rule string, err error) {
		if err == nil {
			t.Errorf("leaf %d of %d: %s: accepted", index, size, rule)
		}
	}
	flip := func(h proof.Hash) proof.Hash { h[31] ^= 1; return h }
	refuse("another leaf", proof.VerifyInclusion(flip(leaf), index, size, hs, root))
	refuse("another root", proof.VerifyInclusion(leaf, index, size, hs, flip(root)))
	refuse("index past the tree", proof.VerifyInclusion(leaf, size, size, hs, root))
	refuse("surplus hash", proof.VerifyInclusion(leaf, index, size, append(slices.Clone(hs), root), root))
	for other := range size {
		if other != index {
			refuse("another index", proof.VerifyInclusion(leaf, other, size, hs, root))
		}
	}
	for i := range hs {
		spoilt := slices.Clone(hs)
		spoilt[i] = flip(spoilt[i])
		refuse("a flipped hash", proof.VerifyInclusion(leaf, index, size, spoilt, root))
		refuse("a missing hash", proof.VerifyInclusion(leaf, index, size, slices.Delete(slices.Clone(hs), i, i+1), root))
		if i > 0 {
			swapped := slices.Clone(hs)
			swapped[i], swapped[i-1] = swapped[i-1], swapped[i]
			refuse("two hashes swapped", proof.VerifyInclusion(leaf, index, size, swapped, root))
		}
	}
}

func TestConsistencyAgainstPeer(t *testing.T) {
	t.Parallel()
	const most = 40
	w := newWorld(t, 0, most)
	for to := uint64(1); to <= most; to++ {
		toRoot := w.tree.root(t, to)
		for from := uint64(1); from <= to; from++ {
			fromRoot := w.tree.root(t, from)
			hs, err := proof.Consistency(context.Background(), &w.tree, from, to)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckTree(tlogHashes(hs), int64(to), tlog.Hash(toRoot), int64(from), tlog.Hash(fromRoot)); err != nil {
				t.Fatalf("%d to %d: tlog refuses our proof: %v", from, to, err)
			}
			theirs, err := tlog.ProveTree(int64(to), int64(from), &w.tree)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyConsistency(from, to, ourHashes(theirs), fromRoot, toRoot); err != nil {
				t.Fatalf("%d to %d: we refuse tlog's proof: %v", from, to, err)
			}
			spoilConsistency(t, from, to, hs, fromRoot, toRoot)
		}
	}
}

func spoilConsistency(t *testing.T, from, to uint64, hs []proof.Hash, fromRoot, toRoot proof.Hash) {
	t.Helper()
	refuse := func(rule string, err error) {
		if err == nil {
			t.Errorf("%d to %d: %s: accepted", from, to, rule)
		}
	}
	flip := func(h proof.Hash) proof.Hash { h[0] ^= 0x80; return h }
	refuse("another old root", proof.VerifyConsistency(from, to, hs, flip(fromRoot), toRoot))
	refuse("another new root", proof.VerifyConsistency(from, to, hs, fromRoot, flip(toRoot)))
	refuse("surplus hash", proof.VerifyConsistency(from, to, append(slices.Clone(hs), toRoot), fromRoot, toRoot))
	if from != to {
		refuse("backwards", proof.VerifyConsistency(to, from, hs, toRoot, fromRoot))
		refuse("no proof", proof.VerifyConsistency(from, to, nil, fromRoot, toRoot))
	}
	for i := range hs {
		spoilt := slices.Clone(hs)
		spoilt[i] = flip(spoilt[i])
		refuse("a flipped hash", proof.VerifyConsistency(from, to, spoilt, fromRoot, toRoot))
		refuse("a missing hash", proof.VerifyConsistency(from, to, slices.Delete(slices.Clone(hs), i, i+1), fromRoot, toRoot))
	}
}

func TestConsistencyFromNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, 5)
	empty, root := proof.EmptyRoot(), w.tree.root(t, 5)
	for _, tt := range []struct {
		rule     string
		from, to uint64
		hashes   []proof.Hash
		a, b     proof.Hash
		ok       bool
	}{
		{"empty to empty", 0, 0, nil, empty, empty, true},
		{"empty to five", 0, 5, nil, empty, root, true},
		{"five to five", 5, 5, nil, root, root, true},
		{"size 0 with a root", 0, 5, nil, root, root, false},
		{"size 0 with the zero hash", 0, 0, nil, proof.Hash{}, proof.Hash{}, false},
		{"to size 0 with a root", 0, 0, nil, empty, root, false},
		{"from nothing with a proof", 0, 5, []proof.Hash{root}, empty, root, false},
		{"five to five with a proof", 5, 5, []proof.Hash{root}, root, root, false},
		{"five to five with another root", 5, 5, nil, root, empty, false},
		{"past the largest tree", 5, 1 << 63, []proof.Hash{root}, root, root, false},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if err := proof.VerifyConsistency(tt.from, tt.to, tt.hashes, tt.a, tt.b); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
	leaf := proof.LeafHash(entry(0))
	wantErr(t, proof.VerifyInclusion(leaf, 0, 1<<63, nil, leaf), nil, "more than")
	wantErr(t, proof.VerifyInclusion(leaf, 0, 0, nil, empty), nil, "beyond")
}

func TestRangeAgainstPeer(t *testing.T) {
	t.Parallel()
	const most = 600
	var tr tree
	r := proof.NewRange()
	nodes := map[[2]uint64]proof.Hash{}
	for size := range int64(most) {
		if got, want := r.Root(), tr.root(t, uint64(size)); got != want || r.Size() != uint64(size) {
			t.Fatalf("size %d: root %v, tlog says %v", size, got, want)
		}
		again, err := proof.OpenRange(r.Size(), r.Hashes())
		if err != nil || again.Root() != r.Root() {
			t.Fatalf("size %d: opened again has root %v, %v", size, again.Root(), err)
		}
		tr.grow(t, 1)
		r.Append(proof.LeafHash(entry(size)), func(level uint, index uint64, h proof.Hash) {
			nodes[[2]uint64{uint64(level), index}] = h
		})
	}
	for at, h := range nodes {
		if want := tr.stored[tlog.StoredHashIndex(int(at[0]), int64(at[1]))]; h != proof.Hash(want) {
			t.Errorf("node %v is %v, tlog says %v", at, h, want)
		}
	}
	if len(nodes) != len(tr.stored) {
		t.Errorf("%d nodes, tlog has %d", len(nodes), len(tr.stored))
	}
	_, err := proof.OpenRange(3, make([]proof.Hash, 1))
	wantErr(t, err, nil, "invalid hashes")
}
