package gate

import (
	"context"
	"errors"

	"plastron/gate/policy"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/node"
	"plastron/oidc"
	"plastron/svid"
)

// requester is WHO a request speaks for: the subject of a token that was
// verified now, or of the token that began the chain of an SVID that is being
// renewed. Only appraiseWho makes one.
type requester struct {
	token    *oidc.Identity // verified now; nil in a renewal
	renewal  *renewal       // nil with a token
	facts    *policy.Token  // what policy and bans read
	spends   proof.Hash     // the chain's key
	floor    statement.Floor
	replayed Code // what it is when it is spent on something else
}

// appraiseWho verifies the token, or the SVID in its place, and asks whether
// any rule could match. A request with neither has no requester.
func (g *Gate) appraiseWho(ctx context.Context, f *facts, req *Request) (err error) {
	switch {
	case len(req.Token) > maxToken:
		return &oidc.Error{Code: "oidc_malformed", Err: errors.New("token is longer than 16 KiB")}
	case req.Token != "" && req.Renewal != nil:
		return refuse(RenewalRefused, "a token and an SVID to renew: send one of them")
	case req.Token != "":
		f.who, err = g.bearer(ctx, f, req.Token)
	case req.Renewal != nil:
		f.who, err = g.renewer(f, req.Renewal)
	}
	if err != nil {
		return err
	}
	p, err := g.loaded(g.state.look(nil).policy)
	if err != nil {
		return err
	}
	if r := p.TokenMatches(f.tokenFacts()); r != nil {
		return fromPolicy(r)
	}
	return nil
}

// bearer is the requester whose token was verified now.
func (g *Gate) bearer(ctx context.Context, f *facts, token string) (*requester, error) {
	id, err := g.c.Tokens.Verify(ctx, token, f.bind, f.now)
	if err != nil {
		return nil, err
	}
	return &requester{
		token: id, facts: tokenFacts(id), spends: tokenKey(id), replayed: OIDCReplayed,
		floor: statement.Floor{Fact: "who", Floor: string(node.Institution), Anchor: "OIDC issuer " + id.URL(), SHA256: id.Key()},
	}, nil
}

// tokenFacts are what policy reads of the requester, nil where there is none.
func (f *facts) tokenFacts() *policy.Token {
	if f.who == nil {
		return nil
	}
	return f.who.facts
}

// owner is whom a request counts against: the issuer and the owner that it
// speaks for; requests without a token count together.
func owner(t *policy.Token) string {
	if t == nil {
		return ""
	}
	for _, claim := range []string{"repository_owner_id", "namespace_id", "kubernetes.io.namespace"} {
		if v := t.Claims[claim]; v != "" {
			return t.URL + " " + v
		}
	}
	return t.URL + " " + t.Subject
}

// tie says how a token, or the one that began the chain, ties an artifact.
func (w *requester) tie(f *facts) svid.Tie {
	if w.renewal != nil {
		return w.renewal.tie(artifact(f))
	}
	if w.token.ArtifactDigest() != "" {
		for _, d := range f.what.Digests() {
			if d.String() == w.token.ArtifactDigest() {
				return "token"
			}
		}
	}
	if w.token.RepositoryID() != "" && w.token.RepositoryID() == f.what.RepositoryID() &&
		w.token.Commit() != "" && w.token.Commit() == f.what.Commit() && w.token.URL() == f.what.Issuer() {
		return "token"
	}
	return "claimed"
}
