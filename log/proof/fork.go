package proof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// A ForkProof says that a log signed two trees of which neither is a prefix of
// the other. It is all that a third party needs beside the log's key. It is
// unverified; [ForkProof.Verify] has the answer.
//
// As text it is, with lines and an empty line between the parts as in a C2SP
// tlog-proof:
//
//	plastron.example/tlog-fork@v1
//	prefix oa8DAjHKL9IOzzDFKUuvj2kyHQm7FqxTiFzNF6OFKA0=
//	qU3U08LG0lSMpOVg1ycnurXXlVABkfW4VXkTDdOxRgM=
//
//	log.acme.example/gate
//	1
//	JmtIvkjIpM8GBAk5bEgMYuVhg+MoWszY3zk7VFfM/fI=
//
//	— log.acme.example/gate LS0KOeyioVkfU5a0vCk0rdOFw3q70e88eIjM…
//
//	log.acme.example/gate
//	2
//	OuW/pX/6dp2WNKhvOiYoaqaf1Q6gWF+AYfkCrV8DJ/c=
//
//	— log.acme.example/gate LS0KOcddPEg/ffWXMjHUUNSiYHk3aMX4jjWk…
//	— witness.example 1JxSIwAAAABrBs3AIyF5tkAxHYfpZGQfMH7O9SVcQ/F…
//
// The two signed notes stand whole, the one of the smaller size first, with
// whatever witnesses wrote on them. Between equal sizes nothing stands before
// them but the first line, since two roots of one size contradict each other.
// Otherwise "prefix" is the root that the first so many leaves of the newer
// tree have, and the hashes below it are the consistency proof (RFC 6962,
// section 2.1.2) that leads from there to the newer root: the log's own second
// signature says that the prefix has that root, and its first that it has
// another.
type ForkProof struct {
	Older  []byte // signed note of the smaller size, or of the same
	Newer  []byte // signed note
	Prefix Hash   // root of the newer tree's beginning, of the older size; zero between equal sizes
	Hashes []Hash // of the consistency proof from Prefix to the newer root
}

// A Fork is a broken promise of a log, proven: two checkpoints that it signed
// and that cannot be of one history. It comes from [ForkProof.Verify]; the zero
// Fork names no log.
type Fork struct {
	older, newer         Checkpoint
	olderNames, newNames []string
}

// Older returns the checkpoint of the smaller size, or of the same.
func (f *Fork) Older() Checkpoint { return f.older }

// Newer returns the other checkpoint.
func (f *Fork) Newer() Checkpoint { return f.newer }

// Witnesses returns the policy's names of the witnesses that cosigned each of
// the two. One that is in both lists has broken a witness's promise, too.
func (f *Fork) Witnesses() (older, newer []string) {
	return append([]string(nil), f.olderNames...), append([]string(nil), f.newNames...)
}

// Verify returns the fork that the proof proves: both notes bear the signature
// of the policy's log, and what they say cannot both be true. Cosignatures are
// not asked for: a log that signs a second history alone has forked. A proof of
// anything less is refused, above all one of two checkpoints that agree.
func (f ForkProof) Verify(p *Policy) (*Fork, error) {
	refuse := func(err error) (*Fork, error) { return nil, fmt.Errorf("fork proof: %w", err) }
	if p == nil || p.log == nil {
		return refuse(errors.New("zero log policy"))
	}
	var out Fork
	var err error
	if out.older, out.olderNames, err = p.signers(f.Older); err != nil {
		return refuse(fmt.Errorf("older checkpoint: %w", err))
	}
	if out.newer, out.newNames, err = p.signers(f.Newer); err != nil {
		return refuse(fmt.Errorf("newer checkpoint: %w", err))
	}
	if err := f.contradict(out.older, out.newer); err != nil {
		return refuse(err)
	}
	return &out, nil
}

// contradict refuses unless the two cannot be of one history.
func (f ForkProof) contradict(older, newer Checkpoint) error {
	switch {
	case older.Size > newer.Size:
		return fmt.Errorf("size %d comes before size %d", older.Size, newer.Size)
	case older.Size == newer.Size && (f.Prefix != Hash{} || len(f.Hashes) > 0):
		return errors.New("two checkpoints of one size, and a prefix")
	case older.Size == newer.Size && older.Root == newer.Root:
		return fmt.Errorf("both have size %d and one root: they agree", older.Size)
	case older.Size == newer.Size:
		return nil
	}
	if err := VerifyConsistency(older.Size, newer.Size, f.Hashes, f.Prefix, newer.Root); err != nil {
		return fmt.Errorf("the prefix is not the newer tree's: %w", err)
	}
	if f.Prefix == older.Root {
		return fmt.Errorf("size %d is a prefix of size %d: they agree", older.Size, newer.Size)
	}
	return nil
}

// signers opens a note by the log's key alone, and returns the names of the
// witnesses whose lines hold: a line that somebody spoilt must not unmake what
// the log signed.
func (p *Policy) signers(msg []byte) (Checkpoint, []string, error) {
	c, _, err := openNote(msg, keyring{p.log.signer(): p.log})
	if err != nil {
		return Checkpoint{}, nil, err
	}
	if c.Origin != p.log.name {
		return Checkpoint{}, nil, fmt.Errorf("origin %q, want %q: %w", clip(c.Origin), p.log.name, ErrSignature)
	}
	var names []string
	for _, w := range p.witnesses {
		if _, _, err := openNote(msg, keyring{w.key.signer(): w.key}); err == nil {
			names = append(names, w.name)
		}
	}
	return c, names, nil
}

const (
	forkHeader   = "plastron.example/tlog-fork@v1"
	prefixLine   = "prefix "
	maxForkProof = 2*MaxNote + 1<<13
)

// MarshalText returns the proof as text, see [ForkProof].
func (f ForkProof) MarshalText() ([]byte, error) {
	var b strings.Builder
	b.WriteString(forkHeader + "\n")
	if f.Prefix != (Hash{}) {
		b.WriteString(prefixLine + base64.StdEncoding.EncodeToString(f.Prefix[:]) + "\n")
	}
	for _, h := range f.Hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteString("\n")
	b.Write(f.Older)
	b.WriteString("\n")
	b.Write(f.Newer)
	if _, err := ParseForkProof([]byte(b.String())); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

// ParseForkProof reads what [ForkProof.MarshalText] writes and nothing else:
// canonical base64, at most 63 hashes, two notes of one log in the order of
// their sizes, a prefix if and only if these differ.
func ParseForkProof(text []byte) (ForkProof, error) {
	f, err := parseForkProof(text)
	if err != nil {
		return ForkProof{}, fmt.Errorf("fork proof: %w", err)
	}
	return f, nil
}

func parseForkProof(text []byte) (f ForkProof, err error) {
	if len(text) > maxForkProof {
		return f, fmt.Errorf("%d bytes: longer than %d", len(text), maxForkProof)
	}
	// A checkpoint has no empty line, so neither have the signature lines of
	// one: five parts are head, text, signatures, text, signatures.
	parts := strings.Split(string(text), "\n\n")
	head := strings.Split(parts[0], "\n")
	if head[0] != forkHeader {
		return f, fmt.Errorf("not a %s", forkHeader)
	}
	if len(parts) != 5 {
		return f, fmt.Errorf("%d parts between empty lines, want five: the head and two signed notes", len(parts))
	}
	f.Older = []byte(parts[1] + "\n\n" + parts[2] + "\n")
	f.Newer = []byte(parts[3] + "\n\n" + parts[4])
	head = head[1:]
	prefix := len(head) > 0 && strings.HasPrefix(head[0], prefixLine)
	if prefix {
		if f.Prefix, err = parseHash(head[0][len(prefixLine):]); err != nil {
			return f, fmt.Errorf("prefix: %w", err)
		}
		head = head[1:]
	}
	if f.Hashes, err = parseHashes(head); err != nil {
		return f, err
	}
	return f, f.checkForm(prefix)
}

// checkForm refuses what no key could make true.
func (f ForkProof) checkForm(prefix bool) error {
	older, err := formOf(f.Older)
	if err != nil {
		return fmt.Errorf("older checkpoint: %w", err)
	}
	newer, err := formOf(f.Newer)
	if err != nil {
		return fmt.Errorf("newer checkpoint: %w", err)
	}
	switch {
	case older.Origin != newer.Origin:
		return fmt.Errorf("checkpoints of two logs, %q and %q", clip(older.Origin), clip(newer.Origin))
	case older.Size > newer.Size:
		return fmt.Errorf("size %d comes before size %d", older.Size, newer.Size)
	case prefix != (older.Size < newer.Size):
		return fmt.Errorf("sizes %d and %d: a prefix goes with sizes that differ, and with those only", older.Size, newer.Size)
	case prefix && f.Prefix == Hash{}:
		return errors.New("a prefix of zeros")
	case !prefix && len(f.Hashes) > 0:
		return errors.New("hashes without a prefix")
	}
	return nil
}

// formOf reads the checkpoint of a note, whoever signed it.
func formOf(msg []byte) (Checkpoint, error) {
	text, err := noteText(msg)
	if err != nil {
		return Checkpoint{}, err
	}
	if msg[len(msg)-1] != '\n' || len(msg) == len(text)+1 {
		return Checkpoint{}, errors.New("note: no signature line, or one that is not terminated")
	}
	return ParseCheckpoint(text)
}
