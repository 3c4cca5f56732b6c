package proof_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"plastron/log/proof"
)

const origin = "log.example.com/gate"

// noon is when the witnesses of these tests sign.
var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newLog(t testing.TB, origin string) *proof.Signer {
	t.Helper()
	s, err := proof.NewLogSigner(origin, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newCosigner(t testing.TB, name string) *proof.Signer {
	t.Helper()
	s, err := proof.NewCosigner(name, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newPolicy(t testing.TB, lines ...string) *proof.Policy {
	t.Helper()
	p, err := proof.ParsePolicy([]byte(strings.Join(lines, "\n") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A world is a log, witnesses w0, w1 …, and a policy that wants most of them.
type world struct {
	log       *proof.Signer
	witnesses []*proof.Signer
	keys      []ed25519.PrivateKey // of the witnesses
	policy    *proof.Policy
	tree      tree
}

func newWorld(t testing.TB, witnesses, leaves int) *world {
	t.Helper()
	return newWorldOf(t, func(string) ed25519.PrivateKey { return newKey(t) }, witnesses, leaves)
}

func newWorldOf(t testing.TB, key func(name string) ed25519.PrivateKey, witnesses, leaves int) *world {
	t.Helper()
	w := &world{log: must(proof.NewLogSigner(origin, key(origin)))(t)}
	lines := []string{"log " + w.log.VKey()}
	group := fmt.Sprintf("group most %d", witnesses/2+1)
	for i := range witnesses {
		name := fmt.Sprintf("witness.example.com/%d", i)
		w.keys = append(w.keys, key(name))
		s := must(proof.NewCosigner(name, w.keys[i]))(t)
		w.witnesses = append(w.witnesses, s)
		lines = append(lines, fmt.Sprintf("witness w%d %s", i, s.VKey()))
		group += fmt.Sprintf(" w%d", i)
	}
	if witnesses == 0 {
		lines = append(lines, "quorum none")
	} else {
		lines = append(lines, group, "quorum most")
	}
	w.policy = newPolicy(t, lines...)
	w.tree.grow(t, leaves)
	return w
}

// checkpoint returns the checkpoint of the tree when it was that size.
func (w *world) checkpoint(t testing.TB, size uint64) proof.Checkpoint {
	return proof.Checkpoint{Origin: origin, Size: size, Root: w.tree.root(t, size)}
}

// note signs a checkpoint, by the log and by the witnesses.
func (w *world) note(t testing.TB, c proof.Checkpoint, witnesses ...*proof.Signer) []byte {
	t.Helper()
	msg, err := w.log.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return cosign(t, msg, noon, witnesses...)
}

func cosign(t testing.TB, msg []byte, at time.Time, witnesses ...*proof.Signer) []byte {
	t.Helper()
	out := bytes.Clone(msg)
	for _, s := range witnesses {
		line, err := s.Cosign(msg, at)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, line...)
	}
	return out
}

// proof returns the proof of a leaf in the tree of that size.
func (w *world) proof(t testing.TB, index, size uint64, witnesses ...*proof.Signer) proof.Proof {
	t.Helper()
	hashes, err := proof.Inclusion(context.Background(), &w.tree, index, size)
	if err != nil {
		t.Fatal(err)
	}
	return proof.Proof{Index: index, Hashes: hashes, Checkpoint: w.note(t, w.checkpoint(t, size), witnesses...)}
}

// A tree is kept by x/mod's tlog, which shares no code with ours.
type tree struct {
	leaves int64
	stored []tlog.Hash
	reads  int
}

func entry(i int64) []byte { return fmt.Appendf(nil, "entry %d", i) }

func (tr *tree) grow(t testing.TB, n int) {
	t.Helper()
	for range n {
		hs, err := tlog.StoredHashes(tr.leaves, entry(tr.leaves), tr)
		if err != nil {
			t.Fatal(err)
		}
		tr.stored = append(tr.stored, hs...)
		tr.leaves++
	}
}

func (tr *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hs := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		hs[i] = tr.stored[x]
	}
	return hs, nil
}

func (tr *tree) root(t testing.TB, size uint64) proof.Hash {
	t.Helper()
	h, err := tlog.TreeHash(int64(size), tr)
	if err != nil {
		t.Fatal(err)
	}
	return proof.Hash(h)
}

// ReadTile cuts tiles the way tlog does.
func (tr *tree) ReadTile(_ context.Context, level int, index uint64, width int) ([]byte, error) {
	tr.reads++
	tile := tlog.Tile{H: 8, L: level, N: int64(index), W: width}
	if (tile.N<<8+int64(width))<<(8*level) > tr.leaves {
		return nil, errors.New("tile is past the tree")
	}
	return tlog.ReadTileData(tile, tr)
}

func tlogHashes(hs []proof.Hash) []tlog.Hash {
	out := make([]tlog.Hash, len(hs))
	for i, h := range hs {
		out[i] = tlog.Hash(h)
	}
	return out
}

func ourHashes(hs []tlog.Hash) []proof.Hash {
	out := make([]proof.Hash, len(hs))
	for i, h := range hs {
		out[i] = proof.Hash(h)
	}
	return out
}

// wantErr checks that an error is there, is target (if not nil) and says text.
func wantErr(t *testing.T, err, target error, text string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("accepted, want an error that says %q", text)
	case target != nil && !errors.Is(err, target):
		t.Errorf("got error %v, want %v", err, target)
	case !strings.Contains(err.Error(), text):
		t.Errorf("got error %q, want it to say %q", err, text)
	}
}
