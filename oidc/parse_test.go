package oidc

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
)

// slow is the obvious twin of the flattening: decode all, then walk.
func slow(into map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, m := range v {
			slow(into, join(path, name), m)
		}
	case []any:
		for i, m := range v {
			slow(into, join(path, json.Number(string(rune('0'+i))).String()), m)
		}
	case string:
		into[path] = v
	case json.Number:
		into[path] = v.String()
	case bool:
		into[path] = map[bool]string{true: "true", false: "false"}[v]
	}
}

// Should go-oidc ever read a registered claim otherwise than we do, the token is
// refused, whoever is right.
func TestReadingsMustAgree(t *testing.T) {
	t.Parallel()
	c, err := parseClaims([]byte(`{"iss":"i","sub":"s","aud":"a","iat":1,"exp":2}`))
	if err != nil {
		t.Fatal(err)
	}
	same := func() *goidc.IDToken {
		return &goidc.IDToken{Issuer: "i", Subject: "s", Audience: []string{"a"}, IssuedAt: time.Unix(1, 0), Expiry: time.Unix(2, 0)}
	}
	if !c.agree(same()) {
		t.Error("equal readings do not agree")
	}
	for name, change := range map[string]func(*goidc.IDToken){
		"iss": func(i *goidc.IDToken) { i.Issuer = "" },
		"sub": func(i *goidc.IDToken) { i.Subject = "S" },
		"aud": func(i *goidc.IDToken) { i.Audience = []string{"a", "b"} },
		"iat": func(i *goidc.IDToken) { i.IssuedAt = time.Time{} },
		"exp": func(i *goidc.IDToken) { i.Expiry = i.Expiry.Add(1) },
	} {
		other := same()
		if change(other); c.agree(other) {
			t.Errorf("%s: two readings agree", name)
		}
	}
}

// Whatever is parsed is in bounds and reads as a plain decoder reads it.
func FuzzParseToken(f *testing.F) {
	b64 := base64.RawURLEncoding.EncodeToString
	const good = `{"iss":"i","sub":"s","aud":["a"],"iat":1,"exp":2,"nbf":1,"kubernetes.io":{"pod":{"name":"api-0"}},"n":12e3,"t":true,"z":null}`
	for _, seed := range [][2]string{
		{`{"alg":"ES256","kid":"k","typ":"JWT"}`, good},
		{`{"alg":"none"}`, good},
		{`{"alg":"ES256","crit":[]}`, good},
		{`{}`, `{}`},
		{`{"alg":"ES256"}`, `{"iss":"i","sub":"s","aud":"a","iat":1,"exp":2,"a.b":1,"a":{"b":1}}`},
		{`{"alg":"a"}`, `{"iss":"i","sub":"\u202e"}`},
		{`{"alg":"ES256"}`, `{"iss":"i","sub":"s","aud":"a","iat":1,"exp":2,"Sub":1}`},
		{"\xff", "\xff"},
		{`{"alg":"ES256"}`, strings.Repeat("[", 99)},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		tok, err := parse(b64([]byte(header)) + "." + b64([]byte(payload)) + ".c2ln")
		if err != nil {
			if _, ok := err.(*Error); !ok {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if tok.alg == "" || len(tok.kid) > maxKeyID || len(tok.claims.flat) > maxClaims || tok.claims.flat["sub"].text == "" || len(tok.claims.audience) == 0 {
			t.Fatalf("out of bounds: %+v", tok)
		}
		d := json.NewDecoder(bytes.NewReader(tok.payload))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("encoding/json does not read %q: %v", payload, err)
		}
		twin, got := map[string]string{}, map[string]string{}
		for path, c := range tok.claims.flat {
			got[path] = c.text
		}
		if slow(twin, "", v); !strings.Contains(payload, "[") && !maps.Equal(got, twin) {
			t.Fatalf("%q reads as %q, its twin as %q", payload, got, twin)
		}
	})
}

// Whatever set is taken has strong keys that survive being archived.
func FuzzParseJWKS(f *testing.F) {
	f.Add(jwks(f, members(f, nil)))
	f.Add(jwks(f, rsaMembers(2048, 65537), members(f, map[string]any{"kid": nil})))
	f.Add(jwks(f, members(f, map[string]any{"x": "AA"})))
	f.Add(jwks(f, map[string]any{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseJWKS(text, algorithms)
		if (len(keys) == 0) != (err != nil) || len(keys) > maxKeys {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if err := strong(k.public); err != nil || len(k.algs) == 0 {
				t.Fatalf("weak key: %v", err)
			}
			again, err := parseJWKS([]byte(`{"keys":[`+string(k.jwk)+`]}`), algorithms)
			if err != nil || again[0].thumbprint != k.thumbprint || again[0].kid != k.kid {
				t.Fatalf("archived as %s: %v", k.jwk, err)
			}
		}
	})
}
