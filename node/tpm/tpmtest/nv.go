package tpmtest

import (
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// maxNV is how much of an NV index is read at once.
const maxNV = 1024

// nvAttributes: written, read with an empty password, not subject to lockout.
const nvAttributes = 1<<29 | 1<<25 | 1<<18

// nvArea is the TPMS_NV_PUBLIC of an index, and its name.
func (t *TPM) nvArea(index uint32) (area, name []byte) {
	area = binary.BigEndian.AppendUint32(nil, index)
	area = binary.BigEndian.AppendUint16(area, uint16(tpm2.TPMAlgSHA256))
	area = binary.BigEndian.AppendUint32(area, nvAttributes)
	area = binary.BigEndian.AppendUint16(area, 0) // no policy
	area = binary.BigEndian.AppendUint16(area, uint16(len(t.state.NV[index])))
	return area, sha256Name(area)
}

func (c *client) nvReadPublic(handles []uint32, p *cryptobyte.String, out *response) error {
	if _, ok := c.tpm.state.NV[handles[0]]; !ok {
		return inHandle(1, tpm2.TPMRCHandle)
	}
	area, name := c.tpm.nvArea(handles[0])
	out.add2B(area)
	out.add2B(name)
	return end(p)
}

func (c *client) nvRead(handles []uint32, p *cryptobyte.String, out *response) error {
	var size, offset uint16
	if !p.ReadUint16(&size) || !p.ReadUint16(&offset) {
		return tpm2.TPMRCInsufficient
	}
	if err := end(p); err != nil {
		return err
	}
	b, ok := c.tpm.state.NV[handles[1]]
	switch {
	case !ok:
		return inHandle(2, tpm2.TPMRCHandle)
	case handles[0] != handles[1] && handles[0] != uint32(tpm2.TPMRHOwner):
		return tpm2.TPMRCNVAuthorization
	case size > maxNV:
		return inParameter(1, tpm2.TPMRCValue)
	case int(offset)+int(size) > len(b):
		return tpm2.TPMRCNVRange
	}
	out.add2B(b[offset : offset+size])
	return nil
}
