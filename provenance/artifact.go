package provenance

import (
	"context"
	"encoding/hex"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"regexp"
	"time"

	"github.com/sigstore/fulcio/pkg/certificate"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	summary "github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// An Expectation is whom the caller of [Verifier.VerifyArtifact] expects to have
// signed. Exactly one of each pair must be set. Patterns are RE2 and match whole
// values: searched for, "https://github.com/acme" is in "https://github.com/acme.evil/x".
type Expectation struct {
	Identity       string // the certificate's subject alternative name
	IdentityRegexp string
	Issuer         string // URL of its OIDC issuer
	IssuerRegexp   string
}

// A Signature is what VerifyArtifact found to hold; it never changes. The zero
// value holds nothing.
type Signature struct {
	root          string
	signer        string
	extensions    certificate.Extensions
	predicateType string
	signedAt      time.Time
}

// Root is the name of the trust root under which the bundle held.
func (s *Signature) Root() string { return s.root }

// Signer is the certificate's subject alternative name.
func (s *Signature) Signer() string { return s.signer }

// Extensions are the facts in the certificate.
func (s *Signature) Extensions() certificate.Extensions { return s.extensions }

// PredicateType is the statement's, "" for a plain signature over the artifact.
func (s *Signature) PredicateType() string { return s.predicateType }

// SignedAt is the earliest verified time of signing.
func (s *Signature) SignedAt() time.Time { return s.signedAt }

// VerifyArtifact checks a bundle as cosign and other Sigstore clients do: a
// statement of any predicate type or a plain signature, by the expected
// identity, with a signed certificate timestamp, a log entry and a time. It is
// what `plastron verify` asks; gates ask [Verifier.Verify]. The error is always
// an [*Error].
func (v *Verifier) VerifyArtifact(ctx context.Context, text []byte, artifact Digest, want Expectation) (*Signature, error) {
	if v == nil || len(v.roots) == 0 {
		return nil, refuse(CodeLog, "no trust root")
	}
	who, err := want.matcher()
	if err != nil {
		return nil, refuse(CodeIdentity, "%w", err)
	}
	if err := artifact.check(); err != nil {
		return nil, refuse(CodeSubject, "artifact: %w", err)
	}
	b, err := parseAny(text)
	if err != nil {
		return nil, err
	}
	err = refuse(CodeLog, "no log entry is by a log that a trust root knows")
	for _, r := range v.roots {
		if ctx.Err() != nil {
			return nil, refuse(CodeMalformed, "verification stopped: %w", ctx.Err())
		}
		if !r.knowsSome(b) {
			continue
		}
		var s *Signature
		if s, err = r.verifyArtifact(b, artifact, who); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// matcher compiles the expectation. sigstore-go searches for patterns, so they
// are anchored here.
func (e Expectation) matcher() (verify.CertificateIdentity, error) {
	if (e.Identity == "") == (e.IdentityRegexp == "") {
		return verify.CertificateIdentity{}, errors.New("expect exactly one of identity and identity pattern")
	}
	if (e.Issuer == "") == (e.IssuerRegexp == "") {
		return verify.CertificateIdentity{}, errors.New("expect exactly one of issuer and issuer pattern")
	}
	return verify.NewShortCertificateIdentity(e.Issuer, anchored(e.IssuerRegexp), e.Identity, anchored(e.IdentityRegexp))
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

// parseAny reads a bundle of any content. Names twice are refused, though
// clients differ in how they spell the rest.
func parseAny(text []byte) (*bundle.Bundle, error) {
	if len(text) > MaxBundle {
		return nil, refuse(CodeMalformed, "bundle of %d bytes, want at most %d", len(text), MaxBundle)
	}
	var one jsontext.Value
	if err := json.Unmarshal(text, &one); err != nil {
		return nil, refuse(CodeMalformed, "bundle: %w", err)
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(text); err != nil {
		return nil, refuse(CodeMalformed, "bundle: %w", err)
	}
	return &b, nil
}

// knowsSome tells whether an entry is by a log of this root: if not, another
// root has more to say about why the bundle is refused.
func (r *trustRoot) knowsSome(b *bundle.Bundle) bool {
	for _, e := range b.GetVerificationMaterial().GetTlogEntries() {
		if r.logs[hex.EncodeToString(e.GetLogId().GetKeyId())] != nil {
			return true
		}
	}
	return false
}

func (r *trustRoot) verifyArtifact(b *bundle.Bundle, artifact Digest, who verify.CertificateIdentity) (*Signature, error) {
	t := &trial{trustRoot: r}
	v, err := verify.NewVerifier(t,
		verify.WithSignedCertificateTimestamps(1),
		verify.WithTransparencyLog(1),
		verify.WithObserverTimestamps(1),
		verify.WithoutStatementPredicate(),
	)
	if err != nil {
		return nil, refuse(CodeMalformed, "%w", err)
	}
	result, err := v.Verify(b, verify.NewPolicy(
		verify.WithArtifactDigest(artifact.Algorithm, artifact.bytes()),
		verify.WithCertificateIdentity(who),
	))
	if err != nil {
		return nil, t.whyArtifact(b, who, err)
	}
	s := &Signature{root: r.name, signer: result.Signature.Certificate.SubjectAlternativeName}
	if s.extensions, err = certificate.ParseExtensions(t.chain[0].Extensions); err != nil {
		return nil, refuse(CodeIdentity, "certificate: %w", err)
	}
	for _, ts := range result.VerifiedTimestamps {
		if s.signedAt.IsZero() || ts.Timestamp.Before(s.signedAt) {
			s.signedAt = ts.Timestamp.UTC()
		}
	}
	if result.Statement != nil {
		s.predicateType = result.Statement.PredicateType
	}
	return s, nil
}

// whyArtifact puts a code to sigstore-go's refusal.
func (t *trial) whyArtifact(b *bundle.Bundle, who verify.CertificateIdentity, cause error) error {
	if err := t.diagnose(b, 1); err != nil {
		return err
	}
	content, err := b.VerificationContent()
	if err != nil {
		return refuse(CodeMalformed, "%w", err)
	}
	named, err := summary.SummarizeCertificate(content.Certificate())
	if err != nil {
		return refuse(CodeIdentity, "certificate: %w", err)
	}
	if err := who.Verify(named); err != nil {
		return refuse(CodeIdentity, "signed by %q of issuer %q: %w", named.SubjectAlternativeName, named.Issuer, err)
	}
	return refuse(CodeSubject, "%w", cause)
}
