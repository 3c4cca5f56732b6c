package oidc_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"runtime"
	"strings"
	"testing"

	goidc "github.com/coreos/go-oidc/v3/oidc"

	"plastron/oidc"
)

// A token that the issuer did not sign is never let in, whatever was done to one
// that it signed.
func FuzzVerify(f *testing.F) {
	s := set(f)
	good := s.token(map[string]any{"kubernetes.io": map[string]any{"namespace": "shop"}, "groups": []string{"a"}})
	id, err := s.verify(good)
	if err != nil {
		f.Fatal(err)
	}
	signed := id.SigningInput()
	for _, seed := range []string{good, "", ".", "..", "{}", good + "=", good[1:], strings.ToUpper(good), strings.ReplaceAll(good, ".", "..")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, err := s.verify(token)
		switch {
		case err == nil && (id.SigningInput() != signed || id.Digest() != sha256.Sum256([]byte(token)) || id.Subject() != "workload"):
			t.Fatalf("let in: %q", token)
		case err != nil && (id != nil || !errors.As(err, new(*oidc.Error))):
			t.Fatalf("error %v of another kind, identity %v", err, id)
		}
	})
}

// O20: a huge token that is not one costs less than it weighs.
func TestHugeTokensAreCheap(t *testing.T) {
	s := set(t)
	if _, err := s.verify(s.token(nil)); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"64 MiB":        strings.Repeat("A", 64<<20),
		"dots":          strings.Repeat(".", oidc.MaxToken),
		"one part":      strings.Repeat("A", oidc.MaxToken),
		"not canonical": s.token(map[string]any{"x": strings.Repeat("x", 4000), "y": strings.Repeat("x", 4000)}) + "=",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := s.verify(token)
		runtime.ReadMemStats(&after)
		refused(t, nil, err, oidc.Malformed)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
			t.Errorf("%s: %d bytes allocated", name, n)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256"} {
		b.Run(alg, func(b *testing.B) {
			s := set(b)
			s.issuer.RotateTo(alg)
			// As long as GitHub's.
			token := s.token(map[string]any{
				"sub": "repo:acme/shop:ref:refs/heads/main", "ref": "refs/heads/main", "sha": "7e2f6b3d4c5a69788796a5b4c3d2e1f001234567",
				"repository": "acme/shop", "repository_owner": "acme", "run_id": "1234567890", "run_number": "10", "run_attempt": "2",
				"repository_visibility": "private", "repository_id": "512345", "repository_owner_id": "65", "actor": "octocat", "actor_id": "12",
				"workflow": "release", "head_ref": "", "base_ref": "", "event_name": "push", "ref_type": "branch", "ref_protected": "true",
				"job_workflow_ref": "acme/shop/.github/workflows/release.yml@refs/heads/main", "runner_environment": "github-hosted",
				"workflow_ref": "acme/shop/.github/workflows/release.yml@refs/heads/main", "environment": "production", "jti": "0a1b2c3d",
				"workflow_sha": "7e2f6b3d4c5a69788796a5b4c3d2e1f001234567", "job_workflow_sha": "7e2f6b3d4c5a69788796a5b4c3d2e1f001234567",
			})
			if _, err := s.verify(token); err != nil {
				b.Fatal(err)
			}
			b.Run("ours", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.Verify(context.Background(), token, bind, noon); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("go-oidc alone", func(b *testing.B) {
				library := goidc.NewVerifier(s.issuer.URL(), &goidc.StaticKeySet{PublicKeys: []crypto.PublicKey{s.issuer.Public()}},
					&goidc.Config{ClientID: audience, SupportedSigningAlgs: []string{alg}, Now: clock})
				b.ReportAllocs()
				for b.Loop() {
					if _, err := library.Verify(context.Background(), token); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
