package cosign

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"plastron/provenance"
)

// An Expectation is whom the caller expects to have signed under a certificate.
// Of identity and issuer exactly one of each pair must be set. Patterns are RE2
// and match whole values, where cosign searches in them: searched for,
// "https://github.com/acme" is in "https://github.com/acme.evil/x".
type Expectation struct {
	Identity       string // the certificate's subject alternative name
	IdentityRegexp string
	Issuer         string // URL of its OIDC issuer
	IssuerRegexp   string
	Workflow       Workflow
}

// A Workflow is what a certificate of GitHub Actions says of the workflow in the
// older of its extensions; empty fields are not compared.
type Workflow struct {
	Trigger    string // event
	SHA        string // commit
	Name       string
	Repository string // owner/name
	Ref        string
}

// expect is the expectation as sigstore-go compares it, nil under a key.
func (v *Verifier) expect(want Expectation) (*verify.CertificateIdentity, error) {
	if v.key != nil {
		if want != (Expectation{}) {
			return nil, refuse(provenance.CodeIdentity, "expect a key or a certificate's identity, not both: a key has none")
		}
		return nil, nil
	}
	who, err := want.matcher()
	if err != nil {
		return nil, refuse(provenance.CodeIdentity, "%w", err)
	}
	return &who, nil
}

// matcher compiles the expectation. sigstore-go searches for patterns, so they
// are anchored here.
func (e Expectation) matcher() (none verify.CertificateIdentity, err error) {
	if (e.Identity == "") == (e.IdentityRegexp == "") {
		return none, errors.New("expect exactly one of identity and identity pattern")
	}
	if (e.Issuer == "") == (e.IssuerRegexp == "") {
		return none, errors.New("expect exactly one of issuer and issuer pattern")
	}
	san, err := verify.NewSANMatcher(e.Identity, anchored(e.IdentityRegexp))
	if err != nil {
		return none, fmt.Errorf("identity: %w", err)
	}
	issuer, err := verify.NewIssuerMatcher(e.Issuer, anchored(e.IssuerRegexp))
	if err != nil {
		return none, fmt.Errorf("issuer: %w", err)
	}
	return verify.NewCertificateIdentity(san, issuer, certificate.Extensions{
		GithubWorkflowTrigger:    e.Workflow.Trigger,
		GithubWorkflowSHA:        e.Workflow.SHA,
		GithubWorkflowName:       e.Workflow.Name,
		GithubWorkflowRepository: e.Workflow.Repository,
		GithubWorkflowRef:        e.Workflow.Ref,
	})
}

// anchored makes a pattern match whole values. It is compiled alone first: "a)|(b"
// would slip out of the group.
func anchored(pattern string) string {
	if pattern == "" {
		return ""
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return pattern // and sigstore-go says what is wrong with it
	}
	return `\A(?:` + pattern + `)\z`
}
