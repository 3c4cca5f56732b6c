package server_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"plastron/gate/api"
	"plastron/gate/api/server"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/svid"
)

func TestIssue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "open")
	for name, trust := range map[string]api.Trust{
		"bundle":     {Bundle: w.trust.Bundle},
		"log policy": {Policy: w.trust.Policy},
		"both":       w.trust,
	} {
		t.Run(name, func(t *testing.T) {
			c := w.client(t, trust)
			r, key, err := request(t.Context(), c, w.joinToken(t, "shop-api", "shop"))
			check(t, err)
			issued, err := c.Issue(t.Context(), r)
			check(t, err)
			v := svid.Verifier{Bundle: w.trust.Bundle, Policy: w.trust.Policy}
			p, err := v.Verify(issued.Chain)
			check(t, err)
			if p.ID().String() != workload || p.Index() != issued.Index || !key.PublicKey.Equal(issued.Chain[0].PublicKey) {
				t.Errorf("SVID of %s at %d, want %s at %d for the key asked for", p.ID(), p.Index(), workload, issued.Index)
			}
			pf, err := proof.ParseProof([]byte(issued.Proof))
			check(t, err)
			if _, err := pf.Verify(w.trust.Policy, p.LeafHash()); err != nil {
				t.Errorf("tlog-proof: %v", err)
			}
			if len(issued.CACertificates) != 1 || !issued.CACertificates[0].Equal(w.trust.Bundle.X509Authorities()[0]) {
				t.Error("CA certificates are not the trust domain's")
			}
			again, err := c.Issue(t.Context(), r)
			check(t, err)
			if again.Index != issued.Index {
				t.Errorf("the same request again is entry %d, want %d", again.Index, issued.Index)
			}
		})
	}
}

func TestBundle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "auditors") // open to everybody all the same
	b, err := w.client(t, api.Trust{Policy: w.trust.Policy}).Bundle(t.Context())
	check(t, err)
	if _, err := w.trust.Policy.OpenCheckpoint(b.Checkpoint); err != nil {
		t.Errorf("checkpoint: %v", err)
	}
	for name, p := range map[string]api.Proven{"trust": b.Trust, "genesis": b.Genesis} {
		pf, err := proof.ParseProof([]byte(p.Proof))
		check(t, err)
		if _, err := pf.Verify(w.trust.Policy, proof.LeafHash(p.Entry)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, body, err := proof.Unframe(p.Entry)
		check(t, err)
		s, err := statement.Parse(body)
		check(t, err)
		if trust, ok := s.(*statement.Trust); !ok || string(trust.Certificates[0]) != string(b.Certificates[0]) {
			t.Errorf("%s: a %T that does not say so", name, s)
		}
	}
}

func TestRefusalsReachTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "open")
	c := w.client(t, w.trust)
	size := w.gate.Log().Size()
	rows := []struct {
		name  string
		spoil func(r *api.Request)
		token string // "": a good one
		code  string
	}{
		{"no CSR", func(r *api.Request) { r.CSR = nil }, "", "key_refused"},
		{"flipped CSR", func(r *api.Request) { r.CSR[len(r.CSR)-1] ^= 1 }, "", "key_refused"},
		{"no beacon", func(r *api.Request) { r.Beacon = nil }, "", "beacon_refused"},
		{"flipped beacon", func(r *api.Request) { r.Beacon[len(r.Beacon)-5] ^= 1 }, "", "beacon_refused"},
		{"no evidence", func(r *api.Request) { r.Evidence = nil }, "", "policy_no_match"},
		{"evidence twice", func(r *api.Request) { r.Evidence = append(r.Evidence, r.Evidence[0]) }, "", "node_malformed"},
		{"evidence of another kind", func(r *api.Request) { r.Evidence[0].Kind = "tpm" }, "", "node_not_enrolled"},
		{"join token that nobody made", func(*api.Request) {}, "plastron-join-v1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "node_not_enrolled"},
		{"token of nobody", func(r *api.Request) { r.Token = "x" }, "", "oidc_malformed"},
		{"bundle without an artifact", func(r *api.Request) { r.Bundle = []byte("{}") }, "", "provenance_certificate"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			token := row.token
			if token == "" {
				token = w.joinToken(t, "shop-api", "shop")
				size++
			}
			r, _, err := request(t.Context(), c, token)
			check(t, err)
			row.spoil(r)
			_, err = c.Issue(t.Context(), r)
			var no *api.Refusal
			if !errors.As(err, &no) || no.Code != row.code || no.Fact == "" {
				t.Errorf("%v, want the refusal %s", err, row.code)
			}
		})
	}
	t.Run("spent on another key", func(t *testing.T) {
		token := w.joinToken(t, "shop-api", "shop")
		for i, want := range []string{"", "node_replayed"} {
			r, _, err := request(t.Context(), c, token)
			check(t, err)
			_, err = c.Issue(t.Context(), r)
			var no *api.Refusal
			if errors.As(err, &no); (err == nil) != (want == "") || no != nil && no.Code != want {
				t.Errorf("use %d: %v, want %q", i, err, want)
			}
		}
		size += 2
	})
	if got := w.gate.Log().Size(); got != size {
		t.Errorf("the log has %d entries, want %d: a refusal appends nothing", got, size)
	}
}

// Whoever is not the gate hears nothing of a request.
func TestOnlyTheGateIsTrusted(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, "open"), newWorld(t, "open")
	impostor := func(t *testing.T, cert *tls.Certificate) string {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"h2", "http/1.1"}})
		check(t, err)
		s := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request reached the impostor") })}
		go s.Serve(l) // ended by Close
		t.Cleanup(func() { s.Close() })
		return "https://" + l.Addr().String()
	}
	workloadsOwn, _ := w.svid(t, "shop-api", "shop")
	foreign, err := other.gate.Certificate(nil)
	check(t, err)
	rows := []struct {
		name, url string
		trust     api.Trust
	}{
		{"an SVID of the trust domain that is not the gate's, log policy", impostor(t, workloadsOwn), api.Trust{Policy: w.trust.Policy}},
		{"an SVID of the trust domain that is not the gate's, bundle", impostor(t, workloadsOwn), api.Trust{Bundle: w.trust.Bundle}},
		{"an SVID of the trust domain that is not the gate's, both", impostor(t, workloadsOwn), w.trust},
		{"another gate, log policy", impostor(t, foreign), api.Trust{Policy: w.trust.Policy}},
		{"another gate, bundle", impostor(t, foreign), api.Trust{Bundle: w.trust.Bundle}},
		{"another gate, both", impostor(t, foreign), w.trust},
		{"the gate's bundle, another log", w.url, api.Trust{Bundle: w.trust.Bundle, Policy: other.trust.Policy}},
		{"the gate's log, another bundle", w.url, api.Trust{Bundle: other.trust.Bundle, Policy: w.trust.Policy}},
		{"long after", w.url, api.Trust{Bundle: w.trust.Bundle, Now: func() time.Time { return time.Now().Add(1000 * time.Hour) }}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c, err := api.NewClient(row.url, row.trust)
			check(t, err)
			defer c.Close()
			if _, err := c.Beacon(t.Context()); !errors.Is(err, api.ErrUntrusted) || errors.Is(err, api.ErrUnreachable) {
				t.Errorf("%v, want ErrUntrusted", err)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "open")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	check(t, l.Close())
	c, err := api.NewClient("https://"+l.Addr().String(), w.trust)
	check(t, err)
	if _, err := c.Beacon(t.Context()); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("%v, want ErrUnreachable", err)
	}
	if _, err := api.NewAdminClient(w.socket + ".no").Bans(t.Context()); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("admin: %v, want ErrUnreachable", err)
	}
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "open")
	ctx := t.Context()
	_, first := w.svid(t, "shop-api", "shop")
	index, err := w.admin.Ban(ctx, statement.Ban{Kind: "spiffe-id", Value: workload, Reason: "stolen"})
	check(t, err)
	if index <= first.Index {
		t.Errorf("ban is entry %d, before the SVID's %d", index, first.Index)
	}
	bans, err := w.admin.Bans(ctx)
	check(t, err)
	if len(bans) != 1 || bans[0].Index != index || bans[0].Value != workload || !strings.Contains(bans[0].Author, "uid ") {
		t.Errorf("bans are %+v", bans)
	}
	c := w.client(t, w.trust)
	token := w.joinToken(t, "shop-api", "shop")
	r, _, err := request(ctx, c, token)
	check(t, err)
	var no *api.Refusal
	if _, err := c.Issue(ctx, r); !errors.As(err, &no) || no.Code != "banned" {
		t.Errorf("banned SPIFFE ID: %v, want banned", err)
	}
	_, err = w.admin.Unban(ctx, statement.Unban{Kind: "spiffe-id", Value: workload, Reason: "found again"})
	check(t, err)
	if _, err := c.Issue(ctx, r); err != nil {
		t.Errorf("once the ban has ended: %v", err)
	}
	status, err := w.admin.Status(ctx)
	check(t, err)
	if status.LogSize != w.gate.Log().Size() || status.PolicyIndex != 1 || status.PolicySHA256 == (proof.Hash{}) {
		t.Errorf("status is %+v", status)
	}
	for name, ask := range map[string]func() error{
		"ban of an unknown kind": func() error {
			_, err := w.admin.Ban(ctx, statement.Ban{Kind: "mood", Value: "x", Reason: "y"})
			return err
		},
		"ban without a reason": func() error { _, err := w.admin.Ban(ctx, statement.Ban{Kind: "digest", Value: "x"}); return err },
		"end of a ban that is not": func() error {
			_, err := w.admin.Unban(ctx, statement.Unban{Kind: "digest", Value: "x", Reason: "y"})
			return err
		},
		"join token of another source": func() error {
			_, _, err := w.admin.CreateToken(ctx, statement.JoinToken{Node: "x", Reason: "y"}, time.Minute)
			return err
		},
	} {
		if err := ask(); !errors.As(err, &no) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
}

// Only the gate's own user and root are served; a connection of which the
// kernel told nothing is neither.
func TestAdminAsksTheKernel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "open")
	h := server.New(w.gate, server.Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s := &http.Server{Handler: h.Admin(), ConnContext: h.ConnContext}
	go s.Serve(l) // ended by Close
	defer s.Close()
	for _, path := range []string{"/plastron.gate.v1.AdminService/ListBans", "/checkpoint"} {
		status, _, body := get(t, http.DefaultClient, "http://"+l.Addr().String()+path)
		if status != http.StatusForbidden {
			t.Errorf("%s over TCP: %d %s, want 403", path, status, body)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("not root: no other user to connect as")
	}
	if _, err := w.admin.Bans(t.Context()); err != nil {
		t.Errorf("root: %v", err)
	}
}

func TestWhoMayRead(t *testing.T) {
	t.Parallel()
	for _, read := range []string{"open", "auditors"} {
		t.Run(read, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, read)
			own, issued := w.svid(t, "shop-api", "shop")
			audit, _ := w.svid(t, "audit", "audit")
			v := svid.Verifier{Bundle: w.trust.Bundle, Policy: w.trust.Policy}
			p, err := v.Verify(issued.Chain)
			check(t, err)
			record := proof.Hash(p.Decision().Record).String()
			evidence := evidenceOf(t, w, record)
			clients := map[string]*http.Client{"nobody": readerOf(t, w, nil), "workload": readerOf(t, w, own), "auditor": readerOf(t, w, audit)}
			base, adminClient := w.admin.HTTPClient()
			zero := strings.Repeat("0", 64)
			all := fmt.Sprintf("000.p/%d", published(t, w)) // what is appended is published a moment later
			rows := []struct {
				path                                     string
				nobody, workload, auditor, admin, public int
			}{
				{"/checkpoint", 403, 403, 200, 200, 404},
				{"/tile/entries/" + all, 403, 403, 200, 200, 404},
				{"/tile/0/" + all, 403, 403, 200, 200, 404},
				{"/tile/0/999", 403, 403, 404, 404, 404},
				{"/record/" + record, 403, 200, 200, 200, 404},
				{"/record/" + zero, 403, 403, 404, 404, 404},
				{"/record/" + strings.ToUpper(record), 404, 404, 404, 404, 404},
				{"/record/" + record[:63], 404, 404, 404, 404, 404},
				{"/record/" + evidence["beacon"], 403, 403, 404, 404, 404},
				{"/evidence/" + evidence["beacon"], 200, 200, 200, 200, 404},
				{"/evidence/" + evidence["csr"], 403, 403, 200, 200, 404},
				{"/evidence/" + evidence["node"], 403, 403, 200, 200, 404},
				{"/evidence/" + record, 403, 403, 404, 404, 404},
				{"/evidence/" + zero, 403, 403, 404, 404, 404},
				{"/evidence/..", 404, 404, 404, 404, 404},
			}
			for _, row := range rows {
				if read == "open" && (strings.HasPrefix(row.path, "/tile") || row.path == "/checkpoint") {
					row.nobody, row.workload, row.public = row.auditor, row.auditor, row.auditor
				}
				for who, want := range map[string]int{"nobody": row.nobody, "workload": row.workload, "auditor": row.auditor} {
					if status, _, body := get(t, clients[who], w.url+row.path); status != want {
						t.Errorf("%s reads %s: %d %.80q, want %d", who, row.path, status, body, want)
					}
				}
				if status, _, body := get(t, adminClient, base+row.path); status != row.admin {
					t.Errorf("operator reads %s: %d %.80q, want %d", row.path, status, body, row.admin)
				}
				if status, _, body := get(t, http.DefaultClient, w.public+row.path); status != row.public {
					t.Errorf("plain HTTP reads %s: %d %.80q, want %d", row.path, status, body, row.public)
				}
			}
			_, header, _ := get(t, clients["auditor"], w.url+"/record/"+record)
			if header.Get("Content-Type") != "application/octet-stream" || header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("a record is served as %q", header)
			}
		})
	}
}

// published returns the size of the tree that readers see.
func published(t *testing.T, w *world) uint64 {
	t.Helper()
	base, hc := w.admin.HTTPClient()
	status, _, note := get(t, hc, base+"/checkpoint")
	for range 500 {
		if status != http.StatusNotFound {
			break
		}
		time.Sleep(10 * time.Millisecond) // what is appended is published a moment later
		status, _, note = get(t, hc, base+"/checkpoint")
	}
	c, err := w.trust.Policy.OpenCheckpoint([]byte(note))
	check(t, err)
	return c.Checkpoint().Size
}

// evidenceOf returns the hashes of a record's evidence by kind.
func evidenceOf(t *testing.T, w *world, record string) map[string]string {
	t.Helper()
	base, hc := w.admin.HTTPClient()
	status, _, body := get(t, hc, base+"/record/"+record)
	if status != 200 {
		t.Fatalf("record: %d %s", status, body)
	}
	p, err := statement.Parse([]byte(body))
	check(t, err)
	out := map[string]string{}
	for _, e := range p.(*statement.Record).Evidence {
		out[e.Kind] = e.SHA256.String()
	}
	return out
}

func readerOf(t *testing.T, w *world, own *tls.Certificate) *http.Client {
	t.Helper()
	trust := w.trust
	trust.SVID = own
	hc, err := trust.HTTPClient()
	check(t, err)
	t.Cleanup(hc.CloseIdleConnections)
	return hc
}

func get(t *testing.T, hc *http.Client, url string) (int, http.Header, string) {
	t.Helper()
	res, err := hc.Get(url)
	check(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	check(t, err)
	return res.StatusCode, res.Header, string(b)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "open")
	w.svid(t, "shop-api", "shop")
	c := w.client(t, w.trust)
	if _, err := c.Issue(t.Context(), &api.Request{}); err == nil {
		t.Error("the empty request is granted")
	}
	_, _, before := get(t, http.DefaultClient, w.metrics+"/metrics")
	for _, want := range []string{
		`plastron_gate_issuances_total{rule="shop-api"} 1`,
		`plastron_gate_refusals_total{code="key_refused"} 1`,
		`plastron_gate_refusals_total{code="banned"} 0`,
		`plastron_gate_issue_seconds_count 2`,
		`plastron_log_size 5`,
	} {
		if !strings.Contains(before, want+"\n") {
			t.Errorf("metrics lack %s:\n%s", want, before)
		}
	}
	hc := readerOf(t, w, nil)
	for _, path := range []string{"/a", "/b?c", "/plastron.gate.v1.GateService/D", "/record/e"} {
		get(t, hc, w.url+path)
	}
	if _, _, after := get(t, http.DefaultClient, w.metrics+"/metrics"); strings.Count(after, "\n") != strings.Count(before, "\n") {
		t.Errorf("paths of strangers make series:\n%s", after)
	}
	if status, _, _ := get(t, hc, w.url+"/metrics"); status != http.StatusNotFound {
		t.Errorf("/metrics on the API: %d, want 404", status)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "open")
	rows := []struct {
		name, path string
		ahead      time.Duration
		status     int
		want       string
	}{
		{"alive", "/livez", 0, 200, "ok\n"},
		{"ready", "/readyz", 0, 200, "ok\n"},
		{"ready, in words", "/readyz?verbose", 0, 200, "ok   log\nok   quorum\nok   certificate\n"},
		{"no quorum for ten minutes", "/readyz", 10 * time.Minute, 503, "FAIL quorum: newest cosignature is "},
		{"own SVID is over", "/readyz?verbose", 25 * time.Hour, 503, "FAIL certificate: "},
		{"alive all the same", "/livez", 25 * time.Hour, 200, "ok\n"},
	}
	for _, row := range rows {
		w.now.Store(int64(row.ahead))
		status, _, body := get(t, http.DefaultClient, w.metrics+row.path)
		if status != row.status || !strings.Contains(body, row.want) {
			t.Errorf("%s: %d %q, want %d %q", row.name, status, body, row.status, row.want)
		}
	}
}
