package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json/jsontext"
	"errors"
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

	says entry
}

// An entry is what one says by itself.
type entry struct {
	leaf      proof.Hash
	body      []byte
	tbs       *svid.TBS           // of an SVID
	predicate statement.Predicate // of a statement
	err       error               // why it is neither
}

// parse decodes an entry. Whoever reads entries reads them through it.
func parse(b []byte) (e entry) {
	e.leaf = proof.LeafHash(b)
	kind, body, err := proof.Unframe(b)
	switch e.body, e.err = body, err; {
	case err != nil:
	case kind == proof.X509SVID:
		e.tbs, e.err = svid.ParseTBS(body)
	case kind == proof.Statement:
		if e.predicate, e.err = statement.Parse(body); e.err != nil {
			break
		}
		if _, ok := e.predicate.(*statement.Record); ok {
			e.err = errors.New("a decision record is no entry")
		}
	default:
		e.err = fmt.Errorf("%s entries are of a later version", kind)
	}
	return e
}

// kind returns one of [Kinds], or [Unreadable].
func (e entry) kind() string {
	switch {
	case e.err != nil:
		return Unreadable
	case e.tbs != nil:
		return proof.X509SVID.String()
	}
	return statementKind(e.predicate)
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
	p := parse(b)
	e := &Entry{Index: index, Leaf: p.leaf, Kind: p.kind(), Bytes: len(b), says: p}
	switch {
	case p.err != nil:
		e.Problem = p.err.Error()
	case p.tbs != nil:
		e.SVID = describe(p.tbs)
	default:
		e.Statement = jsontext.Value(bytes.Clone(p.body))
	}
	return e
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
	if p, ok := e.says.predicate.(*statement.Enrolment); ok {
		return p.Time
	}
	return time.Time{}
}

// Predicate returns the statement's predicate, nil for an entry that is none.
func (e *Entry) Predicate() statement.Predicate { return e.says.predicate }

// Summary returns what the entry says, in one line of whatever its author wrote:
// escape it before a terminal sees it.
func (e *Entry) Summary() string { return e.says.summary() }

func (e entry) summary() string {
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
	if e.tbs == nil {
		return e.err.Error()
	}
	s, d := e.tbs.ID.String(), e.tbs.Decision
	if d.Artifact != "" {
		s += fmt.Sprintf(" %s (%s)", d.Artifact, d.Tie)
	}
	if b := e.tbs.Build; b != nil && b.SourceRepositoryURI != "" {
		s += fmt.Sprintf(" from %s", Repository(b.SourceRepositoryURI))
	}
	return s
}

// Repository returns a repository's URI as policies name it, without scheme:
// "github.com/acme/shop".
func Repository(uri string) string {
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
