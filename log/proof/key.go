package proof

import (
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/mod/sumdb/note"
)

// Signature types of C2SP signed-note and tlog-cosignature.
const (
	algEd25519  = 0x01 // a log's signature over the note's text
	algCosigner = 0x04 // Ed25519 cosignature/v1
	algMLDSA44  = 0x06 // ML-DSA-44 cosignature over (name, time, origin, 0, size, root)
)

const (
	timeSize  = 8
	mldsaSize = 2420 // FIPS 204, table 2
)

// A key is a public key that may sign notes: the pair of name and id is what
// a signature line says of its signer.
type key struct {
	name string
	alg  byte
	pub  []byte // without the type byte
	id   uint32
	pq   *mldsa.PublicKey // alg is algMLDSA44
}

var _ note.Verifier = (*key)(nil)

func newKey(name string, alg byte, pub []byte) (*key, error) {
	if !validName(name) {
		return nil, fmt.Errorf("key name %q: empty, not UTF-8, or holds a space, a plus or a control character", name)
	}
	k := &key{name: name, alg: alg, pub: pub}
	switch alg {
	case algEd25519, algCosigner:
		if len(pub) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("Ed25519 key of %d bytes, want %d", len(pub), ed25519.PublicKeySize)
		}
	case algMLDSA44:
		var err error
		if k.pq, err = mldsa.NewPublicKey(mldsa.MLDSA44(), pub); err != nil {
			return nil, fmt.Errorf("ML-DSA-44 key: %w", err)
		}
	default:
		return nil, fmt.Errorf("signature type %#02x: want 0x01, 0x04 or 0x06", alg)
	}
	sum := sha256.Sum256([]byte(name + "\n" + string(k.typed())))
	k.id = binary.BigEndian.Uint32(sum[:])
	return k, nil
}

// parseVKey reads <name>+<8 hex digits of key id>+base64(type || key), the
// one text of that key: its id is recomputed, its digits are lower case.
func parseVKey(vkey string) (*key, error) {
	parts := strings.Split(vkey, "+")
	if len(parts) < 3 {
		return nil, fmt.Errorf("verifier key %q: want name+id+key", clip(vkey))
	}
	// Base64 may hold a plus itself; a name and an id may not.
	b, err := decode64(strings.Join(parts[2:], "+"))
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("verifier key %q: key is not canonical base64", clip(vkey))
	}
	k, err := newKey(parts[0], b[0], b[1:])
	if err != nil {
		return nil, fmt.Errorf("verifier key %q: %w", clip(vkey), err)
	}
	if k.VKey() != vkey {
		return nil, fmt.Errorf("verifier key %q: id is not %08x", clip(vkey), k.id)
	}
	return k, nil
}

func (k *key) typed() []byte { return append([]byte{k.alg}, k.pub...) }

// VKey returns k as parseVKey reads it.
func (k *key) VKey() string {
	return fmt.Sprintf("%s+%08x+%s", k.name, k.id, base64.StdEncoding.EncodeToString(k.typed()))
}

func (k *key) Name() string    { return k.name }
func (k *key) KeyHash() uint32 { return k.id }

// Verify reports whether sig, without the key id, is k's over text.
func (k *key) Verify(text, sig []byte) bool {
	if k.alg == algEd25519 {
		return k.signed(text, sig)
	}
	if len(sig) < timeSize {
		return false
	}
	t, raw := binary.BigEndian.Uint64(sig), sig[timeSize:]
	if checkTime(t) != nil {
		return false
	}
	message, err := k.cosigned(t, text)
	return err == nil && k.signed(message, raw)
}

// signed reports whether raw is k's signature over exactly message.
func (k *key) signed(message, raw []byte) bool {
	if k.alg == algMLDSA44 {
		return len(raw) == mldsaSize && mldsa.Verify(k.pq, message, raw, nil) == nil
	}
	return ed25519.Verify(k.pub, message, raw)
}

// cosigned returns what the cosigner k signs at t, in Unix seconds.
func (k *key) cosigned(t uint64, text []byte) ([]byte, error) {
	if k.alg == algMLDSA44 {
		return cosignedPQ(k.name, t, text)
	}
	return cosigned(t, text), nil
}

// maxTime is the last second of the year 9999. The specification allows times
// up to 2^63 - 1, but [time.Unix] wraps around long before and would make a
// time far in the future one long past.
const maxTime = 253402300799

// checkTime refuses the times no cosigner of checkpoints may write. Zero
// means "no statement about time", and we ask for one.
func checkTime(t uint64) error {
	if t == 0 || t > maxTime {
		return fmt.Errorf("cosignature time %d: want 1 to %d seconds", t, uint64(maxTime))
	}
	return nil
}

// cosigned returns what an Ed25519 cosigner signs at t, in Unix seconds: it
// does not commit to the cosigner's name, hence one key a witness.
func cosigned(t uint64, text []byte) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", t, text)
}

// cosignedPQ returns what an ML-DSA-44 cosigner signs: the TLS encoding of a
// cosigned_message (C2SP tlog-cosignature).
func cosignedPQ(name string, t uint64, text []byte) ([]byte, error) {
	c, err := ParseCheckpoint(string(text))
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddBytes([]byte("subtree/v1\n\x00"))
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
	b.AddUint64(t)
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(c.Origin)) })
	b.AddUint64(0)
	b.AddUint64(c.Size)
	b.AddBytes(c.Root[:])
	return b.Bytes()
}

// validName reports whether a signature line can carry name.
func validName(name string) bool {
	bad := func(r rune) bool { return unicode.IsSpace(r) || r == '+' || r < 0x20 }
	return name != "" && utf8.ValidString(name) && !strings.ContainsFunc(name, bad)
}

// unixSeconds returns t as a cosigner writes it.
func unixSeconds(t time.Time) (uint64, error) {
	if t.Unix() < 0 {
		return 0, errors.New("cosignature time before 1970")
	}
	s := uint64(t.Unix())
	return s, checkTime(s)
}

// clip keeps an error readable when its input is not.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
