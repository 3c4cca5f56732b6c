package oidc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"plastron/oidc"
	"plastron/oidc/oidctest"
)

func writeFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The claims of a token, as the package comment tells it.
func ExampleIdentity_Claims() {
	issuer, err := oidctest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer issuer.Close()
	v, err := oidc.New([]oidc.Issuer{{Name: "cluster", URL: issuer.URL(), InsecureHTTP: true}}, "log.example/gate", time.Now)
	if err != nil {
		fmt.Println(err)
		return
	}

	var bind [32]byte // SHA-256 over a fresh beacon and the key to be certified
	token := issuer.Token(map[string]any{
		"aud":           oidc.BoundAudience("log.example/gate", bind),
		"sub":           "system:serviceaccount:shop:api",
		"kubernetes.io": map[string]any{"pod": map[string]any{"name": "api-0"}},
		"groups":        []string{"a", "b"},
		"n":             json.Number("12e3"),
		"x":             json.RawMessage("null"),
	})
	who, err := v.Verify(context.Background(), token, bind, time.Now())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(who.Issuer(), who.Subject(), who.Bound())
	claims := who.Claims()
	for _, fixed := range []string{"iss", "iat", "exp", "aud"} {
		delete(claims, fixed)
	}
	paths := []string{}
	for path := range claims {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		fmt.Printf("%s = %s\n", path, claims[path])
	}
	// Output:
	// cluster system:serviceaccount:shop:api true
	// groups.0 = a
	// groups.1 = b
	// kubernetes.io.pod.name = api-0
	// n = 12e3
	// sub = system:serviceaccount:shop:api
}

func ExampleBoundAudience() {
	fmt.Println(oidc.BoundAudience("log.example/gate", [32]byte{0xff}))
	// Output: log.example/gate/bind/_wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
}
