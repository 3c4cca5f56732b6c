package svid

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/fulcio/pkg/certificate"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"plastron/log"
	"plastron/log/proof"
)

// A world is a trust domain whose every key is in the test's hands: its CA signs
// anything, and its log cosigns at any time. It speaks the real formats, and
// keeps its tree with merkle's own test tree.
type world struct {
	*ledger
	td     spiffeid.TrustDomain
	caKey  *ecdsa.PrivateKey
	ca     *x509.Certificate
	a      *Authority
	bundle *x509bundle.Bundle
	now    time.Time
}

// A ledger is the world's log.
type ledger struct {
	tree      *testonly.Tree
	key       crypto.Signer
	signer    *proof.Signer
	cosigners []*proof.Signer
	policy    *log.Policy
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldWith(t, "all", "wit1", "wit2")
}

// newWorldWith makes a world whose log has witnesses. The quorum is "all" or
// "any" of them, or "none".
func newWorldWith(t testing.TB, quorum string, witnesses ...string) *world {
	t.Helper()
	return newWorldAt(t, epoch, quorum, witnesses...)
}

func newWorldAt(t testing.TB, now time.Time, quorum string, witnesses ...string) *world {
	t.Helper()
	w := &world{
		ledger: newLedger(t, quorum, witnesses...),
		td:     spiffeid.RequireTrustDomainFromString("acme.example"),
		caKey:  newP256(t), now: now,
	}
	w.ca = must(NewCA(w.td, w.caKey, now.Add(-time.Hour), now.Add(240*time.Hour)))(t)
	w.bundle = x509bundle.FromX509Authorities(w.td, []*x509.Certificate{w.ca})
	w.a = must(NewAuthority(Config{
		TrustDomain: w.td, Certificate: w.ca, Key: w.caKey, Policy: w.policy, Now: func() time.Time { return w.now },
	}))(t)
	return w
}

func newLedger(t testing.TB, quorum string, witnesses ...string) *ledger {
	t.Helper()
	const origin = "log.acme.example/gate"
	l := &ledger{tree: testonly.New(rfc6962.DefaultHasher), key: newEd25519(t)}
	l.signer = must(proof.NewLogSigner(origin, l.key))(t)
	var text strings.Builder
	fmt.Fprintf(&text, "log %s\n", l.signer.VKey())
	for _, name := range witnesses {
		c := must(proof.NewCosigner("witness.example/"+name, newEd25519(t)))(t)
		l.cosigners = append(l.cosigners, c)
		fmt.Fprintf(&text, "witness %s %s\n", name, c.VKey())
	}
	if quorum != "none" {
		fmt.Fprintf(&text, "group those %s %s\n", quorum, strings.Join(witnesses, " "))
		quorum = "those"
	}
	fmt.Fprintf(&text, "quorum %s\n", quorum)
	l.policy = must(proof.ParsePolicy([]byte(text.String())))(t)
	for i := range 5 {
		l.tree.AppendData(fmt.Appendf(nil, "entry %d", i))
	}
	return l
}

// log appends an entry and some more after it, and returns its proof, cosigned
// at the given time.
func (l *ledger) log(t testing.TB, entry []byte, at time.Time) proof.Proof {
	t.Helper()
	index := l.tree.Size()
	l.tree.AppendData(entry)
	for i := range 6 {
		l.tree.AppendData(fmt.Appendf(nil, "after %d %d", index, i))
	}
	return l.prove(t, index, l.checkpoint(t, l.cosigners, at))
}

func (l *ledger) prove(t testing.TB, index uint64, note []byte) proof.Proof {
	t.Helper()
	p := proof.Proof{Index: index, Checkpoint: note}
	for _, h := range must(l.tree.InclusionProof(index, l.tree.Size()))(t) {
		p.Hashes = append(p.Hashes, proof.Hash(h))
	}
	return p
}

func (l *ledger) checkpoint(t testing.TB, cosigners []*proof.Signer, at time.Time) []byte {
	t.Helper()
	c := proof.Checkpoint{Origin: l.policy.Origin(), Size: l.tree.Size(), Root: proof.Hash(l.tree.Hash())}
	note := must(l.signer.Sign(c))(t)
	signed := note
	for _, w := range cosigners {
		signed = append(signed[:len(signed):len(signed)], must(w.Cosign(note, at))(t)...)
	}
	return signed
}

// draft returns a grant that has a bit of everything.
func (w *world) draft(t testing.TB) Draft {
	t.Helper()
	renews := uint64(3)
	return Draft{
		ID: spiffeid.RequireFromString("spiffe://acme.example/shop/api"), Key: newP256(t).Public(),
		NotBefore: w.now.Add(-10 * time.Second), NotAfter: w.now.Add(time.Hour),
		Build: github(),
		Decision: Decision{
			Record: sha256.Sum256([]byte("record")), Policy: 1, Decided: 4, Spent: [][32]byte{{1}, {2}},
			Artifact: "sha256:" + strings.Repeat("ab", 32), Tie: Measured,
			Floors: []string{"who:institution", "what:institution", "where:hardware"}, Insecure: []string{"insecure_software_tpm"},
			Renews: &renews,
		},
	}
}

// github returns the facts of a build on GitHub, with those that Fulcio has
// deprecated.
func github() *certificate.Extensions {
	return &certificate.Extensions{
		Issuer:                "https://token.actions.githubusercontent.com",
		GithubWorkflowTrigger: "push", GithubWorkflowSHA: strings.Repeat("5", 40), GithubWorkflowRepository: "acme/shop",
		BuildSignerURI:      "https://github.com/acme/shop/.github/workflows/release.yml@refs/tags/v1.4.2",
		BuildSignerDigest:   strings.Repeat("5", 40),
		RunnerEnvironment:   "github-hosted",
		SourceRepositoryURI: "https://github.com/acme/shop", SourceRepositoryDigest: strings.Repeat("5", 40),
		SourceRepositoryRef: "refs/tags/v1.4.2", SourceRepositoryIdentifier: "512345",
		SourceRepositoryOwnerURI: "https://github.com/acme", SourceRepositoryOwnerIdentifier: "98765",
		BuildConfigURI: "https://github.com/acme/shop/.github/workflows/release.yml@refs/tags/v1.4.2", BuildConfigDigest: strings.Repeat("5", 40),
		BuildTrigger: "push", RunInvocationURI: "https://github.com/acme/shop/actions/runs/1/attempts/1",
		SourceRepositoryVisibilityAtSigning: "private", Subject: "repo:acme/shop:ref:refs/tags/v1.4.2",
	}
}

// certify logs a TBSCertificate honestly and signs it with the proof in it,
// whatever it says: the CA of a world asks no questions.
func (w *world) certify(t testing.TB, tbs []byte) *x509.Certificate {
	t.Helper()
	return parse(t, w.sign(t, must(splice(tbs, w.compact(t, tbs, w.now)))(t)))
}

// compact logs a TBSCertificate, cosigned at the given time, and returns the
// compact proof.
func (l *ledger) compact(t testing.TB, tbs []byte, at time.Time) []byte {
	t.Helper()
	entry := must(proof.Frame(proof.X509SVID, tbs))(t)
	return must(l.log(t, entry, at).Compact(l.policy))(t)
}

func (w *world) sign(t testing.TB, tbs []byte) []byte {
	t.Helper()
	digest := sha256.Sum256(tbs)
	return join(tbs, must(ecdsa.SignASN1(rand.Reader, w.caKey, digest[:]))(t))
}

func (w *world) verifier() *Verifier {
	return &Verifier{Bundle: w.bundle, Policy: w.policy, Now: func() time.Time { return w.now }}
}

// parse makes a chain's certificate of DER that crypto/x509 may not like: a
// Verifier reads the raw bytes alone.
func parse(t testing.TB, raw []byte) *x509.Certificate {
	t.Helper()
	if c, err := x509.ParseCertificate(raw); err == nil {
		return c
	}
	return &x509.Certificate{Raw: raw}
}

func newP256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
}

func newEd25519(t testing.TB) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantError fails unless err says text.
func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want one that says %q", err, text)
	}
}
