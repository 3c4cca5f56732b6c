package gate

import (
	"fmt"
	"sync"
	"time"

	"plastron/log"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/node"
	"plastron/svid"
)

// state is what the entries of the log say, applied in order: a projection that
// is rebuilt at each start and never written down.
type state struct {
	now func() time.Time

	mu         sync.RWMutex // guards all below
	applied    uint64       // number of entries applied; the next decision's `decided`
	trust      *trustAt
	policy     *policyAt
	texts      map[proof.Hash]bool // SHA-256 of every policy text there was
	bans       map[fact]banAt
	enrolments map[enrolmentID]*node.Enrolment
	issued     map[uint64]*issuance // by entry index; expired ones are swept
	swept      time.Time
	decided    time.Time // the latest time at which an SVID was decided, by its entry
}

type trustAt struct {
	index     uint64
	statement *statement.Trust
}

type policyAt struct {
	index     uint64
	statement *statement.Policy
}

type banAt struct {
	index     uint64
	statement *statement.Ban
}

// A fact is what a ban names.
type fact struct{ kind, value string }

// An enrolmentID is how evidence names the enrolment it needs.
type enrolmentID struct{ kind, source, key string }

// An issuance is what the gate remembers of a kind-1 entry, so that a token
// spent on a key leads back to it.
type issuance struct {
	index               uint64
	first               uint64 // index of the first entry of the chain
	newest              uint64 // in the first entry: index of the chain's newest
	id                  string
	key                 proof.Hash // SHA-256 of the SubjectPublicKeyInfo
	artifact            string
	notBefore, notAfter time.Time
}

// remember is how long an issuance is kept after its SVID expired: a token may
// live a day, and must find the key it was spent on.
const remember = 25 * time.Hour

func newState(now func() time.Time) *state {
	return &state{
		now:        now,
		texts:      map[proof.Hash]bool{},
		bans:       map[fact]banAt{},
		enrolments: map[enrolmentID]*node.Enrolment{},
		issued:     map[uint64]*issuance{},
	}
}

// apply is called by the log for each durable entry, in order. An error here
// means that the log holds an entry that this program cannot read: the log
// stops, since every later decision would rest on a state it does not know.
func (s *state) apply(e log.Stored) error {
	kind, body, err := proof.Unframe(e.Entry)
	if err != nil {
		return fmt.Errorf("apply entry %d: %w", e.Index, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Index != s.applied {
		return fmt.Errorf("apply entry %d: %d entries are applied", e.Index, s.applied)
	}
	switch kind {
	case proof.X509SVID:
		err = s.applySVID(e.Index, body)
	case proof.Statement:
		err = s.applyStatement(e.Index, body)
	default:
		err = fmt.Errorf("kind %d is not known to this gate", kind)
	}
	if err != nil {
		return fmt.Errorf("apply entry %d: %w", e.Index, err)
	}
	s.applied++
	return nil
}

func (s *state) applySVID(index uint64, tbs []byte) error {
	t, err := svid.ParseTBS(tbs)
	if err != nil {
		return err
	}
	i := &issuance{
		index: index, first: index, newest: index,
		id: t.ID.String(), key: t.Key, artifact: t.Decision.Artifact,
		notBefore: t.NotBefore, notAfter: t.NotAfter,
	}
	if r := t.Decision.Renews; r != nil {
		if prev := s.issued[*r]; prev != nil {
			i.first = prev.first
			if first := s.issued[i.first]; first != nil {
				first.newest = index
				first.notAfter = t.NotAfter // the whole chain is swept together
			}
		}
	}
	s.issued[index] = i
	if at := t.NotBefore.Add(Backdate); at.After(s.decided) {
		s.decided = at
	}
	s.sweep()
	return nil
}

// sweep forgets issuances whose SVID and token are long over, once an hour.
func (s *state) sweep() {
	now := s.now()
	if now.Sub(s.swept) < time.Hour {
		return
	}
	s.swept = now
	for index, i := range s.issued {
		if now.Sub(i.notAfter) > remember {
			delete(s.issued, index)
		}
	}
}

func (s *state) applyStatement(index uint64, body []byte) error {
	p, err := statement.Parse(body)
	if err != nil {
		return err
	}
	switch p := p.(type) {
	case *statement.Policy:
		s.policy = &policyAt{index, p}
		s.texts[p.SHA256] = true
	case *statement.Trust:
		s.trust = &trustAt{index, p}
	case *statement.Ban:
		s.bans[fact{p.Kind, p.Value}] = banAt{index, p}
	case *statement.Unban:
		delete(s.bans, fact{p.Kind, p.Value})
	case *statement.JoinToken:
		e := &node.Enrolment{Kind: "join-token", Name: p.Node, Index: index}
		if e.Data, err = predicate(p); err != nil {
			return err
		}
		s.enrolments[enrolmentID{"join-token", p.Node, fmt.Sprintf("%x", p.PublicKey)}] = e
	case *statement.Enrolment:
		s.enrolments[enrolmentID{p.Kind, p.Node, p.Key}] = &node.Enrolment{Kind: p.Kind, Name: p.Node, Index: index, Data: p.Data}
	default:
		return fmt.Errorf("a %T is no entry", p)
	}
	return nil
}

// A view is the state at one moment, for one decision.
type view struct {
	decided uint64
	policy  *policyAt
	banned  *banAt    // the first of the asked facts that is banned
	latest  time.Time // when the latest SVID was decided
}

// look returns the view for a decision that rests on facts.
func (s *state) look(facts []fact) view {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v := view{decided: s.applied, policy: s.policy, latest: s.decided}
	for _, f := range facts {
		if b, ok := s.bans[f]; ok {
			v.banned = &b
			break
		}
	}
	return v
}

func (s *state) enrolment(id enrolmentID) *node.Enrolment {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.enrolments[id]
}

// chain returns the newest issuance of the chain that entry index belongs to,
// and the chain's first; nil when they are forgotten.
func (s *state) chain(index uint64) (first, newest *issuance) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := s.issued[index]
	if i == nil {
		return nil, nil
	}
	if first = s.issued[i.first]; first == nil {
		return nil, nil
	}
	return first, s.issued[first.newest]
}

func (s *state) isPolicy(h proof.Hash) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.texts[h]
}

func (s *state) banList() []banAt {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]banAt, 0, len(s.bans))
	for _, b := range s.bans {
		out = append(out, b)
	}
	return out
}
