package tpmtest

import (
	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// properties are the fixed ones that this TPM tells, ascending (Part 2, 6.13).
var properties = []struct{ tag, value uint32 }{
	{0x100, 0x322e3000}, // family: "2.0"
	{0x105, 0x504c5354}, // manufacturer: "PLST"
	{0x112, numPCRs},
	{0x12c, maxNV},
}

// startup is refused: the firmware has done it.
func (c *client) startup(_ []uint32, p *cryptobyte.String, _ *response) error {
	var kind uint16
	if !p.ReadUint16(&kind) || !p.Empty() {
		return inParameter(1, tpm2.TPMRCSize)
	}
	return tpm2.TPMRCInitialize
}

// getCapability tells fixed properties and the PCR bank.
func (c *client) getCapability(_ []uint32, p *cryptobyte.String, out *response) error {
	var what, first, most uint32
	if !p.ReadUint32(&what) || !p.ReadUint32(&first) || !p.ReadUint32(&most) {
		return tpm2.TPMRCInsufficient
	}
	if err := end(p); err != nil {
		return err
	}
	out.AddUint8(0) // no more data
	out.AddUint32(what)
	switch tpm2.TPMCap(what) {
	case tpm2.TPMCapPCRs:
		addSelections(&out.Builder, []selection{{tpm2.TPMAlgSHA256, [3]byte{0xff, 0xff, 0xff}}})
	case tpm2.TPMCapTPMProperties:
		told := properties[:0:0]
		for _, p := range properties {
			if p.tag >= first && len(told) < int(most) {
				told = append(told, p)
			}
		}
		out.AddUint32(uint32(len(told)))
		for _, p := range told {
			out.AddUint32(p.tag)
			out.AddUint32(p.value)
		}
	default:
		return inParameter(1, tpm2.TPMRCValue)
	}
	return nil
}
