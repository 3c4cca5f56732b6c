// Package cosign verifies Sigstore bundles with the manners of cosign and the
// other Sigstore clients, for people at a terminal and for what we sign
// ourselves. No gate asks it: it shares no check with [plastron/provenance], so
// that widening it cannot widen that.
//
// In comes, unverified, a bundle of version 0.1 to 0.3, or PyPI's attestation
// object (PEP 740), and an artifact, as bytes or by digest. Out goes a [Signature]: that the artifact was signed by the
// expected identity or key, in a message signature or an in-toto statement of
// any predicate type. Trusted are the trusted roots given, each by itself: one
// root's certificates never combine with another's log. Nothing is fetched.
//
// # What is asked
//
// Under a certificate: it chains to the root's Fulcio at every verified time, has
// a signed certificate timestamp, and names the expected identity and issuer.
// Under a key: that key signed, and no certificate. Under both:
//
//   - an entry in a transparency log of the root, Rekor v1 or v2, by proof or, as
//     bundles 0.1 may have it, by promise alone;
//   - each kind of time that the bundle has, and under a certificate at least
//     one: the log's integrated time, a timestamp (RFC 3161);
//   - the signature, over the artifact or over a statement one of whose subjects
//     is the artifact; the statement of a _type we know, read by a strict reader.
//
// What weakens this is in [Options], by name.
//
// # What the gate asks more
//
// Proofs and never promises alone; every entry and every timestamp to hold, not
// one of each; certificates beside the leaf to be the root's; SLSA provenance
// that agrees with the certificate; no forked log.
package cosign

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/sigstore/fulcio/pkg/certificate"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"plastron/provenance"
)

// MaxBundle bounds a bundle, in bytes: statements may be bills of materials.
const MaxBundle = 32 << 20

// Options are what a verifier trusts and asks for.
type Options struct {
	Roots []provenance.Root // any that holds is enough; Tiles are not used
	Key   []byte            // PEM public key that must have signed; nil for a certificate

	SignedTimestamps   bool // want a timestamp of RFC 3161 even where the log gives a time
	InsecureIgnoreTlog bool // want no transparency log
	InsecureIgnoreSCT  bool // want no signed certificate timestamp
}

// A Verifier checks bundles. It is safe for concurrent use.
type Verifier struct {
	o     Options
	roots []trusted
	key   root.TrustedMaterial // nil for certificates
}

// An Artifact is what should have been signed.
type Artifact struct {
	Digest  provenance.Digest
	Content io.ReadSeeker // the bytes; nil where only the digest is known
}

// A Signature is what Verify found to hold; it never changes. The zero value
// holds nothing.
type Signature struct {
	root          string
	signer        string
	extensions    certificate.Extensions
	predicateType string
	signedAt      time.Time
}

// Root is the name of the trusted root under which the bundle held; "" where a
// key alone was asked for.
func (s *Signature) Root() string { return s.root }

// Signer is the certificate's subject alternative name, "" under a key.
func (s *Signature) Signer() string { return s.signer }

// Extensions are the facts in the certificate.
func (s *Signature) Extensions() certificate.Extensions { return s.extensions }

// PredicateType is the statement's, "" for a plain signature over the artifact.
func (s *Signature) PredicateType() string { return s.predicateType }

// SignedAt is the earliest verified time of signing; zero where only a key
// vouches.
func (s *Signature) SignedAt() time.Time { return s.signedAt }

// refuse makes the refusal; format and args are fmt.Errorf's.
func refuse(code provenance.Code, format string, args ...any) error {
	return &provenance.Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// Verify checks a bundle about an artifact. Under a key, want must be zero. The
// error is always a [*provenance.Error].
func (v *Verifier) Verify(ctx context.Context, text []byte, artifact Artifact, want Expectation) (*Signature, error) {
	if v == nil || len(v.roots) == 0 {
		return nil, refuse(provenance.CodeLog, "no trusted root and no key")
	}
	who, err := v.expect(want)
	if err != nil {
		return nil, err
	}
	if d, err := provenance.ParseDigest(artifact.Digest.String()); err != nil || d != artifact.Digest {
		return nil, refuse(provenance.CodeSubject, "artifact: %w", err)
	}
	b, err := parse(text)
	if err != nil {
		return nil, err
	}
	if err := v.suits(b); err != nil {
		return nil, err
	}
	err = refuse(provenance.CodeLog, "no log entry is by a log that a trusted root knows")
	for _, r := range v.roots {
		if ctx.Err() != nil {
			return nil, refuse(provenance.CodeMalformed, "verification stopped: %w", ctx.Err())
		}
		if !v.o.InsecureIgnoreTlog && !r.knowsSome(b) {
			continue
		}
		var s *Signature
		if s, err = (&trial{Verifier: v, root: r, b: b}).verify(artifact, who); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// parse reads a bundle of any content, or PyPI's other form of one. Names twice are refused, though clients
// differ in how they spell the rest.
func parse(text []byte) (*bundle.Bundle, error) {
	if len(text) > MaxBundle {
		return nil, refuse(provenance.CodeMalformed, "bundle of %d bytes, want at most %d", len(text), MaxBundle)
	}
	var one jsontext.Value
	if err := json.Unmarshal(text, &one); err != nil {
		return nil, refuse(provenance.CodeMalformed, "bundle: %w", err)
	}
	if isPyPI(one) {
		var err error
		if text, err = FromPyPI(text); err != nil {
			return nil, err
		}
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(text); err != nil {
		return nil, refuse(provenance.CodeMalformed, "bundle: %w", err)
	}
	for i, e := range b.GetVerificationMaterial().GetTlogEntries() {
		if !sameTree(e.GetInclusionProof()) {
			return nil, refuse(provenance.CodeLog, "log entry %d: proof and checkpoint are of different trees", i)
		}
	}
	return &b, nil
}

// sameTree compares what a proof says twice: verifiers take the root and size
// from one place or the other. A proof may lack a checkpoint.
func sameTree(p *rekorv1.InclusionProof) bool {
	lines := strings.SplitN(p.GetCheckpoint().GetEnvelope(), "\n", 4)
	if len(lines) < 3 {
		return true // and whoever needs a checkpoint refuses it
	}
	return lines[1] == strconv.FormatInt(p.GetTreeSize(), 10) && lines[2] == base64.StdEncoding.EncodeToString(p.GetRootHash())
}

// suits refuses a bundle that is signed by the other of key and certificate.
func (v *Verifier) suits(b *bundle.Bundle) error {
	content, err := b.VerificationContent()
	switch {
	case err != nil:
		return refuse(provenance.CodeCertificate, "%w", err)
	case v.key == nil && content.Certificate() == nil:
		return refuse(provenance.CodeCertificate, "bundle is signed by a key, want a certificate, or the key to expect")
	case v.key != nil && content.Certificate() != nil:
		return refuse(provenance.CodeCertificate, "bundle is signed under a certificate, want the key")
	}
	return nil
}

// A trial is one bundle before one root. Its material is the root's and the key.
type trial struct {
	*Verifier
	root trusted
	b    *bundle.Bundle
}

func (t *trial) material() root.TrustedMaterial {
	if t.key == nil {
		return t.root.material
	}
	return root.TrustedMaterialCollection{t.key, t.root.material}
}

// stamped tells whether a timestamp must hold: it was asked for, or is there and
// the root has an authority for it.
func (t *trial) stamped() bool {
	stamps, err := t.b.Timestamps()
	return t.o.SignedTimestamps || err != nil || len(stamps) > 0 && len(t.root.material.TimestampingAuthorities()) > 0
}

// asks are the checks that sigstore-go is to make.
func (t *trial) asks() []verify.VerifierOption {
	asks := []verify.VerifierOption{verify.WithoutStatementPredicate()}
	if t.key == nil && !t.o.InsecureIgnoreSCT {
		asks = append(asks, verify.WithSignedCertificateTimestamps(1))
	}
	if !t.o.InsecureIgnoreTlog {
		asks = append(asks, verify.WithTransparencyLog(1))
	}
	times := len(asks)
	if t.stamped() {
		asks = append(asks, verify.WithSignedTimestamps(1))
	}
	if !t.o.InsecureIgnoreTlog && t.b.HasInclusionPromise() {
		asks = append(asks, verify.WithIntegratedTimestamps(1))
	}
	switch {
	case len(asks) > times:
	case t.key != nil:
		asks = append(asks, verify.WithNoObserverTimestamps())
	default:
		asks = append(asks, verify.WithObserverTimestamps(1)) // and there is none
	}
	return asks
}

func (t *trial) verify(artifact Artifact, who *verify.CertificateIdentity) (*Signature, error) {
	v, err := verify.NewVerifier(t.material(), t.asks()...)
	if err != nil {
		return nil, refuse(provenance.CodeMalformed, "%w", err)
	}
	what, err := artifact.option()
	if err != nil {
		return nil, err
	}
	by := verify.WithKey()
	if who != nil {
		by = verify.WithCertificateIdentity(*who)
	}
	result, err := v.Verify(t.b, verify.NewPolicy(what, by))
	if err != nil {
		return nil, t.why(who, err)
	}
	return t.signature(result, artifact)
}

// option is the artifact as sigstore-go asks for it: the bytes where there are
// any, for statements may know it by another hash, and Ed25519 keys sign bytes.
func (a Artifact) option() (verify.ArtifactPolicyOption, error) {
	if a.Content == nil {
		digest, err := hex.DecodeString(a.Digest.Hex)
		if err != nil {
			return nil, refuse(provenance.CodeSubject, "artifact: %w", err)
		}
		return verify.WithArtifactDigest(a.Digest.Algorithm, digest), nil
	}
	if _, err := a.Content.Seek(0, io.SeekStart); err != nil {
		return nil, refuse(provenance.CodeSubject, "artifact: %w", err)
	}
	return verify.WithArtifact(a.Content), nil
}

// signature reads what is verified by now.
func (t *trial) signature(result *verify.VerificationResult, artifact Artifact) (*Signature, error) {
	s := &Signature{root: t.root.name}
	if content, err := t.b.VerificationContent(); err != nil {
		return nil, refuse(provenance.CodeCertificate, "%w", err)
	} else if c := content.Certificate(); c != nil {
		s.signer = result.Signature.Certificate.SubjectAlternativeName
		if s.extensions, err = certificate.ParseExtensions(c.Extensions); err != nil {
			return nil, refuse(provenance.CodeIdentity, "certificate: %w", err)
		}
	}
	for _, ts := range result.VerifiedTimestamps {
		if s.signedAt.IsZero() || ts.Timestamp.Before(s.signedAt) {
			s.signedAt = ts.Timestamp.UTC()
		}
	}
	var err error
	s.predicateType, err = t.state(artifact)
	return s, err
}
