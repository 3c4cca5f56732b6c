package tpm

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json/v2"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"plastron/node"
)

// BenchmarkVerify is the whole of Verify, decoding included, beside the bare
// signature check that nothing can be faster than, in the same run.
func BenchmarkVerify(b *testing.B) {
	for _, kind := range []struct {
		name string
		ak   AK
	}{{"ECDSA", ECDSA}, {"RSASSA", RSASSA}, {"RSAPSS", RSAPSS}} {
		s := newSample(b, kind.ak)
		ak := must(parsePublic(s.evidence.AKPublic))(b)
		sig := must(parseSignature(s.evidence.Signature))(b)
		b.Run(kind.name+"/quote", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.verifier.Verify(b.Context(), node.Evidence{Kind: Kind, Data: s.data}, s.bind, s.enrolment, s.now); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(kind.name+"/signature", func(b *testing.B) {
			check := bare(b, ak, sig, s.evidence.Attest)
			for b.Loop() {
				if !check() {
					b.Fatal("signature does not verify")
				}
			}
		})
		b.Run(kind.name+"/go-tpm", func(b *testing.B) { // reading alone, by reflection
			for b.Loop() {
				for _, err := range []error{
					second(tpm2.Unmarshal[tpm2.TPMTPublic](s.evidence.AKPublic)),
					second(tpm2.Unmarshal[tpm2.TPMTSignature](s.evidence.Signature)),
					second(tpm2.Unmarshal[tpm2.TPMSAttest](s.evidence.Attest)),
				} {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run(kind.name+"/by hand", func(b *testing.B) {
			for b.Loop() {
				for _, err := range []error{
					second(parsePublic(s.evidence.AKPublic)),
					second(parseSignature(s.evidence.Signature)),
					second(parseAttest(s.evidence.Attest)),
				} {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

func bare(b *testing.B, ak *public, sig *signature, message []byte) func() bool {
	digest := sha256.Sum256(message)
	switch key := ak.key.(type) {
	case *ecdsa.PublicKey:
		var builder cryptobyte.Builder
		builder.AddASN1(asn1.SEQUENCE, func(c *cryptobyte.Builder) {
			for _, n := range [][]byte{sig.r, sig.s} {
				for len(n) > 1 && n[0] == 0 {
					n = n[1:]
				}
				if n[0]&0x80 != 0 {
					n = append([]byte{0}, n...)
				}
				c.AddASN1(asn1.INTEGER, func(c *cryptobyte.Builder) { c.AddBytes(n) })
			}
		})
		der := builder.BytesOrPanic()
		return func() bool { return ecdsa.VerifyASN1(key, digest[:], der) }
	case *rsa.PublicKey:
		if sig.scheme == tpm2.TPMAlgRSASSA {
			return func() bool { return rsa.VerifyPKCS1v15(key, sig.hash, digest[:], sig.rsa) == nil }
		}
		return func() bool { return rsa.VerifyPSS(key, sig.hash, digest[:], sig.rsa, nil) == nil }
	}
	b.Fatalf("key %T", ak.key)
	return nil
}

func BenchmarkChallenge(b *testing.B) {
	s := newSample(b, ECDSA)
	request := must(json.Marshal(s.request))(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.verifier.Challenge(b.Context(), request, s.bind, s.now); err != nil {
			b.Fatal(err)
		}
	}
}
