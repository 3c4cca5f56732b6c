package tpmtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// How many keys and sessions a client may have loaded.
const (
	maxObjects  = 3
	maxSessions = 3

	firstObject  = 0x80000000
	firstSession = 0x03000000

	continueSession = 1 // TPMA_SESSION
)

// A client has slots of its own. TPM.mu guards it.
type client struct {
	tpm      *TPM
	objects  map[uint32]*primary
	sessions map[uint32]*session
}

func newClient(t *TPM) *client {
	c := &client{tpm: t}
	c.reset()
	return c
}

func (c *client) reset() {
	c.objects, c.sessions = map[uint32]*primary{}, map[uint32]*session{}
}

// A session is a policy session: what it has shown so far.
type session struct {
	nonceTPM []byte
	digest   [sha256.Size]byte
}

// A role is what a handle's authorization is for (Part 1, 19.2).
type role int

const (
	user role = iota
	admin
)

// An auth is one checked authorization, to be acknowledged in the response.
type auth struct {
	handle      uint32
	nonceCaller []byte
	attributes  uint8
	signed      bool // an HMAC came, so one goes back
}

// authorize reads the authorization area and holds it against the handles.
func (c *client) authorize(s *cryptobyte.String, tag tpm2.TPMST, code uint32, cmd command, handles []uint32) ([]auth, error) {
	if tag == tpm2.TPMSTNoSessions {
		if len(cmd.roles) > 0 {
			return nil, tpm2.TPMRCAuthMissing
		}
		return nil, nil
	}
	var size uint32
	var area []byte
	if !s.ReadUint32(&size) || !s.ReadBytes(&area, int(size)) {
		return nil, tpm2.TPMRCAuthSize
	}
	rest := cryptobyte.String(area)
	var auths []auth
	for !rest.Empty() {
		n := len(auths)
		if n >= len(cmd.roles) {
			return nil, tpm2.TPMRCAuthContext
		}
		a, mac, err := readAuth(&rest)
		if err != nil {
			return nil, err
		}
		if err := c.check(a, mac, n+1, handles[n], cmd.roles[n], func() ([]byte, error) { return c.cpHash(code, handles, *s) }); err != nil {
			return nil, err
		}
		auths = append(auths, *a)
	}
	if len(auths) < len(cmd.roles) {
		return nil, tpm2.TPMRCAuthMissing
	}
	return auths, nil
}

func readAuth(s *cryptobyte.String) (*auth, []byte, error) {
	var a auth
	var nonce, mac cryptobyte.String
	if !s.ReadUint32(&a.handle) || !s.ReadUint16LengthPrefixed(&nonce) || !s.ReadUint8(&a.attributes) || !s.ReadUint16LengthPrefixed(&mac) {
		return nil, nil, tpm2.TPMRCAuthSize
	}
	a.nonceCaller, a.signed = nonce, len(mac) > 0
	return &a, mac, nil
}

// check checks the n-th authorization. All authValues of this TPM are empty, so
// a password has to be, and an HMAC has an empty key (Part 1, 19.6).
func (c *client) check(a *auth, mac []byte, n int, handle uint32, r role, cpHash func() ([]byte, error)) error {
	e, err := c.entity(handle)
	if err != nil {
		return inHandle(n, tpm2.TPMRCHandle)
	}
	if a.handle == uint32(tpm2.TPMRSPW) {
		switch {
		case len(mac) > 0:
			return inSession(n, tpm2.TPMRCAuthFail)
		case r == user && !e.userWithAuth, r == admin && e.adminWithPolicy:
			return tpm2.TPMRCAuthUnavailable
		}
		a.signed = false
		return nil
	}
	s := c.sessions[a.handle]
	switch {
	case s == nil:
		return inSession(n, tpm2.TPMRCValue)
	case len(e.policy) == 0 || !bytes.Equal(e.policy, s.digest[:]):
		return inSession(n, tpm2.TPMRCPolicyFail)
	case !a.signed:
		return nil // the key is empty: no HMAC is needed
	}
	h, err := cpHash()
	if err != nil {
		return err
	}
	if !hmac.Equal(mac, sign(h, a.nonceCaller, s.nonceTPM, a.attributes)) {
		return inSession(n, tpm2.TPMRCAuthFail)
	}
	return nil
}

// cpHash is what an HMAC of a command covers: code, names, parameters.
func (c *client) cpHash(code uint32, handles []uint32, parms []byte) ([]byte, error) {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint32(nil, code))
	for i, handle := range handles {
		e, err := c.entity(handle)
		if err != nil {
			return nil, inHandle(i+1, tpm2.TPMRCHandle)
		}
		h.Write(e.name)
	}
	h.Write(parms)
	return h.Sum(nil), nil
}

func sign(pHash, newer, older []byte, attributes uint8) []byte {
	m := hmac.New(sha256.New, nil)
	m.Write(pHash)
	m.Write(newer)
	m.Write(older)
	m.Write([]byte{attributes})
	return m.Sum(nil)
}

// acknowledge is the authorization area of a response. A session that is not to
// be continued ends here.
func (c *client) acknowledge(auths []auth, code uint32, parms []byte) []byte {
	var out parameters
	for _, a := range auths {
		s := c.sessions[a.handle]
		if s == nil {
			out.add2B(nil)
			out.AddUint8(continueSession)
			out.add2B(nil)
			continue
		}
		s.nonceTPM = newNonce(len(s.nonceTPM))
		var mac []byte
		if a.signed {
			h := sha256.New()
			h.Write([]byte{0, 0, 0, 0}) // TPM_RC_SUCCESS
			h.Write(binary.BigEndian.AppendUint32(nil, code))
			h.Write(parms)
			mac = sign(h.Sum(nil), s.nonceTPM, a.nonceCaller, a.attributes)
		}
		out.add2B(s.nonceTPM)
		out.AddUint8(a.attributes)
		out.add2B(mac)
		if a.attributes&continueSession == 0 {
			delete(c.sessions, a.handle)
		}
	}
	return out.BytesOrPanic()
}

func newNonce(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

// startAuthSession makes a policy session that is neither bound nor salted.
func (c *client) startAuthSession(handles []uint32, p *cryptobyte.String, out *response) error {
	var nonce, salt cryptobyte.String
	var kind uint8
	var symmetric, hash uint16
	for i, h := range handles {
		if h != uint32(tpm2.TPMRHNull) {
			return inHandle(i+1, tpm2.TPMRCHandle)
		}
	}
	switch {
	case !p.ReadUint16LengthPrefixed(&nonce) || len(nonce) < 16 || len(nonce) > sha256.Size:
		return inParameter(1, tpm2.TPMRCSize)
	case !p.ReadUint16LengthPrefixed(&salt) || len(salt) > 0:
		return inParameter(2, tpm2.TPMRCValue)
	case !p.ReadUint8(&kind) || tpm2.TPMSE(kind) != tpm2.TPMSEPolicy:
		return inParameter(3, tpm2.TPMRCValue)
	case !p.ReadUint16(&symmetric) || tpm2.TPMAlgID(symmetric) != tpm2.TPMAlgNull:
		return inParameter(4, tpm2.TPMRCSymmetric)
	case !p.ReadUint16(&hash) || tpm2.TPMAlgID(hash) != tpm2.TPMAlgSHA256:
		return inParameter(5, tpm2.TPMRCHash)
	case !p.Empty():
		return tpm2.TPMRCSize
	case len(c.sessions) == maxSessions:
		return tpm2.TPMRCSessionMemory
	}
	handle := free(c.sessions, firstSession)
	s := &session{nonceTPM: newNonce(len(nonce))}
	c.sessions[handle] = s
	out.handle = binary.BigEndian.AppendUint32(nil, handle)
	out.add2B(s.nonceTPM)
	return nil
}

// policySecret extends a session's digest by the name of an entity whose
// authorization came with the command (Part 3, 23.4).
func (c *client) policySecret(handles []uint32, p *cryptobyte.String, out *response) error {
	var nonce, cpHash, ref cryptobyte.String
	var expiration uint32
	if !p.ReadUint16LengthPrefixed(&nonce) || !p.ReadUint16LengthPrefixed(&cpHash) || !p.ReadUint16LengthPrefixed(&ref) || !p.ReadUint32(&expiration) {
		return tpm2.TPMRCInsufficient
	}
	if err := end(p); err != nil {
		return err
	}
	s := c.sessions[handles[1]]
	switch {
	case s == nil:
		return inHandle(2, tpm2.TPMRCHandle)
	case len(nonce) > 0 && !bytes.Equal(nonce, s.nonceTPM):
		return inParameter(1, tpm2.TPMRCNonce)
	case len(cpHash) > 0:
		return inParameter(2, tpm2.TPMRCValue)
	case expiration != 0:
		return inParameter(4, tpm2.TPMRCExpired)
	}
	e, err := c.entity(handles[0])
	if err != nil {
		return err
	}
	h := sha256.New()
	h.Write(s.digest[:])
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(tpm2.TPMCCPolicySecret)))
	h.Write(e.name)
	first := h.Sum(nil)
	s.digest = sha256.Sum256(append(first, ref...))

	out.add2B(nil) // timeout: none
	out.AddUint16(uint16(tpm2.TPMSTAuthSecret))
	out.AddUint32(uint32(tpm2.TPMRHNull))
	out.add2B(nil)
	return nil
}

// free returns the lowest handle that is not taken.
func free[T any](taken map[uint32]T, first uint32) uint32 {
	for {
		if _, ok := taken[first]; !ok {
			return first
		}
		first++
	}
}
