package tpm

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json/v2"
	"time"

	"github.com/google/go-tpm/tpm2"

	"plastron/node"
)

// A candidate is a TPM that may be enrolled, if it shows that it holds both keys.
type candidate struct {
	certificate *x509.Certificate
	ek, ak      *public
	root        root
}

// Challenge returns a credential that only the TPM with both keys of the request
// can open. Nothing is kept: the secret inside is derived from the request and
// the bind by a key of this process.
func (v *Verifier) Challenge(_ context.Context, request []byte, bind [32]byte, now time.Time) ([]byte, error) {
	c, err := v.candidate(request, now)
	if err != nil {
		return nil, err
	}
	secret := v.secret(c, bind)
	credential, seed, err := makeCredential(c.ek, c.ak, secret[:])
	if err != nil {
		return nil, refuse(node.Malformed, "EK takes no credential: %w", err)
	}
	return json.Marshal(challenge{credential, seed})
}

// Enrol checks the answer to a challenge over the same request and bind.
func (v *Verifier) Enrol(_ context.Context, request, reply []byte, bind [32]byte, now time.Time) (*node.EnrolmentFact, error) {
	c, err := v.candidate(request, now)
	if err != nil {
		return nil, err
	}
	var a answer
	if err := decode("answer", reply, maxMessage, &a); err != nil {
		return nil, err
	}
	want := v.secret(c, bind)
	if !hmac.Equal(a.Secret, want[:]) {
		return nil, refuse(node.Signature, "the challenge is not answered: another TPM, another AK, another bind, or a challenge of before this gate started")
	}
	known := enrolment{
		EK:            hashText(ekHash(c.certificate)),
		EKCertificate: c.certificate.Raw,
		AK:            hex.EncodeToString(c.ak.name),
		Root:          hashText(c.root.anchor.SHA256),
	}
	data, err := json.Marshal(known)
	if err != nil {
		return nil, err
	}
	return &node.EnrolmentFact{
		Key:       known.AK,
		Data:      data,
		Authority: "inventory",
		Anchors:   []node.Anchor{c.root.anchor},
		Facts:     map[string]string{"ek": known.EK},
	}, nil
}

// candidate appraises a request, cheapest check first: a TPM that is not in the
// inventory costs no signature check.
func (v *Verifier) candidate(request []byte, now time.Time) (*candidate, error) {
	var r enrolRequest
	if err := decode("enrolment request", request, maxMessage, &r); err != nil {
		return nil, err
	}
	var c candidate
	var err error
	if c.certificate, err = ParseEKCertificate(r.EKCertificate); err != nil {
		return nil, refuse(node.Malformed, "%w", err)
	}
	if c.ek, err = parsePublic(r.EKPublic); err != nil {
		return nil, refuse(node.Malformed, "ek_public: %w", err)
	}
	if c.ak, err = parsePublic(r.AKPublic); err != nil {
		return nil, refuse(node.Malformed, "ak_public: %w", err)
	}
	if hash := ekHash(c.certificate); !v.inventory[hash] {
		return nil, refuse(node.NotEnrolled, "EK %s is not in the inventory of %q: whoever runs the gate can add it", hashText(hash), v.name)
	}
	if err := v.checkKeys(&c, now); err != nil {
		return nil, refuse(node.BadAnchor, "%w", err)
	}
	return &c, nil
}

// checkKeys follows the chain from the AK's attributes up to the root.
func (v *Verifier) checkKeys(c *candidate, now time.Time) (err error) {
	if err := c.ak.checkAK(); err != nil {
		return err
	}
	if err := c.ek.checkEK(); err != nil {
		return err
	}
	key, err := certifiedKey(c.certificate)
	if err != nil {
		return err
	}
	if !c.ek.is(key) {
		return errOtherEK
	}
	c.root, err = v.roots.verify(c.certificate, now)
	return err
}

// secret is what the credential for a candidate under a bind holds. It can be
// derived again, so a challenge that nobody answers leaves nothing behind; it is
// bound to all that the answer has to be for, so it is worth nothing elsewhere.
func (v *Verifier) secret(c *candidate, bind [32]byte) (s [32]byte) {
	m := hmac.New(sha256.New, v.key[:])
	m.Write([]byte("plastron tpm activation v1\x00"))
	for _, b := range [][]byte{c.certificate.Raw, c.ek.raw, c.ak.name} {
		h := sha256.Sum256(b)
		m.Write(h[:])
	}
	m.Write(bind[:])
	m.Sum(s[:0])
	return s
}

// makeCredential is TPM2_MakeCredential, which needs no TPM (Part 1, 24).
func makeCredential(ek, ak *public, secret []byte) (credential, seed []byte, err error) {
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](ek.raw)
	if err != nil {
		return nil, nil, err
	}
	key, err := tpm2.ImportEncapsulationKey(area)
	if err != nil {
		return nil, nil, err
	}
	return tpm2.CreateCredential(rand.Reader, key, ak.name, secret)
}
