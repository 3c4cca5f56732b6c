package tpmtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// firmware is what quotes call this TPM's firmware.
const firmware = 0x2026_0000_0000_0001

// quote signs the selected registers (Part 3, 18.4).
func (c *client) quote(handles []uint32, p *cryptobyte.String, out *response) error {
	var extra cryptobyte.String
	var scheme uint16
	if !p.ReadUint16LengthPrefixed(&extra) || len(extra) > 64 {
		return inParameter(1, tpm2.TPMRCSize)
	}
	if !p.ReadUint16(&scheme) || tpm2.TPMAlgID(scheme) != tpm2.TPMAlgNull { // the key has one
		return inParameter(2, tpm2.TPMRCScheme)
	}
	all, ok := readSelections(p)
	if !ok {
		return inParameter(3, tpm2.TPMRCValue)
	}
	if err := end(p); err != nil {
		return err
	}
	key := c.objects[handles[0]]
	switch {
	case key == nil:
		return inHandle(1, tpm2.TPMRCHandle)
	case !key.area.ObjectAttributes.SignEncrypt:
		return inHandle(1, tpm2.TPMRCKey)
	}
	attest := c.tpm.attest(key, extra, all)
	sig, err := key.sign(attest)
	if err != nil {
		return err
	}
	out.add2B(attest)
	out.AddBytes(sig)
	return nil
}

func (t *TPM) attest(key *primary, extra []byte, all []selection) []byte {
	digest := sha256.New()
	for _, s := range all {
		for pcr := range numPCRs {
			if s.has(pcr) {
				digest.Write(t.pcrs[pcr][:])
			}
		}
	}
	var b parameters
	b.AddUint32(uint32(tpm2.TPMGeneratedValue))
	b.AddUint16(uint16(tpm2.TPMSTAttestQuote))
	b.add2B(key.qualifiedName)
	b.add2B(extra)
	b.AddUint64(t.clock())
	b.AddUint32(t.state.ResetCount)
	b.AddUint32(0) // restartCount: this TPM never sleeps
	b.AddUint8(1)  // safe
	b.AddUint64(firmware)
	addSelections(&b.Builder, all)
	b.add2B(digest.Sum(nil))
	return b.BytesOrPanic()
}

// sign returns a TPMT_SIGNATURE by the key's own scheme, with SHA-256.
func (o *primary) sign(message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	var b parameters
	switch key := o.key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			return nil, err
		}
		b.AddUint16(uint16(tpm2.TPMAlgECDSA))
		b.AddUint16(uint16(tpm2.TPMAlgSHA256))
		b.add2B(r.FillBytes(make([]byte, 32)))
		b.add2B(s.FillBytes(make([]byte, 32)))
	case *rsa.PrivateKey:
		p, err := o.area.Parameters.RSADetail()
		if err != nil {
			return nil, err
		}
		var opts crypto.SignerOpts = crypto.SHA256
		if p.Scheme.Scheme == tpm2.TPMAlgRSAPSS {
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
		}
		sig, err := key.Sign(rand.Reader, digest[:], opts)
		if err != nil {
			return nil, err
		}
		b.AddUint16(uint16(p.Scheme.Scheme))
		b.AddUint16(uint16(tpm2.TPMAlgSHA256))
		b.add2B(sig)
	}
	return b.Bytes()
}

// SignAttest is what no TPM does: it signs any bytes with the restricted key of
// a name, so that a test can show that a check stands by itself.
func (t *TPM) SignAttest(name, attest []byte) (signature []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.keys {
		if bytes.Equal(o.name, name) {
			return o.sign(attest)
		}
	}
	return nil, fmt.Errorf("tpmtest: no key is named %x", name)
}
