package svid

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"

	"plastron/log"
)

// maxChain is the most certificates of a chain that are counted.
const maxChain = 8

// A Verifier is a relying party: it accepts the SVIDs of one trust domain that
// its log proves. It asks nobody. The zero Verifier refuses everything.
type Verifier struct {
	Bundle       *x509bundle.Bundle // the trust domain's CA certificates; may change while in use
	Policy       *log.Policy        // the trust domain's log and its witnesses, pinned
	AllowClaimed bool               // accept artifacts that the requester only claims to run
	Authorize    func(*Peer) error  // asked last; an error refuses. nil: every SVID of the trust domain
	Now          func() time.Time   // nil: time.Now
}

// Verify checks the first certificate of a chain, from its raw bytes. The others
// are not needed, and not looked at: a CA of the bundle signs SVIDs itself, and
// the signature on an intermediate would be one that no log has seen.
//
// In order: strict DER; the log-proof extension once, last, not critical; the
// SPIFFE profile; the trust domain; the artifact's tie; the path to a CA of the
// bundle (RFC 5280 §6); the log proof, its quorum and the quorum's times;
// Authorize.
//
// The error is [ErrRefused]; it is also [log.ErrNotLogged] if the proof does not
// hold.
func (v *Verifier) Verify(chain []*x509.Certificate) (*Peer, error) {
	p, err := v.verify(chain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return p, nil
}

func (v *Verifier) verify(chain []*x509.Certificate) (*Peer, error) {
	switch {
	case v == nil || v.Bundle == nil || v.Policy == nil:
		return nil, errors.New("verifier lacks a trust bundle or a log policy")
	case len(chain) == 0 || len(chain) > maxChain || chain[0] == nil:
		return nil, fmt.Errorf("chain has %d certificates, want 1 to %d", len(chain), maxChain)
	}
	now := time.Now
	if v.Now != nil {
		now = v.Now
	}
	at, raw := now(), chain[0].Raw
	u, err := open(raw)
	if err != nil {
		return nil, err
	}
	switch {
	case u.tbs.ID.TrustDomain() != v.Bundle.TrustDomain():
		return nil, fmt.Errorf("%s is not of the trust domain %s", u.tbs.ID, v.Bundle.TrustDomain().Name())
	case u.tbs.Decision.Tie == Claimed && !v.AllowClaimed:
		return nil, fmt.Errorf("artifact %s is only claimed by whoever asked for the SVID", u.tbs.Decision.Artifact)
	}
	if err := v.chain(raw, u.tbs, at); err != nil {
		return nil, err
	}
	l, err := u.verify(v.Policy, at)
	if err != nil {
		return nil, err
	}
	p := &Peer{*l}
	if v.Authorize != nil {
		if err := v.Authorize(p); err != nil {
			return nil, fmt.Errorf("%s: %w", p.ID(), err)
		}
	}
	return p, nil
}

// chain checks the path from the certificate to the CA of the bundle that it
// names.
func (v *Verifier) chain(raw []byte, t *TBS, at time.Time) error {
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	for _, ca := range v.Bundle.X509Authorities() {
		if bytes.Equal(ca.SubjectKeyId, t.AuthorityKeyID) {
			roots.AddCert(ca)
		}
	}
	_, err = c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}
