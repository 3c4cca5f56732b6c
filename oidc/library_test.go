package oidc_test

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"

	"plastron/oidc"
)

// What go-oidc takes, used as its documentation shows, and this package does
// not. Each row is one reason for this package to exist; should the library
// change its mind, the row fails and the reason can go.
func TestBeyondTheLibrary(t *testing.T) {
	t.Parallel()
	s := set(t)
	library := goidc.NewVerifier(s.issuer.URL(), &goidc.StaticKeySet{PublicKeys: []crypto.PublicKey{s.issuer.Public()}},
		&goidc.Config{ClientID: audience, SupportedSigningAlgs: []string{"ES256"}, Now: clock})
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	good := s.token(nil)
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(good, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	more := func(member string) string {
		return s.issuer.Sign(s.issuer.Header(), []byte(strings.TrimSuffix(string(payload), "}")+","+member+"}"))
	}
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"iat in a year":              s.token(map[string]any{"iat": at(365 * 24 * time.Hour), "exp": at(366 * 24 * time.Hour)}),
		"iat absent":                 s.token(map[string]any{"iat": nil}),
		"exp in ten years":           s.token(map[string]any{"exp": at(10 * 365 * 24 * time.Hour)}),
		"exp now":                    s.token(map[string]any{"iat": at(-time.Minute), "exp": at(0)}),
		"nbf in four minutes":        s.token(map[string]any{"nbf": at(4 * time.Minute)}),
		"sub absent":                 s.token(map[string]any{"sub": nil}),
		"sub with a bidi override":   s.token(map[string]any{"sub": "a\u202eb"}),
		"aud and another":            s.token(map[string]any{"aud": []string{"other", audience}}),
		"duplicate sub":              more(`"sub":"admin"`),
		"case twin of sub":           more(`"SUB":"admin"`),
		"duplicate in depth":         more(`"a":{"b":1,"b":2}`),
		"lone surrogate":             more(`"a":"\ud800"`),
		"access token":               s.issuer.Sign([]byte(`{"alg":"ES256","typ":"at+jwt"}`), payload),
		"jku":                        s.issuer.Sign([]byte(`{"alg":"ES256","jku":"https://evil.example"}`), payload),
		"kid of nobody":              s.issuer.Sign([]byte(`{"alg":"ES256","kid":"nobody"}`), payload),
		"white space":                " " + parts[0] + ".\n" + parts[1] + "." + parts[2],
		"JSON serialisation":         `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"bits after the payload end": loosen(t, s, payload),
	} {
		if _, err := library.Verify(context.Background(), token); err != nil {
			t.Errorf("%s: go-oidc refuses it now: %v", name, err)
		}
		if id, err := s.verify(token); err == nil || id != nil {
			t.Errorf("%s: let in", name)
		}
	}
	// Replay: the library has no memory, and neither has this package; but one
	// token is one signing input, which the gate spends.
	a, errA := s.verify(good)
	b, errB := s.verify(good)
	if errA != nil || errB != nil || a.SigningInput() != b.SigningInput() {
		t.Errorf("replay: %v, %v", errA, errB)
	}
}

// loosen returns a good token whose signature's base64url has stray bits at its
// end: another string of the same bytes.
func loosen(t *testing.T, s setting, payload []byte) string {
	t.Helper()
	token := []byte(s.issuer.Sign(s.issuer.Header(), payload))
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	token[last] = alphabet[strings.IndexByte(alphabet, token[last])|1]
	return string(token)
}

// An ECDSA signature (r, s) has a twin (r, -s), which anybody can make: one
// token, two texts. They have two digests and one signing input, so it is spent
// once.
func TestMalleableSignatureIsOneToken(t *testing.T) {
	t.Parallel()
	s := set(t)
	token := s.token(nil)
	cut := strings.LastIndexByte(token, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(token[cut:])
	if err != nil {
		t.Fatal(err)
	}
	negated := new(big.Int).Sub(elliptic.P256().Params().N, new(big.Int).SetBytes(signature[32:]))
	negated.FillBytes(signature[32:])
	twin := token[:cut] + base64.RawURLEncoding.EncodeToString(signature)
	a, errA := s.verify(token)
	b, errB := s.verify(twin)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if a.Digest() == b.Digest() || a.SigningInput() != b.SigningInput() {
		t.Error("the twin is another token")
	}
}

// O3, M8: the RSA public key, which everybody has, is no HMAC secret.
func TestAlgorithmConfusion(t *testing.T) {
	t.Parallel()
	s := set(t)
	s.issuer.RotateTo("RS256")
	good := s.token(nil)
	if _, err := s.verify(good); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(s.issuer.Public())
	if err != nil {
		t.Fatal(err)
	}
	input := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"key-2","typ":"JWT"}`)) + "." + strings.Split(good, ".")[1]
	mac := hmac.New(sha256.New, der)
	mac.Write([]byte(input))
	id, err := s.verify(input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
	refused(t, id, err, oidc.Signature)
	// The key publishes alg RS256: PSS by the same key is another algorithm,
	// even if its issuer may use both.
	id, err = s.verify(s.issuer.Sign([]byte(`{"alg":"PS256","kid":"key-2"}`), []byte(`{"iss":"`+s.issuer.URL()+`","sub":"x","aud":"a","iat":1,"exp":2}`)))
	refused(t, id, err, oidc.Signature)
}

// Every algorithm that can be configured works, and only if it is.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			s := set(t, func(i *oidc.Issuer) { i.Algorithms = []string{alg} })
			s.issuer.RotateTo(alg)
			id, err := s.verify(s.token(nil))
			if err != nil {
				t.Fatal(err)
			}
			var jwk struct{ Alg string }
			if err := json.Unmarshal(id.JWK(), &jwk); err != nil || jwk.Alg != alg {
				t.Errorf("JWK %s", id.JWK())
			}
			if alg != "RS256" && alg != "ES256" {
				d, err := oidc.New([]oidc.Issuer{{Name: "ci", URL: s.issuer.URL(), InsecureHTTP: true}}, audience, clock)
				if err != nil {
					t.Fatal(err)
				}
				id, err := d.Verify(context.Background(), s.token(nil), bind, noon)
				refused(t, id, err, oidc.Signature)
			}
		})
	}
}

func TestTies(t *testing.T) {
	t.Parallel()
	// GitHub's claims are known for GitHub's URLs only; its keys are in a file,
	// so that the test can sign for it.
	for _, c := range []struct {
		url    string
		claims oidc.Claims
		want   [3]string
	}{
		{"https://token.actions.githubusercontent.com", oidc.Claims{}, [3]string{"", "7", "c0ffee"}},
		{"https://token.actions.githubusercontent.com/acme", oidc.Claims{}, [3]string{"", "7", "c0ffee"}},
		{"https://token.actions.githubusercontent.com.evil.example", oidc.Claims{}, [3]string{}},
		{"https://token.actions.githubusercontent.com", oidc.Claims{ArtifactDigest: "image"}, [3]string{"sha256:aa", "", ""}},
		{"https://ci.example", oidc.Claims{RepositoryID: "repository_id", Commit: "missing"}, [3]string{"", "7", ""}},
	} {
		s := set(t)
		file := t.TempDir() + "/jwks"
		writeFile(t, file, s.issuer.JWKS())
		v, err := oidc.New([]oidc.Issuer{{Name: "ci", URL: c.url, JWKS: file, Claims: c.claims}}, audience, clock)
		if err != nil {
			t.Fatal(err)
		}
		id, err := v.Verify(context.Background(), s.token(map[string]any{"iss": c.url, "repository_id": "7", "sha": "c0ffee", "image": "sha256:aa"}), bind, noon)
		if err != nil {
			t.Fatal(err)
		}
		if got := [3]string{id.ArtifactDigest(), id.RepositoryID(), id.Commit()}; got != c.want {
			t.Errorf("%s %v: ties %q, want %q", c.url, c.claims, got, c.want)
		}
		if s.issuer.Requests("") != 0 {
			t.Error("a request went out, though the keys are in a file")
		}
	}
}
