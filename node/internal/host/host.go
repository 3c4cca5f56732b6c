// Package host holds the one verified type of [plastron/node]: what a verifier
// found out about the machine that a request comes from.
//
// It is internal to node, so that only the verifiers below node can make a
// [Host]; everybody else has the alias node.Host, whose fields are private. The
// zero Host proves nothing: its Kind is "", and every other accessor panics, so
// that it can never be read as a host without weaknesses and with nothing to
// spend.
package host

import (
	"bytes"
	"maps"
	"slices"
	"time"
)

// A Floor is what a chain of trust ends at.
type Floor string

// The floors.
const (
	Hardware    Floor = "hardware"    // a maker of chips
	Institution Floor = "institution" // an organisation that answers for its machines
	Human       Floor = "human"       // a person
)

// A Binding says what ties evidence to the request it came with.
type Binding string

// The bindings.
const (
	Key      Binding = "key"      // the node's key signed the request's bind
	Audience Binding = "audience" // the audience of a signed token carries it
	None     Binding = "none"     // nothing does: it is anybody's who holds it
)

// An Anchor is where a chain of trust ends.
type Anchor struct {
	Name   string   // in the field's words: a root certificate's subject, who made a join token
	SHA256 [32]byte // of the root certificate's DER, or of the raw key
}

// A SpentKey is what evidence uses up, before it is hashed: a kind, an anchor,
// and the bytes that the signature covers, never the signature.
type SpentKey struct {
	Kind   string
	Anchor []byte
	M      []byte
}

// A Result is what a verifier hands over to become a [Host], whose methods of
// the same names say what each field is.
type Result struct {
	Name, Kind, ID string
	Floor          Floor
	Bound          Binding
	Anchors        []Anchor
	Facts          map[string]string
	Time           time.Time
	Digest         [32]byte
	Spent          []SpentKey
	Artifacts      []string
	Insecure       []string
	SPIFFEID, Rule string
}

// A Host is a verified node. Only a verifier makes one, and its methods are all
// there is to know about it; what they return is the caller's own copy.
type Host struct{ r Result }

// New makes a Host. It panics on a result without a kind, a name, an ID, a
// floor, a binding or an anchor, which is a verifier's mistake.
func New(r Result) *Host {
	if r.Kind == "" || r.Name == "" || r.ID == "" || r.Floor == "" || r.Bound == "" || len(r.Anchors) == 0 {
		panic("node: internal error: a verifier made an incomplete host")
	}
	return &Host{r}
}

func (h *Host) made() *Result {
	if h == nil || h.r.Kind == "" {
		panic("node: internal error: a host that no verifier made")
	}
	return &h.r
}

// Kind is the kind of the node source, such as "tpm". It is "" for a Host that
// no verifier made, which is to be refused.
func (h *Host) Kind() string {
	if h == nil {
		return ""
	}
	return h.r.Kind
}

// Name is the node source's name in the gate's configuration.
func (h *Host) Name() string { return h.made().Name }

// ID names the node for ever: "tpm:" and the hex of its attestation key's name,
// "join-token:" and the hex of its public key.
func (h *Host) ID() string { return h.made().ID }

// Floor is what the chain of trust ends at.
func (h *Host) Floor() Floor { return h.made().Floor }

// Bound is what ties the evidence to its request.
func (h *Host) Bound() Binding { return h.made().Bound }

// Anchors are the roots that the evidence was checked against: at least one.
func (h *Host) Anchors() []Anchor { return slices.Clone(h.made().Anchors) }

// Facts are what the evidence says of the node, as text, by names that the
// kind's package documents.
func (h *Host) Facts() map[string]string { return maps.Clone(h.made().Facts) }

// Time is when the evidence was made, as well as the verifier can tell.
func (h *Host) Time() time.Time { return h.made().Time }

// Digest is the SHA-256 of the evidence's data.
func (h *Host) Digest() [32]byte { return h.made().Digest }

// Spent is what the evidence uses up, so that it is taken once.
func (h *Host) Spent() []SpentKey {
	out := slices.Clone(h.made().Spent)
	for i, s := range out {
		out[i].Anchor, out[i].M = bytes.Clone(s.Anchor), bytes.Clone(s.M)
	}
	return out
}

// Artifacts are the digests, "sha256:" and hex, of programs that the evidence
// proves ran on the node.
func (h *Host) Artifacts() []string { return slices.Clone(h.made().Artifacts) }

// Insecure names the weakened checks that the result rests on.
func (h *Host) Insecure() []string { return slices.Clone(h.made().Insecure) }

// SPIFFEID is the only SPIFFE ID that the node may be granted; "" for any.
func (h *Host) SPIFFEID() string { return h.made().SPIFFEID }

// Rule is the only policy rule that the node may be granted by; "" for any.
func (h *Host) Rule() string { return h.made().Rule }
