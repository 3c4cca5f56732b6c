package tpmtest

import (
	"crypto"
	"crypto/aes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// activateCredential opens a credential that was made for this EK and a key of
// exactly the name of the first handle (Part 1, 24; Part 3, 12.5).
func (c *client) activateCredential(handles []uint32, p *cryptobyte.String, out *response) error {
	var blob, secret cryptobyte.String
	if !p.ReadUint16LengthPrefixed(&blob) || !p.ReadUint16LengthPrefixed(&secret) {
		return tpm2.TPMRCInsufficient
	}
	if err := end(p); err != nil {
		return err
	}
	object, ek := c.objects[handles[0]], c.objects[handles[1]]
	switch {
	case object == nil:
		return inHandle(1, tpm2.TPMRCHandle)
	case ek == nil:
		return inHandle(2, tpm2.TPMRCHandle)
	case !ek.area.ObjectAttributes.Decrypt || !ek.area.ObjectAttributes.Restricted:
		return inHandle(2, tpm2.TPMRCType)
	}
	seed, err := ek.unwrap(secret)
	if err != nil {
		return inParameter(2, tpm2.TPMRCValue)
	}
	var mac cryptobyte.String
	if !blob.ReadUint16LengthPrefixed(&mac) {
		return inParameter(1, tpm2.TPMRCSize)
	}
	m := hmac.New(sha256.New, tpm2.KDFa(crypto.SHA256, seed, "INTEGRITY", nil, nil, 256))
	m.Write(blob)
	m.Write(object.name)
	if !hmac.Equal(m.Sum(nil), mac) {
		return inParameter(1, tpm2.TPMRCIntegrity)
	}
	plain, err := cfb(tpm2.KDFa(crypto.SHA256, seed, "STORAGE", object.name, nil, 128), blob)
	if err != nil {
		return err
	}
	inner := cryptobyte.String(plain)
	var credential cryptobyte.String
	if !inner.ReadUint16LengthPrefixed(&credential) || !inner.Empty() {
		return inParameter(1, tpm2.TPMRCSize)
	}
	out.add2B(credential)
	return nil
}

// unwrap recovers the seed of a credential: by OAEP, or by a Diffie-Hellman
// exchange with the point that came (Part 1, B.10.4 and C.6.4).
func (o *primary) unwrap(secret []byte) ([]byte, error) {
	switch key := o.key.(type) {
	case *rsa.PrivateKey:
		return rsa.DecryptOAEP(sha256.New(), nil, key, secret, []byte("IDENTITY\x00"))
	case *ecdsa.PrivateKey:
		own, err := key.ECDH()
		if err != nil {
			return nil, err
		}
		s := cryptobyte.String(secret)
		var x, y cryptobyte.String
		if !s.ReadUint16LengthPrefixed(&x) || !s.ReadUint16LengthPrefixed(&y) || !s.Empty() {
			return nil, tpm2.TPMRCSize
		}
		peer, err := ecdh.P256().NewPublicKey(append(append([]byte{4}, x...), y...))
		if err != nil {
			return nil, err
		}
		z, err := own.ECDH(peer)
		if err != nil {
			return nil, err
		}
		return tpm2.KDFe(crypto.SHA256, z, "IDENTITY", x, own.PublicKey().Bytes()[1:33], 256), nil
	}
	return nil, tpm2.TPMRCType
}

// cfb decrypts AES in cipher feedback mode with a zero IV, as TPMs protect
// structures.
func cfb(key, in []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(in))
	feedback := make([]byte, aes.BlockSize)
	for i := range in {
		if i%aes.BlockSize == 0 {
			if i > 0 {
				copy(feedback, in[i-aes.BlockSize:i])
			}
			block.Encrypt(feedback, feedback)
		}
		out[i] = in[i] ^ feedback[i%aes.BlockSize]
	}
	return out, nil
}
