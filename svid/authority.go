package svid

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/log"
)

// A Config says what an Authority issues for, and with which keys.
type Config struct {
	TrustDomain spiffeid.TrustDomain
	Certificate *x509.Certificate // the active CA's, as NewCA made it
	Key         crypto.Signer     // the active CA's: ECDSA P-256
	Retired     []CA              // draft nothing, but mint the entries that name them
	Tainted     [][]byte          // subject key ids of CAs that neither draft nor mint
	Policy      *log.Policy       // whose receipts are believed
	Now         func() time.Time  // nil: time.Now
}

// A CA is a certificate of the trust domain and its key.
type CA struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// An Authority drafts SVIDs and mints them from log receipts. It is the only
// holder of the CA keys, and safe for concurrent use if they are.
type Authority struct {
	td     spiffeid.TrustDomain
	cas    []*authorityKey // the active one first
	policy *log.Policy
	now    func() time.Time
	taken  [][]byte // SubjectPublicKeyInfos that no SVID may certify
}

// An authorityKey is one CA. Its signer is used on one line, in Mint.
type authorityKey struct {
	certificate *x509.Certificate
	signer      crypto.Signer
	tainted     bool
}

// NewAuthority checks that every certificate is one that [NewCA] could have made
// for the trust domain, and that its key fits.
func NewAuthority(c Config) (*Authority, error) {
	if c.TrustDomain.IsZero() || c.Policy == nil || c.Policy.Origin() == "" {
		return nil, errors.New("svid: an authority needs a trust domain and a log policy")
	}
	if err := c.Policy.Compactable(); err != nil {
		return nil, fmt.Errorf("svid: nothing could be minted: %w", err)
	}
	a := &Authority{td: c.TrustDomain, policy: c.Policy, now: c.Now}
	if a.now == nil {
		a.now = time.Now
	}
	for _, ca := range append([]CA{{c.Certificate, c.Key}}, c.Retired...) {
		if err := checkCA(ca, c.TrustDomain); err != nil {
			return nil, fmt.Errorf("svid: CA: %w", err)
		}
		if a.find(ca.Certificate.SubjectKeyId) != nil {
			return nil, fmt.Errorf("svid: CA %x is there twice", ca.Certificate.SubjectKeyId)
		}
		a.cas = append(a.cas, &authorityKey{certificate: ca.Certificate, signer: ca.Key})
		a.taken = append(a.taken, ca.Certificate.RawSubjectPublicKeyInfo)
	}
	for _, id := range c.Tainted {
		if ca := a.find(id); ca != nil {
			ca.tainted = true
		}
	}
	return a, a.reserveLogKeys()
}

// reserveLogKeys keeps the keys of the log and of its witnesses out of SVIDs: a
// key has one role.
func (a *Authority) reserveLogKeys() error {
	vkeys := []string{a.policy.LogVKey()}
	for _, w := range a.policy.Witnesses() {
		vkeys = append(vkeys, w.VKey)
	}
	for _, v := range vkeys {
		// name+hash+base64(type || key), c2sp.org/signed-note
		parts := strings.SplitN(v, "+", 3)
		b, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
		if err != nil || len(parts) != 3 || len(b) < 1 {
			return fmt.Errorf("svid: %q in the log policy is not a verifier key", v)
		}
		if key, err := spki(ed25519.PublicKey(b[1:])); err == nil { // no other kind can be in an SVID
			a.taken = append(a.taken, key)
		}
	}
	return nil
}

// find returns the CA with the subject key id, or nil.
func (a *Authority) find(keyID []byte) *authorityKey {
	for _, ca := range a.cas {
		if bytes.Equal(ca.certificate.SubjectKeyId, keyID) {
			return ca
		}
	}
	return nil
}

// Certificates returns the CA certificates that relying parties need: those of
// all CAs that are not tainted, the active one first.
func (a *Authority) Certificates() []*x509.Certificate {
	var list []*x509.Certificate
	for _, ca := range a.cas {
		if !ca.tainted {
			list = append(list, ca.certificate)
		}
	}
	return list
}

// NotAfter returns when the active CA ends; no SVID may end later.
func (a *Authority) NotAfter() time.Time { return a.cas[0].certificate.NotAfter }

// lint reads a TBSCertificate and refuses what this authority would not draft
// now. It returns the CA that the certificate names.
func (a *Authority) lint(tbs []byte) (*TBS, *authorityKey, error) {
	t, err := ParseTBS(tbs)
	if err != nil {
		return nil, nil, err
	}
	ca := a.find(t.AuthorityKeyID)
	switch {
	case t.ID.TrustDomain() != a.td:
		return nil, nil, fmt.Errorf("svid: %s is not of the trust domain %s", t.ID, a.td.Name())
	case ca == nil:
		return nil, nil, fmt.Errorf("svid: no CA with the key id %x", t.AuthorityKeyID)
	case !bytes.Equal(t.Issuer, ca.certificate.RawSubject):
		return nil, nil, fmt.Errorf("svid: issuer is not the subject of CA %x", t.AuthorityKeyID)
	case ca.tainted:
		return nil, nil, fmt.Errorf("svid: CA %x is tainted", t.AuthorityKeyID)
	case !a.now().Before(t.NotAfter):
		return nil, nil, fmt.Errorf("svid: it is over since %s", t.NotAfter.Format(time.RFC3339))
	case t.NotAfter.After(ca.certificate.NotAfter):
		return nil, nil, fmt.Errorf("svid: it would outlive its CA, which ends %s", ca.certificate.NotAfter.Format(time.RFC3339))
	case slices.ContainsFunc(a.taken, func(k []byte) bool { return bytes.Equal(k, t.SPKI) }):
		return nil, nil, errors.New("svid: the key is the CA's or the log's own")
	}
	return t, ca, nil
}

// sameKey reports whether a signer has the public key.
func sameKey(s crypto.Signer, public crypto.PublicKey) bool {
	k, ok := s.Public().(*ecdsa.PublicKey)
	return ok && k.Equal(public)
}
