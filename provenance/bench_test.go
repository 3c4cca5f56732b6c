package provenance_test

import (
	"testing"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"plastron/provenance"
)

// What a bundle costs that no verifier saw before, GitHub's and the lab's,
// beside sigstore-go alone with the same checks; and what it costs again.
func BenchmarkVerify(b *testing.B) {
	l := sharedLab(b)
	local := provenance.Root{Name: "local", TrustedRoot: l.TrustedRoot()}
	_, real, artifact := genuine(b)
	for _, row := range []struct {
		name        string
		root        provenance.Root
		bundle      []byte
		artifact    provenance.Digest
		san, issuer string
	}{
		{
			"github", publicGood(b), real, artifact,
			"https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main", "https://token.actions.githubusercontent.com",
		},
		{"local", local, l.sign(b, text(slsaV1())), shop, "https://github.com/" + workflow, l.issuer.URL()},
	} {
		b.Run(row.name+"/unseen", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				v, err := provenance.New([]provenance.Root{row.root})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if _, err := v.Verify(b.Context(), row.bundle, row.artifact); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(row.name+"/sigstore-go", func(b *testing.B) {
			tr, err := root.NewTrustedRootFromJSON(row.root.TrustedRoot)
			if err != nil {
				b.Fatal(err)
			}
			v, err := verify.NewVerifier(tr, verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := plainVerify(v, row.bundle, row.artifact, row.san, row.issuer); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(row.name+"/seen", func(b *testing.B) {
			v, err := provenance.New([]provenance.Root{row.root})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), row.bundle, row.artifact); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
