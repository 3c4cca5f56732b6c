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
// beside sigstore-go alone with the same checks; and what it costs again.
// cpu-ms/op is user and system time, which a busy machine does not lengthen.
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
		n := 0 // never reset, so that no run repeats another's bundles
		b.Run(row.name+"/unseen", func(b *testing.B) {
			measure(b, func() error {
				n++
				_, err := v.Verify(b.Context(), unlike(row.bundle, n), row.artifact)
				return err
			})
		})
		b.Run(row.name+"/sigstore-go", func(b *testing.B) {
			tr, err := root.NewTrustedRootFromJSON(row.root.TrustedRoot)
			if err != nil {
				b.Fatal(err)
			}
			theirs, err := verify.NewVerifier(tr, verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
			if err != nil {
				b.Fatal(err)
			}
			measure(b, func() error {
				_, err := plainVerify(theirs, row.bundle, row.artifact, row.san, row.issuer)
				return err
			})
		})
		b.Run(row.name+"/seen", func(b *testing.B) {
			measure(b, func() error {
				_, err := v.Verify(b.Context(), row.bundle, row.artifact)
				return err
			})
		})
	}
}

// measure runs f and reports the CPU it took.
func measure(b *testing.B, f func() error) {
	b.ReportAllocs()
	before := cpu(b)
	n := 0
	for b.Loop() {
		if err := f(); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(time.Millisecond)/float64(n), "cpu-ms/op")
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
