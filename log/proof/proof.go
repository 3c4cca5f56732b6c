package proof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// A Proof says that a leaf is in a log: where it stands, the way from there to
// the root, and the signed note that has the root. It is unverified;
// [Proof.Verify] has the answer.
type Proof struct {
	Index      uint64 // of the leaf, from 0
	Hashes     []Hash // the leaf's sibling first
	Checkpoint []byte // signed note
}

// Verify returns the checkpoint in which the proof puts the leaf, once the
// checkpoint meets the policy and the proof leads from leaf to its root. On a
// checkpoint the policy has lately verified that costs one hash a level.
func (p Proof) Verify(pol *Policy, leaf Hash) (*Cosigned, error) {
	c, err := pol.OpenCheckpoint(p.Checkpoint)
	if err != nil {
		return nil, err
	}
	if err := c.Includes(leaf, p.Index, p.Hashes); err != nil {
		return nil, err
	}
	return c, nil
}

const (
	proofHeader = "c2sp.org/tlog-proof@v1"
	maxHashes   = 63 // in an inclusion or consistency proof of the largest tree
	maxProof    = MaxNote + 1<<13
)

// MarshalText returns the proof as C2SP tlog-proof text.
func (p Proof) MarshalText() ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nindex %d\n", proofHeader, p.Index)
	for _, h := range p.Hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteString("\n")
	b.Write(p.Checkpoint)
	if _, err := ParseProof([]byte(b.String())); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

// ParseProof reads C2SP tlog-proof text. It wants canonical numbers and
// base64, and as many hashes as index and the checkpoint's size call for. The
// extra line, which nobody authenticates, is checked for form and dropped.
func ParseProof(text []byte) (Proof, error) {
	p, err := parseProof(text)
	if err != nil {
		return Proof{}, fmt.Errorf("log proof: %w", err)
	}
	return p, nil
}

func parseProof(text []byte) (p Proof, err error) {
	if len(text) > maxProof {
		return p, fmt.Errorf("%d bytes: longer than %d", len(text), maxProof)
	}
	head, msg, ok := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || lines[0] != proofHeader {
		return p, fmt.Errorf("not a %s", proofHeader)
	}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		if _, err := decode64(lines[0][len("extra "):]); err != nil {
			return p, fmt.Errorf("extra: %w", err)
		}
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return p, errors.New("no index line")
	}
	if p.Index, err = parseDecimal(lines[0][len("index "):], MaxSize-1); err != nil {
		return p, fmt.Errorf("index: %w", err)
	}
	if p.Hashes, err = parseHashes(lines[1:]); err != nil {
		return p, err
	}
	p.Checkpoint = []byte(msg)
	return p, p.checkForm()
}

// checkForm refuses what no key could make true.
func (p Proof) checkForm() error {
	text, err := noteText(p.Checkpoint)
	if err != nil {
		return err
	}
	c, err := ParseCheckpoint(text)
	if err != nil {
		return err
	}
	return checkPath(p.Index, c.Size, len(p.Hashes))
}

func checkPath(index, size uint64, n int) error {
	if index >= size {
		return fmt.Errorf("index %d in a tree of %d", index, size)
	}
	if want := pathLength(index, size); n != want {
		return fmt.Errorf("%d hashes for index %d of %d, want %d", n, index, size, want)
	}
	return nil
}

func parseHashes(lines []string) ([]Hash, error) {
	if len(lines) > maxHashes {
		return nil, fmt.Errorf("%d hashes: more than %d", len(lines), maxHashes)
	}
	hs := make([]Hash, len(lines))
	for i, l := range lines {
		var err error
		if hs[i], err = parseHash(l); err != nil {
			return nil, fmt.Errorf("hash %d: %w", i, err)
		}
	}
	return hs, nil
}
