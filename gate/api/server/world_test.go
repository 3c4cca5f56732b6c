package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate"
	"plastron/gate/api"
	"plastron/gate/api/server"
	"plastron/gate/config"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/log/witness"
	"plastron/node"
	"plastron/node/jointoken"
)

const (
	workload = "spiffe://acme.example/shop/api"
	auditor  = "spiffe://acme.example/audit"
)

// policyText lets the holder of a join token for a rule be one workload.
const policyText = `rules:
  - name: shop-api
    id: ` + workload + `
    ttl: 1h
    node: {any: [join], bound: key, facts: {reason: shop}}
  - name: audit
    id: ` + auditor + `
    ttl: 1h
    node: {any: [join], bound: key, facts: {reason: audit}}
`

// A world is a gate with one witness, wired from a file and served as
// `plastron gate run` serves it.
type world struct {
	gate    *gate.Gate
	url     string // of the API
	metrics string // URL of the metrics
	socket  string // of the admin
	public  string // URL of the public log
	trust   api.Trust
	admin   *api.AdminClient
	now     atomic.Int64 // nanoseconds that the server's clock is ahead
}

func newWorld(t *testing.T, read string) *world {
	t.Helper()
	dir := shortDir(t)
	w := &world{}
	var cosigner atomic.Pointer[http.Handler]
	ws := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { (*cosigner.Load()).ServeHTTP(rw, r) }))
	t.Cleanup(ws.Close)
	_, witnessKey, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	s, err := proof.NewCosigner("witness.example", witnessKey)
	check(t, err)
	made, err := config.Init{
		Dir: filepath.Join(dir, "gate"), TrustDomain: "acme.example", Listen: "127.0.0.1:0", Read: read,
		Witnesses: fmt.Appendf(nil, "witness w1 %s %s\nquorum w1\n", s.VKey(), ws.URL),
	}.Write()
	check(t, err)
	check(t, os.WriteFile(made.Policy, []byte(policyText), 0o600))
	w.pin(t, made)
	wit, err := witness.NewServer(witness.Config{
		Dir: filepath.Join(dir, "witness"), Key: witnessKey, Name: "witness.example",
		Logs: []witness.LogKey{{Origin: made.Origin, VKey: made.LogVKey}}, Logger: slog.New(slog.DiscardHandler),
	})
	check(t, err)
	t.Cleanup(func() { check(t, wit.Close()) })
	h := wit.Handler()
	cosigner.Store(&h)
	w.open(t, made)
	return w
}

// shortDir is a temporary folder whose name leaves room for a socket's: the
// kernel takes 108 bytes (unix(7)).
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "plastron")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// pin reads what a client is given: the trust bundle and the log policy.
func (w *world) pin(t *testing.T, made *config.Made) {
	text, err := os.ReadFile(made.Bundle)
	check(t, err)
	block, _ := pem.Decode(text)
	ca, err := x509.ParseCertificate(block.Bytes)
	check(t, err)
	w.trust.Bundle = x509bundle.FromX509Authorities(spiffeid.RequireTrustDomainFromString("acme.example"), []*x509.Certificate{ca})
	text, err = os.ReadFile(made.LogPolicy)
	check(t, err)
	w.trust.Policy, err = proof.ParsePolicy(text)
	check(t, err)
}

func (w *world) open(t *testing.T, made *config.Made) {
	f, err := config.Load(made.Config)
	check(t, err)
	m := server.NewMetrics()
	w.gate, err = f.Open(t.Context(), config.Runtime{Logger: slog.New(slog.DiscardHandler), Issued: m.Issued, Build: "test"})
	check(t, err)
	t.Cleanup(func() { check(t, w.gate.Close()) })
	h := server.New(w.gate, server.Config{
		OpenLog: f.Log.Read == "open", Auditors: f.Log.Auditors, Metrics: m, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Now().Add(time.Duration(w.now.Load())) },
	})
	w.url = "https://" + serveOn(t, "tcp", "127.0.0.1:0", h, h.API(), &tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: w.gate.Certificate, SessionTicketsDisabled: true,
		ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2", "http/1.1"},
	})
	w.metrics = "http://" + serveOn(t, "tcp", "127.0.0.1:0", h, h.Metrics(), nil)
	w.public = "http://" + serveOn(t, "tcp", "127.0.0.1:0", h, h.PublicLog(), nil)
	w.socket = f.AdminSocket()
	serveOn(t, "unix", w.socket, h, h.Admin(), nil)
	w.admin = api.NewAdminClient(w.socket)
	t.Cleanup(w.admin.Close)
}

// serveOn serves until the test ends, and returns the address.
func serveOn(t *testing.T, network, addr string, front *server.Handler, h http.Handler, tc *tls.Config) string {
	l, err := net.Listen(network, addr)
	check(t, err)
	bound := l.Addr().String()
	if tc != nil {
		l = tls.NewListener(l, tc)
	}
	s := &http.Server{Handler: h, ConnContext: front.ConnContext, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go s.Serve(l) // ended by Close
	t.Cleanup(func() { s.Close() })
	return bound
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) client(t *testing.T, trust api.Trust) *api.Client {
	t.Helper()
	c, err := api.NewClient(w.url, trust)
	check(t, err)
	t.Cleanup(c.Close)
	return c
}

// joinToken creates a join token for a rule.
func (w *world) joinToken(t *testing.T, rule, reason string) string {
	t.Helper()
	token, public, err := jointoken.NewToken()
	check(t, err)
	_, _, err = w.admin.CreateToken(t.Context(), statement.JoinToken{Node: "join", PublicKey: public, Rule: rule, Reason: reason}, time.Minute)
	check(t, err)
	return token
}

// request makes a request with a join token for a new key.
func request(ctx context.Context, c *api.Client, token string) (*api.Request, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, err
	}
	beacon, err := c.Beacon(ctx)
	if err != nil {
		return nil, nil, err
	}
	ev, err := jointoken.Attest(token, node.Bind(sha256.Sum256(beacon), spki))
	return &api.Request{CSR: csr, Beacon: beacon, Evidence: []node.Evidence{ev}}, key, err
}

// svid issues an SVID by a rule, as a TLS peer holds it.
func (w *world) svid(t *testing.T, rule, reason string) (*tls.Certificate, *api.Issued) {
	t.Helper()
	c := w.client(t, w.trust)
	r, key, err := request(t.Context(), c, w.joinToken(t, rule, reason))
	check(t, err)
	issued, err := c.Issue(t.Context(), r)
	check(t, err)
	cert := &tls.Certificate{PrivateKey: key, Leaf: issued.Chain[0]}
	for _, x := range issued.Chain {
		cert.Certificate = append(cert.Certificate, x.Raw)
	}
	return cert, issued
}
