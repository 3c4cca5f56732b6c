package tpm

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cryptoasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var errOtherEK = errors.New("EK certificate is of another key than the EK")

// maxCertificate is the longest EK certificate that is read, in bytes, with its
// wrapper and padding.
const maxCertificate = 8 << 10

var (
	oidEKCertificate = asn1.ObjectIdentifier{2, 23, 133, 8, 1} // tcg-kp-EKCertificate
	oidSAN           = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidRSAESOAEP     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}
)

// ParseEKCertificate reads an EK certificate as DER, or as TPMs hold it: in the
// PC client's wrapper
//
//	10 01 | type u8, 00 for a full certificate | length u16 | 10 02 | DER
//
// where length counts from the second tag, and followed by 00 or ff bytes up to
// the size of the NV index. Nothing is verified.
func ParseEKCertificate(b []byte) (*x509.Certificate, error) {
	if len(b) > maxCertificate {
		return nil, fmt.Errorf("EK certificate of %d bytes, want at most %d", len(b), maxCertificate)
	}
	if bytes.HasPrefix(b, []byte{0x10, 0x01}) {
		if len(b) < 7 || b[2] != 0 || b[5] != 0x10 || b[6] != 0x02 {
			return nil, errors.New("EK certificate: wrapper is not that of a full certificate")
		}
		n := 5 + int(binary.BigEndian.Uint16(b[3:]))
		if n < 7 || n > len(b) {
			return nil, errors.New("EK certificate: wrapper's length is wrong")
		}
		b = b[7:n]
	}
	rest := cryptobyte.String(b)
	var der cryptobyte.String
	if !rest.ReadASN1Element(&der, cryptoasn1.SEQUENCE) {
		return nil, errors.New("EK certificate is not DER")
	}
	for _, pad := range rest {
		if pad != rest[0] || pad != 0 && pad != 0xff {
			return nil, errors.New("EK certificate: bytes after it are not padding")
		}
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("EK certificate: %w", err)
	}
	return c, nil
}

// EKHash is how an inventory and the fact "ek" name a TPM: "sha256:" and the
// lower-case hex of the SHA-256 of the SubjectPublicKeyInfo of its EK
// certificate, which a re-issued certificate keeps. The certificate may be in
// any form that [ParseEKCertificate] reads.
func EKHash(certificate []byte) (string, error) {
	c, err := ParseEKCertificate(certificate)
	if err != nil {
		return "", err
	}
	return hashText(ekHash(c)), nil
}

func ekHash(c *x509.Certificate) [32]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

func hashText(h [32]byte) string { return fmt.Sprintf("sha256:%x", h) }

// certifiedKey returns the key of an EK certificate. Some vendors label an RSA
// key RSAES-OAEP, which crypto/x509 leaves unread.
func certifiedKey(c *x509.Certificate) (crypto.PublicKey, error) {
	if c.PublicKey != nil {
		return c.PublicKey, nil
	}
	s := cryptobyte.String(c.RawSubjectPublicKeyInfo)
	var spki, algorithm cryptobyte.String
	var id asn1.ObjectIdentifier
	var bits asn1.BitString
	if !s.ReadASN1(&spki, cryptoasn1.SEQUENCE) || !spki.ReadASN1(&algorithm, cryptoasn1.SEQUENCE) ||
		!algorithm.ReadASN1ObjectIdentifier(&id) || !spki.ReadASN1BitString(&bits) || !spki.Empty() {
		return nil, errors.New("EK certificate: key is unreadable")
	}
	if !id.Equal(oidRSAESOAEP) {
		return nil, fmt.Errorf("EK certificate: key of algorithm %v, want RSA or ECC", id)
	}
	key, err := x509.ParsePKCS1PublicKey(bits.RightAlign())
	if err != nil {
		return nil, fmt.Errorf("EK certificate: %w", err)
	}
	return key, nil
}

// checkPurpose refuses a certificate that is not an EK's own: a CA's, or one for
// another use. Some EK certificates state no use.
func checkPurpose(c *x509.Certificate) error {
	if c.IsCA {
		return errors.New("EK certificate is a CA's")
	}
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 {
		return nil
	}
	if !slices.ContainsFunc(c.UnknownExtKeyUsage, oidEKCertificate.Equal) {
		return errors.New("EK certificate: extended key usage is not tcg-kp-EKCertificate")
	}
	return nil
}

// withoutSAN returns the certificate as crypto/x509 will verify it: the subject
// alternative name, a directoryName with the TPM's model that has to be critical
// and that the package does not read, counts as handled. Nothing else does.
func withoutSAN(c *x509.Certificate) *x509.Certificate {
	handled := *c
	handled.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(c.UnhandledCriticalExtensions), oidSAN.Equal)
	return &handled
}
