package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
)

type key struct {
	kid     string
	alg     jose.SignatureAlgorithm
	private crypto.Signer
}

// Rotate makes an ES256 key, publishes it, and signs by it from now on. It
// returns the key's id. Old keys stay published unless [Issuer.KeepOld] says
// otherwise.
func (i *Issuer) Rotate() string { return i.RotateTo("ES256") }

// RotateTo is Rotate with another algorithm: RS256, PS256, ES256, ES384, ES512,
// EdDSA and their kin. It panics on one that it does not know.
func (i *Issuer) RotateTo(algorithm string) string {
	private, err := generate(algorithm)
	if err != nil {
		panic("oidctest: " + err.Error())
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keyNumber++
	k := &key{kid: fmt.Sprintf("key-%d", i.keyNumber), alg: jose.SignatureAlgorithm(algorithm), private: private}
	if !i.keepOld {
		i.keys = nil
	}
	i.keys, i.signing = append(i.keys, k), k
	return k.kid
}

// KeepOld says whether Rotate leaves older keys published, as it does at first.
func (i *Issuer) KeepOld(keep bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keepOld = keep
}

// Withdraw publishes a key no longer. If it is the newest, tokens are still
// signed by it.
func (i *Issuer) Withdraw(kid string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = slices.DeleteFunc(i.keys, func(k *key) bool { return k.kid == kid })
}

func generate(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "EdDSA":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("no key for algorithm %q", algorithm)
}

// sign signs bytes as they are: go-jose's own signer would make the header.
func (k *key) sign(header, payload []byte) string {
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64(header) + "." + b64(payload)
	signature, err := cryptosigner.Opaque(k.private).SignPayload([]byte(input), k.alg)
	if err != nil {
		panic("oidctest: sign: " + err.Error())
	}
	return input + "." + b64(signature)
}
