package audit

import (
	"cmp"
	"context"
	"encoding/json/jsontext"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/sigstore/fulcio/pkg/certificate"

	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/svid"
)

// Unreadable is the kind of an entry that says nothing we understand. Verify
// refuses a log that has one; whoever reads along is told of it.
const Unreadable = "unreadable"

// An Entry is a log entry in words. That the log holds it is for a [View] to
// say; that it is true, for nobody: it is what the gate has said in public.
type Entry struct {
	Index     uint64         `json:"index"`
	Leaf      proof.Hash     `json:"leaf"` // leaf hash
	Kind      string         `json:"kind"` // x509-svid, the statement's, or unreadable
	Bytes     int            `json:"bytes"`
	SVID      *SVID          `json:"svid,omitzero"`
	Statement jsontext.Value `json:"statement,omitzero"` // in-toto Statement v1
	Problem   string         `json:"problem,omitzero"`   // why it is unreadable

	tbs       *svid.TBS
	predicate statement.Predicate
}

// An SVID is the body of an x509-svid entry.
type SVID struct {
	SPIFFEID       string                  `json:"spiffe_id"`
	Serial         string                  `json:"serial"` // hex
	NotBefore      time.Time               `json:"not_before"`
	NotAfter       time.Time               `json:"not_after"`
	Key            proof.Hash              `json:"key"`       // SHA-256 of the SubjectPublicKeyInfo
	Authority      string                  `json:"authority"` // key id of the CA, hex
	DNSNames       []string                `json:"dns_names,omitzero"`
	IPs            []string                `json:"ips,omitzero"`
	Build          *certificate.Extensions `json:"build,omitzero"` // under Fulcio's own names
	DecisionRecord proof.Hash              `json:"record"`         // SHA-256 of the decision record
	Policy         uint64                  `json:"policy"`         // index of the policy's entry
	Decided        uint64                  `json:"decided"`        // number of entries it was decided on
	Spent          []proof.Hash            `json:"spent,omitzero"`
	Artifact       string                  `json:"artifact,omitzero"`
	Tie            string                  `json:"tie,omitzero"`
	Floors         []string                `json:"floors,omitzero"`
	Insecure       []string                `json:"insecure,omitzero"`
	Renews         *uint64                 `json:"renews,omitzero"` // index of the entry that it follows
}

// ParseEntry decodes an entry. What can't be decoded is an entry too, of the
// kind [Unreadable].
func ParseEntry(index uint64, b []byte) *Entry {
	e := &Entry{Index: index, Leaf: proof.LeafHash(b), Bytes: len(b)}
	if err := e.parse(b); err != nil {
		e.Kind, e.Problem = Unreadable, err.Error()
	}
	return e
}

func (e *Entry) parse(b []byte) error {
	kind, body, err := proof.Unframe(b)
	if err != nil {
		return err
	}
	switch e.Kind = kind.String(); kind {
	case proof.X509SVID:
		if e.tbs, err = svid.ParseTBS(body); err == nil {
			e.SVID = describe(e.tbs)
		}
		return err
	case proof.Statement:
		p, err := statement.Parse(body)
		if err != nil {
			return err
		}
		if _, ok := p.(*statement.Record); ok {
			return fmt.Errorf("a decision record is no entry")
		}
		e.Kind, e.predicate, e.Statement = statementKind(p), p, jsontext.Value(strings.Clone(string(body)))
		return nil
	}
	return fmt.Errorf("%s entries are of a later version", kind)
}

// statementKind returns the middle of https://plastron.example/<kind>/v1.
func statementKind(p statement.Predicate) string {
	return path.Base(path.Dir(statement.PredicateType(p)))
}

func describe(t *svid.TBS) *SVID {
	d := t.Decision
	s := &SVID{
		SPIFFEID: t.ID.String(), Serial: t.Serial.Text(16), NotBefore: t.NotBefore, NotAfter: t.NotAfter,
		Key: t.Key, Authority: fmt.Sprintf("%x", t.AuthorityKeyID), DNSNames: t.DNSNames, Build: t.Build,
		DecisionRecord: proof.Hash(d.Record), Policy: d.Policy, Decided: d.Decided,
		Artifact: d.Artifact, Tie: string(d.Tie), Floors: d.Floors, Insecure: d.Insecure, Renews: d.Renews,
	}
	for _, ip := range t.IPs {
		s.IPs = append(s.IPs, ip.String())
	}
	for _, k := range d.Spent {
		s.Spent = append(s.Spent, proof.Hash(k))
	}
	return s
}

// Time returns when the entry says that it was decided; the zero time if it
// does not say.
func (e *Entry) Time() time.Time {
	if e.SVID != nil {
		return e.SVID.NotBefore
	}
	if p, ok := e.predicate.(*statement.Enrolment); ok {
		return p.Time
	}
	return time.Time{}
}

// Predicate returns the statement's predicate, nil for an entry that is none.
func (e *Entry) Predicate() statement.Predicate { return e.predicate }

// Summary returns what the entry says, in one line of whatever its author wrote:
// escape it before a terminal sees it.
func (e *Entry) Summary() string {
	switch p := e.predicate.(type) {
	case *statement.Trust:
		return fmt.Sprintf("%s trusts %d issuers, %d Sigstore roots, %d node sources", p.Origin, len(p.Issuers), len(p.Sigstore), len(p.Nodes))
	case *statement.Policy:
		return fmt.Sprintf("%s sha256:%s", p.Name, p.SHA256)
	case *statement.Ban:
		return fmt.Sprintf("%s %s (%s)", p.Kind, p.Value, p.Reason)
	case *statement.Unban:
		return fmt.Sprintf("%s %s of entry %d (%s)", p.Kind, p.Value, p.Ban, p.Reason)
	case *statement.JoinToken:
		return fmt.Sprintf("for %s on %s (%s)", cmp.Or(p.SPIFFEID, "rule "+p.Rule), p.Node, p.Reason)
	case *statement.Enrolment:
		return fmt.Sprintf("%s node %s of %s", p.Kind, p.Key, p.Node)
	}
	if e.SVID == nil {
		return e.Problem
	}
	s := e.SVID.SPIFFEID
	if e.SVID.Artifact != "" {
		s += fmt.Sprintf(" %s (%s)", e.SVID.Artifact, e.SVID.Tie)
	}
	if b := e.SVID.Build; b != nil && b.SourceRepositoryURI != "" {
		s += fmt.Sprintf(" from %s", withoutScheme(b.SourceRepositoryURI))
	}
	return s
}

func withoutScheme(uri string) string {
	if _, rest, ok := strings.Cut(uri, "://"); ok {
		return rest
	}
	return uri
}

// Record reads a decision record from where the log is. Who may not have it gets
// [fs.ErrPermission], and [fs.ErrNotExist] says that it is not kept there.
func (r *Reader) Record(ctx context.Context, h proof.Hash) (*statement.Record, error) {
	b, err := r.Blob(ctx, "record", h)
	if err != nil {
		return nil, err
	}
	p, err := statement.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", h, err)
	}
	if rec, ok := p.(*statement.Record); ok {
		return rec, nil
	}
	return nil, fmt.Errorf("record %s is a %s statement", h, statementKind(p))
}
