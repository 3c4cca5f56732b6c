// Package jointoken lets a person vouch for a node: evidence -> *[node.Host],
// floor human.
//
// # The token
//
//	plastron-join-v1.<base64url, no padding, of a 32-byte Ed25519 seed>
//
// Whoever makes a token ([NewToken]) keeps the text for the node and gives only
// the public key to the gate, which logs it together with what the token is for:
// a node source, a SPIFFE ID or a rule, an end. The log is public; what it holds
// must not be a key. The node never sends the seed either: it signs with it.
//
// # The evidence
//
//	{"public_key": "<base64, 32 bytes>", "signature": "<base64, 64 bytes>"}
//
// Both members are needed, no other is taken, and the whole is at most
// [MaxEvidence] bytes. The signature is Ed25519 (RFC 8032) over
//
//	"plastron join v1\x00" || bind
//
// of 17 + 32 bytes, so that nothing signed with a seed elsewhere is evidence
// here.
//
// # What is checked
//
// In this order: the format; that an enrolment of this kind and source is there
// and names this public key; that the time is before its end; the signature.
// Binding is by the signature: a token caught with one request cannot be carried
// to another SVID key or another beacon.
//
// # What is trusted
//
// The person who made the token, as the log entry names them, and that the
// secret reached the right node. That a token is used once is for the gate to
// see to: [node.Host.Spent] names kind "join-token", the public key as anchor and
// an empty m, so that a second use collides whatever it signs.
//
// The facts of the Host are "author", "reason" and "expires" (RFC 3339), from the
// log entry.
package jointoken

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json/v2"
	"fmt"
	"time"

	"plastron/log/statement"
	"plastron/node"
)

// Kind is the kind of evidence and of node sources.
const Kind = "join-token"

// MaxEvidence is the longest evidence, in bytes, that is read.
const MaxEvidence = 512

// domain separates what a token signs here from what its seed may sign elsewhere.
const domain = "plastron join v1\x00"

// A Verifier appraises join tokens of one node source. It has no state.
type Verifier struct{ name string }

// New makes the verifier of the node source with a name in the configuration.
func New(name string) *Verifier { return &Verifier{name} }

// Name is the node source's.
func (v *Verifier) Name() string { return v.name }

// Kind is "join-token".
func (v *Verifier) Kind() string { return Kind }

// EnrolmentKey is the lower-case hex of the public key that the evidence names.
func (v *Verifier) EnrolmentKey(ev node.Evidence) (string, error) {
	e, err := parse(ev)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(e.PublicKey), nil
}

// Verify appraises evidence with the log's [statement.JoinToken], whose JSON is
// the enrolment's data.
func (v *Verifier) Verify(_ context.Context, ev node.Evidence, bind [32]byte, enrolment *node.Enrolment, now time.Time) (*node.Host, error) {
	e, err := parse(ev)
	if err != nil {
		return nil, err
	}
	token, err := v.admitted(e, enrolment, now)
	if err != nil {
		return nil, err
	}
	if !ed25519.Verify(e.PublicKey, message(bind), e.Signature) {
		return nil, refuse(node.Signature, "join token %x did not sign this request: the beacon or the SVID key is another one", e.PublicKey)
	}
	return makeHost(v.name, ev, e, token, now), nil
}

// admitted returns what the log says of the token, if that lets it in now.
func (v *Verifier) admitted(e *evidence, enrolment *node.Enrolment, now time.Time) (*statement.JoinToken, error) {
	if enrolment == nil || enrolment.Kind != Kind || enrolment.Name != v.name {
		return nil, refuse(node.NotEnrolled, "no entry of the log makes a join token %x for %q: create one with `plastron token create`", e.PublicKey, v.name)
	}
	var token statement.JoinToken
	if err := json.Unmarshal(enrolment.Data, &token, json.RejectUnknownMembers(true)); err != nil {
		return nil, refuse(node.NotEnrolled, "entry %d is no join token: %w", enrolment.Index, err)
	}
	switch {
	case token.Node != v.name:
		return nil, refuse(node.NotEnrolled, "entry %d is a join token for %q, not for %q", enrolment.Index, token.Node, v.name)
	case !e.PublicKey.Equal(ed25519.PublicKey(token.PublicKey)):
		return nil, refuse(node.NotEnrolled, "entry %d is another join token, %x", enrolment.Index, token.PublicKey)
	case !now.Before(token.Expires):
		return nil, refuse(node.NotEnrolled, "the join token of entry %d ended at %s: create a new one", enrolment.Index, token.Expires.UTC().Format(time.RFC3339))
	}
	return &token, nil
}

func message(bind [32]byte) []byte { return append([]byte(domain), bind[:]...) }

func refuse(code node.Code, format string, args ...any) error {
	return &node.Error{Code: code, Err: fmt.Errorf(format, args...)}
}
