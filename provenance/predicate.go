package provenance

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"strings"

	provenancev1 "github.com/in-toto/attestation/go/predicates/provenance/v1"
	attestation "github.com/in-toto/attestation/go/v1"
	slsacommon "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/common"
	slsa02 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v0.2"
	"google.golang.org/protobuf/types/known/structpb"
)

// The predicate types of a build: SLSA provenance.
const (
	TypeSLSAv02 = slsa02.PredicateSLSAProvenance // "https://slsa.dev/provenance/v0.2"
	TypeSLSAv1  = "https://slsa.dev/provenance/v1"
)

// typePyPIPublish is what PyPI's attestations (PEP 740) say where they are not
// provenance: that this file was uploaded by that publisher. It has no content.
const typePyPIPublish = "https://docs.pypi.org/attestations/publish/v1"

// predicate is what SLSA provenance of either version claims about the build.
type predicate struct {
	builder   string
	buildType string
	claims    []claim
}

// A claim is one fact that the predicate names and the certificate may name too.
type claim struct {
	path  string // where the predicate says so
	fact  fact
	value string
}

// parsePredicate reads a predicate. SLSA says that "consumers MUST ignore
// unrecognized fields", so unknown names are let through; a name twice, or in
// two spellings, is not, for readers differ in which they take.
func parsePredicate(predicateType string, raw jsontext.Value) (*predicate, error) {
	if err := refuseTwins(raw); err != nil {
		return nil, err
	}
	switch predicateType {
	case TypeSLSAv1:
		return parseSLSAv1(raw)
	case TypeSLSAv02:
		return parseSLSAv02(raw)
	}
	if predicateType == typePyPIPublish {
		return nil, errors.New("says who published the artifact, not who built it: want SLSA provenance v0.2 or v1")
	}
	return nil, errors.New("is not SLSA provenance v0.2 or v1")
}

// refuseTwins walks a JSON value and refuses any object with two names that
// differ only in case or underscores. (One name twice jsontext refuses itself.)
func refuseTwins(raw jsontext.Value) error {
	d := jsontext.NewDecoder(strings.NewReader(string(raw)))
	var seen []map[string]bool // per open object or array; made with the first name
	for {
		tok, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		kind, length := d.StackIndex(d.StackDepth())
		switch tok.Kind() {
		case '{', '[':
			seen = append(seen, nil)
		case '}', ']':
			seen = seen[:len(seen)-1]
		case '"':
			if kind != '{' || length%2 == 0 { // a value, not a name
				continue
			}
			names := seen[len(seen)-1]
			if names == nil {
				names = make(map[string]bool)
				seen[len(seen)-1] = names
			}
			folded := strings.ToLower(strings.ReplaceAll(tok.String(), "_", ""))
			if names[folded] {
				return fmt.Errorf("name %.80q occurs in two spellings", tok.String())
			}
			names[folded] = true
		}
	}
}

// slsaV1 is https://slsa.dev/provenance/v1, as far as it names facts.
type slsaV1 struct {
	BuildDefinition struct {
		BuildType    string                    `json:"buildType"`
		External     map[string]jsontext.Value `json:"externalParameters"`
		Internal     map[string]jsontext.Value `json:"internalParameters"`
		Dependencies []resolved                `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		Metadata struct {
			InvocationID string   `json:"invocationId"`
			Misspelt     string   `json:"invocationID"` // by in-toto-golang, and so by GitLab
			BuildKit     buildKit `json:"buildkit_metadata"`
		} `json:"metadata"`
	} `json:"runDetails"`
}

type resolved struct {
	Name   string            `json:"name"`
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

// workflow is what GitHub's build types put into externalParameters.
type workflow struct {
	Ref        string `json:"ref"`
	Repository string `json:"repository"`
	Path       string `json:"path"`
}

func parseSLSAv1(raw jsontext.Value) (*predicate, error) {
	var s slsaV1
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	s.nameCommits()
	if err := s.proto().Validate(); err != nil {
		return nil, err
	}
	def, run := &s.BuildDefinition, &s.RunDetails
	p := &predicate{builder: run.Builder.ID, buildType: def.BuildType}
	p.add("runDetails.metadata.invocationId", factRun, run.Metadata.InvocationID+run.Metadata.Misspelt)
	if w, ok := def.External["workflow"]; ok && w.Kind() == '{' {
		var wf workflow
		if err := json.Unmarshal(w, &wf); err != nil {
			return nil, fmt.Errorf("externalParameters.workflow: %w", err)
		}
		p.add("externalParameters.workflow.repository", factRepository, wf.Repository)
		p.add("externalParameters.workflow.ref", factRef, wf.Ref)
		p.add("externalParameters.workflow.path", factConfigPath, wf.Path)
	}
	if g, ok := def.Internal["github"]; ok && g.Kind() == '{' {
		var vars map[string]jsontext.Value
		if err := json.Unmarshal(g, &vars); err != nil {
			return nil, fmt.Errorf("internalParameters.github: %w", err)
		}
		p.environment("internalParameters.github.", vars)
	}
	p.environment("internalParameters.", def.Internal)
	if err := p.configSource("externalParameters.configSource", def.External["configSource"]); err != nil {
		return nil, err
	}
	if err := p.gitLab(def.External, def.Internal); err != nil {
		return nil, err
	}
	p.vcs("runDetails.metadata.buildkit_metadata", run.Metadata.BuildKit)
	for i, d := range def.Dependencies {
		p.source(fmt.Sprintf("resolvedDependencies[%d]", i), d.URI, d.Digest)
	}
	return p, nil
}

// proto is the predicate as in-toto's library validates it: required fields,
// well-formed digests.
func (s *slsaV1) proto() *provenancev1.Provenance {
	p := &provenancev1.Provenance{
		BuildDefinition: &provenancev1.BuildDefinition{
			BuildType:          s.BuildDefinition.BuildType,
			ExternalParameters: &structpb.Struct{Fields: make(map[string]*structpb.Value)},
		},
		RunDetails: &provenancev1.RunDetails{Builder: &provenancev1.Builder{Id: s.RunDetails.Builder.ID}},
	}
	for name := range s.BuildDefinition.External { // Validate asks that there are some
		p.BuildDefinition.ExternalParameters.Fields[name] = structpb.NewNullValue()
	}
	for _, d := range s.BuildDefinition.Dependencies {
		p.BuildDefinition.ResolvedDependencies = append(p.BuildDefinition.ResolvedDependencies,
			&attestation.ResourceDescriptor{Name: d.Name, Uri: d.URI, Digest: d.Digest})
	}
	return p
}

// slsaV02 is https://slsa.dev/provenance/v0.2, as far as it names facts.
type slsaV02 struct {
	Builder    slsacommon.ProvenanceBuilder `json:"builder"`
	BuildType  string                       `json:"buildType"`
	Invocation struct {
		ConfigSource slsa02.ConfigSource `json:"configSource"`
		Environment  jsontext.Value      `json:"environment"`
	} `json:"invocation"`
	Metadata struct {
		InvocationID string   `json:"buildInvocationId"`
		Misspelt     string   `json:"buildInvocationID"` // by in-toto-golang
		BuildKit     buildKit `json:"https://mobyproject.org/buildkit@v1#metadata"`
	} `json:"metadata"`
	Materials []slsa02.ProvenanceMaterial `json:"materials"`
}

func parseSLSAv02(raw jsontext.Value) (*predicate, error) {
	var s slsaV02
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	if s.Builder.ID == "" || s.BuildType == "" {
		return nil, errors.New("builder.id and buildType are required")
	}
	p := &predicate{builder: s.Builder.ID, buildType: s.BuildType}
	config := &s.Invocation.ConfigSource
	p.add("invocation.configSource.uri", factConfigSource, config.URI)
	p.source("invocation.configSource", config.URI, config.Digest)
	if config.URI != "" && strings.HasPrefix(config.EntryPoint, ".github/workflows/") {
		p.add("invocation.configSource.entryPoint", factConfigPath, config.EntryPoint)
	}
	if s.Invocation.Environment.Kind() == '{' {
		var vars map[string]jsontext.Value
		if err := json.Unmarshal(s.Invocation.Environment, &vars); err != nil {
			return nil, fmt.Errorf("invocation.environment: %w", err)
		}
		p.environment("invocation.environment.", vars)
		if err := p.npmGitLab(s.BuildType, vars); err != nil {
			return nil, err
		}
	}
	p.vcs("metadata.https://mobyproject.org/buildkit@v1#metadata", s.Metadata.BuildKit)
	p.add("metadata.buildInvocationId", factRun, s.Metadata.InvocationID+s.Metadata.Misspelt)
	for i, m := range s.Materials {
		p.source(fmt.Sprintf("materials[%d]", i), m.URI, m.Digest)
	}
	return p, nil
}

// add notes a claim; an empty value claims nothing.
func (p *predicate) add(path string, f fact, value string) {
	if value != "" {
		p.claims = append(p.claims, claim{path, f, value})
	}
}

// source notes what a dependency says if it turns out to be the source.
func (p *predicate) source(path, uri string, digest map[string]string) {
	p.add(path+".uri", factSource, uri)
	for _, algorithm := range []string{"gitCommit", "sha1"} {
		if digest[algorithm] != "" {
			// A commit belongs to the URI beside it: other repositories have others.
			p.add(path+".digest."+algorithm, factCommit, uri+"\x00"+digest[algorithm])
		}
	}
}

// environmentFacts gives the variables of GitHub's builders, lower case, without
// "github_".
var environmentFacts = map[string]fact{
	"event_name":          factEvent,
	"ref":                 factRef,
	"repository":          factRepositoryName,
	"repository_id":       factRepositoryID,
	"repository_owner_id": factOwnerID,
	"sha":                 factCommitHere,
	"sha1":                factCommitHere,
	"workflow_ref":        factConfigName,
	"workflow_sha":        factConfigDigest,
	"runner_environment":  factRunner,
}

// environment notes the variables that repeat what Fulcio reads in the token:
// npm writes them in capitals, slsa-github-generator in small letters, GitHub's
// own action without the prefix.
func (p *predicate) environment(path string, vars map[string]jsontext.Value) {
	run := make(map[string]string)
	for name, raw := range vars {
		short := strings.TrimPrefix(strings.ToLower(name), "github_")
		value, ok := text(raw)
		if !ok {
			continue
		}
		if f, known := environmentFacts[short]; known {
			p.add(path+name, f, value)
		}
		run[short] = value
	}
	if run["run_id"] != "" && run["run_attempt"] != "" {
		p.add(path+"run_id", factRun, run["run_id"]+"-"+run["run_attempt"])
	}
}

// text is a JSON string or number as text.
func text(raw jsontext.Value) (string, bool) {
	switch raw.Kind() {
	case '"':
		b, err := jsontext.AppendUnquote(nil, raw)
		return string(b), err == nil
	case '0':
		return string(raw), true
	}
	return "", false
}
