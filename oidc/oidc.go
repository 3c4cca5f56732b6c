// Package oidc turns an OpenID Connect token into a verified identity: it is
// the gate's answer to *who*.
//
// # What comes in
//
// A token: text of at most [MaxToken] bytes from anybody. Besides it, the bind
// of the request (SHA-256 over a fresh beacon and the key to be certified) and
// the time.
//
// # What goes out
//
// An [*Identity]: issuer, subject, claims, the times, which key signed, and
// whether the token was made for this very request ([Identity.Bound]). The token
// itself stays here.
//
// # What is trusted
//
// The [Issuer] values that the operator configured, and the keys that they
// publish over HTTPS at the hosts named there, or in a file. Nothing in a token
// leads anywhere: `iss` is looked up in a table, byte for byte, and no URL is
// ever made of it; headers that point to keys are refused.
//
// # The format that is read
//
// A token is a JWS in compact serialisation (RFC 7515, 7.1),
//
//	BASE64URL(header) "." BASE64URL(payload) "." BASE64URL(signature)
//
// canonical (no padding, no stray bits, no white space), so that one token has
// one form. The header is a JSON object of strings: alg, and possibly kid (1 to
// 255 bytes), typ (JWT, exactly), x5t and x5t#S256 (which GitHub and Azure add;
// they choose nothing here). Any other member refuses the token: crit, b64, jku,
// x5u, jwk, x5c, cty and zip change what is verified or by which key.
//
// The payload is one JSON object (RFC 8259) in valid UTF-8. In no object at any
// depth do two names agree, not even but for case; a registered claim in other
// letters (Sub) is refused as well. Required are
//
//	iss  string, one of the configured URLs
//	sub  string, 1 to 1024 bytes, no control or format characters
//	aud  string, or array of one string: AUDIENCE, or AUDIENCE "/bind/" BASE64URL(bind)
//	exp  whole seconds since 1970; now < exp; exp - iat <= MaxLifetime
//	iat  whole seconds since 1970; at most Skew in the future
//
// and nbf, if there, is at most [Skew] in the future. An audience that carries a
// bind must carry this one. The marks of a person's login (nonce, at_hash,
// c_hash, s_hash, auth_time) and of a logout or security event (events) refuse
// the token: this package speaks of workloads.
//
// # How claims are named
//
// Claims are flattened to text by path. A path joins names with dots and counts
// array elements from 0:
//
//	{"kubernetes.io": {"pod": {"name": "api-0"}}, "groups": ["a", "b"], "n": 12e3, "x": null}
//
//	kubernetes.io.pod.name = api-0
//	groups.0 = a
//	groups.1 = b
//	n = 12e3
//
// Names keep their own dots and slashes ("oidc.circleci.com/project-id"). A path
// is therefore not always taken apart in one way only; but a token in which two
// claims have one path is refused, so each path has one reading. Numbers keep
// the digits of the token (an id beyond 2^53 is not rounded), true and false are
// those words, null is no claim. There are at most 512 claims, 8 levels deep,
// with paths of 255 and texts of 4096 bytes.
//
// # Who does what
//
// go-oidc checks signature, issuer, audience and expiry, over a key set of ours
// that hands it exactly one key. It leaves to its caller: iat, a maximal
// lifetime, duplicate names, a single audience, sub, nbf closer than five
// minutes, the header, the age of keys. Those are checked here. That a token is
// used once is the gate's work, by [Identity.SigningInput].
//
// # Keys
//
// A token with a kid is verified by the key of that name; one without by the
// only key of its algorithm. A key serves the algorithms of its kind, curve and
// alg, if its issuer may use them. RSA keys have 2048 to 8192 bits and an
// exponent of at least 65537; points are on their curve. Keys are fetched when
// they are first needed, again after [KeysTTL] (by the way after [KeysRefresh]),
// and for an unknown kid, but no more than once in [KeysCoolDown]. If that
// fails, the last good keys serve until they are [KeysEnd] old. A fetch takes at
// most [FetchTimeout] and 1 MiB, follows no redirect and uses no proxy.
package oidc

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Skew is how far the clocks of issuer and gate may differ, where a token says
// when it begins. When it ends is not stretched.
const Skew = 60 * time.Second

const bindInfix = "/bind/"

// BoundAudience returns the audience to ask an issuer for, so that the token
// serves one request only: audience "/bind/" base64url(bind).
func BoundAudience(audience string, bind [32]byte) string {
	return audience + bindInfix + base64.RawURLEncoding.EncodeToString(bind[:])
}

// A Verifier turns tokens into identities. It is safe for concurrent use. The
// zero Verifier refuses every token: it knows no issuer.
type Verifier struct {
	issuers map[string]*issuer // by URL, which is compared byte for byte
}

// New returns a Verifier of the issuers' tokens. It reads the files that the
// issuers name and does not touch the network, so a gate starts while an issuer
// is down. The audience is the default of the issuers; now is the clock by which
// keys age.
func New(issuers []Issuer, audience string, now func() time.Time) (*Verifier, error) {
	v := &Verifier{issuers: map[string]*issuer{}}
	names := map[string]bool{}
	for _, c := range issuers {
		if names[c.Name] || v.issuers[c.URL] != nil {
			return nil, fmt.Errorf("issuer %q: name and URL must be its own", c.Name)
		}
		i, err := newIssuer(c, audience, now)
		if err != nil {
			return nil, fmt.Errorf("issuer %q: %w", c.Name, err)
		}
		names[c.Name], v.issuers[c.URL] = true, i
	}
	return v, nil
}

// Verify checks a token at a time, for the bind of a request, and returns what
// it says. Its error is always an [*Error].
func (v *Verifier) Verify(ctx context.Context, token string, bind [32]byte, now time.Time) (*Identity, error) {
	t, err := parse(token)
	if err != nil {
		return nil, err
	}
	i := v.issuers[t.claims.issuer]
	if i == nil {
		return nil, refuse(BadIssuer, "iss is %s, which is not a configured issuer", show(t.claims.issuer))
	}
	if !slices.Contains(i.Algorithms, t.alg) {
		return nil, refuse(Signature, "alg is %s, want one of %v for issuer %q", show(t.alg), i.Algorithms, i.Name)
	}
	return i.verify(ctx, t, bind, now)
}

// Ready reports, for each issuer, why tokens of it cannot be verified now. It
// fetches keys that are missing or old, as a token would.
func (v *Verifier) Ready(ctx context.Context) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards errs
		errs []error
	)
	for _, i := range v.issuers {
		wg.Go(func() {
			if err := i.keys.ready(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("issuer %q: %w", i.Name, err))
			}
		})
	}
	wg.Wait()
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}
