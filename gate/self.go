package gate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json/jsontext"
	"errors"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/log"
	"plastron/log/statement"
	"plastron/svid"
)

// SelfPath is the path of the gate's own SPIFFE ID. No policy can grant it.
const SelfPath = "/plastron/gate"

// selfTTL is the life of the gate's own SVID; it is renewed at half of it.
const selfTTL = 24 * time.Hour

// Certificate returns the gate's own SVID for a TLS server, as
// [tls.Config.GetCertificate] wants it.
func (g *Gate) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return g.self.Load(), nil
}

// renewSelf issues the gate's own SVID on a new key, by the built-in rule
// "self": it goes through the log like any other.
func (g *Gate) renewSelf(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	s, err := g.issueSelf(ctx, &key.PublicKey)
	var stale *log.StaleError
	for n := 1; n < tries && errors.As(err, &stale); n++ {
		s, err = g.issueSelf(ctx, &key.PublicKey)
	}
	if err != nil {
		return err
	}
	g.self.Store(&tls.Certificate{Certificate: s.Chain(), PrivateKey: key, Leaf: s.Certificate()})
	return nil
}

func (g *Gate) issueSelf(ctx context.Context, public *ecdsa.PublicKey) (*svid.SVID, error) {
	id, err := spiffeid.FromPath(g.c.TrustDomain, SelfPath)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	v, now := g.state.look(nil), g.c.Now().UTC().Truncate(time.Second)
	gr := &grant{id: id, public: public, key: sha256.Sum256(spki), ttl: selfTTL, now: now}
	gr.record = statement.Record{
		SPIFFEID: id.String(), Key: gr.key, Time: now, Facts: jsontext.Value("{}"), Gate: g.c.Build,
		Verdict: statement.Verdict{
			Policy: v.policy.index, Rule: "self", Clauses: []string{"the gate itself"}, Decided: v.decided, TTL: int64(selfTTL / time.Second),
			Floors: []statement.Floor{{Fact: "why", Floor: "human", Anchor: "operator of " + g.c.TrustDomain.String()}},
		},
	}
	gr.draft = svid.Draft{
		DNSNames: g.c.DNSNames, IPs: g.c.IPs,
		Decision: svid.Decision{Policy: v.policy.index, Decided: v.decided},
	}
	return g.record(ctx, gr)
}

// keepSelf renews the gate's own SVID at half of its life, until Close.
func (g *Gate) keepSelf(ctx context.Context) {
	defer close(g.done)
	for wait := selfTTL / 2; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = selfTTL / 2
		if err := g.renewSelf(ctx); err != nil {
			g.c.Logger.Error("renew the gate's own SVID", "err", err)
			wait = time.Minute
		}
	}
}
