package tpm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
)

// numPCRs is how many registers a PC client's TPM has.
const numPCRs = 24

// DefaultPCRs are the registers that are quoted where the configuration names
// none: firmware, its settings, boot loader and Secure Boot (TCG PC Client
// Platform Firmware Profile, 2.3.4).
var DefaultPCRs = []int{0, 1, 2, 3, 4, 5, 6, 7}

// A pcrSet is registers of the SHA-256 bank, ascending, none twice, at least one.
type pcrSet []int

func newPCRSet(pcrs []int) (pcrSet, error) {
	if len(pcrs) == 0 {
		pcrs = DefaultPCRs
	}
	set := slices.Sorted(slices.Values(pcrs))
	for i, p := range set {
		if p < 0 || p >= numPCRs {
			return nil, fmt.Errorf("PCR %d, want 0 to %d", p, numPCRs-1)
		}
		if i > 0 && set[i-1] == p {
			return nil, fmt.Errorf("PCR %d is named twice", p)
		}
	}
	return set, nil
}

// bitmap is how a TPM writes the set: bit i of byte j is PCR 8j+i.
func (s pcrSet) bitmap() (b [numPCRs / 8]byte) {
	for _, p := range s {
		b[p/8] |= 1 << (p % 8)
	}
	return b
}

// values takes the values of exactly this set from evidence, in ascending order.
func (s pcrSet) values(sent map[string]string) ([][sha256.Size]byte, error) {
	if len(sent) != len(s) {
		return nil, fmt.Errorf("values of %d PCRs, want those of %v", len(sent), s)
	}
	out := make([][sha256.Size]byte, len(s))
	for i, p := range s {
		text, ok := sent[strconv.Itoa(p)]
		if !ok {
			return nil, fmt.Errorf("no value of PCR %d, want those of %v", p, s)
		}
		if err := readHex(out[i][:], text); err != nil {
			return nil, fmt.Errorf("PCR %d: %w", p, err)
		}
	}
	return out, nil
}

// readHex fills dst from lower-case hex, the one spelling that is taken.
func readHex(dst []byte, text string) error {
	if len(text) != hex.EncodedLen(len(dst)) {
		return fmt.Errorf("%d characters, want %d of lower-case hex", len(text), hex.EncodedLen(len(dst)))
	}
	if _, err := hex.Decode(dst, []byte(text)); err != nil || hex.EncodeToString(dst) != text {
		return fmt.Errorf("not %d characters of lower-case hex", len(text))
	}
	return nil
}
