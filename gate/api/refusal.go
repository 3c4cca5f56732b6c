package api

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	gatev1 "plastron/gate/api/v1"
)

var (
	// ErrUnreachable means that no answer came: nobody listened, the time was
	// over, or the gate was too busy to take the request. Try again.
	ErrUnreachable = errors.New("gate is unreachable")
	// ErrUntrusted means that whoever answered could not show that it is the
	// gate, or sent an SVID that is not one.
	ErrUntrusted = errors.New("gate is not trusted")
)

// A Refusal is the gate's no.
type Refusal struct {
	Code   string // from the closed list of plastron/gate, such as "oidc_audience"
	Fact   string // what was expected and seen
	Rule   string // the rule that came nearest; "" before a token clause matched
	Clause string // its first clause that did not hold
}

func (r *Refusal) Error() string {
	s := "gate refused: " + r.Code
	if r.Fact != "" {
		s += ": " + r.Fact
	}
	switch {
	case r.Rule != "" && r.Clause != "":
		s += fmt.Sprintf(" (nearest rule %q, clause %s)", r.Rule, r.Clause)
	case r.Rule != "":
		s += fmt.Sprintf(" (nearest rule %q)", r.Rule)
	}
	return s
}

// called returns what a call's error means to the caller.
func called(doing string, err error) error {
	if err == nil {
		return nil
	}
	var answer *connect.Error
	if errors.As(err, &answer) {
		if r := refusal(answer); r != nil {
			return r
		}
	}
	return fmt.Errorf("%s: %w", doing, unanswered(err))
}

// refusal returns the refusal among the details of an error, or nil.
func refusal(answer *connect.Error) *Refusal {
	for _, d := range answer.Details() {
		m, err := d.Value()
		if err != nil {
			continue
		}
		if r, ok := m.(*gatev1.Refusal); ok && r.GetCode() != "" {
			return &Refusal{Code: r.GetCode(), Fact: r.GetFact(), Rule: r.GetRule(), Clause: r.GetClause()}
		}
	}
	return nil
}

// unanswered marks an error that is no answer as ErrUnreachable, unless the gate
// was heard and not believed, or the caller itself gave up.
func unanswered(err error) error {
	if errors.Is(err, ErrUntrusted) || errors.Is(err, context.Canceled) {
		return err
	}
	var answer *connect.Error
	if errors.As(err, &answer) && answer.Code() != connect.CodeUnavailable && answer.Code() != connect.CodeDeadlineExceeded {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}
