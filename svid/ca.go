package svid

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// keyIDSize is the size of a subject key id in bytes.
const keyIDSize = 20

// CALife is the life of a CA made by SelfSign.
const CALife = 365 * 24 * time.Hour

// SelfSign makes the certificate of a new CA that begins now and lasts CALife:
// see [NewCA]. It begins a minute in the past, for relying parties whose clocks
// are behind.
func SelfSign(td spiffeid.TrustDomain, key crypto.Signer) (*x509.Certificate, error) {
	now := time.Now()
	return NewCA(td, key, now.Add(-time.Minute), now.Add(CALife))
}

// NewCA makes the certificate of a new CA: a key signs itself, once, at init or
// rotation, and the certificate is logged as a trust statement. It is the
// signing certificate of the X509-SVID profile: the trust domain's own SPIFFE
// ID, cA with no CA below it, keyCertSign and nothing else. The key is ECDSA
// P-256.
func NewCA(td spiffeid.TrustDomain, key crypto.Signer, notBefore, notAfter time.Time) (*x509.Certificate, error) {
	public, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, fmt.Errorf("svid: CA key is a %T, want ECDSA P-256", key.Public())
	}
	if td.IsZero() || len(td.Name()) > maxTrustDomain {
		return nil, fmt.Errorf("svid: trust domain %q does not have 1 to %d bytes", td.Name(), maxTrustDomain)
	}
	if !notBefore.Before(notAfter) {
		return nil, errors.New("svid: validity of the CA is empty")
	}
	keyID, err := subjectKeyID(public)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		// Two CAs of one trust domain have two names, so that a chain is found
		// without trying.
		Subject:               pkix.Name{Organization: []string{td.Name()}, CommonName: fmt.Sprintf("Plastron CA %x", keyID[:4])},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		URIs:                  []*url.URL{td.ID().URL()},
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SubjectKeyId:          keyID,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		return nil, fmt.Errorf("svid: CA certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("svid: CA certificate: %w", err)
	}
	if err := checkCA(CA{certificate, key}, td); err != nil {
		return nil, fmt.Errorf("svid: CA: %w", err)
	}
	return certificate, nil
}

// subjectKeyID names a key by the leftmost 160 bits of the SHA-256 of its
// subjectPublicKey (RFC 7093 §2 method 1).
func subjectKeyID(public *ecdsa.PublicKey) ([]byte, error) {
	point, err := public.Bytes()
	if err != nil {
		return nil, fmt.Errorf("svid: CA key: %w", err)
	}
	sum := sha256.Sum256(point)
	return sum[:keyIDSize], nil
}

// checkCA refuses a CA that NewCA would not have made.
func checkCA(ca CA, td spiffeid.TrustDomain) error {
	c := ca.Certificate
	if c == nil || ca.Key == nil {
		return errors.New("no certificate, or no key")
	}
	public, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return errors.New("key is not ECDSA P-256")
	}
	keyID, err := subjectKeyID(public)
	if err != nil {
		return err
	}
	critical := func(id string) bool {
		return slices.ContainsFunc(c.Extensions, func(x pkix.Extension) bool { return x.Critical && contents(x.Id) == id })
	}
	switch {
	case !sameKey(ca.Key, public):
		return errors.New("key is not the certificate's")
	case !bytes.Equal(c.SubjectKeyId, keyID):
		return errors.New("subject key id is not the key's")
	case !c.BasicConstraintsValid || !c.IsCA || !c.MaxPathLenZero || !critical(idBasic):
		return errors.New("basic constraints are not critical cA with path length 0")
	case c.KeyUsage != x509.KeyUsageCertSign || !critical(idKeyUsage):
		return errors.New("key usage is not critical keyCertSign alone")
	case len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0:
		return errors.New("extended key usage in a CA")
	case len(c.URIs) != 1 || c.URIs[0].String() != td.IDString():
		return fmt.Errorf("SPIFFE ID is not %s", td.IDString())
	case !bytes.Equal(c.RawIssuer, c.RawSubject):
		return errors.New("it is issued by another")
	}
	if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		return fmt.Errorf("its own signature: %w", err)
	}
	return nil
}
