package audit_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json/jsontext"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate/audit"
	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/svid"
)

// add appends a statement with conditions of its own.
func add(t *testing.T, l *logtest.Log, p statement.Predicate, c log.Conditions) uint64 {
	t.Helper()
	body, err := statement.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	e, err := proof.Frame(proof.Statement, body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Append(context.Background(), e, c)
	if err != nil {
		t.Fatal(err)
	}
	return r.Index()
}

var free = log.Conditions{Decided: log.Unconditional}

func genesis(l *logtest.Log) *statement.Trust {
	return &statement.Trust{
		TrustDomain: "acme.example", Origin: l.Policy.Origin(), Certificates: [][]byte{{1}}, LogPolicy: string(l.Policy.Text()),
	}
}

func enrolment(spent byte, decided uint64) *statement.Enrolment {
	return &statement.Enrolment{
		Node: "fleet", Kind: "tpm", Key: "k", Data: jsontext.Value("{}"), Authority: "inventory",
		Decided: decided, Spent: []proof.Hash{{spent}}, Time: time.Unix(1.8e9, 0).UTC(),
	}
}

func ban(v string) *statement.Ban { return &statement.Ban{Kind: "digest", Value: v, Reason: "bad"} }

// begin appends a genesis and a policy, and returns an authority for the log.
func begin(t *testing.T, l *logtest.Log) *svid.Authority {
	t.Helper()
	add(t, l, genesis(l), free)
	text := "rules: []\n"
	add(t, l, &statement.Policy{Name: "policy.yaml", Text: text, SHA256: sha256.Sum256([]byte(text))}, free)
	td := spiffeid.RequireTrustDomainFromString("acme.example")
	key := newKey(t)
	ca, err := svid.SelfSign(td, key)
	if err != nil {
		t.Fatal(err)
	}
	a, err := svid.NewAuthority(svid.Config{TrustDomain: td, Certificate: ca, Key: key, Policy: l.Policy, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// addSVID appends the entry of an SVID that a gate might have decided so.
func addSVID(t *testing.T, l *logtest.Log, a *svid.Authority, d svid.Decision) uint64 {
	t.Helper()
	d.Record, d.Floors = sha256.Sum256([]byte("record")), []string{"why:human"}
	now := time.Now().UTC().Truncate(time.Second)
	tbs, err := a.Draft(svid.Draft{
		ID: spiffeid.RequireFromString("spiffe://acme.example/a"), Key: &newKey(t).PublicKey,
		NotBefore: now, NotAfter: now.Add(time.Hour), Decision: d,
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := proof.Frame(proof.X509SVID, tbs)
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Append(context.Background(), e, free)
	if err != nil {
		t.Fatal(err)
	}
	return r.Index()
}

// verify reads the log over HTTP once all of it is published.
func verify(t *testing.T, l *logtest.Log, older []byte) (*audit.Report, error) {
	t.Helper()
	s := httptest.NewServer(l.Handler())
	defer s.Close()
	r := open(t, l, s.URL)
	return audit.Verify(context.Background(), r, l.Policy, older, nil)
}

// open returns a reader once all that the log holds is published.
func open(t *testing.T, l *logtest.Log, at string) *audit.Reader {
	t.Helper()
	r, err := audit.Open(at, nil)
	if err != nil {
		t.Fatal(err)
	}
	for want := l.Size(); ; time.Sleep(5 * time.Millisecond) {
		note, err := r.Checkpoint(t.Context())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if c, err := l.Policy.OpenCheckpoint(note); err == nil && c.Checkpoint().Size >= want {
			return r
		}
	}
}

// TestVerify reads a sound log whole, and proves that it extends an older
// checkpoint of itself.
func TestVerify(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	add(t, l, genesis(l), free)
	older := l.Checkpoint()
	for i := range 300 {
		add(t, l, ban(strings.Repeat("x", i+1)), free)
	}
	rep, err := verify(t, l, older)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Size != 301 || rep.From != 1 || rep.Entries != 301 || rep.Kinds["ban"] != 300 || len(rep.Witnesses) != 1 {
		t.Errorf("report %+v", rep)
	}
}

// TestVerifyMisbehaviour has a row for each promise of the log. The entries are
// appended as a log that breaks it would, past the gate.
func TestVerifyMisbehaviour(t *testing.T) {
	t.Parallel()
	rows := []struct {
		promise string
		break_  func(t *testing.T, l *logtest.Log)
	}{
		{"entry 0 is the genesis", func(t *testing.T, l *logtest.Log) { add(t, l, ban("x"), free) }},
		{"nothing is spent twice", func(t *testing.T, l *logtest.Log) {
			add(t, l, genesis(l), free)
			add(t, l, enrolment(1, 1), free)
			add(t, l, enrolment(1, 2), free)
		}},
		{"nothing is decided before a barrier and logged after it", func(t *testing.T, l *logtest.Log) {
			add(t, l, genesis(l), free)
			add(t, l, ban("x"), free)
			add(t, l, enrolment(1, 1), free)
		}},
		{"nothing is decided on entries to come", func(t *testing.T, l *logtest.Log) {
			add(t, l, genesis(l), free)
			add(t, l, enrolment(1, 9), free)
		}},
		{"an SVID names the policy in force", func(t *testing.T, l *logtest.Log) {
			a := begin(t, l)
			addSVID(t, l, a, svid.Decision{Policy: 0, Decided: 2})
		}},
		{"an SVID renews an SVID", func(t *testing.T, l *logtest.Log) {
			a, other := begin(t, l), uint64(0)
			addSVID(t, l, a, svid.Decision{Policy: 1, Decided: 2, Renews: &other})
		}},
		{"an SVID is renewed once", func(t *testing.T, l *logtest.Log) {
			a := begin(t, l)
			first := addSVID(t, l, a, svid.Decision{Policy: 1, Decided: 2})
			addSVID(t, l, a, svid.Decision{Policy: 1, Decided: 3, Renews: &first})
			addSVID(t, l, a, svid.Decision{Policy: 1, Decided: 4, Renews: &first})
		}},
		{"entries are of known kinds", func(t *testing.T, l *logtest.Log) {
			add(t, l, genesis(l), free)
			e, err := proof.Frame(proof.JWTSVID, []byte("x"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Append(context.Background(), e, free); err != nil {
				t.Fatal(err)
			}
		}},
		{"records are no entries", func(t *testing.T, l *logtest.Log) {
			add(t, l, genesis(l), free)
			add(t, l, &statement.Record{
				SPIFFEID: "spiffe://a.example/b", Key: proof.Hash{1}, Time: time.Unix(1.8e9, 0).UTC(), Facts: jsontext.Value("{}"),
				Verdict: statement.Verdict{Rule: "r", TTL: 1},
			}, free)
		}},
	}
	for _, row := range rows {
		t.Run(row.promise, func(t *testing.T) {
			t.Parallel()
			l := logtest.New(t)
			row.break_(t, l)
			if _, err := verify(t, l, nil); !errors.Is(err, audit.ErrMisbehaved) {
				t.Errorf("got %v, want %v", err, audit.ErrMisbehaved)
			}
		})
	}
}

// A log that has signed more than it shows, or another tree, has gone back on
// itself.
func TestVerifyFork(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	add(t, l, genesis(l), free)
	fork := func(size uint64) []byte {
		note, err := l.Signer.Sign(proof.Checkpoint{Origin: l.Policy.Origin(), Size: size, Root: sha256.Sum256([]byte("another tree"))})
		if err != nil {
			t.Fatal(err)
		}
		return note
	}
	for _, size := range []uint64{1, 9} {
		if _, err := verify(t, l, fork(size)); !errors.Is(err, audit.ErrMisbehaved) {
			t.Errorf("after a checkpoint of size %d of another tree: %v, want %v", size, err, audit.ErrMisbehaved)
		}
	}
	other := logtest.New(t, logtest.Unwitnessed())
	add(t, other, genesis(other), free)
	if _, err := verify(t, l, other.Checkpoint()); err == nil || errors.Is(err, audit.ErrMisbehaved) {
		t.Errorf("another log's checkpoint: %v, want an error that blames nobody", err)
	}
}

// One byte of an entry changed on disk is found.
func TestVerifyTampered(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	add(t, l, genesis(l), free)
	add(t, l, ban("findme"), free)
	s := httptest.NewServer(l.Handler())
	defer s.Close()
	dir := t.TempDir()
	r := open(t, l, s.URL)
	entries, err := r.ReadBundle(context.Background(), 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := proof.MarshalBundle(entries)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"checkpoint":           l.Checkpoint(),
		proof.BundlePath(0, 2): []byte(strings.ReplaceAll(string(bundle), "findme", "findyo")),
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := audit.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Verify(context.Background(), d, l.Policy, nil, nil); !errors.Is(err, audit.ErrMisbehaved) {
		t.Errorf("got %v, want %v", err, audit.ErrMisbehaved)
	}
}
