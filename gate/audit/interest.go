package audit

import (
	"slices"
	"strings"

	"plastron/gate/policy"
	"plastron/log/proof"
	"plastron/log/statement"
)

// An Interest is what somebody wants to hear of: an entry that fits every
// condition that is there. A list fits if one of it does.
type Interest struct {
	Name     string
	Kinds    []string      // as Match has them
	Identity []policy.Glob // SPIFFE IDs
	Artifact []string      // digests, "sha256:…"
	Source   []policy.Glob // repositories, without scheme: github.com/acme/shop
	Issuer   []policy.Glob // URLs of OIDC issuers
	Weakest  string        // floor: entries whose weakest is this one, or weaker
	Insecure bool          // entries that rest on a weakened check
}

// Kinds are the kinds of entries.
var Kinds = []string{"ban", "enrolment", "join-token", "policy", "trust", "unban", "x509-svid"}

// A Match is an entry that fits interests: what it says, in the words of
// policies and bans. It was verified: the leaf is in a tree that the log and its
// quorum signed.
type Match struct {
	Origin   string     `json:"origin"`
	Index    uint64     `json:"index"`
	Leaf     proof.Hash `json:"leaf"` // leaf hash: together with the origin a name that does not change
	Kind     string     `json:"kind"` // one of Kinds
	Rules    []string   `json:"rules"`
	Identity string     `json:"identity,omitzero"` // SPIFFE ID: whose SVID it is, whom a join token or a ban is for
	Artifact string     `json:"artifact,omitzero"`
	Source   string     `json:"source,omitzero"`
	Issuer   string     `json:"issuer,omitzero"` // of the build's certificate; the token's is in the record
	Weakest  string     `json:"weakest,omitzero"`
	Floors   []string   `json:"floors,omitzero"`
	Insecure []string   `json:"insecure,omitzero"`
	Summary  string     `json:"summary"` // as [Entry.Summary]
}

// match returns what an entry says and which interests it fits; false if none.
func match(origin string, index uint64, e entry, interests []Interest) (Match, bool) {
	m := Match{Origin: origin, Index: index, Leaf: e.leaf, Kind: e.kind()}
	m.describe(e)
	for _, i := range interests {
		if i.fits(&m) {
			m.Rules = append(m.Rules, i.Name)
		}
	}
	if len(m.Rules) == 0 {
		return Match{}, false
	}
	m.Summary = e.summary()
	return m, true
}

func (m *Match) describe(e entry) {
	switch s := e.predicate.(type) {
	case *statement.Trust:
		m.Insecure = s.Insecure
	case *statement.Ban:
		m.fact(s.Kind, s.Value)
	case *statement.Unban:
		m.fact(s.Kind, s.Value)
	case *statement.JoinToken:
		m.Identity, m.Weakest = s.SPIFFEID, "human"
	}
	if e.tbs == nil {
		return
	}
	d := e.tbs.Decision
	m.Identity, m.Artifact, m.Floors, m.Insecure = e.tbs.ID.String(), d.Artifact, d.Floors, d.Insecure
	m.Weakest = weakest(d.Floors)
	if b := e.tbs.Build; b != nil {
		m.Issuer, m.Source = b.Issuer, Repository(b.SourceRepositoryURI)
	}
}

// fact puts what a ban is about where an SVID has it.
func (m *Match) fact(kind, value string) {
	switch kind {
	case "spiffe-id":
		m.Identity = value
	case "digest":
		m.Artifact = value
	case "source":
		m.Source = value
	case "issuer":
		m.Issuer = value
	}
}

// weakest returns the weakest floor of who, what and where; "" if there is none
// of these, as in the gate's own SVID. The policy's author is always a person
// and no weakness of one SVID.
func weakest(floors []string) string {
	worst := -1
	for _, f := range floors {
		if fact, floor, _ := strings.Cut(f, ":"); fact != "why" {
			worst = max(worst, slices.Index(strength, floor))
		}
	}
	if worst < 0 {
		return ""
	}
	return strength[worst]
}

func (i *Interest) fits(m *Match) bool {
	switch {
	case len(i.Kinds) > 0 && !slices.Contains(i.Kinds, m.Kind),
		len(i.Artifact) > 0 && !slices.Contains(i.Artifact, m.Artifact),
		!like(i.Identity, m.Identity), !like(i.Source, m.Source), !like(i.Issuer, m.Issuer),
		i.Insecure && len(m.Insecure) == 0,
		i.Weakest != "" && slices.Index(strength, m.Weakest) < slices.Index(strength, i.Weakest):
		return false
	}
	return true
}

// like says whether one of the patterns fits, or there are none.
func like(globs []policy.Glob, s string) bool {
	return len(globs) == 0 || slices.ContainsFunc(globs, func(g policy.Glob) bool { return g.Match(s) })
}
