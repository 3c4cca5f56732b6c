package provenance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// hour is a time of the authorities below.
func hour(n int) time.Time { return epoch.Add(time.Duration(n) * time.Hour) }

// pki makes certificates.
type pki struct{ t *testing.T }

func (p pki) issue(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	if template.SerialNumber == nil {
		template.SerialNumber = big.NewInt(1)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		p.t.Fatal(err)
	}
	return c, key
}

func caTemplate(name string, from, to int) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: hour(from), NotAfter: hour(to),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, MaxPathLen: -1,
	}
}

func leafTemplate(from, to int, usage ...x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{NotBefore: hour(from), NotAfter: hour(to), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: usage, DNSNames: []string{"build.example"}}
}

// The prepared authority must decide as sigstore-go's would, at every hour, for
// every way an authority can be built and a leaf be wrong.
func TestAuthorityIsSigstores(t *testing.T) {
	t.Parallel()
	p := pki{t}
	type world struct {
		ca   *root.FulcioCertificateAuthority
		leaf []*x509.Certificate
		fast bool
	}
	build := func(change func(rootT, midT *x509.Certificate, ca *root.FulcioCertificateAuthority), fast bool) world {
		rootT, midT := caTemplate("root", 0, 20), caTemplate("mid", 2, 16)
		midT.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		ca := &root.FulcioCertificateAuthority{ValidityPeriodStart: hour(1), ValidityPeriodEnd: hour(18)}
		change(rootT, midT, ca)
		r, rootKey := p.issue(rootT, nil, nil)
		mid, midKey := p.issue(midT, r, rootKey)
		ca.Root, ca.Intermediates = r, append(ca.Intermediates, mid)
		w := world{ca: ca, fast: fast}
		for _, from := range []int{0, 3, 15, 17} {
			good, _ := p.issue(leafTemplate(from, from+3, x509.ExtKeyUsageCodeSigning), mid, midKey)
			server, _ := p.issue(leafTemplate(from, from+3, x509.ExtKeyUsageServerAuth), mid, midKey)
			byRoot, _ := p.issue(leafTemplate(from, from+3, x509.ExtKeyUsageCodeSigning), r, rootKey)
			stranger, strangerKey := p.issue(caTemplate("mid", 2, 16), nil, nil)
			forged, _ := p.issue(leafTemplate(from, from+3, x509.ExtKeyUsageCodeSigning), stranger, strangerKey)
			w.leaf = append(w.leaf, good, server, byRoot, forged)
		}
		return w
	}
	for name, w := range map[string]world{
		"plain": build(func(_, _ *x509.Certificate, _ *root.FulcioCertificateAuthority) {}, true),
		"no end": build(func(_, _ *x509.Certificate, ca *root.FulcioCertificateAuthority) {
			ca.ValidityPeriodStart, ca.ValidityPeriodEnd = time.Time{}, time.Time{}
		}, true),
		"path length of one": build(func(r, _ *x509.Certificate, _ *root.FulcioCertificateAuthority) { r.MaxPathLen = 1 }, true),
		"path length of none": build(func(r, _ *x509.Certificate, _ *root.FulcioCertificateAuthority) {
			r.MaxPathLen, r.MaxPathLenZero = 0, true
		}, false),
		"intermediate for other uses": build(func(_, m *x509.Certificate, _ *root.FulcioCertificateAuthority) {
			m.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}, false),
		"root constrains names": build(func(r, _ *x509.Certificate, _ *root.FulcioCertificateAuthority) {
			r.PermittedDNSDomainsCritical, r.PermittedDNSDomains = true, []string{"elsewhere.example"}
		}, false),
		"intermediate constrains names": build(func(_, m *x509.Certificate, _ *root.FulcioCertificateAuthority) {
			m.ExcludedDNSDomains = []string{"build.example"}
		}, false),
		"an intermediate of another time": build(func(_, _ *x509.Certificate, ca *root.FulcioCertificateAuthority) {
			old, _ := p.issue(caTemplate("old", -9, -5), nil, nil)
			ca.Intermediates = append(ca.Intermediates, old)
		}, false),
	} {
		a, err := newAuthority(w.ca)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if fast := len(a.issuers) > 0; fast != w.fast {
			t.Errorf("%s: prepared %v, want %v", name, fast, w.fast)
		}
		held := 0
		for i, leaf := range w.leaf {
			for h := -1; h <= 21; h++ {
				want, wantErr := w.ca.Verify(leaf, hour(h))
				got, gotErr := a.Verify(leaf, hour(h))
				if (wantErr == nil) != (gotErr == nil) {
					t.Fatalf("%s: leaf %d at hour %d: sigstore-go %v, prepared %v", name, i, h, wantErr, gotErr)
				}
				if wantErr != nil {
					continue
				}
				held++
				if !sameChain(want[0], got[0]) {
					t.Errorf("%s: leaf %d at hour %d: another chain", name, i, h)
				}
				for later := -1; later <= 21; later++ {
					_, wantErr := w.ca.Verify(leaf, hour(later))
					if gotErr := a.again(got[0], hour(later)); (wantErr == nil) != (gotErr == nil) {
						t.Fatalf("%s: leaf %d again at hour %d: sigstore-go %v, prepared %v", name, i, later, wantErr, gotErr)
					}
				}
			}
		}
		if w.fast && held == 0 {
			t.Errorf("%s: no leaf ever held", name)
		}
	}
}

func sameChain(a, b []*x509.Certificate) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i].Raw, b[i].Raw) {
			return false
		}
	}
	return true
}

func TestAuthorityWantsARoot(t *testing.T) {
	t.Parallel()
	if a, err := newAuthority(&root.FulcioCertificateAuthority{}); err == nil {
		t.Errorf("made an authority %v", a)
	}
}
