package statement

import (
	"encoding/json/jsontext"
	"errors"
	"time"

	"plastron/log/proof"
)

// A Record is why one SVID exists: everything that the decision read, by name
// or by hash. Its SHA-256 is in the SVID's decision extension, and therefore in
// the log; its bytes are stored with the entry. With the entries before
// Decided, the policy at entry Policy and the evidence, the decision can be run
// again.
type Record struct {
	SPIFFEID string         `json:"spiffe_id"`
	Key      proof.Hash     `json:"key"`   // SHA-256 of the SVID key's SubjectPublicKeyInfo
	Time     time.Time      `json:"time"`  // the clock the decision was made at: UTC, whole seconds
	Facts    jsontext.Value `json:"facts"` // the verified facts as the policy read them (plastron/gate/policy Facts)
	Verdict  Verdict        `json:"verdict"`
	Evidence []Evidence     `json:"evidence"`          // what the facts were read from
	Renews   *uint64        `json:"renews,omitzero"`   // index of the entry that this one follows
	Insecure []string       `json:"insecure,omitzero"` // weakened checks that this decision rests on
	Gate     string         `json:"gate"`              // build of the gate that decided
}

// A Verdict is the grant, and what it was decided from.
type Verdict struct {
	Policy   uint64       `json:"policy"`  // index of the policy entry
	Rule     string       `json:"rule"`    // "self" for the gate's own SVID
	Clauses  []string     `json:"clauses"` // the rule's clauses, all of which held
	Decided  uint64       `json:"decided"` // number of entries applied
	Spent    []proof.Hash `json:"spent"`
	TTL      int64        `json:"ttl"` // seconds
	Artifact string       `json:"artifact,omitzero"`
	Tie      string       `json:"tie,omitzero"`
	Floors   []Floor      `json:"floors"`
}

// A Floor is where one chain of trust ends.
type Floor struct {
	Fact   string     `json:"fact"`            // who, what, where, why
	Floor  string     `json:"floor"`           // hardware, institution, human
	Anchor string     `json:"anchor"`          // in the configuration's and the field's words
	SHA256 proof.Hash `json:"sha256,omitzero"` // of the root certificate or key
}

// Evidence names one piece of stored evidence.
type Evidence struct {
	Kind   string     `json:"kind"` // token, jwk, bundle, node, beacon, csr
	SHA256 proof.Hash `json:"sha256"`
	Size   int        `json:"size"` // bytes
}

func (r *Record) kind() string     { return "record" }
func (r *Record) subject() subject { return subject{r.SPIFFEID, digest{r.Key.String()}} }

func (r *Record) check() error {
	switch {
	case r.SPIFFEID == "":
		return errors.New("no SPIFFE ID")
	case r.Key == proof.Hash{}:
		return errors.New("no key")
	case !r.Facts.IsValid() || r.Facts.Kind() != '{':
		return errors.New("facts are not a JSON object")
	case r.Verdict.Rule == "":
		return errors.New("no rule")
	case r.Verdict.TTL <= 0:
		return errors.New("no ttl")
	}
	return whole(r.Time)
}
