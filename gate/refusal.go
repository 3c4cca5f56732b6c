package gate

import (
	"context"
	"errors"
	"fmt"

	"plastron/gate/policy"
	"plastron/log"
	"plastron/node"
	"plastron/oidc"
	"plastron/provenance"
)

// A Code says why a request was refused. The list is closed: clients branch on
// it and metrics count by it. Codes of tokens, bundles and node evidence are
// those of their packages.
type Code string

// The codes that the gate itself gives, beside those of [plastron/oidc]
// (oidc_*), [plastron/provenance] (provenance_*) and [plastron/node] (node_*).
const (
	OIDCReplayed   Code = "oidc_replayed"     // the token is spent on another key or artifact
	NodeReplayed   Code = "node_replayed"     // the node evidence is spent
	NotEnrolled    Code = "node_not_enrolled" // no enrolment of this node is in the log
	KeyRefused     Code = "key_refused"       // the certificate signing request
	BeaconRefused  Code = "beacon_refused"    // not ours, or older than MaxBeaconAge
	NoMatch        Code = "policy_no_match"
	PolicyRefused  Code = "policy_refused"
	Banned         Code = "banned"
	LogUnavailable Code = "log_unavailable"
	LogQuorum      Code = "log_quorum" // logged, but too few witnesses answered: ask again
	LimitExceeded  Code = "limit_exceeded"
	Internal       Code = "internal"
)

// Codes is the closed list of refusal codes, in the order in which a request
// meets them.
var Codes = []Code{
	"oidc_malformed", "oidc_claims", "oidc_signature", "oidc_issuer", "oidc_audience", "oidc_expired", OIDCReplayed, "oidc_keys",
	"provenance_malformed", "provenance_signature", "provenance_certificate", "provenance_identity", "provenance_log",
	"provenance_time", "provenance_subject", "provenance_predicate",
	"node_malformed", "node_signature", "node_anchor", "node_binding", "node_measurement", NodeReplayed, "node_cloned", NotEnrolled,
	KeyRefused, BeaconRefused, RenewalRefused, NoMatch, PolicyRefused, Banned, LogUnavailable, LogQuorum, LimitExceeded, Internal,
}

// A Refusal is the gate's no. Code, Fact, Rule and Clause are for the client;
// Err is for our own log.
type Refusal struct {
	Code   Code
	Fact   string // what was expected and seen
	Rule   string // the rule that came nearest; "" before a token clause matched
	Clause string // its first clause that did not hold
	Err    error
}

func (r *Refusal) Error() string {
	s := string(r.Code)
	if r.Fact != "" {
		s += ": " + r.Fact
	}
	if r.Rule != "" {
		s += fmt.Sprintf(" (nearest rule %q", r.Rule)
		if r.Clause != "" {
			s += ", clause " + r.Clause
		}
		s += ")"
	}
	return s
}

func (r *Refusal) Unwrap() error { return r.Err }

func refuse(code Code, format string, args ...any) *Refusal {
	err := fmt.Errorf(format, args...)
	return &Refusal{Code: code, Fact: err.Error(), Err: err}
}

// asRefusal maps whatever a step returned to a refusal. What it does not know
// is Internal: an unforeseen error is a no, and its text stays with us.
func asRefusal(err error) *Refusal {
	var (
		r *Refusal
		o *oidc.Error
		p *provenance.Error
		n *node.Error
		s *log.SpentError
		q *log.QuorumError
		t *log.StaleError
	)
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &o):
		return &Refusal{Code: Code(o.Code), Fact: o.Err.Error(), Err: err}
	case errors.As(err, &p):
		return &Refusal{Code: Code(p.Code), Fact: p.Err.Error(), Err: err}
	case errors.As(err, &n):
		return &Refusal{Code: Code(n.Code), Fact: n.Err.Error(), Err: err}
	case errors.As(err, &s):
		return &Refusal{Code: NodeReplayed, Fact: fmt.Sprintf("this evidence was used for entry %d; make a new quote over a new beacon", s.Index), Err: err}
	case errors.As(err, &q):
		return &Refusal{Code: LogQuorum, Fact: fmt.Sprintf("entry %d is logged but too few witnesses have cosigned it yet; send the same request again", q.Index), Err: err}
	case errors.As(err, &t):
		return &Refusal{Code: LogUnavailable, Fact: "policy, bans or trust kept changing while the gate decided; send the same request again", Err: err}
	case errors.Is(err, log.ErrQuorum):
		return &Refusal{Code: LogQuorum, Fact: "too many entries wait for the witnesses, so the log takes no more; nothing was issued, try again", Err: err}
	case errors.Is(err, log.ErrPoisoned), errors.Is(err, log.ErrClosed):
		return &Refusal{Code: LogUnavailable, Fact: "the log takes no entries; nothing was issued", Err: err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &Refusal{Code: LogUnavailable, Fact: "the request ended before it was decided and logged; send the same request again", Err: err}
	}
	return &Refusal{Code: Internal, Fact: "the gate failed; its own log says more", Err: err}
}

func fromPolicy(r *policy.Refusal) *Refusal {
	return &Refusal{Code: Code(r.Code), Fact: r.Fact, Rule: r.Rule, Clause: r.Clause}
}
