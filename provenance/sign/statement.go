package sign

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"strings"

	attestation "github.com/in-toto/attestation/go/v1"

	"plastron/provenance"
)

// githubWorkflow is the build type of GitHub's own attestations.
const githubWorkflow = "https://actions.github.io/buildtypes/workflow/v1"

type statement struct {
	Type          string         `json:"_type"`
	Subject       []subject      `json:"subject"`
	PredicateType string         `json:"predicateType"`
	Predicate     jsontext.Value `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name,omitempty"`
	Digest map[string]string `json:"digest"`
}

// statement is the in-toto statement about the subjects, as JSON.
func (o *Options) statement(c *certificate) ([]byte, error) {
	s := statement{Type: attestation.StatementTypeUri, PredicateType: o.PredicateType, Predicate: jsontext.Value(o.Predicate)}
	for _, in := range o.Subjects {
		out := subject{Name: in.Name, Digest: make(map[string]string)}
		for _, d := range in.Digests {
			out.Digest[d.Algorithm] = d.Hex
		}
		s.Subject = append(s.Subject, out)
	}
	if o.Predicate == nil {
		p, err := o.slsa(c)
		if err != nil {
			return nil, fmt.Errorf("SLSA provenance: %w", err)
		}
		s.PredicateType, s.Predicate = provenance.TypeSLSAv1, p
	} else if s.Predicate.Kind() != '{' {
		return nil, errors.New("predicate is not a JSON object")
	}
	return json.Marshal(s, json.Deterministic(true))
}

// slsaV1 is https://slsa.dev/provenance/v1.
type slsaV1 struct {
	Definition struct {
		BuildType    string     `json:"buildType"`
		External     external   `json:"externalParameters"`
		Internal     *internal  `json:"internalParameters,omitempty"`
		Dependencies []resolved `json:"resolvedDependencies,omitempty"`
	} `json:"buildDefinition"`
	Run struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		Metadata *metadata `json:"metadata,omitempty"`
	} `json:"runDetails"`
}

type external struct {
	Workflow workflow `json:"workflow"`
}

type workflow struct {
	Ref        string `json:"ref,omitempty"`
	Repository string `json:"repository,omitempty"`
	Path       string `json:"path,omitempty"`
}

type internal struct {
	GitHub github `json:"github"`
}

type github struct {
	Event   string `json:"event_name,omitempty"`
	ID      string `json:"repository_id,omitempty"`
	OwnerID string `json:"repository_owner_id,omitempty"`
	Runner  string `json:"runner_environment,omitempty"`
}

type resolved struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

type metadata struct {
	InvocationID string `json:"invocationId"`
}

// slsa writes provenance out of the certificate's facts, in the shape that
// GitHub's own attestations have.
func (o *Options) slsa(c *certificate) (jsontext.Value, error) {
	x := &c.facts
	if x.SourceRepositoryURI == "" {
		return nil, fmt.Errorf("the certificate of %q names no source repository: give a predicate", c.signer)
	}
	var p slsaV1
	// The older .5 is set for GitHub alone.
	onGitHub := x.GithubWorkflowRepository != ""
	p.Definition.BuildType = o.BuildType
	if p.Definition.BuildType == "" {
		if !onGitHub {
			return nil, fmt.Errorf("the certificate of %q is not of a GitHub workflow: give a build type", c.signer)
		}
		p.Definition.BuildType = githubWorkflow
	}
	p.Definition.External.Workflow = workflow{Ref: x.SourceRepositoryRef, Repository: x.SourceRepositoryURI}
	if path, ok := strings.CutPrefix(x.BuildConfigURI, x.SourceRepositoryURI+"/"); ok {
		p.Definition.External.Workflow.Path, _, _ = strings.Cut(path, "@")
	}
	if onGitHub {
		p.Definition.Internal = &internal{github{x.BuildTrigger, x.SourceRepositoryIdentifier, x.SourceRepositoryOwnerIdentifier, x.RunnerEnvironment}}
	}
	if x.SourceRepositoryDigest != "" {
		uri := "git+" + x.SourceRepositoryURI
		if x.SourceRepositoryRef != "" {
			uri += "@" + x.SourceRepositoryRef
		}
		p.Definition.Dependencies = []resolved{{uri, map[string]string{"gitCommit": x.SourceRepositoryDigest}}}
	}
	p.Run.Builder.ID = c.signer
	if x.RunInvocationURI != "" {
		p.Run.Metadata = &metadata{x.RunInvocationURI}
	}
	return json.Marshal(p)
}
