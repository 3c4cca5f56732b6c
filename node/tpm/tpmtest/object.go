package tpmtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// A primary is a key under a hierarchy. The same template gives the same key.
type primary struct {
	key           crypto.Signer // *ecdsa.PrivateKey P-256 or *rsa.PrivateKey
	area          tpm2.TPMTPublic
	raw           []byte // area, marshalled
	name          []byte
	qualifiedName []byte
}

// An entity is what a handle stands for: its name, and how it is authorized.
type entity struct {
	name            []byte
	policy          []byte
	userWithAuth    bool
	adminWithPolicy bool
}

func (c *client) entity(handle uint32) (entity, error) {
	if o := c.objects[handle]; o != nil {
		return entity{o.name, o.area.AuthPolicy.Buffer, o.area.ObjectAttributes.UserWithAuth, o.area.ObjectAttributes.AdminWithPolicy}, nil
	}
	if _, ok := c.tpm.state.NV[handle]; ok {
		_, name := c.tpm.nvArea(handle)
		return entity{name: name, userWithAuth: true}, nil
	}
	_, session := c.sessions[handle]
	switch tpm2.TPMHandle(handle) {
	case tpm2.TPMRHOwner, tpm2.TPMRHEndorsement, tpm2.TPMRHNull:
	default:
		if handle >= numPCRs && !session {
			return entity{}, tpm2.TPMRCHandle
		}
	}
	return entity{name: binary.BigEndian.AppendUint32(nil, handle), userWithAuth: !session}, nil
}

// createPrimary makes or finds the key of a template and loads it.
func (c *client) createPrimary(handles []uint32, p *cryptobyte.String, out *response) error {
	var sensitive, template, outside cryptobyte.String
	var pcrs uint32
	if !p.ReadUint16LengthPrefixed(&sensitive) || !p.ReadUint16LengthPrefixed(&template) ||
		!p.ReadUint16LengthPrefixed(&outside) || !p.ReadUint32(&pcrs) {
		return tpm2.TPMRCInsufficient
	}
	if err := end(p); err != nil {
		return err
	}
	switch {
	case !bytes.Equal(sensitive, []byte{0, 0, 0, 0}): // no authValue, no data
		return inParameter(1, tpm2.TPMRCValue)
	case pcrs != 0:
		return inParameter(4, tpm2.TPMRCValue)
	case handles[0] < uint32(tpm2.TPMRHOwner) || c.objects[handles[0]] != nil:
		return inHandle(1, tpm2.TPMRCHierarchy)
	case len(c.objects) == maxObjects:
		return tpm2.TPMRCObjectMemory
	}
	o, err := c.tpm.primary(tpm2.TPMHandle(handles[0]), template)
	if err != nil {
		return err
	}
	handle := free(c.objects, firstObject)
	c.objects[handle] = o
	out.handle = binary.BigEndian.AppendUint32(nil, handle)
	out.add2B(o.raw)
	creation := tpm2.Marshal(tpm2.TPMSCreationData{
		ParentNameAlg: tpm2.TPMAlgNull,
		ParentName:    tpm2.HandleName(tpm2.TPMHandle(handles[0])),
		OutsideInfo:   tpm2.TPM2BData{Buffer: outside},
	})
	hash := sha256.Sum256(creation)
	out.add2B(creation)
	out.add2B(hash[:])
	out.AddUint16(uint16(tpm2.TPMSTCreation))
	out.AddUint32(handles[0])
	out.add2B(newNonce(sha256.Size)) // a ticket that only this TPM could check
	out.add2B(o.name)
	return nil
}

// primary returns the key of a template under a hierarchy, and makes it the
// first time.
func (t *TPM) primary(hierarchy tpm2.TPMHandle, template []byte) (*primary, error) {
	id := keyID(hierarchy, template)
	if o := t.keys[id]; o != nil {
		return o, nil
	}
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](template)
	if err != nil || !bytes.Equal(tpm2.Marshal(area), template) {
		return nil, inParameter(2, tpm2.TPMRCSize)
	}
	if rc := checkTemplate(area); rc != tpm2.TPMRCSuccess {
		return nil, inParameter(2, rc)
	}
	key, err := t.keyOf(id, area.Type)
	if err != nil {
		return nil, err
	}
	o, err := newPrimary(hierarchy, *area, key)
	if err != nil {
		return nil, err
	}
	t.keys[id] = o
	return o, nil
}

// keyID is under what name a key is kept.
func keyID(hierarchy tpm2.TPMHandle, template []byte) string {
	h := sha256.Sum256(append(binary.BigEndian.AppendUint32(nil, uint32(hierarchy)), template...))
	return hex.EncodeToString(h[:])
}

func (t *TPM) keyOf(id string, kind tpm2.TPMAlgID) (key crypto.Signer, err error) {
	if t.state.Keys[id] != nil {
		return t.state.key(id)
	}
	if kind == tpm2.TPMAlgRSA {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, err
	}
	if t.state.Keys[id], err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return nil, err
	}
	return key, t.save()
}

func newPrimary(hierarchy tpm2.TPMHandle, area tpm2.TPMTPublic, key crypto.Signer) (*primary, error) {
	switch public := key.Public().(type) {
	case *rsa.PublicKey:
		area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: public.N.FillBytes(make([]byte, 256))})
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			return nil, err
		}
		area.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: point[1:33]}, Y: tpm2.TPM2BECCParameter{Buffer: point[33:]},
		})
	}
	o := &primary{key: key, area: area, raw: tpm2.Marshal(area)}
	o.name = sha256Name(o.raw)
	o.qualifiedName = sha256Name(append(tpm2.PrimaryHandleName(hierarchy), o.name...))
	return o, nil
}

// sha256Name is TPM_ALG_SHA256 and the digest of what is named.
func sha256Name(b []byte) []byte {
	h := sha256.Sum256(b)
	return append([]byte{0x00, 0x0b}, h[:]...)
}

func (c *client) readPublic(handles []uint32, p *cryptobyte.String, out *response) error {
	o := c.objects[handles[0]]
	if o == nil {
		return inHandle(1, tpm2.TPMRCHandle)
	}
	out.add2B(o.raw)
	out.add2B(o.name)
	out.add2B(o.qualifiedName)
	return end(p)
}

// flushContext takes its handle as a parameter (Part 3, 28.4).
func (c *client) flushContext(_ []uint32, p *cryptobyte.String, _ *response) error {
	var handle uint32
	if !p.ReadUint32(&handle) {
		return tpm2.TPMRCInsufficient
	}
	if err := end(p); err != nil {
		return err
	}
	if c.objects[handle] == nil && c.sessions[handle] == nil {
		return inParameter(1, tpm2.TPMRCHandle)
	}
	delete(c.objects, handle)
	delete(c.sessions, handle)
	return nil
}
