// Package provenancetest is a small Sigstore on loopback, for tests and the
// demonstration: it speaks the real protocols to real clients, and what it
// issues passes sigstore-go with every check on.
//
//   - Fulcio v2: POST /api/v2/signingCert takes an OIDC token and a proof of
//     possession and gives a 10-minute certificate with GitHub's extensions and
//     an embedded signed certificate timestamp; GET /api/v2/trustBundle.
//   - Rekor v2: POST /api/v2/log/entries takes a hashedrekord 0.0.2, appends it to
//     a Merkle tree and answers with an inclusion proof under a signed
//     checkpoint; GET /checkpoint and /tile/… are the C2SP tlog-tiles log, also
//     under /api/v2 where Rekor's clients look.
//   - RFC 3161: POST /api/v1/timestamp.
//
// The token's signature is checked against the issuer's published keys. All keys
// are P-256, made at start and kept in memory. [Sigstore.Misbehave] makes it lie
// in one of the ways that verifiers must refuse.
package provenancetest

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options says whose tokens the certificate authority believes.
type Options struct {
	Issuer   string // URL of the OIDC issuer, as in the tokens' iss
	JWKS     string // URL of its keys; "": jwks_uri of the discovery document at Issuer
	Audience string // "": "sigstore"
}

// Sigstore is a running instance.
type Sigstore struct {
	url    string
	server *http.Server
	done   chan struct{} // closed when server has stopped

	fulcio *fulcio
	ct     *ctLog
	rekor  *rekor
	tsa    *tsa
	root   []byte

	mu    sync.Mutex
	fault Fault // guarded by mu
}

// Start makes keys and listens on a free loopback port. Close stops it.
func Start(o Options) (*Sigstore, error) {
	if o.Issuer == "" {
		return nil, errors.New("provenancetest: no issuer")
	}
	if o.Audience == "" {
		o.Audience = "sigstore"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Sigstore{url: "http://" + listener.Addr().String(), done: make(chan struct{})}
	if err := s.generate(o); err != nil {
		listener.Close()
		return nil, err
	}
	s.server = &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.done)
		s.server.Serve(listener) // until Close
	}()
	return s, nil
}

// generate makes every key and the trust root over them.
func (s *Sigstore) generate(o Options) (err error) {
	now := time.Now()
	if s.ct, err = newCTLog(); err != nil {
		return err
	}
	if s.fulcio, err = newFulcio(o, s.ct, now); err != nil {
		return err
	}
	if s.rekor, err = newRekor("127.0.0.1"); err != nil {
		return err
	}
	if s.tsa, err = newTSA(now); err != nil {
		return err
	}
	s.root, err = s.trustedRoot(now.Add(-age))
	return err
}

// Close stops the server and waits for it.
func (s *Sigstore) Close() {
	s.server.Close()
	<-s.done
}

// FulcioURL is the base URL of the certificate authority.
func (s *Sigstore) FulcioURL() string { return s.url }

// RekorURL is the base URL of the transparency log.
func (s *Sigstore) RekorURL() string { return s.url }

// TimestampURL is the URL of the RFC 3161 endpoint itself.
func (s *Sigstore) TimestampURL() string { return s.url + "/api/v1/timestamp" }

// TrustedRoot is the trusted_root.json of this instance.
func (s *Sigstore) TrustedRoot() []byte { return append([]byte(nil), s.root...) }

// A Fault is a way to misbehave; they combine by or.
type Fault uint

const (
	NoSCT             Fault = 1 << iota // certificates are not in the CT log
	ForeignSCT                          // the CT log's timestamp is by another key under its id
	ForeignCA                           // certificates are by another authority of the same names
	CALeaf                              // certificates are authorities' own
	ExpiredLeaf                         // certificates ended an hour ago
	NoIssuer                            // certificates do not name the issuer
	OtherTree                           // proofs are of a tree that lacks the entry
	ForeignCheckpoint                   // checkpoints are by another key under the log's name
	Unlogged                            // Sign leaves the log out
	ForeignTimestamp                    // timestamps are by another authority of the same names
	OtherTimestamp                      // timestamps are of other bytes
	NoTimestamp                         // Sign leaves the timestamp out
)

// Misbehave sets the faults of all that follows; 0 behaves.
func (s *Sigstore) Misbehave(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func (s *Sigstore) does(f Fault) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault&f != 0
}

func (s *Sigstore) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("POST /api/v2/signingCert", s.signingCert)
	m.HandleFunc("GET /api/v2/trustBundle", s.trustBundle)
	m.HandleFunc("POST /api/v2/log/entries", s.addEntry)
	for _, prefix := range []string{"", "/api/v2"} {
		m.HandleFunc("GET "+prefix+"/checkpoint", s.checkpoint)
		m.HandleFunc("GET "+prefix+"/tile/", s.tile)
	}
	m.HandleFunc("POST /api/v1/timestamp", s.timestamp)
	return http.MaxBytesHandler(m, 1<<20)
}
