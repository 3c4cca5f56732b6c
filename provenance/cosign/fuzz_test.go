package cosign_test

import (
	"bytes"
	"errors"
	"testing"

	"plastron/provenance"
	"plastron/provenance/cosign"
)

// FuzzVerify: no bytes make Verify panic, answer without a code, or accept a
// bundle that is not by the one who signed the genuine one.
func FuzzVerify(f *testing.F) {
	genuine := public(f, "sigstore.js@2.0.0-provenance.sigstore.json")
	v, err := cosign.New(cosign.Options{Roots: []provenance.Root{{Name: "public-good", TrustedRoot: public(f, "public-good.json")}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(genuine)
	f.Add(bytes.Replace(genuine, []byte(`"dsseEnvelope"`), []byte(`"messageSignature"`), 1))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"x"},"tlogEntries":[]},` +
		`"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AAAA"},"signature":"AAAA"}}`))
	js := byDigest(provenance.Digest{Algorithm: "sha512", Hex: jsDigest})
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := v.Verify(t.Context(), text, js, cosign.Expectation{IdentityRegexp: ".*", IssuerRegexp: ".*"})
		var e *provenance.Error
		switch {
		case err == nil && s.Signer() != jsSigner:
			t.Errorf("accepted of %q", s.Signer())
		case err != nil && !errors.As(err, &e):
			t.Errorf("refused without a code: %v", err)
		}
	})
}
