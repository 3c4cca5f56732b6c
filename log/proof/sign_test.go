package proof_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	formats "github.com/transparency-dev/formats/log"
	formatsnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"plastron/log/proof"
)

func TestLogSignerAgainstPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, 5)
	msg := w.note(t, w.checkpoint(t, 5))
	v, err := note.NewVerifier(w.log.VKey())
	if err != nil {
		t.Fatal(err)
	}
	c, rest, _, err := formats.ParseCheckpoint(msg, origin, v)
	if err != nil || len(rest) > 0 || c.Size != 5 || proof.Hash(c.Hash) != w.tree.root(t, 5) {
		t.Errorf("formats reads %+v, %v", c, err)
	}
}

func TestCosignerAgainstPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 5)
	msg := w.note(t, w.checkpoint(t, 5), w.witnesses...)
	v, err := formatsnote.NewVerifierForCosignatureV1(w.witnesses[0].VKey())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil || len(n.Sigs) != 1 {
		t.Fatalf("formats refuses our cosignature: %v", err)
	}
	if at, err := formatsnote.CoSigV1Timestamp(n.Sigs[0]); err != nil || !at.Equal(noon) {
		t.Errorf("formats reads the time %v, %v", at, err)
	}
}

// Cosignatures the formats library makes, of both types, are ours to open.
func TestOpenCosignaturesOfPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, 5)
	c := w.checkpoint(t, 5)
	edSkey, edVkey, err := note.GenerateKey(rand.Reader, "peer.example/ed25519")
	if err != nil {
		t.Fatal(err)
	}
	if edVkey, err = formatsnote.VKeyToCosignatureV1(edVkey); err != nil {
		t.Fatal(err)
	}
	pqSkey, pqVkey, err := formatsnote.GenerateMLDSAKey("peer.example/mldsa")
	if err != nil {
		t.Fatal(err)
	}
	policy := newPolicy(t, "log "+w.log.VKey(), "witness ed "+edVkey, "witness pq "+pqVkey, "group both all ed pq", "quorum both")
	msg := w.note(t, c)
	for skey, vkey := range map[string]string{edSkey: edVkey, pqSkey: pqVkey} {
		s, err := formatsnote.NewSignerForCosignatureV1(skey)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := note.Sign(&note.Note{Text: c.Text()}, s)
		if err != nil {
			t.Fatal(err)
		}
		line, at, err := proof.OpenCosignature(c, theirs[len(c.Text())+1:], vkey)
		if err != nil || time.Since(at).Abs() > time.Minute {
			t.Fatalf("%.30s…: %v, %v", vkey, at, err)
		}
		msg = append(msg, line...)
	}
	opened, err := policy.OpenCheckpoint(msg)
	if err != nil || len(opened.Witnesses()) != 2 {
		t.Fatalf("both kinds of witness: %v", err)
	}
}

func TestSignerRefuses(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed := newKey(t)
	w := newWorld(t, 1, 3)
	c := w.checkpoint(t, 3)
	msg := w.note(t, c)
	for _, tt := range []struct {
		rule string
		do   func() error
		says string
	}{
		{"no key", func() error { _, err := proof.NewLogSigner(origin, nil); return err }, "no key"},
		{"ECDSA key", func() error { _, err := proof.NewLogSigner(origin, ec); return err }, "want an Ed25519 key"},
		{"empty name", func() error { _, err := proof.NewLogSigner("", ed); return err }, "key name"},
		{"name with space", func() error { _, err := proof.NewCosigner("a b", ed); return err }, "key name"},
		{"name with no-break space", func() error { _, err := proof.NewCosigner("a\u00a0b", ed); return err }, "key name"},
		{"name with plus", func() error { _, err := proof.NewCosigner("a+b", ed); return err }, "key name"},
		{"name with newline", func() error { _, err := proof.NewCosigner("a\nb", ed); return err }, "key name"},
		{"name with control character", func() error { _, err := proof.NewCosigner("a\x01b", ed); return err }, "key name"},
		{"name not UTF-8", func() error { _, err := proof.NewCosigner("a\xff", ed); return err }, "key name"},
		{"cosigner as log", func() error { _, err := w.witnesses[0].Sign(c); return err }, "signer is a cosigner"},
		{"log as cosigner", func() error { _, err := w.log.Cosign(msg, noon); return err }, "signer is a log's"},
		{"another log's checkpoint", func() error {
			_, err := w.log.Sign(proof.Checkpoint{Origin: "other.example", Size: 3, Root: c.Root})
			return err
		}, "origin"},
		{"too large a tree", func() error {
			_, err := w.log.Sign(proof.Checkpoint{Origin: origin, Size: 1 << 63, Root: c.Root})
			return err
		}, "more than"},
		{"cosign no note", func() error { _, err := w.witnesses[0].Cosign([]byte("hello\n"), noon); return err }, "without signatures"},
		{"cosign another text", func() error {
			_, err := w.witnesses[0].Cosign([]byte("hello\n\n— a AAAAAAAA\n"), noon)
			return err
		}, "exactly the lines"},
		{"cosign at 0", func() error { _, err := w.witnesses[0].Cosign(msg, time.Unix(0, 0)); return err }, "cosignature time 0"},
		{"cosign before 1970", func() error { _, err := w.witnesses[0].Cosign(msg, time.Unix(-1, 0)); return err }, "before 1970"},
		{"cosign past 9999", func() error { _, err := w.witnesses[0].Cosign(msg, time.Unix(253402300800, 0)); return err }, "cosignature time"},
		{"faulty key", func() error {
			s, err := proof.NewLogSigner(origin, faultyKey{ed})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Sign(c)
			return err
		}, "does not verify"},
		{"key service down", func() error {
			s, err := proof.NewCosigner("w.example", deadKey{ed})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Cosign(msg, noon)
			return err
		}, "service is down"},
	} {
		t.Run(tt.rule, func(t *testing.T) { wantErr(t, tt.do(), nil, tt.says) })
	}
}

// A faultyKey flips a bit of what it signs.
type faultyKey struct{ ed25519.PrivateKey }

func (k faultyKey) Sign(r io.Reader, m []byte, o crypto.SignerOpts) ([]byte, error) {
	sig, err := k.PrivateKey.Sign(r, m, o)
	sig[40] ^= 1
	return sig, err
}

type deadKey struct{ ed25519.PrivateKey }

func (deadKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("service is down")
}

func TestOpenBeacon(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 3)
	beacon := newCosigner(t, "beacon.example")
	signed := w.note(t, w.checkpoint(t, 3), w.witnesses...)
	later := noon.Add(7 * time.Second)
	msg := cosign(t, signed, later, beacon)
	if at, err := proof.OpenBeacon(msg, beacon.VKey()); err != nil || !at.Equal(later) {
		t.Fatalf("beacon says %v, %v, want %v", at, err, later)
	}
	if c, err := w.policy.OpenCheckpoint(msg); err != nil || len(c.Times()) != 1 || !c.Times()[0].Equal(noon) {
		t.Errorf("the beacon's line is in the quorum's way: %v", err)
	}
	line, err := beacon.Cosign(signed, later)
	if err != nil {
		t.Fatal(err)
	}
	other := w.note(t, w.checkpoint(t, 2), w.witnesses...)
	for _, tt := range []struct {
		rule string
		msg  []byte
		vkey string
		is   error
		says string
	}{
		{"no line", signed, beacon.VKey(), proof.ErrSignature, "no verifiable"},
		{"line of another checkpoint", append(bytes.Clone(other), line...), beacon.VKey(), proof.ErrSignature, "invalid signature"},
		{"line twice", append(bytes.Clone(msg), line...), beacon.VKey(), nil, "signed the note twice"},
		{"log's key", msg, w.log.VKey(), nil, "no cosigner's"},
		{"no key", msg, "", nil, "want name+id+key"},
		{"time changed", retime(msg, later.Unix()+1), beacon.VKey(), proof.ErrSignature, "invalid signature"},
		{"time 0", retime(msg, 0), beacon.VKey(), proof.ErrSignature, "invalid signature"},
		{"time past 9999", retime(msg, math.MaxInt64), beacon.VKey(), proof.ErrSignature, "invalid signature"},
		{"too long", append(bytes.Repeat([]byte("x"), proof.MaxNote), msg...), beacon.VKey(), nil, "longer than"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := proof.OpenBeacon(tt.msg, tt.vkey)
			wantErr(t, err, tt.is, tt.says)
		})
	}
}

// A cosignature must be of the checkpoint asked for, however the lines are cut.
func TestOpenCosignatureOfAnotherCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 4)
	a, b := w.checkpoint(t, 3), w.checkpoint(t, 4)
	msg := w.note(t, b, w.witnesses[0])
	_, _, err := proof.OpenCosignature(a, msg, w.witnesses[0].VKey())
	wantErr(t, err, nil, "")
	_, _, err = proof.OpenCosignature(a, append([]byte("\n"), msg...), w.witnesses[0].VKey())
	wantErr(t, err, nil, "")
	_, _, err = proof.OpenCosignature(a, lastLine(msg), w.witnesses[0].VKey())
	wantErr(t, err, proof.ErrSignature, "invalid signature")
	// Nor does a cosigner that signs whatever text comes of it.
	long := a.Text() + "\n\n" + b.Text()
	line := signedAt(t, long, "1795608000", w.witnesses[0], w.keys[0])
	_, _, err = proof.OpenCosignature(a, []byte("\n"+b.Text()+"\n"+string(line)), w.witnesses[0].VKey())
	wantErr(t, err, nil, "exactly the lines")
	if _, _, err := proof.OpenCosignature(b, lastLine(msg), w.witnesses[0].VKey()); err != nil {
		t.Error(err)
	}
}

// retime changes the time in the last line of a note.
func retime(msg []byte, unix int64) []byte {
	return editSignature(msg, func(b []byte) []byte {
		for i := range 8 {
			b[4+i] = byte(unix >> (56 - 8*i))
		}
		return b
	})
}

// editSignature changes the bytes behind the last line of a note.
func editSignature(msg []byte, edit func([]byte) []byte) []byte {
	last := string(lastLine(msg))
	head := last[:strings.LastIndex(last, " ")+1]
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(last[len(head):]))
	if err != nil {
		panic(err)
	}
	line := head + base64.StdEncoding.EncodeToString(edit(b)) + "\n"
	return append(bytes.Clone(msg[:len(msg)-len(last)]), line...)
}

func lastLine(msg []byte) []byte {
	return msg[bytes.LastIndexByte(msg[:len(msg)-1], '\n')+1:]
}

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
