// Package node answers WHERE: evidence from the machine that asks -> *[Host].
//
// What comes in is [Evidence]: a kind and bytes that anybody can have made. What
// goes out is a [Host], which only the verifiers in the folders below this one
// can make: a folder a kind, attester and verifier together.
//
//	node/jointoken   a secret that a person handed over   floor human
//	node/tpm         a quote of a TPM 2.0                 floor hardware
//
// # Binding
//
// Evidence that could be replayed proves nothing about now, and evidence that
// could be carried to another key proves nothing about who asks. One value ties
// all evidence of a request to both:
//
//	bind = SHA-256("plastron bind v1\x00" || beacon || SHA-256(SubjectPublicKeyInfo of the SVID key))
//
// where beacon is the SHA-256 of the log checkpoint that the gate handed out
// moments ago. Each kind has its own slot for these 32 bytes: a TPM quote's
// extraData, the message that a join token signs.
//
// # What is trusted
//
// Nothing here by itself. Every root, key and inventory is configuration that
// the verifier was made with, and what an operator has let in since is an entry
// of the log, which the gate looks up by [Verifier.EnrolmentKey] and hands over
// as an [Enrolment]. A verifier is then a pure function of evidence, bind,
// enrolment, time and configuration: it keeps no state, reads no clock and
// opens no connection, so that an auditor can run it again years later.
//
// What only the gate's state can tell is left to the gate: that the same
// evidence is not used twice ([Host.Spent]), that nothing it rests on is banned,
// and that a TPM's counters never run backwards.
package node

import (
	"context"
	"crypto/sha256"
	"time"

	"plastron/node/internal/host"
)

// Evidence is what an attester sends. Nothing in it is verified.
type Evidence struct {
	Kind string // "tpm", "join-token"
	Data []byte // JSON, in the format that the kind's package documents
}

// Bind returns the value that ties evidence to a beacon and to the key that the
// SVID will certify, given as its DER SubjectPublicKeyInfo.
func Bind(beacon [32]byte, spki []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte("plastron bind v1\x00"))
	h.Write(beacon[:])
	key := sha256.Sum256(spki)
	h.Write(key[:])
	return [32]byte(h.Sum(nil))
}

// A Host is a verified node: see its methods. The zero Host is none: its Kind is
// "" and every other method panics.
type Host = host.Host

// An Anchor is where a chain of trust ends: a root's name and its SHA-256.
type Anchor = host.Anchor

// A SpentKey is what evidence uses up.
type SpentKey = host.SpentKey

// A Floor is what a chain of trust ends at.
type Floor = host.Floor

// The floors, strongest first.
const (
	Hardware    = host.Hardware
	Institution = host.Institution
	Human       = host.Human
)

// A Binding says what ties evidence to its request.
type Binding = host.Binding

// The bindings: the node's key signed the bind; the audience of a token carries
// it; nothing does.
const (
	Key      = host.Key
	Audience = host.Audience
	None     = host.None
)

// An Enrolment is the entry of the log that lets one node in.
type Enrolment struct {
	Kind  string // of the node source
	Name  string // of the node source, in the gate's configuration
	Index uint64 // of the entry
	Data  []byte // JSON: what the entry says in the kind's own words
}

// A Verifier appraises evidence of one kind for one configured source of nodes.
// It is safe for concurrent use. Its errors are always *[Error].
type Verifier interface {
	Name() string // of the source, in the gate's configuration
	Kind() string

	// EnrolmentKey returns what the evidence calls itself, by which the gate
	// finds its enrolment; "" where the kind needs none. Nothing is verified.
	EnrolmentKey(ev Evidence) (string, error)

	// Verify appraises evidence over bind at a time, for a node that e lets in.
	// An e of nil is a node that nothing lets in.
	Verify(ctx context.Context, ev Evidence, bind [32]byte, e *Enrolment, now time.Time) (*Host, error)
}

// An Enroller is a Verifier whose nodes are enrolled before they are believed.
// It keeps nothing about a challenge that is still to be answered.
type Enroller interface {
	Verifier

	// Challenge returns what only the node of the request can answer, under this
	// bind and from this process. Request and challenge are JSON of the kind.
	Challenge(ctx context.Context, request []byte, bind [32]byte, now time.Time) (challenge []byte, err error)

	// Enrol checks the answer to the challenge for the same request and bind.
	Enrol(ctx context.Context, request, answer []byte, bind [32]byte, now time.Time) (*EnrolmentFact, error)
}

// An EnrolmentFact is what an Enroller verified, to be written to the log.
type EnrolmentFact struct {
	Key       string            // what EnrolmentKey will return for the node's evidence
	Data      []byte            // JSON object for the log, and for Enrolment.Data
	Authority string            // why the node is let in: "inventory"
	Anchors   []Anchor          // roots that it was checked against
	Facts     map[string]string // what can be banned before it is enrolled; tpm: "ek"
}

// A Code says why evidence was refused, from a closed list.
type Code string

// The codes.
const (
	Malformed   Code = "node_malformed"    // not the format of the kind
	Signature   Code = "node_signature"    // not signed by the key that it names, or the challenge is not answered
	BadAnchor   Code = "node_anchor"       // the chain does not end at a configured root, or a key is not what the root vouches for
	BadBinding  Code = "node_binding"      // made for another beacon or another key
	Measurement Code = "node_measurement"  // not the registers that are asked for, or not the values that were signed
	NotEnrolled Code = "node_not_enrolled" // nothing lets this node in, or no longer
)

// An Error is what a Verifier returns.
type Error struct {
	Code Code
	Err  error // what was expected and seen; holds no secret
}

// Error returns the code and the cause.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
