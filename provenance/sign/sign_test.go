package sign_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plastron/oidc/oidctest"
	"plastron/provenance"
	"plastron/provenance/provenancetest"
	"plastron/provenance/sign"
)

const workflow = "acme/shop/.github/workflows/release.yml@refs/tags/@acme/shop@1.4.2"

// lab gives an issuer, a Sigstore, and options that sign one file.
func lab(t *testing.T) (*provenancetest.Sigstore, sign.Options) {
	t.Helper()
	issuer := oidctest.New(t)
	s, err := provenancetest.Start(provenancetest.Options{Issuer: issuer.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	path := filepath.Join(t.TempDir(), "shop.tar.gz")
	if err := os.WriteFile(path, []byte("the shop"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := sign.FileSubject(path)
	if err != nil {
		t.Fatal(err)
	}
	token := issuer.Token(map[string]any{
		"aud": "sigstore", "sub": "repo:acme/shop:ref:refs/tags/@acme/shop@1.4.2", "event_name": "push",
		"sha": "5f2d1c3b4a5968778695a4b3c2d1e0f102132435", "ref": "refs/tags/@acme/shop@1.4.2",
		"workflow_ref": workflow, "workflow_sha": "5f2d1c3b4a5968778695a4b3c2d1e0f102132435",
		"job_workflow_ref": workflow, "job_workflow_sha": "5f2d1c3b4a5968778695a4b3c2d1e0f102132435",
		"repository": "acme/shop", "repository_id": "512345", "repository_owner": "acme", "repository_owner_id": "777",
		"runner_environment": "github-hosted", "run_id": "42", "run_attempt": "1",
	})
	return s, sign.Options{
		Subjects:  []sign.Subject{file},
		FulcioURL: s.FulcioURL(), RekorURL: s.RekorURL(), TimestampURL: s.TimestampURL(),
		IdentityToken: token, TrustedRoot: s.TrustedRoot(),
	}
}

func TestSign(t *testing.T) {
	t.Parallel()
	s, o := lab(t)
	other := sign.Subject{Name: "other", Digests: []provenance.Digest{{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}}}
	o.Subjects = append(o.Subjects, other)
	bundle, err := sign.Sign(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s.Close() // verification is offline
	v, err := provenance.New([]provenance.Root{{Name: "local", TrustedRoot: o.TrustedRoot}})
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range o.Subjects {
		for _, d := range subject.Digests {
			b, err := v.Verify(t.Context(), bundle, d)
			if err != nil {
				t.Fatal(err)
			}
			if b.SubjectName() != subject.Name || len(b.Digests()) != len(subject.Digests) {
				t.Errorf("%s: named %q with digests %v, want %v", d, b.SubjectName(), b.Digests(), subject)
			}
			if b.Builder() != "https://github.com/"+workflow || b.PredicateType() != provenance.TypeSLSAv1 ||
				b.BuildType() != "https://actions.github.io/buildtypes/workflow/v1" || b.Run() != "https://github.com/acme/shop/actions/runs/42/attempts/1" {
				t.Errorf("%+v", b)
			}
		}
	}
	var shape struct{ MediaType string }
	if err := json.Unmarshal(bundle, &shape); err != nil || shape.MediaType != "application/vnd.dev.sigstore.bundle.v0.3+json" {
		t.Errorf("media type %q, %v", shape.MediaType, err)
	}
}

func TestSignPredicate(t *testing.T) {
	t.Parallel()
	_, o := lab(t)
	o.Predicate, o.PredicateType = []byte(`{"spdxVersion":"SPDX-2.3"}`), "https://spdx.dev/Document"
	if _, err := sign.Sign(t.Context(), o); err != nil {
		t.Errorf("another predicate: %v", err)
	}
	// Provenance that lies is found out before it leaves the job.
	o.PredicateType = provenance.TypeSLSAv1
	o.Predicate = []byte(`{"buildDefinition":{"buildType":"x","externalParameters":{"x":1}},"runDetails":{"builder":{"id":"https://github.com/evil/x"}}}`)
	if bundle, err := sign.Sign(t.Context(), o); err == nil || bundle != nil || !strings.Contains(err.Error(), "provenance_predicate") {
		t.Errorf("a lying predicate: bundle of %d bytes, %v", len(bundle), err)
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		spoil func(*provenancetest.Sigstore, *sign.Options)
		want  string
	}{
		{"no subject", func(_ *provenancetest.Sigstore, o *sign.Options) { o.Subjects = nil }, "no subject"},
		{"no digest", func(_ *provenancetest.Sigstore, o *sign.Options) { o.Subjects[0].Digests = nil }, "no digest"},
		{"weak digest", func(_ *provenancetest.Sigstore, o *sign.Options) {
			o.Subjects[0].Digests = []provenance.Digest{{Algorithm: "sha1", Hex: strings.Repeat("a", 40)}}
		}, "sha1"},
		{"two digests of one algorithm", func(_ *provenancetest.Sigstore, o *sign.Options) {
			o.Subjects[0].Digests = append(o.Subjects[0].Digests, o.Subjects[0].Digests[0])
		}, "two sha256"},
		{"predicate without type", func(_ *provenancetest.Sigstore, o *sign.Options) { o.Predicate = []byte("{}") }, "go together"},
		{"predicate is no object", func(_ *provenancetest.Sigstore, o *sign.Options) {
			o.Predicate, o.PredicateType = []byte("[]"), "x"
		}, "not a JSON object"},
		{"no token", func(_ *provenancetest.Sigstore, o *sign.Options) { o.IdentityToken = "" }, "no identity token"},
		{"no trusted root", func(_ *provenancetest.Sigstore, o *sign.Options) { o.TrustedRoot = nil }, "no trusted root"},
		{"no Rekor", func(_ *provenancetest.Sigstore, o *sign.Options) { o.RekorURL = "" }, "required"},
		{"a stranger's token", func(_ *provenancetest.Sigstore, o *sign.Options) {
			o.IdentityToken = o.IdentityToken[:strings.LastIndex(o.IdentityToken, ".")] + "." + strings.Repeat("A", 86)
		}, "401"},
		{"servers misbehave", func(s *provenancetest.Sigstore, _ *sign.Options) { s.Misbehave(provenancetest.ForeignCheckpoint) }, "provenance_log"},
		{"another trusted root", func(_ *provenancetest.Sigstore, o *sign.Options) {
			s, other := lab(t)
			s.Close()
			o.TrustedRoot = other.TrustedRoot
		}, "does not verify"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, o := lab(t)
			row.spoil(s, &o)
			bundle, err := sign.Sign(t.Context(), o)
			if err == nil || bundle != nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("bundle of %d bytes, %v; want an error with %q", len(bundle), err, row.want)
			}
			if err != nil && strings.Contains(err.Error(), o.IdentityToken) && o.IdentityToken != "" {
				t.Errorf("the error quotes the token: %v", err)
			}
		})
	}
}

func TestAmbientToken(t *testing.T) {
	t.Setenv("SIGSTORE_ID_TOKEN", "")
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "")
	if _, err := sign.AmbientToken(t.Context(), "sigstore"); err != sign.ErrNoToken {
		t.Errorf("nowhere: %v", err)
	}
	answer := `{"value":"token for "}`
	status := http.StatusOK
	actions := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" || r.URL.Query().Get("api-version") != "2" {
			status = http.StatusForbidden
		}
		w.WriteHeader(status)
		w.Write([]byte(strings.Replace(answer, "for ", "for "+r.URL.Query().Get("audience"), 1)))
	}))
	defer actions.Close()
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", actions.URL+"/?api-version=2")
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "secret")
	if got, err := sign.AmbientToken(t.Context(), "sigstore"); got != "token for sigstore" || err != nil {
		t.Errorf("GitHub Actions: %q, %v", got, err)
	}
	answer = `{}`
	if got, err := sign.AmbientToken(t.Context(), "sigstore"); err == nil {
		t.Errorf("an answer without a token: %q", got)
	}
	status = http.StatusInternalServerError
	if got, err := sign.AmbientToken(t.Context(), "sigstore"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a failing server: %q, %v", got, err)
	}
	t.Setenv("SIGSTORE_ID_TOKEN", "given")
	if got, err := sign.AmbientToken(t.Context(), "sigstore"); got != "given" || err != nil {
		t.Errorf("SIGSTORE_ID_TOKEN: %q, %v", got, err)
	}
}
