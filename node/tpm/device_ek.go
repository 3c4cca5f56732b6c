package tpm

import (
	"crypto/x509"
	"encoding/json/v2"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// nvChunk is how much of an NV index is read at once: what every TPM allows.
const nvChunk = 512

// An ekSlot is where a TPM keeps the certificate of one of its EKs (TCG EK
// Credential Profile 2.2): NV indices of the certificate, and of a nonce and a
// template that differ from the default if they are there.
type ekSlot struct {
	certificate, nonce, template tpm2.TPMHandle
	public                       tpm2.TPMTPublic // default template
}

var ekSlots = []ekSlot{
	{0x01c00002, 0x01c00003, 0x01c00004, tpm2.RSAEKTemplate}, // L-1: RSA-2048
	{0x01c0000a, 0x01c0000b, 0x01c0000c, tpm2.ECCEKTemplate}, // L-2: P-256
}

// EKCertificate is the DER of the TPM's EK certificate: RSA-2048's where there
// is one, else P-256's.
func (d *Device) EKCertificate() ([]byte, error) {
	_, c, err := d.ekCertificate()
	if err != nil {
		return nil, err
	}
	return c.Raw, nil
}

// EnrolRequest is the JSON that asks a gate to be let in.
func (d *Device) EnrolRequest() ([]byte, error) {
	ek, c, err := d.loadEK()
	if err != nil {
		return nil, err
	}
	if err := ek.flush(d.tpm); err != nil {
		return nil, err
	}
	return json.Marshal(enrolRequest{c.Raw, ek.public.raw, d.ak.public.raw})
}

// Activate answers a gate's challenge. The TPM opens it only if it holds both the
// EK and an AK of exactly the name that the challenge was made for.
func (d *Device) Activate(text []byte) ([]byte, error) {
	var c challenge
	if err := json.Unmarshal(text, &c, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("challenge: %w", err)
	}
	ek, _, err := d.loadEK()
	if err != nil {
		return nil, err
	}
	r, err := tpm2.ActivateCredential{
		ActivateHandle: d.ak.auth(tpm2.PasswordAuth(nil)),
		KeyHandle:      ek.auth(tpm2.Policy(tpm2.TPMAlgSHA256, 16, endorsed)),
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: c.Credential},
		Secret:         tpm2.TPM2BEncryptedSecret{Buffer: c.Secret},
	}.Execute(d.tpm)
	if err := errors.Join(err, ek.flush(d.tpm)); err != nil {
		return nil, fmt.Errorf("activate credential: %w", err)
	}
	return json.Marshal(answer{r.CertInfo.Buffer})
}

// endorsed satisfies an EK's policy: the endorsement hierarchy's authorization.
func endorsed(t transport.TPM, session tpm2.TPMISHPolicy, nonce tpm2.TPM2BNonce) error {
	_, err := tpm2.PolicySecret{
		AuthHandle:    tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		PolicySession: session,
		NonceTPM:      nonce,
	}.Execute(t)
	return err
}

// loadEK makes the EK again, which gives the same key each time, and holds it
// against its certificate.
func (d *Device) loadEK() (*object, *x509.Certificate, error) {
	slot, c, err := d.ekCertificate()
	if err != nil {
		return nil, nil, err
	}
	template, err := slot.read(d.tpm)
	if err != nil {
		return nil, nil, err
	}
	ek, err := createPrimary(d.tpm, template)
	if err != nil {
		return nil, nil, fmt.Errorf("create EK: %w", err)
	}
	key, err := certifiedKey(c)
	if err == nil && !ek.public.is(key) {
		err = errOtherEK
	}
	if err != nil {
		return nil, nil, errors.Join(err, ek.flush(d.tpm))
	}
	return ek, c, nil
}

func (d *Device) ekCertificate() (*ekSlot, *x509.Certificate, error) {
	for i := range ekSlots {
		b, err := readNV(d.tpm, ekSlots[i].certificate)
		if err != nil {
			return nil, nil, fmt.Errorf("read EK certificate: %w", err)
		}
		if b == nil {
			continue
		}
		c, err := ParseEKCertificate(b)
		return &ekSlots[i], c, err
	}
	return nil, nil, errors.New("the TPM holds no EK certificate for RSA-2048 or P-256")
}

// read returns the slot's template, with what the TPM says instead of it.
func (s *ekSlot) read(t transport.TPM) (tpm2.TPMTPublic, error) {
	template := s.public
	own, err := readNV(t, s.template)
	if err != nil {
		return template, fmt.Errorf("read EK template: %w", err)
	}
	if own != nil {
		p, err := tpm2.Unmarshal[tpm2.TPMTPublic](own)
		if err != nil {
			return template, fmt.Errorf("EK template: %w", err)
		}
		template = *p
	}
	nonce, err := readNV(t, s.nonce)
	if err != nil {
		return template, fmt.Errorf("read EK nonce: %w", err)
	}
	if nonce == nil {
		return template, nil
	}
	// "The nonce is placed in the first bytes of the unique field, which is
	// padded with zeros": into x of a point, whose y stays zero.
	switch template.Type {
	case tpm2.TPMAlgRSA:
		b := make([]byte, 256)
		copy(b, nonce)
		template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: b})
	case tpm2.TPMAlgECC:
		x := make([]byte, 32)
		copy(x, nonce)
		template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: x}, Y: tpm2.TPM2BECCParameter{Buffer: make([]byte, 32)},
		})
	}
	return template, nil
}

// readNV reads an NV index, nil if the TPM has none there.
func readNV(t transport.TPM, index tpm2.TPMHandle) ([]byte, error) {
	r, err := tpm2.NVReadPublic{NVIndex: index}.Execute(t)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	area, err := r.NVPublic.Contents()
	if err != nil {
		return nil, err
	}
	out := []byte{}
	for len(out) < int(area.DataSize) {
		n := min(int(area.DataSize)-len(out), nvChunk)
		part, err := tpm2.NVRead{
			AuthHandle: tpm2.AuthHandle{Handle: index, Name: r.NVName, Auth: tpm2.PasswordAuth(nil)},
			NVIndex:    tpm2.NamedHandle{Handle: index, Name: r.NVName},
			Size:       uint16(n),
			Offset:     uint16(len(out)),
		}.Execute(t)
		if err != nil {
			return nil, err
		}
		if len(part.Data.Buffer) != n {
			return nil, fmt.Errorf("NV index %#08x: %d bytes of %d", index, len(part.Data.Buffer), n)
		}
		out = append(out, part.Data.Buffer...)
	}
	return out, nil
}
