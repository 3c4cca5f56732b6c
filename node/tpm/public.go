package tpm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
)

// maxPublic is the longest public area that is read, in bytes: RSA-4096 with a
// SHA-512 policy takes 600.
const maxPublic = 1024

// Object attributes (TPMA_OBJECT, TPM 2.0 Part 2, 8.3).
const (
	fixedTPM             = 1 << 1
	fixedParent          = 1 << 4
	sensitiveDataOrigin  = 1 << 5
	encryptedDuplication = 1 << 11
	restricted           = 1 << 16
	decrypt              = 1 << 17
	signs                = 1 << 18

	definedAttributes = 1<<1 | 1<<2 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<10 | 1<<11 | 1<<16 | 1<<17 | 1<<18 | 1<<19

	// An EK and an AK were made inside their TPM and cannot leave it; restricted,
	// a signing key signs nothing that begins like a TPM's own statement unless
	// it is one, and a decryption key only what protects a TPM's objects.
	residentMask = fixedTPM | fixedParent | sensitiveDataOrigin | encryptedDuplication | restricted | decrypt | signs
	ekAttributes = fixedTPM | fixedParent | sensitiveDataOrigin | restricted | decrypt
	akAttributes = fixedTPM | fixedParent | sensitiveDataOrigin | restricted | signs
)

// A public is a key as its TPM describes it (TPMT_PUBLIC, Part 2, 12.2.4), read
// by hand: RSA or ECC, nothing else. Its name commits to every byte of it.
type public struct {
	raw        []byte
	name       []byte // nameAlg || digest of raw under it: what the TPM calls the key
	attributes uint32
	storage    bool          // it has a symmetric algorithm, to protect structures with
	scheme     tpm2.TPMAlgID // TPM_ALG_NULL: not fixed
	hash       crypto.Hash   // the scheme's; 0 for none
	key        crypto.PublicKey
}

// parsePublic reads a public area and nothing after it.
func parsePublic(b []byte) (*public, error) {
	if len(b) > maxPublic {
		return nil, fmt.Errorf("public area of %d bytes, want at most %d", len(b), maxPublic)
	}
	p := &public{raw: b}
	s := cryptobyte.String(b)
	var kind, nameAlg uint16
	var policy cryptobyte.String
	if !s.ReadUint16(&kind) || !s.ReadUint16(&nameAlg) || !s.ReadUint32(&p.attributes) || !s.ReadUint16LengthPrefixed(&policy) {
		return nil, errors.New("public area is cut short")
	}
	if p.attributes&^uint32(definedAttributes) != 0 {
		return nil, fmt.Errorf("public area has reserved attributes %#08x", p.attributes)
	}
	if err := p.readKey(&s, tpm2.TPMAlgID(kind)); err != nil {
		return nil, fmt.Errorf("public area: %w", err)
	}
	if !s.Empty() {
		return nil, fmt.Errorf("%d bytes after the public area", len(s))
	}
	h, err := hashOf(nameAlg)
	if err != nil {
		return nil, fmt.Errorf("public area: name: %w", err)
	}
	d := h.New()
	d.Write(b)
	p.name = d.Sum([]byte{byte(nameAlg >> 8), byte(nameAlg)})
	return p, nil
}

func (p *public) readKey(s *cryptobyte.String, kind tpm2.TPMAlgID) error {
	if !p.readSymmetric(s) || !p.readScheme(s) {
		return errors.New("symmetric algorithm or scheme is none that an EK or AK has")
	}
	switch kind {
	case tpm2.TPMAlgRSA:
		return p.readRSA(s)
	case tpm2.TPMAlgECC:
		return p.readECC(s)
	}
	return fmt.Errorf("key type %#04x, want RSA or ECC", uint16(kind))
}

// readSymmetric reads a TPMT_SYM_DEF_OBJECT: none, or AES in CFB mode as a storage
// key protects structures with.
func (p *public) readSymmetric(s *cryptobyte.String) bool {
	var alg, bits, mode uint16
	if !s.ReadUint16(&alg) {
		return false
	}
	if tpm2.TPMAlgID(alg) == tpm2.TPMAlgNull {
		return true
	}
	p.storage = true
	return tpm2.TPMAlgID(alg) == tpm2.TPMAlgAES &&
		s.ReadUint16(&bits) && (bits == 128 || bits == 256) &&
		s.ReadUint16(&mode) && tpm2.TPMAlgID(mode) == tpm2.TPMAlgCFB
}

// readScheme reads a TPMT_RSA_SCHEME or TPMT_ECC_SCHEME of those that an EK or
// an AK may have.
func (p *public) readScheme(s *cryptobyte.String) bool {
	var scheme, hash uint16
	if !s.ReadUint16(&scheme) {
		return false
	}
	switch p.scheme = tpm2.TPMAlgID(scheme); p.scheme {
	case tpm2.TPMAlgNull:
		return true
	case tpm2.TPMAlgRSASSA, tpm2.TPMAlgRSAPSS, tpm2.TPMAlgECDSA:
		if !s.ReadUint16(&hash) {
			return false
		}
		h, err := hashOf(hash)
		p.hash = h
		return err == nil
	}
	return false
}

func (p *public) readRSA(s *cryptobyte.String) error {
	var bits uint16
	var exponent uint32
	var modulus cryptobyte.String
	if !s.ReadUint16(&bits) || !s.ReadUint32(&exponent) || !s.ReadUint16LengthPrefixed(&modulus) {
		return errors.New("RSA key is cut short")
	}
	if bits != 2048 && bits != 3072 && bits != 4096 {
		return fmt.Errorf("RSA key of %d bits, want 2048, 3072 or 4096", bits)
	}
	if exponent != 0 && exponent != 65537 { // "zero indicates that the exponent is the default of 2^16 + 1"
		return fmt.Errorf("RSA exponent %d, want 65537", exponent)
	}
	if len(modulus) != int(bits)/8 || modulus[0]&0x80 == 0 || modulus[len(modulus)-1]&1 == 0 {
		return fmt.Errorf("RSA modulus is not an odd number of %d bits", bits)
	}
	p.key = &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}
	return nil
}

func (p *public) readECC(s *cryptobyte.String) error {
	var id, kdf uint16
	var x, y cryptobyte.String
	if !s.ReadUint16(&id) || !s.ReadUint16(&kdf) {
		return errors.New("ECC key is cut short")
	}
	if tpm2.TPMAlgID(kdf) != tpm2.TPMAlgNull {
		return fmt.Errorf("key derivation %#04x, want none", kdf)
	}
	if !s.ReadUint16LengthPrefixed(&x) || !s.ReadUint16LengthPrefixed(&y) {
		return errors.New("ECC point is cut short")
	}
	var curve elliptic.Curve
	switch tpm2.TPMECCCurve(id) {
	case tpm2.TPMECCNistP256:
		curve = elliptic.P256()
	case tpm2.TPMECCNistP384:
		curve = elliptic.P384()
	default:
		return fmt.Errorf("curve %#04x, want P-256 or P-384", id)
	}
	n := (curve.Params().BitSize + 7) / 8
	if len(x) > n || len(y) > n {
		return fmt.Errorf("ECC coordinates of %d and %d bytes, want %d", len(x), len(y), n)
	}
	point := make([]byte, 1+2*n)
	point[0] = 4
	copy(point[1+n-len(x):], x)
	copy(point[1+2*n-len(y):], y)
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	p.key = key
	return err
}

// checkEK refuses a key that cannot be an endorsement key.
func (p *public) checkEK() error {
	if p.attributes&residentMask != ekAttributes {
		return fmt.Errorf("EK attributes %#08x: want fixedTPM, fixedParent, sensitiveDataOrigin, restricted and decrypt, not sign", p.attributes)
	}
	if !p.storage || p.scheme != tpm2.TPMAlgNull {
		return errors.New("EK is not a storage key: want AES and no scheme")
	}
	return nil
}

// checkAK refuses a key whose signature under a quote would mean nothing. It is
// asked at every quote: credential activation shows that a key is in the TPM of
// an EK, not that it is restricted, and an unrestricted key signs a quote that
// no TPM made.
func (p *public) checkAK() error {
	if p.attributes&residentMask != akAttributes {
		return fmt.Errorf("AK attributes %#08x: want fixedTPM, fixedParent, sensitiveDataOrigin, restricted and sign, not decrypt", p.attributes)
	}
	if p.storage {
		return errors.New("AK has a symmetric algorithm")
	}
	switch p.key.(type) {
	case *ecdsa.PublicKey:
		if p.scheme == tpm2.TPMAlgECDSA {
			return nil
		}
	case *rsa.PublicKey:
		if p.scheme == tpm2.TPMAlgRSASSA || p.scheme == tpm2.TPMAlgRSAPSS {
			return nil
		}
	}
	return fmt.Errorf("AK scheme %#04x: want ECDSA, RSASSA or RSAPSS, as its key is", uint16(p.scheme))
}

// is reports whether the area describes a key.
func (p *public) is(key crypto.PublicKey) bool {
	k, ok := p.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(key)
}

func (p *public) named(name []byte) bool { return bytes.Equal(p.name, name) }

// hashOf returns the hash of a TPM algorithm number: the SHA-2 family from 256
// bits on. SHA-1 is not in it.
func hashOf(alg uint16) (crypto.Hash, error) {
	switch tpm2.TPMAlgID(alg) {
	case tpm2.TPMAlgSHA256:
		return crypto.SHA256, nil
	case tpm2.TPMAlgSHA384:
		return crypto.SHA384, nil
	case tpm2.TPMAlgSHA512:
		return crypto.SHA512, nil
	}
	return 0, fmt.Errorf("hash algorithm %#04x, want SHA-256, SHA-384 or SHA-512", alg)
}
