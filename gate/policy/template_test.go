package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

var acme = spiffeid.RequireTrustDomainFromString("acme.example")

func factsOf(source, account, node string) *Facts {
	return &Facts{
		Now:   time.Unix(1, 0),
		Token: &Token{Issuer: "cluster", Subject: "x", Claims: map[string]string{"kubernetes.io.serviceaccount.name": account, "x/y z": account}},
		Build: &Build{Root: "r", Source: source},
		Node:  &Node{Name: "n", Kind: "tpm", ID: node, Floor: "human", Bound: "key", Facts: map[string]string{"a.b": node}},
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	f := factsOf("github.com/acme/shop", "api", "tpm:7c1e")
	for text, want := range map[string]string{
		"spiffe://acme.example/a/b_c.D-9/...":                                                "spiffe://acme.example/a/b_c.D-9/...",
		"spiffe://acme.example/{{build.repository_name}}/{{ token.service_account }}/x":      "spiffe://acme.example/shop/api/x",
		"spiffe://acme.example/{{   node.key   }}":                                           "spiffe://acme.example/7c1e",
		"spiffe://acme.example/{{ token.claims.kubernetes.io.serviceaccount.name }}":         "spiffe://acme.example/api",
		"spiffe://acme.example/n/{{ token.claims.x/y z }}/{{ node.floor }}/{{ build.root }}": "spiffe://acme.example/n/api/human/r",
		"spiffe://acme.example/x/plastron":                                                   "spiffe://acme.example/x/plastron",
		"spiffe://acme.example/plastron2":                                                    "spiffe://acme.example/plastron2",
		"spiffe://acme.example/{{ node.facts.a.b }}":                                         "",
		"spiffe://acme.example/{{ node.id }}":                                                "", // a colon
		"spiffe://acme.example/{{ build.commit }}":                                           "", // absent
		"spiffe://acme.example/{{ token.claims.none }}":                                      "",
		"spiffe://acme.example/{{ artifact.digest }}":                                        "",
	} {
		tpl, err := parseTemplate(text, acme)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if id, err := tpl.expand(f); id.String() != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v", text, id, err)
		}
	}
	tpl, err := parseTemplate("spiffe://acme.example/{{ token.service_account }}/gate", acme)
	if err != nil {
		t.Fatal(err)
	}
	for account, ok := range map[string]bool{"plastron": false, "Plastron": true, "plastron.": true, ".": false, "..": false, "": false, "a/b": false} {
		if _, err := tpl.expand(factsOf("", account, "")); (err == nil) != ok {
			t.Errorf("%q: %v", account, err)
		}
	}
	if _, err := tpl.expand(&Facts{Now: time.Unix(1, 0)}); err == nil {
		t.Error("expands without a token")
	}
}

func FuzzTemplate(f *testing.F) {
	for _, id := range []string{
		"spiffe://acme.example/shop/{{ build.repository_name }}", "spiffe://acme.example/{{ token.service_account }}/x/{{ node.key }}",
		"spiffe://acme.example/{{ token.claims.x/y z }}", "spiffe://acme.example/{{{{}}", "spiffe://acme.example/{{ node.id }}/../x", "spiffe://acme.example/{{ a }}b",
	} {
		for _, v := range []string{"x/../../admin", "a%2Fb", "{{.}}", "é", "plastron", "..", "", "a\x00b", "shop", strings.Repeat("a", 3000)} {
			f.Add(id, v, v, v)
		}
	}
	f.Fuzz(func(t *testing.T, text, source, account, node string) {
		tpl, err := parseTemplate(text, acme)
		if err != nil {
			return
		}
		id, err := tpl.expand(factsOf(source, account, node))
		if err != nil {
			if !id.IsZero() {
				t.Error("an id beside an error")
			}
			return
		}
		s := id.String()
		again, err := spiffeid.FromString(s)
		if err != nil || again != id || id.TrustDomain() != acme || len(s) > maxID {
			t.Errorf("%q is no SPIFFE ID of ours: %v", s, err)
		}
		got := strings.Split(strings.TrimPrefix(s, "spiffe://acme.example/"), "/")
		if len(got) != len(tpl.segments) || got[0] == reserved {
			t.Fatalf("%q has left its segments (%q)", s, text)
		}
		for i, seg := range tpl.segments {
			if seg.hole == nil && got[i] != seg.literal {
				t.Errorf("%q has lost its literal %q", s, seg.literal)
			}
		}
	})
}

// slowMatch is the obvious twin of glob.match.
func slowMatch(pattern, s string) bool {
	switch {
	case strings.HasPrefix(pattern, "**"):
		for i := range len(s) + 1 {
			if slowMatch(pattern[2:], s[i:]) {
				return true
			}
		}
		return false
	case strings.HasPrefix(pattern, "*"):
		for i := range len(s) + 1 {
			if slowMatch(pattern[1:], s[i:]) {
				return true
			}
			if i < len(s) && s[i] == '/' {
				return false
			}
		}
		return false
	case pattern == "" || s == "":
		return pattern == s
	}
	return pattern[0] == s[0] && slowMatch(pattern[1:], s[1:])
}

// Every pattern and string of up to five characters, against the twin.
func TestGlobTwin(t *testing.T) {
	t.Parallel()
	for _, pattern := range upTo(5, "a/*") {
		g, err := parseGlob(pattern)
		if err != nil {
			continue
		}
		for _, s := range upTo(5, "a/\n") {
			if got, want := g.match(s), slowMatch(pattern, s); got != want {
				t.Fatalf("%q like %q: got %v, want %v", s, pattern, got, want)
			}
		}
	}
}

// upTo returns the strings of up to n characters of an alphabet.
func upTo(n int, alphabet string) []string {
	all := []string{""}
	for start := 0; n > 0; n-- {
		end := len(all)
		for _, s := range all[start:end] {
			for _, c := range alphabet {
				all = append(all, s+string(c))
			}
		}
		start = end
	}
	return all
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"refs/tags/v*", "refs/tags/v1.4.2", true},
		{"refs/tags/v*", "refs/tags/v", true},
		{"refs/tags/v*", "refs/tags/v1/x", false},
		{"refs/tags/v*", "refs/heads/refs/tags/v1", false},
		{"refs/tags/**", "refs/tags/v1/x", true},
		{"**/release.yml", "a/b/release.yml", true},
		{"**/release.yml", "release.yml", false},
		{"a*", "a\n", true},
		{"a.c", "abc", false},
		{"[ab]*", "a", false},
		{"[ab]*", "[ab]c", true},
		{"a?", "ab", false},
		{"é*", "éa", true},
		{"ab*ba", "aba", false}, // a character is not matched twice
		{"a**a", "a", false},
		{"v1.*", "v1x2", false},
	} {
		g, err := parseGlob(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.match(c.s); got != c.want {
			t.Errorf("%q like %q: %v", c.s, c.pattern, got)
		}
	}
}
