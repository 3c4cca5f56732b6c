package gate

import (
	"crypto/sha256"
	"encoding/json/v2"
	"fmt"
	"slices"
	"strings"
	"time"

	"plastron/gate/policy"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/node"
	"plastron/svid"
)

// recordOf writes down why: every fact that the decision read, the verdict, the
// floors that it stands on, and the hashes of the evidence, whose bytes go into
// the log beside the entry.
func (gr *grant) recordOf(req *Request, f *facts, v view, yes *policy.Grant, build string) error {
	read, err := json.Marshal(&f.policy, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("record facts: %w", err)
	}
	gr.record = statement.Record{
		SPIFFEID: gr.id.String(), Key: gr.key, Time: gr.now, Facts: read, Gate: build,
		Insecure: insecure(f, yes),
		Verdict: statement.Verdict{
			Policy: v.policy.index, Rule: yes.Rule, Clauses: yes.Clauses, Decided: v.decided, Spent: gr.spent,
			TTL: int64(yes.TTL / time.Second), Artifact: artifact(f), Tie: string(tie(f)), Floors: floors(f),
		},
	}
	return gr.keep(req, f)
}

// keep collects the evidence of a request for the log, bounded by maxStored.
func (gr *grant) keep(req *Request, f *facts) error {
	var total int
	add := func(kind string, b []byte) {
		if len(b) == 0 {
			return
		}
		total += len(b)
		gr.record.Evidence = append(gr.record.Evidence, statement.Evidence{Kind: kind, SHA256: sha256.Sum256(b), Size: len(b)})
		gr.evidence = append(gr.evidence, b)
	}
	add(KindCSR, req.CSR)
	add(KindBeacon, req.Beacon)
	if f.who != nil && f.who.token != nil {
		add(KindToken, []byte(req.Token))
		add(KindJWK, f.who.token.JWK())
	}
	if req.Renewal != nil {
		b, err := storedRenewal(req.Renewal)
		if err != nil {
			return err
		}
		add(KindRenewal, b)
	}
	add(KindBundle, req.Bundle)
	for _, ev := range req.Evidence {
		b, err := storedEvidence(ev)
		if err != nil {
			return err
		}
		add(KindNode, b)
	}
	if total > maxStored {
		return refuse(LimitExceeded, "evidence of %d bytes, want at most %d an issuance", total, maxStored)
	}
	return nil
}

// storedEvidence is node evidence as the log keeps it: {"kind", "data"} with
// data in base64, so that a reader knows what it is.
func storedEvidence(ev node.Evidence) ([]byte, error) {
	return json.Marshal(struct {
		Kind string `json:"kind"`
		Data []byte `json:"data"`
	}{ev.Kind, ev.Data}, json.Deterministic(true))
}

// artifact is the digest that a request's bundle speaks of, "" for none.
func artifact(f *facts) string {
	if f.what == nil {
		return ""
	}
	return f.what.Artifact().String()
}

// tie says how the artifact is tied to its requester, strongest first.
//
//	measured  node evidence proves that the digest ran
//	token     the token's issuer names the digest, or the same immutable
//	          repository id and commit, and is the issuer of the certificate
//	claimed   the requester only says so: bundles are public, and anyone can
//	          attach one
func tie(f *facts) svid.Tie {
	switch {
	case f.what == nil:
		return ""
	case f.where != nil && slices.Contains(f.where.Artifacts(), artifact(f)):
		return "measured"
	case f.who == nil:
		return "claimed"
	}
	return f.who.tie(f)
}

// floors says where each of the decision's chains ends.
func floors(f *facts) (out []statement.Floor) {
	if f.who != nil {
		out = append(out, f.who.floor)
	}
	if f.what != nil {
		for _, a := range f.what.Anchors() {
			role, hash, _ := strings.Cut(a, ":")
			fl := statement.Floor{Fact: "what", Floor: string(node.Institution), Anchor: "Sigstore " + f.what.Root() + ", " + role}
			if fl.SHA256.UnmarshalText([]byte(hash)) == nil {
				out = append(out, fl)
			}
		}
	}
	if f.where != nil {
		for _, a := range f.where.Anchors() {
			out = append(out, statement.Floor{Fact: "where", Floor: string(f.where.Floor()), Anchor: a.Name, SHA256: a.SHA256})
		}
	}
	return append(out, statement.Floor{Fact: "why", Floor: string(node.Human), Anchor: "author of the policy"})
}

// insecure names every weakened check that the decision rests on.
func insecure(f *facts, yes *policy.Grant) []string {
	out := slices.Clone(yes.Insecure)
	if f.where != nil {
		out = append(out, f.where.Insecure()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// banFacts are all the facts of a request that a ban may name.
func banFacts(f *facts) (out []fact) {
	if t := f.tokenFacts(); t != nil {
		out = append(out, fact{"issuer", t.URL}, fact{"subject", t.URL + " " + t.Subject})
	}
	if b := f.what; b != nil {
		for _, d := range b.Digests() {
			out = append(out, fact{"digest", d.String()})
		}
		out = append(out, fact{"builder", b.Builder()}, fact{"builder", b.Signer()}, fact{"source", b.SourceRepository()}, fact{"commit", b.Commit()})
		for _, a := range b.Anchors() {
			_, hash, _ := strings.Cut(a, ":")
			out = append(out, fact{"anchor", "sha256:" + hash})
		}
	}
	if h := f.where; h != nil {
		out = append(out, fact{"node", h.ID()})
		if ek := h.Facts()["ek"]; ek != "" {
			out = append(out, fact{"ek", ek})
		}
		for _, a := range h.Anchors() {
			out = append(out, fact{"anchor", "sha256:" + proof.Hash(a.SHA256).String()})
		}
	}
	return out
}

// banEnrolment are the facts of a node that is being enrolled.
func banEnrolment(kind string, e *node.EnrolmentFact) []fact {
	out := []fact{{"node", kind + ":" + e.Key}}
	if ek := e.Facts["ek"]; ek != "" {
		out = append(out, fact{"ek", ek})
	}
	for _, a := range e.Anchors {
		out = append(out, fact{"anchor", "sha256:" + proof.Hash(a.SHA256).String()})
	}
	return out
}

func anchorText(a node.Anchor) string { return a.Name + " sha256:" + proof.Hash(a.SHA256).String() }

// joinTokenAllows holds a grant to what its join token is for.
func joinTokenAllows(h *node.Host, yes *policy.Grant) error {
	if h == nil {
		return nil
	}
	if id := h.SPIFFEID(); id != "" && id != yes.ID.String() {
		return refuse(PolicyRefused, "the join token is for %s, but rule %q grants %s", id, yes.Rule, yes.ID)
	}
	if rule := h.Rule(); rule != "" && rule != yes.Rule {
		return refuse(PolicyRefused, "the join token is for rule %q, but rule %q is the one that holds", rule, yes.Rule)
	}
	return nil
}
