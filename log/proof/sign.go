package proof

import (
	"crypto"
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// A Signer signs checkpoints with a key it need not hold: any [crypto.Signer]
// will do, such as one backed by a key service. It is either a log's
// ([NewLogSigner]) or a cosigner's ([NewCosigner]) and refuses to be both: the
// two sign different messages, under different key ids. A Signer is as safe for
// concurrent use as its key.
type Signer struct {
	key    *key
	signer crypto.Signer
}

// NewLogSigner returns the signer of the log named origin: note signatures of
// type 0x01, key name and origin being one. The key is Ed25519.
func NewLogSigner(origin string, k crypto.Signer) (*Signer, error) {
	if k == nil {
		return nil, errors.New("note signer: no key")
	}
	pub, ok := k.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("note signer: %T, want an Ed25519 key", k.Public())
	}
	return newSigner(origin, algEd25519, pub, k)
}

// NewCosigner returns the signer of a witness, or of a beacon: timestamped
// cosignatures, of type 0x04 by an Ed25519 key and of type 0x06 by an ML-DSA-44
// key. With a log's origin for a name and an ML-DSA-44 key it is the log's
// second signer (C2SP tlog-checkpoint: "Logs SHOULD use ML-DSA-44 cosignatures
// to sign the checkpoint").
func NewCosigner(name string, k crypto.Signer) (*Signer, error) {
	if k == nil {
		return nil, errors.New("note signer: no key")
	}
	switch pub := k.Public().(type) {
	case ed25519.PublicKey:
		return newSigner(name, algCosigner, pub, k)
	case *mldsa.PublicKey:
		if pub.Parameters() != mldsa.MLDSA44() {
			return nil, fmt.Errorf("note signer: %s key, want ML-DSA-44", pub.Parameters())
		}
		return newSigner(name, algMLDSA44, pub.Bytes(), k)
	default:
		return nil, fmt.Errorf("note signer: %T, want an Ed25519 key or an ML-DSA-44 key", pub)
	}
}

func newSigner(name string, alg byte, pub []byte, signer crypto.Signer) (*Signer, error) {
	k, err := newKey(name, alg, pub)
	if err != nil {
		return nil, fmt.Errorf("note signer: %w", err)
	}
	return &Signer{k, signer}, nil
}

// Name returns the signer's name: a log's origin, a cosigner's name.
func (s *Signer) Name() string { return s.key.name }

// VKey returns the verifier key, as a log policy names it:
// <name>+<key id, 8 hex digits>+base64(type || public key).
func (s *Signer) VKey() string { return s.key.VKey() }

// Sign returns the signed note of a checkpoint of the signer's own log. It
// says nothing of whether the checkpoint should be signed.
func (s *Signer) Sign(c Checkpoint) ([]byte, error) {
	return s.note(c, logSigner{s, s.sign})
}

// SignUnchecked signs as Sign does but does not verify what the key made. Who
// calls it opens the note with a [Policy], perhaps while a disk is busy, before
// anybody else sees it.
func (s *Signer) SignUnchecked(c Checkpoint) ([]byte, error) {
	return s.note(c, logSigner{s, s.ask})
}

func (s *Signer) note(c Checkpoint, by note.Signer) ([]byte, error) {
	if s.key.alg != algEd25519 {
		return nil, errors.New("sign checkpoint: signer is a cosigner")
	}
	if c.Origin != s.key.name {
		return nil, fmt.Errorf("sign checkpoint: origin %q, signer %q", c.Origin, s.key.name)
	}
	if c.Size > MaxSize {
		return nil, fmt.Errorf("sign checkpoint: size %d is more than %d", c.Size, uint64(MaxSize))
	}
	msg, err := note.Sign(&note.Note{Text: c.Text()}, by)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return msg, nil
}

// Cosign returns one signature line, "— <name> <base64>\n", over the text of
// a signed note, saying that the checkpoint was seen at t (whole seconds). It
// reads the checkpoint strictly and looks at no signature: who may cosign
// what, and when, is the caller's promise.
func (s *Signer) Cosign(msg []byte, t time.Time) (line []byte, err error) {
	if s.key.alg == algEd25519 {
		return nil, errors.New("cosign checkpoint: signer is a log's")
	}
	text, err := noteText(msg)
	if err != nil {
		return nil, fmt.Errorf("cosign checkpoint: %w", err)
	}
	if _, err := ParseCheckpoint(text); err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	seconds, err := unixSeconds(t)
	if err != nil {
		return nil, fmt.Errorf("cosign checkpoint: %w", err)
	}
	message, err := s.key.cosigned(seconds, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("cosign checkpoint: %w", err)
	}
	sig, err := s.sign(message)
	if err != nil {
		return nil, fmt.Errorf("cosign checkpoint: %w", err)
	}
	return signatureLine(s.key, append(binary.BigEndian.AppendUint64(nil, seconds), sig...)), nil
}

// sign asks the key and checks its answer. A signature that a faulty key made
// wrong can give an Ed25519 key away, and would stand in the log for good.
func (s *Signer) sign(message []byte) ([]byte, error) {
	sig, err := s.ask(message)
	if err != nil {
		return nil, err
	}
	if !s.key.signed(message, sig) {
		return nil, errors.New("key made a signature it does not verify")
	}
	return sig, nil
}

func (s *Signer) ask(message []byte) ([]byte, error) {
	return s.signer.Sign(rand.Reader, message, crypto.Hash(0))
}

// A logSigner is a log's Signer as package note knows signers.
type logSigner struct {
	s    *Signer
	sign func(message []byte) ([]byte, error)
}

func (l logSigner) Name() string                     { return l.s.key.name }
func (l logSigner) KeyHash() uint32                  { return l.s.key.id }
func (l logSigner) Sign(text []byte) ([]byte, error) { return l.sign(text) }

// signatureLine returns the line of a signed note for k's signature.
func signatureLine(k *key, sig []byte) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, k.id), sig...)
	return fmt.Appendf(nil, "— %s %s\n", k.name, base64.StdEncoding.EncodeToString(b))
}
