package provenance

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// An authority is a Fulcio instance whose own chain was verified when the root
// was read, so that a leaf costs one signature check and not two. It gives the
// chains that root.FulcioCertificateAuthority would; a test compares them.
type authority struct {
	*root.FulcioCertificateAuthority
	issuers []issuer // empty: chains are built anew each time
	root    [32]byte // SHA-256 of the root certificate
}

// An issuer is a certificate of the authority that leaves may be signed by.
type issuer struct {
	pool    *x509.CertPool // cert alone
	subject []byte         // its RawSubject
	above   []*x509.Certificate
}

// newAuthority verifies each intermediate up to the root. An authority keeps the
// slow path if its certificates constrain what is below them in ways that only
// a whole chain shows, or were never valid together.
func newAuthority(ca *root.FulcioCertificateAuthority) (*authority, error) {
	if ca.Root == nil {
		return nil, errors.New("no root certificate")
	}
	a := &authority{FulcioCertificateAuthority: ca, root: sha256.Sum256(ca.Root.Raw)}
	all := append(slices.Clone(ca.Intermediates), ca.Root)
	if slices.ContainsFunc(all, constrainsNames) {
		return a, nil
	}
	for _, c := range all {
		above, ok := chainAbove(c, ca)
		if !ok || slices.ContainsFunc(above, func(c *x509.Certificate) bool { return tooShort(c, above) }) {
			a.issuers = nil
			return a, nil
		}
		pool := x509.NewCertPool()
		pool.AddCert(c)
		a.issuers = append(a.issuers, issuer{pool: pool, subject: c.RawSubject, above: above})
	}
	return a, nil
}

// chainAbove is the verified chain from c, exclusive, to the root, inclusive.
func chainAbove(c *x509.Certificate, ca *root.FulcioCertificateAuthority) (above []*x509.Certificate, ok bool) {
	if c == ca.Root {
		return nil, true
	}
	roots, intermediates, start := x509.NewCertPool(), x509.NewCertPool(), ca.Root.NotBefore
	roots.AddCert(ca.Root)
	for _, i := range ca.Intermediates {
		intermediates.AddCert(i)
		if i.NotBefore.After(start) {
			start = i.NotBefore
		}
	}
	chains, err := c.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: start,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
	if err != nil {
		return nil, false
	}
	return chains[0][1:], true
}

// tooShort tells whether c, one of the certificates above an issuer, limits the
// path to fewer intermediates than a leaf of that issuer has below c.
func tooShort(c *x509.Certificate, above []*x509.Certificate) bool {
	below := 1 + slices.Index(above, c) // the issuer, and those of above before c
	return c.BasicConstraintsValid && c.MaxPathLen >= 0 && c.MaxPathLen < below
}

var oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}

func constrainsNames(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		if e.Id.Equal(oidNameConstraints) {
			return true
		}
	}
	return false
}

// Verify builds the leaf's chains at time t, as root.CertificateAuthority asks.
func (a *authority) Verify(leaf *x509.Certificate, t time.Time) ([][]*x509.Certificate, error) {
	if len(a.issuers) == 0 {
		return a.FulcioCertificateAuthority.Verify(leaf, t)
	}
	if err := a.inPeriod(t); err != nil {
		return nil, err
	}
	last := errors.New("issued by none of its certificates")
	for _, i := range a.issuers {
		if !bytes.Equal(leaf.RawIssuer, i.subject) {
			continue
		}
		chains, err := leaf.Verify(x509.VerifyOptions{
			Roots: i.pool, CurrentTime: t,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		})
		if err == nil {
			err = validAt(i.above, t)
		}
		if err != nil {
			last = err
			continue
		}
		return [][]*x509.Certificate{append(chains[0], i.above...)}, nil
	}
	return nil, last
}

// again is Verify for a chain that Verify gave before at another time: only
// times can differ.
func (a *authority) again(chain []*x509.Certificate, t time.Time) error {
	if err := a.inPeriod(t); err != nil {
		return err
	}
	return validAt(chain, t)
}

// inPeriod refuses times outside the period for which the root names the
// authority.
func (a *authority) inPeriod(t time.Time) error {
	if s := a.ValidityPeriodStart; !s.IsZero() && t.Before(s) {
		return fmt.Errorf("authority is trusted from %s, not at %s", stamp(s), stamp(t))
	}
	if e := a.ValidityPeriodEnd; !e.IsZero() && t.After(e) {
		return fmt.Errorf("authority is trusted until %s, not at %s", stamp(e), stamp(t))
	}
	return nil
}

func validAt(certs []*x509.Certificate, t time.Time) error {
	for _, c := range certs {
		if t.Before(c.NotBefore) || t.After(c.NotAfter) {
			return fmt.Errorf("certificate %q is valid from %s to %s, not at %s", c.Subject, stamp(c.NotBefore), stamp(c.NotAfter), stamp(t))
		}
	}
	return nil
}

// has tells whether der is one of the authority's certificates.
func (a *authority) has(der []byte) bool {
	return bytes.Equal(a.Root.Raw, der) ||
		slices.ContainsFunc(a.Intermediates, func(c *x509.Certificate) bool { return bytes.Equal(c.Raw, der) })
}
