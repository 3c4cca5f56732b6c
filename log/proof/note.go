package proof

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// MaxNote is the longest signed note in bytes. It holds a checkpoint with
// thirty post-quantum cosignatures.
const MaxNote = 1 << 17

// ErrSignature is what a note is refused with that lacks the signature asked
// for, or carries one that a known key does not verify.
var ErrSignature = errors.New("signature missing or wrong")

// A line is a verified signature on a note.
type line struct {
	key *key
	sig []byte // without the key id
}

// time returns when a cosigner signed; key.Verify has bounded it.
func (l line) time() time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(l.sig)), 0)
}

// A keyring finds the key of a signature line, and finds it once.
type keyring map[signer]*key

type signer struct {
	name string
	id   uint32
}

func (k *key) signer() signer { return signer{k.name, k.id} }

// openNote checks every line of msg that a key of ring could have written.
// Lines of unknown keys are ignored, as C2SP signed-note demands. A known key
// that fails to verify, or signs twice, refuses the note.
func openNote(msg []byte, ring keyring) (Checkpoint, []line, error) {
	if len(msg) > MaxNote {
		return Checkpoint{}, nil, fmt.Errorf("note of %d bytes: longer than %d", len(msg), MaxNote)
	}
	n, err := note.Open(msg, &once{ring: ring, seen: make(map[signer]bool, len(ring))})
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified), errors.As(err, &invalid):
		return Checkpoint{}, nil, fmt.Errorf("%w: %v", ErrSignature, err)
	case err != nil:
		return Checkpoint{}, nil, err
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	lines := make([]line, len(n.Sigs))
	for i, s := range n.Sigs {
		sig, err := decode64(s.Base64)
		if err != nil {
			return Checkpoint{}, nil, err
		}
		lines[i] = line{ring[signer{s.Name, s.Hash}], sig[4:]}
	}
	return c, lines, nil
}

// once is a keyring as package note knows it. The library skips a key's second
// line without a look; we would pass on bytes that nobody checked.
type once struct {
	ring keyring
	seen map[signer]bool
}

func (o *once) Verifier(name string, id uint32) (note.Verifier, error) {
	s := signer{name, id}
	k, ok := o.ring[s]
	if !ok {
		return nil, &note.UnknownVerifierError{Name: name, KeyHash: id}
	}
	if o.seen[s] {
		return nil, fmt.Errorf("key %s+%08x signed the note twice", name, id)
	}
	o.seen[s] = true
	return k, nil
}

// noteText returns the text of a signed note: all before the last empty line.
func noteText(msg []byte) (string, error) {
	i := bytes.LastIndex(msg, []byte("\n\n"))
	if len(msg) > MaxNote || i < 0 {
		return "", errors.New("note: too long or without signatures")
	}
	return string(msg[:i+1]), nil
}

// OpenCosignature finds, among signature lines, the one that the cosigner with
// the verifier key vkey (type 0x04 or 0x06) wrote over the checkpoint c, and
// returns it with the time the cosigner states, once it has verified it. Lines
// of other keys are ignored.
func OpenCosignature(c Checkpoint, lines []byte, vkey string) (cosignature []byte, t time.Time, err error) {
	// An empty line among the lines would move the border between text and
	// signatures: to a text that begins with c's and is no checkpoint.
	l, err := openCosigned(append([]byte(c.Text()+"\n"), lines...), vkey)
	if err != nil {
		return nil, time.Time{}, err
	}
	return signatureLine(l.key, l.sig), l.time(), nil
}

// A Cosignature is a verified signature line of a witness.
type Cosignature struct {
	Witness string    // its name in the policy
	Line    []byte    // "— <name> <base64>\n"
	Time    time.Time // at which it says it signed, in whole seconds
}

// OpenCosignatures finds, among signature lines, those that the named witnesses
// of the policy wrote over the checkpoint c, and verifies them: a witness that
// has two keys answers with two lines. Lines of other keys are ignored; one of
// these keys that does not verify, or none at all, refuses all.
func (p *Policy) OpenCosignatures(c Checkpoint, lines []byte, witnesses ...string) ([]Cosignature, error) {
	ring, names := keyring{}, map[*key]string{}
	for _, m := range p.witnesses {
		if slices.Contains(witnesses, m.name) {
			ring[m.key.signer()], names[m.key] = m.key, m.name
		}
	}
	// As in OpenCosignature, an empty line among the lines gives another text.
	_, opened, err := openNote(append([]byte(c.Text()+"\n"), lines...), ring)
	if err != nil {
		return nil, fmt.Errorf("cosignatures by %q: %w", witnesses, err)
	}
	out := make([]Cosignature, len(opened))
	for i, l := range opened {
		out[i] = Cosignature{names[l.key], signatureLine(l.key, l.sig), l.time()}
	}
	return out, nil
}

// AppendLines appends signature lines to a signed note, but for those of keys
// that are on it already: a note has one line a key.
func AppendLines(msg, lines []byte) []byte {
	i := bytes.LastIndex(msg, []byte("\n\n"))
	if i < 0 {
		return msg
	}
	seen := map[string]bool{}
	for l := range bytes.Lines(msg[i+2:]) {
		seen[signerOf(l)] = true
	}
	out := bytes.Clone(msg)
	for l := range bytes.Lines(lines) {
		if s := signerOf(l); !seen[s] {
			seen[s] = true
			out = append(out, l...)
		}
	}
	return out
}

// signerOf returns what a signature line says of its key: name and key id.
func signerOf(line []byte) string {
	head, b64, _ := strings.Cut(strings.TrimPrefix(string(line), "— "), " ")
	b, err := base64.StdEncoding.DecodeString(b64[:min(8, len(b64))]) // 6 bytes, the id first
	if err != nil || len(b) < 4 {
		return string(line)
	}
	return head + "+" + string(b[:4])
}

// OpenBeacon returns the time at which the beacon with the verifier key vkey
// cosigned a note. That the note itself is to be believed is for
// [Policy.OpenCheckpoint] to say.
func OpenBeacon(msg []byte, vkey string) (time.Time, error) {
	l, err := openCosigned(msg, vkey)
	if err != nil {
		return time.Time{}, fmt.Errorf("beacon: %w", err)
	}
	return l.time(), nil
}

// openCosigned opens a note by one cosigner's key.
func openCosigned(msg []byte, vkey string) (line, error) {
	k, err := parseVKey(vkey)
	if err == nil && k.alg == algEd25519 {
		err = fmt.Errorf("verifier key %q is no cosigner's", clip(vkey))
	}
	if err != nil {
		return line{}, fmt.Errorf("cosignature: %w", err)
	}
	_, lines, err := openNote(msg, keyring{k.signer(): k})
	if err != nil {
		return line{}, fmt.Errorf("cosignature by %s: %w", k.name, err)
	}
	return lines[0], nil
}
