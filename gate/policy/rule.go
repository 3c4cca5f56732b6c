package policy

import (
	"maps"
	"regexp"
	"slices"
	"time"

	"plastron/gate/strictyaml"
)

// A rule grants an ID to whoever fulfils all of its clauses.
type rule struct {
	name     string
	line     int
	id       *idTemplate
	idLine   int
	ttl      time.Duration
	renewFor time.Duration
	issuer   string   // "" without token clause: then only requests without a token match
	who      []clause // of the token clause
	rest     []clause // the others: typed ones first, then expressions
	reads    []string // nouns that the rule has a clause for
}

// Bounds on rules.
const (
	maxRules    = 1000
	minTTL      = time.Minute
	maxTTL      = 24 * time.Hour
	maxRenewFor = 30 * 24 * time.Hour
)

var nameGrammar = regexp.MustCompile(`\A[a-z0-9][a-z0-9._-]{0,63}\z`)

// A loader turns the text of a policy into a Policy. Its methods return the
// first thing that is wrong.
type loader struct {
	*strictyaml.Document
	env   Env
	lang  *language
	seen  map[string]strictyaml.Pos // names of rules and refuse entries
	slots map[string]int            // of clauses, by key
	free  int                       // the next slot
}

// place gives clauses their slots.
func (l *loader) place(clauses []clause) {
	for i := range clauses {
		c := &clauses[i]
		slot, shared := l.slots[c.key]
		if !shared || c.key == "" {
			slot = l.free
			l.free++
			l.slots[c.key] = slot
		}
		c.slot = slot
	}
}

// name checks the name of a rule, refuse entry or test.
func (l *loader) name(what string, at strictyaml.Pos, n text) error {
	switch first, again := l.seen[n.Value]; {
	case n.Value == "":
		return l.Errorf(at, "a %s without name", what)
	case !nameGrammar.MatchString(n.Value):
		return l.Errorf(n.Pos, "the name %s: want lower-case letters, digits, \".\", \"-\" and \"_\", at most 64", quote(n.Value))
	case n.Value == "self" || n.Value == NoMatch || n.Value == Refused:
		return l.Errorf(n.Pos, "the name %q is the gate's own", n.Value)
	case again:
		return l.Errorf(n.Pos, "the name %q is taken on line %d", n.Value, first.Line)
	}
	l.seen[n.Value] = n.Pos
	return nil
}

// rule compiles one rule: its clauses first, then the id, which may read only
// what a clause has pinned down.
func (l *loader) rule(t strictyaml.At[ruleText]) (*rule, error) {
	y := t.Value
	if err := l.name("rule", t.Pos, y.Name); err != nil {
		return nil, err
	}
	r := &rule{name: y.Name.Value, line: t.Pos.Line, idLine: y.ID.Pos.Line, ttl: y.TTL.Value, renewFor: y.RenewFor.Value}
	if y.Token == nil && y.Node == nil {
		return nil, l.Errorf(t.Pos, "rule %s has neither a token nor a node clause: it asks of nobody who or where they are", r.name)
	}
	for _, step := range []func(*rule, strictyaml.At[ruleText]) error{l.times, l.token, l.build, l.node, l.artifact, l.when, l.id} {
		if err := step(r, t); err != nil {
			return nil, err
		}
	}
	l.place(r.who)
	l.place(r.rest)
	return r, nil
}

// times checks ttl and renew_for.
func (l *loader) times(r *rule, t strictyaml.At[ruleText]) error {
	y := t.Value
	switch {
	case y.TTL.Pos.Line == 0:
		return l.Errorf(t.Pos, "rule %s has no ttl", r.name)
	case r.ttl < minTTL || r.ttl > maxTTL || r.ttl%time.Second != 0:
		return l.Errorf(y.TTL.Pos, "a ttl of %v, want 1m to 24h in whole seconds", r.ttl)
	case y.RenewFor.Pos.Line == 0:
		return nil
	case y.Token == nil:
		return l.Errorf(y.RenewFor.Pos, "renew_for without a token clause: what is renewed is who a token spoke for")
	case r.renewFor < r.ttl || r.renewFor > maxRenewFor:
		return l.Errorf(y.RenewFor.Pos, "renew_for of %v, want the ttl (%v) to %v", r.renewFor, r.ttl, maxRenewFor)
	}
	return nil
}

// id compiles the template.
func (l *loader) id(r *rule, t strictyaml.At[ruleText]) (err error) {
	id := t.Value.ID
	if id.Value == "" {
		return l.Errorf(t.Pos, "rule %s has no id", r.name)
	}
	if r.id, err = parseTemplate(id.Value, l.env.TrustDomain); err != nil {
		return l.Errorf(id.Pos, "id: %v", err)
	}
	return l.covered(r, id.Pos, "id", r.id.nouns())
}

// covered refuses to read a noun that the rule has no clause for: nothing would
// have said which root, issuer or source it has to come from.
func (l *loader) covered(r *rule, at strictyaml.Pos, what string, nouns []string) error {
	for _, n := range nouns {
		if !slices.Contains(r.reads, n) {
			return l.Errorf(at, "%s reads %s, but rule %s has no %s clause", what, n, r.name, n)
		}
	}
	return nil
}

// when compiles the expression; each conjunct is a clause.
func (l *loader) when(r *rule, t strictyaml.At[ruleText]) error {
	when := t.Value.When
	if when.Pos.Line == 0 {
		return nil
	}
	x, err := l.lang.compile(l.Document, when)
	if err != nil {
		return err
	}
	for _, e := range x.list {
		r.rest = append(r.rest, holding(e))
	}
	return l.covered(r, when.Pos, "when", x.nouns)
}

// didYouMean proposes one of the keys of a map.
func didYouMean[T any](word string, known map[string]T) string {
	return strictyaml.DidYouMean(word, slices.Sorted(maps.Keys(known)))
}
