package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// A Grant is a policy's yes.
type Grant struct {
	Rule     string        // name of the rule
	ID       spiffeid.ID   // in the trust domain, never under /plastron/
	TTL      time.Duration // 1m to 24h
	Clauses  []string      // the rule's clauses, all of which held, in words
	RenewFor time.Duration // how old the chain's first token may be; 0: no renewal by SVID
	Insecure []string      // weakened checks that it rests on: insecure_claimed_artifact, insecure_unbound_node
}

// Codes of refusals.
const (
	NoMatch = "policy_no_match" // no rule holds
	Refused = "policy_refused"  // an entry of the refuse list holds
)

// A Refusal is a policy's no. Rule, Clause, Fact and Line are "" and 0 until a
// rule's whole token clause held.
type Refusal struct {
	Code   string // NoMatch or Refused
	Rule   string // the rule that came nearest, or the entry of the refuse list
	Clause string // its first clause that does not hold, in words
	Fact   string // what was seen and what was wanted
	Line   int    // of the clause in the policy
}

// TokenMatches returns nil if some rule's token clause holds for t; nil is the
// request without a token, for which rules without a token clause hold. The
// refusal says nothing but NoMatch: whoever has no standing here learns nothing
// about the rules.
func (p *Policy) TokenMatches(t *Token) *Refusal {
	return p.decision(&Facts{Token: t}).standing()
}

// Decide grants or refuses; exactly one of its results is nil. It is a pure
// function of the policy and the facts: it has no clock but f.Now, and what it
// was given it neither changes nor keeps.
//
// The refuse list is asked first, and an entry that can't be evaluated refuses.
// Then the first rule of the file that holds decides: if a fact does not fit
// into its id, the request is refused, and no later rule is tried.
func (p *Policy) Decide(f *Facts) (*Grant, *Refusal) {
	if err := f.check(); err != nil {
		return nil, &Refusal{Code: NoMatch, Fact: "incomplete facts: " + err.Error()}
	}
	d := p.decision(f)
	if no := d.standing(); no != nil {
		return nil, no
	}
	if no := p.refused(f); no != nil {
		return nil, no
	}
	for _, r := range d.rules {
		if d.all(r.who) && d.all(r.rest) {
			return r.grant(f)
		}
	}
	return nil, d.nearest()
}

// A decision is one look at the rules. It remembers the answers of clauses.
type decision struct {
	facts   *Facts
	rules   []*rule // that may hold, by the token's issuer
	answers []answer
}

type answer byte

const (
	unasked answer = iota
	holds
	doesNot
)

func (p *Policy) decision(f *Facts) *decision {
	d := &decision{facts: f}
	switch {
	case p == nil:
		return d
	case f.Token == nil:
		d.rules = p.byIssuer[""]
	case f.Token.Issuer != "" && f.Token.Subject != "":
		d.rules = p.byIssuer[f.Token.Issuer]
	}
	d.answers = make([]answer, p.slots)
	return d
}

func (d *decision) holds(c *clause) bool {
	a := &d.answers[c.slot]
	if *a == unasked {
		*a = doesNot
		if c.holds(d.facts) {
			*a = holds
		}
	}
	return *a == holds
}

func (d *decision) all(clauses []clause) bool {
	for i := range clauses {
		if !d.holds(&clauses[i]) {
			return false
		}
	}
	return true
}

// standing says whether some rule's token clause holds.
func (d *decision) standing() *Refusal {
	for _, r := range d.rules {
		if d.all(r.who) {
			return nil
		}
	}
	return &Refusal{Code: NoMatch}
}

// refused asks the refuse list.
func (p *Policy) refused(f *Facts) *Refusal {
	for _, e := range p.refuse {
		held := true
		for _, x := range e.exprs.list {
			ok, err := x.holds(f)
			if err != nil {
				return &Refusal{Refused, e.name, x.words, fmt.Sprintf("refuse entry %s can't be evaluated: %s", e.name, printable(err.Error())), x.pos.Line}
			}
			if !ok {
				held = false
				break
			}
		}
		if held {
			return &Refusal{Refused, e.name, "", fmt.Sprintf("refuse entry %s holds", e.name), e.line}
		}
	}
	return nil
}

func (r *rule) grant(f *Facts) (*Grant, *Refusal) {
	id, err := r.id.expand(f)
	if err != nil {
		return nil, &Refusal{NoMatch, r.name, "id", fmt.Sprintf("%v; rule %s makes an id of it", err, r.name), r.idLine}
	}
	g := &Grant{Rule: r.name, ID: id, TTL: r.ttl, Clauses: r.words(), RenewFor: r.renewFor}
	if slices.Contains(r.reads, "build") && f.Artifact.Tie == "claimed" {
		g.Insecure = append(g.Insecure, "insecure_claimed_artifact")
	}
	if slices.Contains(r.reads, "node") && f.Node.Bound == "none" {
		g.Insecure = append(g.Insecure, "insecure_unbound_node")
	}
	return g, nil
}

// nearest finds the rule with the most clauses that hold, of those whose token
// clause does, and says which clause of it does not.
func (d *decision) nearest() *Refusal {
	var near *rule
	var missing *clause
	most := -1
	for _, r := range d.rules {
		if !d.all(r.who) {
			continue
		}
		if held, first := d.count(r.rest); held > most && first != nil {
			near, missing, most = r, first, held
		}
	}
	if near == nil {
		return &Refusal{Code: NoMatch}
	}
	fact := fmt.Sprintf("%s, rule %s wants %s", missing.seen(d.facts), near.name, missing.wants)
	return &Refusal{NoMatch, near.name, missing.words, fact, missing.line}
}

// count returns how many clauses hold, and the first that does not. Expressions
// count only where every typed clause holds.
func (d *decision) count(clauses []clause) (held int, first *clause) {
	for i := range clauses {
		c := &clauses[i]
		if c.costs && first != nil && !first.costs {
			break
		}
		if d.holds(c) {
			held++
		} else if first == nil {
			first = c
		}
	}
	return held, first
}
