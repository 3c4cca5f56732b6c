package tpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// maxSignature is the longest TPMT_SIGNATURE that is read, in bytes: RSA-4096
// takes 518.
const maxSignature = 600

// A signature is a TPMT_SIGNATURE (Part 2, 11.3.4): ECDSA, RSASSA or RSAPSS.
type signature struct {
	scheme tpm2.TPMAlgID
	hash   crypto.Hash
	r, s   []byte // ECDSA
	rsa    []byte
}

// parseSignature reads a signature and nothing after it.
func parseSignature(b []byte) (*signature, error) {
	var scheme, hash uint16
	s := cryptobyte.String(b)
	if !s.ReadUint16(&scheme) || !s.ReadUint16(&hash) {
		return nil, errors.New("signature is cut short")
	}
	sig := &signature{scheme: tpm2.TPMAlgID(scheme)}
	var err error
	if sig.hash, err = hashOf(hash); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	var ok bool
	switch sig.scheme {
	case tpm2.TPMAlgECDSA:
		ok = s.ReadUint16LengthPrefixed((*cryptobyte.String)(&sig.r)) && s.ReadUint16LengthPrefixed((*cryptobyte.String)(&sig.s))
	case tpm2.TPMAlgRSASSA, tpm2.TPMAlgRSAPSS:
		ok = s.ReadUint16LengthPrefixed((*cryptobyte.String)(&sig.rsa))
	default:
		return nil, fmt.Errorf("signature scheme %#04x, want ECDSA, RSASSA or RSAPSS", scheme)
	}
	if !ok || !s.Empty() {
		return nil, errors.New("signature is cut short or has bytes after it")
	}
	return sig, nil
}

// verify checks a signature by a key that passed checkAK. Scheme and hash are
// the key's own; the signature does not choose.
func (s *signature) verify(ak *public, message []byte) error {
	if s.scheme != ak.scheme || s.hash != ak.hash {
		return fmt.Errorf("signature is by scheme %#04x with %v, the AK's is %#04x with %v", uint16(s.scheme), s.hash, uint16(ak.scheme), ak.hash)
	}
	d := s.hash.New()
	d.Write(message)
	digest := d.Sum(nil)
	switch key := ak.key.(type) {
	case *ecdsa.PublicKey:
		n := (key.Curve.Params().BitSize + 7) / 8
		if len(s.r) <= n && len(s.s) <= n && ecdsa.Verify(key, digest, new(big.Int).SetBytes(s.r), new(big.Int).SetBytes(s.s)) {
			return nil
		}
	case *rsa.PublicKey:
		if s.scheme == tpm2.TPMAlgRSASSA {
			return rsa.VerifyPKCS1v15(key, s.hash, digest, s.rsa)
		}
		// The salt is as long as the TPM's profile says: the hash, or what fits.
		return rsa.VerifyPSS(key, s.hash, digest, s.rsa, nil)
	}
	return errors.New("signature does not verify")
}
