package oidc

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// An Issuer is a party whose word about workloads the gate takes. Its URL and
// keys are trust roots: they come from the operator's configuration, never from
// a token.
type Issuer struct {
	Name     string // how rules name it; unique
	URL      string // the token's `iss`, byte for byte: https, without query or fragment; unique
	Audience string // what `aud` must say; "" for the Verifier's
	Shared   bool   // whether it also speaks for strangers: GitHub, GitLab.com, Google

	JWKS      string   // where its keys are: path of a file, URL, or "" to ask its discovery document
	KeyHosts  []string // host or host:port, beside the URL's own, where its discovery document may say its keys are
	CA        string   // path of a PEM file of the only roots for its HTTPS; "" for the system's
	TokenFile string   // path of a bearer token to fetch its keys with, read at each fetch; "" for none

	Algorithms  []string      // RS, PS, ES with 256, 384, 512, and EdDSA; default RS256 and ES256
	MaxLifetime time.Duration // longest exp - iat; default [DefaultMaxLifetime]
	Claims      Claims        // what ties a token to an artifact; GitHub's own default for GitHub's URLs

	PrivateNetwork bool // its HTTPS may be at private and loopback addresses; never at link-local ones

	InsecureHTTP           bool // it is at a loopback address, and its URL may be plain http
	InsecureOtherAudiences bool // tokens may be for others too, each of whom could then present them here
}

// Claims are the paths of the claims that tie a token to an artifact; "" where
// an issuer has none.
type Claims struct {
	ArtifactDigest string // digest of what runs
	RepositoryID   string // immutable id of the repository it was built from
	Commit         string // commit it was built from
}

// DefaultMaxLifetime is the longest that a token may be valid, exp - iat, where
// its issuer does not say otherwise. CI tokens last minutes to hours, Kubernetes'
// projected ones an hour to a day; the year that Kubernetes gives to tokens for
// itself, and tokens without end, are over it. (Azure's managed identities need
// 25 h.)
const DefaultMaxLifetime = 24 * time.Hour

// gitHub issues under this URL, or under one below it for an enterprise.
const gitHub = "https://token.actions.githubusercontent.com"

// gitHubClaims are GitHub's: repository_id survives renames, sha is the commit
// that the workflow runs on.
var gitHubClaims = Claims{RepositoryID: "repository_id", Commit: "sha"}

var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// An issuer is an Issuer that was checked, with its keys.
type issuer struct {
	Issuer
	keys *keySet
}

// newIssuer checks a configuration and fills in its defaults.
func newIssuer(i Issuer, audience string, now func() time.Time) (*issuer, error) {
	if err := plain(i.Name, maxPath); err != nil {
		return nil, fmt.Errorf("name: %w", err)
	}
	home, err := i.checkURL(i.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if home.RawQuery != "" || home.ForceQuery {
		return nil, fmt.Errorf("url: %q has a query", i.URL)
	}
	if i.Audience == "" {
		i.Audience = audience
	}
	if err := plain(i.Audience, maxSubject); err != nil {
		return nil, fmt.Errorf("audience: %w", err)
	}
	if len(i.Algorithms) == 0 {
		i.Algorithms = []string{"RS256", "ES256"}
	}
	for _, a := range i.Algorithms {
		if !slices.Contains(algorithms, a) {
			return nil, fmt.Errorf("algorithm %q, want some of %v", a, algorithms)
		}
	}
	if i.MaxLifetime == 0 {
		i.MaxLifetime = DefaultMaxLifetime
	}
	if i.MaxLifetime < 0 {
		return nil, fmt.Errorf("max_lifetime %v is negative", i.MaxLifetime)
	}
	if i.Claims == (Claims{}) && (i.URL == gitHub || strings.HasPrefix(i.URL, gitHub+"/")) {
		i.Claims = gitHubClaims
	}
	i.KeyHosts = slices.Clone(i.KeyHosts)
	for n, h := range i.KeyHosts {
		u, err := url.Parse("https://" + h)
		if err != nil || u.Host != h || u.Hostname() == "" {
			return nil, fmt.Errorf("key_hosts: %q is no host, nor host:port", h)
		}
		i.KeyHosts[n] = hostOf(u)
	}
	keys, err := i.keySet(hostOf(home), now)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return &issuer{i, keys}, nil
}

// keySet opens the place that the issuer's keys come from. A file is read now,
// once: a gate that serves by other keys than those it logged would be another
// gate.
func (i Issuer) keySet(home string, now func() time.Time) (*keySet, error) {
	if i.JWKS != "" && !strings.Contains(i.JWKS, "://") {
		text, err := readFile(i.JWKS, maxBody)
		if err != nil {
			return nil, err
		}
		keys, err := parseJWKS(text, i.Algorithms)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", i.JWKS, err)
		}
		return &keySet{keys: keys, now: now}, nil
	}
	if i.JWKS != "" {
		if _, err := i.checkURL(i.JWKS); err != nil {
			return nil, err
		}
	}
	f, err := newFetcher(i, home)
	if err != nil {
		return nil, err
	}
	return &keySet{fetch: f.keys, now: now}, nil
}

// checkURL refuses a URL that this issuer cannot have.
func (i Issuer) checkURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	if u.Host == "" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || strings.Contains(raw, "#") {
		return nil, fmt.Errorf("%q: want scheme, host and path, without user or fragment", raw)
	}
	if u.Scheme == "https" {
		return u, nil
	}
	a, err := netip.ParseAddr(u.Hostname())
	if u.Scheme != "http" || !i.InsecureHTTP || (err != nil || !a.IsLoopback()) && u.Hostname() != "localhost" {
		return nil, fmt.Errorf("%q: want https (or, with insecure_http, http at a loopback address)", raw)
	}
	return u, nil
}

// hostOf returns the host and port of a URL, lower case.
func hostOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return strings.ToLower(u.Hostname()) + ":" + port
}

// audienceOf decides which of its two audiences a token names: the plain one, or
// the one that carries the bind of this request.
func (i *issuer) audienceOf(c *claims, bind [32]byte) (audience string, bound bool, err error) {
	boundTo := BoundAudience(i.Audience, bind)
	if len(c.audience) > 1 && !i.InsecureOtherAudiences {
		return i.Audience, false, refuse(Audience, "aud names %d parties, want %q alone", len(c.audience), i.Audience)
	}
	for _, a := range c.audience {
		switch {
		case a == boundTo:
			return a, true, nil
		case strings.HasPrefix(a, i.Audience+bindInfix):
			err = refuse(Audience, "aud is %s: it is bound to another key or beacon, want %q", show(a), boundTo)
		case a == i.Audience:
			audience = a
		}
	}
	if err == nil && audience == "" {
		err = refuse(Audience, "aud is %s, want %q or %q", show(strings.Join(c.audience, " ")), i.Audience, boundTo)
	}
	return i.Audience, false, err
}

// during refuses a token whose times do not hold now. The end counts to the
// second; clocks may differ for the beginning.
func (i *issuer) during(c *claims, now time.Time) error {
	switch lifetime := c.expires.Sub(c.issued); {
	case lifetime <= 0:
		return refuse(BadClaims, "exp %s is not after iat %s", stamp(c.expires), stamp(c.issued))
	case lifetime > i.MaxLifetime:
		return refuse(BadClaims, "valid for %v, want at most %v", lifetime, i.MaxLifetime)
	case !c.notBefore.Before(c.expires):
		return refuse(BadClaims, "exp %s is not after nbf %s", stamp(c.expires), stamp(c.notBefore))
	case !now.Before(c.expires):
		return refuse(Expired, "expired at %s, it is %s", stamp(c.expires), stamp(now))
	case c.issued.After(now.Add(Skew)):
		return refuse(Expired, "issued at %s, in the future: it is %s", stamp(c.issued), stamp(now))
	case c.notBefore.After(now.Add(Skew)):
		return refuse(Expired, "not valid before %s, it is %s", stamp(c.notBefore), stamp(now))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
