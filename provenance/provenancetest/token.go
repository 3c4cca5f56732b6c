package provenancetest

import (
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/sigstore/fulcio/pkg/certificate"
)

// github is where the claims' names of repositories and workflows live.
const github = "https://github.com/"

// claims are those of a GitHub Actions token that Fulcio copies.
type claims struct {
	jwt.Claims
	Event       string `json:"event_name"`
	SHA         string `json:"sha"`
	Ref         string `json:"ref"`
	Workflow    string `json:"workflow"`
	WorkflowRef string `json:"workflow_ref"`
	WorkflowSHA string `json:"workflow_sha"`
	JobRef      string `json:"job_workflow_ref"`
	JobSHA      string `json:"job_workflow_sha"`
	Repository  string `json:"repository"`
	ID          string `json:"repository_id"`
	Owner       string `json:"repository_owner"`
	OwnerID     string `json:"repository_owner_id"`
	Visibility  string `json:"repository_visibility"`
	Runner      string `json:"runner_environment"`
	Run         string `json:"run_id"`
	Attempt     string `json:"run_attempt"`
	Environment string `json:"environment"`
}

// signer is the certificate's name: the workflow that signs.
func (c *claims) signer() string { return github + c.JobRef }

// extensions maps the claims as Fulcio's configuration does for GitHub.
func (c *claims) extensions() certificate.Extensions {
	return certificate.Extensions{
		Issuer:                              c.Issuer,
		GithubWorkflowTrigger:               c.Event,
		GithubWorkflowSHA:                   c.SHA,
		GithubWorkflowName:                  c.Workflow,
		GithubWorkflowRepository:            c.Repository,
		GithubWorkflowRef:                   c.Ref,
		BuildSignerURI:                      c.signer(),
		BuildSignerDigest:                   c.JobSHA,
		RunnerEnvironment:                   c.Runner,
		SourceRepositoryURI:                 github + c.Repository,
		SourceRepositoryDigest:              c.SHA,
		SourceRepositoryRef:                 c.Ref,
		SourceRepositoryIdentifier:          c.ID,
		SourceRepositoryOwnerURI:            github + c.Owner,
		SourceRepositoryOwnerIdentifier:     c.OwnerID,
		BuildConfigURI:                      github + c.WorkflowRef,
		BuildConfigDigest:                   c.WorkflowSHA,
		BuildTrigger:                        c.Event,
		RunInvocationURI:                    github + c.Repository + "/actions/runs/" + c.Run + "/attempts/" + c.Attempt,
		SourceRepositoryVisibilityAtSigning: c.Visibility,
		DeploymentEnvironment:               c.Environment,
		Subject:                             c.Subject,
	}
}

// tokens verifies OIDC tokens under the issuer's published keys, fetched anew
// for each so that rotations are seen.
type tokens struct {
	o    Options
	http *http.Client
}

func newTokens(o Options) *tokens {
	return &tokens{o: o, http: &http.Client{Timeout: 5 * time.Second}}
}

func (t *tokens) verify(ctx context.Context, token string) (*claims, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		return nil, err
	}
	keys, err := t.keys(ctx)
	if err != nil {
		return nil, err
	}
	var c claims
	if err := parsed.Claims(keys, &c); err != nil {
		return nil, err
	}
	if c.Expiry == nil {
		return nil, errors.New("no expiry")
	}
	expected := jwt.Expected{Issuer: t.o.Issuer, AnyAudience: jwt.Audience{t.o.Audience}, Time: time.Now()}
	if err := c.Validate(expected); err != nil {
		return nil, err
	}
	if c.Subject == "" || c.JobRef == "" || c.Repository == "" {
		return nil, errors.New("want the claims sub, job_workflow_ref and repository")
	}
	return &c, nil
}

func (t *tokens) keys(ctx context.Context) (*jose.JSONWebKeySet, error) {
	at := t.o.JWKS
	if at == "" {
		var discovery struct {
			JWKS string `json:"jwks_uri"`
		}
		if err := t.get(ctx, t.o.Issuer+"/.well-known/openid-configuration", &discovery); err != nil {
			return nil, err
		}
		at = discovery.JWKS
	}
	var keys jose.JSONWebKeySet
	return &keys, t.get(ctx, at, &keys)
}

func (t *tokens) get(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := t.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return json.UnmarshalRead(io.LimitReader(resp.Body, 1<<20), into)
}
