package svid

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

const (
	// MaxTBS is the most bytes of a TBSCertificate without its proof. An SVID
	// with every build fact of GitHub's takes about 2,000.
	MaxTBS = 16 << 10
	// MaxCertificate is the most bytes of a certificate that are looked at.
	MaxCertificate = 32 << 10
)

// The two extensions of our own, under the arc that IANA keeps for documentation
// until the project owns one.
var (
	OIDLogProof = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 1}
	OIDDecision = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 2}
)

var (
	tagVersion    = der.Tag(0).ContextSpecific().Constructed()
	tagExtensions = der.Tag(3).ContextSpecific().Constructed()
)

// ecdsaWithSHA256 is the AlgorithmIdentifier of every SVID's signature, whole
// (RFC 5758 §3.2: "the encoding MUST omit the parameters field").
var ecdsaWithSHA256 = []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}

// An extension is one element of a certificate's extension list.
type extension struct {
	id       string // contents of its OBJECT IDENTIFIER
	critical bool
	value    []byte // contents of its OCTET STRING
}

// contents returns the DER contents octets of an object identifier, the form in
// which extensions are compared.
func contents(id asn1.ObjectIdentifier) string {
	var b cryptobyte.Builder
	b.AddASN1ObjectIdentifier(id)
	return string(b.BytesOrPanic()[2:])
}

// split takes a certificate apart: its TBSCertificate, and the ECDSA signature
// inside its BIT STRING. Nothing but DER passes, and nothing but ECDSA with
// SHA-256.
func split(certificate []byte) (tbs, signature []byte, err error) {
	if len(certificate) > MaxCertificate {
		return nil, nil, fmt.Errorf("certificate has %d bytes, want at most %d", len(certificate), MaxCertificate)
	}
	s := cryptobyte.String(certificate)
	var body, element, algorithm cryptobyte.String
	if !s.ReadASN1(&body, der.SEQUENCE) || !s.Empty() ||
		!body.ReadASN1Element(&element, der.SEQUENCE) ||
		!body.ReadASN1Element(&algorithm, der.SEQUENCE) ||
		!body.ReadASN1BitStringAsBytes(&signature) || !body.Empty() {
		return nil, nil, errors.New("certificate is not DER")
	}
	if string(algorithm) != string(ecdsaWithSHA256) {
		return nil, nil, errors.New("certificate is not signed with ECDSA and SHA-256")
	}
	if !strictSignature(signature) {
		return nil, nil, errors.New("signature is not DER")
	}
	return element, signature, nil
}

// strictSignature reports whether b is the DER of an Ecdsa-Sig-Value of P-256.
func strictSignature(b []byte) bool {
	s := cryptobyte.String(b)
	var body cryptobyte.String
	if !s.ReadASN1(&body, der.SEQUENCE) || !s.Empty() {
		return false
	}
	for range 2 {
		var n []byte // ReadASN1Integer takes only minimal encodings; into bytes, only those not negative
		if !body.ReadASN1Integer(&n) || len(n) == 0 || len(n) > 32 {
			return false
		}
	}
	return body.Empty()
}

// join puts a certificate together again, the inverse of split.
func join(tbs, signature []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(ecdsaWithSHA256)
		b.AddASN1BitString(signature)
	})
	return b.BytesOrPanic()
}

// readExtension takes the next extension off the list.
func readExtension(list *cryptobyte.String) (x extension, err error) {
	var body, id, value cryptobyte.String
	if !list.ReadASN1(&body, der.SEQUENCE) || !body.ReadASN1(&id, der.OBJECT_IDENTIFIER) {
		return x, errors.New("extension is not DER")
	}
	if body.PeekASN1Tag(der.BOOLEAN) {
		// X.690 §11.5: a value equal to the default (FALSE) is not encoded.
		if !body.ReadASN1Boolean(&x.critical) || !x.critical {
			return x, errors.New("extension is not DER: critical is encoded and not TRUE")
		}
	}
	if !body.ReadASN1(&value, der.OCTET_STRING) || !body.Empty() {
		return x, errors.New("extension is not DER")
	}
	x.id, x.value = string(id), value
	return x, nil
}

func addExtension(b *cryptobyte.Builder, id asn1.ObjectIdentifier, critical bool, value []byte) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(id)
		if critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1OctetString(value)
	})
}
