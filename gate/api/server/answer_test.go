package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"testing"

	"plastron/gate/api"
	gatev1 "plastron/gate/api/v1"
	"plastron/log/proof"
)

// A liar holds the gate's own SVID, and spoils its answers.
type liar struct {
	gatev1.UnimplementedGateServiceHandler
	answer *gatev1.IssueResponse
}

func (l *liar) Issue(context.Context, *gatev1.IssueRequest) (*gatev1.IssueResponse, error) {
	return l.answer, nil
}

// What the gate answers is checked, though the gate is known.
func TestAnswersAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "open")
	c := w.client(t, w.trust)
	r, _, err := request(t.Context(), c, w.joinToken(t, "shop-api", "shop"))
	check(t, err)
	mine, err := c.Issue(t.Context(), r)
	check(t, err)
	_, theirs := w.svid(t, "audit", "audit")
	own, err := w.gate.Certificate(nil)
	check(t, err)
	good := func() *gatev1.IssueResponse {
		return &gatev1.IssueResponse{
			Chain: [][]byte{mine.Chain[0].Raw}, Index: mine.Index, TlogProof: mine.Proof, CaCertificates: [][]byte{mine.CACertificates[0].Raw},
		}
	}
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	flip := func(b []byte) []byte { return append(cut(b), b[len(b)-1]^1) }
	rows := []struct {
		name  string
		spoil func(a *gatev1.IssueResponse)
		ok    bool
	}{
		{"as it was", func(*gatev1.IssueResponse) {}, true},
		{"no certificate", func(a *gatev1.IssueResponse) { a.Chain = nil }, false},
		{"truncated", func(a *gatev1.IssueResponse) { a.Chain[0] = cut(a.Chain[0]) }, false},
		{"signature flipped", func(a *gatev1.IssueResponse) { a.Chain[0] = flip(append([]byte{}, a.Chain[0]...)) }, false},
		{"CA first", func(a *gatev1.IssueResponse) { a.Chain = a.CaCertificates }, false},
		{"another's SVID", func(a *gatev1.IssueResponse) {
			a.Chain[0], a.Index, a.TlogProof = theirs.Chain[0].Raw, theirs.Index, theirs.Proof
		}, false},
		{"another index", func(a *gatev1.IssueResponse) { a.Index++ }, false},
		{"no proof", func(a *gatev1.IssueResponse) { a.TlogProof = "" }, false},
		{"a hash of the proof flipped", func(a *gatev1.IssueResponse) {
			p, err := proof.ParseProof([]byte(a.TlogProof))
			check(t, err)
			p.Hashes[0][0] ^= 1
			text, err := p.MarshalText()
			check(t, err)
			a.TlogProof = string(text)
		}, false},
		{"another's proof", func(a *gatev1.IssueResponse) { a.TlogProof = theirs.Proof }, false},
		{"CA truncated", func(a *gatev1.IssueResponse) { a.CaCertificates[0] = cut(a.CaCertificates[0]) }, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			l := &liar{answer: good()}
			row.spoil(l.answer)
			listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*own}, NextProtos: []string{"h2", "http/1.1"}})
			check(t, err)
			mux := http.NewServeMux()
			mux.Handle(gatev1.NewGateServiceHandler(l))
			s := &http.Server{Handler: mux}
			go s.Serve(listener) // ended by Close
			defer s.Close()
			c, err := api.NewClient("https://"+listener.Addr().String(), w.trust)
			check(t, err)
			defer c.Close()
			if _, err := c.Issue(t.Context(), r); (err == nil) != row.ok || err != nil && !errors.Is(err, api.ErrUntrusted) {
				t.Errorf("%v, want it taken: %t", err, row.ok)
			}
		})
	}
}
