package oidctest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	goidc "github.com/coreos/go-oidc/v3/oidc"

	"plastron/oidc/oidctest"
)

// Somebody else's client, which knows nothing of us, takes what it issues.
func TestForeignClient(t *testing.T) {
	t.Parallel()
	i := oidctest.New(t)
	ctx := goidc.ClientContext(context.Background(), i.Client())
	provider, err := goidc.NewProvider(ctx, i.URL())
	if err != nil {
		t.Fatal(err)
	}
	v := provider.Verifier(&goidc.Config{ClientID: "a"})
	for range 2 {
		token, err := v.Verify(ctx, i.Token(map[string]any{"aud": "a"}))
		if err != nil || token.Subject != "workload" {
			t.Fatal(err)
		}
		i.Rotate()
	}
	i.Withdraw(i.Rotate())
	if _, err := v.Verify(ctx, i.Token(map[string]any{"aud": "a"})); err == nil {
		t.Error("a withdrawn key serves")
	}
}

func get(t *testing.T, i *oidctest.Issuer, req *http.Request) (int, string) {
	t.Helper()
	resp, err := i.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestServeTokens(t *testing.T) {
	t.Parallel()
	i := oidctest.New(t)
	v := goidc.NewVerifier(i.URL(), goidc.NewRemoteKeySet(context.Background(), i.URL()+oidctest.JWKSPath), &goidc.Config{ClientID: "a", SupportedSigningAlgs: []string{"ES256"}})
	request := func(method, query, body, accept string) *http.Request {
		req, err := http.NewRequestWithContext(t.Context(), method, i.URL()+oidctest.TokenPath+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		return req
	}
	if status, _ := get(t, i, request("GET", "?aud=a", "", "*/*")); status != http.StatusNotFound {
		t.Errorf("tokens are served without being asked for: %d", status)
	}
	i.ServeTokens()
	for name, req := range map[string]*http.Request{
		"parameters":         request("GET", "?aud=a&sub=s&repository_id=7", "", "*/*"),
		"as GitHub's runner": request("GET", "?audience=a&sub=s&repository_id=7", "", "application/json; api-version=2.0"),
		"body":               request("POST", "", `{"aud":"a","sub":"s","repository_id":7}`, "*/*"),
	} {
		_, token := get(t, i, req)
		if name == "as GitHub's runner" {
			var answer struct{ Value string }
			if err := json.Unmarshal([]byte(token), &answer); err != nil {
				t.Fatal(err)
			}
			token = answer.Value
		}
		id, err := v.Verify(context.Background(), strings.TrimSpace(token))
		if err != nil || id.Subject != "s" {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var claims struct {
			ID any `json:"repository_id"`
		}
		if err := id.Claims(&claims); err != nil || claims.ID != "7" && claims.ID != 7.0 {
			t.Errorf("%s: repository_id %v", name, claims.ID)
		}
	}
	if status, _ := get(t, i, request("POST", "", `[]`, "*/*")); status != http.StatusBadRequest {
		t.Errorf("a body that is no object: %d", status)
	}
}

func TestListenOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	if i, err := oidctest.Listen("0.0.0.0:0"); err == nil {
		i.Close()
		t.Error("listens to everybody")
	}
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	i := oidctest.New(t)
	i.Misbehave(oidctest.Misbehaviour{Drip: true})
	i.Close()
	i.Close()
}
