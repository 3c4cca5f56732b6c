package svid

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/log"
	"plastron/log/proof"
)

func TestNewCA(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if !strings.Contains(w.ca.Subject.String(), "acme.example") {
		t.Errorf("subject %s", w.ca.Subject)
	}
	long := spiffeid.RequireTrustDomainFromString(strings.Repeat("a", 255))
	must(NewCA(long, w.caKey, epoch, epoch.Add(time.Hour)))(t)
	for name, make := range map[string]func() error{
		"no trust domain":   func() error { return second(NewCA(spiffeid.TrustDomain{}, w.caKey, epoch, epoch.Add(1))) },
		"validity is empty": func() error { return second(NewCA(w.td, w.caKey, epoch, epoch)) },
		"P-384": func() error {
			return second(NewCA(w.td, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t), epoch, epoch.Add(time.Hour)))
		},
		"Ed25519": func() error { return second(NewCA(w.td, newEd25519(t), epoch, epoch.Add(time.Hour))) },
		"SPIFFE-ID 2.1 trust domain of 256 bytes": func() error {
			return second(NewCA(spiffeid.RequireTrustDomainFromString(strings.Repeat("a", 256)), w.caKey, epoch, epoch.Add(time.Hour)))
		},
	} {
		if make() == nil {
			t.Errorf("%s: made", name)
		}
	}
}

func second(_ *x509.Certificate, err error) error { return err }

func TestSelfSignIsGoodNow(t *testing.T) {
	t.Parallel()
	c := must(SelfSign(spiffeid.RequireTrustDomainFromString("acme.example"), newP256(t)))(t)
	if now := time.Now(); !c.NotBefore.Before(now) || c.NotAfter.Before(now.Add(CALife-time.Minute)) {
		t.Errorf("valid from %s to %s", c.NotBefore, c.NotAfter)
	}
}

// mldsaQuorum is a log policy that no SVID's proof could meet.
func mldsaQuorum(t *testing.T) *log.Policy {
	t.Helper()
	origin := must(proof.NewLogSigner("log.acme.example", newEd25519(t)))(t)
	w := must(proof.NewCosigner("witness.example", must(mldsa.GenerateKey(mldsa.MLDSA44()))(t)))(t)
	return must(proof.ParsePolicy([]byte("log " + origin.VKey() + "\nwitness w " + w.VKey() + "\nquorum w\n")))(t)
}

func TestNewAuthorityRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := must(NewCA(w.td, newP256(t), epoch, epoch.Add(time.Hour)))(t)
	ca := func(edit func(*x509.Certificate)) func(*Config) {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: epoch, NotAfter: epoch.Add(time.Hour),
			URIs: w.ca.URIs, KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
			SubjectKeyId: w.ca.SubjectKeyId,
		}
		edit(template)
		raw := must(x509.CreateCertificate(rand.Reader, template, template, w.caKey.Public(), w.caKey))(t)
		return func(c *Config) { c.Certificate = must(x509.ParseCertificate(raw))(t) }
	}
	uri := func(s string) []*url.URL { return []*url.URL{must(url.Parse(s))(t)} }
	for name, row := range map[string]struct {
		edit func(*Config)
		want string
	}{
		"no trust domain":                     {func(c *Config) { c.TrustDomain = spiffeid.TrustDomain{} }, "needs"},
		"no policy":                           {func(c *Config) { c.Policy = nil }, "needs"},
		"the zero policy":                     {func(c *Config) { c.Policy = new(log.Policy) }, "needs"},
		"a quorum of ML-DSA witnesses":        {func(c *Config) { c.Policy = mldsaQuorum(t) }, "SVIDs carry Ed25519 cosignatures only"},
		"no certificate":                      {func(c *Config) { c.Certificate = nil }, "no certificate"},
		"no key":                              {func(c *Config) { c.Key = nil }, "no key"},
		"another's key":                       {func(c *Config) { c.Key = newP256(t) }, "not the certificate's"},
		"key of another kind":                 {func(c *Config) { c.Key = newEd25519(t) }, "not the certificate's"},
		"another's certificate":               {func(c *Config) { c.Certificate = other }, "not the certificate's"},
		"one CA twice":                        {func(c *Config) { c.Retired = []CA{{c.Certificate, c.Key}} }, "twice"},
		"retired CA without key":              {func(c *Config) { c.Retired = []CA{{other, nil}} }, "no key"},
		"X509-SVID 4.2 not a CA":              {ca(func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false }), "cA"},
		"path length 1":                       {ca(func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false }), "path length 0"},
		"X509-SVID 4.3 no keyCertSign":        {ca(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), "keyCertSign"},
		"X509-SVID 3.2 also signs":            {ca(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature }), "keyCertSign alone"},
		"cRLSign":                             {ca(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }), "keyCertSign alone"},
		"extended key usage":                  {ca(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "extended key usage"},
		"SPIFFE ID of another":                {ca(func(c *x509.Certificate) { c.URIs = uri("spiffe://b.example") }), "SPIFFE ID"},
		"X509-SVID 3.2 SPIFFE ID with a path": {ca(func(c *x509.Certificate) { c.URIs = uri("spiffe://acme.example/ca") }), "SPIFFE ID"},
		"no SPIFFE ID":                        {ca(func(c *x509.Certificate) { c.URIs = nil }), "SPIFFE ID"},
		"another key's id":                    {ca(func(c *x509.Certificate) { c.SubjectKeyId = make([]byte, 20) }), "subject key id"},
		"X509-SVID 4.3 key usage not critical": {ca(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: oidKeyUsage, Value: unhex("03020204")}}
		}), "critical"},
		"rfc5280 4.2.1.9 constraints uncritical": {ca(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: oidBasic, Value: unhex("30060101ff020100")}}
		}), "critical"},
		"issued by another": {func(c *Config) {
			x := *c.Certificate
			x.RawIssuer = other.RawSubject
			c.Certificate = &x
		}, "another"},
		"signature spoiled": {func(c *Config) {
			x := *c.Certificate
			x.Signature = make([]byte, 70)
			c.Certificate = &x
		}, "signature"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{TrustDomain: w.td, Certificate: w.ca, Key: w.caKey, Policy: w.policy}
			row.edit(&c)
			_, err := NewAuthority(c)
			wantError(t, err, row.want)
		})
	}
}

// After a rotation the old CA still mints what was drafted for it; tainted, it
// mints nothing.
func TestRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := must(w.a.Draft(w.draft(t)))(t)
	key := newP256(t)
	ca := must(NewCA(w.td, key, epoch, epoch.Add(240*time.Hour)))(t)
	c := Config{
		TrustDomain: w.td, Certificate: ca, Key: key, Policy: w.policy, Now: func() time.Time { return w.now },
		Retired: []CA{{w.ca, w.caKey}},
	}
	a := must(NewAuthority(c))(t)
	young := must(a.Draft(w.draft(t)))(t)
	for tbs, want := range map[string]*x509.Certificate{string(old): w.ca, string(young): ca} {
		_, by, err := a.lint([]byte(tbs))
		if err != nil || by.certificate != want {
			t.Errorf("linted for %v: %v", by, err)
		}
	}
	_, _, err := w.a.lint(young)
	wantError(t, err, "no CA with the key id")
	d := w.draft(t)
	d.Key = w.caKey.Public()
	_, err = a.Draft(d)
	wantError(t, err, "own")

	c.Tainted = [][]byte{w.ca.SubjectKeyId}
	a = must(NewAuthority(c))(t)
	_, _, err = a.lint(old)
	wantError(t, err, "tainted")
	if list := a.Certificates(); len(list) != 1 || list[0] != ca {
		t.Errorf("%d certificates", len(list))
	}
	c.Tainted = [][]byte{ca.SubjectKeyId}
	_, err = must(NewAuthority(c))(t).Draft(w.draft(t))
	wantError(t, err, "tainted")
}

// An entry that names a CA by key id and another by name is refused.
func TestIssuerAndKeyIDBelongTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := takeApart(t, must(w.a.Draft(w.draft(t)))(t))
	p.fields["issuer"] = must(NewCA(w.td, newP256(t), epoch, epoch.Add(time.Hour)))(t).RawSubject
	_, _, err := w.a.lint(p.tbs())
	wantError(t, err, "issuer is not the subject")
}

// A key manager that signs other bytes, or with another key, is found out before
// a certificate leaves.
func TestMintChecksItsOwnSignature(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tbs := must(w.a.Draft(w.draft(t)))(t)
	good := w.certify(t, tbs).Raw
	ca := w.a.cas[0]
	must(ca.check(good, tbs))(t)
	other := must(w.a.Draft(w.draft(t)))(t)
	signed, signature, err := split(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct{ raw, logged []byte }{
		"other bytes":        {good, other},
		"another key":        {newWorld(t).sign(t, signed), tbs},
		"no proof":           {w.sign(t, tbs), tbs},
		"empty signature":    {join(signed, nil), tbs},
		"signature and more": {join(signed, append(signature, 0)), tbs},
		"zero":               {join(signed, unhex("3006020100020100")), tbs},
	} {
		if _, err := ca.check(row.raw, row.logged); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
}

// What is not an entry of ours yields no SVID, whoever signed for it.
func TestMintRefusesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, r := range map[string]*log.Receipt{"nil": nil, "zero": new(log.Receipt)} {
		if _, err := w.a.Mint(r); !errors.Is(err, log.ErrNotLogged) {
			t.Errorf("%s receipt: %v", name, err)
		}
	}
}
