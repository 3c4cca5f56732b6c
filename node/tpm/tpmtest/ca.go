package tpmtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptoasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// life is how long certificates of a CA are valid. A TPM outlives its batteries.
const life = 20 * 365 * 24 * time.Hour

// A CA is a vendor of TPMs: it certifies EKs.
type CA struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewCA makes a vendor with a self-signed P-256 certificate.
func NewCA(name string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	return &CA{c, key}, err
}

// Certificate is the vendor's root.
func (c *CA) Certificate() *x509.Certificate { return c.certificate }

// Certify returns an EK certificate (DER) as vendors make them: no subject, but
// a critical subject alternative name that is a directoryName with the maker,
// model and version; extended key usage tcg-kp-EKCertificate. A spoil that is not
// nil changes the template first.
func (c *CA) Certify(ek crypto.PublicKey, spoil func(*x509.Certificate)) ([]byte, error) {
	san, err := modelName()
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber:          serial,
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageKeyEncipherment,
		UnknownExtKeyUsage:    []asn1.ObjectIdentifier{{2, 23, 133, 8, 1}},
		BasicConstraintsValid: true,
		ExtraExtensions:       []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: san}},
	}
	if spoil != nil {
		spoil(t)
	}
	return x509.CreateCertificate(rand.Reader, t, c.certificate, ek, c.key)
}

// modelName is the GeneralNames of one directoryName (TCG EK Credential Profile,
// 3.2.9).
func modelName() ([]byte, error) {
	attribute := func(n int, value string) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 23, 133, 2, n}, Value: value}
	}
	name, err := asn1.Marshal(pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
		attribute(1, "id:00000000"), attribute(2, "tpmtest"), attribute(3, "id:00000001"),
	}}.ToRDNSequence())
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cryptoasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptoasn1.Tag(4).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(name) })
	})
	return b.Bytes()
}
