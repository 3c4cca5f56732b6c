package policy_test

import (
	"encoding/json/v2"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"plastron/gate/policy"
)

func shopFacts(t testing.TB) *policy.Facts {
	t.Helper()
	f, err := policy.ParseFacts(readTestdata(t, "shop-v142.json"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestGrant(t *testing.T) {
	t.Parallel()
	p := load(t, string(readTestdata(t, "design.yaml")))
	yes, no := p.Decide(shopFacts(t))
	if no != nil {
		t.Fatal(no)
	}
	want := &policy.Grant{
		Rule: "shop-api", TTL: time.Hour, RenewFor: 24 * time.Hour,
		Clauses: []string{
			`token.issuer is "cluster"`, `token.namespace is "shop"`, `token.service_account is "api"`,
			`build.root is "public-good"`, `build.repository_id is "512345"`, `build.source is "github.com/acme/shop"`, `build.min_age is 10m0s`,
			`node.name is "fleet"`, `node.bound is at least "key"`, `artifact.tie is "measured"`, `build.source_ref.startsWith("refs/tags/v")`,
		},
	}
	if got := yes.ID.String(); got != "spiffe://acme.example/shop/shop" {
		t.Errorf("id %s", got)
	}
	want.ID = yes.ID
	if !reflect.DeepEqual(yes, want) {
		t.Errorf("got  %+v\nwant %+v", yes, want)
	}
}

const wide = `rules:
- name: wide
  id: spiffe://acme.example/shop/{{ build.repository_name }}
  ttl: 1h
  token: {issuer: cluster, namespace: shop, service_account: [api, "worker-*"], bound: true, claims: {kubernetes.io.serviceaccount.uid: "1f6a*"}}
  build:
    root: public-good
    repository_id: "512345"
    owner_id: ["1", "6789"]
    source: github.com/acme/*
    issuer: https://token.actions.githubusercontent.com
    signer: https://github.com/acme/shop/.github/workflows/*.yml@refs/tags/**
    builder: https://github.com/acme/**
    build_type: https://actions.github.io/buildtypes/workflow/v1
    predicate_type: https://slsa.dev/provenance/v1
    ref: refs/tags/v*
    event: [push, workflow_dispatch]
    runner: github-hosted
    workflow: https://github.com/acme/shop/**
    subject: shop
    min_age: 10m
    max_age: 720h
  node:
    any: [aws, fleet]
    bound: audience
    floor: institution
    id: "tpm:*"
    pcr: {7: 65caf8dd1e0ea7a6347b635d2b379c93b9a1351edc2afc3ecda700e234eb3068}
  artifact: [measured, token]
  when: |
    build.ref.like("refs/tags/v*") &&
      (build.builder == build.signer || token.claims["admin"] == "yes") &&
    build.age < duration("720h") && build.log_index > 0 && build.signed_at < now
- name: joined
  id: spiffe://acme.example/joined/{{ node.key }}
  ttl: 1m
  node: {any: [join], bound: any}
refuse:
- {name: no-target, when: 'has(build.event) && build.event == "pull_request_target"'}
- {name: bad-builder, when: 'has(build.builder) && build.builder.like("https://old-builder.example/**")'}
`

// Each row changes one fact of a request that is granted; the refusal names the
// clause and what was seen.
func TestRefusal(t *testing.T) {
	t.Parallel()
	p := load(t, wide)
	if _, no := p.Decide(shopFacts(t)); no != nil {
		t.Fatalf("refused unspoilt: %v", no)
	}
	minute := shopFacts(t).Build.SignedAt
	for _, c := range []struct {
		rule       string
		spoil      func(*policy.Facts)
		line       int
		clause     string
		fact, code string
	}{
		{"root", func(f *policy.Facts) { f.Build.Root = "private" }, 7, `build.root is "public-good"`, `build.root is "private", rule wide wants "public-good"`, ""},
		{"no build", func(f *policy.Facts) { f.Build, f.Artifact = nil, nil }, 7, `build.root is "public-good"`, `build.root is absent, rule wide wants "public-good"`, ""},
		{"no artifact", func(f *policy.Facts) { f.Artifact = nil }, 29, `artifact.tie is one of "measured", "token"`, `artifact.tie is absent`, ""},
		{"repository id", func(f *policy.Facts) { f.Build.RepositoryID = "999" }, 8, `build.repository_id is "512345"`, `build.repository_id is "999", rule wide wants "512345"`, ""},
		{"repository id, longer", func(f *policy.Facts) { f.Build.RepositoryID = "5123456" }, 8, ``, `build.repository_id is "5123456"`, ""},
		{"owner id", func(f *policy.Facts) { f.Build.OwnerID = "67890" }, 9, ``, `build.owner_id is "67890", rule wide wants one of "1", "6789"`, ""},
		{"source, other owner", func(f *policy.Facts) { f.Build.Source = "github.com/mallory/shop" }, 10, ``, `build.source is "github.com/mallory/shop", rule wide wants like "github.com/acme/*"`, ""},
		{"source, anchored at the start", func(f *policy.Facts) { f.Build.Source = "evil.example/github.com/acme/shop" }, 10, ``, ``, ""},
		{"source, anchored at the end", func(f *policy.Facts) { f.Build.Source = "github.com/acme/shop/evil" }, 10, ``, ``, ""},
		{"source, exact case", func(f *policy.Facts) { f.Build.Source = "GitHub.com/acme/shop" }, 10, ``, ``, ""},
		{"source, new line", func(f *policy.Facts) { f.Build.Source = "x\ngithub.com/acme/shop" }, 10, ``, `build.source is "x\ngithub.com/acme/shop"`, ""},
		{"source, absent", func(f *policy.Facts) { f.Build.Source = "" }, 10, ``, `build.source is absent`, ""},
		{"issuer", func(f *policy.Facts) { f.Build.Issuer = "https://evil.example" }, 11, ``, ``, ""},
		{"signer", func(f *policy.Facts) {
			f.Build.Signer = "https://github.com/acme/shop/.github/workflows/x/y.yml@refs/tags/v1"
		}, 12, ``, ``, ""},
		{"builder", func(f *policy.Facts) { f.Build.Builder = "https://github.com/other" }, 13, ``, ``, ""},
		{"build type", func(f *policy.Facts) { f.Build.BuildType = "x" }, 14, ``, ``, ""},
		{"predicate type", func(f *policy.Facts) { f.Build.PredicateType = "https://slsa.dev/provenance/v0.2" }, 15, ``, ``, ""},
		{"branch", func(f *policy.Facts) { f.Build.Ref = "refs/heads/main" }, 16, ``, ``, ""},
		{"tag in a branch's name", func(f *policy.Facts) { f.Build.Ref = "refs/heads/refs/tags/v1" }, 16, ``, ``, ""},
		{"event", func(f *policy.Facts) { f.Build.Event = "schedule" }, 17, ``, ``, ""},
		{"runner", func(f *policy.Facts) { f.Build.Runner = "self-hosted" }, 18, ``, ``, ""},
		{"workflow", func(f *policy.Facts) { f.Build.Workflow = "https://github.com/acme/shops/x" }, 19, ``, ``, ""},
		{"subject", func(f *policy.Facts) { f.Build.Subject = "shop2" }, 20, ``, ``, ""},
		{"too young", func(f *policy.Facts) { f.Now = minute.Add(10*time.Minute - time.Second) }, 21, `build.min_age is 10m0s`, `build was signed at 2026-08-01T09:00:00Z, logged at 2026-08-01T09:00:01Z, and now it is 2026-08-01T09:09:59Z, rule wide wants a min_age of 10m0s`, ""},
		{"young by the log's time", func(f *policy.Facts) { f.Build.LoggedAt = f.Now.Add(-time.Minute) }, 21, ``, ``, ""},
		{"no signing time", func(f *policy.Facts) { f.Build.SignedAt = time.Time{} }, 21, ``, `build.signed_at is absent`, ""},
		{"too old", func(f *policy.Facts) { f.Now = minute.Add(721 * time.Hour) }, 22, `build.max_age is 720h0m0s`, ``, ""},
		{"old by the log's time", func(f *policy.Facts) { f.Build.LoggedAt = f.Now.Add(-721 * time.Hour) }, 22, ``, ``, ""},
		{"node source", func(f *policy.Facts) { f.Node.Name = "join" }, 24, `node.name is one of "aws", "fleet"`, `node.name is "join"`, ""},
		{"no node", func(f *policy.Facts) { f.Node = nil }, 24, ``, `node.name is absent`, ""},
		{"binding", func(f *policy.Facts) { f.Node.Bound = "none" }, 25, `node.bound is at least "audience"`, `node.bound is "none", rule wide wants at least "audience"`, ""},
		{"floor", func(f *policy.Facts) { f.Node.Floor = "human" }, 26, `node.floor is at least "institution"`, `node.floor is "human"`, ""},
		{"node id", func(f *policy.Facts) { f.Node.ID = "xtpm:1" }, 27, ``, ``, ""},
		{"pcr", func(f *policy.Facts) { f.Node.Facts["pcr.7"] = strings.Repeat("00", 32) }, 28, ``, `node.facts["pcr.7"] is "0000`, ""},
		{"pcr absent", func(f *policy.Facts) { delete(f.Node.Facts, "pcr.7") }, 28, ``, `node.facts["pcr.7"] is absent`, ""},
		{"tie", func(f *policy.Facts) { f.Artifact.Tie = "claimed" }, 29, ``, `artifact.tie is "claimed", rule wide wants one of "measured", "token"`, ""},
		{"second conjunct", func(f *policy.Facts) { f.Build.Builder = "https://github.com/acme/x"; f.Token.Claims["admin"] = "no" }, 32, `build.builder == build.signer || token.claims["admin"] == "yes"`, `is false, rule wide wants true`, ""},
		{"an error is a refusal", func(f *policy.Facts) { f.Build.Builder = "https://github.com/acme/x" }, 32, ``, `no such key: admin`, ""},
		{"log index absent", func(f *policy.Facts) { f.Build.LogIndex = nil }, 33, `build.log_index > 0`, `build.log_index is absent`, ""},
		{"signed in the future", func(f *policy.Facts) { f.Build.SignedAt = f.Now.Add(time.Hour) }, 21, ``, ``, ""},
		{"id: repository with a strange name", func(f *policy.Facts) { f.Build.Source = "github.com/acme/.." }, 3, `id`, `build.repository_name: the path segment ".."; rule wide makes an id of it`, ""},
		{"id: percent", func(f *policy.Facts) { f.Build.Source = "github.com/acme/a%2Fb" }, 3, `id`, `"a%2Fb" is not one path segment`, ""},
		{"id: not ASCII", func(f *policy.Facts) { f.Build.Source = "github.com/acme/é" }, 3, `id`, ``, ""},
		{"id: empty", func(f *policy.Facts) { f.Build.Source = "github.com/acme/" }, 3, `id`, `build.repository_name is absent`, ""},
		{"id: template", func(f *policy.Facts) { f.Build.Source = "github.com/acme/{{.}}" }, 3, `id`, ``, ""},
		{"id: 3 kB", func(f *policy.Facts) { f.Build.Source = "github.com/acme/" + strings.Repeat("a", 3000) }, 3, `id`, `want at most 2048`, ""},
		{"refuse list", func(f *policy.Facts) { f.Build.Event = "pull_request_target" }, 39, ``, `refuse entry no-target holds`, policy.Refused},
		{"refuse list wins over no match", func(f *policy.Facts) { f.Build.Builder = "https://old-builder.example/x"; f.Build.Root = "private" }, 40, ``, `refuse entry bad-builder holds`, policy.Refused},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			f := shopFacts(t)
			c.spoil(f)
			yes, no := p.Decide(f)
			if yes != nil {
				t.Fatalf("granted %s", yes.ID)
			}
			code, name := policy.NoMatch, "wide"
			if c.code != "" {
				code, name = c.code, no.Rule
			}
			if no.Code != code || no.Rule != name || no.Line != c.line || c.clause != "" && no.Clause != c.clause || !strings.Contains(no.Fact, c.fact) {
				t.Errorf("got %+v\nwant line %d, clause %q, fact %q", no, c.line, c.clause, c.fact)
			}
			if no := p.TokenMatches(f.Token); no != nil {
				t.Errorf("the token clause does not hold: %v", no)
			}
		})
	}
}

// Whoever's token no rule wants learns nothing, whatever else they bring.
func TestTokenMismatchTellsNothing(t *testing.T) {
	t.Parallel()
	p := load(t, wide)
	for rule, spoil := range map[string]func(*policy.Token){
		"other issuer":           func(k *policy.Token) { k.Issuer = "github" },
		"unconfigured issuer":    func(k *policy.Token) { k.Issuer = "nobody" },
		"no issuer":              func(k *policy.Token) { k.Issuer = "" },
		"no subject":             func(k *policy.Token) { k.Subject = "" },
		"zero token":             func(k *policy.Token) { *k = policy.Token{} },
		"other namespace":        func(k *policy.Token) { k.Claims["kubernetes.io.namespace"] = "toys" },
		"no namespace":           func(k *policy.Token) { delete(k.Claims, "kubernetes.io.namespace") },
		"no claims":              func(k *policy.Token) { k.Claims = nil },
		"other account":          func(k *policy.Token) { k.Claims["kubernetes.io.serviceaccount.name"] = "apis" },
		"pattern of accounts":    func(k *policy.Token) { k.Claims["kubernetes.io.serviceaccount.name"] = "worker-/x" },
		"other claim":            func(k *policy.Token) { k.Claims["kubernetes.io.serviceaccount.uid"] = "2f6a" },
		"not bound":              func(k *policy.Token) { k.Bound = false },
		"values are not trimmed": func(k *policy.Token) { k.Claims["kubernetes.io.namespace"] = "shop " },
		"values keep their case": func(k *policy.Token) { k.Claims["kubernetes.io.namespace"] = "Shop" },
		"claim names are exact": func(k *policy.Token) {
			delete(k.Claims, "kubernetes.io.namespace")
			k.Claims["Kubernetes.io.namespace"] = "shop"
		},
		"issuer by URL, not name": func(k *policy.Token) { k.Issuer = "https://kubernetes.default.svc" },
	} {
		f := shopFacts(t)
		spoil(f.Token)
		if no := p.TokenMatches(f.Token); no == nil || *no != (policy.Refusal{Code: policy.NoMatch}) {
			t.Errorf("%s: TokenMatches %+v", rule, no)
		}
		yes, no := p.Decide(f)
		if yes != nil || no == nil || no.Code != policy.NoMatch || no.Rule != "" || no.Clause != "" {
			t.Errorf("%s: Decide %+v, %+v", rule, yes, no)
		}
	}
}

// A rule without a token clause is for requests without a token, and the other
// way round.
func TestWithoutToken(t *testing.T) {
	t.Parallel()
	p := load(t, wide)
	f := &policy.Facts{Now: time.Unix(1, 0), Node: &policy.Node{Name: "join", Kind: "join-token", ID: "join-token:9f02", Floor: "human", Bound: "none"}}
	if no := p.TokenMatches(nil); no != nil {
		t.Error(no)
	}
	yes, no := p.Decide(f)
	if no != nil {
		t.Fatal(no)
	}
	if yes.Rule != "joined" || yes.ID.String() != "spiffe://acme.example/joined/9f02" || !slices.Equal(yes.Insecure, []string{"insecure_unbound_node"}) {
		t.Errorf("%+v", yes)
	}
	f.Token = shopFacts(t).Token
	if yes, no := p.Decide(f); yes != nil || no.Rule != "wide" {
		t.Errorf("with a token: %+v, %v", yes, no)
	}
	withToken := load(t, "rules:\n- {name: a, id: spiffe://acme.example/a, ttl: 1h, token: {issuer: cluster}}\n")
	if no := withToken.TokenMatches(nil); no == nil {
		t.Error("a request without token matches a rule with a token clause")
	}
}

func TestClaimed(t *testing.T) {
	t.Parallel()
	p := load(t, strings.Replace(spoil, "artifact: [measured]", "artifact: [measured, claimed]\n  insecure_claimed_artifact: true", 1))
	f := shopFacts(t)
	if yes, no := p.Decide(f); no != nil || yes.Insecure != nil {
		t.Errorf("measured: %+v, %v", yes, no)
	}
	f.Artifact.Tie = "claimed"
	if yes, no := p.Decide(f); no != nil || !slices.Equal(yes.Insecure, []string{"insecure_claimed_artifact"}) {
		t.Errorf("claimed: %+v, %v", yes, no)
	}
	p = load(t, strings.Replace(spoil, "  artifact: [measured]\n", "", 1)) // says nothing: proofs only
	if yes, _ := p.Decide(f); yes != nil {
		t.Error("claimed, though the rule says nothing of artifacts")
	}
	f.Artifact.Tie = "token"
	if _, no := p.Decide(f); no != nil {
		t.Error(no)
	}
}

// Facts that no verifier could have made are refused, the zero value first.
func TestIncompleteFacts(t *testing.T) {
	t.Parallel()
	p := load(t, wide)
	for rule, spoil := range map[string]func(*policy.Facts){
		"zero":               func(f *policy.Facts) { *f = policy.Facts{} },
		"no time":            func(f *policy.Facts) { f.Now = time.Time{} },
		"zero build":         func(f *policy.Facts) { f.Build = &policy.Build{} },
		"zero node":          func(f *policy.Facts) { f.Node = &policy.Node{} },
		"zero artifact":      func(f *policy.Facts) { f.Artifact = &policy.Artifact{} },
		"artifact, no build": func(f *policy.Facts) { f.Build = nil },
		"unknown floor":      func(f *policy.Facts) { f.Node.Floor = "silicon" },
		"unknown binding":    func(f *policy.Facts) { f.Node.Bound = "any" },
		"no binding":         func(f *policy.Facts) { f.Node.Bound = "" },
		"unknown tie":        func(f *policy.Facts) { f.Artifact.Tie = "believed" },
		"bare digest":        func(f *policy.Facts) { f.Artifact.Digest = "77ab" },
	} {
		f := shopFacts(t)
		spoil(f)
		if yes, no := p.Decide(f); yes != nil || no == nil || no.Code != policy.NoMatch || no.Rule != "" {
			t.Errorf("%s: %+v, %+v", rule, yes, no)
		}
	}
	if yes, no := p.Decide(nil); yes != nil || no == nil {
		t.Error("nil facts")
	}
	for _, p := range []*policy.Policy{nil, {}} {
		f := shopFacts(t)
		if yes, no := p.Decide(f); yes != nil || no == nil {
			t.Error("the zero policy grants")
		}
		if p.TokenMatches(f.Token) == nil || p.TokenMatches(nil) == nil {
			t.Error("a token matches the zero policy")
		}
	}
}

// Ages are of what is known: the newer time for min_age, the older for max_age.
func TestAges(t *testing.T) {
	t.Parallel()
	p := load(t, "rules:\n- {name: a, id: spiffe://acme.example/a, ttl: 1h, token: {issuer: cluster}, build: {root: public-good, source: github.com/acme/shop, max_age: 1h}}\n")
	now := shopFacts(t).Now
	for _, c := range []struct {
		rule           string
		signed, logged time.Time
		want           bool
	}{
		{"in time", now.Add(-time.Hour), now.Add(-time.Hour), true},
		{"no time of logging", now.Add(-time.Hour), time.Time{}, true},
		{"signed too long ago", now.Add(-time.Hour - 1), now, false},
		{"logged too long ago", now, now.Add(-time.Hour - 1), false},
		{"a clock a little ahead", now.Add(time.Minute), now, true},
		{"signed in the future", now.Add(time.Minute + 1), now, false},
		{"never signed", time.Time{}, now, false},
	} {
		f := shopFacts(t)
		f.Build.SignedAt, f.Build.LoggedAt = c.signed, c.logged
		if yes, no := p.Decide(f); (yes != nil) != c.want {
			t.Errorf("%s: %v, %v", c.rule, yes, no)
		}
	}
}

// In CEL `error || true` is true. Here it is a refusal, wherever it hides.
func TestErrorsRefuse(t *testing.T) {
	t.Parallel()
	for _, when := range []string{
		`token.claims["none"] == "x" || true`,
		`true && (token.claims["none"] == "x" || build.event == "push")`,
		`build.log == "x" || build.event == "push"`, // log is absent
		`!(build.log != "x" && false)`,
		`!(build.log == "x" && build.event == "none")`,
		`1 / (build.log_index - build.log_index) == 1 || true`,
		`int(build.ref) == 7 || true`,
		`(int(build.ref) == 7 ? true : false) || true`,
		`[1, 0].exists(i, 7 / (1 - i) == 7)`,
		`[1, 0].exists(i, 7 / (1 - i) == 7) || true`,
		`!["none"].all(k, token.claims[k] == "x" && false)`,
		`duration(build.ref) > duration("1s") || true`,
		`[1][build.log_index] == 1 || true`,
		`dyn(build.ref) + 1 == 2 || true`,
		`build.ref.size() > 0 && token.claims.none == "x"`,
		`(build.log_index + 9223372036854775807) > 0 || true`,
		`build.logged_at < now || true`, // no time is not 1970
		`token.issued_at < now || true`,
	} {
		f := shopFacts(t)
		f.Build.Log, f.Build.LoggedAt, f.Token.IssuedAt = "", time.Time{}, time.Time{}
		p := load(t, strings.Replace(withoutTests(spoil), `  when: build.ref.startsWith("refs/tags/v")`, "  when: "+fmt.Sprintf("%q", when), 1))
		if yes, no := p.Decide(f); yes != nil || no.Rule != "shop-api" || no.Line != 10 {
			t.Errorf("%s: %+v, %+v", when, yes, no)
		}
		// In the refuse list the same refuses too.
		p = load(t, strings.Replace(withoutTests(spoil), `has(build.event) && build.event == "pull_request_target"`, fmt.Sprintf("%q", when+" || false"), 1))
		if yes, no := p.Decide(f); yes != nil || no.Code != policy.Refused || !strings.Contains(no.Fact, "can't be evaluated") {
			t.Errorf("refuse list: %s: %+v, %+v", when, yes, no)
		}
	}
}

func withoutTests(s string) string { return s[:strings.Index(s, "tests:")] }

// What is written well holds.
func TestExpressionsHold(t *testing.T) {
	t.Parallel()
	for _, when := range []string{
		`has(build.log_index) && build.log_index == 123456789`,
		`!has(build.log) || build.log == "x"`,
		`"none" in token.claims ? token.claims["none"] == "x" : true`,
		`!("none" in token.claims) && token.claims["kubernetes.io.namespace"] == "shop"`,
		`has(token.claims.none) == false`,
		`build.signed_at > timestamp("2026-01-01T00:00:00Z") && now - build.signed_at == build.age`,
		`build.age > duration("10m") && build.age < duration("720h")`,
		`token.expires_at - token.issued_at <= duration("1h") && token.bound`,
		`build.ref in ["refs/tags/v1.4.2", "refs/tags/v1.4.3"]`,
		`build.signer.like("https://github.com/acme/**@refs/tags/v*") && !build.ref.like("tags/*")`,
		`["a", "b"].exists(x, x == "b") && [1, 2].all(x, x > 0)`,
		`token.claims.exists(k, k == "kubernetes.io.namespace" && token.claims[k] == "shop")`,
		`artifact.tie == "measured" && artifact.digest.startsWith("sha256:") && node.facts["pcr.7"].size() == 64`,
		`build.repository_name == "shop" && build.source_ref == build.ref && node.key == "7c1e5a"`,
	} {
		f := shopFacts(t)
		f.Build.Log = ""
		p := load(t, strings.Replace(withoutTests(spoil), `  when: build.ref.startsWith("refs/tags/v")`, "  when: "+fmt.Sprintf("%q", when), 1))
		if _, no := p.Decide(f); no != nil {
			t.Errorf("%s: %v", when, no)
		}
	}
}

// P8: an expression whose cost depends on the request stops when it has cost
// enough, and refuses.
func TestExpressionBomb(t *testing.T) {
	t.Parallel()
	p := load(t, strings.Replace(withoutTests(spoil), `  when: build.ref.startsWith("refs/tags/v")`, `  when: token.claims.all(k, token.claims[k] != build.commit)`, 1))
	f := shopFacts(t)
	if _, no := p.Decide(f); no != nil {
		t.Fatal(no)
	}
	for i := range 100_000 {
		f.Token.Claims[fmt.Sprint(i)] = "x"
	}
	if yes, no := p.Decide(f); yes != nil || !strings.Contains(no.Fact, "cost limit exceeded") {
		t.Errorf("%+v, %+v", yes, no)
	}
}

// Refusals are shown to people: bounded, and nothing a terminal would obey.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	p := load(t, wide)
	for _, s := range []string{strings.Repeat("x", 1<<20), "\x1b[2J\r\n", "a\u202eb", "\xff\xfe", strings.Repeat("é", 200), "\x00"} {
		f := shopFacts(t)
		f.Build.RepositoryID = s
		_, no := p.Decide(f)
		if no == nil || len(no.Fact) > 1000 || strings.ContainsAny(no.Fact, "\x1b\r\n\x00\u202e") || !strings.Contains(no.Fact, "rule wide wants") {
			t.Errorf("%.40q: %+.200v", s, no)
		}
		f = shopFacts(t)
		f.Token.Claims["kubernetes.io.pod.name"] = s
		f.Build.Source = "github.com/acme/" + s
		if _, no := p.Decide(f); no == nil || len(no.Fact) > 1000 || strings.ContainsAny(no.Fact, "\x1b\r\n\x00\u202e") {
			t.Errorf("in an id: %.40q: %+.200v", s, no)
		}
	}
}

// The nearest rule is the one with most clauses that hold, the first of equals.
func TestNearest(t *testing.T) {
	t.Parallel()
	p := load(t, `rules:
- {name: far, id: spiffe://acme.example/a, ttl: 1h, token: {issuer: cluster}, build: {root: private, source: x, ref: y}}
- {name: near, id: spiffe://acme.example/b, ttl: 1h, token: {issuer: cluster}, build: {root: public-good, source: github.com/acme/shop, ref: y}}
- {name: equal, id: spiffe://acme.example/c, ttl: 1h, token: {issuer: cluster}, build: {root: public-good, source: github.com/acme/shop, ref: z}}
- {name: stranger, id: spiffe://acme.example/d, ttl: 1h, token: {issuer: cluster, namespace: toys}, build: {root: public-good, source: github.com/acme/shop, event: push, ref: y}}
- name: expressions # count only where every typed clause holds
  id: spiffe://acme.example/e
  ttl: 1h
  token: {issuer: cluster}
  build: {root: public-good, source: x}
  when: build.event == "push" && build.ref != "" && build.event != "" && build.commit != "" && token.bound
`)
	_, no := p.Decide(shopFacts(t))
	if no == nil || no.Rule != "near" || no.Clause != `build.ref is "y"` || no.Line != 3 {
		t.Errorf("%+v", no)
	}
}

// The first rule of the file decides.
func TestFirstMatch(t *testing.T) {
	t.Parallel()
	rule := "- {name: %s, id: spiffe://acme.example/%s, ttl: 1h, token: {issuer: cluster, namespace: %s}}\n"
	p := load(t, "rules:\n"+fmt.Sprintf(rule, "toys", "a", "toys")+fmt.Sprintf(rule, "one", "b", "shop")+fmt.Sprintf(rule, "two", "c", "\"sh*\""))
	for range 20 {
		if yes, _ := p.Decide(shopFacts(t)); yes == nil || yes.Rule != "one" {
			t.Fatalf("%+v", yes)
		}
	}
}

// Names of claims differ between issuers; the facts do not.
func TestClaimNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		token  string
		claims map[string]string
	}{
		{`{issuer: github, repository_id: "1", owner_id: "2", repository: acme/shop, ref: refs/heads/main, workflow: acme/shop/.github/workflows/a.yml@refs/heads/main, environment: prod, event: push, runner: github-hosted}`, map[string]string{
			"repository_id": "1", "repository_owner_id": "2", "repository": "acme/shop", "ref": "refs/heads/main",
			"job_workflow_ref": "acme/shop/.github/workflows/a.yml@refs/heads/main", "environment": "prod", "event_name": "push", "runner_environment": "github-hosted",
			"workflow_ref": "the caller, which is not asked",
		}},
		{`{issuer: gitlab, repository_id: "1", owner_id: "2", repository: acme/shop, ref: refs/heads/main, workflow: "gitlab.com/acme/shop//.gitlab-ci.yml@refs/heads/main", environment: prod, event: push, runner: gitlab-hosted}`, map[string]string{
			"project_id": "1", "namespace_id": "2", "project_path": "acme/shop", "ref": "main", "ref_path": "refs/heads/main",
			"ci_config_ref_uri": "gitlab.com/acme/shop//.gitlab-ci.yml@refs/heads/main", "environment": "prod", "pipeline_source": "push", "runner_environment": "gitlab-hosted",
		}},
		{`{issuer: cluster, namespace: shop, service_account: api, service_account_id: "3"}`, map[string]string{
			"kubernetes.io.namespace": "shop", "kubernetes.io.serviceaccount.name": "api", "kubernetes.io.serviceaccount.uid": "3",
		}},
	} {
		p := load(t, "rules:\n- {name: a, id: spiffe://acme.example/a, ttl: 1h, token: "+c.token+"}\n")
		_, issuer, _ := strings.Cut(c.token, "issuer: ")
		issuer, _, _ = strings.Cut(issuer, ",")
		token := &policy.Token{Issuer: issuer, Subject: "x", Claims: c.claims}
		if no := p.TokenMatches(token); no != nil {
			t.Errorf("%s: %v", c.token, no)
		}
		for name := range c.claims {
			if name == "workflow_ref" || name == "ref" && issuer == "gitlab" {
				continue
			}
			claims := map[string]string{}
			for k, v := range c.claims {
				if k != name {
					claims[k] = v
				}
			}
			if p.TokenMatches(&policy.Token{Issuer: issuer, Subject: "x", Claims: claims}) == nil {
				t.Errorf("%s: matches without %s", c.token, name)
			}
		}
	}
}

// Clauses that ask the same share an answer; long ones that only look the same
// do not.
func TestLongPatterns(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 200)
	p := load(t, fmt.Sprintf(`rules:
- {name: one, id: spiffe://acme.example/one, ttl: 1h, token: {issuer: cluster, subject: %[1]s1}}
- {name: two, id: spiffe://acme.example/two, ttl: 1h, token: {issuer: cluster, subject: %[1]s2}}
- {name: list, id: spiffe://acme.example/list, ttl: 1h, token: {issuer: cluster, subject: ["%[1]s3 x", "y"]}}
- {name: same, id: spiffe://acme.example/same, ttl: 1h, token: {issuer: cluster, subject: %[1]s2, namespace: shop}}
`, long))
	for suffix, want := range map[string]string{"1": "one", "2": "two", "3 x": "list", "3": ""} {
		f := shopFacts(t)
		f.Token.Subject = long + suffix
		yes, _ := p.Decide(f)
		if got := fmt.Sprint(yes); (yes == nil) != (want == "") || yes != nil && yes.Rule != want {
			t.Errorf("%s: got %s, want %q", suffix, got, want)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	r := load(t, wide).Rules()
	if len(r) != 2 || r[1].Name != "joined" || r[1].ID != "spiffe://acme.example/joined/{{ node.key }}" || r[1].Line != 34 || r[1].TTL != time.Minute ||
		!slices.Equal(r[1].Clauses, []string{`node.name is "join"`, `node.bound is at least "any"`}) {
		t.Errorf("%+v", r)
	}
}

func TestParseFacts(t *testing.T) {
	t.Parallel()
	text := string(readTestdata(t, "shop-v142.json"))
	f := shopFacts(t)
	again, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if g, err := policy.ParseFacts(again); err != nil || !reflect.DeepEqual(f, g) {
		t.Errorf("round trip: %+v, %v", g, err)
	}
	for rule, c := range map[string][2]string{
		"unknown name":     {`"kind": "tpm"`, `"kind": "tpm", "x": 1`},
		"duplicate name":   {`"kind": "tpm"`, `"kind": "tpm", "kind": "tpm"`},
		"other case":       {`"kind": "tpm"`, `"Kind": "tpm"`},
		"wrong type":       {`"log_index": 123456789`, `"log_index": "1"`},
		"no time":          {`"now": "2026-08-01T10:00:00Z",`, ``},
		"no issuer":        {`"issuer": "cluster",`, ``},
		"unknown floor":    {`"hardware"`, `"x"`},
		"trailing content": {"\n}\n", "\n} {}"},
	} {
		if strings.Count(text, c[0]) != 1 {
			t.Fatalf("%s: %q", rule, c[0])
		}
		if _, err := policy.ParseFacts([]byte(strings.Replace(text, c[0], c[1], 1))); err == nil {
			t.Errorf("%s: parsed", rule)
		}
	}
}
