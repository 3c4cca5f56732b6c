package provenance_test

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"plastron/provenance"
	"plastron/provenance/provenancetest"
)

// The genuine bundle: npm's provenance of sigstore 2.0.0, made by GitHub Actions
// under the public-good Sigstore. testdata/README.md tells its origin.
const genuineDigest = "sha512:46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c"

func public(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "cmd", "plastron", "public", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func publicGood(t testing.TB) provenance.Root {
	return provenance.Root{Name: "public-good", TrustedRoot: public(t, "public-good.json")}
}

func genuine(t testing.TB) (v *provenance.Verifier, bundle []byte, artifact provenance.Digest) {
	t.Helper()
	v, err := provenance.New([]provenance.Root{publicGood(t)})
	if err != nil {
		t.Fatal(err)
	}
	artifact, err = provenance.ParseDigest(genuineDigest)
	if err != nil {
		t.Fatal(err)
	}
	return v, public(t, "sigstore.js@2.0.0-provenance.sigstore.json"), artifact
}

func TestGenuine(t *testing.T) {
	t.Parallel()
	v, text, artifact := genuine(t)
	b, err := v.Verify(t.Context(), text, artifact)
	if err != nil {
		t.Fatal(err)
	}
	if !b.Verified() {
		t.Error("a verified build says it is not")
	}
	const uri = "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main"
	for _, row := range []struct{ fact, got, want string }{
		{"root", b.Root(), "public-good"},
		{"issuer", b.Issuer(), "https://token.actions.githubusercontent.com"},
		{"signer", b.Signer(), uri},
		{"signer URI", b.Extensions().BuildSignerURI, uri},
		{"predicate type", b.PredicateType(), "https://slsa.dev/provenance/v1"},
		{"build type", b.BuildType(), "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1"},
		{"builder", b.Builder(), "https://github.com/actions/runner/github-hosted"},
		{"source", b.SourceRepository(), "github.com/sigstore/sigstore-js"},
		{"repository id", b.RepositoryID(), "495574555"},
		{"owner id", b.OwnerID(), "71096353"},
		{"commit", b.Commit(), "f0b49a04e5a62250e0f60fb128004a73110fe311"},
		{"ref", b.Ref(), "refs/heads/main"},
		{"event", b.Event(), "push"},
		{"runner", b.Runner(), "github-hosted"},
		{"run", b.Run(), "https://github.com/sigstore/sigstore-js/actions/runs/5904696764/attempts/1"},
		{"subject", b.SubjectName(), "pkg:npm/sigstore@2.0.0"},
		{"artifact", b.Artifact().String(), genuineDigest},
		{"signed", b.SignedAt().Format(time.RFC3339), "2023-08-18T16:05:35Z"},
		{"logged", b.LoggedAt().Format(time.RFC3339), "2023-08-18T16:05:35Z"},
		{"log", b.Log(), "https://rekor.sigstore.dev"},
		{"anchors", strings.Join(b.Anchors(), " "), "ct-key:dd3d306ac6c7113263191e1c99673702a24a5eb8de3cadff878a72802f29ee8e " +
			"fulcio-ca:3ba7b6cc4e95469d4d334b49cb257ad8537076fa84b0ca87ff4ecfe6a54680c1 " +
			"rekor-key:c0d23d6ad406973f9559f3ba2d1ca01f84147d8ffc5b8445c224f98b9591801d"},
		{"statement", hexOf(b.Statement()), "0742a6fe2a91eb7e2c274144f6123f59a799732c9d9bfd3b7feac487f72eb44c"},
	} {
		if row.got != row.want {
			t.Errorf("%s is %q, want %q", row.fact, row.got, row.want)
		}
	}
	if b.LogIndex() != 31821305 {
		t.Errorf("log index %d", b.LogIndex())
	}
	if !slices.Equal(b.Digests(), []provenance.Digest{artifact}) {
		t.Errorf("digests %v", b.Digests())
	}
	again, err := v.Verify(t.Context(), text, artifact)
	if err != nil || again != b {
		t.Errorf("the same bundle again: %p %v, want the remembered %p", again, err, b)
	}
}

func hexOf(h [32]byte) string { return hex.EncodeToString(h[:]) }

// The local Sigstore must be one by sigstore-go's measure, every check on, for
// what it teaches about refusals to mean anything.
func TestLocalPassesPlainSigstore(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	signed := l.sign(t, text(slsaV1()))
	result, err := plain(l.TrustedRoot(), signed, shop, "https://github.com/"+workflow, l.issuer.URL())
	if err != nil {
		t.Fatal(err)
	}
	if len(result.VerifiedTimestamps) != 1 || result.VerifiedTimestamps[0].Type != "TimestampAuthority" {
		t.Errorf("times %v", result.VerifiedTimestamps)
	}
	b, err := l.Verify(t.Context(), signed, shop)
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Signature.Certificate; got.SourceRepositoryIdentifier != b.RepositoryID() || got.RunInvocationURI != b.Run() || b.Run() == "" {
		t.Errorf("sigstore-go reads %+v, we %+v", got, b.Extensions())
	}
	if want := jobClaims["sub"]; b.Extensions().Subject != want {
		t.Errorf("token subject %q, want %q", b.Extensions().Subject, want)
	}
	if !b.LoggedAt().IsZero() || time.Since(b.SignedAt()) > time.Hour || b.LogIndex() < 1000 {
		t.Errorf("logged %v signed %v index %d", b.LoggedAt(), b.SignedAt(), b.LogIndex())
	}
	var roles []string
	for _, a := range b.Anchors() {
		role, _, _ := strings.Cut(a, ":")
		roles = append(roles, role)
	}
	if want := []string{"ct-key", "fulcio-ca", "rekor-key", "tsa-ca"}; !slices.Equal(roles, want) {
		t.Errorf("anchors by role %v, want %v", roles, want)
	}
}

// plain is sigstore-go alone, as its documentation uses it.
func plain(trusted, signed []byte, artifact provenance.Digest, san, issuer string) (*verify.VerificationResult, error) {
	tr, err := root.NewTrustedRootFromJSON(trusted)
	if err != nil {
		return nil, err
	}
	v, err := verify.NewVerifier(tr, verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	if err != nil {
		return nil, err
	}
	return plainVerify(v, signed, artifact, san, issuer)
}

func plainVerify(v *verify.Verifier, signed []byte, artifact provenance.Digest, san, issuer string) (*verify.VerificationResult, error) {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(signed); err != nil {
		return nil, err
	}
	id, err := verify.NewShortCertificateIdentity(issuer, "", san, "")
	if err != nil {
		return nil, err
	}
	digest, err := hex.DecodeString(artifact.Hex)
	if err != nil {
		return nil, err
	}
	return v.Verify(&b, verify.NewPolicy(verify.WithArtifactDigest(artifact.Algorithm, digest), verify.WithCertificateIdentity(id)))
}

// codeOf is the code of a refusal; a test that gets another kind of error fails.
func codeOf(t testing.TB, err error) provenance.Code {
	t.Helper()
	var e *provenance.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T) is not a *provenance.Error", err, err)
	}
	return e.Code
}

func TestMisbehavingSigstore(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		fault provenancetest.Fault
		want  provenance.Code
	}{
		{"S7 no SCT", provenancetest.NoSCT, provenance.CodeCertificate},
		{"S7 SCT by another key", provenancetest.ForeignSCT, provenance.CodeCertificate},
		{"S7 another root of the same names", provenancetest.ForeignCA, provenance.CodeCertificate},
		{"S7 leaf is a CA", provenancetest.CALeaf, provenance.CodeCertificate},
		{"certificate ended before the signature", provenancetest.ExpiredLeaf, provenance.CodeTime},
		{"certificate names no issuer", provenancetest.NoIssuer, provenance.CodeIdentity},
		{"proof in a tree without the entry", provenancetest.OtherTree, provenance.CodeLog},
		{"S17 checkpoint by another key", provenancetest.ForeignCheckpoint, provenance.CodeLog},
		{"not logged", provenancetest.Unlogged, provenance.CodeLog},
		{"timestamp by another authority", provenancetest.ForeignTimestamp, provenance.CodeTime},
		{"timestamp of other bytes", provenancetest.OtherTimestamp, provenance.CodeTime},
		{"no timestamp", provenancetest.NoTimestamp, provenance.CodeTime},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.Misbehave(row.fault)
			_, err := l.Verify(t.Context(), l.sign(t, text(slsaV1())), shop)
			if got := codeOf(t, err); got != row.want {
				t.Errorf("refused as %v (%v), want %s", got, err, row.want)
			}
		})
	}
}

// Facts of one root never combine with another's: a bundle holds under one.
func TestRootsStayApart(t *testing.T) {
	t.Parallel()
	l, other := newLab(t), newLab(t)
	both, err := provenance.New([]provenance.Root{
		publicGood(t), {Name: "other", TrustedRoot: other.TrustedRoot()}, {Name: "local", TrustedRoot: l.TrustedRoot()},
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := both.Verify(t.Context(), l.sign(t, text(slsaV1())), shop)
	if err != nil || b.Root() != "local" {
		t.Errorf("verified under %v, %v; want local", b, err)
	}
	_, err = other.Verify(t.Context(), l.sign(t, text(slsaV1())), shop)
	if got := codeOf(t, err); got != provenance.CodeLog {
		t.Errorf("a stranger's bundle is refused as %s (%v)", got, err)
	}
	// The log of one, everything else of the other: the log is known, and the
	// certificate is not under the same root.
	mixed := splice(t, l.TrustedRoot(), other.TrustedRoot(), "tlogs")
	v, err := provenance.New([]provenance.Root{{Name: "mixed", TrustedRoot: mixed}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(t.Context(), other.sign(t, text(slsaV1())), shop)
	if got := codeOf(t, err); got != provenance.CodeCertificate {
		t.Errorf("a root with another's log: refused as %s (%v)", got, err)
	}
}

// A part of the root that was not trusted at the time of signing vouches for
// nothing.
func TestRootPeriods(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	signed := l.sign(t, text(slsaV1()))
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	future := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for _, row := range []struct {
		path string
		want provenance.Code
	}{
		{"tlogs.0.publicKey.validFor", provenance.CodeTime},
		{"ctlogs.0.publicKey.validFor", provenance.CodeCertificate},
		{"certificateAuthorities.0.validFor", provenance.CodeCertificate},
		{"timestampAuthorities.0.validFor", provenance.CodeTime},
	} {
		for end, at := range map[string]string{"start": future, "end": past} {
			root := tree(string(l.TrustedRoot()))
			put(root, append(strings.Split(row.path, "."), end), at)
			v, err := provenance.New([]provenance.Root{{Name: "local", TrustedRoot: text(root)}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(t.Context(), signed, shop); err == nil || codeOf(t, err) != row.want {
				t.Errorf("%s.%s: %v, want %s", row.path, end, err, row.want)
			}
		}
	}
}

// splice takes one member of b into a.
func splice(t testing.TB, a, b []byte, member string) []byte {
	t.Helper()
	into, from := tree(string(a)), tree(string(b))
	into[member] = from[member]
	return text(into)
}

func TestNewRefusesRoots(t *testing.T) {
	t.Parallel()
	good := publicGood(t)
	without := func(member string) provenance.Root {
		m := tree(string(good.TrustedRoot))
		delete(m, member)
		return provenance.Root{Name: "spoilt", TrustedRoot: text(m)}
	}
	for name, roots := range map[string][]provenance.Root{
		"none":                     nil,
		"no name":                  {{TrustedRoot: good.TrustedRoot}},
		"one name twice":           {good, good},
		"not JSON":                 {{Name: "x", TrustedRoot: []byte("{")}},
		"no certificate authority": {without("certificateAuthorities")},
		"no transparency log":      {without("tlogs")},
		"no CT log":                {without("ctlogs")},
		"no media type":            {without("mediaType")},
	} {
		if v, err := provenance.New(roots); err == nil {
			t.Errorf("%s: made a verifier %v", name, v)
		}
	}
}

func TestZeroValues(t *testing.T) {
	t.Parallel()
	v, text, artifact := genuine(t)
	if new(provenance.Build).Verified() || (*provenance.Build)(nil).Verified() {
		t.Error("a zero build says it is verified")
	}
	for name, d := range map[string]provenance.Digest{
		"zero":       {},
		"SHA-1":      {Algorithm: "sha1", Hex: strings.Repeat("a", 40)},
		"MD5":        {Algorithm: "md5", Hex: strings.Repeat("a", 32)},
		"short":      {Algorithm: "sha512", Hex: artifact.Hex[:64]},
		"upper case": {Algorithm: "sha512", Hex: strings.ToUpper(artifact.Hex)},
		"not hex":    {Algorithm: "sha256", Hex: strings.Repeat("g", 64)},
	} {
		if _, err := v.Verify(t.Context(), text, d); codeOf(t, err) != provenance.CodeSubject {
			t.Errorf("%s digest: %v", name, err)
		}
		if got, err := provenance.ParseDigest(d.String()); err == nil || got != (provenance.Digest{}) {
			t.Errorf("%s digest is read back", name)
		}
	}
	if s := (provenance.Digest{}).String(); s != "" {
		t.Errorf("the zero digest is %q", s)
	}
	for _, zero := range []*provenance.Verifier{nil, {}} {
		if _, err := zero.Verify(t.Context(), text, artifact); codeOf(t, err) != provenance.CodeLog {
			t.Errorf("a verifier without roots: %v", err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Verify(ended, text, artifact); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: %v", err)
	}
	_, err := v.Verify(t.Context(), nil, artifact)
	if codeOf(t, err) != provenance.CodeMalformed {
		t.Errorf("no bundle: %v", err)
	}
}

func TestRefusalsAreNotRemembered(t *testing.T) {
	t.Parallel()
	v, text, artifact := genuine(t)
	if _, err := v.Verify(t.Context(), text, artifact); err != nil {
		t.Fatal(err)
	}
	other := provenance.Digest{Algorithm: "sha512", Hex: strings.Repeat("0", 128)}
	for range 2 {
		if _, err := v.Verify(t.Context(), text, other); codeOf(t, err) != provenance.CodeSubject {
			t.Errorf("another artifact under a remembered bundle: %v", err)
		}
	}
}
