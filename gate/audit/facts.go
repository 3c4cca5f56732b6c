package audit

import (
	"strings"

	"plastron/log/proof"
	"plastron/log/statement"
)

// The names of facts: what a log can be searched by.
const (
	FactID         = "id"         // SPIFFE ID
	FactIssuer     = "issuer"     // OIDC issuer, of the token and of the build; its URL, and its name in the gate's configuration
	FactSubject    = "subject"    // of the token and of the build's identity
	FactRepository = "repository" // host/owner/name, and owner/name where a token says only that
	FactDigest     = "digest"     // "sha256:…" of artifact, key, record, evidence, policy; a commit in bare hex
	FactBuilder    = "builder"    // SLSA builder, signer and workflow
	FactNode       = "node"       // node source, node id, key
)

// A Fact is one value by which an entry is found.
type Fact struct{ Name, Value string }

// facts collects each fact once.
type facts struct {
	list []Fact
	seen map[Fact]bool
}

func (fs *facts) add(name string, values ...string) {
	for _, v := range values {
		if name == FactRepository {
			v = Repository(v)
		}
		f := Fact{name, v}
		if v == "" || fs.seen[f] {
			continue
		}
		fs.seen[f] = true
		fs.list = append(fs.list, f)
	}
}

func (fs *facts) digest(hs ...proof.Hash) {
	for _, h := range hs {
		if h != (proof.Hash{}) {
			fs.add(FactDigest, "sha256:"+h.String())
		}
	}
}

// Facts returns by what the entry is to be found, each once. The record is that
// of an SVID, nil where it can't be had: then what only it says is not there.
func (e *Entry) Facts(record *statement.Record) []Fact {
	fs := &facts{seen: map[Fact]bool{}}
	switch {
	case e.SVID != nil:
		fs.svid(e.SVID)
		if record != nil {
			fs.record(record)
		}
	case e.says.predicate != nil:
		fs.statement(e.says.predicate)
	}
	return fs.list
}

func (fs *facts) svid(s *SVID) {
	fs.add(FactID, s.SPIFFEID)
	fs.digest(s.DecisionRecord, s.Key)
	fs.add(FactDigest, s.Artifact)
	if b := s.Build; b != nil {
		fs.add(FactIssuer, b.Issuer)
		fs.add(FactSubject, b.Subject)
		fs.add(FactRepository, b.SourceRepositoryURI)
		fs.add(FactBuilder, b.BuildSignerURI, b.BuildConfigURI)
		fs.add(FactDigest, b.SourceRepositoryDigest, b.BuildSignerDigest, b.BuildConfigDigest)
	}
}

func (fs *facts) record(r *statement.Record) {
	f := flatten(r.Facts)
	fs.add(FactIssuer, f["token.issuer"], f["token.url"], f["build.issuer"])
	fs.add(FactSubject, f["token.subject"])
	fs.add(FactRepository, f["token.claims.repository"], f["build.source"])
	fs.add(FactBuilder, f["build.builder"], f["build.signer"], f["build.workflow"])
	fs.add(FactDigest, f["build.commit"], f["artifact.digest"])
	fs.add(FactNode, f["node.name"], f["node.id"])
	for _, e := range r.Evidence {
		fs.digest(e.SHA256)
	}
}

func (fs *facts) statement(p statement.Predicate) {
	switch p := p.(type) {
	case *statement.Policy:
		fs.digest(p.SHA256)
	case *statement.Ban:
		fs.banned(p.Kind, p.Value)
	case *statement.Unban:
		fs.banned(p.Kind, p.Value)
	case *statement.JoinToken:
		fs.add(FactNode, p.Node)
		fs.add(FactID, p.SPIFFEID)
		fs.digest(sum(p.PublicKey))
	case *statement.Enrolment:
		fs.add(FactNode, p.Node, p.Kind+":"+p.Key)
		fs.digest(p.Record)
	case *statement.Trust:
		for _, a := range p.Issuers {
			fs.add(FactIssuer, a.Name, a.URL)
			fs.digest(a.SHA256)
		}
		for _, a := range p.Sigstore {
			fs.digest(a.SHA256)
		}
		for _, a := range p.Nodes {
			fs.add(FactNode, a.Name)
			fs.digest(a.SHA256)
		}
	}
}

// banned puts what a ban is about beside what it bans, so that one search finds
// both.
func (fs *facts) banned(kind, value string) {
	names := map[string]string{
		"builder": FactBuilder, "commit": FactDigest, "digest": FactDigest, "anchor": FactDigest, "ek": FactNode, "node": FactNode,
		"issuer": FactIssuer, "source": FactRepository, "spiffe-id": FactID, "subject": FactSubject,
	}
	fs.add(names[kind], strings.TrimSpace(value))
}
