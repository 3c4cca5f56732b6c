package audit_test

import (
	"encoding/json/jsontext"
	"slices"
	"strings"
	"testing"
	"time"

	"plastron/gate/audit"
	"plastron/log/logtest"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/svid"
)

func framed(t *testing.T, p statement.Predicate) []byte {
	t.Helper()
	body, err := statement.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	e, err := proof.Frame(proof.Statement, body)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestParseEntry has a row for each thing an entry may say.
func TestParseEntry(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	policy := &statement.Policy{Name: "policy.yaml", SHA256: proof.Hash{9}}
	rows := []struct {
		entry   []byte
		kind    string
		summary string
		fact    audit.Fact
	}{
		{framed(t, genesis(l)), "trust", "log.example/test trusts 0 issuers", audit.Fact{}},
		{framed(t, policy), "policy", "policy.yaml sha256:09", audit.Fact{Name: "digest", Value: "sha256:" + policy.SHA256.String()}},
		{framed(t, ban("sha256:aa")), "ban", "digest sha256:aa (bad)", audit.Fact{Name: "digest", Value: "sha256:aa"}},
		{
			framed(t, &statement.Unban{Kind: "source", Value: "github.com/acme/shop", Ban: 3, Reason: "mended"}),
			"unban", "source github.com/acme/shop of entry 3 (mended)",
			audit.Fact{Name: "repository", Value: "github.com/acme/shop"},
		},
		{framed(t, enrolment(1, 1)), "enrolment", "tpm node k of fleet", audit.Fact{Name: "node", Value: "tpm:k"}},
		{
			framed(t, &statement.JoinToken{Node: "edge", PublicKey: make([]byte, 32), Rule: "shop", Expires: time.Unix(1.8e9, 0).UTC(), Reason: "first"}),
			"join-token", "for rule shop on edge (first)",
			audit.Fact{Name: "node", Value: "edge"},
		},
		{[]byte{1, 3, '{'}, audit.Unreadable, "statement:", audit.Fact{}},
		{[]byte{1, 1, 0x30}, audit.Unreadable, "svid:", audit.Fact{}},
		{[]byte{1, 2, 'x'}, audit.Unreadable, "later version", audit.Fact{}},
		{[]byte{9}, audit.Unreadable, "log entry", audit.Fact{}},
		{framed(t, record()), audit.Unreadable, "no entry", audit.Fact{}},
	}
	for _, row := range rows {
		e := audit.ParseEntry(7, row.entry)
		if e.Kind != row.kind || !strings.Contains(e.Summary(), row.summary) || e.Leaf != proof.LeafHash(row.entry) || e.Index != 7 {
			t.Errorf("got %s %q, want %s %q", e.Kind, e.Summary(), row.kind, row.summary)
		}
		if row.fact != (audit.Fact{}) && !slices.Contains(e.Facts(nil), row.fact) {
			t.Errorf("%s is not found by %v but by %v", row.kind, row.fact, e.Facts(nil))
		}
	}
}

func record() *statement.Record {
	return &statement.Record{
		SPIFFEID: "spiffe://acme.example/a", Key: proof.Hash{1}, Time: time.Unix(1.8e9, 0).UTC(),
		Facts: jsontext.Value(`{"token":{"issuer":"github","url":"https://issuer.example","subject":"repo:acme/shop","claims":{"repository":"acme/shop"}},
			"node":{"name":"fleet","kind":"tpm","id":"tpm:ab"},"build":{"source":"github.com/acme/shop","builder":"https://builder.example"}}`),
		Verdict:  statement.Verdict{Rule: "r", TTL: 1},
		Evidence: []statement.Evidence{{Kind: "bundle", SHA256: proof.Hash{5}, Size: 3}},
	}
}

// An SVID is found by what its entry says, and with its record by what that does.
func TestSVIDFacts(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	a := begin(t, l)
	index := addSVID(t, l, a, svid.Decision{Policy: 1, Decided: 2, Artifact: "sha256:" + strings.Repeat("ab", 32), Tie: svid.Claimed})
	v, err := audit.Look(t.Context(), openServed(t, l), l.Policy, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := v.Entry(t.Context(), index)
	if err != nil {
		t.Fatal(err)
	}
	e := audit.ParseEntry(index, b)
	if e.Kind != "x509-svid" || e.SVID.SPIFFEID != "spiffe://acme.example/a" || e.Time() != e.SVID.NotBefore {
		t.Errorf("got %+v", e)
	}
	public := []audit.Fact{
		{Name: "id", Value: "spiffe://acme.example/a"},
		{Name: "digest", Value: "sha256:" + strings.Repeat("ab", 32)},
		{Name: "digest", Value: "sha256:" + e.SVID.DecisionRecord.String()},
	}
	recorded := []audit.Fact{
		{Name: "issuer", Value: "github"},
		{Name: "issuer", Value: "https://issuer.example"},
		{Name: "subject", Value: "repo:acme/shop"},
		{Name: "repository", Value: "acme/shop"},
		{Name: "repository", Value: "github.com/acme/shop"},
		{Name: "builder", Value: "https://builder.example"},
		{Name: "node", Value: "fleet"},
		{Name: "node", Value: "tpm:ab"},
		{Name: "digest", Value: "sha256:" + proof.Hash{5}.String()},
	}
	for _, f := range public {
		if !slices.Contains(e.Facts(nil), f) {
			t.Errorf("%v is missing", f)
		}
	}
	for _, f := range recorded {
		if slices.Contains(e.Facts(nil), f) || !slices.Contains(e.Facts(record()), f) {
			t.Errorf("%v is to be known from the record, and from it only", f)
		}
	}
}

// FuzzParseEntry: whatever a log serves as an entry has a kind, a line and its
// own leaf hash.
func FuzzParseEntry(f *testing.F) {
	body, err := statement.Marshal(ban("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte{1, 3}, body...))
	f.Add([]byte{1, 1, 0x30, 0x80})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e := audit.ParseEntry(0, b)
		if e.Kind == "" || e.Leaf != proof.LeafHash(b) || (e.Kind == audit.Unreadable) != (e.Problem != "") || e.Summary() == "" {
			t.Errorf("%x: %+v, %q", b, e, e.Summary())
		}
		for _, fact := range e.Facts(nil) {
			if fact.Name == "" || fact.Value == "" {
				t.Errorf("%x: fact %q", b, fact)
			}
		}
	})
}
