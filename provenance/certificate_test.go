package provenance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"strings"
	"testing"

	"github.com/sigstore/fulcio/pkg/certificate"
)

// leaf makes a self-signed certificate as Fulcio would profile it, changed.
func leaf(t *testing.T, key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	exts, err := certificate.Extensions{Issuer: "https://issuer.example"}.Render()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: hour(0), NotAfter: hour(1),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		URIs: []*url.URL{{Scheme: "https", Host: "ci.example", Path: "/w"}}, ExtraExtensions: exts,
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func p256(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestLeafProfile(t *testing.T) {
	t.Parallel()
	key := p256(t)
	for name, change := range map[string]func(*x509.Certificate){
		"as Fulcio's": func(*x509.Certificate) {},
		"certificate authority": func(c *x509.Certificate) {
			c.BasicConstraintsValid, c.IsCA = true, true
		},
		"key usage":                  func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment },
		"no key usage":               func(c *x509.Certificate) { c.KeyUsage = 0 },
		"another extended key usage": func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
		"any extended key usage":     func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageAny) },
		"an unknown extended key usage": func(c *x509.Certificate) {
			c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}}
		},
		"unknown critical extension": func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: asn1.NullBytes})
		},
	} {
		err := checkLeaf(leaf(t, key, change))
		if (err == nil) != (name == "as Fulcio's") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLeafKeys(t *testing.T) {
	t.Parallel()
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		key crypto.Signer
		ok  bool
	}{"P-224": {p224, false}, "P-256": {p256(t), true}, "P-384": {p384, true}, "P-521": {p521, true}, "RSA 2048": {rsa2048, true}, "S19 Ed25519": {ed, false}} {
		c := leaf(t, row.key, func(*x509.Certificate) {})
		if err := checkLeaf(c); (err == nil) != row.ok {
			t.Errorf("%s: %v", name, err)
		}
		if row.ok {
			checkSignatures(t, name, c, row.key)
		}
	}
	for _, bits := range []uint{1024, 2047, 4097, 16384} {
		c := leaf(t, rsa2048, func(*x509.Certificate) {})
		c.PublicKey = &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}
		if err := checkLeaf(c); err == nil {
			t.Errorf("RSA of %d bits is taken", bits)
		}
	}
}

// checkSignatures holds an envelope signed under each hash against the one that
// goes with the key.
func checkSignatures(t *testing.T, name string, c *x509.Certificate, key crypto.Signer) {
	t.Helper()
	want := map[string]crypto.Hash{"P-256": crypto.SHA256, "P-384": crypto.SHA384, "P-521": crypto.SHA512, "RSA 2048": crypto.SHA256}[name]
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		ev := &evidence{leaf: c, pae: []byte("DSSEv1 1 x 1 y")}
		h := hash.New()
		h.Write(ev.pae)
		var err error
		if ev.signature, err = key.Sign(rand.Reader, h.Sum(nil), hash); err != nil {
			t.Fatal(err)
		}
		if err := ev.checkSignature(); (err == nil) != (hash == want) {
			t.Errorf("%s with %v: %v", name, hash, err)
		}
	}
}

func TestSigner(t *testing.T) {
	t.Parallel()
	key := p256(t)
	san := func(names ...asn1.RawValue) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			value, err := asn1.Marshal(names)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = nil
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidSAN, Critical: true, Value: value})
		}
	}
	uri := asn1.RawValue{Class: 2, Tag: 6, Bytes: []byte("https://ci.example/w")}
	email := asn1.RawValue{Class: 2, Tag: 1, Bytes: []byte("me@example.com")}
	dns := asn1.RawValue{Class: 2, Tag: 2, Bytes: []byte("ci.example")}
	id := asn1.RawValue{Class: 2, Tag: 8, Bytes: []byte{42}}
	other := asn1.RawValue{FullBytes: []byte{0xa0, 0x0d, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x07, 0xa0}}
	other.FullBytes = append(other.FullBytes[:len(other.FullBytes)-1], 0xa0, 0x03, 0x0c, 0x01, 'x')
	other.FullBytes[1] = byte(len(other.FullBytes) - 2)
	replace := func(oid asn1.ObjectIdentifier, value []byte) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			for i := range c.ExtraExtensions {
				if c.ExtraExtensions[i].Id.Equal(oid) {
					c.ExtraExtensions[i].Value = value
				}
			}
		}
	}
	utf8 := func(s string) []byte {
		b, err := asn1.MarshalWithParams(s, "utf8")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, row := range []struct {
		name   string
		change func(*x509.Certificate)
		want   string
	}{
		{"a URI", san(uri), "https://ci.example/w"},
		{"an e-mail address", san(email), "me@example.com"},
		{"no name", func(c *x509.Certificate) { c.URIs = nil }, ""},
		{"two URIs", san(uri, uri), ""},
		{"a URI and an e-mail address", san(uri, email), ""},
		{"a URI and a DNS name", san(uri, dns), ""},
		{"a URI and a kind Go passes over", san(uri, id), ""},
		{"a URI and an other name", san(uri, other), ""},
		{"a DNS name", san(dns), ""},
		{"an other name", san(other), ""},
		{"issuers differ", replace(certificate.OIDIssuerV2, utf8("https://other.example")), ""},
		//lint:ignore SA1019 deprecated, and therefore compared
		{"older issuer differs", replace(certificate.OIDIssuer, []byte("https://other.example")), ""},
		{"issuer is empty", replace(certificate.OIDIssuerV2, utf8("")), ""},
		{"issuer is not a string", replace(certificate.OIDIssuerV2, asn1.NullBytes), ""},
		{"only the older issuer", func(c *x509.Certificate) { c.ExtraExtensions = c.ExtraExtensions[:1] }, ""},
		{"only the newer issuer", func(c *x509.Certificate) { c.ExtraExtensions = c.ExtraExtensions[1:] }, "https://ci.example/w"},
	} {
		who, err := readSigner(leaf(t, key, row.change))
		switch {
		case row.want == "" && err == nil:
			t.Errorf("%s: accepted as %q", row.name, who.name)
		case row.want != "" && (err != nil || who.name != row.want || who.extensions.Issuer != "https://issuer.example"):
			t.Errorf("%s: %+v, %v", row.name, who, err)
		}
	}
}

func TestSCTLogs(t *testing.T) {
	t.Parallel()
	key := p256(t)
	list := func(b ...byte) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			value, err := asn1.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidSCTList, Value: value})
		}
	}
	sct := append([]byte{0, 33, 0}, make([]byte, 32)...)
	for name, change := range map[string]func(*x509.Certificate){
		"none":             func(*x509.Certificate) {},
		"not a list":       list(1),
		"trailing bytes":   list(append(append([]byte{0, 35}, sct...), 0)...),
		"length too large": list(append([]byte{0, 36}, sct...)...),
		"short SCT":        list(0, 4, 0, 2, 0, 0),
		"unknown version":  list(append([]byte{0, 35, 0, 33, 1}, sct[3:]...)...),
		"not octets": func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidSCTList, Value: asn1.NullBytes})
		},
	} {
		if ids, err := sctLogs(leaf(t, key, change)); err == nil {
			t.Errorf("%s: %v", name, ids)
		}
	}
	ids, err := sctLogs(leaf(t, key, list(append(append([]byte{0, 70}, sct...), sct...)...)))
	if err != nil || len(ids) != 2 || ids[0] != strings.Repeat("0", 64) {
		t.Errorf("two: %v, %v", ids, err)
	}
}
