package index_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/fulcio/pkg/certificate"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate/audit"
	"plastron/gate/audit/index"
	"plastron/log/logtest"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/svid"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A maker writes entries of every kind: a policy, then SVIDs of three shops, and
// among them a ban and an enrolment.
type maker struct {
	a   *svid.Authority
	key *ecdsa.PrivateKey
}

func newMaker(t testing.TB, p *proof.Policy) *maker {
	t.Helper()
	td := spiffeid.RequireTrustDomainFromString("acme.example")
	key := newKey(t)
	ca, err := svid.NewCA(td, key, epoch.Add(-time.Hour), epoch.Add(1000*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	a, err := svid.NewAuthority(svid.Config{TrustDomain: td, Certificate: ca, Key: key, Policy: p, Now: func() time.Time { return epoch }})
	if err != nil {
		t.Fatal(err)
	}
	return &maker{a, newKey(t)}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func shop(i int) string { return fmt.Sprintf("shop%d", i%3) }

// svid returns an entry, decided i seconds after the epoch.
func (m *maker) svid(t testing.TB, i int) []byte {
	t.Helper()
	at := epoch.Add(time.Duration(i) * time.Second)
	tbs, err := m.a.Draft(svid.Draft{
		ID: spiffeid.RequireFromString("spiffe://acme.example/" + shop(i) + "/api"), Key: m.key.Public(),
		NotBefore: at, NotAfter: at.Add(time.Hour),
		Build: &certificate.Extensions{
			Issuer: "https://issuer.example", SourceRepositoryURI: "https://github.com/acme/" + shop(i),
			SourceRepositoryDigest: fmt.Sprintf("%040x", i), BuildSignerURI: "https://github.com/acme/" + shop(i) + "/release.yml", Subject: "repo:acme/" + shop(i),
		},
		Decision: svid.Decision{
			Record: recordHash(t, i), Policy: 0, Decided: 1, Floors: []string{"who:institution"},
			Artifact: fmt.Sprintf("sha256:%064x", i), Tie: svid.Claimed, Spent: [][32]byte{sha256.Sum256(fmt.Appendf(nil, "%d", i))},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return frame(t, proof.X509SVID, tbs)
}

func frame(t testing.TB, k proof.Kind, body []byte) []byte {
	t.Helper()
	e, err := proof.Frame(k, body)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func say(t testing.TB, p statement.Predicate) []byte {
	t.Helper()
	body, err := statement.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return frame(t, proof.Statement, body)
}

// record is the decision record of SVID i.
func record(t testing.TB, i int) []byte {
	t.Helper()
	b, err := statement.Marshal(&statement.Record{
		SPIFFEID: "spiffe://acme.example/" + shop(i) + "/api", Key: proof.Hash{1}, Time: epoch.Add(time.Duration(i) * time.Second),
		Facts: jsontext.Value(fmt.Sprintf(`{"token":{"issuer":"cluster","url":"https://kubernetes.example","subject":"system:serviceaccount:%s"},
			"node":{"name":"fleet","kind":"tpm","id":"tpm:%04d","floor":"hardware","bound":"key"}}`, shop(i), i%10)),
		Verdict: statement.Verdict{Rule: "r", TTL: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func recordHash(t testing.TB, i int) proof.Hash { return sha256.Sum256(record(t, i)) }

// entry returns entry i of a log.
func (m *maker) entry(t testing.TB, i int) []byte {
	switch {
	case i == 0:
		text := "rules: []\n"
		return say(t, &statement.Policy{Name: "policy.yaml", Text: text, SHA256: sha256.Sum256([]byte(text))})
	case i%100 == 50:
		return say(t, &statement.Ban{Kind: "source", Value: "github.com/acme/" + shop(i), Reason: "leak"})
	case i%100 == 60:
		return []byte{1, 3, '{'}
	}
	return m.svid(t, i)
}

func fill(t testing.TB, s *logtest.Static, m *maker, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		s.Append(t, m.entry(t, i))
	}
	s.Publish(t)
}

func view(t testing.TB, s *logtest.Static) *audit.View {
	t.Helper()
	v, err := audit.Look(t.Context(), reader(t, s), s.Policy, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func reader(t testing.TB, s *logtest.Static) *audit.Reader {
	t.Helper()
	r, err := audit.Open(s.Dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func openIndex(t testing.TB) (*index.Index, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state", "a?b%20.index")
	x, err := index.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x, path
}

func update(t testing.TB, x *index.Index, v *audit.View, records index.Records) *index.Report {
	t.Helper()
	rep, err := x.Update(t.Context(), v, records, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// reading returns records out of the log's folder; those that are not there are
// withheld.
func reading(r *audit.Reader) index.Records {
	return func(ctx context.Context, e *audit.Entry) (*statement.Record, error) {
		rec, err := r.Record(ctx, e.SVID.DecisionRecord)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return rec, err
	}
}

// dump returns all that an index holds, in words.
func dump(t *testing.T, path string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "?", "%3f").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var b strings.Builder
	for _, q := range []string{
		"SELECT size, hex(roots), time, withheld, '', '', '' FROM state",
		"SELECT idx, hex(leaf), kind, time, id, serial, summary FROM entry ORDER BY idx",
		"SELECT name, value, entry, '', '', '', '' FROM fact ORDER BY name, value, entry",
	} {
		rows, err := db.Query(q)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var c [7]any
			if err := rows.Scan(&c[0], &c[1], &c[2], &c[3], &c[4], &c[5], &c[6]); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&b, c[:]...)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestRebuild: an index that grew with its log, step by step, and was closed in
// between, holds what one holds that is made at once.
func TestRebuild(t *testing.T) {
	t.Parallel()
	s := logtest.NewStatic(t)
	m := newMaker(t, s.Policy)
	for i := range 700 {
		if i%7 != 0 { // the others are withheld
			s.Write(t, "record/"+recordHash(t, i).String(), record(t, i))
		}
	}
	grown, grownPath := openIndex(t)
	for _, step := range [][2]int{{0, 1}, {1, 2}, {2, 255}, {255, 256}, {256, 257}, {257, 513}, {513, 700}} {
		fill(t, s, m, step[0], step[1])
		update(t, grown, view(t, s), reading(reader(t, s)))
	}
	atOnce, path := openIndex(t)
	rep := update(t, atOnce, view(t, s), reading(reader(t, s)))
	if rep.Size != 700 || rep.Added != 700 || rep.Withheld == 0 {
		t.Errorf("report %+v", rep)
	}
	want, got := dump(t, path), dump(t, grownPath)
	if want != got {
		t.Errorf("the index that grew differs from the one that was made at once")
	}
	if !strings.Contains(want, "system:serviceaccount:shop1") || strings.Count(want, "\n") < 5000 {
		t.Errorf("the index holds too little: %d lines", strings.Count(want, "\n"))
	}
	atOnce.Close()
	if err := index.Remove(path); err != nil {
		t.Fatal(err)
	}
	again, err := index.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	update(t, again, view(t, s), reading(reader(t, s)))
	if dump(t, path) != want {
		t.Error("rebuilt, the index differs")
	}
	if rep := update(t, again, view(t, s), nil); rep.Added != 0 || rep.Size != 700 {
		t.Errorf("nothing is new, but the report is %+v", rep)
	}
}

// TestSearch has a row for each way to ask.
func TestSearch(t *testing.T) {
	t.Parallel()
	s := logtest.NewStatic(t)
	m := newMaker(t, s.Policy)
	fill(t, s, m, 0, 300)
	for i := range 300 {
		s.Write(t, "record/"+recordHash(t, i).String(), record(t, i))
	}
	x, _ := openIndex(t)
	update(t, x, view(t, s), reading(reader(t, s)))
	rows := []struct {
		name  string
		q     index.Query
		want  int // entries
		first uint64
	}{
		{"everything", index.Query{}, 300, 299},
		{"a SPIFFE ID", index.Query{ID: "spiffe://acme.example/shop1/api"}, 98, 298},
		{"a glob", index.Query{ID: "spiffe://acme.example/shop*"}, 293, 299},
		{"a glob that begins with *", index.Query{ID: "*/shop[12]/api"}, 196, 299},
		{"letters in their case", index.Query{ID: "SPIFFE://acme.example/*"}, 0, 0},
		{"a kind", index.Query{Kind: "ban"}, 3, 250},
		{"unreadable entries are there", index.Query{Kind: audit.Unreadable}, 3, 260},
		{"a repository and its bans", index.Query{Repository: "github.com/acme/shop2"}, 99, 299},
		{"a repository with its scheme", index.Query{Repository: "https://github.com/acme/shop2"}, 99, 299},
		{"a repository's bans", index.Query{Repository: "github.com/acme/shop2", Kind: "ban"}, 1, 50},
		{"an artifact", index.Query{Digest: fmt.Sprintf("sha256:%064x", 77)}, 1, 77},
		{"an artifact without its algorithm", index.Query{Digest: fmt.Sprintf("%064x", 77)}, 1, 77},
		{"a commit", index.Query{Digest: fmt.Sprintf("%040x", 78)}, 1, 78},
		{"a record", index.Query{Digest: recordHash(t, 79).String()}, 1, 79},
		{"the build's issuer", index.Query{Issuer: "https://issuer.example"}, 293, 299},
		{"the token's issuer, by its name", index.Query{Issuer: "cluster"}, 293, 299},
		{"the build's subject", index.Query{Subject: "repo:acme/shop0"}, 97, 297},
		{"the token's subject", index.Query{Subject: "system:serviceaccount:shop0"}, 97, 297},
		{"a builder", index.Query{Builder: "*/shop0/release.yml"}, 97, 297},
		{"a node", index.Query{Node: "tpm:0003"}, 30, 293},
		{"a node source and an artifact", index.Query{Node: "fleet", Digest: fmt.Sprintf("%064x", 77)}, 1, 77},
		{"since", index.Query{Since: epoch.Add(290 * time.Second)}, 10, 299},
		{"until", index.Query{Until: epoch.Add(10 * time.Second)}, 11, 10},
		{"a ban is as old as what came before it", index.Query{Kind: "ban", Since: epoch.Add(149 * time.Second), Until: epoch.Add(149 * time.Second)}, 1, 150},
		{"nothing", index.Query{ID: "'; DROP TABLE entry; --"}, 0, 0},
	}
	for _, row := range rows {
		hits, more, err := x.Search(t.Context(), row.q)
		if err != nil || more || len(hits) != row.want || len(hits) > 0 && hits[0].Index != row.first {
			t.Errorf("%s: got %d, %v, %v, want %d, the first %d", row.name, len(hits), more, err, row.want, row.first)
		}
	}
	if hits, more, err := x.Search(t.Context(), index.Query{Limit: 3}); err != nil || !more || len(hits) != 3 {
		t.Errorf("limit 3: %d, %v, %v", len(hits), more, err)
	}
}

// TestFind finds an entry by each of its names.
func TestFind(t *testing.T) {
	t.Parallel()
	s := logtest.NewStatic(t)
	fill(t, s, newMaker(t, s.Policy), 0, 20)
	x, _ := openIndex(t)
	v := view(t, s)
	update(t, x, v, nil)
	b, _, err := v.Entry(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	e := audit.ParseEntry(7, b)
	for _, name := range []string{e.Leaf.String(), e.SVID.Serial, "0000" + e.SVID.Serial} {
		if i, err := x.Find(t.Context(), name); err != nil || i != 7 {
			t.Errorf("%s: got %d, %v, want 7", name, i, err)
		}
	}
	for _, name := range []string{strings.Repeat("00", 32), strings.Repeat("00", 16)} {
		if _, err := x.Find(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want %v", name, err, fs.ErrNotExist)
		}
	}
}

// TestUpdateRefuses: what is indexed stays as it is when the log forks, is
// rolled back or is damaged, or a record can't be had for another reason than
// that it is withheld.
func TestUpdateRefuses(t *testing.T) {
	t.Parallel()
	s := logtest.NewStatic(t)
	m := newMaker(t, s.Policy)
	fill(t, s, m, 0, 300)
	x, path := openIndex(t)
	update(t, x, view(t, s), nil)
	was := dump(t, path)

	other := logtest.NewStatic(t)
	other.Signer, other.Policy = s.Signer, s.Policy
	for from, to := range map[int]int{0: 200, 200: 500} { // the order does not matter: neither extends s
		fill(t, other, m, from, to)
		if _, err := x.Update(t.Context(), view(t, other), nil, nil); !errors.Is(err, audit.ErrMisbehaved) {
			t.Errorf("another tree: %v, want %v", err, audit.ErrMisbehaved)
		}
	}
	fill(t, s, m, 300, 600)
	b := s.Read(t, proof.BundlePath(2, 88))
	b[9] ^= 1
	s.Write(t, proof.BundlePath(2, 88), b)
	if _, err := x.Update(t.Context(), view(t, s), nil, nil); !errors.Is(err, audit.ErrMisbehaved) {
		t.Errorf("a damaged bundle: %v, want %v", err, audit.ErrMisbehaved)
	}
	b[9] ^= 1
	s.Write(t, proof.BundlePath(2, 88), b)
	bad := errors.New("connection reset")
	fail := func(context.Context, *audit.Entry) (*statement.Record, error) { return nil, bad }
	if _, err := x.Update(t.Context(), view(t, s), fail, nil); !errors.Is(err, bad) {
		t.Errorf("a record that could not be read: %v, want %v", err, bad)
	}
	if dump(t, path) != was {
		t.Error("the index has changed")
	}
	update(t, x, view(t, s), nil)
}

// TestTwoWriters: two processes at once make one index.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	s := logtest.NewStatic(t)
	fill(t, s, newMaker(t, s.Policy), 0, 700)
	x, path := openIndex(t)
	y, err := index.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer y.Close()
	done := make(chan error, 2)
	for _, i := range []*index.Index{x, y} {
		v := view(t, s)
		go func() { _, err := i.Update(context.Background(), v, nil, nil); done <- err }()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	alone, alonePath := openIndex(t)
	update(t, alone, view(t, s), nil)
	if dump(t, path) != dump(t, alonePath) {
		t.Error("two writers made another index than one")
	}
}

// TestOpen: what is no index says what mends it, and one of another version is
// made anew.
func TestOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.index")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := index.Open(t.Context(), path); !errors.Is(err, index.ErrDamaged) {
		t.Errorf("not a database: %v, want %v", err, index.ErrDamaged)
	}
	if err := index.Remove(path); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE entry (nonsense); PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	x, err := index.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if _, _, err := x.Search(t.Context(), index.Query{}); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: entries may be for auditors only", info.Mode(), err)
	}
}
