package policy_test

import (
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate/policy"
)

func Example() {
	text := `rules:
- name: shop-api
  id: spiffe://acme.example/shop/{{ token.service_account }}
  ttl: 1h
  token: {issuer: cluster, namespace: shop}
  node: {any: [fleet]}
`
	p, err := policy.Load("policy.yaml", []byte(text), policy.Env{
		TrustDomain: spiffeid.RequireTrustDomainFromString("acme.example"),
		Issuers:     map[string]policy.IssuerInfo{"cluster": {URL: "https://kubernetes.default.svc"}},
		Nodes:       map[string]bool{"fleet": true},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	f := &policy.Facts{
		Now: time.Date(2026, 8, 1, 10, 0, 0, 0, time.UTC),
		Token: &policy.Token{Issuer: "cluster", Subject: "system:serviceaccount:shop:api", Claims: map[string]string{
			"kubernetes.io.namespace": "shop", "kubernetes.io.serviceaccount.name": "api",
		}},
		Node: &policy.Node{Name: "fleet", Kind: "tpm", ID: "tpm:7c1e", Floor: "hardware", Bound: "key"},
	}
	yes, _ := p.Decide(f)
	fmt.Println(yes.ID, yes.TTL, yes.Rule)

	f.Node.Bound = "none" // evidence that anyone could have sent
	_, no := p.Decide(f)
	fmt.Println(no)
	// Output:
	// spiffe://acme.example/shop/api 1h0m0s shop-api
	// policy_no_match (shop-api): node.bound is "none", rule shop-api wants at least "key"
}
