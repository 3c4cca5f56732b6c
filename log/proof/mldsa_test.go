package proof_test

import (
	"bytes"
	"crypto"
	"crypto/mldsa"
	"fmt"
	"io"
	"testing"
	"time"

	formatsnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"plastron/log/proof"
)

func newMLDSAKey(t testing.TB) *mldsa.PrivateKey {
	t.Helper()
	return must(mldsa.GenerateKey(mldsa.MLDSA44()))(t)
}

func newMLDSACosigner(t testing.TB, name string) *proof.Signer {
	t.Helper()
	return must(proof.NewCosigner(name, newMLDSAKey(t)))(t)
}

// Our ML-DSA cosignatures are the formats library's to open: name, key id,
// message and time.
func TestMLDSACosignerAgainstPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, 5)
	s := newMLDSACosigner(t, "pq.example/w1")
	msg := w.note(t, w.checkpoint(t, 5), s)
	v := must(formatsnote.NewMLDSAVerifier(s.VKey()))(t)
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil || len(n.Sigs) != 1 || n.Sigs[0].Name != "pq.example/w1" || n.Sigs[0].Hash != v.KeyHash() {
		t.Fatalf("formats refuses our cosignature: %v", err)
	}
	if at, err := formatsnote.CoSigV1Timestamp(n.Sigs[0]); err != nil || !at.Equal(noon) {
		t.Errorf("formats reads the time %v, %v", at, err)
	}
	if line := lastLine(msg); len(line) != len("— pq.example/w1 ")+(4+8+2420)/3*4+4+1 {
		t.Errorf("a line of %d bytes", len(line))
	}
}

// Each bit of what is signed counts, and so does the name.
func TestMLDSACosignatureSpoilt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, 5)
	key := newMLDSAKey(t)
	s := must(proof.NewCosigner("pq.example", key))(t)
	policy := newPolicy(t, "log "+w.log.VKey(), "witness pq "+s.VKey(), "quorum pq")
	good := w.note(t, w.checkpoint(t, 5), s)
	if c, err := policy.OpenCheckpoint(good); err != nil || c.Witnesses()[0] != "pq" || !c.Times()[0].Equal(noon) {
		t.Fatal(err)
	}
	line := lastLine(good)
	renamed := must(proof.NewCosigner("pr.example", key))(t)
	foreign := newPolicy(t, "log "+w.log.VKey(), "witness pq "+renamed.VKey(), "quorum pq")
	other := append(w.note(t, w.checkpoint(t, 4)), line...)
	for _, tt := range []struct {
		rule string
		p    *proof.Policy
		msg  []byte
		is   error
		says string
	}{
		{"bit of the signature", policy, editSignature(good, func(b []byte) []byte { b[100] ^= 1; return b }), proof.ErrSignature, "invalid signature"},
		{"one byte less", policy, editSignature(good, func(b []byte) []byte { return b[:len(b)-1] }), proof.ErrSignature, "invalid signature"},
		{"one byte more", policy, editSignature(good, func(b []byte) []byte { return append(b, 0) }), proof.ErrSignature, "invalid signature"},
		{"no signature", policy, editSignature(good, func(b []byte) []byte { return b[:12] }), proof.ErrSignature, "invalid signature"},
		{"shorter than a time", policy, editSignature(good, func(b []byte) []byte { return b[:9] }), proof.ErrSignature, "invalid signature"},
		{"another time", policy, retime(good, noon.Unix()+1), proof.ErrSignature, "invalid signature"},
		{"time 0", policy, retime(good, 0), proof.ErrSignature, "invalid signature"},
		{"another checkpoint", policy, other, proof.ErrSignature, "invalid signature"},
		{"line twice", policy, append(bytes.Clone(good), line...), nil, "signed the note twice"},
		{"under another name", foreign, good, proof.ErrQuorum, "too few"},
		{"under another name, line renamed", foreign, bytes.Replace(editSignature(good, func(b []byte) []byte {
			theirs := must(renamed.Cosign(good, noon))(t)
			copy(b[:4], decode(t, string(theirs[len("— pr.example "):len(theirs)-1]))[:4])
			return b
		}), []byte("— pq."), []byte("— pr."), 1), proof.ErrSignature, "invalid signature"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := tt.p.OpenCheckpoint(tt.msg)
			wantErr(t, err, tt.is, tt.says)
		})
	}
}

// A faultyMLDSAKey flips a bit of what it signs.
type faultyMLDSAKey struct{ *mldsa.PrivateKey }

func (k faultyMLDSAKey) Sign(r io.Reader, m []byte, o crypto.SignerOpts) ([]byte, error) {
	sig, err := k.PrivateKey.Sign(r, m, o)
	sig[40] ^= 1
	return sig, err
}

func TestMLDSASignerRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, 3)
	msg := w.note(t, w.checkpoint(t, 3))
	key := newMLDSAKey(t)
	cosigner := must(proof.NewCosigner("pq.example", key))(t)
	for _, tt := range []struct {
		rule string
		do   func() error
		says string
	}{
		{"as the log's note key", func() error { return second(proof.NewLogSigner(origin, key)) }, "want an Ed25519 key"},
		{"ML-DSA-65", func() error {
			return second(proof.NewCosigner("pq.example", must(mldsa.GenerateKey(mldsa.MLDSA65()))(t)))
		}, "want ML-DSA-44"},
		{"name of 256 bytes", func() error {
			long := must(proof.NewCosigner(fmt.Sprintf("%0256d", 1), key))(t)
			return second(long.Cosign(msg, noon))
		}, "cosign checkpoint"},
		{"sign as a log", func() error { return second(cosigner.Sign(w.checkpoint(t, 3))) }, "signer is a cosigner"},
		{"cosign at 0", func() error { return second(cosigner.Cosign(msg, time.Unix(0, 0))) }, "cosignature time 0"},
		{"faulty key", func() error {
			return second(must(proof.NewCosigner("pq.example", faultyMLDSAKey{key}))(t).Cosign(msg, noon))
		}, "does not verify"},
	} {
		t.Run(tt.rule, func(t *testing.T) { wantErr(t, tt.do(), nil, tt.says) })
	}
}

// A log has one Ed25519 key, and may have an ML-DSA key of its name.
func TestLogMLDSA(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 5)
	pq := newMLDSACosigner(t, origin)
	log, witness := "log "+w.log.VKey(), "witness w "+w.witnesses[0].VKey()
	both := newPolicy(t, log, "log "+pq.VKey(), witness, "quorum w")
	turned := newPolicy(t, "log "+pq.VKey(), log, witness, "quorum w")
	for _, p := range []*proof.Policy{both, turned} {
		if p.LogVKey() != w.log.VKey() || p.LogMLDSA() != pq.VKey() || p.Origin() != origin || len(p.Witnesses()) != 1 {
			t.Errorf("keys %q and %q", p.LogVKey(), p.LogMLDSA())
		}
	}
	if w.policy.LogMLDSA() != "" {
		t.Errorf("a key that was not named: %q", w.policy.LogMLDSA())
	}
	released := w.note(t, w.checkpoint(t, 5), w.witnesses...)
	published := cosign(t, released, noon, pq)
	if c, err := both.OpenPublished(published); err != nil || len(c.Witnesses()) != 1 {
		t.Errorf("published: %v", err)
	}
	if _, err := both.OpenCheckpoint(released); err != nil {
		t.Errorf("what an SVID's proof holds: %v", err)
	}
	if _, err := w.policy.OpenPublished(released); err != nil {
		t.Errorf("of a policy without that key: %v", err)
	}
	spoilt := editSignature(published, func(b []byte) []byte { b[99] ^= 1; return b })
	for _, tt := range []struct {
		rule string
		err  error
		is   error
		says string
	}{
		{"left out", second(both.OpenPublished(released)), proof.ErrSignature, "none by the log's ML-DSA key"},
		{"spoilt", second(both.OpenPublished(spoilt)), proof.ErrSignature, "invalid signature"},
		{"spoilt, where it is not asked for", second(both.OpenCheckpoint(spoilt)), proof.ErrSignature, "invalid signature"},
		{"no log's key", second(both.OpenPublished(cosign(t, must(w.log.Sign(w.checkpoint(t, 5)))(t), noon, pq))), proof.ErrQuorum, "too few"},
		{"no Ed25519 line", second(proof.ParsePolicy([]byte("log " + pq.VKey() + "\nquorum none\n"))), nil, "no log line with an Ed25519 key"},
		{"another name", second(proof.ParsePolicy([]byte(log + "\nlog " + newMLDSACosigner(t, "other.example").VKey() + "\nquorum none\n"))), nil, "line 2: second log line"},
		{"another name before", second(proof.ParsePolicy([]byte("log " + newMLDSACosigner(t, "other.example").VKey() + "\n" + log + "\nquorum none\n"))), nil, "line 2: second log line"},
		{"two of them", second(proof.ParsePolicy([]byte(log + "\nlog " + pq.VKey() + "\nlog " + newMLDSACosigner(t, origin).VKey() + "\nquorum none\n"))), nil, "line 3: second log line"},
		{"twice", second(proof.ParsePolicy([]byte(log + "\nlog " + pq.VKey() + "\nlog " + pq.VKey() + "\nquorum none\n"))), nil, "line 3: log: verifier key"},
		{"its key as a witness's", second(proof.ParsePolicy([]byte(log + "\nlog " + pq.VKey() + "\nwitness w " + pq.VKey() + "\nquorum w\n"))), nil, "in the policy already"},
	} {
		t.Run(tt.rule, func(t *testing.T) { wantErr(t, tt.err, tt.is, tt.says) })
	}
	bare := second(both.OpenSigned(published))
	if _, msg, err := both.Bare(published); bare != nil || err != nil || !bytes.Equal(msg, must(w.log.Sign(w.checkpoint(t, 5)))(t)) {
		t.Errorf("bare: %q, %v, %v", msg, bare, err)
	}
	if _, err := (proof.Proof{Index: 0, Hashes: w.proof(t, 0, 5).Hashes, Checkpoint: published}).Compact(both); err != nil {
		t.Errorf("compact: %v", err)
	}
}

// Whether an SVID could carry the proof is known when the policy is.
func TestCompactable(t *testing.T) {
	t.Parallel()
	log := newLog(t, origin)
	lines := []string{"log " + log.VKey()}
	for i, s := range []*proof.Signer{newCosigner(t, "a.example"), newCosigner(t, "b.example"), newMLDSACosigner(t, "c.example"), newMLDSACosigner(t, "d.example")} {
		lines = append(lines, fmt.Sprintf("witness %c %s", 'a'+i, s.VKey()))
	}
	for quorum, want := range map[string]bool{
		"quorum none": true, "quorum a": true, "quorum c": false,
		"group g any a c\nquorum g":                                   true,
		"group g all a c\nquorum g":                                   false,
		"group g 2 a b c\nquorum g":                                   true,
		"group g 3 a b c\nquorum g":                                   false,
		"group g any c d\ngroup h any a b\ngroup i all g h\nquorum i": false,
		"group g any c d\ngroup h any a b\ngroup i any g h\nquorum i": true,
	} {
		p := newPolicy(t, append(append([]string{}, lines...), quorum)...)
		if err := p.Compactable(); (err == nil) != want {
			t.Errorf("%q: %v, want %v", quorum, err, want)
		}
		if ws := p.Witnesses(); ws[0].MLDSA || !ws[2].MLDSA {
			t.Errorf("%+v", ws)
		}
	}
	if err := (&proof.Policy{}).Compactable(); err == nil {
		t.Error("the zero policy")
	}
}

// A witness with two keys answers with two lines.
func TestOpenCosignatures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 5)
	pq := newMLDSACosigner(t, "pq.example")
	p := newPolicy(t, "log "+w.log.VKey(), "witness a "+w.witnesses[0].VKey(), "witness b "+w.witnesses[1].VKey(), "witness pq "+pq.VKey(), "quorum a")
	c := w.checkpoint(t, 5)
	msg := w.note(t, c)
	line := func(s *proof.Signer) string { return string(must(s.Cosign(msg, noon))(t)) }
	a, b, q := line(w.witnesses[0]), line(w.witnesses[1]), line(pq)
	spoilt := string(lastLine(editSignature([]byte("\n"+q), func(b []byte) []byte { b[50] ^= 1; return b })))
	for _, tt := range []struct {
		rule, lines string
		want        string
		says        string
	}{
		{"both", a + q, "a pq ", ""},
		{"turned", q + a, "pq a ", ""},
		{"one", q, "pq ", ""},
		{"beside another witness's", a + b + q, "a pq ", ""},
		{"beside a stranger's", line(newCosigner(t, "x.example")) + a, "a ", ""},
		{"none", "", "", "malformed"},
		{"another witness's only", b, "", "no verifiable"},
		{"one spoilt", a + spoilt, "", "invalid signature"},
		{"one twice", a + q + a, "", "twice"},
		{"of another checkpoint", string(must(w.witnesses[0].Cosign(w.note(t, w.checkpoint(t, 4)), noon))(t)), "", "invalid signature"},
		{"a note of its own", "\n" + string(w.note(t, w.checkpoint(t, 4), w.witnesses[0])), "", ""},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			got, err := p.OpenCosignatures(c, []byte(tt.lines), "a", "pq")
			if tt.want == "" {
				wantErr(t, err, nil, tt.says)
				return
			}
			names := ""
			for _, g := range got {
				names += g.Witness + " "
				if !g.Time.Equal(noon) || !bytes.Contains([]byte(tt.lines), g.Line) {
					t.Errorf("%+v", g)
				}
			}
			if err != nil || names != tt.want {
				t.Errorf("%q, %v, want %q", names, err, tt.want)
			}
		})
	}
}

func TestAppendLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 5)
	pq := newMLDSACosigner(t, origin)
	msg := w.note(t, w.checkpoint(t, 5), w.witnesses...)
	lines := append(lastLine(msg), must(pq.Cosign(msg, noon))(t)...)
	once := proof.AppendLines(msg, lines)
	if want := cosign(t, msg, noon, pq); len(once) != len(want) {
		t.Errorf("%d bytes, want %d", len(once), len(want))
	}
	again := proof.AppendLines(once, must(pq.Cosign(msg, noon.Add(time.Hour)))(t))
	if !bytes.Equal(again, once) {
		t.Error("a second line of a key was appended")
	}
	if _, err := w.policy.OpenCheckpoint(once); err != nil {
		t.Error(err)
	}
}
