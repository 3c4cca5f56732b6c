package proof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Checkpoint is the state of a log: it says nothing about who signed it.
type Checkpoint struct {
	Origin string // the log's name; the name of its key too
	Size   uint64 // leaves in the tree, at most [MaxSize]
	Root   Hash   // of the tree of that size (RFC 6962, section 2.1)
}

// MaxSize is the largest tree: peers hold sizes in signed 64-bit integers.
const MaxSize = math.MaxInt64

// Text returns the body of the signed note, three lines: origin, size in
// decimal, root in base64 (C2SP tlog-checkpoint).
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// ParseCheckpoint reads the body of a signed note. One checkpoint has one
// text: a size with a sign or a leading zero, a root that is not 32 bytes in
// canonical base64, a missing last newline and extension lines are refused.
// Extension lines are "opaque and OPTIONAL" in C2SP tlog-checkpoint, but no
// auditor can check them and not every cosignature covers them.
func ParseCheckpoint(text string) (Checkpoint, error) {
	refuse := func(err error) (Checkpoint, error) {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	body, ok := strings.CutSuffix(text, "\n")
	if !ok {
		return refuse(errors.New("last line is not terminated"))
	}
	lines := strings.SplitN(body, "\n", 4)
	if len(lines) != 3 {
		return refuse(errors.New("want exactly the lines origin, size, root"))
	}
	if err := checkOrigin(lines[0]); err != nil {
		return refuse(err)
	}
	size, err := parseDecimal(lines[1], MaxSize)
	if err != nil {
		return refuse(fmt.Errorf("size: %w", err))
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return refuse(fmt.Errorf("root: %w", err))
	}
	return Checkpoint{lines[0], size, root}, nil
}

// checkOrigin refuses what cannot be the first line of a signed note.
func checkOrigin(origin string) error {
	if origin == "" || !utf8.ValidString(origin) {
		return fmt.Errorf("origin %q: empty or not UTF-8", origin)
	}
	if strings.ContainsFunc(origin, func(r rune) bool { return r < 0x20 }) {
		return fmt.Errorf("origin %q: control character", origin)
	}
	return nil
}

// parseDecimal reads "an ASCII decimal with no leading zeroes".
func parseDecimal(s string, largest uint64) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a decimal number", s)
	}
	if strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("%q is not in canonical form", s)
	}
	if n > largest {
		return 0, fmt.Errorf("%d is more than %d", n, largest)
	}
	return n, nil
}

// parseHash reads a hash in canonical base64.
func parseHash(s string) (Hash, error) {
	b, err := decode64(s)
	if err != nil {
		return Hash{}, err
	}
	if len(b) != HashSize {
		return Hash{}, fmt.Errorf("hash of %d bytes, want %d", len(b), HashSize)
	}
	return Hash(b), nil
}

// decode64 reads standard base64 (RFC 4648, section 4) in its one canonical
// form. The library skips line breaks and, unless strict, ignores spare bits.
func decode64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(b) != s {
		return nil, fmt.Errorf("%q is not canonical base64", s)
	}
	return b, nil
}
