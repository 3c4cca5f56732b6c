package gate_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net/url"
	"runtime"
	"testing"
	"time"

	"plastron/gate"
	"plastron/node"
	"plastron/node/tpm"
)

// BenchmarkIssue is a whole issuance without the network: fresh token, fresh
// quote, known bundle, one witness. Its peer, beside it, is what any issuer
// pays: a CSR check and x509.CreateCertificate.
func BenchmarkIssue(b *testing.B) {
	w := newWorld(b)
	key := newKey(b)
	first := w.full(key)
	w.issue(first)
	d := must(tpm.NewDevice(w.tpm, tpm.ECDSA))(b)
	defer d.Close()
	b.Run("gate", func(b *testing.B) {
		// Requests are made beforehand: a beacon is good for two minutes.
		requests := make(chan *gate.Request, b.N)
		for range b.N {
			key := newKey(b)
			r := w.plain(key)
			r.Bundle, r.Artifact = first.Bundle, first.Artifact
			r.Evidence = []node.Evidence{must(d.Quote(bindOf(b, r, key), tpm.DefaultPCRs))(b)}
			requests <- r
		}
		b.SetParallelism(16 / runtime.GOMAXPROCS(0))
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := w.gate.Issue(context.Background(), <-requests); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("floor", func(b *testing.B) {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
			URIs: []*url.URL{{Scheme: "spiffe", Host: "acme.example", Path: "/x"}},
		}
		b.ReportAllocs()
		for b.Loop() {
			r := must(x509.ParseCertificateRequest(first.CSR))(b)
			if err := r.CheckSignature(); err != nil {
				b.Fatal(err)
			}
			must(x509.CreateCertificate(rand.Reader, template, template, r.PublicKey, key))(b)
		}
	})
}
