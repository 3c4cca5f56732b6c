package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/transparency-dev/merkle/rfc6962"
)

// HashSize is the length of a [Hash] in bytes.
const HashSize = 32

// A Hash is a SHA-256 digest: of a leaf, of a node, of a whole tree, or of
// whatever else the rest of the program names by content.
type Hash [HashSize]byte

// String returns h in lower-case hexadecimal, 64 digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText returns what String returns.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 lower-case hexadecimal digits and nothing else, so
// that one hash has one text. It leaves h alone when it refuses.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 2*HashSize {
		return fmt.Errorf("hash: got %d characters, want %d hexadecimal digits", len(text), 2*HashSize)
	}
	var read Hash
	if _, err := hex.Decode(read[:], text); err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	if read.String() != string(text) {
		return fmt.Errorf("hash: %q is not in lower case", text)
	}
	*h = read
	return nil
}

// tree hashes as RFC 6962 says. It is the library's hasher but for nodes,
// which are all of one size and need no state.
var tree = hasher{rfc6962.DefaultHasher}

type hasher struct{ *rfc6962.Hasher }

// HashChildren returns SHA-256(0x01 || left || right).
func (hasher) HashChildren(left, right []byte) []byte {
	var b [1 + 2*HashSize]byte
	b[0] = rfc6962.RFC6962NodeHashPrefix
	copy(b[1:], left)
	copy(b[1+HashSize:], right)
	h := sha256.Sum256(b[:])
	return h[:]
}

// LeafHash returns the leaf hash of a log entry, SHA-256(0x00 || entry)
// (RFC 6962, section 2.1).
func LeafHash(entry []byte) Hash {
	return Hash(tree.HashLeaf(entry))
}

// EmptyRoot returns the root of the tree without leaves, SHA-256("").
func EmptyRoot() Hash {
	return Hash(tree.EmptyRoot())
}

// views shares hs with a library that speaks in slices.
func views(hs []Hash) [][]byte {
	out := make([][]byte, len(hs))
	for i := range hs {
		out[i] = hs[i][:]
	}
	return out
}

// hashes copies what a library that speaks in slices gave back.
func hashes(bs [][]byte) []Hash {
	out := make([]Hash, len(bs))
	for i, b := range bs {
		out[i] = Hash(b)
	}
	return out
}
