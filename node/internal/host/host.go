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
	"maps"
	"slices"
	"time"
)

// A Floor is what a chain of trust ends at.
type Floor string

// The floors: a vendor of chips; an organisation that answers for its machines;
// a person.
const (
	Hardware    Floor = "hardware"
	Institution Floor = "institution"
	Human       Floor = "human"
)

// A Binding says what ties evidence to the request it came with.
type Binding string

// The bindings: the evidence signs the request's bind; its audience carries the
// bind; nothing does, and the evidence is whoever's holds it.
const (
	Key      Binding = "key"
	Audience Binding = "audience"
	None     Binding = "none"
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

// A Result is what a verifier hands over to become a [Host].
type Result struct {
	Name      string            // the node source's, in the gate's configuration
	Kind      string            // "tpm", "join-token"
	ID        string            // stable for the node: kind ":" the kind's own name for it
	Floor     Floor             //
	Bound     Binding           //
	Anchors   []Anchor          //
	Facts     map[string]string // by names that the kind's package documents
	Time      time.Time         // when the evidence was made, as well as the verifier can tell
	Digest    [32]byte          // SHA-256 of the evidence's data
	Spent     []SpentKey        //
	Artifacts []string          // "sha256:" hex of programs that the evidence proves ran
	Insecure  []string          // weakened checks that the result rests on
	SPIFFEID  string            // the only SPIFFE ID it may lead to; "" for any
	Rule      string            // the only rule it may be used under; "" for any
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
func (h *Host) Spent() []SpentKey { return slices.Clone(h.made().Spent) }

// Artifacts are the digests, "sha256:" and hex, of programs that the evidence
// proves ran on the node.
func (h *Host) Artifacts() []string { return slices.Clone(h.made().Artifacts) }

// Insecure names the weakened checks that the result rests on.
func (h *Host) Insecure() []string { return slices.Clone(h.made().Insecure) }

// SPIFFEID is the only SPIFFE ID that the node may be granted; "" for any.
func (h *Host) SPIFFEID() string { return h.made().SPIFFEID }

// Rule is the only policy rule that the node may be granted by; "" for any.
func (h *Host) Rule() string { return h.made().Rule }
