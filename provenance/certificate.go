package provenance

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sigstore/fulcio/pkg/certificate"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// checkLeaf refuses certificates that Fulcio does not issue to builds, whoever
// signed them: chain building alone takes an authority for a leaf.
func checkLeaf(c *x509.Certificate) error {
	switch {
	case c.IsCA:
		return errors.New("is a certificate authority's")
	case c.KeyUsage != x509.KeyUsageDigitalSignature:
		return errors.New("key usage is not exactly digital signature")
	case !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}) || len(c.UnknownExtKeyUsage) > 0:
		return errors.New("extended key usage is not exactly code signing")
	case len(c.UnhandledCriticalExtensions) > 0 && !isOtherName(c):
		return fmt.Errorf("unknown critical extension %s", c.UnhandledCriticalExtensions[0])
	}
	switch key := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if n := key.Curve.Params().BitSize; n != 256 && n != 384 && n != 521 {
			return fmt.Errorf("ECDSA key on %s", key.Curve.Params().Name)
		}
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < 2048 || n > 4096 {
			return fmt.Errorf("RSA key of %d bits, want 2048 to 4096", n)
		}
	default:
		// Ed25519 envelopes are signed pure and logged prehashed (Rekor v2):
		// the log would speak of another signature than the one we check.
		return fmt.Errorf("key is %T, want ECDSA or RSA", c.PublicKey)
	}
	return nil
}

var oidSAN = asn1.ObjectIdentifier{2, 5, 29, 17}

// isOtherName tells the one critical extension Go leaves unhandled in a genuine
// Fulcio certificate; readSigner refuses it with the better word.
func isOtherName(c *x509.Certificate) bool {
	return len(c.UnhandledCriticalExtensions) == 1 && c.UnhandledCriticalExtensions[0].Equal(oidSAN)
}

// signer is who the certificate names.
type signer struct {
	name       string // the subject alternative name
	extensions certificate.Extensions
}

// readSigner reads the certificate's identity: one name, and one issuer however
// often it is written.
func readSigner(c *x509.Certificate) (*signer, error) {
	names := slices.Clone(c.EmailAddresses)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	if n := countNames(c); n != 1 {
		return nil, fmt.Errorf("%d subject alternative names, want 1", n)
	}
	if len(names) != 1 || names[0] == "" {
		return nil, errors.New("subject alternative name is neither a URI nor an e-mail address")
	}
	x, err := certificate.ParseExtensions(c.Extensions)
	if err != nil {
		return nil, err
	}
	if err := oneIssuer(c, x.Issuer); err != nil {
		return nil, err
	}
	return &signer{name: names[0], extensions: x}, nil
}

// countNames counts subject alternative names of every kind, also those that
// crypto/x509 passes over beside one that it knows.
func countNames(c *x509.Certificate) (n int) {
	i := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidSAN) })
	if i < 0 {
		return 0
	}
	var names cryptobyte.String
	in := cryptobyte.String(c.Extensions[i].Value)
	if !in.ReadASN1(&names, cbasn1.SEQUENCE) || !in.Empty() {
		return 0
	}
	for !names.Empty() {
		var name cryptobyte.String
		var kind cbasn1.Tag
		if !names.ReadAnyASN1(&name, &kind) {
			return 0
		}
		n++
	}
	return n
}

// oneIssuer refuses a certificate without the issuer extension .8, and one whose
// older .1 names another issuer: readers differ in which they take.
func oneIssuer(c *x509.Certificate, issuer string) error {
	found := false
	for _, e := range c.Extensions {
		switch {
		case e.Id.Equal(certificate.OIDIssuerV2):
			var v2 string
			if err := certificate.ParseDERString(e.Value, &v2); err != nil {
				return err
			}
			found = v2 == issuer && v2 != ""
		//lint:ignore SA1019 deprecated, and therefore compared
		case e.Id.Equal(certificate.OIDIssuer):
			if string(e.Value) != issuer {
				return errors.New("issuer extensions .1 and .8 differ")
			}
		}
	}
	if !found {
		return errors.New("no issuer (Fulcio extension .8)")
	}
	return nil
}

var oidSCTList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}

// sctLogs gives the ids, as lower-case hexadecimal, of the CT logs whose signed
// certificate timestamps are embedded in c (RFC 6962 §3.3). It checks nothing
// else; sigstore-go does.
func sctLogs(c *x509.Certificate) ([]string, error) {
	i := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidSCTList) })
	if i < 0 {
		return nil, errors.New("no signed certificate timestamp")
	}
	var octet, list cryptobyte.String
	in := cryptobyte.String(c.Extensions[i].Value)
	if !in.ReadASN1(&octet, cbasn1.OCTET_STRING) || !in.Empty() || !octet.ReadUint16LengthPrefixed(&list) || !octet.Empty() {
		return nil, errors.New("malformed list of signed certificate timestamps")
	}
	var ids []string
	for !list.Empty() {
		var sct cryptobyte.String
		var version uint8
		var id []byte
		if !list.ReadUint16LengthPrefixed(&sct) || !sct.ReadUint8(&version) || version != 0 || !sct.ReadBytes(&id, 32) {
			return nil, errors.New("malformed signed certificate timestamp")
		}
		ids = append(ids, hex.EncodeToString(id))
	}
	return ids, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
