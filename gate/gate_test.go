package gate_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"plastron/gate"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/node"
	"plastron/node/jointoken"
	"plastron/node/tpm"
	"plastron/node/tpm/tpmtest"
	"plastron/svid"
)

// TestIssue is the main job: token, bundle and quote in, a logged SVID out, that
// both a plain SPIFFE validator and the log proof's verifier accept.
func TestIssue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	s := w.issue(w.full(key))
	if got, want := s.ID().String(), "spiffe://acme.example/app/shop"; got != want {
		t.Errorf("SPIFFE ID %s, want %s", got, want)
	}
	b := must(w.gate.Bundle(context.Background()))(t)
	ca := must(x509.ParseCertificate(b.Certificates[0]))(t)
	bundle := x509bundle.FromX509Authorities(s.ID().TrustDomain(), []*x509.Certificate{ca})
	if _, _, err := x509svid.Verify([]*x509.Certificate{s.Certificate()}, bundle); err != nil {
		t.Error(err)
	}
	v := &svid.Verifier{Bundle: bundle, Policy: w.policy, Now: w.now}
	peer := must(v.Verify([]*x509.Certificate{s.Certificate()}))(t)
	d := peer.Decision()
	if d.Tie != "token" || peer.Index() != s.Index() {
		t.Errorf("tie %q at entry %d, want token at %d", d.Tie, peer.Index(), s.Index())
	}
	if want := []string{"who:institution", "what:institution", "where:human", "why:human"}; fmt.Sprint(d.Floors) != fmt.Sprint(want) {
		t.Errorf("floors %v, want %v", d.Floors, want)
	}
	if len(d.Insecure) != 1 {
		t.Errorf("insecure %v, want the software TPM named", d.Insecure)
	}
	record := must(w.gate.Record(proof.Hash(d.Record)))(t)
	p := must(statement.Parse(record))(t)
	r := p.(*statement.Record)
	if r.SPIFFEID != s.ID().String() || r.Verdict.Rule != "app" {
		t.Errorf("record of %s by rule %q", r.SPIFFEID, r.Verdict.Rule)
	}
	for _, e := range r.Evidence {
		kind, data, err := w.gate.Evidence(e.SHA256)
		if err != nil || kind != e.Kind || len(data) != e.Size {
			t.Errorf("evidence %s: kind %q, %d bytes, %v; the record says %q, %d", e.SHA256, kind, len(data), err, e.Kind, e.Size)
		}
	}
}

// A Sigstore log that signs another root for a size that the gate has met is
// refused, after a restart too.
func TestSigstoreLogForks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.issue(w.full(newKey(t)))
	w.reopen()
	if err := w.sigstore.Fork(w.sigstore.Size() - 1); err != nil {
		t.Fatal(err)
	}
	no := w.refused(w.full(newKey(t)), "provenance_log")
	if !strings.Contains(no.Fact, "shows two faces") {
		t.Errorf("refused because %s", no.Fact)
	}
	w.reopen()
	w.refused(w.full(newKey(t)), "provenance_log")
}

// With its tiles named in gate.yaml, a log that forked between two sizes is found
// when the gate looks at them, which it does first when it starts.
func TestSigstoreLogForksBetweenSizes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.issue(w.full(newKey(t)))
	if err := errors.Join(w.sigstore.Fork(900), w.sigstore.Grow(300)); err != nil {
		t.Fatal(err)
	}
	text := string(must(os.ReadFile(w.made.Config))(t))
	const old = `trusted_root: "../root.json"}`
	if !strings.Contains(text, old) {
		t.Fatalf("no %s in\n%s", old, text)
	}
	w.write("gate/gate.yaml", []byte(strings.Replace(text, old,
		`trusted_root: "../root.json", tiles: [{origin: 127.0.0.1, url: "`+w.sigstore.RekorURL()+`/api/v2", insecure_http: true}]}`, 1)))
	w.reopen()
	if insecure := strings.Join(w.gate.Trust().Insecure, "\n"); !strings.Contains(insecure, "sigstore local: tiles of 127.0.0.1: insecure_http") {
		t.Errorf("insecure %q", insecure)
	}
	for range 300 {
		_, err := w.gate.Issue(context.Background(), w.full(newKey(t)))
		var no *gate.Refusal
		if errors.As(err, &no) && no.Code == "provenance_log" && strings.Contains(no.Fact, "shows two faces") {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the fork was never found")
}

// A token is spent on the first key it comes with.
func TestTokenIsSpentOnAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, token := newKey(t), w.token()
	ask := func() *gate.Request {
		r := w.request(key)
		r.Token = token
		return r
	}
	first := w.issue(ask())
	again := w.issue(ask())
	if again.Index() != first.Index() || again.TBS().Serial.Cmp(first.TBS().Serial) != 0 {
		t.Errorf("asked again: entry %d, want the same entry %d", again.Index(), first.Index())
	}
	stolen := w.request(newKey(t))
	stolen.Token = token
	w.refused(stolen, gate.OIDCReplayed)
	withArtifact := ask()
	withArtifact.Bundle, withArtifact.Artifact = w.bundle()
	w.refused(withArtifact, gate.OIDCReplayed)
	w.reopen()
	if s := w.issue(ask()); s.Index() != first.Index() {
		t.Errorf("after a restart: entry %d, want %d", s.Index(), first.Index())
	}
	stolen = w.request(newKey(t))
	stolen.Token = token
	w.refused(stolen, gate.OIDCReplayed)
}

// After half of the SVID's life the same token leads to a new entry that names
// the one it follows, and the chain goes on from there.
func TestReissue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := claims(w.policy.Origin())
	c["exp"] = w.now().Add(5 * time.Hour).Unix()
	key, token := newKey(t), w.issuer.Token(c)
	ask := func() *svid.SVID {
		r := w.request(key)
		r.Token = token
		return w.issue(r)
	}
	first := ask()
	w.pass(31 * time.Minute)
	second := ask()
	if r := second.TBS().Decision.Renews; r == nil || *r != first.Index() {
		t.Fatalf("second SVID renews %v, want %d", r, first.Index())
	}
	if again := ask(); again.Index() != second.Index() {
		t.Errorf("asked again: entry %d, want %d", again.Index(), second.Index())
	}
	w.reopen()
	w.pass(31 * time.Minute)
	third := ask()
	if r := third.TBS().Decision.Renews; r == nil || *r != second.Index() {
		t.Errorf("third SVID renews %v, want %d", r, second.Index())
	}
	thief := w.request(newKey(t))
	thief.Token = token
	w.refused(thief, gate.OIDCReplayed)
}

// Of a thousand uses of one token on different keys, one is logged.
func TestRaceOneToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.token()
	race(t, w, gate.OIDCReplayed, func() *gate.Request {
		r := w.request(newKey(t))
		r.Token = token
		return r
	})
}

// Of a thousand uses of one join token on different keys, one is logged.
func TestRaceOneJoinToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.joinToken("seed")
	race(t, w, gate.NodeReplayed, func() *gate.Request {
		key := newKey(t)
		return w.join(w.request(key), key, token)
	})
}

func race(t *testing.T, w *world, lost gate.Code, request func() *gate.Request) {
	const uses = 1000
	before := w.gate.Log().Size()
	var mu sync.Mutex // guards won and codes
	won, codes := 0, map[gate.Code]int{}
	each(uses, 32, func(int) {
		_, err := w.gate.Issue(context.Background(), request())
		var no *gate.Refusal
		mu.Lock()
		defer mu.Unlock()
		if errors.As(err, &no) {
			codes[no.Code]++
		} else if err == nil {
			won++
		}
	})
	if won != 1 || codes[lost] != uses-1 {
		t.Errorf("%d won, refusals %v; want 1 and %d %s", won, codes, uses-1, lost)
	}
	if got := w.gate.Log().Size() - before; got != 1 {
		t.Errorf("the log grew by %d entries, want 1", got)
	}
}

// each runs f n times, at most some at once.
func each(n, atOnce int, f func(i int)) {
	var wg sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i := range n {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			f(i)
		})
	}
	wg.Wait()
}

// A ban in the middle of a thousand grants: none is logged after it that rests
// on what it bans.
func TestRaceBan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var banned uint64
	var mu sync.Mutex // guards indexes and refusals
	var indexes []uint64
	refusals := 0
	each(1000, 32, func(i int) {
		if i == 300 {
			banned = must(w.gate.Ban(context.Background(), statement.Ban{
				Kind: "issuer", Value: w.issuer.URL(), Reason: "a test", Author: "test",
			}))(t)
			return
		}
		s, err := w.gate.Issue(context.Background(), w.plain(newKey(t)))
		var no *gate.Refusal
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			indexes = append(indexes, s.Index())
		case errors.As(err, &no) && no.Code == gate.Banned:
			refusals++
		default:
			t.Error(err)
		}
	})
	for _, index := range indexes {
		if index > banned {
			t.Errorf("entry %d was granted after the ban at %d", index, banned)
		}
	}
	if len(indexes) == 0 || refusals == 0 {
		t.Errorf("%d granted, %d refused: the ban was not in the middle", len(indexes), refusals)
	}
	if w.gate.Bans()[0].Index != banned {
		t.Errorf("bans %v, want one at %d", w.gate.Bans(), banned)
	}
	must(w.gate.Unban(context.Background(), statement.Unban{Kind: "issuer", Value: w.issuer.URL(), Reason: "over", Author: "test"}))(t)
	w.issue(w.plain(newKey(t)))
}

// The genuine stranger has an own repository, an own TPM of the same vendor and
// our public bundle, and gets nothing.
func TestGenuineStranger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	theirs := must(tpmtest.New(tpmtest.Options{CA: w.vendor}))(t)
	d := must(tpm.NewDevice(theirs, tpm.ECDSA))(t)
	defer d.Close()
	key := newKey(t)
	c := claims(w.policy.Origin())
	c["repository_id"], c["repository_owner_id"], c["repository"], c["sub"] = "2", "3", "stranger/shop", "repo:stranger/shop"
	r := w.request(key)
	r.Token = w.issuer.Token(c)
	r.Bundle, r.Artifact = w.bundle()
	before := w.gate.Log().Size()
	if _, err := w.tryEnrol(d, r, key); code(err) != gate.NotEnrolled {
		t.Errorf("enrolling: %v, want %s", err, gate.NotEnrolled)
	}
	if after := w.gate.Log().Size(); after != before {
		t.Errorf("the refusal moved the log from %d to %d", before, after)
	}
	r.Evidence = []node.Evidence{must(d.Quote(bindOf(t, r, key), tpm.DefaultPCRs))(t)}
	w.refused(r, gate.NotEnrolled)
	r.Evidence = nil
	s := w.issue(r) // rule plain is for anybody's repository 2, and ties nothing
	if tie := s.TBS().Decision.Tie; tie != "claimed" {
		t.Errorf("a stranger's artifact is tied by %q, want claimed", tie)
	}
}

func code(err error) gate.Code {
	var no *gate.Refusal
	if errors.As(err, &no) {
		return no.Code
	}
	return ""
}

// Without its quorum nothing is minted; the entry is, once the witness is back.
func TestQuorum(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	r := w.plain(key)
	w.down.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	_, err := w.gate.Issue(ctx, r)
	if c := code(err); c != gate.LogQuorum && c != gate.LogUnavailable {
		t.Fatalf("without witness: %v, want %s", err, gate.LogQuorum)
	}
	size := w.gate.Log().Size()
	w.down.Store(false)
	s := w.issue(r)
	if s.Index() != size-1 {
		t.Errorf("entry %d, want the one that was logged, %d", s.Index(), size-1)
	}
}

// TestRefusals has a row for each way in which a request may be no good, and
// none of them moves the log.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := newKey(t)
	weak := must(rsa.GenerateKey(rand.Reader, 1024))(t)
	rows := []struct {
		rule string
		want gate.Code
		make func(t *testing.T) *gate.Request
	}{
		{"CSR absent", gate.KeyRefused, func(*testing.T) *gate.Request { r := w.plain(other); r.CSR = nil; return r }},
		{"CSR with a byte flipped", gate.KeyRefused, func(*testing.T) *gate.Request {
			r := w.plain(other)
			r.CSR[len(r.CSR)-3] ^= 1
			return r
		}},
		{"CSR of a weak key", gate.KeyRefused, func(t *testing.T) *gate.Request {
			r := w.plain(other)
			r.CSR = must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weak))(t)
			return r
		}},
		{"beacon absent", gate.BeaconRefused, func(*testing.T) *gate.Request { r := w.plain(other); r.Beacon = nil; return r }},
		{"beacon with a byte flipped", gate.BeaconRefused, func(*testing.T) *gate.Request {
			r := w.plain(other)
			r.Beacon = bytes.Replace(r.Beacon, []byte("gate\n"), []byte("gatf\n"), 1)
			return r
		}},
		{"beacon without its line", gate.BeaconRefused, func(*testing.T) *gate.Request {
			r := w.plain(other)
			r.Beacon = w.gate.Log().Checkpoint()
			return r
		}},
		{"no token where every rule without one wants a node", "policy_no_match", func(*testing.T) *gate.Request { return w.request(other) }},
		{"token not a token", "oidc_malformed", func(*testing.T) *gate.Request { r := w.request(other); r.Token = "x.y"; return r }},
		{"token for another gate", "oidc_audience", func(*testing.T) *gate.Request {
			r := w.request(other)
			r.Token = w.issuer.Token(claims("log.other.example/gate"))
			return r
		}},
		{"token of a stranger", "policy_no_match", func(*testing.T) *gate.Request {
			c := claims(w.policy.Origin())
			c["repository_id"] = "999"
			r := w.request(other)
			r.Token = w.issuer.Token(c)
			r.Bundle, r.Artifact = []byte("never parsed"), "sha256:00"
			return r
		}},
		{"artifact without a bundle", "provenance_malformed", func(*testing.T) *gate.Request {
			r := w.plain(other)
			r.Artifact = "sha256:" + strings.Repeat("0", 64)
			return r
		}},
		{"bundle of another artifact", "provenance_subject", func(*testing.T) *gate.Request {
			r := w.plain(other)
			r.Bundle, _ = w.bundle()
			r.Artifact = "sha256:" + strings.Repeat("0", 64)
			return r
		}},
		{"bundle not a bundle", "provenance_malformed", func(*testing.T) *gate.Request {
			r := w.plain(other)
			r.Bundle, r.Artifact = []byte("{}"), "sha256:"+strings.Repeat("0", 64)
			return r
		}},
		{"node evidence of an unknown kind", gate.NotEnrolled, func(*testing.T) *gate.Request {
			r := w.plain(other)
			r.Evidence = []node.Evidence{{Kind: "horoscope", Data: []byte("{}")}}
			return r
		}},
		{"two pieces of node evidence", "node_malformed", func(*testing.T) *gate.Request {
			r := w.plain(other)
			r.Evidence = make([]node.Evidence, 2)
			return r
		}},
		{"join token that is in no entry", gate.NotEnrolled, func(t *testing.T) *gate.Request {
			token, _, err := jointoken.NewToken()
			if err != nil {
				t.Fatal(err)
			}
			return w.join(w.plain(other), other, token)
		}},
		{"quote for another key", "node_binding", func(t *testing.T) *gate.Request {
			r, theirs := w.full(other), newKey(t)
			r.CSR = must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, theirs))(t)
			return r
		}},
	}
	enrolled := w.full(other) // enrols the TPM, so that no row moves the log
	_ = enrolled
	for _, row := range rows {
		t.Run(row.rule, func(t *testing.T) {
			no := w.refused(row.make(t), row.want)
			if no.Fact == "" && no.Code != "policy_no_match" {
				t.Error("a refusal that names no fact")
			}
		})
	}
}

// A join token is for one key, what it names, and its time.
func TestJoinToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	secret := w.joinToken("seed")
	s := w.issue(w.join(w.request(key), key, secret))
	if again := w.issue(w.join(w.request(key), key, secret)); again.Index() != s.Index() {
		t.Errorf("asked again: entry %d, want %d", again.Index(), s.Index())
	}
	thief := newKey(t)
	w.refused(w.join(w.request(thief), thief, secret), gate.NodeReplayed)
	other := w.joinToken("joined")
	w.refused(w.join(w.request(thief), thief, other), gate.PolicyRefused)
	late := w.joinToken("seed")
	w.pass(31 * time.Minute)
	if _, err := w.gate.Issue(context.Background(), w.join(w.request(thief), thief, late)); !strings.HasPrefix(string(code(err)), "node_") {
		t.Errorf("an expired join token: %v, want a node_ refusal", err)
	}
}

// A beacon is good for two minutes and five seconds of skew.
func TestBeaconAge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.plain(newKey(t))
	w.pass(gate.MaxBeaconAge + time.Second)
	w.refused(r, gate.BeaconRefused)
	future := w.plain(newKey(t))
	w.pass(-10 * time.Second)
	w.refused(future, gate.BeaconRefused)
}

// A policy takes effect from its entry, and a text that does not load changes
// nothing.
func TestUsePolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, before := w.gate.Policy()
	if _, err := w.gate.UsePolicy(context.Background(), "policy.yaml", []byte("rules: []\n"), "test"); err == nil {
		t.Fatal("an empty policy was loaded")
	}
	if _, after := w.gate.Policy(); after.SHA256 != before.SHA256 {
		t.Error("a policy that does not load replaced the old one")
	}
	text := strings.ReplaceAll(policyText, "/ci/", "/job/")
	index := must(w.gate.UsePolicy(context.Background(), "policy.yaml", []byte(text), "test"))(t)
	s := w.issue(w.plain(newKey(t)))
	if s.ID().Path() != "/job/512345" || s.TBS().Decision.Policy != index {
		t.Errorf("%s by policy %d, want /job/512345 by %d", s.ID(), s.TBS().Decision.Policy, index)
	}
}

// A policy longer than an entry holds is stored beside it, by its hash.
func TestLongPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := []byte(strings.Repeat("# a remark\n", statement.MaxText/10) + policyText)
	must(w.gate.UsePolicy(context.Background(), "policy.yaml", text, "test"))(t)
	_, p := w.gate.Policy()
	kind, stored, err := w.gate.Evidence(p.SHA256)
	if err != nil || kind != gate.KindPolicy || !bytes.Equal(stored, text) || p.Text != "" {
		t.Errorf("stored as %q, %d bytes, %v; %d bytes in the entry", kind, len(stored), err, len(p.Text))
	}
	w.issue(w.plain(newKey(t)))
}

// The zero values of what a request proves prove nothing.
func TestZeroRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refused(&gate.Request{}, gate.KeyRefused)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := w.plain(newKey(t))
	r.CSR = must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))(t)
	w.issue(r) // Ed25519 is a key like another
}

// A panic anywhere is a refusal, and nothing is handed out.
func TestPanicRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.issued = func(string) { panic("a test") }
	w.reopen()
	s, err := w.gate.Issue(context.Background(), w.plain(newKey(t)))
	if s != nil || code(err) != gate.Internal {
		t.Errorf("got %v, %v, want a refusal %s", s, err, gate.Internal)
	}
}

// renew asks with an SVID in place of a token.
func (w *world) renew(old *svid.SVID, oldKey, key *ecdsa.PrivateKey) *gate.Request {
	w.t.Helper()
	r := w.request(key)
	sum := sha256.Sum256(svid.RenewalMessage(bindOf(w.t, r, key)))
	r.Renewal = &gate.Renewal{SVID: old.Certificate().Raw, Signature: must(ecdsa.SignASN1(rand.Reader, oldKey, sum[:]))(w.t)}
	return r
}

// An SVID stands in for its token, under a rule that says so, for as long as the
// rule says, once, and only while it is the newest of its chain.
func TestRenewal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := strings.ReplaceAll(policyText, "  - name: plain\n", "  - name: plain\n    renew_for: 3h\n")
	w.write("gate/policy.yaml", []byte(text))
	w.reopen()
	k1, k2, k3 := newKey(t), newKey(t), newKey(t)
	first := w.issue(w.plain(k1))
	w.pass(40 * time.Minute)
	ask := w.renew(first, k1, k2)
	second := w.issue(ask)
	if r := second.TBS().Decision.Renews; r == nil || *r != first.Index() || second.ID() != first.ID() {
		t.Fatalf("%s renews %v, want %s renewing %d", second.ID(), r, first.ID(), first.Index())
	}
	if again := w.issue(ask); again.Index() != second.Index() {
		t.Errorf("asked again: entry %d, want %d", again.Index(), second.Index())
	}
	w.refused(w.renew(first, k1, k3), gate.RenewalRefused)  // renewed already, on another key
	w.refused(w.renew(second, k1, k3), gate.RenewalRefused) // signed by another key than its own
	stolen := w.renew(second, k2, k3)
	stolen.CSR = w.request(newKey(t)).CSR
	w.refused(stolen, gate.RenewalRefused) // the signature is for another key
	both := w.renew(second, k2, k3)
	both.Token = w.token()
	w.refused(both, gate.RenewalRefused)
	w.reopen()
	w.pass(40 * time.Minute)
	third := w.issue(w.renew(second, k2, k3))
	record := must(statement.Parse(must(w.gate.Record(proof.Hash(third.TBS().Decision.Record)))(t)))(t).(*statement.Record)
	if record.Verdict.Rule != "plain" || *record.Renews != second.Index() {
		t.Errorf("record by rule %q renews %d", record.Verdict.Rule, *record.Renews)
	}
	for n, key := 0, k3; ; n++ { // until the first token is three hours old
		next := newKey(t)
		w.pass(40 * time.Minute)
		r := w.renew(third, key, next)
		s, err := w.gate.Issue(context.Background(), r)
		if err != nil {
			if code(err) != gate.RenewalRefused || n != 2 {
				t.Fatalf("after %d more renewals: %v", n, err)
			}
			break
		}
		third, key = s, next
	}
	plain := w.issue(w.plain(k1))
	w.pass(61 * time.Minute)
	w.refused(w.renew(plain, k1, k2), gate.RenewalRefused) // expired
}

// A rule that does not say renew_for does not renew, a ban reaches a renewal,
// and a chain that began without a token has nobody to renew for.
func TestRenewalRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	s := w.issue(w.plain(key))
	w.refused(w.renew(s, key, newKey(t)), gate.RenewalRefused)
	joined := w.issue(w.join(w.request(key), key, w.joinToken("seed")))
	w.refused(w.renew(joined, key, newKey(t)), gate.RenewalRefused)
	text := strings.ReplaceAll(policyText, "  - name: plain\n", "  - name: plain\n    renew_for: 3h\n")
	must(w.gate.UsePolicy(context.Background(), "policy.yaml", []byte(text), "test"))(t)
	must(w.gate.Ban(context.Background(), statement.Ban{Kind: "issuer", Value: w.issuer.URL(), Reason: "a test", Author: "test"}))(t)
	w.refused(w.renew(s, key, newKey(t)), gate.Banned)
	other := newWorld(t)
	foreign := other.issue(other.plain(key))
	w.refused(w.renew(foreign, key, newKey(t)), gate.RenewalRefused)
}

// A clock that goes back further than the log allows issues nothing.
func TestClockBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.issue(w.plain(newKey(t)))
	w.pass(-time.Minute)
	w.issue(w.plain(newKey(t)))
	w.pass(-2 * time.Minute)
	w.refused(w.plain(newKey(t)), gate.LogUnavailable)
	w.pass(3 * time.Minute)
	w.issue(w.plain(newKey(t)))
}
