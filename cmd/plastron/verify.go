package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plastron/provenance"
	"plastron/provenance/cosign"
)

// predicateTypes are cosign's short names for --type.
var predicateTypes = map[string]string{
	"slsaprovenance":   "https://slsa.dev/provenance/v0.2",
	"slsaprovenance02": "https://slsa.dev/provenance/v0.2",
	"slsaprovenance1":  "https://slsa.dev/provenance/v1",
	"link":             "https://in-toto.io/Link/v1",
	"spdx":             "https://spdx.dev/Document",
	"spdxjson":         "https://spdx.dev/Document",
	"cyclonedx":        "https://cyclonedx.org/bom",
	"vuln":             "https://cosign.sigstore.dev/attestation/vuln/v1",
	"openvex":          "https://openvex.dev/ns",
	"custom":           "https://cosign.sigstore.dev/attestation/v1",
}

// A verification is the flags of verify.
type verification struct {
	cosign.Options
	want       cosign.Expectation
	bundle     string
	roots      []string
	key        string
	typ        string
	offline    bool
	newBundles bool
}

func verifyCmd() *cobra.Command {
	var v verification
	c := &cobra.Command{
		Use:   "verify FILE|sha256:… --bundle FILE --trusted-root FILE (--certificate-identity ID --certificate-oidc-issuer URL | --key FILE)",
		Short: "Verify a Sigstore bundle of an artifact, offline",
		Long: "Verify takes the flags of `cosign verify-blob` and `cosign verify-blob-attestation`, and\n" +
			"bundles of version 0.1 to 0.3 with a message signature or an in-toto statement, or PyPI's\n" +
			"attestation objects (PEP 740). It asks nobody: what is trusted is in the files named.\n" +
			"--trusted-root may be given several times; the bundle must hold under one of them.\n" +
			"Patterns match whole values, where cosign's match any part. A gate asks more of a bundle\n" +
			"than this does.",
		Args: exactArgs("FILE|sha256:…"),
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&v.bundle, "bundle", "", "Sigstore bundle")
	f.StringArrayVar(&v.roots, "trusted-root", nil, "trusted_root.json of a Sigstore; may be repeated")
	f.StringVar(&v.key, "key", "", "PEM public key that must have signed, in place of a certificate")
	f.StringVar(&v.want.Identity, "certificate-identity", "", "who must have signed: the certificate's subject alternative name")
	f.StringVar(&v.want.IdentityRegexp, "certificate-identity-regexp", "", "the same as a pattern for the whole name")
	f.StringVar(&v.want.Issuer, "certificate-oidc-issuer", "", "URL of the OIDC issuer in the certificate")
	f.StringVar(&v.want.IssuerRegexp, "certificate-oidc-issuer-regexp", "", "the same as a pattern for the whole URL")
	f.StringVar(&v.want.Workflow.Repository, "certificate-github-workflow-repository", "", "repository in the certificate, owner/name")
	f.StringVar(&v.want.Workflow.Ref, "certificate-github-workflow-ref", "", "ref in the certificate")
	f.StringVar(&v.want.Workflow.SHA, "certificate-github-workflow-sha", "", "commit in the certificate")
	f.StringVar(&v.want.Workflow.Trigger, "certificate-github-workflow-trigger", "", "event in the certificate")
	f.StringVar(&v.want.Workflow.Name, "certificate-github-workflow-name", "", "workflow's name in the certificate")
	f.StringVar(&v.typ, "type", "", "predicate type that the statement must have, or cosign's short name for it")
	f.BoolVar(&v.SignedTimestamps, "use-signed-timestamps", false, "want an RFC 3161 timestamp even where the log gives a time")
	f.BoolVar(&v.InsecureIgnoreTlog, "insecure-ignore-tlog", false, "want no entry in a transparency log")
	f.BoolVar(&v.InsecureIgnoreSCT, "insecure-ignore-sct", false, "want no entry in a CT log")
	f.BoolVar(&v.offline, "offline", true, "as always")
	f.BoolVar(&v.newBundles, "new-bundle-format", true, "as always")
	return c
}

func (v *verification) run(cmd *cobra.Command, name string) error {
	verifier, err := v.verifier()
	if err != nil {
		return err
	}
	text, err := readUpTo(v.bundle, cosign.MaxBundle)
	if err != nil {
		return usagef("--bundle: %w", err)
	}
	artifact, closed, err := openArtifact(name)
	if err != nil {
		return usagef("%w", err)
	}
	defer closed()
	s, err := verifier.Verify(cmd.Context(), text, artifact, v.want)
	if err != nil {
		return err
	}
	if err := v.isType(s.PredicateType()); err != nil {
		return err
	}
	return print(cmd, verified{
		Artifact: artifact.Digest.String(), Signer: s.Signer(), Issuer: s.Extensions().Issuer, Key: v.key,
		PredicateType: s.PredicateType(), SignedAt: s.SignedAt(), Root: s.Root(),
	})
}

// verifier is made of the flags, or says what is wrong with them.
func (v *verification) verifier() (*cosign.Verifier, error) {
	switch {
	case !v.offline:
		return nil, usagef("--offline=false: verify asks nobody")
	case !v.newBundles:
		return nil, usagef("--new-bundle-format=false: verify reads Sigstore bundles alone")
	case v.key != "" && v.want != (cosign.Expectation{}):
		return nil, usagef("--key and --certificate-…: a key has no identity; give one of them")
	case v.key == "" && ((v.want.Identity == "") == (v.want.IdentityRegexp == "") || (v.want.Issuer == "") == (v.want.IssuerRegexp == "")):
		return nil, usagef("--certificate-identity and --certificate-oidc-issuer, each or its -regexp, or --key, say who must have signed")
	}
	if v.key != "" {
		var err error
		if v.Key, err = readBounded(v.key); err != nil {
			return nil, usagef("--key: %w", err)
		}
	}
	for _, r := range v.roots {
		text, err := readBounded(r)
		if err != nil {
			return nil, usagef("--trusted-root: %w", err)
		}
		v.Roots = append(v.Roots, provenance.Root{Name: filepath.Base(r), TrustedRoot: text})
	}
	verifier, err := cosign.New(v.Options)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return verifier, nil
}

func (v *verification) isType(got string) error {
	want := v.typ
	if long, ok := predicateTypes[want]; ok {
		want = long
	}
	if want != "" && got != want {
		return failf(exitEvidence, "%s: predicate type %q, want %q", provenance.CodePredicate, got, want)
	}
	return nil
}

// openArtifact reads sha256:… and sha512:… as digests unless a file has that
// name, and anything else as a file.
func openArtifact(name string) (a cosign.Artifact, closed func(), err error) {
	closed = func() {}
	f, err := os.Open(name)
	if err != nil {
		d, notDigest := provenance.ParseDigest(name)
		if notDigest != nil && (strings.HasPrefix(name, "sha256:") || strings.HasPrefix(name, "sha512:")) {
			return a, closed, notDigest
		}
		if notDigest != nil {
			return a, closed, err
		}
		return cosign.Artifact{Digest: d}, closed, nil
	}
	closed = func() { f.Close() }
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		closed()
		return a, func() {}, fmt.Errorf("%s: not a regular file: %w", name, fs.ErrInvalid)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		closed()
		return a, func() {}, err
	}
	return cosign.Artifact{Digest: provenance.Digest{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}, Content: f}, closed, nil
}

type verified struct {
	Artifact      string    `json:"artifact"`
	Signer        string    `json:"signer,omitzero"`
	Issuer        string    `json:"issuer,omitzero"`
	Key           string    `json:"key,omitzero"`
	PredicateType string    `json:"predicate_type,omitzero"`
	SignedAt      time.Time `json:"signed_at,omitzero"`
	Root          string    `json:"root,omitzero"`
}

func (v verified) text(w io.Writer) {
	fmt.Fprintf(w, "verified: %s\n", v.Artifact)
	for _, line := range [][2]string{{"signed by", v.Signer}, {"issuer", v.Issuer}, {"key", v.Key}, {"says", v.PredicateType}, {"under", v.Root}} {
		if line[1] != "" {
			fmt.Fprintf(w, "  %-9s %s\n", line[0], clean(line[1]))
		}
	}
	if !v.SignedAt.IsZero() {
		fmt.Fprintf(w, "  %-9s %s\n", "at", v.SignedAt.UTC().Format(time.RFC3339))
	}
}
