package provenance_test

import (
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"testing"

	"plastron/oidc/oidctest"
	"plastron/provenance"
	"plastron/provenance/provenancetest"
)

// A lab is an OIDC issuer, a Sigstore that believes it, and a verifier that
// trusts the Sigstore.
type lab struct {
	*provenancetest.Sigstore
	issuer *oidctest.Issuer
	*provenance.Verifier
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l, err := startLab()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		l.issuer.Close()
	})
	return l
}

func startLab() (*lab, error) {
	issuer, err := oidctest.Start()
	if err != nil {
		return nil, err
	}
	s, err := provenancetest.Start(provenancetest.Options{Issuer: issuer.URL()})
	if err != nil {
		return nil, err
	}
	v, err := provenance.New([]provenance.Root{{Name: "local", TrustedRoot: s.TrustedRoot()}})
	return &lab{s, issuer, v}, err
}

// sharedLab is one lab for all tests that leave it as it is; it ends with the process.
func sharedLab(t testing.TB) *lab {
	t.Helper()
	l, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var shared = sync.OnceValues(startLab)

const workflow = "acme/shop/.github/workflows/release.yml@refs/tags/v1.4.2"

// jobClaims are those of a GitHub Actions job that releases shop v1.4.2.
var jobClaims = map[string]any{
	"aud": "sigstore", "sub": "repo:acme/shop:ref:refs/tags/v1.4.2", "event_name": "push",
	"sha": "5f2d1c3b4a5968778695a4b3c2d1e0f102132435", "ref": "refs/tags/v1.4.2",
	"workflow": "release", "workflow_ref": workflow, "workflow_sha": "5f2d1c3b4a5968778695a4b3c2d1e0f102132435",
	"job_workflow_ref": workflow, "job_workflow_sha": "5f2d1c3b4a5968778695a4b3c2d1e0f102132435",
	"repository": "acme/shop", "repository_id": "512345", "repository_owner": "acme", "repository_owner_id": "777",
	"repository_visibility": "public", "runner_environment": "github-hosted", "run_id": "42", "run_attempt": "1",
}

func (l *lab) token(changes map[string]any) string {
	c := maps.Clone(jobClaims)
	maps.Copy(c, changes)
	return l.issuer.Token(c)
}

// The artifact of the lab's statements.
var shop = provenance.Digest{Algorithm: "sha256", Hex: strings.Repeat("5a", 32)}

// slsaV1 is GitHub's own provenance of shop, as a tree that tests spoil.
func slsaV1() map[string]any {
	return tree(`{
	"_type": "https://in-toto.io/Statement/v1",
	"subject": [{"name": "shop.tar.gz", "digest": {"sha256": "` + shop.Hex + `"}}],
	"predicateType": "https://slsa.dev/provenance/v1",
	"predicate": {
		"buildDefinition": {
			"buildType": "https://actions.github.io/buildtypes/workflow/v1",
			"externalParameters": {"workflow": {"ref": "refs/tags/v1.4.2", "repository": "https://github.com/acme/shop", "path": ".github/workflows/release.yml"}},
			"internalParameters": {"github": {"event_name": "push", "repository_id": "512345", "repository_owner_id": "777", "runner_environment": "github-hosted"}},
			"resolvedDependencies": [{"uri": "git+https://github.com/acme/shop@refs/tags/v1.4.2", "digest": {"gitCommit": "5f2d1c3b4a5968778695a4b3c2d1e0f102132435"}}]
		},
		"runDetails": {
			"builder": {"id": "https://github.com/` + workflow + `"},
			"metadata": {"invocationId": "https://github.com/acme/shop/actions/runs/42/attempts/1"}
		}
	}}`)
}

// slsaV02 is npm's older provenance.
func slsaV02() map[string]any {
	return tree(`{
	"_type": "https://in-toto.io/Statement/v0.1",
	"subject": [{"name": "pkg:npm/shop@1.4.2", "digest": {"sha256": "` + shop.Hex + `"}}],
	"predicateType": "https://slsa.dev/provenance/v0.2",
	"predicate": {
		"buildType": "https://github.com/npm/cli/gha/v2",
		"builder": {"id": "https://github.com/actions/runner"},
		"invocation": {
			"configSource": {"uri": "git+https://github.com/acme/shop@refs/tags/v1.4.2", "digest": {"sha1": "5f2d1c3b4a5968778695a4b3c2d1e0f102132435"}, "entryPoint": ".github/workflows/release.yml"},
			"parameters": {},
			"environment": {"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/tags/v1.4.2", "GITHUB_REPOSITORY": "acme/shop", "GITHUB_REPOSITORY_ID": "512345",
				"GITHUB_REPOSITORY_OWNER_ID": "777", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_RUN_ID": "42", "GITHUB_SHA": "5f2d1c3b4a5968778695a4b3c2d1e0f102132435",
				"GITHUB_WORKFLOW_REF": "` + workflow + `", "GITHUB_WORKFLOW_SHA": "5f2d1c3b4a5968778695a4b3c2d1e0f102132435"}
		},
		"metadata": {"buildInvocationId": "42-1", "completeness": {"parameters": false, "environment": false, "materials": false}, "reproducible": false},
		"materials": [{"uri": "git+https://github.com/acme/shop@refs/tags/v1.4.2", "digest": {"sha1": "5f2d1c3b4a5968778695a4b3c2d1e0f102132435"}}]
	}}`)
}

func tree(text string) map[string]any {
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		panic(err)
	}
	return m
}

func text(tree any) []byte {
	b, err := json.Marshal(tree)
	if err != nil {
		panic(err)
	}
	return b
}

func (l *lab) sign(t testing.TB, statement []byte) []byte {
	t.Helper()
	b, err := l.Sign(t.Context(), l.token(nil), statement)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
