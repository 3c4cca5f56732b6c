// Package statement is the vocabulary of the log's own sentences: the bodies of
// kind-3 entries, and the decision record that every issuance commits to.
//
// Each is an in-toto Statement v1 (in-toto/attestation spec/v1), as JSON:
//
//	{"_type": "https://in-toto.io/Statement/v1",
//	 "subject": [{"name": "policy.yaml", "digest": {"sha256": "91c2…"}}],
//	 "predicateType": "https://plastron.example/policy/v1",
//	 "predicate": {…}}
//
// There is exactly one subject, and it is a function of the predicate: an
// auditor can search by digest without knowing predicate types, and a statement
// whose subject says something else than its predicate is refused.
//
// What comes in is bytes: an entry body or a record. What goes out is one of
// the predicate types of this package, decoded once and strictly: unknown,
// repeated and case-twin members, wrong types and trailing bytes are errors.
// Nothing is trusted here; that a statement is true follows from who could
// append it, which [plastron/gate] decides and the log shows.
package statement

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"time"

	"plastron/log/proof"
)

// Type is the only value of a statement's _type.
const Type = "https://in-toto.io/Statement/v1"

// base is the prefix of every predicate type of ours.
const base = "https://plastron.example/"

// MaxBytes is the longest statement that Parse reads. It fits an entry
// ([proof.MaxEntry] less two framing bytes).
const MaxBytes = proof.MaxEntry - 2

// MaxText is the longest text, in bytes, that a predicate carries itself. A
// longer one is a record of its own, named by its hash.
const MaxText = 32 << 10

// A Predicate is one of [Policy], [Ban], [Unban], [JoinToken], [Enrolment],
// [Trust] and [Record], by pointer.
type Predicate interface {
	kind() string     // the part of the predicate type after base
	subject() subject // what the statement is about, from the predicate's fields
	check() error     // shape, units and ranges
}

type subject struct {
	Name   string `json:"name"`
	Digest digest `json:"digest"`
}

type digest struct {
	SHA256 string `json:"sha256"` // lower-case hex
}

type envelope struct {
	Type          string         `json:"_type"`
	Subject       []subject      `json:"subject"`
	PredicateType string         `json:"predicateType"`
	Predicate     jsontext.Value `json:"predicate"`
}

// Marshal returns the statement that carries p. Equal predicates give equal
// bytes.
func Marshal(p Predicate) ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%s statement: %w", p.kind(), err)
	}
	predicate, err := json.Marshal(p, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("%s statement: %w", p.kind(), err)
	}
	b, err := json.Marshal(envelope{Type, []subject{p.subject()}, PredicateType(p), predicate}, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("%s statement: %w", p.kind(), err)
	}
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("%s statement: %d bytes, want at most %d", p.kind(), len(b), MaxBytes)
	}
	return b, nil
}

// PredicateType returns the type URI of p, such as
// https://plastron.example/policy/v1.
func PredicateType(p Predicate) string { return base + p.kind() + "/v1" }

// Parse decodes a statement strictly and returns its predicate.
func Parse(b []byte) (Predicate, error) {
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("statement: %d bytes, want at most %d", len(b), MaxBytes)
	}
	var e envelope
	if err := json.Unmarshal(b, &e, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	if e.Type != Type {
		return nil, fmt.Errorf("statement: _type is %q, want %q", e.Type, Type)
	}
	p := blank(e.PredicateType)
	if p == nil {
		return nil, fmt.Errorf("statement: unknown predicate type %q", e.PredicateType)
	}
	if err := json.Unmarshal(e.Predicate, p, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s statement: %w", p.kind(), err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%s statement: %w", p.kind(), err)
	}
	if len(e.Subject) != 1 || e.Subject[0] != p.subject() {
		return nil, fmt.Errorf("%s statement: the subject is not the predicate's", p.kind())
	}
	return p, nil
}

// blank returns the zero predicate of a type, nil for an unknown one.
func blank(predicateType string) Predicate {
	for _, p := range []Predicate{&Policy{}, &Ban{}, &Unban{}, &JoinToken{}, &Enrolment{}, &Trust{}, &Record{}} {
		if PredicateType(p) == predicateType {
			return p
		}
	}
	return nil
}

// about returns the subject with a name and the digest of bytes.
func about(name string, b []byte) subject {
	return subject{name, digest{proof.Hash(sum(b)).String()}}
}

var errNoTime = errors.New("a time is missing")

// whole refuses the zero time and fractions of a second: statements count in
// seconds, UTC.
func whole(t time.Time) error {
	if t.IsZero() {
		return errNoTime
	}
	if !t.Equal(t.Truncate(time.Second)) {
		return fmt.Errorf("time %s has a fraction of a second", t.Format(time.RFC3339Nano))
	}
	return nil
}
