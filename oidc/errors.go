package oidc

import (
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"unicode/utf8"
)

// A Code says in one word why a token was refused. Codes are stable: they are
// what a client branches on and what a metric counts.
type Code string

// The codes of this package. The list is closed.
const (
	Malformed Code = "oidc_malformed" // not a compact JWS of strict JSON, or not a kind of token that names a workload
	BadClaims Code = "oidc_claims"    // a required claim is missing, of another type or out of bounds
	Signature Code = "oidc_signature" // not signed by a key of its issuer with an algorithm allowed for it
	BadIssuer Code = "oidc_issuer"    // an issuer that is not configured
	Audience  Code = "oidc_audience"  // made for somebody else, or for another key or beacon
	Expired   Code = "oidc_expired"   // now is outside the token's own times
	Keys      Code = "oidc_keys"      // the issuer's keys are not to be had, or too old to believe; try again
)

// An Error is a token refused: what was expected and what was seen. Every error
// of [Verifier.Verify] is one.
//
// Its text may go to whoever sent the token. It quotes the token's own names
// and values, cut to [maxShown] bytes, and of the issuer's answers never a byte.
type Error struct {
	Code Code
	Err  error
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func refuse(c Code, format string, args ...any) error {
	return &Error{Code: c, Err: fmt.Errorf(format, args...)}
}

// maxShown bounds what an error repeats of a token's text, in bytes.
const maxShown = 128

// show quotes text that a stranger chose: escaped, and cut.
func show(s string) string {
	if len(s) <= maxShown {
		return fmt.Sprintf("%+q", s)
	}
	cut := maxShown
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%+q… (%d bytes)", s[:cut], len(s))
}

// jsonFault says where text stopped being strict JSON, without repeating it.
func jsonFault(err error) error {
	var s *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &s):
		return fmt.Errorf("a name occurs twice in one object, at byte %d", s.ByteOffset)
	case errors.As(err, &s):
		return fmt.Errorf("not strict JSON (RFC 8259, UTF-8) at byte %d", s.ByteOffset)
	}
	return errors.New("not strict JSON of the expected shape")
}
