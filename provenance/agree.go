package provenance

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sigstore/fulcio/pkg/certificate"
)

// A fact is something the certificate says about the build, written the way a
// predicate writes it.
type fact int

const (
	factRepository     fact = iota // "https://github.com/acme/shop"
	factRepositoryName             // "acme/shop"
	factRepositoryID
	factOwnerID
	factRef
	factConfigSource // a URI in the source repository
	factSource       // a URI; a claim only if it is in the source repository
	factCommit       // a URI, NUL, a commit; likewise
	factCommitHere   // a commit of the source repository
	factConfigPath   // ".github/workflows/release.yml"
	factConfigName   // "acme/shop/.github/workflows/release.yml@refs/heads/main"
	factConfigDigest
	factEvent
	factRunner
	factRun      // the run's URL, or "id-attempt"
	factJob      // GitLab's number of the job
	factShortRef // "main"
)

// agree compares every claim with the certificate and refuses the first that
// differs. A fact that only one of them names contradicts nothing.
func (p *predicate) agree(b *Build) error {
	x := &b.extensions
	confirmed, fits := builderFits(p.builder, b.signer, x)
	switch {
	case !fits:
		return fmt.Errorf("builder.id %.200q is none of: the signer %q, its run %q, a runner of %q", p.builder, b.signer, x.RunInvocationURI, x.SourceRepositoryURI)
	case confirmed:
		b.confirmed = append(b.confirmed, "builder.id")
	default:
		b.claimed = append(b.claimed, "builder.id")
	}
	for _, c := range p.claims {
		want, agrees := c.agrees(x)
		switch {
		case !agrees:
			return fmt.Errorf("%s is %.200q, certificate says %q", c.path, strings.ReplaceAll(c.value, "\x00", " "), want)
		case want != "":
			b.confirmed = append(b.confirmed, c.path)
		default:
			b.claimed = append(b.claimed, c.path)
		}
	}
	b.confirmed, b.claimed = sorted(b.confirmed), sorted(b.claimed)
	b.claimed = slices.DeleteFunc(b.claimed, func(path string) bool { return slices.Contains(b.confirmed, path) })
	return nil
}

func sorted(paths []string) []string {
	slices.Sort(paths)
	return slices.Compact(paths)
}

// agrees tells whether the certificate says the same, or nothing at all.
func (c claim) agrees(x *certificate.Extensions) (want string, ok bool) {
	switch c.fact {
	case factConfigSource:
		if _, inSource := refIn(c.value, x.SourceRepositoryURI); !inSource && x.SourceRepositoryURI != "" {
			return x.SourceRepositoryURI, false
		}
		_, agrees := sourceAgrees(c.value, x)
		return x.SourceRepositoryURI, agrees
	case factSource:
		return sourceAgrees(c.value, x)
	case factCommit:
		uri, commit, _ := strings.Cut(c.value, "\x00")
		if _, inSource := refIn(uri, x.SourceRepositoryURI); !inSource {
			return "", true
		}
		return same(commit, x.SourceRepositoryDigest)
	case factConfigPath:
		if x.BuildConfigURI == "" || x.SourceRepositoryURI == "" {
			return "", true
		}
		return x.BuildConfigURI, strings.HasPrefix(x.BuildConfigURI, x.SourceRepositoryURI+"/"+c.value+"@")
	case factRepositoryName:
		return same(server(x)+c.value, x.SourceRepositoryURI)
	case factConfigName:
		return same(server(x)+c.value, x.BuildConfigURI)
	case factRun:
		return runAgrees(c.value, x)
	case factJob:
		return jobAgrees(c.value, x)
	case factShortRef:
		return x.SourceRepositoryRef, x.SourceRepositoryRef == "" || shortRef(c.value, x.SourceRepositoryRef)
	}
	return same(c.value, map[fact]string{
		factRepository:   x.SourceRepositoryURI,
		factRepositoryID: x.SourceRepositoryIdentifier,
		factOwnerID:      x.SourceRepositoryOwnerIdentifier,
		factRef:          x.SourceRepositoryRef,
		factCommitHere:   x.SourceRepositoryDigest,
		factConfigDigest: x.BuildConfigDigest,
		factEvent:        x.BuildTrigger,
		factRunner:       x.RunnerEnvironment,
	}[c.fact])
}

func same(value, want string) (string, bool) { return want, want == "" || value == want }

// server is the scheme and host of the source repository, with a slash.
func server(x *certificate.Extensions) string {
	u, err := url.Parse(x.SourceRepositoryURI)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host + "/"
}

// refIn takes the ref out of "git+https://host/owner/name@ref", or BuildKit's
// "https://host/owner/name.git#ref:folder", if the URI is in the given
// repository. Refs may hold an @ themselves: the repository decides where they
// begin. What follows # keeps its mark: it may be short, or a commit.
func refIn(uri, repository string) (ref string, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(uri, "git+"), repository)
	if !ok || repository == "" {
		return "", false
	}
	rest = strings.TrimPrefix(rest, ".git")
	if rest == "" {
		return "", true
	}
	if strings.HasPrefix(rest, "#") {
		ref, _, _ = strings.Cut(rest, ":")
		return ref, true
	}
	return strings.CutPrefix(rest, "@")
}

// shortRef tells whether a ref is written as is or without "refs/heads/".
func shortRef(value, ref string) bool {
	return value == ref || "refs/heads/"+value == ref || "refs/tags/"+value == ref
}

func sourceAgrees(uri string, x *certificate.Extensions) (string, bool) {
	ref, inSource := refIn(uri, x.SourceRepositoryURI)
	if !inSource || strings.TrimPrefix(ref, "#") == "" {
		return "", true
	}
	fragment, marked := strings.CutPrefix(ref, "#")
	switch {
	case marked && len(fragment) == 40 && isHex(fragment):
		return same(fragment, x.SourceRepositoryDigest)
	case marked:
		return x.SourceRepositoryRef, x.SourceRepositoryRef == "" || shortRef(fragment, x.SourceRepositoryRef)
	}
	return same(ref, x.SourceRepositoryRef)
}

// gitLabJob is what a run's URL has before the job's number on GitLab.
const gitLabJob = "/-/jobs/"

// jobAgrees compares GitLab's number of a job.
func jobAgrees(value string, x *certificate.Extensions) (string, bool) {
	_, job, onGitLab := strings.Cut(x.RunInvocationURI, gitLabJob)
	if !onGitLab {
		return "", true
	}
	return same(value, job)
}

// runAgrees compares a run by URL or, as npm and slsa-github-generator write it,
// by id and attempt, or by GitLab's number of the job. Other builders' numbers
// mean nothing here.
func runAgrees(value string, x *certificate.Extensions) (string, bool) {
	if strings.Contains(value, "://") {
		return same(value, x.RunInvocationURI)
	}
	if value != "" && strings.Trim(value, "0123456789") == "" {
		return jobAgrees(value, x)
	}
	id, attempt, found := strings.Cut(value, "-")
	if !found || strings.Trim(id+attempt, "0123456789") != "" || x.SourceRepositoryURI == "" {
		return "", true
	}
	return same(x.SourceRepositoryURI+"/actions/runs/"+id+"/attempts/"+attempt, x.RunInvocationURI)
}

// githubRunner is the builder id npm writes: the runner, not the workflow.
const githubRunner = "https://github.com/actions/runner"

// builderFits knows the honest shapes of a builder id: the workflow that signed,
// as GitHub's attestations and slsa-github-generator have it; GitHub's runner,
// of the class the certificate names, as npm has it; a runner of the project
// itself, as GitLab has it; the run, as BuildKit has it in GitHub's actions. That
// the project has a runner of that number no certificate confirms.
func builderFits(id, signer string, x *certificate.Extensions) (confirmed, fits bool) {
	if id == signer || id == x.BuildSignerURI && id != "" {
		return true, true
	}
	if run := x.RunInvocationURI; run != "" && (id == run || strings.HasPrefix(run, id+"/attempts/")) {
		return true, true
	}
	if class, ok := strings.CutPrefix(id, githubRunner); ok {
		// The older .5 is set for GitHub alone.
		onGitHub := x.GithubWorkflowRepository != ""
		fits := onGitHub && (class == "" || class == "/"+x.RunnerEnvironment)
		return fits, fits
	}
	number, ok := strings.CutPrefix(id, x.SourceRepositoryURI+"/-/runners/")
	return false, ok && x.SourceRepositoryURI != "" && number != "" && strings.Trim(number, "0123456789") == ""
}
