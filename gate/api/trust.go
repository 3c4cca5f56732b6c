package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"plastron/log/proof"
	"plastron/svid"
)

// GatePath is the path of a gate's own SPIFFE ID, in any trust domain. No policy
// can grant it.
const GatePath = "/plastron/gate"

// Trust says how a gate is known. The zero Trust trusts nobody and is refused:
// a bundle, a log policy or both are needed.
type Trust struct {
	Bundle *x509bundle.Bundle // CA certificates of the trust domain
	Policy *proof.Policy      // the trust domain's log and its witnesses
	SVID   *tls.Certificate   // what to show where the gate asks who reads; nil: nothing
	Now    func() time.Time   // nil: time.Now
}

// HTTPClient returns a client that speaks to the gate and to nobody else: TLS
// 1.3, no session tickets (a resumed session would skip the check), no
// redirects, no proxy of the environment for loopback addresses.
func (t Trust) HTTPClient() (*http.Client, error) {
	if t.Bundle == nil && t.Policy == nil {
		return nil, errors.New("gate client: a trust bundle or a log policy is needed to know the gate by")
	}
	config := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		// The gate is known by its SVID, which names no host: every check that
		// this flag switches off is done by VerifyConnection.
		InsecureSkipVerify: true,
		VerifyConnection:   t.verifyConnection,
	}
	if t.SVID != nil {
		config.Certificates = []tls.Certificate{*t.SVID}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        config,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  callTimeout,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// verifyConnection refuses every peer but the gate.
func (t Trust) verifyConnection(cs tls.ConnectionState) error {
	if cs.DidResume {
		return fmt.Errorf("%w: session was resumed, so its certificate was not sent", ErrUntrusted)
	}
	p, err := t.verify(cs.PeerCertificates)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	if p.id.Path() != GatePath {
		return fmt.Errorf("%w: peer is %s, want the path %s", ErrUntrusted, p.id, GatePath)
	}
	return nil
}

// A peer is what a verified chain says. Where no log policy is pinned nothing is
// known of the log.
type peer struct {
	id    spiffeid.ID
	index uint64
	leaf  proof.Hash
}

// verify checks a chain, leaf first, by all that is pinned.
func (t Trust) verify(chain []*x509.Certificate) (*peer, error) {
	if len(chain) == 0 {
		return nil, errors.New("no certificate")
	}
	now := time.Now
	if t.Now != nil {
		now = t.Now
	}
	switch {
	case t.Policy == nil:
		id, _, err := x509svid.Verify(chain, t.Bundle, x509svid.WithTime(now()))
		return &peer{id: id}, err
	case t.Bundle == nil:
		l, err := svid.VerifyLogged(chain[0].Raw, t.Policy, now())
		if err != nil {
			return nil, err
		}
		return &peer{l.ID(), l.Index(), l.LeafHash()}, nil
	}
	// Whether an artifact is only claimed is for the relying parties of the SVID
	// to mind: here the one who claims it asks.
	v := svid.Verifier{Bundle: t.Bundle, Policy: t.Policy, AllowClaimed: true, Now: now}
	p, err := v.Verify(chain)
	if err != nil {
		return nil, err
	}
	return &peer{p.ID(), p.Index(), p.LeafHash()}, nil
}
