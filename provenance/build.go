package provenance

import (
	"slices"
	"strings"
	"time"

	"github.com/sigstore/fulcio/pkg/certificate"
)

// A Build is verified provenance: an artifact, the build that made it, and who
// vouches for both. It comes only from [Verifier.Verify], never changes, and
// may be shared. The zero Build speaks of no artifact; see [Build.Verified].
//
// Facts about the build are the certificate's: Fulcio read them out of the
// build's own OIDC token. The statement can only agree with them or be refused.
type Build struct {
	root          string
	signer        string
	extensions    certificate.Extensions
	predicateType string
	buildType     string
	builder       string
	confirmed     []string
	claimed       []string
	subjectName   string
	artifact      Digest
	digests       []Digest
	signedAt      time.Time
	loggedAt      time.Time
	log           string
	logIndex      uint64
	trees         []treeID // under whose checkpoints its entries are
	anchors       []string
	bundle        [32]byte
	statement     [32]byte
	evidence      [32]byte
}

// Verified tells a Build that came out of Verify from the zero value.
func (b *Build) Verified() bool { return b != nil && b.root != "" && b.artifact != Digest{} }

// Root is the name of the trust root under which everything held.
func (b *Build) Root() string { return b.root }

// Extensions are the facts in the certificate, Fulcio's OIDs
// 1.3.6.1.4.1.57264.1.8 to .24 and the older .1 to .6.
func (b *Build) Extensions() certificate.Extensions { return b.extensions }

// Issuer is the URL of the OIDC issuer that identified the build (Fulcio .8).
func (b *Build) Issuer() string { return b.extensions.Issuer }

// Signer is the certificate's one subject alternative name; on CI systems the
// URI of the workflow that signed, with its ref: the *called* workflow, where
// the facts about the source are the caller's.
func (b *Build) Signer() string { return b.signer }

// PredicateType is the statement's: SLSA provenance v0.2 or v1.
func (b *Build) PredicateType() string { return b.predicateType }

// BuildType is the predicate's template URI. It is the signer's word.
func (b *Build) BuildType() string { return b.buildType }

// Builder is the predicate's builder id: the signer, its build signer URI, its
// run, or a runner that fits the certificate.
func (b *Build) Builder() string { return b.builder }

// Confirmed are the places in the predicate whose fact the certificate names
// too, and which agree with it, sorted: "externalParameters.workflow.ref",
// "builder.id".
func (b *Build) Confirmed() []string { return slices.Clone(b.confirmed) }

// Claimed are the places in the predicate that name a fact of a kind which we
// compare, but which this certificate says nothing about: the signer's word. All
// else in a predicate is the signer's word too, and is not listed.
func (b *Build) Claimed() []string { return slices.Clone(b.claimed) }

// SourceRepository is the source repository without its scheme:
// "github.com/acme/shop" (Fulcio .12). Names are reusable: see RepositoryID.
func (b *Build) SourceRepository() string {
	_, rest, found := strings.Cut(b.extensions.SourceRepositoryURI, "://")
	if !found {
		return b.extensions.SourceRepositoryURI
	}
	return rest
}

// RepositoryID is the issuer's immutable number of the repository (Fulcio .15).
func (b *Build) RepositoryID() string { return b.extensions.SourceRepositoryIdentifier }

// OwnerID is the issuer's immutable number of its owner (Fulcio .17).
func (b *Build) OwnerID() string { return b.extensions.SourceRepositoryOwnerIdentifier }

// Commit is the source's commit, hexadecimal (Fulcio .13).
func (b *Build) Commit() string { return b.extensions.SourceRepositoryDigest }

// Ref is the source's full ref, "refs/tags/v1.4.2" (Fulcio .14).
func (b *Build) Ref() string { return b.extensions.SourceRepositoryRef }

// Event is what started the build, "push" (Fulcio .20).
func (b *Build) Event() string { return b.extensions.BuildTrigger }

// Runner is whose machine built, "github-hosted" or "self-hosted" (Fulcio .11).
func (b *Build) Runner() string { return b.extensions.RunnerEnvironment }

// Run is the URL of the one run (Fulcio .21).
func (b *Build) Run() string { return b.extensions.RunInvocationURI }

// SubjectName is what the statement calls the artifact. It is the signer's word.
func (b *Build) SubjectName() string { return b.subjectName }

// Artifact is the digest that was asked about and that the statement names.
func (b *Build) Artifact() Digest { return b.artifact }

// Digests are all full sha256 and sha512 digests the statement gives for the
// artifact, sorted; Artifact is one of them.
func (b *Build) Digests() []Digest { return slices.Clone(b.digests) }

// SignedAt is the earliest of the verified times at which the signature was
// seen: by the log (Rekor v1) or by a timestamp authority (RFC 3161).
func (b *Build) SignedAt() time.Time { return b.signedAt }

// LoggedAt is when the log says it took the entry in. Rekor v2 says nothing:
// then it is zero, and SignedAt comes from a timestamp authority.
func (b *Build) LoggedAt() time.Time { return b.loggedAt }

// Log is the base URL of the transparency log that proved inclusion.
func (b *Build) Log() string { return b.log }

// LogIndex is the entry's index in that log, the one its search pages use.
func (b *Build) LogIndex() uint64 { return b.logIndex }

// Anchors are the keys all this rests on, each as "role:sha256hex": fulcio-ca
// (the root certificate), ct-key and rekor-key (SubjectPublicKeyInfo), tsa-ca
// (the root certificate of each authority that gave a time). Sorted.
func (b *Build) Anchors() []string { return slices.Clone(b.anchors) }

// Statement is the SHA-256 of the signed payload, the in-toto statement.
func (b *Build) Statement() [32]byte { return b.statement }

// Digest is the SHA-256 of the bundle as it was sent.
func (b *Build) Digest() [32]byte { return b.bundle }

// EvidenceID is the SHA-256 of the DSSE pre-authentication encoding, the bytes
// the signature covers. Two encodings of one envelope have the same id.
func (b *Build) EvidenceID() [32]byte { return b.evidence }
