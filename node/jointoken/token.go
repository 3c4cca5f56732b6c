package jointoken

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json/v2"
	"errors"
	"strings"

	"plastron/node"
)

// prefix makes a token recognisable, to people and to scanners for secrets.
const prefix = "plastron-join-v1."

var errToken = errors.New("join token: want " + prefix + " and 43 characters of base64url")

// NewToken makes a token and its public key. The text is the secret: hand it to
// the node, and log the key.
func NewToken() (token string, pub ed25519.PublicKey, err error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", nil, err
	}
	return prefix + base64.RawURLEncoding.EncodeToString(key.Seed()), pub, nil
}

// Attest is the node's side: evidence that the holder of a token asks for bind.
// Errors never repeat the token.
func Attest(token string, bind [32]byte) (node.Evidence, error) {
	key, err := seed(token)
	if err != nil {
		return node.Evidence{}, err
	}
	data, err := json.Marshal(evidence{
		PublicKey: key.Public().(ed25519.PublicKey),
		Signature: ed25519.Sign(key, message(bind)),
	})
	if err != nil {
		return node.Evidence{}, err
	}
	return node.Evidence{Kind: Kind, Data: data}, nil
}

func seed(token string) (ed25519.PrivateKey, error) {
	text, ok := strings.CutPrefix(token, prefix)
	if !ok {
		return nil, errToken
	}
	seed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(seed) != ed25519.SeedSize || base64.RawURLEncoding.EncodeToString(seed) != text {
		return nil, errToken
	}
	return ed25519.NewKeyFromSeed(seed), nil
}
