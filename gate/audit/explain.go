package audit

import (
	"encoding/json/v2"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/svid"
)

// How a line of an explanation is known.
const (
	CheckedNow = "checked now"
	Recorded   = "recorded at issuance" // read from the record, whose hash the log holds
	Assumed    = "assumed"
)

// A Line is one thing that an SVID stands on, and what that stands on.
type Line struct {
	Label  string `json:"label,omitzero"` // WHO, WHAT, WHERE, WHY
	Text   string `json:"text"`
	How    string `json:"how,omitzero"`    // one of the constants above
	Floor  string `json:"floor,omitzero"`  // hardware, institution or human: where the chain ends
	SHA256 string `json:"sha256,omitzero"` // of the anchor, hex
	Lines  []Line `json:"lines,omitzero"`
}

// An Explanation answers what an SVID stands on.
type Explanation struct {
	SPIFFEID string    `json:"spiffe_id"`
	Origin   string    `json:"origin"`
	Index    uint64    `json:"index"`
	NotAfter time.Time `json:"not_after"`
	Lines    []Line    `json:"lines"`
	Floors   Floors    `json:"floors"`
	Weakest  *Line     `json:"weakest,omitzero"` // of who, what and where
	Insecure []string  `json:"insecure,omitzero"`
}

// Floors counts where the chains end.
type Floors struct {
	Hardware    int `json:"hardware"`
	Institution int `json:"institution"`
	Human       int `json:"human"`
}

// strength orders floors: what is furthest from a person's word comes first.
var strength = []string{"hardware", "institution", "human"}

// Explain makes the tree of an SVID. The peer is what [svid.Verifier] returned,
// so its log proof has been checked now; record is its decision record, nil if
// it could not be read. A record that is not the one that the SVID names is
// refused.
func Explain(p *proof.Policy, peer *svid.Peer, record []byte) (*Explanation, error) {
	d := peer.Decision()
	e := &Explanation{
		SPIFFEID: peer.ID().String(), Origin: p.Origin(), Index: peer.Index(), NotAfter: peer.TBS().NotAfter, Insecure: d.Insecure,
	}
	e.Lines = append(e.Lines, logLine(p, peer))
	if record == nil {
		e.Lines = append(e.Lines, e.fromDecision(d)...)
	} else {
		r, err := openRecord(record, d)
		if err != nil {
			return nil, err
		}
		e.Lines = append(e.Lines, e.fromRecord(r)...)
	}
	e.weigh(e.Lines)
	return e, nil
}

// openRecord decodes the record that a decision names.
func openRecord(b []byte, d svid.Decision) (*statement.Record, error) {
	if sum(b) != d.Record {
		return nil, fmt.Errorf("this is another record: the SVID names %x", d.Record)
	}
	s, err := statement.Parse(b)
	if err != nil {
		return nil, err
	}
	r, ok := s.(*statement.Record)
	if !ok {
		return nil, fmt.Errorf("a %T is no decision record", s)
	}
	return r, nil
}

// logLine says that the issuance is public, and on whose word.
func logLine(p *proof.Policy, peer *svid.Peer) Line {
	l := Line{Label: "LOG", Text: fmt.Sprintf("entry %d of %s", peer.Index(), p.Origin()), How: CheckedNow}
	if p.Unwitnessed() {
		l.Lines = append(l.Lines, Line{Text: "unwitnessed: the log policy asks for no quorum", How: Assumed})
		return l
	}
	l.Lines = append(l.Lines, Line{Text: "cosigned by " + strings.Join(peer.Witnesses(), ", "), How: CheckedNow})
	return l
}

// fromDecision is all that the certificate itself says, where the record is not
// to be had.
func (e *Explanation) fromDecision(d svid.Decision) (out []Line) {
	for _, f := range d.Floors {
		fact, floor, _ := strings.Cut(f, ":")
		out = append(out, Line{Label: strings.ToUpper(fact), Text: "in record " + fmt.Sprintf("%x", d.Record), How: Recorded, Floor: floor})
	}
	return out
}

// fromRecord makes the four branches out of a decision record.
func (e *Explanation) fromRecord(r *statement.Record) []Line {
	facts := flatten(r.Facts)
	at := r.Time.Format(time.RFC3339)
	branches := []Line{
		{Label: "WHO", Text: first(facts, "the gate itself", "token.subject"), Lines: lines(facts, "token.", "issuer", "claims.repository", "claims.repository_id", "claims.repository_owner_id", "claims.ref", "claims.job_workflow_ref", "claims.kubernetes.io.namespace", "claims.kubernetes.io.serviceaccount.name")},
		{Label: "WHAT", Text: first(facts, "nothing: no artifact was named", "artifact.digest", "build.artifact"), Lines: lines(facts, "build.", "source", "repository_id", "commit", "ref", "builder", "signer", "event", "runner", "signed_at", "log_index")},
		{Label: "WHERE", Text: first(facts, "nowhere: no node evidence was asked for", "node.id"), Lines: lines(facts, "node.", "name", "kind", "bound")},
		{Label: "WHY", Text: fmt.Sprintf("rule %q of the policy at entry %d, %d clauses held", r.Verdict.Rule, r.Verdict.Policy, len(r.Verdict.Clauses))},
	}
	if r.Verdict.Tie != "" {
		branches[1].Lines = append(branches[1].Lines, Line{Text: "tied to its requester: " + r.Verdict.Tie, How: Recorded + " " + at})
	}
	if r.Renews != nil {
		branches[0].Lines = append(branches[0].Lines, Line{Text: fmt.Sprintf("follows entry %d of its chain", *r.Renews), How: Recorded + " " + at})
	}
	for _, c := range r.Verdict.Clauses {
		branches[3].Lines = append(branches[3].Lines, Line{Text: c, How: Recorded + " " + at})
	}
	for _, x := range r.Insecure {
		branches[3].Lines = append(branches[3].Lines, Line{Text: "INSECURE " + x, How: Recorded + " " + at})
	}
	out := branches[:0]
	for _, b := range branches {
		b.How = Recorded + " " + at
		b.Lines = append(b.Lines, floorLines(r, strings.ToLower(b.Label))...)
		if len(b.Lines) > 0 {
			out = append(out, b)
		}
	}
	return out
}

func floorLines(r *statement.Record, fact string) (out []Line) {
	for _, f := range r.Verdict.Floors {
		if f.Fact != fact {
			continue
		}
		l := Line{Label: fact, Text: f.Anchor, How: Assumed, Floor: f.Floor}
		if f.SHA256 != (proof.Hash{}) {
			l.SHA256 = f.SHA256.String()
		}
		out = append(out, l)
	}
	return out
}

// weigh counts the floors and finds the weakest of who, what and where. The
// policy's author is always a person and no weakness of one SVID.
func (e *Explanation) weigh(ls []Line) {
	for _, l := range ls {
		switch l.Floor {
		case "hardware":
			e.Floors.Hardware++
		case "institution":
			e.Floors.Institution++
		case "human":
			e.Floors.Human++
		}
		if l.Floor != "" && !strings.EqualFold(l.Label, "why") &&
			(e.Weakest == nil || slices.Index(strength, l.Floor) > slices.Index(strength, e.Weakest.Floor)) {
			w := l
			w.Lines = nil
			e.Weakest = &w
		}
		e.weigh(l.Lines)
	}
}

// flatten turns a JSON object into "a.b" -> text.
func flatten(object []byte) map[string]string {
	var v map[string]any
	out := map[string]string{}
	if json.Unmarshal(object, &v) == nil {
		flattenInto(out, "", v)
	}
	return out
}

func flattenInto(out map[string]string, prefix string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			flattenInto(out, strings.TrimPrefix(prefix+"."+k, "."), x)
		}
	case nil:
	case string:
		out[prefix] = v
	default:
		out[prefix] = fmt.Sprint(v)
	}
}

func first(facts map[string]string, otherwise string, names ...string) string {
	for _, n := range names {
		if facts[n] != "" {
			return facts[n]
		}
	}
	return otherwise
}

func lines(facts map[string]string, prefix string, names ...string) (out []Line) {
	for _, n := range names {
		if v := facts[prefix+n]; v != "" {
			out = append(out, Line{Text: strings.ReplaceAll(strings.TrimPrefix(n, "claims."), "_", " ") + ": " + v})
		}
	}
	return out
}

// Write prints the tree.
func (e *Explanation) Write(w io.Writer, now time.Time) {
	left := e.NotAfter.Sub(now).Round(time.Second)
	fmt.Fprintf(w, "%s    valid %s more    %s #%d\n", e.SPIFFEID, left, e.Origin, e.Index)
	writeLines(w, "", e.Lines)
	fmt.Fprintf(w, "Floors: %d hardware, %d institution, %d human.", e.Floors.Hardware, e.Floors.Institution, e.Floors.Human)
	if e.Weakest != nil {
		fmt.Fprintf(w, "  Weakest: %s, %s.", strings.ToUpper(e.Weakest.Floor), e.Weakest.Text)
	}
	fmt.Fprintln(w)
	for _, x := range slices.Sorted(maps.Keys(set(e.Insecure))) {
		fmt.Fprintf(w, "INSECURE: %s\n", x)
	}
}

func set(ss []string) map[string]bool {
	m := map[string]bool{}
	for _, s := range ss {
		m[s] = true
	}
	return m
}

func writeLines(w io.Writer, indent string, ls []Line) {
	for i, l := range ls {
		branch, below := "├─ ", "│  "
		if i == len(ls)-1 {
			branch, below = "└─ ", "   "
		}
		head := l.Text
		switch {
		case l.Floor != "" && indent == "":
			head = fmt.Sprintf("%-5s %s  %s", l.Label, strings.ToUpper(l.Floor), l.Text)
		case l.Floor != "":
			head = strings.ToUpper(l.Floor) + "  " + l.Text
		case l.Label != "":
			head = fmt.Sprintf("%-5s %s", l.Label, l.Text)
		}
		if l.How != "" {
			head += "  [" + l.How + "]"
		}
		fmt.Fprintln(w, indent+branch+head)
		if l.SHA256 != "" {
			fmt.Fprintln(w, indent+below+"   sha256:"+l.SHA256)
		}
		writeLines(w, indent+below, l.Lines)
	}
}
