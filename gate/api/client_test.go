package api_test

import (
	"testing"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate/api"
)

// What needs a gate is tested beside the server.

func TestNewClientRefuses(t *testing.T) {
	t.Parallel()
	pinned := api.Trust{Bundle: x509bundle.New(spiffeid.RequireTrustDomainFromString("acme.example"))}
	rows := []struct {
		name, url string
		trust     api.Trust
		ok        bool
	}{
		{"host and port", "https://gate.acme.example:8443", pinned, true},
		{"slash at the end", "https://gate.acme.example/", pinned, true},
		{"nothing pinned", "https://gate.acme.example", api.Trust{}, false},
		{"plain HTTP", "http://gate.acme.example", pinned, false},
		{"plain HTTP on loopback", "http://127.0.0.1:8443", pinned, false},
		{"no scheme", "gate.acme.example:8443", pinned, false},
		{"no host", "https://", pinned, false},
		{"password", "https://a:b@gate.acme.example", pinned, false},
		{"query", "https://gate.acme.example?a=b", pinned, false},
		{"fragment", "https://gate.acme.example#a", pinned, false},
		{"no URL", "https://[", pinned, false},
		{"empty", "", pinned, false},
	}
	for _, row := range rows {
		if c, err := api.NewClient(row.url, row.trust); (err == nil) != row.ok || (c == nil) == row.ok {
			t.Errorf("%s: %v, want it taken: %t", row.name, err, row.ok)
		}
	}
}

func TestRefusalText(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]api.Refusal{
		"gate refused: banned":                                                {Code: "banned"},
		"gate refused: oidc_audience: aud is x, want y":                       {Code: "oidc_audience", Fact: "aud is x, want y"},
		`gate refused: policy_no_match: no (nearest rule "shop")`:             {Code: "policy_no_match", Fact: "no", Rule: "shop"},
		`gate refused: policy_no_match: no (nearest rule "shop", clause ref)`: {Code: "policy_no_match", Fact: "no", Rule: "shop", Clause: "ref"},
	} {
		if got := r.Error(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
