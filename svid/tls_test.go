package svid

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// own returns an SVID of the path with its key, as crypto/tls wants it. Unlogged
// ones are signed by the CA and carry no proof.
func (w *world) own(t testing.TB, path string, logged bool) *tls.Certificate {
	t.Helper()
	key := newP256(t)
	d := w.draft(t)
	d.ID, d.Key = spiffeid.RequireFromString("spiffe://acme.example"+path), key.Public()
	tbs := must(w.a.Draft(d))(t)
	raw := w.sign(t, tbs)
	if logged {
		raw = w.certify(t, tbs).Raw
	}
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// connect runs one TLS connection over loopback, a byte each way, and returns
// both sides' errors.
func connect(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	l := must(tls.Listen("tcp", "127.0.0.1:0", server))(t)
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = echo(c)
		}
		done <- err
	}()
	c, clientErr := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", l.Addr().String(), client)
	if clientErr == nil {
		if _, clientErr = c.Write([]byte{42}); clientErr == nil {
			_, clientErr = io.ReadFull(c, make([]byte, 1))
		}
		c.Close()
	}
	return <-done, clientErr
}

func echo(c net.Conn) error {
	defer c.Close()
	b := make([]byte, 1)
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	_, err := c.Write(b)
	return err
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server, client, unlogged := w.own(t, "/gate", true), w.own(t, "/shop/api", true), w.own(t, "/shop/api", false)
	as := func(c *tls.Certificate) *tls.Config {
		return w.verifier().TLSConfig(func() (*tls.Certificate, error) { return c, nil })
	}
	if serverErr, clientErr := connect(t, as(server), as(client)); serverErr != nil || clientErr != nil {
		t.Errorf("server: %v; client: %v", serverErr, clientErr)
	}
	if serverErr, _ := connect(t, as(server), as(unlogged)); !errors.Is(serverErr, ErrRefused) {
		t.Errorf("server and an unlogged client: %v", serverErr)
	}
	if _, clientErr := connect(t, as(unlogged), as(client)); !errors.Is(clientErr, ErrRefused) {
		t.Errorf("client and an unlogged server: %v", clientErr)
	}
	bare := as(client)
	bare.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return new(tls.Certificate), nil }
	if serverErr, _ := connect(t, as(server), bare); serverErr == nil {
		t.Error("server takes a client without certificate")
	}
	only := as(server)
	v := w.verifier()
	v.Authorize = func(p *Peer) error {
		if b, ok := p.Build(); !ok || b.SourceRepositoryURI != "https://github.com/acme/bank" {
			return errors.New("not built from acme/bank")
		}
		return nil
	}
	only.VerifyConnection = v.VerifyConnection
	serverErr, _ := connect(t, only, as(client))
	wantError(t, serverErr, "not built from acme/bank")
}

// A session that a server's tickets resume is refused: nobody looks at the
// certificate again.
func TestResumptionIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, time.Now(), "all", "wit1") // crypto/tls resumes no expired certificate
	server, client := w.own(t, "/gate", true), w.own(t, "/shop/api", true)
	careless := w.verifier().TLSConfig(func() (*tls.Certificate, error) { return server, nil })
	careless.SessionTicketsDisabled = false
	careless.VerifyConnection = nil
	c := w.verifier().TLSConfig(func() (*tls.Certificate, error) { return client, nil })
	c.SessionTicketsDisabled = false
	c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	c.ServerName = "gate"
	if serverErr, clientErr := connect(t, careless, c); serverErr != nil || clientErr != nil {
		t.Fatalf("server: %v; client: %v", serverErr, clientErr)
	}
	_, clientErr := connect(t, careless, c)
	wantError(t, clientErr, "resumed")
	if !errors.Is(clientErr, ErrRefused) {
		t.Error("it is not ErrRefused")
	}
}

// go-spiffe's own verification accepts our SVIDs, alone and in mutual TLS, where
// VerifyConnection adds the log's word to it.
func TestGoSPIFFE(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, time.Now(), "all", "wit1") // go-spiffe reads the wall clock
	source := func(c *tls.Certificate) *x509svid.SVID {
		leaf := must(x509.ParseCertificate(c.Certificate[0]))(t)
		id, _, err := x509svid.Verify(chain(leaf), w.bundle)
		if err != nil {
			t.Fatal(err)
		}
		return &x509svid.SVID{ID: id, Certificates: chain(leaf), PrivateKey: c.PrivateKey.(crypto.Signer)}
	}
	server, client := source(w.own(t, "/gate", true)), source(w.own(t, "/shop/api", true))
	serverConfig := tlsconfig.MTLSServerConfig(server, w.bundle, tlsconfig.AuthorizeID(client.ID))
	clientConfig := tlsconfig.MTLSClientConfig(client, w.bundle, tlsconfig.AuthorizeID(server.ID))
	for _, c := range []*tls.Config{serverConfig, clientConfig} {
		c.VerifyConnection, c.SessionTicketsDisabled = w.verifier().VerifyConnection, true
	}
	if serverErr, clientErr := connect(t, serverConfig, clientConfig); serverErr != nil || clientErr != nil {
		t.Errorf("server: %v; client: %v", serverErr, clientErr)
	}
}
