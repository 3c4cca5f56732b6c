package proof_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"plastron/log/proof"
)

func TestOpenCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, 7)
	c := w.checkpoint(t, 7)
	msg := append(w.note(t, c, w.witnesses[2]), lastLine(cosign(t, w.note(t, c), noon.Add(time.Second), w.witnesses[0]))...)
	opened, err := w.policy.OpenCheckpoint(msg)
	if err != nil {
		t.Fatal(err)
	}
	if opened.Checkpoint() != c || !bytes.Equal(opened.Note(), msg) {
		t.Errorf("opened %+v", opened.Checkpoint())
	}
	if got := fmt.Sprint(opened.Witnesses()); got != "[w2 w0]" {
		t.Errorf("witnesses %s", got)
	}
	if ts := opened.Times(); len(ts) != 2 || !ts[0].Equal(noon) || !ts[1].Equal(noon.Add(time.Second)) {
		t.Errorf("times %v", ts)
	}
}

// What a caller is given is a copy: it cannot write into what was verified.
func TestCosignedIsCopied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 7)
	msg := w.note(t, w.checkpoint(t, 7), w.witnesses...)
	given := bytes.Clone(msg)
	c, err := w.policy.OpenCheckpoint(given)
	if err != nil {
		t.Fatal(err)
	}
	given[0] ^= 1
	c.Note()[1] ^= 1
	c.Times()[0] = time.Time{}
	c.Witnesses()[0] = "x"
	if !bytes.Equal(c.Note(), msg) || !c.Times()[0].Equal(noon) || c.Witnesses()[0] != "w0" {
		t.Error("a verified checkpoint was changed from outside")
	}
	if _, err := w.policy.OpenCheckpoint(given); err == nil {
		t.Error("the changed note is remembered as verified")
	}
}

func TestOpenCheckpointRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, 9) // quorum: two of w0, w1, w2
	other := newWorld(t, 1, 9)
	w0, w1, w2 := w.witnesses[0], w.witnesses[1], w.witnesses[2]
	c := w.checkpoint(t, 9)
	good := w.note(t, c, w0, w1)
	bare := w.note(t, c)
	line := func(msg []byte, s *proof.Signer) []byte { return lastLine(cosign(t, msg, noon, s)) }
	smaller := w.note(t, w.checkpoint(t, 8))
	forked := c
	forked.Root[0] ^= 1
	stranger := newCosigner(t, w0.Name())
	foreign := newLog(t, "other.example")
	foreignNote, err := foreign.Sign(proof.Checkpoint{Origin: "other.example", Size: 9, Root: c.Root})
	if err != nil {
		t.Fatal(err)
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, tt := range []struct {
		rule string
		msg  []byte
		is   error
		says string
	}{
		{"empty", nil, nil, "malformed"},
		{"no signatures", []byte(c.Text() + "\n"), nil, "malformed"},
		{"text alone", []byte(c.Text()), nil, "malformed"},
		{"unterminated", good[:len(good)-1], nil, "malformed"},
		{"too long", join(good, bytes.Repeat([]byte(" "), proof.MaxNote)), nil, "longer than"},
		{"nobody cosigned", bare, proof.ErrQuorum, "too few"},
		{"one of two", w.note(t, c, w0), proof.ErrQuorum, "too few"},
		{"one witness twice", w.note(t, c, w0, w0), nil, "signed the note twice"},
		{"one witness at two times", join(w.note(t, c, w0), lastLine(cosign(t, bare, noon.Add(1e9), w0))), nil, "signed the note twice"},
		{"log twice", join(good, lastLine(bare)), nil, "signed the note twice"},
		{"cosigned, not signed by the log", join([]byte(c.Text()+"\n"), line(bare, w0), line(bare, w1)), proof.ErrSignature, "none by the log"},
		{"signed by another log of the name", other.note(t, c), proof.ErrSignature, "no verifiable"},
		{"another log's note", join(foreignNote, line(foreignNote, w0), line(foreignNote, w1)), proof.ErrSignature, "origin"},
		{"another log's note, our signature line added", join(foreignNote, lastLine(bare)), proof.ErrSignature, "invalid signature"},
		{"another root, log's line kept", swapText(bare, forked.Text()), proof.ErrSignature, "invalid signature"},
		{"cosignature of another size", join(w.note(t, c, w0), line(smaller, w1)), proof.ErrSignature, "invalid signature"},
		{"cosignature of another root", join(w.note(t, c, w0), line(w.note(t, forked), w1)), proof.ErrSignature, "invalid signature"},
		{"a third that is wrong beside a quorum", join(good, line(smaller, w2)), proof.ErrSignature, "invalid signature"},
		{"stranger under a witness's name", w.note(t, c, w0, stranger), proof.ErrQuorum, "too few"},
		{"witness's key id, stranger's signature", join(w.note(t, c, w0), editSignature(w.note(t, c, stranger), swapID(t, w1))[len(bare):]), proof.ErrQuorum, "too few"},
		{"time 0", join(w.note(t, c, w0), lastLine(retime(w.note(t, c, w1), 0))), proof.ErrSignature, "invalid signature"},
		{"time changed", join(w.note(t, c, w0), lastLine(retime(w.note(t, c, w1), noon.Unix()-1))), proof.ErrSignature, "invalid signature"},
		{"signature flipped", editSignature(good, func(b []byte) []byte { b[20] ^= 1; return b }), proof.ErrSignature, "invalid signature"},
		{"signature cut", editSignature(good, func(b []byte) []byte { return b[:len(b)-1] }), proof.ErrSignature, "invalid signature"},
		{"signature extended", editSignature(good, func(b []byte) []byte { return append(b, 0) }), proof.ErrSignature, "invalid signature"},
		{"signature with spare bits", append(bytes.Clone(good[:len(good)-4]), nextDigit(good[len(good)-4]), '=', '=', '\n'), nil, "canonical base64"},
		{"signed at time 0", join(w.note(t, c, w0), signedAt(t, c.Text(), "0", w1, w.keys[1])), proof.ErrSignature, "invalid signature"},
		{"signed past 9999", join(w.note(t, c, w0), signedAt(t, c.Text(), "253402300800", w1, w.keys[1])), proof.ErrSignature, "invalid signature"},
		{"extension line", signText(t, w, c.Text()+"extra\n"), proof.ErrSignature, "invalid"},
		{"control character", bytes.Replace(good, []byte("log."), []byte("log\x00"), 1), nil, "malformed"},
		{"not UTF-8", bytes.Replace(good, []byte("log."), []byte("log\xff"), 1), nil, "malformed"},
		{"signature line without dash", bytes.Replace(good, []byte("— log"), []byte("- log"), 1), nil, "malformed"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			for range 2 { // a refused note is not remembered either
				_, err := w.policy.OpenCheckpoint(tt.msg)
				wantErr(t, err, tt.is, tt.says)
			}
		})
	}
	if _, err := w.policy.OpenCheckpoint(good); err != nil {
		t.Error(err)
	}
	if _, err := w.policy.OpenCheckpoint(w.note(t, c, w0, newCosigner(t, "unknown.example"), w2)); err != nil {
		t.Errorf("a line of an unknown key is not ignored: %v", err)
	}
}

// nextDigit returns a base64 digit that differs from d in the last, spare bit.
func nextDigit(d byte) byte {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return digits[strings.IndexByte(digits, d)^1]
}

// signedAt is a cosignature that is right but for its time.
func signedAt(t *testing.T, text, unix string, s *proof.Signer, key ed25519.PrivateKey) []byte {
	t.Helper()
	seconds := must(strconv.ParseUint(unix, 10, 64))(t)
	sig := binary.BigEndian.AppendUint64(nil, seconds)
	sig = append(sig, ed25519.Sign(key, []byte("cosignature/v1\ntime "+unix+"\n"+text))...)
	b := swapID(t, s)(append(make([]byte, 4), sig...))
	return []byte("— " + s.Name() + " " + base64.StdEncoding.EncodeToString(b) + "\n")
}

// That signedAt makes good cosignatures for a good time.
func TestSignedAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 9)
	c := w.checkpoint(t, 9)
	for _, unix := range []string{"1", "253402300799"} {
		msg := append(w.note(t, c), signedAt(t, c.Text(), unix, w.witnesses[0], w.keys[0])...)
		opened, err := w.policy.OpenCheckpoint(msg)
		if err != nil || fmt.Sprint(opened.Times()[0].Unix()) != unix {
			t.Errorf("time %s: %v", unix, err)
		}
	}
}

// swapText keeps the signatures of a note and gives it another text.
func swapText(msg []byte, text string) []byte {
	return append([]byte(text), msg[bytes.LastIndex(msg, []byte("\n\n"))+1:]...)
}

// signText puts the log's line of another text under text.
func signText(t *testing.T, w *world, text string) []byte {
	return swapText(w.note(t, w.checkpoint(t, 1)), text)
}

// swapID gives a signature the key id of another cosigner; the name stays.
func swapID(t *testing.T, s *proof.Signer) func([]byte) []byte {
	return func(b []byte) []byte {
		var id uint32
		if _, err := fmt.Sscanf(strings.Split(s.VKey(), "+")[1], "%08x", &id); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			b[i] = byte(id >> (24 - 8*i))
		}
		return b
	}
}

func TestOpenSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 4)
	c := w.checkpoint(t, 4)
	bare := w.note(t, c)
	if got, err := w.policy.OpenSigned(bare); err != nil || got != c {
		t.Errorf("without cosignatures: %+v, %v", got, err)
	}
	full := w.note(t, c, w.witnesses[0], newCosigner(t, "unknown.example"))
	got, stripped, err := w.policy.Bare(full)
	if err != nil || got != c || !bytes.Equal(stripped, bare) {
		t.Errorf("bare note %q, %+v, %v", stripped, got, err)
	}
	spoilt := editSignature(w.note(t, c, w.witnesses[0]), func(b []byte) []byte { b[30] ^= 1; return b })
	_, err = w.policy.OpenSigned(spoilt)
	wantErr(t, err, proof.ErrSignature, "invalid signature")
	_, _, err = w.policy.Bare(spoilt)
	wantErr(t, err, proof.ErrSignature, "invalid signature")
}

// A witness outside the quorum is verified and not counted.
func TestOutsideTheQuorum(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 4)
	policy := newPolicy(t, "log "+w.log.VKey(), "witness in "+w.witnesses[0].VKey(), "witness out "+w.witnesses[1].VKey(), "quorum in")
	c, err := policy.OpenCheckpoint(w.note(t, w.checkpoint(t, 4), w.witnesses...))
	if err != nil || fmt.Sprint(c.Witnesses()) != "[in]" || len(c.Times()) != 1 {
		t.Errorf("counted %q, %v", c.Witnesses(), err)
	}
	_, err = policy.OpenCheckpoint(w.note(t, w.checkpoint(t, 4), w.witnesses[1]))
	wantErr(t, err, proof.ErrQuorum, "too few")
}

func TestZeroValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 4)
	msg := w.note(t, w.checkpoint(t, 4), w.witnesses...)
	leaf := proof.LeafHash(entry(0))
	var policy proof.Policy
	var cosigned proof.Cosigned
	for rule, err := range map[string]error{
		"zero policy opens nothing":    second(policy.OpenCheckpoint(msg)),
		"zero policy, signed":          second(policy.OpenSigned(msg)),
		"nil policy opens nothing":     second((*proof.Policy)(nil).OpenSigned(msg)),
		"zero proof proves nothing":    second(proof.Proof{}.Verify(w.policy, leaf)),
		"zero proof is not marshalled": second(proof.Proof{}.MarshalText()),
		"zero proof is not compact":    second(proof.Proof{}.Compact(w.policy)),
		"zero policy reads no compact": second(proof.ParseCompact([]byte{1}, &policy, leaf)),
		"zero policy makes no compact": second(w.proof(t, 0, 4, w.witnesses...).Compact(&policy)),
		"zero cosigned holds nothing":  cosigned.Includes(proof.Hash{}, 0, nil),
	} {
		if err == nil {
			t.Errorf("%s: accepted", rule)
		}
	}
	if policy.Satisfied(map[string]bool{"w0": true}) || policy.Unwitnessed() || policy.Origin() != "" || policy.LogVKey() != "" {
		t.Error("the zero policy is met")
	}
}

func second[T any](_ T, err error) error { return err }

// One policy, many goroutines, more notes than it remembers.
func TestOpenCheckpointConcurrently(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 12)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 30 {
				size := uint64(1 + (g+i)%12)
				msg := w.note(t, w.checkpoint(t, size), w.witnesses...)
				c, err := w.policy.OpenCheckpoint(msg)
				if err != nil || c.Checkpoint().Size != size || !bytes.Equal(c.Note(), msg) {
					t.Errorf("size %d: %v", size, err)
				}
				msg[len(msg)-5] ^= 2
				if _, err := w.policy.OpenCheckpoint(msg); err == nil {
					t.Errorf("size %d: a spoilt note was opened", size)
				}
			}
		})
	}
	wg.Wait()
}

// A proof on a checkpoint that was verified asks no key again: the policy finds
// the note by its bytes.
func TestRememberedCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 12)
	a, b := w.note(t, w.checkpoint(t, 11), w.witnesses...), w.note(t, w.checkpoint(t, 12), w.witnesses...)
	first, err := w.policy.OpenCheckpoint(a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.policy.OpenCheckpoint(b); err != nil {
		t.Fatal(err)
	}
	again, err := w.policy.OpenCheckpoint(bytes.Clone(a))
	if err != nil || again != first {
		t.Errorf("verified anew: %v", err)
	}
	_, err = newWorld(t, 1, 1).policy.OpenCheckpoint(a)
	if !errors.Is(err, proof.ErrSignature) {
		t.Errorf("another policy remembers it too: %v", err)
	}
}
