package oidc

import (
	"encoding/json/jsontext"
	"strconv"
	"time"
)

// Bounds on claims.
const (
	maxClaims   = 512  // claims of one token, each element of an array being one
	maxDepth    = 8    // objects and arrays within one another, the payload being the first
	maxPath     = 255  // bytes
	maxText     = 4096 // bytes
	maxSubject  = 1024 // bytes; OpenID Connect says 255, GitHub and GitLab write longer ones
	maxAudience = 8    // members of aud
	maxTime     = 253402300799
)

// claims are the payload of a token, decoded and well formed, but not verified.
type claims struct {
	flat map[string]claim

	issuer    string
	audience  []string
	issued    time.Time
	expires   time.Time
	notBefore time.Time // zero when the token has none
}

// A claim is a string, number or boolean.
type claim struct {
	kind jsontext.Kind
	text string
}

// require checks the registered claims: present, of their type and in bounds.
// Their paths hold no dot, so only a top-level member can have set them.
func (c *claims) require() (err error) {
	if c.issuer, err = c.str("iss"); err != nil {
		return err
	}
	if err := plain(c.issuer, maxSubject); err != nil {
		return refuse(BadClaims, "iss: %w", err)
	}
	subject, err := c.str("sub")
	if err != nil {
		return err
	}
	if err := plain(subject, maxSubject); err != nil {
		return refuse(BadClaims, "sub: %w", err)
	}
	if len(c.audience) == 0 {
		return refuse(BadClaims, "aud is missing or empty")
	}
	if c.issued, err = c.time("iat"); err != nil {
		return err
	}
	if c.expires, err = c.time("exp"); err != nil {
		return err
	}
	if _, ok := c.flat["nbf"]; ok {
		c.notBefore, err = c.time("nbf")
	}
	return err
}

func (c *claims) str(name string) (string, error) {
	v := c.flat[name]
	if v.kind != jsontext.KindString {
		return "", refuse(BadClaims, "%s is missing, or no string", name)
	}
	return v.text, nil
}

// time reads a NumericDate (RFC 7519, 2), of which it takes whole seconds up to
// the year 9999, written without fraction or exponent.
func (c *claims) time(name string) (time.Time, error) {
	v := c.flat[name]
	if v.kind != jsontext.KindNumber {
		return time.Time{}, refuse(BadClaims, "%s is missing, or no number", name)
	}
	s, err := strconv.ParseInt(v.text, 10, 64)
	if err != nil || s < 1 || s > maxTime {
		return time.Time{}, refuse(BadClaims, "%s is %s, want whole seconds since 1970, 1 to %d", name, show(v.text), maxTime)
	}
	return time.Unix(s, 0).UTC(), nil
}
