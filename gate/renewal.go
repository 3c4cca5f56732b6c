package gate

import (
	"crypto/x509"
	"encoding/json/v2"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"

	"plastron/gate/policy"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/svid"
)

// RenewalRefused is the code of an SVID that cannot stand in for a token.
const RenewalRefused Code = "renewal_refused"

// maxSVID bounds an SVID that is shown for renewal, in bytes.
const maxSVID = 16 << 10

// A Renewal shows an SVID in place of a token: whoever holds its key asks for
// one on a new key. A rule must allow it (renew_for), and the token that the
// chain began with must not be older than the rule says.
type Renewal struct {
	SVID      []byte // DER certificate, the log proof in it; the newest of its chain
	Signature []byte // by the SVID's key over svid.RenewalMessage of this request's bind
}

// renewal is what the chain of a verified old SVID says.
type renewal struct {
	index uint64 // of the entry that is renewed
	first *statement.Record
}

// renewer is the requester that an unexpired SVID of ours stands for. Who it is
// comes from the record of the chain's first entry: the facts of its token, as
// they were verified then, to be matched against the rules and bans of now.
func (g *Gate) renewer(f *facts, r *Renewal) (*requester, error) {
	peer, err := g.oldSVID(f, r)
	if err != nil {
		return nil, err
	}
	first, newest := g.state.chain(peer.Index())
	if newest == nil {
		return nil, refuse(RenewalRefused, "the chain of entry %d is long over: bring a token", peer.Index())
	}
	record, err := g.recordAt(first.index)
	if err != nil {
		return nil, err
	}
	facts, err := policy.ParseFacts(record.Facts)
	if err != nil {
		return nil, err
	}
	if facts.Token == nil {
		return nil, refuse(RenewalRefused, "its chain began without a token, at entry %d: there is nobody to stand for", first.index)
	}
	w := &requester{
		renewal: &renewal{peer.Index(), record}, facts: facts.Token, replayed: RenewalRefused,
		spends: SpentKey("renewal", leafBytes(peer.LeafHash()), nil),
	}
	for _, fl := range record.Verdict.Floors {
		if fl.Fact == "who" {
			w.floor = fl
		}
	}
	return w, nil
}

// oldSVID verifies the SVID as any relying party would, and the signature by
// its key.
func (g *Gate) oldSVID(f *facts, r *Renewal) (*svid.Peer, error) {
	if len(r.SVID) == 0 || len(r.SVID) > maxSVID || len(r.Signature) > maxSVID {
		return nil, refuse(RenewalRefused, "SVID of %d bytes, want 1 to %d", len(r.SVID), maxSVID)
	}
	c, err := x509.ParseCertificate(r.SVID)
	if err != nil {
		return nil, refuse(RenewalRefused, "SVID is no certificate: %w", err)
	}
	v := &svid.Verifier{
		Bundle: x509bundle.FromX509Authorities(g.c.TrustDomain, g.c.Authority.Certificates()), Policy: g.c.Log.Policy, Now: g.c.Now,
		AllowClaimed: true, // what it was tied by decides nothing here
	}
	peer, err := v.Verify([]*x509.Certificate{c})
	if err != nil {
		return nil, refuse(RenewalRefused, "%w", err)
	}
	if err := c.CheckSignature(renewalAlgorithm(c), svid.RenewalMessage(f.bind), r.Signature); err != nil {
		return nil, refuse(RenewalRefused, "the SVID's key has not signed this request's bind: %w", err)
	}
	return peer, nil
}

// renewalAlgorithm is how a kind of key signs svid.RenewalMessage.
func renewalAlgorithm(c *x509.Certificate) x509.SignatureAlgorithm {
	switch c.PublicKeyAlgorithm {
	case x509.ECDSA:
		return x509.ECDSAWithSHA256
	case x509.Ed25519:
		return x509.PureEd25519
	case x509.RSA:
		return x509.SHA256WithRSA
	}
	return x509.UnknownSignatureAlgorithm
}

// recordAt returns the decision record of an SVID's entry.
func (g *Gate) recordAt(index uint64) (*statement.Record, error) {
	e, err := g.log.Entry(index)
	if err != nil {
		return nil, err
	}
	_, body, err := proof.Unframe(e.Entry)
	if err != nil {
		return nil, err
	}
	t, err := svid.ParseTBS(body)
	if err != nil {
		return nil, err
	}
	b, err := g.Record(t.Decision.Record)
	if err != nil {
		return nil, refuse(RenewalRefused, "the record of entry %d is gone: bring a token", index)
	}
	p, err := statement.Parse(b)
	if err != nil {
		return nil, err
	}
	return p.(*statement.Record), nil
}

// allowed holds a grant to its rule's renew_for.
func (r *renewal) allowed(token *policy.Token, yes *policy.Grant, now time.Time) error {
	if yes.RenewFor == 0 {
		return refuse(RenewalRefused, "rule %q does not renew by SVID: bring a token", yes.Rule)
	}
	if age := now.Sub(token.IssuedAt); token.IssuedAt.IsZero() || age > yes.RenewFor {
		return refuse(RenewalRefused, "the token that the chain began with is %s old, rule %q renews for %s: bring a new one",
			age.Round(time.Second), yes.Rule, yes.RenewFor)
	}
	return nil
}

// tie is that of the chain's first entry, for the very same artifact.
func (r *renewal) tie(artifact string) svid.Tie {
	if r.first.Verdict.Artifact == artifact && r.first.Verdict.Tie == "token" {
		return "token"
	}
	return "claimed"
}

func leafBytes(h proof.Hash) []byte { return h[:] }

// storedRenewal is a renewal as the log keeps it: {"signature", "svid"}, both in
// base64.
func storedRenewal(r *Renewal) ([]byte, error) {
	return json.Marshal(struct {
		SVID      []byte `json:"svid"`
		Signature []byte `json:"signature"`
	}{r.SVID, r.Signature}, json.Deterministic(true))
}
