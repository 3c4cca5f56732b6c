// Package policy decides who gets which SPIFFE ID, from verified facts alone.
//
// What comes in unverified is the text of policy.yaml; [Load] compiles it, runs
// the tests in it, and refuses whatever it does not understand, with the place:
// "policy.yaml:4:3: unknown field ...". What comes in verified are [Facts],
// copied from what the verifiers of tokens, builds and nodes returned. What goes
// out of [Policy.Decide] is a [Grant] or a [Refusal]. It trusts the author of
// the policy, and nothing that a request says of itself. There is no clock but
// Facts.Now, no I/O, no state: the same policy and facts decide the same for
// ever, so a decision can be run again from its record.
//
// # The file
//
// YAML as package strictyaml reads it: a list rules, and optionally refuse and
// tests.
//
//	rules:
//	- name: shop-api                  # lower-case letters, digits, . - _
//	  id: spiffe://acme.example/shop/{{ build.repository_name }}
//	  ttl: 1h                         # 1m to 24h
//	  renew_for: 24h                  # optional: ttl to 720h; needs a token clause
//	  token: {issuer: cluster, namespace: shop, service_account: api}
//	  build: {root: public-good, source: github.com/acme/shop, repository_id: "512345", min_age: 10m}
//	  node: {any: [fleet], bound: key}
//	  artifact: [measured]
//	  when: build.ref.startsWith("refs/tags/v")
//	refuse:
//	- {name: no-target, when: 'has(build.event) && build.event == "pull_request_target"'}
//	tests:
//	- {name: tagged release gets an id, evidence: testdata/shop.json, want: {allow: shop-api}}
//
// The refuse list is asked first; then the first rule of the file all of whose
// clauses hold decides; where none holds, the request is refused. A rule asks
// for a token or a node, or both: a rule without a token clause is for requests
// without a token only, so that strangers' tokens end before anything else of
// the request is looked at.
//
// In typed clauses a value is one string or a list of which one must match, as a
// whole: `*` stands for any characters but "/", `**` for any characters. Ids
// (issuer, root, any, *_id) are written out. An absent fact never matches.
//
//   - token: issuer (of the configuration), subject, repository, repository_id,
//     owner_id, ref, workflow, environment, event, runner, namespace,
//     service_account, service_account_id, claims (a map), bound: true (its
//     audience carried the bind of the request). An issuer that speaks for
//     strangers needs an id that it never gives to another: repository_id or
//     owner_id, by these names or by GitLab's project_id and namespace_id under
//     claims; of Google, the subject.
//   - build: root (of the configuration), and at least one of source,
//     repository_id, owner_id and signer; issuer, builder, build_type,
//     predicate_type, ref, event, runner, workflow, subject; min_age and max_age
//     (of the newer and the older of signing and logging).
//   - node: any (sources of the configuration), id, facts (a map), pcr (register
//     to SHA-256 values, hex), floor (hardware, institution or human, at least),
//     bound (key, audience or any, at least; key where nothing is said).
//   - artifact: which ties to the requester count; [measured, token] where
//     nothing is said. claimed wants insecure_claimed_artifact: true beside it.
//   - when: an expression, tried only where all of the above hold.
//
// # Templates
//
// The id's scheme and trust domain are literal, each segment of its path is
// literal or one placeholder, and the rule has a clause for whatever it reads.
// A fact fills exactly one segment: it is refused unless it is one by the SPIFFE
// grammar. No id is under /plastron/, which is the gate's own.
//
// # Expressions
//
// CEL (cel.dev) over the nouns token, build, node and artifact, and now. Any
// error refuses: unlike in plain CEL even one that `||` or `&&` would have
// absorbed. Reading an absent fact is an error; has(build.event) asks whether it
// is there. Strings have
// like("refs/tags/v*"), a pattern for the whole of them; matches(), which finds
// its pattern anywhere, is refused. What an expression may cost is bounded when
// it loads and again when it runs; nothing stops it by the clock, which would
// make decisions depend on the machine.
//
// # Tests
//
// A test has facts, inline or as the JSON of a decision record (a path below the
// policy's folder), and wants {allow: RULE} (with id: to say which) or {refuse:
// X}, X being a code, an entry of the refuse list or the rule that comes
// nearest. A policy that fails one of its tests does not load.
package policy

import (
	"io/fs"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate/strictyaml"
)

// Env is what a policy may name: the configuration of the gate.
type Env struct {
	TrustDomain spiffeid.TrustDomain
	Issuers     map[string]IssuerInfo // by name
	Roots       map[string]bool       // Sigstore roots, by name
	Nodes       map[string]bool       // node sources, by name
	FS          fs.FS                 // where test evidence is read; nil: tests have their facts inline
}

// IssuerInfo is an OIDC issuer of the configuration.
type IssuerInfo struct {
	URL    string
	Shared bool // speaks for strangers too
}

// A Policy is a loaded policy.yaml: it compiled, and its own tests passed. It
// may be used by any number of goroutines. The zero Policy refuses everything.
type Policy struct {
	rules    []*rule
	byIssuer map[string][]*rule // "": rules without token clause; in the order of the file
	refuse   []refusing
	slots    int // distinct clauses
	warnings []string
}

// refusing is an entry of the refuse list: a request for which it holds, or
// can't be evaluated, is refused.
type refusing struct {
	name  string
	line  int
	exprs *exprs
}

// Load loads a policy, and runs its tests. Errors are *[strictyaml.Error] and
// begin with "name:line:column: ".
func Load(name string, content []byte, env Env) (*Policy, error) {
	doc, err := strictyaml.Parse(name, content)
	if err != nil {
		return nil, err
	}
	var y document
	if err := doc.Decode(&y); err != nil {
		return nil, err
	}
	top := strictyaml.Pos{Line: 1, Column: 1}
	switch {
	case env.TrustDomain.IsZero():
		return nil, doc.Errorf(top, "the gate has no trust domain")
	case len(y.Rules) == 0:
		return nil, doc.Errorf(top, "no rules: such a gate would refuse everybody")
	case len(y.Rules) > maxRules || len(y.Refuse) > maxRules || len(y.Tests) > maxRules:
		return nil, doc.Errorf(top, "more than %d rules, refuse entries or tests", maxRules)
	}
	l := &loader{Document: doc, env: env, seen: map[string]strictyaml.Pos{}, slots: map[string]int{}}
	if l.lang, err = newLanguage(); err != nil {
		return nil, doc.Errorf(top, "expressions: %v", err)
	}
	return l.load(&y)
}

func (l *loader) load(y *document) (*Policy, error) {
	p := &Policy{byIssuer: map[string][]*rule{}}
	for _, t := range y.Rules {
		r, err := l.rule(t)
		if err != nil {
			return nil, err
		}
		p.rules = append(p.rules, r)
		p.byIssuer[r.issuer] = append(p.byIssuer[r.issuer], r)
	}
	for _, t := range y.Refuse {
		r, err := l.refusing(t)
		if err != nil {
			return nil, err
		}
		p.refuse = append(p.refuse, *r)
	}
	p.slots, p.warnings = l.free, p.warn()
	for _, t := range y.Tests {
		if err := l.test(p, t); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (l *loader) refusing(t strictyaml.At[refuseText]) (*refusing, error) {
	if err := l.name("refuse entry", t.Pos, t.Value.Name); err != nil {
		return nil, err
	}
	if t.Value.When.Pos.Line == 0 {
		return nil, l.Errorf(t.Pos, "refuse entry %s has no when", t.Value.Name.Value)
	}
	x, err := l.lang.compile(l.Document, t.Value.When)
	if err != nil {
		return nil, err
	}
	return &refusing{t.Value.Name.Value, t.Value.When.Pos.Line, x}, nil
}

// A Rule is what a loaded policy says, for people.
type Rule struct {
	Name     string
	Line     int // in the policy
	ID       string
	TTL      time.Duration
	RenewFor time.Duration
	Clauses  []string // in words
}

// Rules returns the rules in the order of the file.
func (p *Policy) Rules() (list []Rule) {
	for _, r := range p.rules {
		list = append(list, Rule{r.name, r.line, r.id.text, r.ttl, r.renewFor, r.words()})
	}
	return list
}

// words returns the clauses of the rule.
func (r *rule) words() (list []string) {
	for _, clauses := range [][]clause{r.who, r.rest} {
		for i := range clauses {
			list = append(list, clauses[i].words)
		}
	}
	return list
}
