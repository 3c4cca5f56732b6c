package provenance_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"plastron/provenance"
	"plastron/provenance/provenancetest"
)

func TestVerifyArtifact(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	v, real, artifact := genuine(t)
	const (
		jsSigner = "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main"
		jsIssuer = "https://token.actions.githubusercontent.com"
	)
	spdx := slsaV1()
	spdx["predicateType"] = "https://spdx.dev/Document"
	blob := []byte("the shop")
	sum := sha256.Sum256(blob)
	blobDigest := provenance.Digest{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
	plainSignature, err := l.SignBlob(t.Context(), l.token(nil), blob)
	if err != nil {
		t.Fatal(err)
	}
	me := provenance.Expectation{Identity: "https://github.com/" + workflow, Issuer: l.issuer.URL()}
	both, err := provenance.New([]provenance.Root{publicGood(t), {Name: "local", TrustedRoot: l.TrustedRoot()}})
	if err != nil {
		t.Fatal(err)
	}
	const ok = provenance.Code("")
	for _, row := range []struct {
		name     string
		v        *provenance.Verifier
		bundle   []byte
		artifact provenance.Digest
		want     provenance.Expectation
		code     provenance.Code
		typ      string
	}{
		{"genuine", v, real, artifact, provenance.Expectation{Identity: jsSigner, Issuer: jsIssuer}, ok, "https://slsa.dev/provenance/v1"},
		{"genuine by pattern", v, real, artifact, provenance.Expectation{IdentityRegexp: `https://github\.com/sigstore/.*`, IssuerRegexp: `https://.*\.githubusercontent\.com`}, ok, "https://slsa.dev/provenance/v1"},
		{"any predicate type", l.Verifier, l.sign(t, text(spdx)), shop, me, ok, "https://spdx.dev/Document"},
		{"plain signature", l.Verifier, plainSignature, blobDigest, me, ok, ""},
		{"plain signature of another artifact", l.Verifier, plainSignature, shop, me, provenance.CodeSubject, ""},
		{"another artifact", v, real, shop, provenance.Expectation{Identity: jsSigner, Issuer: jsIssuer}, provenance.CodeSubject, ""},
		{"another identity", v, real, artifact, provenance.Expectation{Identity: jsSigner + "x", Issuer: jsIssuer}, provenance.CodeIdentity, ""},
		{"another issuer", v, real, artifact, provenance.Expectation{Identity: jsSigner, Issuer: "https://gitlab.com"}, provenance.CodeIdentity, ""},
		{"pattern of a part", v, real, artifact, provenance.Expectation{IdentityRegexp: `https://github\.com/sigstore`, Issuer: jsIssuer}, provenance.CodeIdentity, ""},
		{"pattern that closes the group", v, real, artifact, provenance.Expectation{IdentityRegexp: `x)|(?:.*`, Issuer: jsIssuer}, provenance.CodeIdentity, ""},
		{"pattern in several lines", v, real, artifact, provenance.Expectation{IdentityRegexp: `(?m)^https$|.*sigstore`, Issuer: jsIssuer}, provenance.CodeIdentity, ""},
		{"no identity", v, real, artifact, provenance.Expectation{Issuer: jsIssuer}, provenance.CodeIdentity, ""},
		{"no issuer", v, real, artifact, provenance.Expectation{Identity: jsSigner}, provenance.CodeIdentity, ""},
		{"identity and pattern", v, real, artifact, provenance.Expectation{Identity: jsSigner, IdentityRegexp: ".*", Issuer: jsIssuer}, provenance.CodeIdentity, ""},
		{"another root", l.Verifier, real, artifact, provenance.Expectation{Identity: jsSigner, Issuer: jsIssuer}, provenance.CodeLog, ""},
		{"another identity among roots", both, real, artifact, provenance.Expectation{Identity: "x", Issuer: jsIssuer}, provenance.CodeIdentity, ""},
		{"genuine among roots", both, real, artifact, provenance.Expectation{Identity: jsSigner, Issuer: jsIssuer}, ok, "https://slsa.dev/provenance/v1"},
		{"not a bundle", v, []byte("{}"), artifact, provenance.Expectation{Identity: jsSigner, Issuer: jsIssuer}, provenance.CodeMalformed, ""},
		{"name twice", v, []byte(`{"mediaType":"x",` + string(real[1:])), artifact, provenance.Expectation{Identity: jsSigner, Issuer: jsIssuer}, provenance.CodeMalformed, ""},
	} {
		s, err := row.v.VerifyArtifact(t.Context(), row.bundle, row.artifact, row.want)
		switch {
		case row.code == ok && err != nil:
			t.Errorf("%s: refused: %v", row.name, err)
		case row.code == ok && (s.PredicateType() != row.typ || s.SignedAt().IsZero() || s.Root() == "" || s.Extensions().Issuer == "" ||
			!strings.HasPrefix(s.Signer(), "https://github.com/")):
			t.Errorf("%s: %+v", row.name, s)
		case row.code != ok && err == nil:
			t.Errorf("%s: accepted: %+v", row.name, s)
		case row.code != ok && codeOf(t, err) != row.code:
			t.Errorf("%s: refused as %v, want %s", row.name, err, row.code)
		}
	}
}

// The lenient profile is lenient about manners, not about proof.
func TestVerifyArtifactMisbehaving(t *testing.T) {
	t.Parallel()
	for fault, want := range map[provenancetest.Fault]provenance.Code{
		provenancetest.NoSCT:             provenance.CodeCertificate,
		provenancetest.ForeignSCT:        provenance.CodeCertificate,
		provenancetest.ForeignCA:         provenance.CodeCertificate,
		provenancetest.ExpiredLeaf:       provenance.CodeTime,
		provenancetest.OtherTree:         provenance.CodeLog,
		provenancetest.ForeignCheckpoint: provenance.CodeLog,
		provenancetest.Unlogged:          provenance.CodeLog,
		provenancetest.ForeignTimestamp:  provenance.CodeTime,
		provenancetest.NoTimestamp:       provenance.CodeTime,
	} {
		l := newLab(t)
		l.Misbehave(fault)
		_, err := l.VerifyArtifact(t.Context(), l.sign(t, text(slsaV1())), shop,
			provenance.Expectation{Identity: "https://github.com/" + workflow, Issuer: l.issuer.URL()})
		if got := codeOf(t, err); got != want {
			t.Errorf("fault %d: refused as %v, want %s", fault, err, want)
		}
	}
}
