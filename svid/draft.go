package svid

import (
	"crypto"
	"crypto/rand"
	"encoding/asn1"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/sigstore/fulcio/pkg/certificate"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// A Draft is what a gate grants: all of an SVID that the authority does not add
// itself.
type Draft struct {
	ID        spiffeid.ID
	Key       crypto.PublicKey        // ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits
	NotBefore time.Time               // fractions of a second are cut off
	NotAfter  time.Time               // the same; not after Authority.NotAfter
	DNSNames  []string                // host names in lower case
	IPs       []net.IP                //
	Build     *certificate.Extensions // Issuer must be set; deprecated fields are left out. nil: nothing was built
	Decision  Decision                // a floor or insecure name given twice is written once
}

// Draft returns the DER of a TBSCertificate: the body of an X.509-SVID entry. It
// does not touch the CA key. Its last step is the lint that Mint runs, so that
// what is logged can be minted.
func (a *Authority) Draft(d Draft) ([]byte, error) {
	key, err := spki(d.Key)
	if err != nil {
		return nil, fmt.Errorf("svid: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	tbs, err := a.cas[0].encode(&d, key, serial)
	if err != nil {
		return nil, fmt.Errorf("svid: draft: %w", err)
	}
	if _, _, err := a.lint(tbs); err != nil {
		return nil, err
	}
	return tbs, nil
}

// newSerial returns 16 octets that are a positive number: 126 bits of it are
// random, so that no two SVIDs share one.
func newSerial() ([]byte, error) {
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return nil, fmt.Errorf("svid: serial number: %w", err)
	}
	serial[0] = serial[0]&0x7f | 0x40
	return serial, nil
}

// encode writes the fields in the order of RFC 5280 §4.1.
func (ca *authorityKey) encode(d *Draft, key, serial []byte) ([]byte, error) {
	extensions, err := ca.extensions(d)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(tagVersion, func(b *cryptobyte.Builder) { b.AddASN1Uint64(2) })
		b.AddASN1(der.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(serial) })
		b.AddBytes(ecdsaWithSHA256)
		b.AddBytes(ca.certificate.RawSubject)
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, d.NotBefore)
			addTime(b, d.NotAfter)
		})
		b.AddASN1(der.SEQUENCE, func(*cryptobyte.Builder) {}) // the subject is in the names
		b.AddBytes(key)
		b.AddASN1(tagExtensions, func(b *cryptobyte.Builder) {
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(extensions) })
		})
	})
	return b.Bytes()
}

func addTime(b *cryptobyte.Builder, t time.Time) {
	t = t.UTC()
	if t.Year() < 2050 {
		b.AddASN1UTCTime(t)
	} else {
		b.AddASN1GeneralizedTime(t)
	}
}

// extensions writes the list, in crypto/x509's order and then ours.
func (ca *authorityKey) extensions(d *Draft) ([]byte, error) {
	decision := d.Decision
	decision.Floors, decision.Insecure = once(decision.Floors), once(decision.Insecure)
	value, err := decision.marshal()
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	addExtension(&b, asn1.ObjectIdentifier{2, 5, 29, 15}, true, digitalSignature)
	addExtension(&b, asn1.ObjectIdentifier{2, 5, 29, 37}, false, serverAndClient)
	addExtension(&b, asn1.ObjectIdentifier{2, 5, 29, 19}, true, notCA)
	addExtension(&b, asn1.ObjectIdentifier{2, 5, 29, 35}, false, authorityKeyID(ca.certificate.SubjectKeyId))
	addExtension(&b, asn1.ObjectIdentifier{2, 5, 29, 17}, true, names(d))
	if d.Build != nil {
		build, err := renderBuild(d.Build)
		if err != nil {
			return nil, err
		}
		for _, x := range build {
			addExtension(&b, x.Id, false, x.Value)
		}
	}
	addExtension(&b, OIDDecision, false, value)
	return b.Bytes()
}

func authorityKeyID(id []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(der.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(id) })
	})
	return b.BytesOrPanic()
}

func names(d *Draft) []byte {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, n := range d.DNSNames {
			b.AddASN1(tagDNS, func(b *cryptobyte.Builder) { b.AddBytes([]byte(n)) })
		}
		for _, ip := range d.IPs {
			if four := ip.To4(); four != nil {
				ip = four
			}
			b.AddASN1(tagIP, func(b *cryptobyte.Builder) { b.AddBytes(ip) })
		}
		b.AddASN1(tagURI, func(b *cryptobyte.Builder) { b.AddBytes([]byte(d.ID.String())) })
	})
	return b.BytesOrPanic()
}

// once returns the list without what it repeats.
func once(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
