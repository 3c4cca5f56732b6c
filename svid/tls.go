package svid

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// VerifyConnection is a [tls.Config.VerifyConnection]: it checks the peer's
// certificate in the handshake. A resumed session is refused, for it outlives
// what was checked: turn tickets off.
func (v *Verifier) VerifyConnection(cs tls.ConnectionState) error {
	if cs.DidResume {
		return fmt.Errorf("%w: %w", ErrRefused, errors.New("the TLS session is resumed"))
	}
	_, err := v.Verify(cs.PeerCertificates)
	return err
}

// TLSConfig returns a configuration for mutual TLS 1.3, for the server's side
// and for the client's: each shows its SVID, and each checks the other's with v
// and nothing else. own returns our SVID, and is asked at each handshake.
func (v *Verifier) TLSConfig(own func() (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own() },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own() },
		ClientAuth:             tls.RequireAnyClientCert, // VerifyConnection verifies it
		InsecureSkipVerify:     true,                     // of host names only: VerifyConnection verifies it
		VerifyConnection:       v.VerifyConnection,
	}
}
