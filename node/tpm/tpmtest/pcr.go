package tpmtest

import (
	"crypto/sha256"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// maxRead is how many registers one PCR_Read returns.
const maxRead = 8

// A selection is one bank of a TPML_PCR_SELECTION.
type selection struct {
	bank   tpm2.TPMAlgID
	bitmap [numPCRs / 8]byte
}

// readSelections reads which registers are meant, and clears those of banks that
// this TPM has not allocated.
func readSelections(p *cryptobyte.String) ([]selection, bool) {
	var n uint32
	if !p.ReadUint32(&n) || n > 4 {
		return nil, false
	}
	out := make([]selection, n)
	for i := range out {
		var bank uint16
		var bitmap cryptobyte.String
		if !p.ReadUint16(&bank) || !p.ReadUint8LengthPrefixed(&bitmap) || len(bitmap) != numPCRs/8 {
			return nil, false
		}
		if out[i].bank = tpm2.TPMAlgID(bank); out[i].bank == tpm2.TPMAlgSHA256 {
			copy(out[i].bitmap[:], bitmap)
		}
	}
	return out, true
}

func (s selection) has(pcr int) bool { return s.bitmap[pcr/8]&(1<<(pcr%8)) != 0 }

func addSelections(b *cryptobyte.Builder, all []selection) {
	b.AddUint32(uint32(len(all)))
	for _, s := range all {
		b.AddUint16(uint16(s.bank))
		b.AddUint8(uint8(len(s.bitmap)))
		b.AddBytes(s.bitmap[:])
	}
}

func (c *client) pcrRead(_ []uint32, p *cryptobyte.String, out *response) error {
	all, ok := readSelections(p)
	if !ok {
		return inParameter(1, tpm2.TPMRCValue)
	}
	if err := end(p); err != nil {
		return err
	}
	var values [][sha256.Size]byte
	for i := range all {
		for pcr := range numPCRs {
			switch {
			case !all[i].has(pcr):
			case len(values) == maxRead:
				all[i].bitmap[pcr/8] &^= 1 << (pcr % 8)
			default:
				values = append(values, c.tpm.pcrs[pcr])
			}
		}
	}
	out.AddUint32(c.tpm.moved)
	addSelections(&out.Builder, all)
	out.AddUint32(uint32(len(values)))
	for _, v := range values {
		out.add2B(v[:])
	}
	return nil
}

func (c *client) pcrExtend(handles []uint32, p *cryptobyte.String, _ *response) error {
	var n uint32
	if handles[0] >= numPCRs {
		return inHandle(1, tpm2.TPMRCValue)
	}
	if !p.ReadUint32(&n) || n != 1 {
		return inParameter(1, tpm2.TPMRCSize)
	}
	var bank uint16
	var digest []byte
	if !p.ReadUint16(&bank) || tpm2.TPMAlgID(bank) != tpm2.TPMAlgSHA256 {
		return inParameter(1, tpm2.TPMRCHash)
	}
	if !p.ReadBytes(&digest, sha256.Size) || !p.Empty() {
		return inParameter(1, tpm2.TPMRCSize)
	}
	c.tpm.extend(int(handles[0]), [sha256.Size]byte(digest))
	return nil
}
