package tpm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// maxInventory is the longest inventory that is read, in bytes: 60,000 TPMs.
const maxInventory = 4 << 20

// An Inventory is the TPMs that are ours, by [EKHash]. A vendor's root proves a
// genuine TPM, not that it is yours; an empty inventory lets nobody in.
type Inventory map[[32]byte]bool

// ParseInventory reads an inventory: a line a TPM, the EK hash as
// "sha256:" and 64 characters of lower-case hex, or the hex alone. White space
// around it, empty lines and lines that begin with # are skipped. Anything else,
// and a hash that is there twice, is an error that names the line.
func ParseInventory(text []byte) (Inventory, error) {
	if len(text) > maxInventory {
		return nil, fmt.Errorf("inventory of %d bytes, want at most %d", len(text), maxInventory)
	}
	inv := Inventory{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.Trim(lines.Text(), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		hash, err := parseHash(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: EK hash: %w", n, err)
		}
		if inv[hash] {
			return nil, fmt.Errorf("line %d: EK hash %x is there twice", n, hash)
		}
		inv[hash] = true
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, errors.New("inventory has a line of more than 64 KiB")
	}
	return inv, lines.Err()
}

func parseHash(text string) (hash [32]byte, err error) {
	return hash, readHex(hash[:], strings.TrimPrefix(text, "sha256:"))
}
