package oidc

import (
	"slices"
	"time"
)

// An Identity is what a verified token says of its bearer. Only
// [Verifier.Verify] makes one that says anything: the zero Identity has no
// issuer, no subject and no claim, and since no issuer can be configured without
// a name, no rule holds for it.
type Identity struct {
	issuer        string // configured name
	url           string
	shared        bool
	names         Claims
	claims        map[string]claim // by path
	issued        time.Time
	expires       time.Time
	bound         bool
	signingInput  [32]byte
	digest        [32]byte
	keyThumbprint [32]byte
	jwk           []byte
}

// Issuer returns the configured name of the issuer, as rules use it.
func (i *Identity) Issuer() string { return i.issuer }

// URL returns the issuer's URL: the token's `iss`, byte for byte.
func (i *Identity) URL() string { return i.url }

// Shared reports whether the issuer speaks for strangers too, so that only an
// immutable id of its subjects names anybody.
func (i *Identity) Shared() bool { return i.shared }

// Subject returns the token's `sub`: 1 to 1024 bytes of UTF-8 without control
// or format characters. Many issuers let their users shape it.
func (i *Identity) Subject() string { return i.claims["sub"].text }

// Claim returns the text of the claim at a path: a string as it is, a number as
// the token wrote it, true or false. The path joins names with dots
// ("kubernetes.io.pod.name", "groups.0"); see the package comment.
func (i *Identity) Claim(path string) (string, bool) {
	c, ok := i.claims[path]
	return c.text, ok
}

// Claims returns a copy of all claims by path: at most 512, each path at most
// 255 bytes and each text at most 4096.
func (i *Identity) Claims() map[string]string {
	texts := make(map[string]string, len(i.claims))
	for path, c := range i.claims {
		texts[path] = c.text
	}
	return texts
}

// IssuedAt returns the token's `iat`.
func (i *Identity) IssuedAt() time.Time { return i.issued }

// ExpiresAt returns the token's `exp`.
func (i *Identity) ExpiresAt() time.Time { return i.expires }

// Bound reports whether the audience named the bind that Verify was given: the
// bearer made this token for this key and this beacon.
func (i *Identity) Bound() bool { return i.bound }

// ArtifactDigest returns the digest of the artifact that the issuer says its
// subject is, as the issuer writes it; "" where it says nothing.
func (i *Identity) ArtifactDigest() string { return i.tie(i.names.ArtifactDigest) }

// RepositoryID returns the immutable id of the repository that the subject runs
// from; "" where the issuer does not say.
func (i *Identity) RepositoryID() string { return i.tie(i.names.RepositoryID) }

// Commit returns the commit that the subject runs from; "" where the issuer
// does not say.
func (i *Identity) Commit() string { return i.tie(i.names.Commit) }

func (i *Identity) tie(path string) string {
	if path == "" {
		return ""
	}
	return i.claims[path].text
}

// SigningInput returns the SHA-256 of the bytes that the signature covers,
// BASE64URL(header) "." BASE64URL(payload) (RFC 7515, 5.1). Only canonical
// base64url is let in, so one token has one signing input; its signature may
// have many valid forms, and says nothing about sameness.
func (i *Identity) SigningInput() [32]byte { return i.signingInput }

// Digest returns the SHA-256 of the token as it was sent.
func (i *Identity) Digest() [32]byte { return i.digest }

// Key returns the SHA-256 thumbprint (RFC 7638) of the key that signed.
func (i *Identity) Key() [32]byte { return i.keyThumbprint }

// JWK returns the public key that signed, as a JSON Web Key (RFC 7517) with its
// kid and alg, so that the token can be verified again when its issuer has long
// forgotten the key.
func (i *Identity) JWK() []byte { return slices.Clone(i.jwk) }
