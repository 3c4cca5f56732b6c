package policy_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate/policy"
	"plastron/gate/strictyaml"
)

func testEnv() policy.Env {
	return policy.Env{
		TrustDomain: spiffeid.RequireTrustDomainFromString("acme.example"),
		Issuers: map[string]policy.IssuerInfo{
			"cluster": {URL: "https://kubernetes.default.svc"},
			"github":  {URL: "https://token.actions.githubusercontent.com", Shared: true},
			"acme-gh": {URL: "https://token.actions.githubusercontent.com/acme"}, // known to be shared, though nobody said so
			"gitlab":  {URL: "https://gitlab.com"},
			"google":  {URL: "https://accounts.google.com"},
			"shared":  {URL: "https://ci.example", Shared: true},
		},
		Roots: map[string]bool{"public-good": true, "private": true},
		Nodes: map[string]bool{"fleet": true, "join": true, "aws": true},
		FS:    os.DirFS("."),
	}
}

func load(t testing.TB, text string) *policy.Policy {
	t.Helper()
	p, err := policy.Load("policy.yaml", []byte(text), testEnv())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLoadDesignExample(t *testing.T) {
	t.Parallel()
	p := load(t, string(readTestdata(t, "design.yaml")))
	if w := p.Warnings(); len(w) != 0 {
		t.Errorf("warnings: %q", w)
	}
}

// Examples load as they are, whatever the gate has sources of.
func TestLoadExample(t *testing.T) {
	t.Parallel()
	env := testEnv()
	env.Issuers[`my "own" issuer`], env.Roots["007"], env.Nodes["true"] = policy.IssuerInfo{}, true, true
	for _, e := range []policy.Example{
		{Issuer: "github", Shared: true, Root: "public-good", TPM: "fleet", Join: "join"},
		{Issuer: "github", Shared: true},
		{Issuer: "cluster", Join: "join"},
		{Issuer: "cluster", Root: "private"},
		{TPM: "fleet", Root: "public-good"},
		{Join: "join"},
		{Issuer: `my "own" issuer`, Root: "007", Join: "true"},
	} {
		e.TrustDomain = "acme.example"
		p, err := policy.Load("policy.yaml", e.Text(), env)
		if err != nil {
			t.Errorf("%+v: %v\n%s", e, err, e.Text())
		} else if w := p.Warnings(); len(w) > 0 {
			t.Errorf("%+v: warnings %q", e, w)
		}
	}
	if _, err := policy.Load("policy.yaml", policy.Example{TrustDomain: "acme.example"}.Text(), env); err == nil {
		t.Error("an example of nothing loads")
	}
}

// spoil is a policy that loads. Each row of TestRefusedToLoad replaces one line
// of it.
const spoil = `rules:
- name: shop-api
  id: spiffe://acme.example/shop/{{ build.repository_name }}
  ttl: 1h
  renew_for: 24h
  token: {issuer: cluster, namespace: shop}
  build: {root: public-good, source: github.com/acme/shop}
  node: {any: [fleet]}
  artifact: [measured]
  when: build.ref.startsWith("refs/tags/v")
- name: other
  id: spiffe://acme.example/other
  ttl: 1h
  node: {any: [join]}
refuse:
- name: no-target
  when: has(build.event) && build.event == "pull_request_target"
tests:
- name: a release
  evidence: testdata/shop-v142.json
  want: {allow: shop-api}
`

func TestSpoilLoads(t *testing.T) {
	t.Parallel()
	load(t, spoil)
}

func TestRefusedToLoad(t *testing.T) {
	t.Parallel()
	const (
		id, ttl, renew = "  id: spiffe://acme.example/shop/{{ build.repository_name }}\n", "  ttl: 1h\n  renew_for: 24h\n", "  renew_for: 24h\n"
		token          = "  token: {issuer: cluster, namespace: shop}\n"
		build          = "  build: {root: public-good, source: github.com/acme/shop}\n"
		node           = "  node: {any: [fleet]}\n"
		artifact       = "  artifact: [measured]\n"
		when           = `  when: build.ref.startsWith("refs/tags/v")` + "\n"
		refuse         = "- name: no-target\n"
		refuseWhen     = `  when: has(build.event) && build.event == "pull_request_target"` + "\n"
		evidence, want = "  evidence: testdata/shop-v142.json\n", "  want: {allow: shop-api}\n"
	)
	for _, c := range []struct{ rule, old, new, want string }{
		// Strict YAML, through this front door too.
		{"unknown field of a rule", token, "  tokn: {issuer: cluster}\n", `6:3: unknown field "tokn", did you mean "token"?`},
		{"unknown field of a clause", token, "  token: {issuer: cluster, namspace: shop}\n", `6:28: unknown field "namspace", did you mean "namespace"?`},
		{"unknown top-level field", "refuse:\n", "deny:\n", `15:1: unknown field "deny"`},
		{"number for a string", build, "  build: {root: public-good, repository_id: 512345}\n", `7:45: the number 512345, want a string: quote it`},
		{"empty clause", token, "  token:\n", `6:3: "token" has no value`},
		{"anchors", token, "  token: &x {issuer: cluster}\n", `6:10: anchors`},

		// Rules.
		{"no name", "- name: other\n  id", "- id", `11:3: a rule without name`},
		{"name grammar", "- name: other\n", "- name: Other Rule\n", `11:9: the name "Other Rule"`},
		{"duplicate name", "- name: other\n", "- name: shop-api\n", `11:9: the name "shop-api" is taken on line 2`},
		{"refuse entry named as a rule", refuse, "- name: other\n", `16:9: the name "other" is taken on line 11`},
		{"the gate's own rule name", "- name: other\n", "- name: self\n", `11:9: the name "self" is the gate's own`},
		{"a code as name", "- name: other\n", "- name: policy_refused\n", `11:9: the name "policy_refused" is the gate's own`},
		{"no conditions", "  node: {any: [join]}\n", "", `11:3: rule other has neither a token nor a node clause`},
		{"neither token nor node", "  node: {any: [join]}\n", build, `11:3: rule other has neither a token nor a node clause`},
		{"when alone", "  node: {any: [join]}\n", "  when: 'true'\n", `11:3: rule other has neither a token nor a node clause`},
		{"no ttl", ttl, "", `2:3: rule shop-api has no ttl`},
		{"ttl too short", ttl, "  ttl: 59s\n", `4:8: a ttl of 59s, want 1m to 24h`},
		{"ttl too long", ttl, "  ttl: 24h1s\n", `4:8: a ttl of 24h0m1s, want 1m to 24h`},
		{"ttl negative", ttl, "  ttl: -1h\n", `4:8: a ttl of -1h0m0s`},
		{"ttl with fractions", ttl, "  ttl: 1m0.5s\n", `4:8: a ttl of 1m0.5s`},
		{"renew_for below ttl", renew, "  renew_for: 30m\n", `5:14: renew_for of 30m0s`},
		{"renew_for for ever", renew, "  renew_for: 8760h\n", `5:14: renew_for of 8760h0m0s`},
		{"renew_for of zero", renew, "  renew_for: 0s\n", `5:14: renew_for of 0s`},
		{"renew_for without token", token, "", `5:14: renew_for without a token clause`},

		// IDs.
		{"no id", id, "", `2:3: rule shop-api has no id`},
		{"foreign trust domain", id, "  id: spiffe://evil.example/x\n", `3:7: id: an id begins with spiffe://acme.example/`},
		{"trust domain as prefix", id, "  id: spiffe://acme.example.evil/x\n", `3:7: id: an id begins with spiffe://acme.example/`},
		{"trust domain from a fact", id, "  id: spiffe://{{ token.subject }}/x\n", `3:7: id: an id begins with spiffe://acme.example/`},
		{"scheme in capitals", id, "  id: SPIFFE://acme.example/x\n", `3:7: id: an id begins with spiffe://acme.example/`},
		{"root path", id, "  id: spiffe://acme.example/\n", `3:7: id: an empty path segment`},
		{"no path", id, "  id: spiffe://acme.example\n", `3:7: id: an id begins with`},
		{"trailing slash", id, "  id: spiffe://acme.example/a/\n", `3:7: id: an empty path segment`},
		{"empty segment", id, "  id: spiffe://acme.example/a//b\n", `3:7: id: an empty path segment`},
		{"dot segment", id, "  id: spiffe://acme.example/a/../b\n", `3:7: id: the path segment ".."`},
		{"percent", id, "  id: spiffe://acme.example/a%2Fb\n", `3:7: id: "a%2Fb" is not one path segment`},
		{"not ASCII", id, "  id: spiffe://acme.example/é\n", `3:7: id: "é" is not one path segment`},
		{"query", id, "  id: spiffe://acme.example/a?b\n", `3:7: id: "a?b" is not one path segment`},
		{"reserved path", id, "  id: spiffe://acme.example/plastron/gate\n", `3:7: id: ids under /plastron/ are the gate's own`},
		{"too long", id, "  id: spiffe://acme.example/" + strings.Repeat("a/", 1100) + "a\n", `3:7: id: an id of more than 2048 bytes`},
		{"unknown fact", id, "  id: spiffe://acme.example/{{ build.repo_name }}\n", `3:7: id: unknown fact "repo_name" of build`},
		{"mistyped fact", id, "  id: spiffe://acme.example/{{ build.repositry_name }}\n", `3:7: id: unknown fact "repositry_name" of build, did you mean "repository_name"?`},
		{"unknown noun", id, "  id: spiffe://acme.example/{{ biuld.ref }}\n", `3:7: id: unknown fact "biuld", did you mean "build"?`},
		{"no fact", id, "  id: spiffe://acme.example/{{ . }}\n", `3:7: id: unknown fact`},
		{"nothing in it", id, "  id: spiffe://acme.example/{{}}\n", `3:7: id: unknown fact`},
		{"not a string", id, "  id: spiffe://acme.example/{{ build.age }}\n", `3:7: id: build.age is not a string`},
		{"part of a segment", id, "  id: spiffe://acme.example/x-{{ build.repository_name }}\n", `a placeholder fills a whole path segment`},
		{"two in a segment", id, "  id: spiffe://acme.example/{{ build.commit }}{{ build.commit }}\n", `a placeholder fills a whole path segment`},
		{"unclosed", id, "  id: spiffe://acme.example/{{ build.commit\n", `a placeholder fills a whole path segment`},
		{"fact of an absent clause", "  id: spiffe://acme.example/other\n", "  id: spiffe://acme.example/{{ build.commit }}\n", `12:7: id reads build, but rule other has no build clause`},
		{"fact of an absent token clause", "  id: spiffe://acme.example/other\n", "  id: spiffe://acme.example/{{ token.claims.x }}\n", `12:7: id reads token, but rule other has no token clause`},
		{"now", id, "  id: spiffe://acme.example/{{ now }}\n", `3:7: id: unknown fact "now"`},

		// Token.
		{"token without issuer", token, "  token: {namespace: shop}\n", `6:10: a token clause without issuer`},
		{"empty token clause", token, "  token: {}\n", `6:10: a token clause without issuer`},
		{"unknown issuer", token, "  token: {issuer: clustr}\n", `6:19: unknown issuer "clustr", did you mean "cluster"?`},
		{"shared without id", token, "  token: {issuer: shared, repository: acme/shop}\n", `names are given to others later: name a repository_id or owner_id`},
		{"shared with subject", token, "  token: {issuer: shared, subject: \"repo:acme/shop:ref:refs/heads/main\"}\n", `signs tokens for strangers too`},
		{"GitHub without id", token, "  token: {issuer: github, repository: acme/shop, ref: refs/heads/main}\n", `signs tokens for strangers too`},
		{"GitHub, not marked shared", token, "  token: {issuer: acme-gh, repository: acme/shop}\n", `signs tokens for strangers too`},
		{"GitLab.com without id", token, "  token: {issuer: gitlab, claims: {project_path: acme/shop}}\n", `signs tokens for strangers too`},
		{"Google without subject", token, "  token: {issuer: google, claims: {hd: acme.example}}\n", `name the subject (sub), whole`},
		{"Google with a pattern of subjects", token, "  token: {issuer: google, subject: \"10*\"}\n", `name the subject (sub), whole`},
		{"immutable claim with stars", token, "  token: {issuer: gitlab, claims: {project_id: \"1*\"}}\n", `signs tokens for strangers too`},
		{"id with stars", token, "  token: {issuer: github, repository_id: \"5*\"}\n", `6:42: token.repository_id is "5*": want the whole value`},
		{"issuer with stars", token, "  token: {issuer: \"c*\"}\n", `6:19: unknown issuer "c*"`},
		{"empty value", token, "  token: {issuer: cluster, namespace: \"\"}\n", `6:39: an empty string is no condition`},
		{"empty list", token, "  token: {issuer: cluster, namespace: []}\n", `6:10: an empty list in the token clause`},
		{"stars alone", token, "  token: {issuer: cluster, namespace: \"**\"}\n", `6:39: a pattern of stars alone`},
		{"three stars", token, "  token: {issuer: cluster, namespace: \"a***\"}\n", `6:39: *** means nothing`},
		{"many stars", token, "  token: {issuer: cluster, namespace: \"a*b*c*d*e*f*g*h*i*\"}\n", `6:39: a pattern of more than 512 bytes or 8 stars`},
		{"empty claim", token, "  token: {issuer: cluster, claims: {a: \"\"}}\n", `6:40: an empty string is no condition`},
		{"bound: false", token, "  token: {issuer: cluster, bound: false}\n", `6:35: bound: false asks for less`},

		// Build and artifact.
		{"build without root", build, "  build: {source: github.com/acme/shop}\n", `7:10: a build clause without root`},
		{"unknown root", build, "  build: {root: public-god, source: x}\n", `7:17: unknown root "public-god", did you mean "public-good"?`},
		{"anybody's build", build, "  build: {root: public-good, ref: refs/heads/main, builder: x}\n", `7:10: rule shop-api takes anybody's build`},
		{"age of zero", build, "  build: {root: public-good, source: x, min_age: 0s}\n", `7:50: an age of 0s`},
		{"artifact without build", "  node: {any: [join]}\n", "  node: {any: [join]}\n" + artifact, `15:14: artifact without a build clause`},
		{"empty artifact list without build", "  node: {any: [join]}\n", "  node: {any: [join]}\n  artifact: []\n", `11:3: rule other has an empty artifact list`},
		{"claimed without build", "  node: {any: [join]}\n", "  node: {any: [join]}\n  insecure_claimed_artifact: true\n", `15:30: insecure_claimed_artifact without a build clause`},
		{"unknown tie", artifact, "  artifact: [mesured]\n", `9:14: artifact is "mesured", want measured, token or claimed, did you mean "measured"?`},
		{"no tie", artifact, "  artifact: []\n", `2:3: rule shop-api has an empty artifact list`},
		{"claimed, unsaid", artifact, "  artifact: [measured, claimed]\n", `say insecure_claimed_artifact: true if that is meant`},
		{"claimed, denied", artifact, "  artifact: [claimed]\n  insecure_claimed_artifact: false\n", `say insecure_claimed_artifact: true if that is meant`},
		{"insecure for nothing", artifact, artifact + "  insecure_claimed_artifact: true\n", `10:30: insecure_claimed_artifact, but artifact does not list claimed`},

		// Node.
		{"node without any", node, "  node: {bound: key}\n", `8:9: a node clause without any`},
		{"node with nobody", node, "  node: {any: []}\n", `8:9: a node clause without any`},
		{"unknown node source", node, "  node: {any: [fleet, flet]}\n", `8:23: unknown node source "flet", did you mean "fleet"?`},
		{"unknown binding", node, "  node: {any: [fleet], bound: none}\n", `8:31: bound is "none", want key, audience or any`},
		{"unknown floor", node, "  node: {any: [fleet], floor: silicon}\n", `8:31: floor is "silicon"`},
		{"pcr out of range", node, "  node: {any: [fleet], pcr: {24: " + strings.Repeat("ab", 32) + "}}\n", `8:34: pcr 24 is`},
		{"pcr of SHA-1", node, "  node: {any: [fleet], pcr: {7: " + strings.Repeat("ab", 20) + "}}\n", `8:33: pcr 7 is`},
		{"pcr in capitals", node, "  node: {any: [fleet], pcr: {7: " + strings.Repeat("AB", 32) + "}}\n", `8:33: pcr 7 is`},
		{"pcr by pattern", node, "  node: {any: [fleet], pcr: {7: \"ab*\"}}\n", `8:33: pcr 7 is`},

		// Expressions.
		{"syntax", when, "  when: build.ref ==\n", `10:21: Syntax error`},
		{"empty", when, "  when: \"\"\n", `10:`},
		{"not a bool", when, "  when: build.ref\n", `10:9: an expression of type string, want bool`},
		{"mistyped fact in CEL", when, "  when: build.reff == \"x\"\n", `10:14: unknown fact "reff" of build, did you mean "ref"?`},
		{"mistyped noun in CEL", when, "  when: biuld.ref == \"x\"\n", `10:9: undeclared reference to 'biuld'`},
		{"on the third line", when, "  when: |\n    build.ref != \"\" &&\n      build.reff == \"x\"\n", `12:12: unknown fact "reff" of build`},
		{"wrong type", when, "  when: build.log_index == \"7\"\n", `10:25: found no matching overload`},
		{"unknown function", when, "  when: build.ref.beginsWith(\"x\")\n", `undeclared reference to 'beginsWith'`},
		{"matches", when, "  when: build.ref.matches(\"^refs/tags/\")\n", `matches() finds its pattern anywhere`},
		{"matches inside", when, "  when: '[1].exists(i, i > 0 && build.ref.matches(\"x\"))'\n", `matches() finds its pattern anywhere`},
		{"matches as a function", when, "  when: matches(build.ref, \"x\")\n", `matches() finds its pattern anywhere`},
		{"like with a fact", when, "  when: build.ref.like(token.claims[\"x\"])\n", `like() takes its pattern from the policy`},
		{"like with stars alone", when, "  when: build.ref.like(\"*\")\n", `10:24: a pattern of stars alone`},
		{"a noun as value", when, "  when: dyn(build).ref == \"x\"\n", `10:13: build is not a value`},
		{"nouns compared", when, "  when: build == build\n", `build is not a value`},
		{"a clock", when, "  when: now() > build.signed_at\n", `undeclared reference to 'now'`},
		{"too dear", when, "  when: token.claims.all(a, token.claims.all(b, token.claims.all(c, a + b != c)))\n", `10:9: an expression that may cost`},
		{"too long an expression", when, "  when: |\n" + strings.Repeat("    build.ref != \"x\" &&\n", 300) + "    true\n", `10:`},
		{"deep expression", when, "  when: " + strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300) + "\n", `10:`},
		{"when reads an absent clause", "  node: {any: [join]}\n", "  node: {any: [join]}\n  when: build.ref == \"x\"\n", `15:9: when reads build, but rule other has no build clause`},
		{"has() of an absent clause", "  node: {any: [join]}\n", "  node: {any: [join]}\n  when: '!has(token.ref)'\n", `15:9: when reads token, but rule other has no token clause`},
		{"refuse without when", refuseWhen, "", `16:3: refuse entry no-target has no when`},
		{"refuse without name", refuse + refuseWhen, "- when: 'true'\n", `16:3: a refuse entry without name`},
		{"refuse with bad CEL", refuseWhen, "  when: build.event = 1\n", `17:`},

		// Tests.
		{"failing test: wants a refusal", want, "  want: {refuse: policy_no_match}\n", `19:3: test "a release": want a refusal (policy_no_match), got spiffe://acme.example/shop/shop by rule shop-api`},
		{"failing test: wants another rule", want, "  want: {allow: other}\n", `19:3: test "a release": want rule other, got rule shop-api`},
		{"failing test: wants another id", want, "  want: {allow: shop-api, id: \"spiffe://acme.example/shop/toys\"}\n", `19:3: test "a release": want spiffe://acme.example/shop/toys, got spiffe://acme.example/shop/shop`},
		{"failing test: wants a grant", when, "  when: build.ref == \"refs/heads/main\"\n", `test "a release": want rule shop-api, got policy_no_match (shop-api): build.ref == "refs/heads/main" is false, rule shop-api wants true`},
		{"test of an unknown rule", want, "  want: {allow: shop-apu}\n", `21:17: no rule or code "shop-apu", did you mean "shop-api"?`},
		{"test of an unknown code", want, "  want: {refuse: policy_no_mtch}\n", `21:18: no rule or code "policy_no_mtch", did you mean "policy_no_match"?`},
		{"test wants nothing", want, "", `19:3: test "a release": want is`},
		{"test wants both", want, "  want: {allow: shop-api, refuse: other}\n", `19:3: test "a release": want is`},
		{"test wants an id of a refusal", want, "  want: {refuse: other, id: x}\n", `21:29: test "a release": an id where a refusal is wanted`},
		{"test without evidence", evidence, "", `19:3: test "a release": either facts or an evidence file`},
		{"missing evidence", evidence, "  evidence: testdata/none.json\n", `20:13: evidence: open testdata/none.json`},
		{"evidence outside", evidence, "  evidence: ../policy/testdata/shop-v142.json\n", `20:13: evidence: "../policy/testdata/shop-v142.json": want a path below`},
		{"absolute evidence", evidence, "  evidence: /etc/passwd\n", `20:13: evidence: "/etc/passwd": want a path below`},
		{"evidence is not JSON", evidence, "  evidence: testdata/design.yaml\n", `20:13: testdata/design.yaml: parse facts`},
		{"inline facts with an unknown name", evidence, "  facts: {now: 2026-08-01T10:00:00Z, tken: {issuer: a}}\n", `20:38: unknown field "tken", did you mean "token"?`},
		{"inline facts without a time", evidence, "  facts: {token: {issuer: cluster, subject: a}}\n", `20:10: facts: no time of decision`},
		{"test without name", "- name: a release\n  evidence", "- evidence", `19:3: a test without name`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			if strings.Count(spoil, c.old) != 1 {
				t.Fatalf("%q is %d times in the policy", c.old, strings.Count(spoil, c.old))
			}
			_, err := policy.Load("policy.yaml", []byte(strings.Replace(spoil, c.old, c.new, 1)), testEnv())
			var e *strictyaml.Error
			switch {
			case err == nil:
				t.Fatal("loaded")
			case !errors.As(err, &e):
				t.Errorf("error of type %T", err)
			case !strings.Contains(err.Error(), c.want) || '0' <= c.want[0] && c.want[0] <= '9' && !strings.HasPrefix(err.Error(), "policy.yaml:"+c.want):
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
		})
	}
}

// P11: an empty, missing or oversized policy refuses all, by not loading.
func TestEmptyPolicy(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing": "", "comments": "# nothing\n", "no rules": "rules: []\n", "only refusals": "refuse:\n- {name: a, when: 'true'}\n",
		"null": "rules:\n", "too long": strings.Repeat("#", 300<<10), "too many rules": "rules:\n" + strings.Repeat("- {}\n", 1001),
	} {
		if p, err := policy.Load("policy.yaml", []byte(text), testEnv()); err == nil || p != nil {
			t.Errorf("%s: loaded", name)
		}
	}
	if _, err := policy.Load("policy.yaml", []byte(spoil), policy.Env{}); err == nil {
		t.Error("loaded for a gate without trust domain")
	}
}

// Shared issuers may be named by whatever they never give to another.
func TestSharedIssuers(t *testing.T) {
	t.Parallel()
	for _, token := range []string{
		`{issuer: github, repository_id: "1"}`, `{issuer: github, owner_id: ["1", "2"]}`, `{issuer: acme-gh, repository_id: "1"}`,
		`{issuer: gitlab, claims: {project_id: "1"}}`, `{issuer: gitlab, claims: {namespace_id: "1"}}`,
		`{issuer: google, subject: "106923426984301284375"}`, `{issuer: shared, repository_id: "1"}`,
		`{issuer: cluster}`,
	} {
		load(t, "rules:\n- name: a\n  id: spiffe://acme.example/a\n  ttl: 1h\n  token: "+token+"\n")
	}
}

// Test evidence is bounded.
func TestHugeEvidence(t *testing.T) {
	t.Parallel()
	env := testEnv()
	env.FS = fstest.MapFS{"testdata/shop-v142.json": {Data: make([]byte, 300<<10)}}
	if _, err := policy.Load("policy.yaml", []byte(spoil), env); err == nil || !strings.Contains(err.Error(), "more than 262144 bytes") {
		t.Errorf("got %v", err)
	}
	env.FS = nil
	if _, err := policy.Load("policy.yaml", []byte(spoil), env); err == nil || !strings.Contains(err.Error(), "no folder") {
		t.Errorf("got %v", err)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	p := load(t, `rules:
- {name: any, id: "spiffe://acme.example/shop/{{ token.namespace }}", ttl: 1h, token: {issuer: cluster}}
- {name: admin, id: spiffe://acme.example/shop/admin, ttl: 1h, node: {any: [join]}}
refuse:
- {name: bad-node, when: node.id == "tpm:bad"}
`)
	w := strings.Join(p.Warnings(), "\n")
	for _, want := range []string{"refuse entry bad-node reads node, which requests for rule any need not have", "rules any and admin can give the same id"} {
		if !strings.Contains(w, want) {
			t.Errorf("no warning %q in\n%s", want, w)
		}
	}
}
