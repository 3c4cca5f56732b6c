package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // thumbprints
	_ "crypto/sha512" // signatures with SHA-384 and SHA-512
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Bounds on a key set.
const (
	maxKeys    = 64
	minRSABits = 2048
	maxRSABits = 8192
	minRSAExp  = 65537
)

// A key is an issuer's public key, checked.
type key struct {
	kid        string // "" when the issuer names none
	algs       []string
	public     crypto.PublicKey
	thumbprint [32]byte // RFC 7638
	jwk        []byte   // public key, kid and alg as a JWK
}

// A jwk is the part of a JSON Web Key (RFC 7517) that we read. Certificates in
// it (x5c, x5u) are not looked at: the set is what we trust.
type jwk struct {
	Kty string   `json:"kty"`
	Use string   `json:"use"`
	Ops []string `json:"key_ops"`
	Alg string   `json:"alg"`
	Kid string   `json:"kid"`
	Crv string   `json:"crv"`
	N   string   `json:"n"`
	E   string   `json:"e"`
	X   string   `json:"x"`
	Y   string   `json:"y"`
	// D and K are private: an issuer that publishes one has lost it.
	D jsontext.Value `json:"d"`
	K jsontext.Value `json:"k"`
}

// parseJWKS reads a JWK Set (RFC 7517, 5): the keys that can verify one of the
// algorithms. Keys of other kinds, uses and algorithms are passed over, as the
// RFC asks. A key that should serve and cannot be trusted (short, off its curve,
// private, one name for two) spoils the whole set: an issuer that publishes it
// is not in order, and the last good set is better. Errors repeat nothing of
// the text but positions.
func parseJWKS(text []byte, algorithms []string) ([]*key, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("JWK set: %w", jsonFault(err))
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("JWK set of %d keys, want at most %d", len(set.Keys), maxKeys)
	}
	var keys []*key
	for i, j := range set.Keys {
		k, err := j.key(algorithms)
		if err != nil {
			return nil, fmt.Errorf("key %d of the JWK set: %w", i, err)
		}
		if k == nil {
			continue
		}
		if slices.ContainsFunc(keys, func(o *key) bool { return o.kid == k.kid && o.kid != "" }) {
			return nil, fmt.Errorf("key %d of the JWK set: its kid names another key too", i)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("JWK set of %d keys, none of which verifies %v", len(set.Keys), algorithms)
	}
	return keys, nil
}

// key checks one key; nil if it is not for us.
func (j jwk) key(algorithms []string) (*key, error) {
	if j.D != nil || j.K != nil {
		return nil, errors.New("it is private or symmetric, and published")
	}
	algs := slices.DeleteFunc(j.algorithms(), func(a string) bool { return !slices.Contains(algorithms, a) })
	if len(algs) == 0 {
		return nil, nil
	}
	if j.Kid != "" {
		if err := plain(j.Kid, maxKeyID); err != nil {
			return nil, errors.New("its kid is too long, or holds control characters")
		}
	}
	public, err := j.public()
	if err != nil {
		return nil, err
	}
	out := jose.JSONWebKey{Key: public, KeyID: j.Kid, Algorithm: j.Alg}
	sum, err := out.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, errors.New("it has no thumbprint")
	}
	text, err := out.MarshalJSON()
	if err != nil {
		return nil, errors.New("it has no JSON form")
	}
	return &key{kid: j.Kid, algs: algs, public: public, thumbprint: [32]byte(sum), jwk: text}, nil
}

// algorithms returns what a key of this kind, use and alg verifies; none for a
// kind that we do not know.
func (j jwk) algorithms() []string {
	if j.Use != "" && j.Use != "sig" && j.Use != "jwt-svid" || j.Ops != nil && !slices.Contains(j.Ops, "verify") {
		return nil
	}
	var algs []string
	switch j.Kty + " " + j.Crv {
	case "RSA ":
		algs = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case "EC P-256":
		algs = []string{"ES256"}
	case "EC P-384":
		algs = []string{"ES384"}
	case "EC P-521":
		algs = []string{"ES512"}
	case "OKP Ed25519":
		algs = []string{"EdDSA"}
	}
	if j.Alg != "" {
		algs = slices.DeleteFunc(algs, func(a string) bool { return a != j.Alg })
	}
	return algs
}

// public decodes the key itself. go-jose does it, from the five members that
// are the key and no others; it checks that a point is on its curve.
func (j jwk) public() (crypto.PublicKey, error) {
	for _, member := range []string{j.N, j.E, j.X, j.Y} {
		b, err := base64url.DecodeString(member)
		if err != nil {
			return nil, errors.New("n, e, x or y is not canonical base64url")
		}
		if len(b) > maxRSABits/8 {
			return nil, fmt.Errorf("n, e, x or y of %d bits, want at most %d", 8*len(b), maxRSABits)
		}
	}
	if e, _ := base64url.DecodeString(j.E); len(e) > 4 {
		return nil, errors.New("RSA exponent of more than 32 bits")
	}
	text, err := json.Marshal(map[string]string{"kty": j.Kty, "crv": j.Crv, "n": j.N, "e": j.E, "x": j.X, "y": j.Y})
	if err != nil {
		return nil, err
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(text); err != nil {
		return nil, errors.New("it is no valid public key, or its point is not on its curve")
	}
	return k.Key, strong(k.Key)
}

func strong(public crypto.PublicKey) error {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("RSA key of %d bits, want %d to %d", bits, minRSABits, maxRSABits)
		}
		if k.E < minRSAExp || k.E%2 == 0 {
			return fmt.Errorf("RSA exponent %d, want an odd one of at least %d", k.E, minRSAExp)
		}
		return nil
	case *ecdsa.PublicKey:
		// ECDH re-reads the point, and refuses infinity.
		if _, err := k.ECDH(); err != nil {
			return errors.New("its point is not on its curve")
		}
		return nil
	case ed25519.PublicKey:
		return nil
	}
	return errors.New("a kind of key that we do not know")
}
