// Package oidctest is an OpenID Connect issuer for tests and demonstrations: it
// publishes a discovery document and keys over loopback HTTP, and signs whatever
// claims it is asked to.
//
// What comes in is trusted: whoever can reach it gets any token. What goes out
// are real tokens, signed by real keys that were made when it started and die
// with it. It behaves as issuers do ([Issuer.Rotate], [Issuer.Withdraw]) and, when
// told to, as they should not ([Issuer.Misbehave]).
//
// A gate trusts it by
//
//	oidc.Issuer{Name: "demo", URL: issuer.URL(), InsecureHTTP: true}
package oidctest

import (
	"crypto"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Lifetime is how long a token is valid unless its claims say otherwise.
const Lifetime = 5 * time.Minute

// An Issuer is running. It is safe for concurrent use.
type Issuer struct {
	url    string
	server *http.Server
	served chan struct{} // closed when the server's goroutine ends
	closed chan struct{} // closed by Close; ends answers that would take for ever

	mu        sync.Mutex // guards what follows
	now       func() time.Time
	keys      []*key // published, the newest last
	signing   *key
	keepOld   bool
	tokens    bool
	conduct   Misbehaviour
	requests  map[string]int // by path
	keyNumber int
}

// Start starts an issuer on a loopback port of its own, with one ES256 key.
// Close ends it.
func Start() (*Issuer, error) {
	return Listen("127.0.0.1:0")
}

// Listen is Start at a given address, "127.0.0.1:8080".
func Listen(address string) (*Issuer, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("oidctest: %w", err)
	}
	if a := l.Addr().(*net.TCPAddr); !a.IP.IsLoopback() {
		_ = l.Close()
		return nil, fmt.Errorf("oidctest: %s is not a loopback address: whoever reaches this issuer gets any token", a)
	}
	i := &Issuer{
		url: "http://" + l.Addr().String(), served: make(chan struct{}), closed: make(chan struct{}),
		now: time.Now, keepOld: true, requests: map[string]int{},
	}
	i.Rotate()
	i.server = &http.Server{Handler: i.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { // Close ends it
		defer close(i.served)
		_ = i.server.Serve(l)
	}()
	return i, nil
}

// New starts an issuer for the length of a test.
func New(t testing.TB) *Issuer {
	t.Helper()
	i, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

// Close stops serving. Tokens can still be signed, and keys no longer fetched.
func (i *Issuer) Close() {
	i.mu.Lock()
	select {
	case <-i.closed:
	default:
		close(i.closed)
	}
	i.mu.Unlock()
	_ = i.server.Close()
	<-i.served
}

// URL returns the issuer's `iss`: "http://127.0.0.1:PORT".
func (i *Issuer) URL() string { return i.url }

// Client returns an HTTP client to talk to the issuer with.
func (i *Issuer) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
}

// SetNow sets the clock of iat and exp.
func (i *Issuer) SetNow(now func() time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now = now
}

// Requests returns how many HTTP requests were received for a path; for "", for
// all.
func (i *Issuer) Requests(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if path != "" {
		return i.requests[path]
	}
	n := 0
	for _, c := range i.requests {
		n += c
	}
	return n
}

// Token signs claims. The issuer adds iss, sub ("workload"), iat (now) and exp
// (now + [Lifetime]) where the claims have none; a claim that is nil is left
// out. It panics on claims that have no JSON form.
func (i *Issuer) Token(claims map[string]any) string {
	i.mu.Lock()
	now := i.now()
	i.mu.Unlock()
	all := map[string]any{"iss": i.url, "sub": "workload", "iat": now.Unix(), "exp": now.Add(Lifetime).Unix()}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(all)
	if err != nil {
		panic("oidctest: claims: " + err.Error())
	}
	return i.Sign(i.Header(), payload)
}

// Header returns the header that Token uses now: alg, kid and typ.
func (i *Issuer) Header() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	header, err := json.Marshal(map[string]string{"alg": string(i.signing.alg), "kid": i.signing.kid, "typ": "JWT"})
	if err != nil {
		panic("oidctest: header: " + err.Error())
	}
	return header
}

// Sign signs any header and any payload by the newest key, in compact
// serialisation. Neither needs to be JSON, nor to agree with the key.
func (i *Issuer) Sign(header, payload []byte) string {
	i.mu.Lock()
	k := i.signing
	i.mu.Unlock()
	return k.sign(header, payload)
}

// Public returns the newest public key.
func (i *Issuer) Public() crypto.PublicKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.signing.private.Public()
}

// JWKS returns the JWK Set as published.
func (i *Issuer) JWKS() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range i.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.kid, Algorithm: string(k.alg), Use: "sig"})
	}
	text, err := json.Marshal(set)
	if err != nil {
		panic("oidctest: JWK set: " + err.Error())
	}
	return text
}
