package svid

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/log"
	"plastron/log/proof"
)

// An SVID is a minted X509-SVID. Only [Authority.Mint] makes one.
type SVID struct {
	certificate *x509.Certificate
	tbs         *TBS
	leaf        proof.Hash
	proof       proof.Proof
}

// Certificate returns the certificate, the log proof in it.
func (s *SVID) Certificate() *x509.Certificate { return s.certificate }

// Chain returns what a TLS server or client sends: the certificate alone, in
// DER, for the CA that signed it is in the trust bundle.
func (s *SVID) Chain() [][]byte { return [][]byte{bytes.Clone(s.certificate.Raw)} }

// ID returns the SPIFFE ID.
func (s *SVID) ID() spiffeid.ID { return s.tbs.ID }

// TBS returns what the SVID's log entry says.
func (s *SVID) TBS() *TBS { return s.tbs.clone() }

// Index returns the 0-based index of the SVID's log entry.
func (s *SVID) Index() uint64 { return s.proof.Index }

// LeafHash returns the leaf hash of the SVID's log entry, which is what
// identifies an SVID: minted again, its signature differs and this does not.
func (s *SVID) LeafHash() proof.Hash { return s.leaf }

// Proof returns the receipt's proof, which is in the certificate in its compact
// form. [proof.Proof.MarshalText] makes a C2SP tlog-proof of it.
func (s *SVID) Proof() proof.Proof {
	p := s.proof
	p.Hashes, p.Checkpoint = slices.Clone(p.Hashes), bytes.Clone(p.Checkpoint)
	return p
}

// Mint signs the SVID that a receipt proves to be logged. It is the only
// signature on an SVID. It is a function of the receipt: minted again, the SVID
// has the same serial number, key and times.
//
// The error is [log.ErrNotLogged] if the receipt is nil or zero, of another log,
// or without a quorum.
func (a *Authority) Mint(r *log.Receipt) (*SVID, error) {
	if r == nil {
		return nil, fmt.Errorf("svid: mint: %w", log.ErrNotLogged)
	}
	entry, err := r.Open(a.policy)
	if err != nil {
		return nil, fmt.Errorf("svid: mint: %w", err)
	}
	kind, logged, err := proof.Unframe(entry)
	if err != nil {
		return nil, fmt.Errorf("svid: mint: %w", err)
	}
	if kind != proof.X509SVID {
		return nil, fmt.Errorf("svid: mint: entry %d is of kind %d, not an X.509-SVID", r.Index(), kind)
	}
	t, ca, err := a.lint(logged)
	if err != nil {
		return nil, err
	}
	leaf, logProof := proof.LeafHash(entry), r.Proof()
	compact, err := a.compact(logProof, t, leaf)
	if err != nil {
		return nil, fmt.Errorf("svid: mint: entry %d: %w", r.Index(), err)
	}
	tbs, err := splice(logged, compact)
	if err != nil {
		return nil, fmt.Errorf("svid: mint: %w", err)
	}
	digest := sha256.Sum256(tbs)
	signature, err := ca.signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("svid: mint: sign: %w", err)
	}
	certificate, err := ca.check(join(tbs, signature), logged)
	if err != nil {
		return nil, fmt.Errorf("svid: mint: signed certificate: %w", err)
	}
	return &SVID{certificate, t, leaf, logProof}, nil
}

// compact makes the log-proof extension, and reads it as a relying party will:
// what they would refuse is refused here, before it is signed.
func (a *Authority) compact(p proof.Proof, t *TBS, leaf proof.Hash) ([]byte, error) {
	compact, err := p.Compact(a.policy)
	if err != nil {
		return nil, err
	}
	_, err = checkProof(compact, t, leaf, a.policy, a.now())
	return compact, err
}

// check parses what was signed, and compares it with what was logged. A key
// manager that signs something else, or with another key, is found here.
func (ca *authorityKey) check(raw, logged []byte) (*x509.Certificate, error) {
	tbs, signature, err := split(raw)
	if err != nil {
		return nil, err
	}
	again, _, err := cut(tbs)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, logged) {
		return nil, errors.New("it differs from the bytes that were logged")
	}
	digest := sha256.Sum256(tbs)
	public, ok := ca.certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(public, digest[:], signature) {
		return nil, errors.New("its signature is not the CA's")
	}
	return x509.ParseCertificate(raw)
}
