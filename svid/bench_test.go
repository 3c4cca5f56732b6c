package svid

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"testing"

	"plastron/log/proof"
)

// deep returns a world with one witness whose log has about n entries, and an
// SVID in it.
func deep(b *testing.B, n int) (*world, []byte, []byte) {
	w := newWorldWith(b, "all", "wit1")
	for i := range n {
		w.tree.AppendData([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
	}
	tbs := must(w.a.Draft(w.draft(b)))(b)
	return w, tbs, w.certify(b, tbs).Raw
}

// BenchmarkVerify is the whole offline check. "seen" is a peer whose checkpoint
// the policy has verified lately; "signatures" is what "unseen" must do at the
// least: one P-256 and two Ed25519 signatures.
func BenchmarkVerify(b *testing.B) {
	w, _, raw := deep(b, 1<<17)
	c := parse(b, raw)
	b.Run("seen", func(b *testing.B) {
		b.ReportAllocs()
		v := w.verifier()
		for b.Loop() {
			must(v.Verify(chain(c)))(b)
		}
		b.ReportMetric(float64(len(raw)), "B/cert")
	})
	b.Run("unseen", func(b *testing.B) {
		b.ReportAllocs()
		v := w.verifier()
		text := w.policy.Text()
		for b.Loop() {
			v.Policy = must(proof.ParsePolicy(text))(b) // remembers nothing yet
			must(v.Verify(chain(c)))(b)
		}
	})
	b.Run("logged", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			must(VerifyLogged(raw, w.policy, w.now))(b)
		}
	})
	b.Run("signatures", func(b *testing.B) {
		message := make([]byte, 120)
		public := w.ledger.key.Public().(ed25519.PublicKey)
		signature := must(w.ledger.key.Sign(nil, message, crypto.Hash(0)))(b)
		tbs, ca, err := split(raw)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			digest := sha256.Sum256(tbs)
			if !ecdsa.VerifyASN1(&w.caKey.PublicKey, digest[:], ca) || !ed25519.Verify(public, message, signature) || !ed25519.Verify(public, message, signature) {
				b.Fatal("a signature does not verify")
			}
		}
	})
}

func BenchmarkParseTBS(b *testing.B) {
	_, tbs, _ := deep(b, 0)
	b.ReportAllocs()
	for b.Loop() {
		must(ParseTBS(tbs))(b)
	}
}

// BenchmarkMint is what a batch's second receipt costs, and its first, beside
// what every issuer does: x509.CreateCertificate, which checks its signature
// too.
func BenchmarkMint(b *testing.B) {
	g := newGate(b)
	d := g.draft(b)
	r := g.append(b, proof.X509SVID, must(g.a.Draft(d))(b))
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			must(g.a.Mint(r))(b)
		}
	})
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		text := g.policy.Text()
		for b.Loop() {
			g.a.policy = must(proof.ParsePolicy(text))(b) // remembers nothing yet
			must(g.a.Mint(r))(b)
		}
	})
	b.Run("x509", func(b *testing.B) {
		b.ReportAllocs()
		template := template(b, d, big.NewInt(1))
		for b.Loop() {
			must(x509.CreateCertificate(rand.Reader, template, g.ca, d.Key, g.caKey))(b)
		}
	})
}

func BenchmarkDraft(b *testing.B) {
	w := newWorldWith(b, "none")
	d := w.draft(b)
	b.ReportAllocs()
	for b.Loop() {
		must(w.a.Draft(d))(b)
	}
}
