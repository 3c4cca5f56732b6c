package index

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"plastron/gate/audit"
	"plastron/log/proof"
)

// A Query says what entries are wanted: those that match every field that is
// set. Texts are GLOBs, in which * is any text, ? one character and […] one of
// some; one without them is matched whole. Letters match in their case.
type Query struct {
	ID         string // SPIFFE ID
	Issuer     string // of token or build: URL, or name in the gate's configuration
	Subject    string // of token or build
	Repository string // host/owner/name; a scheme before it is ignored
	Digest     string // sha256:…, sha512:… or the hex alone; a commit
	Builder    string // builder, signer or workflow
	Node       string // source, id, key
	Kind       string // x509-svid, ban, …
	Since      time.Time
	Until      time.Time // the second it names is the last
	Limit      int       // entries; 0 is 1000
}

// Recorded says whether the query asks for what, in part, only records say.
func (q Query) Recorded() bool {
	return q.Issuer != "" || q.Subject != "" || q.Node != "" || q.Digest != "" || q.Builder != "" || q.Repository != ""
}

// A Hit is an entry that was found. It is to be read from the log before it is
// believed.
type Hit struct {
	Index    uint64     `json:"index"`
	Leaf     proof.Hash `json:"leaf"`
	Kind     string     `json:"kind"`
	Time     time.Time  `json:"time,omitzero"` // of this entry, or of one before it that says its time
	SPIFFEID string     `json:"spiffe_id,omitzero"`
	Serial   string     `json:"serial,omitzero"`
	Summary  string     `json:"summary"`
}

// Search returns the entries that match, newest first, and whether there are
// more than the limit.
func (x *Index) Search(ctx context.Context, q Query) (hits []Hit, more bool, err error) {
	if q.Limit <= 0 {
		q.Limit = 1000
	}
	text, args := q.sql()
	rows, err := x.db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, false, x.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		if len(hits) == q.Limit {
			return hits, true, nil
		}
		h, err := scan(rows)
		if err != nil {
			return nil, false, x.explain(err)
		}
		hits = append(hits, h)
	}
	return hits, false, x.explain(rows.Err())
}

func scan(rows *sql.Rows) (h Hit, err error) {
	var leaf []byte
	var at int64
	if err := rows.Scan(&h.Index, &leaf, &h.Kind, &at, &h.SPIFFEID, &h.Serial, &h.Summary); err != nil {
		return h, err
	}
	if len(leaf) != proof.HashSize {
		return h, fmt.Errorf("leaf hash of %d bytes, want %d", len(leaf), proof.HashSize)
	}
	h.Leaf, h.Time = proof.Hash(leaf), unix(at)
	return h, nil
}

// sql returns the query as SQLite wants it.
func (q Query) sql() (string, []any) {
	where, args := []string{"1"}, []any{}
	and := func(clause string, values ...any) {
		where, args = append(where, clause), append(args, values...)
	}
	if q.Kind != "" {
		clause, values := match("kind", q.Kind)
		and(clause, values...)
	}
	if !q.Since.IsZero() {
		and("time >= ?", q.Since.Unix())
	}
	if !q.Until.IsZero() {
		and("time <= ?", q.Until.Unix())
	}
	for _, f := range []audit.Fact{
		{Name: audit.FactID, Value: q.ID},
		{Name: audit.FactIssuer, Value: q.Issuer},
		{Name: audit.FactSubject, Value: q.Subject},
		{Name: audit.FactRepository, Value: audit.Repository(q.Repository)},
		{Name: audit.FactDigest, Value: withAlgorithm(q.Digest)},
		{Name: audit.FactBuilder, Value: q.Builder},
		{Name: audit.FactNode, Value: q.Node},
	} {
		if f.Value != "" {
			clause, values := match("value", f.Value)
			and("idx IN (SELECT entry FROM fact WHERE name = ? AND "+clause+")", append([]any{f.Name}, values...)...)
		}
	}
	return "SELECT idx, leaf, kind, time, id, serial, summary FROM entry WHERE " + strings.Join(where, " AND ") +
		fmt.Sprintf(" ORDER BY idx DESC LIMIT %d", q.Limit+1), args
}

// match returns a clause for a GLOB. What stands before its first wildcard
// bounds the search from both sides.
func match(column, glob string) (string, []any) {
	i := strings.IndexAny(glob, "*?[")
	if i < 0 {
		return column + " = ?", []any{glob}
	}
	clause, values := column+" GLOB ?", []any{glob}
	if prefix := glob[:i]; prefix != "" {
		clause, values = column+" >= ? AND "+column+" < ? AND "+clause, append([]any{prefix, prefix + "\U0010ffff"}, values...)
	}
	return clause, values
}

// withAlgorithm gives a bare SHA-256 or SHA-512 in hex its prefix.
func withAlgorithm(s string) string {
	switch _, err := hex.DecodeString(s); {
	case err != nil:
	case len(s) == 64:
		return "sha256:" + s
	case len(s) == 128:
		return "sha512:" + s
	}
	return s
}
