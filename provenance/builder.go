package provenance

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"strings"
)

// What single builders put where SLSA leaves the place to them; GitHub's is in
// predicate.go. The package comment says of each what is compared.

// maskedVariable is GitLab's word for a value that it does not tell.
const maskedVariable = "[MASKED]"

// gitLabVariables are the variables of GitLab's jobs that repeat a fact.
var gitLabVariables = map[string]fact{
	"CI_PROJECT_URL":          factRepository,
	"CI_PROJECT_PATH":         factRepositoryName,
	"CI_PROJECT_ID":           factRepositoryID,
	"CI_PROJECT_NAMESPACE_ID": factOwnerID,
	"CI_COMMIT_SHA":           factCommitHere,
	"CI_COMMIT_REF_NAME":      factShortRef,
	"CI_PIPELINE_SOURCE":      factEvent,
	"CI_JOB_URL":              factRun,
	"CI_JOB_ID":               factJob,
}

// gitLab reads what GitLab and its runner write: the project as source, the job
// and its variables. Older runners put the variables beside the source, without
// their values.
func (p *predicate) gitLab(external, internal map[string]jsontext.Value) error {
	const at = "externalParameters."
	if source, ok := text(external["source"]); ok {
		p.add(at+"source", factConfigSource, source)
	} else if err := p.configSource(at+"source", external["source"]); err != nil {
		return err
	}
	p.variables(at, external)
	if v := external["variables"]; v.Kind() == '{' {
		var vars map[string]jsontext.Value
		if err := json.Unmarshal(v, &vars); err != nil {
			return fmt.Errorf("externalParameters.variables: %w", err)
		}
		p.variables(at+"variables.", vars)
	}
	if job, ok := text(internal["job"]); ok {
		p.add("internalParameters.job", factJob, job)
	}
	return nil
}

func (p *predicate) variables(path string, vars map[string]jsontext.Value) {
	for name, f := range gitLabVariables {
		if value, ok := text(vars[name]); ok && value != maskedVariable {
			p.add(path+name, f, value)
		}
	}
}

// npmGitLab reads the environment of npm's provenance in GitLab's jobs.
func (p *predicate) npmGitLab(buildType string, vars map[string]jsontext.Value) error {
	if !strings.HasPrefix(buildType, "https://github.com/npm/cli/gitlab/") {
		return nil
	}
	if project, ok := text(vars["project"]); ok {
		p.add("invocation.environment.project", factRepositoryName, project)
	}
	if vars["job"].Kind() != '{' {
		return nil
	}
	var job struct {
		ID jsontext.Value `json:"id"`
	}
	if err := json.Unmarshal(vars["job"], &job); err != nil {
		return fmt.Errorf("invocation.environment.job: %w", err)
	}
	if id, ok := text(job.ID); ok {
		p.add("invocation.environment.job.id", factJob, id)
	}
	return nil
}

// configSource reads where a builder took its instructions from: BuildKit's
// context, the source of slsa-github-generator's newer builders. It must be the
// source repository, if there is a URI.
func (p *predicate) configSource(path string, raw jsontext.Value) error {
	if raw.Kind() != '{' {
		return nil
	}
	var c struct {
		URI    string            `json:"uri"`
		Digest map[string]string `json:"digest"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	p.add(path+".uri", factConfigSource, c.URI)
	if c.URI != "" {
		p.source(path, c.URI, c.Digest)
	}
	return nil
}

// buildKit is BuildKit's own metadata, of either SLSA version.
type buildKit struct {
	VCS map[string]string `json:"vcs"`
}

// vcs notes the checkout that BuildKit saw, which may be of any repository. A
// revision of a changed checkout ends in "-dirty" and is no commit.
func (p *predicate) vcs(path string, b buildKit) {
	if revision := b.VCS["revision"]; revision != "" && b.VCS["source"] != "" {
		p.add(path+".vcs.revision", factCommit, b.VCS["source"]+"\x00"+revision)
	}
}

// nameCommits gives GitLab's commits their name: its runner calls them sha256,
// and in-toto rightly refuses 40 digits of that.
func (s *slsaV1) nameCommits() {
	if !strings.HasPrefix(s.BuildDefinition.BuildType, "https://gitlab.com/gitlab-org/gitlab-runner/") {
		return
	}
	for _, d := range s.BuildDefinition.Dependencies {
		if commit := d.Digest["sha256"]; len(commit) == 40 && d.Digest["gitCommit"] == "" {
			delete(d.Digest, "sha256")
			d.Digest["gitCommit"] = commit
		}
	}
}
