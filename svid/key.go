package svid

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
)

// spki returns the SubjectPublicKeyInfo of a key that an SVID may certify:
// ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits with the
// exponent 65537. Points off the curve, the point at infinity and the Ed25519
// points of small order, for which anyone can sign, are refused.
func spki(public crypto.PublicKey) ([]byte, error) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k == nil || k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			return nil, errors.New("ECDSA key is not on P-256 or P-384")
		}
		if _, err := k.ECDH(); err != nil { // checks the point
			return nil, errors.New("ECDSA key is not a point of its curve")
		}
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("Ed25519 key has %d bytes, want %d", len(k), ed25519.PublicKeySize)
		}
		if smallOrder(k) {
			return nil, errors.New("Ed25519 key is a point of small order")
		}
	case *rsa.PublicKey:
		if k == nil || k.N == nil {
			return nil, errors.New("RSA key is empty")
		}
		if n := k.N.BitLen(); n < 2048 || n > 4096 || k.N.Bit(0) == 0 || k.N.Sign() < 0 {
			return nil, fmt.Errorf("RSA modulus of %d bits: want an odd one of 2048 to 4096", n)
		}
		if k.E != 65537 {
			return nil, fmt.Errorf("RSA key has the exponent %d, want 65537", k.E)
		}
	default:
		return nil, fmt.Errorf("key of type %T: want ECDSA on P-256 or P-384, Ed25519 or RSA", public)
	}
	return x509.MarshalPKIXPublicKey(public)
}

// parseSPKI is the strict inverse of spki: one key, one encoding.
func parseSPKI(b []byte) (crypto.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(b)
	if err != nil {
		return nil, fmt.Errorf("subject public key: %w", err)
	}
	again, err := spki(public)
	if err != nil {
		return nil, fmt.Errorf("subject public key: %w", err)
	}
	if !bytes.Equal(again, b) {
		return nil, errors.New("subject public key is not DER")
	}
	return public, nil
}

// smallOrders are the encodings of the points of order 1, 2, 4 and 8 of
// edwards25519, sign bit cleared, including those that are not canonical.
var smallOrders = func() (table [7][32]byte) {
	for i, s := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		if n, err := hex.Decode(table[i][:], []byte(s)); n != 32 || err != nil {
			panic("svid: internal error: table of small orders")
		}
	}
	return table
}()

func smallOrder(k ed25519.PublicKey) bool {
	b := [32]byte(k)
	b[31] &= 0x7f
	for _, s := range smallOrders {
		if b == s {
			return true
		}
	}
	return false
}
