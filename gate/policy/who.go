package policy

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"plastron/gate/strictyaml"
)

// token compiles the token clause: who asks.
func (l *loader) token(r *rule, t strictyaml.At[ruleText]) error {
	if t.Value.Token == nil {
		return nil
	}
	at, y := t.Value.Token.Pos, t.Value.Token.Value
	if y.Issuer.Value == "" {
		return l.Errorf(at, "a token clause without issuer")
	}
	issuer, known := l.env.Issuers[y.Issuer.Value]
	if !known {
		return l.Errorf(y.Issuer.Pos, "unknown issuer %s%s", quote(y.Issuer.Value), didYouMean(y.Issuer.Value, l.env.Issuers))
	}
	r.issuer, r.reads = y.Issuer.Value, append(r.reads, "token")
	b := l.clauses("token", at)
	b.exactly("issuer", texts{y.Issuer})
	b.exactly("repository_id", y.RepositoryID)
	b.exactly("owner_id", y.OwnerID)
	b.exactly("service_account_id", y.ServiceAccountID)
	b.like("namespace", y.Namespace)
	b.like("service_account", y.ServiceAccount)
	b.like("repository", y.Repository)
	b.like("subject", y.Subject)
	b.like("ref", y.Ref)
	b.like("workflow", y.Workflow)
	b.like("environment", y.Environment)
	b.like("event", y.Event)
	b.like("runner", y.Runner)
	for _, name := range slices.Sorted(maps.Keys(y.Claims)) {
		b.add(y.Claims[name], func(w []*glob, line int) clause { return tokenClaim(name, w, line) })
	}
	if y.Bound.Pos.Line != 0 {
		if !y.Bound.Value {
			return l.Errorf(y.Bound.Pos, "bound: false asks for less than saying nothing: leave it out")
		}
		b.list = append(b.list, isBound(y.Bound.Pos.Line))
	}
	if b.err != nil {
		return b.err
	}
	r.who = b.list
	return l.identified(r, at, issuer, &y)
}

// identified refuses a rule on an issuer that speaks for strangers, unless it
// names whom it speaks for by an id that is never given to another.
func (l *loader) identified(r *rule, at strictyaml.Pos, i IssuerInfo, y *tokenText) error {
	google := host(i.URL) == "accounts.google.com"
	if !i.Shared && !google && host(i.URL) != "gitlab.com" && host(i.URL) != "token.actions.githubusercontent.com" {
		return nil
	}
	if y.RepositoryID != nil || y.OwnerID != nil || google && exact(y.Subject) {
		return nil
	}
	for _, c := range immutableClaims {
		if exact(y.Claims[c]) {
			return nil
		}
	}
	if google {
		return l.Errorf(at, "rule %s: %s signs tokens for strangers: name the subject (sub), whole", r.name, i.URL)
	}
	return l.Errorf(at, "rule %s: %s signs tokens for strangers too, and names are given to others later: name a repository_id or owner_id (of GitLab: project_id, namespace_id)",
		r.name, i.URL)
}

func exact(wanted texts) bool {
	return len(wanted) > 0 && !slices.ContainsFunc(wanted, func(t text) bool { return strings.Contains(t.Value, "*") })
}

func host(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}
