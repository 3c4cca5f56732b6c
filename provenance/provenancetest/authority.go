package provenancetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"
)

// age is how long ago the instance's keys say they were made, so that nothing is
// signed before its key is valid.
const age = 48 * time.Hour

// An authority is a root and an intermediate below it, which signs leaves.
type authority struct {
	root, intermediate *x509.Certificate
	key                *ecdsa.PrivateKey // the intermediate's
}

// newAuthority makes an authority whose intermediate may sign for one usage.
func newAuthority(name string, usage x509.ExtKeyUsage, now time.Time) (*authority, error) {
	rootKey, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"plastron loopback"}, CommonName: name},
		NotBefore: now.Add(-age), NotAfter: now.Add(10 * 365 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLen: 1,
	}
	a := &authority{}
	if a.root, err = certify(template, template, rootKey, rootKey); err != nil {
		return nil, err
	}
	if a.key, err = newKey(); err != nil {
		return nil, err
	}
	template.Subject.CommonName, template.MaxPathLen, template.MaxPathLenZero = name+" intermediate", 0, true
	template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	a.intermediate, err = certify(template, a.root, a.key, rootKey)
	return a, err
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// certify signs a certificate for key and reads it back.
func certify(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := signDER(template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// signDER draws a serial number where the template has none.
func signDER(template, parent *x509.Certificate, key any, signer *ecdsa.PrivateKey) ([]byte, error) {
	t := *template
	if t.SerialNumber == nil {
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
		if err != nil {
			return nil, err
		}
		t.SerialNumber = serial.Add(serial, big.NewInt(1))
	}
	return x509.CreateCertificate(rand.Reader, &t, parent, key, signer)
}

// criticalUsage is an extended key usage extension marked critical, as RFC 3161
// wants it and crypto/x509 does not write it.
func criticalUsage(oid asn1.ObjectIdentifier) (pkix.Extension, error) {
	value, err := asn1.Marshal([]asn1.ObjectIdentifier{oid})
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: value}, err
}
