package tpm

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"

	"plastron/node"
)

// maxAttest is the longest TPMS_ATTEST that is read, in bytes; a quote of 24
// PCRs with a SHA-512 name takes 260.
const maxAttest = 1024

// An attested is a TPMS_ATTEST of type quote (Part 2, 10.12.12), as it reads; see
// check for what it must say.
type attested struct {
	extraData    []byte
	clock        uint64 // milliseconds that the TPM was powered
	resetCount   uint32
	restartCount uint32
	safe         bool // false: the clock may have run before
	firmware     uint64
	selections   []selection
	pcrDigest    []byte
}

// A selection is the PCRs of one bank: bit i of byte j is PCR 8j+i.
type selection struct {
	bank   tpm2.TPMAlgID
	bitmap []byte
}

// parseAttest reads the bytes that a signature covered. The magic number is
// compared: only a restricted key promises never to sign it for a stranger.
func parseAttest(b []byte) (*attested, error) {
	var a attested
	var magic uint32
	var kind uint16
	var signer, extra, digest cryptobyte.String
	var safe uint8
	s := cryptobyte.String(b)
	if !s.ReadUint32(&magic) || magic != uint32(tpm2.TPMGeneratedValue) {
		return nil, fmt.Errorf("attest begins with %#08x, want TPM_GENERATED", magic)
	}
	if !s.ReadUint16(&kind) || kind != uint16(tpm2.TPMSTAttestQuote) {
		return nil, fmt.Errorf("attest is of type %#04x, want a quote", kind)
	}
	if !s.ReadUint16LengthPrefixed(&signer) || !s.ReadUint16LengthPrefixed(&extra) ||
		!s.ReadUint64(&a.clock) || !s.ReadUint32(&a.resetCount) || !s.ReadUint32(&a.restartCount) || !s.ReadUint8(&safe) ||
		!s.ReadUint64(&a.firmware) || !a.readSelections(&s) || !s.ReadUint16LengthPrefixed(&digest) {
		return nil, errors.New("quote is cut short")
	}
	if safe > 1 {
		return nil, fmt.Errorf("quote: clock is neither safe nor not: %d", safe)
	}
	if !s.Empty() {
		return nil, fmt.Errorf("%d bytes after the quote", len(s))
	}
	a.safe, a.extraData, a.pcrDigest = safe == 1, extra, digest
	return &a, nil
}

func (a *attested) readSelections(s *cryptobyte.String) bool {
	var n uint32
	if !s.ReadUint32(&n) {
		return false
	}
	for range n {
		var bank uint16
		var bitmap cryptobyte.String
		if !s.ReadUint16(&bank) || !s.ReadUint8LengthPrefixed(&bitmap) {
			return false
		}
		a.selections = append(a.selections, selection{tpm2.TPMAlgID(bank), bitmap})
	}
	return true
}

// check holds a quote against the bind of its request and against the registers
// that the gate is configured to want, and returns their values, ascending. The
// digest is by the hash of the signing scheme, not of the bank.
func (a *attested) check(bind [32]byte, want pcrSet, h crypto.Hash, sent map[string]string) ([][sha256.Size]byte, error) {
	if subtle.ConstantTimeCompare(a.extraData, bind[:]) != 1 {
		return nil, refuse(node.BadBinding, "quote is over %x, want %x: another beacon or another SVID key", trim(a.extraData), bind)
	}
	if len(a.selections) != 1 {
		return nil, refuse(node.Measurement, "quote of %d banks, want one", len(a.selections))
	}
	s := a.selections[0]
	if s.bank != tpm2.TPMAlgSHA256 {
		return nil, refuse(node.Measurement, "quote of bank %#04x, want SHA-256", uint16(s.bank))
	}
	if w := want.bitmap(); !bytes.Equal(s.bitmap, w[:]) {
		return nil, refuse(node.Measurement, "quote selects PCRs %x, want %x: exactly %v", trim(s.bitmap), w, want)
	}
	values, err := want.values(sent)
	if err != nil {
		return nil, refuse(node.Measurement, "%w", err)
	}
	if !bytes.Equal(a.pcrDigest, digestOf(h, values)) {
		return nil, refuse(node.Measurement, "the PCR values sent are not those that were quoted")
	}
	return values, nil
}

// digestOf is what a quote says of registers: one hash over their values.
func digestOf(h crypto.Hash, values [][sha256.Size]byte) []byte {
	d := h.New()
	for _, v := range values {
		d.Write(v[:])
	}
	return d.Sum(nil)
}

// trim bounds what a message repeats of a stranger's bytes.
func trim(b []byte) []byte { return b[:min(len(b), 64)] }
