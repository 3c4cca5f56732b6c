package provenance_test

import (
	"strings"
	"testing"

	"plastron/provenance"
)

// A change spoils one member of a statement: path, and its new value (nil takes
// it away).
type change struct {
	path  string
	value any
}

// Statements that are signed and logged as they should be, and say something
// that must not be believed.
func TestStatements(t *testing.T) {
	t.Parallel()
	const (
		def     = "predicate.buildDefinition."
		run     = "predicate.runDetails."
		inv     = "predicate.invocation."
		other   = "https://github.com/evil/shop"
		commit2 = "0000000000000000000000000000000000000000"
	)
	twin := map[string]any{"name": "twin", "digest": map[string]any{"sha256": shop.Hex, "sha512": strings.Repeat("1", 128)}}
	twin2 := map[string]any{"name": "twin 2", "digest": map[string]any{"sha256": shop.Hex, "sha512": strings.Repeat("2", 128)}}
	stranger := map[string]any{"name": "stranger", "digest": map[string]any{"sha1": strings.Repeat("3", 40)}}
	digest := func(algorithm, hex string) []any {
		return []any{map[string]any{"name": "x", "digest": map[string]any{algorithm: hex}}}
	}
	v1, v02 := slsaV1, slsaV02
	const ok = provenance.Code("")
	for _, row := range []struct {
		name   string
		base   func() map[string]any
		change change
		want   provenance.Code
	}{
		{"SLSA v1", v1, change{"_type", "https://in-toto.io/Statement/v1"}, ok},
		{"statement v0.1 with SLSA v1", v1, change{"_type", "https://in-toto.io/Statement/v0.1"}, ok},
		{"SLSA v0.2", v02, change{"_type", "https://in-toto.io/Statement/v0.1"}, ok},
		{"S13 wrong _type", v1, change{"_type", "https://in-toto.io/Statement/v2"}, provenance.CodePredicate},
		{"S13 no _type", v1, change{"_type", nil}, provenance.CodePredicate},
		{"S13 unknown predicate type", v1, change{"predicateType", "https://spdx.dev/Document"}, provenance.CodePredicate},
		{"S13 v0.2 in v1's place", v1, change{"predicateType", "https://slsa.dev/provenance/v0.2"}, provenance.CodePredicate},
		{"S13 v1 in v0.2's place", v02, change{"predicateType", "https://slsa.dev/provenance/v1"}, provenance.CodePredicate},
		{"S13 no predicate type", v1, change{"predicateType", nil}, provenance.CodePredicate},
		{"no predicate", v1, change{"predicate", nil}, provenance.CodePredicate},
		{"predicate is a list", v1, change{"predicate", []any{}}, provenance.CodePredicate},
		{"unknown member of the statement", v1, change{"surplus", true}, provenance.CodePredicate},
		{"member in another case", v1, change{"Subject", []any{}}, provenance.CodePredicate},

		{"no subject", v1, change{"subject", []any{}}, provenance.CodeSubject},
		{"another subject", v1, change{"subject", digest("sha256", strings.Repeat("0", 64))}, provenance.CodeSubject},
		{"shortened digest", v1, change{"subject", digest("sha256", shop.Hex[:32])}, provenance.CodeSubject},
		{"digest under another algorithm", v1, change{"subject", digest("sha512_256", shop.Hex)}, provenance.CodeSubject},
		{"digest in capitals", v1, change{"subject", digest("sha256", strings.ToUpper(shop.Hex))}, provenance.CodeSubject},
		{"S19 SHA-1 only", v1, change{"subject", digest("sha1", strings.Repeat("a", 40))}, provenance.CodeSubject},
		{"S19 MD5 only", v1, change{"subject", digest("md5", strings.Repeat("a", 32))}, provenance.CodeSubject},
		{"one artifact under two names", v1, change{"subject", []any{twin, twin}}, ok},
		{"a subject without names beside it", v1, change{"subject", []any{stranger, twin}}, ok},
		{"a subject with the artifact's other digest and another of this algorithm", v1, change{"subject", []any{twin, map[string]any{
			"name": "x", "digest": map[string]any{"sha256": strings.Repeat("0", 64), "sha512": strings.Repeat("1", 128)},
		}}}, provenance.CodeSubject},
		{"two subjects share a digest and differ in another", v1, change{"subject", []any{twin, twin2}}, provenance.CodeSubject},

		{"unknown member of the predicate", v1, change{def + "extension", "x"}, ok},
		{"two spellings of one name", v1, change{def + "build_type", "x"}, provenance.CodePredicate},
		{"no builder", v1, change{run + "builder.id", nil}, provenance.CodePredicate},
		{"no build type", v1, change{def + "buildType", nil}, provenance.CodePredicate},
		{"no external parameters", v1, change{def + "externalParameters", nil}, provenance.CodePredicate},
		{"builder is npm's runner", v1, change{run + "builder.id", "https://github.com/actions/runner/github-hosted"}, ok},
		{"builder is a runner of another class", v1, change{run + "builder.id", "https://github.com/actions/runner/self-hosted"}, provenance.CodePredicate},
		{"builder is another workflow", v1, change{run + "builder.id", "https://github.com/acme/shop/.github/workflows/other.yml@refs/tags/v1.4.2"}, provenance.CodePredicate},
		{"builder is the workflow at another ref", v1, change{run + "builder.id", "https://github.com/acme/shop/.github/workflows/release.yml@refs/heads/main"}, provenance.CodePredicate},
		{"builder is GitLab's runner", v1, change{run + "builder.id", "https://github.com/acme/shop/-/runners/12"}, ok},
		{"builder is GitLab's runner elsewhere", v1, change{run + "builder.id", "https://github.com/acme/shop-evil/-/runners/12"}, provenance.CodePredicate},
		{"repository", v1, change{def + "externalParameters.workflow.repository", other}, provenance.CodePredicate},
		{"ref", v1, change{def + "externalParameters.workflow.ref", "refs/heads/main"}, provenance.CodePredicate},
		{"workflow", v1, change{def + "externalParameters.workflow.path", ".github/workflows/other.yml"}, provenance.CodePredicate},
		{"workflow is not an object of texts", v1, change{def + "externalParameters.workflow.path", 1}, provenance.CodePredicate},
		{"event", v1, change{def + "internalParameters.github.event_name", "pull_request_target"}, provenance.CodePredicate},
		{"repository id", v1, change{def + "internalParameters.github.repository_id", "1"}, provenance.CodePredicate},
		{"repository id as a number", v1, change{def + "internalParameters.github.repository_id", 512345}, ok},
		{"owner id", v1, change{def + "internalParameters.github.repository_owner_id", "1"}, provenance.CodePredicate},
		{"runner", v1, change{def + "internalParameters.github.runner_environment", "self-hosted"}, provenance.CodePredicate},
		{"commit", v1, change{def + "resolvedDependencies.0.digest.gitCommit", commit2}, provenance.CodePredicate},
		{"commit as SHA-1", v1, change{def + "resolvedDependencies.0.digest", map[string]any{"sha1": commit2}}, provenance.CodePredicate},
		{"source at another ref", v1, change{def + "resolvedDependencies.0.uri", "git+https://github.com/acme/shop@refs/heads/main"}, provenance.CodePredicate},
		{"a dependency elsewhere", v1, change{def + "resolvedDependencies.0.uri", "git+" + other + "@refs/heads/main"}, ok},
		{"run", v1, change{run + "metadata.invocationId", "https://github.com/acme/shop/actions/runs/42/attempts/2"}, provenance.CodePredicate},
		{"run as in-toto-golang spells it", v1, change{run + "metadata", map[string]any{"invocationID": "https://github.com/acme/shop/actions/runs/43/attempts/1"}}, provenance.CodePredicate},
		{"no metadata", v1, change{run + "metadata", nil}, ok},

		{"v0.2 builder", v02, change{"predicate.builder.id", "https://github.com/evil/builder"}, provenance.CodePredicate},
		{"v0.2 no builder", v02, change{"predicate.builder.id", ""}, provenance.CodePredicate},
		{"v0.2 config source elsewhere", v02, change{inv + "configSource.uri", "git+" + other + "@refs/tags/v1.4.2"}, provenance.CodePredicate},
		{"v0.2 config source at another ref", v02, change{inv + "configSource.uri", "git+https://github.com/acme/shop@refs/heads/main"}, provenance.CodePredicate},
		{"v0.2 config commit", v02, change{inv + "configSource.digest.sha1", commit2}, provenance.CodePredicate},
		{"v0.2 entry point", v02, change{inv + "configSource.entryPoint", ".github/workflows/other.yml"}, provenance.CodePredicate},
		{"v0.2 material commit", v02, change{"predicate.materials.0.digest.sha1", commit2}, provenance.CodePredicate},
		{"v0.2 event", v02, change{inv + "environment.GITHUB_EVENT_NAME", "pull_request_target"}, provenance.CodePredicate},
		{"v0.2 event in small letters", v02, change{inv + "environment", map[string]any{"github_event_name": "pull_request_target"}}, provenance.CodePredicate},
		{"v0.2 ref", v02, change{inv + "environment.GITHUB_REF", "refs/heads/main"}, provenance.CodePredicate},
		{"v0.2 repository", v02, change{inv + "environment.GITHUB_REPOSITORY", "evil/shop"}, provenance.CodePredicate},
		{"v0.2 repository id", v02, change{inv + "environment.GITHUB_REPOSITORY_ID", "1"}, provenance.CodePredicate},
		{"v0.2 owner id", v02, change{inv + "environment.GITHUB_REPOSITORY_OWNER_ID", "1"}, provenance.CodePredicate},
		{"v0.2 commit", v02, change{inv + "environment.GITHUB_SHA", commit2}, provenance.CodePredicate},
		{"v0.2 workflow", v02, change{inv + "environment.GITHUB_WORKFLOW_REF", "acme/shop/.github/workflows/other.yml@refs/tags/v1.4.2"}, provenance.CodePredicate},
		{"v0.2 workflow commit", v02, change{inv + "environment.GITHUB_WORKFLOW_SHA", commit2}, provenance.CodePredicate},
		{"v0.2 run in the environment", v02, change{inv + "environment.GITHUB_RUN_ID", "43"}, provenance.CodePredicate},
		{"v0.2 run", v02, change{"predicate.metadata.buildInvocationId", "42-2"}, provenance.CodePredicate},
		{"v0.2 run as in-toto-golang spells it", v02, change{"predicate.metadata", map[string]any{"buildInvocationID": "43-1"}}, provenance.CodePredicate},
		{"v0.2 run of another builder", v02, change{"predicate.metadata.buildInvocationId", "job 17"}, ok},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := sharedLab(t)
			s := row.base()
			put(s, strings.Split(row.change.path, "."), row.change.value)
			b, err := l.Verify(t.Context(), l.sign(t, text(s)), shop)
			switch {
			case row.want == ok && err != nil:
				t.Errorf("refused: %v", err)
			case row.want != ok && err == nil:
				t.Errorf("accepted: %+v", b)
			case row.want != ok && codeOf(t, err) != row.want:
				t.Errorf("refused as %v, want %s", err, row.want)
			}
		})
	}
}

// Payloads that are no statement, or several.
func TestPayloads(t *testing.T) {
	t.Parallel()
	whole := string(text(slsaV1()))
	for _, row := range []struct{ name, payload string }{
		{"S14 not JSON", "not JSON"},
		{"S14 empty object", "{}"},
		{"S14 null", "null"},
		{"two statements", whole + whole},
		{"a statement and white space", whole + " x"},
		{"subject twice", strings.Replace(whole, `"subject":`, `"subject":[],"subject":`, 1)},
		{"digest twice", strings.Replace(whole, `{"sha256":`, `{"sha256":"`+strings.Repeat("0", 64)+`","sha256":`, 1)},
		{"name twice deep in the predicate", strings.Replace(whole, `"event_name":`, `"event_name":"x","event_name":`, 1)},
		{"subject is null", strings.Replace(whole, `"subject":[`, `"subject":null,"x":[`, 1)},
		{"not UTF-8", strings.Replace(whole, "shop.tar.gz", "shop\xff", 1)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := sharedLab(t)
			_, err := l.Verify(t.Context(), l.sign(t, []byte(row.payload)), shop)
			if err == nil {
				t.Fatal("accepted")
			}
			if got := codeOf(t, err); got != provenance.CodePredicate {
				t.Errorf("refused as %v, want %s", err, provenance.CodePredicate)
			}
		})
	}
}

// Bounds on a statement that a valid signature does not lift.
func TestStatementBounds(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	one := slsaV1()["subject"].([]any)[0]
	many := make([]any, 1025)
	for i := range many {
		many[i] = one
	}
	s := slsaV1()
	s["subject"] = many
	if _, err := l.Verify(t.Context(), l.sign(t, text(s)), shop); codeOf(t, err) != provenance.CodePredicate {
		t.Errorf("1025 subjects: %v", err)
	}
	digests := make(map[string]any)
	for i := range 33 {
		digests[strings.Repeat("x", i+1)] = "00"
	}
	digests["sha256"] = shop.Hex
	s["subject"] = []any{map[string]any{"name": "x", "digest": digests}}
	if _, err := l.Verify(t.Context(), l.sign(t, text(s)), shop); codeOf(t, err) != provenance.CodePredicate {
		t.Errorf("34 digests: %v", err)
	}
}
