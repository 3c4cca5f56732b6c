package api

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"

	gatev1 "plastron/gate/api/v1"
	"plastron/log/proof"
	"plastron/node"
)

const (
	// callTimeout is how long one call may take, from dialling to the answer.
	callTimeout = 60 * time.Second
	// maxAnswer bounds an answer in bytes.
	maxAnswer = 4 << 20
)

// A Client speaks to one gate. It is safe for concurrent use.
type Client struct {
	trust Trust
	http  *http.Client
	gate  gatev1.GateServiceClient
}

// NewClient returns a client of the gate at an https URL such as
// https://gate.acme.example:8443. It does not connect yet.
func NewClient(gate string, t Trust) (*Client, error) {
	u, err := url.Parse(gate)
	if err != nil {
		return nil, fmt.Errorf("gate client: %w", err)
	}
	if u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("gate client: %q is not the URL of a gate: want https://HOST:PORT", gate)
	}
	hc, err := t.HTTPClient()
	if err != nil {
		return nil, err
	}
	service := gatev1.NewGateServiceClient(hc, strings.TrimSuffix(u.String(), "/"), connect.WithReadMaxBytes(maxAnswer))
	return &Client{t, hc, service}, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Beacon returns the note whose SHA-256 goes into evidence. It is to be sent
// back, byte for byte, within two minutes.
func (c *Client) Beacon(ctx context.Context) ([]byte, error) {
	res, err := call(ctx, "ask for a beacon", c.gate.Beacon, &gatev1.BeaconRequest{})
	return res.GetBeacon(), err
}

// A Bundle is what the gate says a relying party should believe. It is as good
// as the check that the gate was known by.
type Bundle struct {
	Certificates [][]byte // CA certificates, DER
	Checkpoint   []byte   // newest cosigned checkpoint, a signed note
	Trust        Proven   // newest trust entry
	Genesis      Proven   // entry 0
}

// Proven is a log entry and its C2SP tlog-proof, neither of them checked.
type Proven struct {
	Entry []byte
	Proof string
}

// Bundle returns the trust bundle with the log entries that say so.
func (c *Client) Bundle(ctx context.Context) (*Bundle, error) {
	res, err := call(ctx, "ask for the trust bundle", c.gate.Bundle, &gatev1.BundleRequest{})
	if err != nil {
		return nil, err
	}
	return &Bundle{
		Certificates: res.GetCertificates(),
		Checkpoint:   res.GetCheckpoint(),
		Trust:        Proven{res.GetTrust().GetEntry(), res.GetTrust().GetTlogProof()},
		Genesis:      Proven{res.GetGenesis().GetEntry(), res.GetGenesis().GetTlogProof()},
	}, nil
}

// Challenge returns the challenge that a node of a kind must answer to be
// enrolled. request is the kind's own JSON, beacon what Beacon returned, spki
// the DER SubjectPublicKeyInfo of the key that an SVID will be asked for.
func (c *Client) Challenge(ctx context.Context, kind string, request, beacon, spki []byte) ([]byte, error) {
	res, err := call(ctx, "ask for an enrolment challenge", c.gate.Challenge,
		&gatev1.ChallengeRequest{Kind: kind, Request: request, Beacon: beacon, Spki: spki})
	return res.GetChallenge(), err
}

// Enrol answers the challenge that the same request, beacon and spki got, and
// returns the index of the enrolment's log entry.
func (c *Client) Enrol(ctx context.Context, kind string, request, answer, beacon, spki []byte) (index uint64, err error) {
	res, err := call(ctx, "enrol", c.gate.Enrol,
		&gatev1.EnrolRequest{Kind: kind, Request: request, Beacon: beacon, Spki: spki, Answer: answer})
	return res.GetIndex(), err
}

// A Request is what a workload presents (see [gatev1.IssueRequest]).
type Request struct {
	CSR      []byte          // PKCS #10, DER
	Beacon   []byte          // what Beacon returned
	Token    string          // OIDC token, JWS compact; "" where the rule asks for none
	Bundle   []byte          // Sigstore bundle, JSON; nil where the rule asks for none
	Artifact string          // "sha256:…" or "sha512:…"; needed with a bundle
	Evidence []node.Evidence // at most one
	Renewal  *Renewal        // an SVID in place of the token; nil for none
}

// A Renewal shows an SVID in place of a token.
type Renewal struct {
	SVID      []byte // DER, with its log proof
	Signature []byte // by its key, over svid.RenewalMessage of this request's bind
}

// An Issued is an SVID that has passed the check of the client's Trust, and its
// proof. Where no log policy is pinned, Index and Proof are only what the gate
// says.
type Issued struct {
	Chain          []*x509.Certificate // leaf first; certifies the key that was asked for
	Index          uint64              // of the SVID's log entry, 0-based
	Proof          string              // the leaf's log proof as C2SP tlog-proof
	CACertificates []*x509.Certificate // what the gate says that SVIDs chain to
}

// Issue asks for an SVID for the key of the CSR.
func (c *Client) Issue(ctx context.Context, r *Request) (*Issued, error) {
	req := &gatev1.IssueRequest{Csr: r.CSR, Beacon: r.Beacon, Token: r.Token, Bundle: r.Bundle, Artifact: r.Artifact}
	for _, e := range r.Evidence {
		req.Evidence = append(req.Evidence, &gatev1.Evidence{Kind: e.Kind, Data: e.Data})
	}
	if r.Renewal != nil {
		req.Renewal = &gatev1.Renewal{Svid: r.Renewal.SVID, Signature: r.Renewal.Signature}
	}
	res, err := call(ctx, "ask for an SVID", c.gate.Issue, req)
	if err != nil {
		return nil, err
	}
	s, err := c.issued(r.CSR, res)
	if err != nil {
		return nil, fmt.Errorf("%w: SVID: %w", ErrUntrusted, err)
	}
	return s, nil
}

// issued checks an answer: it must be what was asked for.
func (c *Client) issued(csr []byte, res *gatev1.IssueResponse) (*Issued, error) {
	asked, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, err
	}
	s := &Issued{Index: res.GetIndex(), Proof: res.GetTlogProof()}
	if s.Chain, err = certificates(res.GetChain()); err != nil {
		return nil, err
	}
	if s.CACertificates, err = certificates(res.GetCaCertificates()); err != nil {
		return nil, fmt.Errorf("CA: %w", err)
	}
	p, err := c.trust.verify(s.Chain)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(s.Chain[0].RawSubjectPublicKeyInfo, asked.RawSubjectPublicKeyInfo) {
		return nil, errors.New("its key is not the one that was asked for")
	}
	if c.trust.Policy == nil {
		return s, nil
	}
	return s, s.logged(c.trust.Policy, p)
}

// logged checks that what was said beside the SVID is what it proves itself.
func (s *Issued) logged(policy *proof.Policy, p *peer) error {
	if s.Index != p.index {
		return fmt.Errorf("it is entry %d of the log, but was said to be %d", p.index, s.Index)
	}
	text, err := proof.ParseProof([]byte(s.Proof))
	if err != nil {
		return err
	}
	_, err = text.Verify(policy, p.leaf)
	return err
}

func certificates(ders [][]byte) ([]*x509.Certificate, error) {
	out := make([]*x509.Certificate, 0, len(ders))
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// call makes one call within callTimeout.
func call[Q, A any](ctx context.Context, doing string, method func(context.Context, Q) (A, error), req Q) (A, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	res, err := method(ctx, req)
	return res, called(doing, err)
}
