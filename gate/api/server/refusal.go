package server

import (
	"errors"
	"strings"

	"connectrpc.com/connect"

	"plastron/gate"
	gatev1 "plastron/gate/api/v1"
)

// connectCode says which of connect's codes, and so which HTTP status, a
// refusal has:
//
//	invalid_argument     400  it cannot be read, or its key cannot be certified
//	unauthenticated      401  it was read, and does not hold
//	permission_denied    403  it holds, and the answer is no
//	failed_precondition  400  something else has to be done first: get a new token, quote or beacon, enrol
//	resource_exhausted   429  too much at once
//	unavailable          503  not now
//	internal             500  the gate failed, or has a code that is not in this table
func connectCode(c gate.Code) connect.Code {
	switch c {
	case gate.KeyRefused, "oidc_malformed", "provenance_malformed", "node_malformed":
		return connect.CodeInvalidArgument
	case gate.NoMatch, gate.PolicyRefused, gate.Banned:
		return connect.CodePermissionDenied
	case gate.OIDCReplayed, gate.NodeReplayed, gate.NotEnrolled, gate.BeaconRefused, "renewal_refused":
		return connect.CodeFailedPrecondition
	case gate.LimitExceeded:
		return connect.CodeResourceExhausted
	case gate.LogUnavailable, gate.LogQuorum, "oidc_keys":
		return connect.CodeUnavailable
	case gate.Internal:
		return connect.CodeInternal
	}
	for _, what := range []string{"oidc_", "provenance_", "node_"} {
		if strings.HasPrefix(string(c), what) {
			return connect.CodeUnauthenticated
		}
	}
	return connect.CodeInternal
}

// wire turns an error of the gate into one that says no more than the refusal
// does: Err is not for the client.
func wire(err error) *connect.Error {
	var r *gate.Refusal
	if !errors.As(err, &r) {
		r = &gate.Refusal{Code: gate.Internal, Fact: "the gate failed; its own log says more"}
	}
	e := connect.NewError(connectCode(r.Code), errors.New((&gate.Refusal{Code: r.Code, Fact: r.Fact, Rule: r.Rule, Clause: r.Clause}).Error()))
	// Marshalling four strings does not fail, but for text that is not UTF-8.
	d, err := connect.NewErrorDetail(&gatev1.Refusal{
		Code: string(r.Code), Fact: strings.ToValidUTF8(r.Fact, "\ufffd"), Rule: strings.ToValidUTF8(r.Rule, "\ufffd"), Clause: strings.ToValidUTF8(r.Clause, "\ufffd"),
	})
	if err == nil {
		e.AddDetail(d)
	}
	return e
}
