package svid_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sigstore/fulcio/pkg/certificate"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/log"
	"plastron/log/proof"
	"plastron/svid"
)

// A relying party pins a trust bundle and a log policy, and admits peers by what
// they were built from. It calls nobody. In a server, give the Verifier's
// VerifyConnection to tls.Config, or use its TLSConfig.
func ExampleVerifier() {
	chain, bundle, policy := issue() // what a peer sends, and what we have pinned

	v := &svid.Verifier{
		Bundle: bundle,
		Policy: policy,
		Authorize: func(p *svid.Peer) error {
			build, ok := p.Build()
			if !ok || build.SourceRepositoryIdentifier != "512345" {
				return errors.New("not built from our repository")
			}
			if p.Decision().Tie != svid.Measured {
				return errors.New("nobody measured what runs")
			}
			return nil
		},
	}
	peer, err := v.Verify(chain)
	if err != nil {
		fmt.Println(err)
		return
	}
	build, _ := peer.Build()
	fmt.Println(peer.ID())
	fmt.Println("built from", build.SourceRepositoryURI, "at", build.SourceRepositoryRef)
	fmt.Println("stands on", peer.Decision().Floors)
	fmt.Println("log entry", peer.Index())
	// Output:
	// spiffe://acme.example/shop/api
	// built from https://github.com/acme/shop at refs/tags/v1.4.2
	// stands on [who:institution what:institution where:hardware]
	// log entry 1
}

// issue is the gate's side: draft, append, and only then mint.
func issue() ([]*x509.Certificate, *x509bundle.Bundle, *log.Policy) {
	ctx := context.Background()
	td := spiffeid.RequireTrustDomainFromString("acme.example")
	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	check(err)
	signer, err := proof.NewLogSigner("log.acme.example/gate", logKey)
	check(err)
	policy, err := proof.ParsePolicy([]byte("log " + signer.VKey() + "\nquorum none\n"))
	check(err)
	dir, err := os.MkdirTemp("", "svid")
	check(err)
	defer os.RemoveAll(dir)
	l, err := log.Open(ctx, log.Options{Dir: filepath.Join(dir, "log"), Lock: filepath.Join(dir, "lock"), Signer: signer, Policy: policy})
	check(err)
	defer l.Close()
	append := func(kind proof.Kind, body []byte, decided uint64) *log.Receipt {
		entry, err := proof.Frame(kind, body)
		check(err)
		receipt, err := l.Append(ctx, entry, log.Conditions{Decided: decided})
		check(err)
		return receipt
	}
	append(proof.Statement, []byte(`{"the policy": "would be here"}`), log.Unconditional)

	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	ca, err := svid.SelfSign(td, caKey)
	check(err)
	authority, err := svid.NewAuthority(svid.Config{TrustDomain: td, Certificate: ca, Key: caKey, Policy: policy})
	check(err)

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // the workload's
	check(err)
	now := time.Now()
	tbs, err := authority.Draft(svid.Draft{
		ID: spiffeid.RequireFromPath(td, "/shop/api"), Key: key.Public(),
		NotBefore: now.Add(-10 * time.Second), NotAfter: now.Add(time.Hour),
		Build: &certificate.Extensions{
			Issuer: "https://token.actions.githubusercontent.com", SourceRepositoryURI: "https://github.com/acme/shop",
			SourceRepositoryRef: "refs/tags/v1.4.2", SourceRepositoryIdentifier: "512345",
		},
		Decision: svid.Decision{
			Record: sha256.Sum256([]byte("the decision record")), Policy: 0, Decided: 1,
			Artifact: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("the program"))), Tie: svid.Measured,
			Floors: []string{"who:institution", "what:institution", "where:hardware"},
		},
	})
	check(err)
	s, err := authority.Mint(append(proof.X509SVID, tbs, 1))
	check(err)
	return []*x509.Certificate{s.Certificate()}, x509bundle.FromX509Authorities(td, authority.Certificates()), policy
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
