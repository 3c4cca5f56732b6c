package proof

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// ErrQuorum is what a checkpoint is refused with that its log signed and too
// few witnesses did.
var ErrQuorum = errors.New("too few witnesses cosigned")

// A Cosigned is a checkpoint that met a log policy: its log signed it, and so
// many of its witnesses that they are a quorum. It comes from
// [Policy.OpenCheckpoint]; the zero Cosigned holds no tree, so nothing is
// included in it.
type Cosigned struct {
	checkpoint Checkpoint
	note       []byte
	lines      []line // verified
	witnesses  []string
	times      []time.Time
}

// Checkpoint returns what was signed.
func (c *Cosigned) Checkpoint() Checkpoint { return c.checkpoint }

// Note returns the signed note the checkpoint was read from, byte for byte.
func (c *Cosigned) Note() []byte { return bytes.Clone(c.note) }

// Witnesses returns the policy's names of the quorum's witnesses that
// cosigned, in the order of their lines on the note.
func (c *Cosigned) Witnesses() []string { return slices.Clone(c.witnesses) }

// Times returns when each of Witnesses says it cosigned, in whole seconds.
func (c *Cosigned) Times() []time.Time { return slices.Clone(c.times) }

// Includes refuses unless hashes prove that the leaf at index is leaf.
func (c *Cosigned) Includes(leaf Hash, index uint64, hashes []Hash) error {
	return VerifyInclusion(leaf, index, c.checkpoint.Size, hashes, c.checkpoint.Root)
}

// OpenCheckpoint verifies a signed note against the policy: the log's
// signature, the cosignature of every witness the policy knows, the quorum.
// It remembers the notes it verified last, so that a batch of proofs on one
// checkpoint pays for its signatures once. Errors are [ErrSignature],
// [ErrQuorum], or say how the note is malformed.
func (p *Policy) OpenCheckpoint(msg []byte) (*Cosigned, error) {
	if c := p.opened.find(msg); c != nil {
		return c, nil
	}
	checkpoint, lines, err := p.open(msg)
	if err != nil {
		return nil, err
	}
	c := &Cosigned{checkpoint: checkpoint, note: bytes.Clone(msg), lines: lines}
	heard := make(map[string]bool, len(lines))
	for _, l := range lines {
		// A key has one name in a policy and one line on a note.
		if m := p.witness(l.key); m != nil && m.quorum {
			heard[m.name] = true
			c.witnesses = append(c.witnesses, m.name)
			c.times = append(c.times, l.time())
		}
	}
	if !p.Satisfied(heard) {
		return nil, fmt.Errorf("checkpoint %d of %s, cosigned by %q: %w", checkpoint.Size, checkpoint.Origin, c.witnesses, ErrQuorum)
	}
	p.opened.add(c)
	return c, nil
}

// OpenPublished verifies a checkpoint as the log publishes it: as
// OpenCheckpoint does, and where the policy names an ML-DSA-44 key of the log,
// its line must be there too. In SVIDs, and before it is published, a checkpoint
// does not have that line; without this demand whoever can forge Ed25519 would
// just leave it out.
func (p *Policy) OpenPublished(msg []byte) (*Cosigned, error) {
	c, err := p.OpenCheckpoint(msg)
	if err != nil {
		return nil, err
	}
	if p.logPQ != nil && !slices.ContainsFunc(c.lines, func(l line) bool { return l.key == p.logPQ }) {
		return nil, fmt.Errorf("checkpoint %d of %s: none by the log's ML-DSA key: %w", c.checkpoint.Size, c.checkpoint.Origin, ErrSignature)
	}
	return c, nil
}

// OpenSigned verifies the log's signature only: for a witness, which asks who
// speaks; for a log that reads its own words back. Cosignatures of witnesses
// the policy knows must still verify.
func (p *Policy) OpenSigned(msg []byte) (Checkpoint, error) {
	c, _, err := p.open(msg)
	return c, err
}

// Bare verifies as OpenSigned does and also returns the note with the log's
// signature and no other line: what a witness is asked to cosign, and keeps.
func (p *Policy) Bare(msg []byte) (Checkpoint, []byte, error) {
	c, lines, err := p.open(msg)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	i := slices.IndexFunc(lines, func(l line) bool { return l.key == p.log })
	return c, append([]byte(c.Text()+"\n"), signatureLine(p.log, lines[i].sig)...), nil
}

func (p *Policy) open(msg []byte) (Checkpoint, []line, error) {
	if p == nil || p.log == nil {
		return Checkpoint{}, nil, errors.New("open checkpoint: zero log policy")
	}
	c, lines, err := openNote(msg, p.ring)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: %w", err)
	}
	if c.Origin != p.log.name {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: origin %q, want %q: %w", c.Origin, p.log.name, ErrSignature)
	}
	if !slices.ContainsFunc(lines, func(l line) bool { return l.key == p.log }) {
		return Checkpoint{}, nil, fmt.Errorf("open checkpoint: none by the log: %w", ErrSignature)
	}
	return c, lines, nil
}

// witness returns the witness with key k, or nil.
func (p *Policy) witness(k *key) *member {
	i := slices.IndexFunc(p.witnesses, func(m *member) bool { return m.key == k })
	if i < 0 {
		return nil
	}
	return p.witnesses[i]
}

// A memory holds the checkpoints verified last: a gate goes to and fro between
// the beacon it gave out and the checkpoint of the newest batch. Nothing but
// the very bytes that were verified is found in it.
type memory struct {
	slots [4]atomic.Pointer[Cosigned]
	next  atomic.Uint32
}

func (m *memory) find(msg []byte) *Cosigned {
	for i := range m.slots {
		if c := m.slots[i].Load(); c != nil && bytes.Equal(c.note, msg) {
			return c
		}
	}
	return nil
}

func (m *memory) add(c *Cosigned) {
	m.slots[m.next.Add(1)%uint32(len(m.slots))].Store(c)
}
