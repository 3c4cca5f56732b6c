package tpmtest

import (
	"encoding/binary"
	"errors"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// maxCommand is the longest command and response, in bytes.
const maxCommand = 4096

// badTag is TPM_RC_BAD_TAG, which go-tpm has no name for.
const badTag tpm2.TPMRC = 0x01e

// Response codes say which handle, parameter or session they are about, counted
// from 1 (Part 1, 39.4).
func inHandle(n int, rc tpm2.TPMRC) tpm2.TPMRC    { return rc | tpm2.TPMRC(n)<<8 }
func inParameter(n int, rc tpm2.TPMRC) tpm2.TPMRC { return rc | 0x40 | tpm2.TPMRC(n)<<8 }
func inSession(n int, rc tpm2.TPMRC) tpm2.TPMRC   { return rc | 0x800 | tpm2.TPMRC(n)<<8 }

// A command is what the TPM does for one command code.
type command struct {
	handles int
	roles   []role // of the first handles: who has to authorize the command
	run     func(c *client, handles []uint32, p *cryptobyte.String, out *response) error
}

// A response is filled by a command that succeeds.
type response struct {
	handle []byte // empty, or u32
	parameters
}

// parameters are built by the helpers of cryptobyte.
type parameters struct{ cryptobyte.Builder }

func (p *parameters) add2B(b []byte) {
	p.AddUint16LengthPrefixed(func(p *cryptobyte.Builder) { p.AddBytes(b) })
}

// commands are what this TPM knows.
var commands = map[tpm2.TPMCC]command{
	tpm2.TPMCCStartup:            {0, nil, (*client).startup},
	tpm2.TPMCCGetCapability:      {0, nil, (*client).getCapability},
	tpm2.TPMCCNVReadPublic:       {1, nil, (*client).nvReadPublic},
	tpm2.TPMCCNVRead:             {2, []role{user}, (*client).nvRead},
	tpm2.TPMCCCreatePrimary:      {1, []role{user}, (*client).createPrimary},
	tpm2.TPMCCReadPublic:         {1, nil, (*client).readPublic},
	tpm2.TPMCCFlushContext:       {0, nil, (*client).flushContext},
	tpm2.TPMCCStartAuthSession:   {2, nil, (*client).startAuthSession},
	tpm2.TPMCCPolicySecret:       {2, []role{user}, (*client).policySecret},
	tpm2.TPMCCActivateCredential: {2, []role{admin, user}, (*client).activateCredential},
	tpm2.TPMCCPCRRead:            {0, nil, (*client).pcrRead},
	tpm2.TPMCCPCRExtend:          {1, []role{user}, (*client).pcrExtend},
	tpm2.TPMCCQuote:              {1, []role{user}, (*client).quote},
}

// send runs a command and frames its response or its code.
func (c *client) send(b []byte) []byte {
	c.tpm.mu.Lock()
	defer c.tpm.mu.Unlock()
	body, tag, err := c.dispatch(b)
	rc := tpm2.TPMRCSuccess
	if err != nil {
		body, tag, rc = nil, tpm2.TPMSTNoSessions, tpm2.TPMRCFailure
		errors.As(err, &rc)
	}
	out := binary.BigEndian.AppendUint16(nil, uint16(tag))
	out = binary.BigEndian.AppendUint32(out, uint32(10+len(body)))
	out = binary.BigEndian.AppendUint32(out, uint32(rc))
	return append(out, body...)
}

// dispatch takes a command apart: header, handles, authorizations, parameters
// (Part 1, 18).
func (c *client) dispatch(b []byte) (body []byte, tag tpm2.TPMST, err error) {
	s := cryptobyte.String(b)
	var t uint16
	var size, code uint32
	if !s.ReadUint16(&t) || !s.ReadUint32(&size) || !s.ReadUint32(&code) || int(size) != len(b) || len(b) > maxCommand {
		return nil, 0, tpm2.TPMRCCommandSize
	}
	tag = tpm2.TPMST(t)
	if tag != tpm2.TPMSTNoSessions && tag != tpm2.TPMSTSessions {
		return nil, 0, badTag
	}
	cmd, ok := commands[tpm2.TPMCC(code)]
	if !ok {
		return nil, 0, tpm2.TPMRCCommandCode
	}
	handles := make([]uint32, cmd.handles)
	for i := range handles {
		if !s.ReadUint32(&handles[i]) {
			return nil, 0, inHandle(i+1, tpm2.TPMRCInsufficient)
		}
	}
	auths, err := c.authorize(&s, tag, code, cmd, handles)
	if err != nil {
		return nil, 0, err
	}
	var out response
	if err := cmd.run(c, handles, &s, &out); err != nil {
		return nil, 0, err
	}
	parms, err := out.Bytes()
	if err != nil {
		return nil, 0, err
	}
	body = out.handle
	if tag == tpm2.TPMSTSessions {
		body = binary.BigEndian.AppendUint32(body, uint32(len(parms)))
	}
	return append(append(body, parms...), c.acknowledge(auths, code, parms)...), tag, nil
}

// end refuses what follows the last parameter.
func end(p *cryptobyte.String) error {
	if !p.Empty() {
		return tpm2.TPMRCSize
	}
	return nil
}
