package oidc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/netip"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// members returns the members of a good P-256 JWK, with changes; nil leaves one
// out.
func members(t testing.TB, changes map[string]any) map[string]any {
	t.Helper()
	text, err := newKey(t).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	maps.Copy(m, changes)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	return m
}

func jwks(t testing.TB, keys ...map[string]any) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// rsaMembers returns an RSA JWK of a modulus of so many bits that was never
// made of primes: only its size is looked at.
func rsaMembers(bits int, e int64) map[string]any {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	n.SetBit(n, 0, 1)
	b64 := base64.RawURLEncoding.EncodeToString
	return map[string]any{"kty": "RSA", "kid": "r", "n": b64(n.Bytes()), "e": b64(big.NewInt(e).Bytes())}
}

func TestJWKSRules(t *testing.T) {
	t.Parallel()
	b64 := base64.RawURLEncoding.EncodeToString
	zero := b64(make([]byte, 32))
	many := func(n int) (keys []map[string]any) {
		for i := range n {
			keys = append(keys, members(t, map[string]any{"kid": fmt.Sprint(i)}))
		}
		return keys
	}
	odd := rsaMembers(2048, 65537)
	odd["e"] = b64([]byte{1, 0, 0, 0, 1})
	small := members(t, map[string]any{"kid": "P"})
	for name, c := range map[string]struct {
		text []byte
		keys int // 0: the set is refused
	}{
		"good":                                  {jwks(t, members(t, nil)), 1},
		"64 keys":                               {jwks(t, many(64)...), 64},
		"O9 65 keys":                            {jwks(t, many(65)...), 0},
		"no keys":                               {jwks(t), 0},
		"keys absent":                           {[]byte(`{}`), 0},
		"keys null":                             {[]byte(`{"keys":null}`), 0},
		"keys an object":                        {[]byte(`{"keys":{}}`), 0},
		"not JSON":                              {[]byte(`<html>`), 0},
		"keys twice":                            {[]byte(`{"keys":[],"keys":[]}`), 0},
		"cut":                                   {jwks(t, members(t, nil))[:50], 0},
		"trailing":                              {append(jwks(t, members(t, nil)), '1'), 0},
		"unknown members are passed over":       {jwks(t, members(t, map[string]any{"x5c": []string{"!"}, "x5t": "!", "nbf": 1})), 1},
		"unknown kty is passed over":            {jwks(t, members(t, nil), map[string]any{"kty": "LWE"}), 1},
		"unknown curve is passed over":          {jwks(t, members(t, nil), members(t, map[string]any{"crv": "secp256k1", "kid": "b"})), 1},
		"use enc is passed over":                {jwks(t, members(t, nil), members(t, map[string]any{"use": "enc"})), 1},
		"use jwt-svid":                          {jwks(t, members(t, map[string]any{"use": "jwt-svid"})), 1},
		"use absent":                            {jwks(t, members(t, map[string]any{"use": nil, "alg": nil})), 1},
		"key_ops verify":                        {jwks(t, members(t, map[string]any{"key_ops": []string{"verify"}})), 1},
		"key_ops encrypt is passed over":        {jwks(t, members(t, nil), members(t, map[string]any{"key_ops": []string{"encrypt"}})), 1},
		"key_ops empty is passed over":          {jwks(t, members(t, nil), members(t, map[string]any{"key_ops": []string{}})), 1},
		"alg not allowed is passed over":        {jwks(t, members(t, nil), rsaMembers(2048, 65537)), 2},
		"alg of another curve is passed over":   {jwks(t, members(t, nil), members(t, map[string]any{"alg": "ES384"})), 1},
		"only passed over":                      {jwks(t, members(t, map[string]any{"use": "enc"})), 0},
		"one kid for two keys":                  {jwks(t, members(t, nil), members(t, nil)), 0},
		"kids that differ in case":              {jwks(t, members(t, map[string]any{"kid": "p"}), small), 2},
		"two keys without kid":                  {jwks(t, members(t, map[string]any{"kid": nil}), members(t, map[string]any{"kid": nil})), 2},
		"kid of 256 bytes":                      {jwks(t, members(t, map[string]any{"kid": strings.Repeat("k", 256)})), 0},
		"kid with an escape":                    {jwks(t, members(t, map[string]any{"kid": "\x1b[2J"})), 0},
		"kid number":                            {jwks(t, members(t, map[string]any{"kid": 1})), 0},
		"kty absent is passed over":             {jwks(t, members(t, nil), members(t, map[string]any{"kty": nil})), 1},
		"private key published":                 {jwks(t, members(t, map[string]any{"d": zero})), 0},
		"private key published, null":           {jwks(t, members(t, map[string]any{"d": json.RawMessage("null")})), 0},
		"symmetric key published":               {jwks(t, members(t, nil), map[string]any{"kty": "oct", "k": zero}), 0},
		"O9 point off its curve":                {jwks(t, members(t, map[string]any{"x": zero})), 0},
		"O9 point at 0,0":                       {jwks(t, members(t, map[string]any{"x": zero, "y": zero})), 0},
		"x of 33 bytes":                         {jwks(t, members(t, map[string]any{"x": b64(make([]byte, 33))})), 0},
		"x absent":                              {jwks(t, members(t, map[string]any{"x": nil})), 0},
		"x padded":                              {jwks(t, members(t, map[string]any{"x": zero + "="})), 0},
		"x with a line break":                   {jwks(t, members(t, map[string]any{"x": zero[:10] + "\n" + zero[10:]})), 0},
		"RSA 2048":                              {jwks(t, rsaMembers(2048, 65537)), 1},
		"RSA 8192":                              {jwks(t, rsaMembers(8192, 65537)), 1},
		"O9 RSA 512":                            {jwks(t, rsaMembers(512, 65537)), 0},
		"RSA 2047":                              {jwks(t, rsaMembers(2047, 65537)), 0},
		"RSA 8193":                              {jwks(t, rsaMembers(8193, 65537)), 0},
		"O9 RSA 65536":                          {jwks(t, rsaMembers(65536, 65537)), 0},
		"O9 RSA e=1":                            {jwks(t, rsaMembers(2048, 1)), 0},
		"RSA e=3":                               {jwks(t, rsaMembers(2048, 3)), 0},
		"RSA e even":                            {jwks(t, rsaMembers(2048, 65538)), 0},
		"RSA e of 33 bits":                      {jwks(t, odd), 0},
		"RSA n absent":                          {jwks(t, map[string]any{"kty": "RSA", "e": "AQAB"}), 0},
		"a bad key spoils the good one with it": {jwks(t, members(t, nil), rsaMembers(512, 65537)), 0},
	} {
		keys, err := parseJWKS(c.text, []string{"RS256", "ES256"})
		if len(keys) != c.keys || (err != nil) != (c.keys == 0) {
			t.Errorf("%s: %d keys, %v; want %d", name, len(keys), err, c.keys)
		}
	}
	if _, err := parseJWKS(jwks(t, rsaMembers(2048, 65537)), []string{"ES256"}); err == nil {
		t.Error("a set without a key for the allowed algorithms was taken")
	}
}

func TestEachKindOfKey(t *testing.T) {
	t.Parallel()
	ed, _, _ := ed25519.GenerateKey(rand.Reader)
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := []jose.JSONWebKey{{Key: ed}, {Key: r.Public()}}
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, jose.JSONWebKey{Key: k.Public()})
	}
	want := []string{"[EdDSA]", "[RS256 RS384 RS512 PS256 PS384 PS512]", "[ES256]", "[ES384]", "[ES512]"}
	for i, k := range keys {
		text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{k}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseJWKS(text, algorithms)
		if err != nil || fmt.Sprint(got[0].algs) != want[i] {
			t.Errorf("%T: %v, %v", k.Key, got, err)
			continue
		}
		if again, err := parseJWKS([]byte(`{"keys":[`+string(got[0].jwk)+`]}`), algorithms); err != nil || again[0].thumbprint != got[0].thumbprint {
			t.Errorf("%T: archived JWK %s: %v", k.Key, got[0].jwk, err)
		}
	}
}

// The errors of a set go to whoever sent a token: they hold nothing of it.
func TestJWKSErrorsRepeatNothing(t *testing.T) {
	t.Parallel()
	const secret = "SECRET"
	for _, text := range []string{
		secret, `{"` + secret + `":1,"` + secret + `":1}`, `{"keys":[{"` + secret + `":}]}`, `{"keys":"` + secret + `"}`, `{"keys":[{"kty":["` + secret + `"]}]}`,
		string(jwks(t, members(t, map[string]any{"kid": strings.Repeat(secret, 50)}))), string(jwks(t, members(t, map[string]any{"x": secret}))),
		string(jwks(t, members(t, map[string]any{"kid": secret}), members(t, map[string]any{"kid": secret}))),
	} {
		if _, err := parseJWKS([]byte(text), algorithms); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestDials(t *testing.T) {
	t.Parallel()
	public, private, plain := Issuer{URL: "https://a"}, Issuer{URL: "https://a", PrivateNetwork: true}, Issuer{URL: "http://127.0.0.1", InsecureHTTP: true}
	for address, want := range map[string][3]bool{ // public, private network, insecure http
		"8.8.8.8":                {true, true, false},
		"2606:4700::1":           {true, true, false},
		"10.1.2.3":               {false, true, false},
		"192.168.0.1":            {false, true, false},
		"172.16.0.1":             {false, true, false},
		"100.64.0.1":             {false, true, false},
		"fd00::1":                {false, true, false},
		"127.0.0.1":              {false, true, true},
		"127.9.9.9":              {false, true, true},
		"::1":                    {false, true, true},
		"::ffff:127.0.0.1":       {false, true, true},
		"::ffff:10.0.0.1":        {false, true, false},
		"::ffff:169.254.169.254": {},
		"169.254.169.254":        {},
		"fe80::1":                {},
		"0.0.0.0":                {},
		"0.1.2.3":                {},
		"::":                     {},
		"::7f00:1":               {},
		"64:ff9b::7f00:1":        {},
		"2002:7f00:1::":          {},
		"2001:0:7f00:1::":        {},
		"224.0.0.1":              {},
		"ff02::1":                {},
		"255.255.255.255":        {},
		"240.0.0.1":              {},
		"198.18.0.1":             {},
		"192.0.0.8":              {},
	} {
		for i, issuer := range []Issuer{public, private, plain} {
			err := issuer.dials("tcp", netip.AddrPortFrom(netip.MustParseAddr(address), 443).String(), nil)
			if (err == nil) != want[i] {
				t.Errorf("%s, issuer %d: %v, want %v", address, i, err, want[i])
			}
		}
	}
	if private.dials("unix", "/run/x", nil) == nil {
		t.Error("dialled a socket")
	}
}

// Folding agrees with encoding/json, whose reading go-oidc's is.
func TestFoldIsEncodingJSONs(t *testing.T) {
	t.Parallel()
	for r := rune(1); r < 0x20000; r++ {
		if r >= 0xd800 && r < 0xe000 {
			continue
		}
		if got, want := fold(string(r)) == "s", bytes.EqualFold([]byte(string(r)), []byte("s")); got != want {
			t.Errorf("%U folds like s: %v, want %v", r, got, want)
		}
		if got, want := fold(string(r)) == "k", bytes.EqualFold([]byte(string(r)), []byte("k")); got != want {
			t.Errorf("%U folds like k: %v, want %v", r, got, want)
		}
	}
}
