package policy_test

import (
	"encoding/json/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plastron/gate/policy"
)

func FuzzLoad(f *testing.F) {
	for _, s := range []string{spoil, wide, string(readTestdata(f, "design.yaml")), string(policy.Example{TrustDomain: "acme.example", Issuer: "cluster", Join: "join"}.Text())} {
		f.Add([]byte(s))
	}
	for _, when := range []string{`build.ref.like("a*")`, `[1].exists(i, i > 0)`, `has(node.id) && "a" in token.claims`, `token.claims["a"] == "b" ? true : false`} {
		f.Add([]byte("rules:\n- {name: a, id: spiffe://acme.example/a, ttl: 1h, token: {issuer: cluster}, when: '" + when + "'}\n"))
	}
	facts := shopFacts(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := policy.Load("policy.yaml", text, testEnv())
		if err != nil {
			if p != nil || !strings.HasPrefix(err.Error(), "policy.yaml:") {
				t.Errorf("%v, %v", p, err)
			}
			return
		}
		if yes, _ := p.Decide(&policy.Facts{}); yes != nil {
			t.Error("zero facts are granted")
		}
		decide(t, p, facts)
	})
}

// decide decides twice and checks what must hold of any decision.
func decide(t interface {
	Errorf(string, ...any)
	Fatalf(string, ...any)
}, p *policy.Policy, f *policy.Facts,
) *policy.Grant {
	yes, no := p.Decide(f)
	again, nope := p.Decide(f)
	if !reflect.DeepEqual(yes, again) || !reflect.DeepEqual(no, nope) {
		t.Fatalf("decided twice, differently: %+v %+v, %+v %+v", yes, no, again, nope)
	}
	if (yes == nil) == (no == nil) {
		t.Fatalf("neither yes nor no, or both: %+v, %+v", yes, no)
	}
	if no != nil {
		if no.Code != policy.NoMatch && no.Code != policy.Refused || len(no.Fact) > 2000 {
			t.Errorf("a strange refusal: %+v", no)
		}
		return nil
	}
	if p.TokenMatches(f.Token) != nil {
		t.Errorf("granted %s to a token that no rule wants", yes.ID)
	}
	id := yes.ID.String()
	if !strings.HasPrefix(id, "spiffe://acme.example/") || strings.HasPrefix(id, "spiffe://acme.example/plastron/") || id == "spiffe://acme.example/plastron" || len(id) > 2048 {
		t.Errorf("granted %q", id)
	}
	if yes.TTL < time.Minute || yes.TTL > 24*time.Hour || len(yes.Clauses) == 0 {
		t.Errorf("granted %+v", yes)
	}
	return yes
}

func FuzzDecide(f *testing.F) {
	p := load(f, wide)
	f.Add(readTestdata(f, "shop-v142.json"))
	f.Add([]byte(`{"now":"2026-08-01T10:00:00Z","node":{"name":"join","kind":"join-token","id":"join-token:9f02","floor":"human","bound":"none"}}`))
	f.Add([]byte(`{"now":"2026-08-01T10:00:00Z","node":{"name":"join","kind":"join-token","id":"x:../a","floor":"human","bound":"none"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var facts policy.Facts
		if err := json.Unmarshal(text, &facts); err != nil {
			return
		}
		decide(t, p, &facts)
		if parsed, err := policy.ParseFacts(text); err == nil {
			decide(t, p, parsed)
		}
	})
}

// Whatever becomes of a request that is granted, one of its facts or several:
// decisions stay decisions, and a token that no rule wants is never granted.
func TestDecideProperties(t *testing.T) {
	t.Parallel()
	p := load(t, wide)
	values := []string{"", "shop", "api", "worker-7", "x", "../x", "plastron", "refs/tags/v2", "refs/heads/main", "github.com/acme/toys", "github.com/mallory/shop", "pull_request_target", "512345", "tpm:1"}
	granted, grants := readTestdata(t, "shop-v142.json"), 0
	rapid.Check(t, func(t *rapid.T) {
		f, err := policy.ParseFacts(granted)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			v := rapid.SampledFrom(values).Draw(t, "value")
			switch rapid.IntRange(0, 11).Draw(t, "what") {
			case 0:
				f.Token = nil
			case 1:
				f.Build, f.Artifact = nil, nil
			case 2:
				f.Node = nil
			case 3:
				f.Artifact = nil
			case 4:
				set(f.Token, func(k *policy.Token) { k.Claims["kubernetes.io.namespace"] = v })
			case 5:
				set(f.Token, func(k *policy.Token) { k.Claims["kubernetes.io.serviceaccount.name"] = v })
			case 6:
				set(f.Token, func(k *policy.Token) { k.Issuer = v })
			case 7:
				set(f.Build, func(b *policy.Build) { b.Ref = v })
			case 8:
				set(f.Build, func(b *policy.Build) { b.Source = v })
			case 9:
				set(f.Build, func(b *policy.Build) { b.Event = v })
			case 10:
				set(f.Node, func(n *policy.Node) { n.ID, n.Name, n.Bound = v, "join", "none" })
			case 11:
				f.Now = f.Now.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), 1000*int64(time.Hour)).Draw(t, "later")))
			}
		}
		if decide(t, p, f) != nil {
			grants++
		}
	})
	if grants == 0 {
		t.Error("nothing was ever granted: the property says nothing")
	}
}

func set[T any](p *T, f func(*T)) {
	if p != nil {
		f(p)
	}
}
