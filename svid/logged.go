package svid

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sigstore/fulcio/pkg/certificate"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/log"
	"plastron/log/proof"
)

// ErrRefused is what every check of a relying party returns, with its cause.
var ErrRefused = errors.New("svid: refused")

// skew is how far a witness's clock may be from ours.
const skew = 60 * time.Second

// A Logged is an SVID whose log proof holds, and whose CA nobody asked about.
// Only [VerifyLogged] makes one.
type Logged struct{ logged }

// A Peer is an SVID that a CA of the trust bundle signed and whose log proof
// holds. Only [Verifier.Verify] makes one.
type Peer struct{ logged }

// A logged is what a Logged and a Peer have to tell. It is zero, or verified;
// what its methods return is the caller's own.
type logged struct {
	tbs       TBS
	index     uint64
	leaf      proof.Hash
	witnesses []string
}

// ID returns the SPIFFE ID; the zero ID if nothing was verified.
func (l *logged) ID() spiffeid.ID { return l.tbs.ID }

// Index returns the 0-based index of the SVID's log entry.
func (l *logged) Index() uint64 { return l.index }

// LeafHash returns the leaf hash of the log entry, which identifies the SVID.
func (l *logged) LeafHash() proof.Hash { return l.leaf }

// Build returns what Fulcio's extensions say of the build that made the
// artifact; false if the SVID says nothing of one.
func (l *logged) Build() (certificate.Extensions, bool) {
	if l.tbs.Build == nil {
		return certificate.Extensions{}, false
	}
	return *l.tbs.Build, true
}

// Decision returns why the SVID was granted.
func (l *logged) Decision() Decision { return l.tbs.Decision.clone() }

// Witnesses returns the names of the witnesses whose cosignatures count. There
// are none if the log policy says `quorum none`.
func (l *logged) Witnesses() []string { return slices.Clone(l.witnesses) }

// TBS returns all that the log entry says.
func (l *logged) TBS() *TBS { return l.tbs.clone() }

// VerifyLogged checks an SVID by its log alone: DER, the profile, the validity
// and the log proof. It asks no CA, and is how a client that has pinned a log
// policy knows the gate of that log. The certificate must come from a TLS
// handshake, which shows that the peer holds the SVID's key. The caller compares
// [Logged.ID] with whom it expects. An SVID whose artifact is only claimed
// passes.
//
// The error is ErrRefused; it is also log.ErrNotLogged if the proof does not
// hold.
func VerifyLogged(certificate []byte, policy *log.Policy, now time.Time) (*Logged, error) {
	if policy == nil {
		return nil, fmt.Errorf("%w: no log policy", ErrRefused)
	}
	u, err := open(certificate)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	l, err := u.verify(policy, now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return &Logged{*l}, nil
}

// An unproven is a certificate in its parts, none of which is proven.
type unproven struct {
	tbs   *TBS
	leaf  proof.Hash
	proof []byte // the log-proof extension, compact
}

// open takes a certificate apart, from its raw DER. It does no cryptography but
// one hash.
func open(certificate []byte) (*unproven, error) {
	signed, _, err := split(certificate)
	if err != nil {
		return nil, err
	}
	tbs, compact, err := cut(signed)
	if err != nil {
		return nil, err
	}
	t, err := ParseTBS(tbs)
	if err != nil {
		return nil, err
	}
	entry, err := proof.Frame(proof.X509SVID, tbs)
	if err != nil {
		return nil, err
	}
	return &unproven{t, proof.LeafHash(entry), compact}, nil
}

// verify checks validity and log proof.
func (u *unproven) verify(policy *log.Policy, now time.Time) (*logged, error) {
	switch {
	case now.Before(u.tbs.NotBefore):
		return nil, fmt.Errorf("it begins only at %s", u.tbs.NotBefore.Format(time.RFC3339))
	case now.After(u.tbs.NotAfter):
		return nil, fmt.Errorf("it is over since %s", u.tbs.NotAfter.Format(time.RFC3339))
	}
	return checkProof(u.proof, u.tbs, u.leaf, policy, now)
}

// checkProof checks a log proof in its compact form: that the entry is in the
// log, that the quorum says so, and that it said so while the SVID was valid.
func checkProof(compact []byte, t *TBS, leaf proof.Hash, policy *log.Policy, now time.Time) (*logged, error) {
	p, err := proof.ParseCompact(compact, policy, leaf)
	if err != nil {
		return nil, fmt.Errorf("%w: log proof: %w", log.ErrNotLogged, err)
	}
	c, err := p.Verify(policy, leaf)
	if err != nil {
		return nil, fmt.Errorf("%w: log proof: %w", log.ErrNotLogged, err)
	}
	if p.Index < t.Decision.Decided {
		return nil, fmt.Errorf("entry %d is among the %d entries it was decided on", p.Index, t.Decision.Decided)
	}
	witnesses, err := timely(c, t, policy, now)
	if err != nil {
		return nil, fmt.Errorf("%w: log proof: %w", log.ErrNotLogged, err)
	}
	return &logged{*t, p.Index, leaf, witnesses}, nil
}

// timely returns the witnesses that cosigned within
// [notBefore - 60 s, min(notAfter, now + 60 s)]. They must be a quorum: others,
// whose clocks are wrong, don't count. Where the policy asks for no witness
// there are no times.
func timely(c *proof.Cosigned, t *TBS, policy *log.Policy, now time.Time) ([]string, error) {
	if policy.Unwitnessed() {
		return nil, nil
	}
	from, to := t.NotBefore.Add(-skew), now.Add(skew)
	if t.NotAfter.Before(to) {
		to = t.NotAfter
	}
	var names []string
	heard := make(map[string]bool)
	times := c.Times()
	for i, name := range c.Witnesses() {
		if at := times[i]; !at.Before(from) && !at.After(to) {
			names = append(names, name)
			heard[name] = true
		}
	}
	if !policy.Satisfied(heard) {
		return nil, fmt.Errorf("no quorum of witnesses cosigned from %s to %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	return names, nil
}
