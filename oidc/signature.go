package oidc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// verify makes an Identity of a token, and nothing else does. go-oidc verifies
// signature, issuer, audience and expiry; what it does not look at is checked
// beside it. Of several faults a bad signature is told first: what the others
// say would be of a token that nobody made.
func (i *issuer) verify(ctx context.Context, t *token, bind [32]byte, now time.Time) (*Identity, error) {
	audience, bound, audienceErr := i.audienceOf(t.claims, bind)
	s := &signature{token: t, keys: i.keys}
	read, err := goidc.NewVerifier(i.URL, s, &goidc.Config{
		ClientID:             audience,
		SupportedSigningAlgs: i.Algorithms,
		Now:                  func() time.Time { return now },
	}).Verify(ctx, t.raw)
	timeErr := i.during(t.claims, now)
	switch {
	case s.err != nil:
		return nil, s.err
	case s.key == nil:
		return nil, refuse(Malformed, "go-oidc did not read the token: %w", err)
	case audienceErr != nil:
		return nil, audienceErr
	case timeErr != nil:
		return nil, timeErr
	case err != nil:
		return nil, refuse(BadClaims, "go-oidc refused the token: %w", err)
	case !t.claims.agree(read):
		return nil, refuse(Malformed, "the payload can be read in two ways")
	}
	return &Identity{
		issuer: i.Name, url: i.URL, shared: i.Shared, names: i.Claims,
		claims: t.claims.flat, issued: t.claims.issued, expires: t.claims.expires, bound: bound,
		signingInput: t.signingInput, digest: sha256.Sum256([]byte(t.raw)),
		keyThumbprint: s.key.thumbprint, jwk: s.key.jwk,
	}, nil
}

// agree compares our reading of the registered claims with go-oidc's.
func (c *claims) agree(read *goidc.IDToken) bool {
	return read.Issuer == c.issuer && read.Subject == c.flat["sub"].text && slices.Equal(read.Audience, c.audience) &&
		read.IssuedAt.Equal(c.issued) && read.Expiry.Equal(c.expires)
}

// signature is go-oidc's KeySet for one token. It keeps the error that go-oidc
// would flatten to text, and the key that verified.
type signature struct {
	token *token
	keys  *keySet
	key   *key  // nil until the signature is good
	err   error // an *Error
}

// VerifySignature returns the payload that the signature covers.
func (s *signature) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	s.key, s.err = s.verify(ctx, raw)
	return s.token.payload, s.err
}

// verify finds the one key that counts and has go-jose verify with it. The
// payload that go-jose verified must be the one that was decoded.
func (s *signature) verify(ctx context.Context, raw string) (*key, error) {
	k, err := s.keys.find(ctx, s.token.kid, s.token.alg)
	if err != nil {
		return nil, err
	}
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(s.token.alg)})
	if err != nil {
		return nil, refuse(Malformed, "go-jose did not read the token: %w", err)
	}
	payload, err := jws.Verify(k.public)
	if err != nil {
		return nil, refuse(Signature, "the signature is not by the issuer's key %s", show(k.kid))
	}
	if !bytes.Equal(payload, s.token.payload) {
		return nil, refuse(Malformed, "the payload that was verified is not the one that was decoded")
	}
	return k, nil
}
