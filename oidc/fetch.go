package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
)

// Bounds on what an issuer sends, in bytes.
const (
	maxBody      = 1 << 20
	maxBearer    = 16 << 10
	maxCAFile    = 1 << 20
	maxHTTPHead  = 64 << 10
	discoverPath = "/.well-known/openid-configuration"
)

// A fetcher gets the keys of one issuer from the places its configuration names
// and from no other: without redirects, proxies or cookies.
type fetcher struct {
	issuer Issuer
	home   string // host:port of the issuer's URL
	client *http.Client
}

func newFetcher(i Issuer, home string) (*fetcher, error) {
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: FetchTimeout, Control: i.dials}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    FetchTimeout,
		DisableKeepAlives:      true, // a fetch every few minutes: leave nothing open between
		DisableCompression:     true, // so that maxBody bounds what is decoded, too
		MaxResponseHeaderBytes: maxHTTPHead,
	}
	if i.CA != "" {
		text, err := readFile(i.CA, maxCAFile)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca: %s: no PEM certificate in it", i.CA)
		}
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &fetcher{issuer: i, home: home, client: &http.Client{Transport: t, CheckRedirect: stay}}, nil
}

// keys fetches the issuer's keys, by way of its discovery document where no
// other is configured.
func (f *fetcher) keys(ctx context.Context) ([]*key, error) {
	from := f.issuer.JWKS
	if from == "" {
		var err error
		if from, err = f.discover(ctx); err != nil {
			return nil, err
		}
	}
	text, err := f.get(ctx, from)
	if err != nil {
		return nil, err
	}
	keys, err := parseJWKS(text, f.issuer.Algorithms)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", from, err)
	}
	return keys, nil
}

// discover reads the discovery document (OpenID Connect Discovery 1.0, 4.3:
// "The issuer value returned MUST be identical to the Issuer URL") and returns
// its jwks_uri, if that is at a configured host.
func (f *fetcher) discover(ctx context.Context) (string, error) {
	from := strings.TrimSuffix(f.issuer.URL, "/") + discoverPath
	text, err := f.get(ctx, from)
	if err != nil {
		return "", err
	}
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return "", fmt.Errorf("GET %s: %w", from, jsonFault(err))
	}
	if doc.Issuer != f.issuer.URL {
		return "", fmt.Errorf("GET %s: it is the document of another issuer than %s (they must be equal byte for byte)", from, f.issuer.URL)
	}
	u, err := f.issuer.checkURL(doc.JWKSURI)
	if err != nil {
		return "", fmt.Errorf("GET %s: jwks_uri is no URL that this issuer may have (https, no user, no fragment)", from)
	}
	if host := hostOf(u); host != f.home && !slices.Contains(f.issuer.KeyHosts, host) {
		return "", fmt.Errorf("GET %s: jwks_uri is neither at %s nor at one of the issuer's key hosts", from, f.home)
	}
	return doc.JWKSURI, nil
}

// get fetches one document. Its errors hold no byte of the answer.
func (f *fetcher) get(ctx context.Context, from string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: no valid request", from)
	}
	req.Header.Set("Accept", "application/json")
	if f.issuer.TokenFile != "" && (from == f.issuer.JWKS || hostOf(req.URL) == f.home) {
		bearer, err := readFile(f.issuer.TokenFile, maxBearer)
		if err != nil {
			return nil, fmt.Errorf("token_file: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(bearer)))
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", from, cause(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: status %d, want 200", from, resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("GET %s: body: %w", from, cause(err))
	}
	if len(text) > maxBody {
		return nil, fmt.Errorf("GET %s: more than %d bytes", from, maxBody)
	}
	return text, nil
}

// cause reduces a client's error to what is no secret of our network.
func cause(err error) error {
	var dns *net.DNSError
	var op *net.OpError
	var u *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v", FetchTimeout)
	case errors.As(err, &dns):
		return errors.New("no such host")
	case errors.As(err, &op):
		return op.Err
	case errors.As(err, &u):
		return u.Err
	}
	return err
}

// dials refuses to connect to addresses where no issuer of this configuration
// can be, whatever a name resolves to by now.
func (i Issuer) dials(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return errors.New("refused: not an IP address")
	}
	a := ap.Addr().Unmap().WithZone("")
	switch {
	case i.InsecureHTTP && !a.IsLoopback():
		return errors.New("refused: insecure_http is for loopback addresses")
	case a.IsLoopback() || a.IsPrivate() || slices.ContainsFunc(shared, func(p netip.Prefix) bool { return p.Contains(a) }):
		if !i.PrivateNetwork && !i.InsecureHTTP {
			return errors.New("refused: a private address, and the issuer is not on a private network")
		}
	case !a.IsGlobalUnicast() || slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) }):
		return errors.New("refused: not the address of a host")
	}
	return nil
}

var (
	// shared addresses are private in all but name.
	shared = prefixes("100.64.0.0/10")
	// special addresses (IANA's registries) are no host's, or lead to an IPv4
	// address that this check would not see.
	special = prefixes("0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10")
)

func prefixes(ss ...string) (ps []netip.Prefix) {
	for _, s := range ss {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// readFile reads a file of at most so many bytes.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > most {
		return nil, fmt.Errorf("%s: more than %d bytes", path, most)
	}
	return text, nil
}
