package proof

import (
	"bytes"
	"fmt"
)

// Limits of a log policy. C2SP asks for at least 32 witnesses and groups.
const (
	MaxPolicy    = 1 << 18 // bytes
	maxWitnesses = 64
	maxGroups    = 64
)

// A Policy says which log is believed, and on whose word: a C2SP tlog-policy
// with one log, of which it may name an ML-DSA-44 key beside the Ed25519 one. It
// is what a gate, its witnesses' operators, monitors and
// relying parties share. It comes from [ParsePolicy]; the zero Policy opens
// nothing. A Policy is safe for concurrent use and must not be copied.
type Policy struct {
	text      []byte
	log       *key
	logPQ     *key    // the log's ML-DSA-44 key, or nil
	ring      keyring // of the log and every witness
	witnesses []*member
	quorum    *member // nil: none
	opened    memory
}

// A Witness is a witness line of a log policy.
type Witness struct {
	Name   string // in the policy; the name of the witness's key is its own
	VKey   string // verifier key, type 0x04 or 0x06
	URL    string // submission prefix (C2SP tlog-witness), or ""
	Quorum bool   // reachable from the quorum line
	MLDSA  bool   // its key is ML-DSA-44: its cosignatures are not in SVIDs
}

// Origin returns the origin of the policy's log, which is also its key name.
func (p *Policy) Origin() string {
	if p.log == nil {
		return ""
	}
	return p.log.name
}

// LogVKey returns the verifier key of the policy's log.
func (p *Policy) LogVKey() string {
	if p.log == nil {
		return ""
	}
	return p.log.VKey()
}

// LogMLDSA returns the verifier key (type 0x06) with which the policy's log
// signs the checkpoints it publishes, besides; "" if the policy names none.
func (p *Policy) LogMLDSA() string {
	if p.logPQ == nil {
		return ""
	}
	return p.logPQ.VKey()
}

// Text returns the text the policy was read from.
func (p *Policy) Text() []byte { return bytes.Clone(p.text) }

// Witnesses returns the policy's witnesses in the order of their lines.
func (p *Policy) Witnesses() []Witness {
	ws := make([]Witness, len(p.witnesses))
	for i, m := range p.witnesses {
		ws[i] = Witness{m.name, m.key.VKey(), m.url, m.quorum, m.key.alg == algMLDSA44}
	}
	return ws
}

// Unwitnessed reports whether the policy says "quorum none": then the log's
// signature is all there is.
func (p *Policy) Unwitnessed() bool { return p.log != nil && p.quorum == nil }

// Satisfied reports whether cosignatures by the named witnesses would meet
// the quorum. It is arithmetic about a quorum, for a log that asks which
// witnesses it needs; that a checkpoint has met it, only a [Cosigned] says.
func (p *Policy) Satisfied(heard map[string]bool) bool {
	if p.log == nil {
		return false
	}
	return p.quorum == nil || p.quorum.met(heard)
}

// Compactable refuses a policy whose quorum Ed25519 witnesses cannot meet among
// themselves: the compact proof in an SVID carries no other cosignatures, so
// that nothing that such a log logs could ever be minted.
func (p *Policy) Compactable() error {
	heard := map[string]bool{}
	for _, m := range p.witnesses {
		heard[m.name] = m.key.alg == algCosigner
	}
	if p.Satisfied(heard) {
		return nil
	}
	return fmt.Errorf("log policy: the quorum needs an ML-DSA witness, and SVIDs carry Ed25519 cosignatures only: make a group of the quorum that its Ed25519 witnesses can meet: %w", ErrQuorum)
}

// A member is what a quorum is made of: a witness, which has a key, or a
// group, which has members.
type member struct {
	name      string
	key       *key
	url       string
	members   []*member
	threshold int  // 1 to len(members)
	grouped   bool // some group's member already
	quorum    bool // reachable from the quorum line
}

func (m *member) met(heard map[string]bool) bool {
	if m.key != nil {
		return heard[m.name]
	}
	n := 0
	for _, sub := range m.members {
		if sub.met(heard) {
			n++
		}
	}
	return n >= m.threshold
}

func (m *member) markQuorum() {
	m.quorum = true
	for _, sub := range m.members {
		sub.markQuorum()
	}
}
