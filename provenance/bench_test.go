package provenance_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"plastron/provenance"
)

// What a bundle costs that no verifier saw before, GitHub's and the lab's,
// beside sigstore-go alone with the same checks; and what it costs again. The
// two take turns, for a shared machine is never the same twice, and are measured
// in user and system time.
func BenchmarkVerify(b *testing.B) {
	l := sharedLab(b)
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
		{
			"local",
			provenance.Root{Name: "local", TrustedRoot: l.TrustedRoot()},
			l.sign(b, text(slsaV1())), shop,
			"https://github.com/" + workflow, l.issuer.URL(),
		},
	} {
		v, err := provenance.New([]provenance.Root{row.root})
		if err != nil {
			b.Fatal(err)
		}
		tr, err := root.NewTrustedRootFromJSON(row.root.TrustedRoot)
		if err != nil {
			b.Fatal(err)
		}
		theirs, err := verify.NewVerifier(tr, verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
		if err != nil {
			b.Fatal(err)
		}
		n := 0 // never reset, so that no run repeats another's bundles
		b.Run(row.name+"/unseen", func(b *testing.B) {
			var ours, plain time.Duration
			runs := 0
			for b.Loop() {
				n, runs = n+1, runs+1
				ours += spent(b, func() error {
					_, err := v.Verify(b.Context(), unlike(row.bundle, n), row.artifact)
					return err
				})
				plain += spent(b, func() error {
					_, err := plainVerify(theirs, row.bundle, row.artifact, row.san, row.issuer)
					return err
				})
			}
			per := float64(runs) * float64(time.Millisecond)
			b.ReportMetric(float64(ours)/per, "ours-ms/op")
			b.ReportMetric(float64(plain)/per, "sigstore-go-ms/op")
			b.ReportMetric(float64(ours)/float64(plain), "ratio")
		})
		b.Run(row.name+"/seen", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), row.bundle, row.artifact); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// spent is the CPU time f takes.
func spent(b *testing.B, f func() error) time.Duration {
	before := cpu(b)
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return cpu(b) - before
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// unlike is the same bundle in other bytes: n in white space behind it.
func unlike(bundle []byte, n int) []byte {
	out := slices.Clone(bundle)
	for ; n > 0; n >>= 1 {
		out = append(out, " \n"[n&1])
	}
	return out
}
