package provenance

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// evidence is one bundle, parsed once: by us, and into the objects that
// sigstore-go asks for through [verify.SignedEntity]. It belongs to one call:
// sigstore-go may write to the leaf certificate.
type evidence struct {
	shape     *shape
	leaf      *x509.Certificate
	who       *signer
	payload   []byte
	pae       []byte // DSSE pre-authentication encoding: what is signed
	signature []byte
	logged    []*tlog.Entry
	envelope  *bundle.Envelope
}

var _ verify.SignedEntity = (*evidence)(nil)

// parse reads a bundle and checks all that needs no trust root: shape,
// certificate profile, and that the certificate's key signed the payload.
func parse(text []byte) (*evidence, error) {
	s, err := parseShape(text)
	if err != nil {
		return nil, err
	}
	ev := &evidence{shape: s, payload: s.Envelope.Payload, signature: s.Envelope.Signatures[0].Signature}
	if ev.leaf, err = x509.ParseCertificate(s.leafDER()); err != nil {
		return nil, refuse(CodeCertificate, "certificate: %w", err)
	}
	if err := checkLeaf(ev.leaf); err != nil {
		return nil, refuse(CodeCertificate, "certificate: %w", err)
	}
	if ev.who, err = readSigner(ev.leaf); err != nil {
		return nil, refuse(CodeIdentity, "certificate: %w", err)
	}
	for i := range s.Material.Entries {
		t, err := tlog.ParseTransparencyLogEntry(s.Material.Entries[i].proto())
		if err != nil {
			return nil, refuse(CodeLog, "log entry %d: %w", i, err)
		}
		ev.logged = append(ev.logged, t)
	}
	ev.pae = dsse.PAE(payloadType, ev.payload)
	if err := ev.checkSignature(); err != nil {
		return nil, err
	}
	ev.envelope = &bundle.Envelope{Envelope: &dsse.Envelope{
		PayloadType: payloadType,
		Payload:     base64.StdEncoding.EncodeToString(ev.payload),
		Signatures:  []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(ev.signature)}},
	}}
	return ev, nil
}

// checkSignature verifies the envelope under the leaf's key with the one hash
// that goes with it. sigstore-go tries older pairings too, and says so on
// standard error: it never gets that far.
func (ev *evidence) checkSignature() error {
	var algorithm x509.SignatureAlgorithm
	switch key := ev.leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			algorithm = x509.ECDSAWithSHA256
		case 384:
			algorithm = x509.ECDSAWithSHA384
		case 521:
			algorithm = x509.ECDSAWithSHA512
		}
	case *rsa.PublicKey:
		algorithm = x509.SHA256WithRSA
	}
	if err := ev.leaf.CheckSignature(algorithm, ev.pae, ev.signature); err != nil {
		return refuse(CodeSignature, "envelope under the certificate's key: %w", err)
	}
	return nil
}

// id is the evidence's identity whatever its encoding.
func (ev *evidence) id() [32]byte { return sha256.Sum256(ev.pae) }

// The methods below are verify.SignedEntity.

func (ev *evidence) Version() (string, error) { return mediaTypes[ev.shape.MediaType], nil }

func (ev *evidence) HasInclusionProof() bool { return true } // parseShape demands it of every entry

func (ev *evidence) HasInclusionPromise() bool {
	for _, t := range ev.logged {
		if t.HasInclusionPromise() {
			return true
		}
	}
	return false
}

func (ev *evidence) TlogEntries() ([]*tlog.Entry, error) { return ev.logged, nil }

func (ev *evidence) SignatureContent() (verify.SignatureContent, error) { return ev.envelope, nil }

func (ev *evidence) VerificationContent() (verify.VerificationContent, error) {
	return bundle.NewCertificate(ev.leaf), nil
}

func (ev *evidence) Timestamps() ([][]byte, error) {
	var out [][]byte
	for _, t := range ev.shape.Material.Times.RFC3161 {
		out = append(out, t.Response)
	}
	return out, nil
}

// inTime refuses times outside the certificate's validity: a signature made
// then was not made under it.
func (ev *evidence) inTime(e *entryShape) error {
	t := e.integrated()
	if !t.IsZero() && (t.Before(ev.leaf.NotBefore) || t.After(ev.leaf.NotAfter)) {
		return fmt.Errorf("logged at %s, certificate is valid from %s to %s", stamp(t), stamp(ev.leaf.NotBefore), stamp(ev.leaf.NotAfter))
	}
	return nil
}
