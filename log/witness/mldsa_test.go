package witness_test

import (
	"crypto"
	"crypto/mldsa"
	"fmt"
	"net/http"
	"strings"
	"testing"

	formatsnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"plastron/log/proof"
	"plastron/log/witness"
)

func newMLDSAKey(t testing.TB) *mldsa.PrivateKey {
	t.Helper()
	return must(mldsa.GenerateKey(mldsa.MLDSA44()))(t)
}

// newTwoKeyWorld is a world whose witness has an ML-DSA key too.
func newTwoKeyWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.stop()
	w.config.MLDSA = newMLDSAKey(t)
	w.start(t)
	return w
}

// Both keys sign, and what a monitor is shown has both lines.
func TestServerSignsWithBothKeys(t *testing.T) {
	t.Parallel()
	w := newTwoKeyWorld(t)
	status, _, lines := w.post(t, w.log.request(t, 0, 5))
	if status != http.StatusOK || strings.Count(lines, "\n") != 2 {
		t.Fatalf("status %d, %q", status, lines)
	}
	if got, want := w.latest(t), string(w.log.note(t, 5))+lines; got != want {
		t.Errorf("shows %q, want %q", got, want)
	}
	ed := must(formatsnote.NewVerifierForCosignatureV1(w.server.VKey()))(t)
	pq := must(formatsnote.NewMLDSAVerifier(w.server.MLDSAVKey()))(t)
	n, err := note.Open([]byte(w.latest(t)), note.VerifierList(ed, pq))
	if err != nil || len(n.Sigs) != 2 {
		t.Fatalf("formats: %v", err)
	}
	for _, s := range n.Sigs {
		if at, err := formatsnote.CoSigV1Timestamp(s); err != nil || !at.Equal(noon) {
			t.Errorf("%s: %v, %v", s.Name, at, err)
		}
	}
	// It reads back what it wrote.
	w.stop()
	w.start(t)
	if status, _, b := w.post(t, w.log.request(t, 5, 9)); status != http.StatusOK {
		t.Errorf("after a restart: %d %q", status, b)
	}
}

// One client asks for all keys of a witness, in one request.
func TestClientTakesBothLines(t *testing.T) {
	t.Parallel()
	w := newTwoKeyWorld(t)
	text := fmt.Sprintf("log %s\nwitness ed %s %s\nwitness pq %s %s/\nwitness other %s http://elsewhere.example\nquorum ed\n",
		w.log.signer.VKey(), w.server.VKey(), w.http.URL, w.server.MLDSAVKey(), w.http.URL,
		must(proof.NewCosigner("other.example", newKey(t)))(t).VKey())
	p := must(proof.ParsePolicy([]byte(text)))(t)
	for _, k := range p.Witnesses()[:2] {
		c := must(witness.NewClient(p, k, nil))(t)
		if ks := c.Witnesses(); len(ks) != 2 || ks[0].Name != "ed" || ks[1].Name != "pq" || c.Witness().Name != k.Name {
			t.Fatalf("client of %s speaks for %+v", k.Name, ks)
		}
		lines, err := c.Cosign(t.Context(), 0, w.log.consistency, w.log.note(t, 20))
		if err != nil || len(lines) != 2 || lines[0].Witness != "ed" || lines[1].Witness != "pq" {
			t.Fatalf("%+v, %v", lines, err)
		}
		msg := append(append(w.log.note(t, 20), lines[0].Line...), lines[1].Line...)
		if _, err := p.OpenCheckpoint(msg); err != nil {
			t.Error(err)
		}
	}
}

func TestNewServerRefusesKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	for _, tt := range []struct {
		rule    string
		key, pq crypto.Signer
		says    string
	}{
		{"ML-DSA first", newMLDSAKey(t), nil, "want Ed25519"},
		{"Ed25519 second", newKey(t), newKey(t), "want ML-DSA-44"},
		{"ML-DSA-65 second", newKey(t), must(mldsa.GenerateKey(mldsa.MLDSA65()))(t), "want ML-DSA-44"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			c := w.config
			c.Key, c.MLDSA = tt.key, tt.pq
			_, err := witness.NewServer(c)
			wantErr(t, err, nil, tt.says)
		})
	}
	w.start(t)
}
