package provenance

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sigstore/fulcio/pkg/certificate"
)

// One certificate's facts per CI system, as Fulcio fills them in.
var (
	onGitHub = certificate.Extensions{
		Issuer: "https://token.actions.githubusercontent.com", GithubWorkflowRepository: "acme/shop",
		BuildSignerURI:      "https://github.com/acme/shop/.github/workflows/release.yml@refs/tags/v1",
		BuildSignerDigest:   commit1,
		RunnerEnvironment:   "github-hosted",
		SourceRepositoryURI: "https://github.com/acme/shop", SourceRepositoryDigest: commit1, SourceRepositoryRef: "refs/tags/v1",
		SourceRepositoryIdentifier: "512345", SourceRepositoryOwnerIdentifier: "777",
		BuildConfigURI: "https://github.com/acme/shop/.github/workflows/release.yml@refs/tags/v1", BuildConfigDigest: commit1,
		BuildTrigger: "push", RunInvocationURI: "https://github.com/acme/shop/actions/runs/42/attempts/1",
	}
	onGitLab = certificate.Extensions{
		Issuer:              "https://gitlab.com",
		BuildSignerURI:      "https://gitlab.com/acme/shop//.gitlab-ci.yml@refs/heads/main",
		RunnerEnvironment:   "gitlab-hosted",
		SourceRepositoryURI: "https://gitlab.com/acme/shop", SourceRepositoryDigest: commit1, SourceRepositoryRef: "refs/heads/main",
		SourceRepositoryIdentifier: "512345", SourceRepositoryOwnerIdentifier: "777",
		BuildConfigURI: "https://gitlab.com/acme/shop//.gitlab-ci.yml@refs/heads/main", BuildConfigDigest: commit1,
		BuildTrigger: "push", RunInvocationURI: "https://gitlab.com/acme/shop/-/jobs/4242",
	}
)

const (
	commit1 = "5f2d1c3b4a5968778695a4b3c2d1e0f102132435"
	shop5a  = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
)

func called(x certificate.Extensions, signer string) certificate.Extensions {
	x.BuildSignerURI = signer
	return x
}

// judge decodes a predicate under a certificate's facts.
func judge(x certificate.Extensions, predicateType string, predicate any) (*Build, error) {
	statement, err := json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": predicateType, "predicate": predicate,
		"subject": []any{map[string]any{"name": "shop", "digest": map[string]any{"sha256": shop5a}}},
	})
	if err != nil {
		return nil, err
	}
	b := &Build{signer: x.BuildSignerURI, extensions: x}
	return b, b.state(statement, Digest{"sha256", shop5a})
}

// Every builder that we know: what of its predicate the certificate confirms,
// and what it is silent about. Each confirmed value, changed, is refused.
func TestBuilders(t *testing.T) {
	t.Parallel()
	generator := "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_generic_slsa3.yml@refs/tags/v2.1.0"
	delegator := "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/delegator_generic_slsa3.yml@refs/tags/v2.1.0"
	for _, row := range []struct {
		name, predicateType string
		x                   certificate.Extensions
		predicate           string
		confirmed, claimed  string
	}{
		{
			"GitHub attestations, v1", TypeSLSAv1, onGitHub, `{
			"buildDefinition": {"buildType": "https://actions.github.io/buildtypes/workflow/v1",
				"externalParameters": {"workflow": {"ref": "refs/tags/v1", "repository": "https://github.com/acme/shop", "path": ".github/workflows/release.yml"}},
				"internalParameters": {"github": {"event_name": "push", "repository_id": "512345", "repository_owner_id": "777", "runner_environment": "github-hosted"}},
				"resolvedDependencies": [{"uri": "git+https://github.com/acme/shop@refs/tags/v1", "digest": {"gitCommit": "` + commit1 + `"}}]},
			"runDetails": {"builder": {"id": "https://github.com/acme/shop/.github/workflows/release.yml@refs/tags/v1"},
				"metadata": {"invocationId": "https://github.com/acme/shop/actions/runs/42/attempts/1"}}}`,
			"builder.id externalParameters.workflow.path externalParameters.workflow.ref externalParameters.workflow.repository " +
				"internalParameters.github.event_name internalParameters.github.repository_id internalParameters.github.repository_owner_id " +
				"internalParameters.github.runner_environment resolvedDependencies[0].digest.gitCommit resolvedDependencies[0].uri runDetails.metadata.invocationId",
			"",
		},
		{
			"npm on GitHub, v1", TypeSLSAv1, onGitHub, `{
			"buildDefinition": {"buildType": "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
				"externalParameters": {"workflow": {"ref": "refs/tags/v1", "repository": "https://github.com/acme/shop", "path": ".github/workflows/release.yml"}},
				"internalParameters": {"github": {"event_name": "push", "repository_id": "512345", "repository_owner_id": "777"}},
				"resolvedDependencies": [{"uri": "git+https://github.com/acme/shop@refs/tags/v1", "digest": {"gitCommit": "` + commit1 + `"}}]},
			"runDetails": {"builder": {"id": "https://github.com/actions/runner/github-hosted"},
				"metadata": {"invocationId": "https://github.com/acme/shop/actions/runs/42/attempts/1"}}}`,
			"builder.id externalParameters.workflow.path externalParameters.workflow.ref externalParameters.workflow.repository " +
				"internalParameters.github.event_name internalParameters.github.repository_id internalParameters.github.repository_owner_id " +
				"resolvedDependencies[0].digest.gitCommit resolvedDependencies[0].uri runDetails.metadata.invocationId",
			"",
		},
		{
			"npm on GitLab, v0.2", TypeSLSAv02, onGitLab, `{
			"buildType": "https://github.com/npm/cli/gitlab/v0alpha1", "builder": {"id": "https://gitlab.com/acme/shop/-/runners/12270807"},
			"invocation": {"configSource": {"uri": "git+https://gitlab.com/acme/shop", "digest": {"sha1": "` + commit1 + `"}, "entryPoint": "publish"},
				"parameters": {"CI": "true"}, "environment": {"name": "12-green.runner", "architecture": "linux/amd64", "server": "https://gitlab.com",
					"project": "acme/shop", "job": {"id": "4242"}, "pipeline": {"id": "9", "ref": ".gitlab-ci.yml"}}},
			"metadata": {"buildInvocationId": "https://gitlab.com/acme/shop/-/jobs/4242"},
			"materials": [{"uri": "git+https://gitlab.com/acme/shop", "digest": {"sha1": "` + commit1 + `"}}]}`,
			"invocation.configSource.digest.sha1 invocation.configSource.uri invocation.environment.job.id invocation.environment.project " +
				"materials[0].digest.sha1 metadata.buildInvocationId",
			"builder.id materials[0].uri",
		},
		{
			"slsa-github-generator, v0.2", TypeSLSAv02, called(onGitHub, generator), `{
			"buildType": "https://github.com/slsa-framework/slsa-github-generator/generic@v1", "builder": {"id": "` + generator + `"},
			"invocation": {"configSource": {"uri": "git+https://github.com/acme/shop@refs/tags/v1", "digest": {"sha1": "` + commit1 + `"}, "entryPoint": ".github/workflows/release.yml"},
				"parameters": {}, "environment": {"github_actor": "kim", "github_event_name": "push", "github_ref": "refs/tags/v1", "github_ref_type": "tag",
					"github_repository_id": "512345", "github_repository_owner_id": "777", "github_run_attempt": "1", "github_run_id": "42", "github_run_number": "3", "github_sha1": "` + commit1 + `"}},
			"metadata": {"buildInvocationID": "42-1", "completeness": {"parameters": true}},
			"materials": [{"uri": "git+https://github.com/acme/shop@refs/tags/v1", "digest": {"sha1": "` + commit1 + `"}}]}`,
			"builder.id invocation.configSource.digest.sha1 invocation.configSource.entryPoint invocation.configSource.uri invocation.environment.github_event_name " +
				"invocation.environment.github_ref invocation.environment.github_repository_id invocation.environment.github_repository_owner_id " +
				"invocation.environment.github_sha1 invocation.environment.run_id materials[0].digest.sha1 materials[0].uri metadata.buildInvocationId",
			"",
		},
		{
			"slsa-github-generator's delegators, v1", TypeSLSAv1, called(onGitHub, delegator), `{
			"buildDefinition": {"buildType": "https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0",
				"externalParameters": {"inputs": {}, "vars": {}, "source": {"uri": "git+https://github.com/acme/shop@refs/tags/v1", "digest": {"sha1": "` + commit1 + `"}}},
				"internalParameters": {"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/tags/v1", "GITHUB_REPOSITORY": "acme/shop", "GITHUB_REPOSITORY_ID": "512345",
					"GITHUB_REPOSITORY_OWNER_ID": "777", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_RUN_ID": "42", "GITHUB_SHA": "` + commit1 + `",
					"GITHUB_WORKFLOW_REF": "acme/shop/.github/workflows/release.yml@refs/tags/v1", "GITHUB_WORKFLOW_SHA": "` + commit1 + `"},
				"resolvedDependencies": [{"uri": "git+https://github.com/acme/shop@refs/tags/v1", "digest": {"sha1": "` + commit1 + `"}}]},
			"runDetails": {"builder": {"id": "` + delegator + `"}, "metadata": {"invocationId": "42-1"}}}`,
			"builder.id externalParameters.source.digest.sha1 externalParameters.source.uri internalParameters.GITHUB_EVENT_NAME internalParameters.GITHUB_REF " +
				"internalParameters.GITHUB_REPOSITORY internalParameters.GITHUB_REPOSITORY_ID internalParameters.GITHUB_REPOSITORY_OWNER_ID internalParameters.GITHUB_SHA " +
				"internalParameters.GITHUB_WORKFLOW_REF internalParameters.GITHUB_WORKFLOW_SHA internalParameters.run_id " +
				"resolvedDependencies[0].digest.sha1 resolvedDependencies[0].uri runDetails.metadata.invocationId",
			"",
		},
		{
			"GitLab's runner, v1", TypeSLSAv1, onGitLab, `{
			"buildDefinition": {"buildType": "https://gitlab.com/gitlab-org/gitlab-runner/-/blob/v17.0.0/PROVENANCE.md",
				"externalParameters": {"CI_PIPELINE_ID": "", "CI_JOB_URL": "", "CI_COMMIT_SHA": "", "entryPoint": "build", "source": "https://gitlab.com/acme/shop"},
				"internalParameters": {"architecture": "amd64", "executor": "docker+machine", "job": "4242", "name": "green-1"},
				"resolvedDependencies": [{"uri": "https://gitlab.com/acme/shop", "digest": {"sha256": "` + commit1 + `"}}]},
			"runDetails": {"builder": {"id": "https://gitlab.com/acme/shop/-/runners/12270807", "version": {"gitlab-runner": "v17"}}, "metadata": {"invocationID": "4242"}}}`,
			"externalParameters.source internalParameters.job resolvedDependencies[0].digest.gitCommit runDetails.metadata.invocationId",
			"builder.id resolvedDependencies[0].uri",
		},
		{
			"GitLab, v1", TypeSLSAv1, onGitLab, `{
			"buildDefinition": {"buildType": "https://docs.gitlab.com/ci/pipeline_security/slsa/provenance_v1",
				"externalParameters": {"source": "https://gitlab.com/acme/shop", "entryPoint": "build", "variables": {"CI_PROJECT_URL": "https://gitlab.com/acme/shop",
					"CI_PROJECT_PATH": "acme/shop", "CI_PROJECT_ID": "512345", "CI_PROJECT_NAMESPACE_ID": "777", "CI_COMMIT_SHA": "` + commit1 + `", "CI_COMMIT_REF_NAME": "main",
					"CI_PIPELINE_SOURCE": "push", "CI_JOB_URL": "https://gitlab.com/acme/shop/-/jobs/4242", "CI_JOB_ID": "4242", "SECRET": "[MASKED]"}},
				"internalParameters": {"architecture": "amd64", "executor": "docker+machine", "job": 4242, "name": "green-1"},
				"resolvedDependencies": [{"uri": "https://gitlab.com/acme/shop", "digest": {"gitCommit": "` + commit1 + `"}}]},
			"runDetails": {"builder": {"id": "https://gitlab.com/acme/shop/-/runners/12270807"}, "metadata": {"invocationId": "4242"}}}`,
			"externalParameters.source externalParameters.variables.CI_COMMIT_REF_NAME externalParameters.variables.CI_COMMIT_SHA externalParameters.variables.CI_JOB_ID " +
				"externalParameters.variables.CI_JOB_URL externalParameters.variables.CI_PIPELINE_SOURCE externalParameters.variables.CI_PROJECT_ID " +
				"externalParameters.variables.CI_PROJECT_NAMESPACE_ID externalParameters.variables.CI_PROJECT_PATH externalParameters.variables.CI_PROJECT_URL " +
				"internalParameters.job resolvedDependencies[0].digest.gitCommit runDetails.metadata.invocationId",
			"builder.id resolvedDependencies[0].uri",
		},
		{
			"BuildKit on GitHub, v1", TypeSLSAv1, onGitHub, `{
			"buildDefinition": {"buildType": "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
				"externalParameters": {"configSource": {"uri": "https://github.com/acme/shop.git#refs/tags/v1:app", "digest": {"sha1": "` + commit1 + `"}, "path": "Dockerfile"},
					"request": {"frontend": "dockerfile.v0"}}, "internalParameters": {"builderPlatform": "linux/amd64"},
				"resolvedDependencies": [{"uri": "pkg:docker/golang@1.27?platform=linux%2Famd64", "digest": {"sha256": "` + shop5a + `"}},
					{"uri": "https://github.com/acme/shop.git#` + commit1 + `", "digest": {"sha1": "` + commit1 + `"}}]},
			"runDetails": {"builder": {"id": "https://github.com/acme/shop/actions/runs/42/attempts/1"}, "metadata": {"invocationId": "q0jx5qtmrhd4xwcvx2m6b8stu",
				"buildkit_metadata": {"vcs": {"source": "https://github.com/acme/shop", "revision": "` + commit1 + `"}}}}}`,
			"builder.id externalParameters.configSource.digest.sha1 externalParameters.configSource.uri resolvedDependencies[1].digest.sha1 resolvedDependencies[1].uri " +
				"runDetails.metadata.buildkit_metadata.vcs.revision",
			"resolvedDependencies[0].uri runDetails.metadata.invocationId",
		},
		{
			"BuildKit on GitHub, v0.2", TypeSLSAv02, onGitHub, `{
			"buildType": "https://mobyproject.org/buildkit@v1", "builder": {"id": "https://github.com/acme/shop/actions/runs/42"},
			"invocation": {"configSource": {"uri": "https://github.com/acme/shop.git#v1", "digest": {"sha1": "` + commit1 + `"}, "entryPoint": "Dockerfile"}, "parameters": {"frontend": "dockerfile.v0"},
				"environment": {"platform": "linux/amd64"}},
			"metadata": {"buildInvocationID": "q0jx5qtmrhd4xwcvx2m6b8stu", "https://mobyproject.org/buildkit@v1#metadata": {"vcs": {"source": "https://github.com/acme/shop", "revision": "` + commit1 + `"}}},
			"materials": [{"uri": "pkg:docker/golang@1.27", "digest": {"sha256": "` + shop5a + `"}}]}`,
			"builder.id invocation.configSource.digest.sha1 invocation.configSource.uri metadata.https://mobyproject.org/buildkit@v1#metadata.vcs.revision",
			"materials[0].uri metadata.buildInvocationId",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var p map[string]any
			if err := json.Unmarshal([]byte(row.predicate), &p); err != nil {
				t.Fatal(err)
			}
			b, err := judge(row.x, row.predicateType, p)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(b.Confirmed(), " "); got != row.confirmed {
				t.Errorf("confirmed\n%s\nwant\n%s", got, row.confirmed)
			}
			if got := strings.Join(b.Claimed(), " "); got != row.claimed {
				t.Errorf("claimed\n%s\nwant\n%s", got, row.claimed)
			}
			for _, path := range b.Confirmed() {
				spoilt := spoilAt(t, row.predicate, path)
				if _, err := judge(row.x, row.predicateType, spoilt); !isCode(err, CodePredicate) {
					t.Errorf("%s changed: %v", path, err)
				}
			}
		})
	}
}

func isCode(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// spoilAt changes the value that a claim's path names, wherever it is.
func spoilAt(t *testing.T, predicate, path string) map[string]any {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal([]byte(predicate), &p); err != nil {
		t.Fatal(err)
	}
	for _, alias := range []string{
		path, strings.Replace(path, "gitCommit", "sha256", 1), strings.Replace(path, "nvocationId", "nvocationID", 1),
		strings.Replace(path, "run_id", "github_run_id", 1), strings.Replace(path, "run_id", "GITHUB_RUN_ID", 1),
	} {
		for _, start := range []string{"", "buildDefinition.", "runDetails."} {
			if set := find(p, start+alias); set != nil {
				set()
				return p
			}
		}
	}
	t.Fatalf("no %s in %s", path, predicate)
	return nil
}

// find gives what spoils the member at a path, nil if there is none. A member's
// name may hold dots itself.
func find(v any, path string) func() {
	switch v := v.(type) {
	case map[string]any:
		for name, child := range v {
			if name == path {
				return func() { v[name] = spoilt(child) }
			}
			for _, mark := range []string{".", "["} {
				if rest, ok := strings.CutPrefix(path, name+mark); ok {
					if set := find(child, rest); set != nil {
						return set
					}
				}
			}
		}
	case []any:
		index, rest, _ := strings.Cut(path, "].")
		if i, err := strconv.Atoi(index); err == nil && i < len(v) {
			return find(v[i], rest)
		}
	}
	return nil
}

// spoilt is a value of the same look: URIs stay in their repository.
func spoilt(v any) any {
	s, isText := v.(string)
	if !isText {
		return v.(float64) + 1
	}
	if uri, fragment, ok := strings.Cut(s, "#"); ok {
		return uri + "#" + spoilt(fragment).(string)
	}
	if before, folder, ok := strings.Cut(s, ":app"); ok && folder == "" {
		return spoilt(before).(string) + ":app"
	}
	last := s[len(s)-1]
	if last == '0' {
		return s[:len(s)-1] + "1"
	}
	return s[:len(s)-1] + "0"
}

// What no builder may say.
func TestBuildersRefused(t *testing.T) {
	t.Parallel()
	v1 := func(builder, buildType, external string) string {
		return `{"buildDefinition":{"buildType":"` + buildType + `","externalParameters":` + external + `},"runDetails":{"builder":{"id":"` + builder + `"}}}`
	}
	const gitlab, hub = "https://gitlab.com/acme/shop/-/runners/1", "https://github.com/acme/shop/actions/runs/42/attempts/1"
	google := certificate.Extensions{Issuer: "https://accounts.google.com"}
	for _, row := range []struct {
		name, predicateType string
		x                   certificate.Extensions
		predicate, says     string
	}{
		{"PyPI's publish attestation", typePyPIPublish, onGitHub, `{}`, "who published the artifact"},
		{
			"Google Cloud Build, whose certificate names no build", TypeSLSAv1, called(google, "builder@acme.iam.gserviceaccount.com"),
			v1("https://cloudbuild.googleapis.com/GoogleHostedWorker", "https://cloud.google.com/build/gcb-buildtypes/google-worker/v1", `{"buildConfigSource":{"repository":"https://github.com/acme/shop"}}`), "builder.id",
		},
		{"BuildKit without a builder id", TypeSLSAv1, onGitHub, v1("", "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md", `{"request":{}}`), "builder"},
		{"another run's BuildKit", TypeSLSAv1, onGitHub, v1("https://github.com/acme/shop/actions/runs/4", "x", `{"request":{}}`), "builder.id"},
		{"no run at all", TypeSLSAv1, onGitHub, v1("https://github.com/acme/shop/actions/runs", "x", `{"request":{}}`), "builder.id"},
		{"another repository's context", TypeSLSAv1, onGitHub, v1(hub, "x", `{"configSource":{"uri":"https://github.com/evil/shop.git#refs/tags/v1"}}`), "configSource.uri"},
		{"another repository whose name begins so", TypeSLSAv1, onGitHub, v1(hub, "x", `{"configSource":{"uri":"https://github.com/acme/shop-evil.git#refs/tags/v1"}}`), "configSource.uri"},
		{"a context at another commit", TypeSLSAv1, onGitHub, v1(hub, "x", `{"configSource":{"uri":"https://github.com/acme/shop.git#`+strings.Repeat("0", 40)+`"}}`), "configSource.uri"},
		{"a context of another shape", TypeSLSAv1, onGitHub, v1(hub, "x", `{"configSource":{"uri":1}}`), "configSource"},
		{"a dirty checkout", TypeSLSAv1, onGitHub, `{"buildDefinition":{"buildType":"x","externalParameters":{"request":{}}},"runDetails":{"builder":{"id":"` + hub +
			`"},"metadata":{"buildkit_metadata":{"vcs":{"source":"https://github.com/acme/shop","revision":"` + commit1 + `-dirty"}}}}}`, "vcs.revision"},
		{"another project as GitLab's source", TypeSLSAv1, onGitLab, v1(gitlab, "x", `{"source":"https://gitlab.com/evil/shop"}`), "externalParameters.source"},
		{"variables that are none", TypeSLSAv1, onGitLab, v1(gitlab, "x", `{"variables":{"CI_JOB_ID":"1","CI_JOB_ID":"2"}}`), "CI_JOB_ID"},
		{"a runner that is no number", TypeSLSAv1, onGitLab, v1("https://gitlab.com/acme/shop/-/runners/x", "x", `{"source":"https://gitlab.com/acme/shop"}`), "builder.id"},
		{"another project's runner", TypeSLSAv1, onGitLab, v1("https://gitlab.com/evil/shop/-/runners/1", "x", `{"source":"https://gitlab.com/acme/shop"}`), "builder.id"},
	} {
		b := &Build{signer: row.x.BuildSignerURI, extensions: row.x}
		err := b.state([]byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"`+row.predicateType+`","predicate":`+row.predicate+
			`,"subject":[{"name":"shop","digest":{"sha256":"`+shop5a+`"}}]}`), Digest{"sha256", shop5a})
		if !isCode(err, CodePredicate) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, want a refusal that says %q", row.name, err, row.says)
		}
	}
}

// The statement in sigstore-go's examples, of npm on GitHub, v0.2, under the
// facts of the certificate in the bundle beside it.
func TestModuleStatement(t *testing.T) {
	t.Parallel()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/sigstore/sigstore-go").Output()
	if err != nil || len(dir) == 0 {
		t.Skip("needs the source of sigstore-go in the module cache")
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "examples", "bundle-provenance.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Envelope struct{ Payload []byte } `json:"dsseEnvelope"`
		Material struct {
			Chain struct {
				Certificates []struct{ RawBytes []byte }
			} `json:"x509CertificateChain"`
		} `json:"verificationMaterial"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(s.Material.Chain.Certificates[0].RawBytes)
	if err != nil {
		t.Fatal(err)
	}
	who, err := readSigner(leaf)
	if err != nil {
		t.Fatal(err)
	}
	b := &Build{signer: who.name, extensions: who.extensions}
	const sha512 = "76176ffa33808b54602c7c35de5c6e9a4deb96066dba6533f50ac234f4f1f4c6b3527515dc17c06fbe2860030f410eee69ea20079bd3a2c6f3dcf3b329b10751"
	if err := b.state(s.Envelope.Payload, Digest{"sha512", sha512}); err != nil {
		t.Fatal(err)
	}
	if len(b.Confirmed()) < 10 || !slices.Contains(b.Confirmed(), "invocation.environment.GITHUB_WORKFLOW_REF") {
		t.Errorf("confirmed %v, claimed %v", b.Confirmed(), b.Claimed())
	}
}
