package gate_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"plastron/gate"
	"plastron/gate/config"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/log/witness"
	"plastron/node"
	"plastron/node/jointoken"
	"plastron/node/tpm"
	"plastron/node/tpm/tpmtest"
	"plastron/oidc/oidctest"
	"plastron/provenance/provenancetest"
	"plastron/provenance/sign"
	"plastron/svid"
)

const policyText = `rules:
  - name: app
    id: spiffe://acme.example/app/{{ build.repository_name }}
    ttl: 1h
    token: {issuer: ci, repository_id: "512345"}
    build: {root: local, repository_id: "512345"}
    node: {any: [fleet], bound: key}
    artifact: [token]
  - name: joined
    id: spiffe://acme.example/joined/{{ token.repository_id }}
    ttl: 1h
    token: {issuer: ci, repository_id: "512345"}
    node: {any: [join]}
  - name: seed
    id: spiffe://acme.example/seed
    ttl: 1h
    node: {any: [join]}
  - name: plain
    id: spiffe://acme.example/ci/{{ token.repository_id }}
    ttl: 1h
    token: {issuer: ci, repository_id: ["512345", "2"]}
`

// A world is a gate and all that it meets, for the length of a test.
type world struct {
	t        testing.TB
	dir      string
	issuer   *oidctest.Issuer
	sigstore *provenancetest.Sigstore
	vendor   *tpmtest.CA
	tpm      *tpmtest.TPM
	witness  *httptest.Server
	down     atomic.Bool  // the witness answers nothing
	ahead    atomic.Int64 // how far the clock is ahead, ns
	made     *config.Made
	policy   *proof.Policy
	gate     *gate.Gate
	issued   func(rule string) // called for each SVID
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func (w *world) pass(d time.Duration) { w.ahead.Add(int64(d)) }

// must fails the test on an error and returns the value.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// newWorld opens a gate with one witness, an issuer, a Sigstore, a TPM in the
// inventory and join tokens.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), issuer: oidctest.New(t)}
	w.issuer.SetNow(w.now)
	w.sigstore = must(provenancetest.Start(provenancetest.Options{Issuer: w.issuer.URL()}))(t)
	t.Cleanup(w.sigstore.Close)
	w.vendor = must(tpmtest.NewCA("test vendor"))(t)
	w.tpm = must(tpmtest.New(tpmtest.Options{CA: w.vendor}))(t)
	w.write("root.json", w.sigstore.TrustedRoot())
	w.write("ek.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.vendor.Certificate().Raw}))
	w.write("ek.sha256", []byte(must(tpm.EKHash(w.tpm.EKCertificate()))(t)+"\n"))

	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cosigner := must(proof.NewCosigner("witness.example", key))(t)
	w.witness = httptest.NewUnstartedServer(nil)
	w.witness.Start()
	t.Cleanup(w.witness.Close)

	w.made = must(config.Init{
		Dir: filepath.Join(w.dir, "gate"), TrustDomain: "acme.example", Read: "open", Listen: "127.0.0.1:0",
		Witnesses: []byte("witness w1 " + cosigner.VKey() + " " + w.witness.URL + "\nquorum w1\n"),
		Issuers:   []config.Issuer{{Name: "ci", URL: w.issuer.URL(), InsecureHTTP: true}},
		Sigstore:  []config.Sigstore{{Name: "local", TrustedRoot: "../root.json"}},
		Nodes: []config.Node{
			{Name: "fleet", Kind: "tpm", InsecureSoftwareEKs: []string{"../ek.pem"}, Enrol: config.Enrol{Inventory: "../ek.sha256"}},
			{Name: "join", Kind: "join-token"},
		},
	}.Write())(t)
	w.policy = must(proof.ParsePolicy(must(os.ReadFile(w.made.LogPolicy))(t)))(t)
	w.startWitness(key)
	w.write("gate/policy.yaml", []byte(policyText))
	w.open()
	return w
}

func (w *world) startWitness(key crypto.Signer) {
	s := must(witness.NewServer(witness.Config{
		Dir: filepath.Join(w.dir, "witness"), Key: key, Name: "witness.example", Now: w.now, Logger: slog.New(slog.DiscardHandler),
		Logs: []witness.LogKey{{Origin: w.policy.Origin(), VKey: w.policy.LogVKey()}},
	}))(w.t)
	w.t.Cleanup(func() { s.Close() })
	w.witness.Config.Handler = switched(&w.down, s.Handler())
}

func (w *world) write(name string, b []byte) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), b, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// open opens the gate of the configuration, closed at the end of the test.
func (w *world) open() {
	w.t.Helper()
	f := must(config.Load(w.made.Config))(w.t)
	w.gate = must(f.Open(context.Background(), config.Runtime{
		Now: w.now, Logger: slog.New(slog.DiscardHandler), Build: "test", Issued: w.issued,
	}))(w.t)
	g := w.gate
	w.t.Cleanup(func() { g.Close() })
}

// reopen closes the gate and opens it again, as a restart does.
func (w *world) reopen() {
	w.t.Helper()
	if err := w.gate.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open()
}

// switched answers 503 while down is set.
func switched(down *atomic.Bool, h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.Error(rw, "down", http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(rw, r)
	})
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
}

// claims are those of a job of acme/shop.
func claims(audience string) map[string]any {
	const workflow = "acme/shop/.github/workflows/release.yml@refs/tags/v1"
	const commit = "0123456789abcdef0123456789abcdef01234567"
	return map[string]any{
		"aud": audience, "sub": "repo:acme/shop:ref:refs/tags/v1", "jti": rand.Text(),
		"repository": "acme/shop", "repository_id": "512345", "repository_owner": "acme", "repository_owner_id": "9",
		"repository_visibility": "public", "event_name": "push", "ref": "refs/tags/v1", "sha": commit,
		"workflow": "release", "workflow_ref": workflow, "workflow_sha": commit, "job_workflow_ref": workflow, "job_workflow_sha": commit,
		"runner_environment": "github-hosted", "run_id": "1", "run_attempt": "1",
	}
}

func (w *world) token() string { return w.issuer.Token(claims(w.policy.Origin())) }

// request is a signed request on a key, without evidence.
func (w *world) request(key *ecdsa.PrivateKey) *gate.Request {
	w.t.Helper()
	csr := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))(w.t)
	return &gate.Request{CSR: csr, Beacon: must(w.gate.Beacon(context.Background()))(w.t)}
}

// plain is a request with nothing but a fresh token.
func (w *world) plain(key *ecdsa.PrivateKey) *gate.Request {
	r := w.request(key)
	r.Token = w.token()
	return r
}

func bindOf(t testing.TB, r *gate.Request, key *ecdsa.PrivateKey) [32]byte {
	spki := must(x509.MarshalPKIXPublicKey(&key.PublicKey))(t)
	return node.Bind(sha256.Sum256(r.Beacon), spki)
}

// full is a request with token, bundle and quote; the TPM is enrolled.
func (w *world) full(key *ecdsa.PrivateKey) *gate.Request {
	w.t.Helper()
	r := w.plain(key)
	r.Bundle, r.Artifact = w.bundle()
	d := must(tpm.NewDevice(w.tpm, tpm.ECDSA))(w.t)
	defer d.Close()
	w.enrol(d, r, key)
	r.Evidence = []node.Evidence{must(d.Quote(bindOf(w.t, r, key), tpm.DefaultPCRs))(w.t)}
	return r
}

func (w *world) enrol(d *tpm.Device, r *gate.Request, key *ecdsa.PrivateKey) uint64 {
	w.t.Helper()
	index, err := w.tryEnrol(d, r, key)
	if err != nil {
		w.t.Fatal(err)
	}
	return index
}

func (w *world) tryEnrol(d *tpm.Device, r *gate.Request, key *ecdsa.PrivateKey) (uint64, error) {
	ctx := context.Background()
	spki := must(x509.MarshalPKIXPublicKey(&key.PublicKey))(w.t)
	req := must(d.EnrolRequest())(w.t)
	challenge, err := w.gate.Challenge(ctx, "tpm", req, r.Beacon, spki)
	if err != nil {
		return 0, err
	}
	answer, err := d.Activate(challenge)
	if err != nil {
		return 0, err
	}
	return w.gate.Enrol(ctx, "tpm", req, answer, r.Beacon, spki)
}

// bundle signs a small artifact as acme/shop's job.
func (w *world) bundle() (bundle []byte, artifact string) {
	w.t.Helper()
	path := filepath.Join(w.dir, "artifact")
	w.write("artifact", []byte("an artifact\n"))
	s := must(sign.FileSubject(path))(w.t)
	bundle = must(sign.Sign(context.Background(), sign.Options{
		Subjects: []sign.Subject{s}, FulcioURL: w.sigstore.FulcioURL(), RekorURL: w.sigstore.RekorURL(), TimestampURL: w.sigstore.TimestampURL(),
		TrustedRoot: w.sigstore.TrustedRoot(), IdentityToken: w.issuer.Token(claims("sigstore")),
	}))(w.t)
	for _, d := range s.Digests {
		if d.Algorithm == "sha256" {
			return bundle, d.String()
		}
	}
	w.t.Fatal("no sha256 among the subject's digests")
	return nil, ""
}

// joinToken logs a join token for a rule and returns its secret.
func (w *world) joinToken(rule string) string {
	w.t.Helper()
	token, public, err := jointoken.NewToken()
	if err != nil {
		w.t.Fatal(err)
	}
	must(w.gate.CreateToken(context.Background(), statement.JoinToken{
		Node: "join", PublicKey: public, Rule: rule, Reason: "a test", Author: "test",
		Expires: w.now().Add(30 * time.Minute).UTC().Truncate(time.Second),
	}))(w.t)
	return token
}

// join adds a join token's signature to a request.
func (w *world) join(r *gate.Request, key *ecdsa.PrivateKey, token string) *gate.Request {
	r.Evidence = []node.Evidence{must(jointoken.Attest(token, bindOf(w.t, r, key)))(w.t)}
	return r
}

func (w *world) issue(r *gate.Request) *svid.SVID {
	w.t.Helper()
	return must(w.gate.Issue(context.Background(), r))(w.t)
}

// refused asks for an SVID and wants a refusal with a code, and the log as it
// was.
func (w *world) refused(r *gate.Request, code gate.Code) *gate.Refusal {
	w.t.Helper()
	before := w.gate.Log().Size()
	s, err := w.gate.Issue(context.Background(), r)
	var no *gate.Refusal
	if !errors.As(err, &no) || no.Code != code {
		w.t.Fatalf("got %v, %v, want a refusal %s", s, err, code)
	}
	if after := w.gate.Log().Size(); after != before {
		w.t.Fatalf("a refusal moved the log from %d to %d entries", before, after)
	}
	return no
}
