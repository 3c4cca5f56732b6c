package tpm_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json/v2"
	"fmt"
	"math/big"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plastron/node"
	"plastron/node/tpm"
	"plastron/node/tpm/tpmtest"
)

// The genuine stranger: a TPM of the same vendor that is not ours. It gets no
// challenge, and an answer that it makes up enrols nothing.
func TestStrangerRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	d := open(t, newTPM(t, s.ca), tpm.ECDSA)
	r := request(t, d)
	_, err := s.verifier.Challenge(t.Context(), r, s.bind, s.now)
	wants(t, err, node.NotEnrolled, "not in the inventory")
	fact, err := s.verifier.Enrol(t.Context(), r, []byte(`{"secret":""}`), s.bind, s.now)
	wants(t, err, node.NotEnrolled, "not in the inventory")
	if fact != nil {
		t.Errorf("enrolled %+v", fact)
	}
	empty := verifier(t, s.config)
	_, err = empty.Challenge(t.Context(), request(t, s.device), s.bind, s.now)
	wants(t, err, node.NotEnrolled, "not in the inventory")
	_, err = new(tpm.Verifier).Challenge(t.Context(), request(t, s.device), s.bind, s.now)
	wants(t, err, node.NotEnrolled, "not in the inventory")
}

func TestEnrolRequestRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	other := open(t, newTPM(t, s.ca), tpm.ECDSA)
	theirs := request(t, other)
	good := request(t, s.device)
	member := func(name string, f func([]byte) []byte) func(*testing.T) []byte {
		return func(t *testing.T) []byte { return message(t, good, name, f) }
	}
	text := func(f func(string) string) func(*testing.T) []byte {
		return func(*testing.T) []byte { return []byte(f(string(good))) }
	}
	for _, tt := range []struct {
		name    string
		request func(*testing.T) []byte
		code    node.Code
		says    string
	}{
		{"EK of another TPM than the certificate's", func(t *testing.T) []byte {
			return message(t, good, "ek_public", func([]byte) []byte { return part(t, theirs, "ek_public") })
		}, node.BadAnchor, "another key than the EK"},
		{"AK in place of the EK", func(t *testing.T) []byte {
			return message(t, good, "ek_public", func([]byte) []byte { return part(t, good, "ak_public") })
		}, node.BadAnchor, "EK attributes"},
		{"EK that is not restricted", member("ek_public", func(b []byte) []byte { b[5] &^= 1; return b }), node.BadAnchor, "EK attributes"},
		{"EK that signs", member("ek_public", func(b []byte) []byte { b[5] |= 4; return b }), node.BadAnchor, "EK attributes"},
		{"EK that is not fixed to its TPM", member("ek_public", func(b []byte) []byte { b[7] &^= 2; return b }), node.BadAnchor, "EK attributes"},
		{"EK without a symmetric algorithm", member("ek_public", splice(42, 6, 0, 0x10)), node.BadAnchor, "not a storage key"},
		{"EK with a scheme", member("ek_public", splice(48, 2, 0, 0x18, 0, 0x0b)), node.BadAnchor, "not a storage key"},
		{"AK with a symmetric algorithm", member("ak_public", splice(10, 2, 0, 6, 0, 128, 0, 0x43)), node.BadAnchor, "AK has a symmetric algorithm"},
		{"EK with a trailing byte", member("ek_public", func(b []byte) []byte { return append(b, 0) }), node.Malformed, "after the public area"},
		{"EK named by SHA-1", member("ek_public", func(b []byte) []byte { b[3] = 4; return b }), node.Malformed, "hash algorithm 0x0004"},
		{"EK cut short", member("ek_public", func(b []byte) []byte { return b[:len(b)-1] }), node.Malformed, "ek_public"},
		{"AK that is not restricted", member("ak_public", func(b []byte) []byte { b[5] &^= 1; return b }), node.BadAnchor, "AK attributes"},
		{"AK that decrypts", member("ak_public", func(b []byte) []byte { b[5] |= 2; return b }), node.BadAnchor, "AK attributes"},
		{"AK that is not fixed to its TPM", member("ak_public", func(b []byte) []byte { b[7] &^= 2; return b }), node.BadAnchor, "AK attributes"},
		{"AK made outside the TPM", member("ak_public", func(b []byte) []byte { b[7] &^= 0x20; return b }), node.BadAnchor, "AK attributes"},
		{"AK that can be duplicated", member("ak_public", func(b []byte) []byte { b[6] |= 8; return b }), node.BadAnchor, "AK attributes"},
		{"AK that signs with SHA-1", member("ak_public", func(b []byte) []byte { b[15] = 4; return b }), node.Malformed, "scheme"},
		{"AK without a scheme", member("ak_public", func(b []byte) []byte {
			return slices.Concat(b[:12], []byte{0x00, 0x10}, b[16:])
		}), node.BadAnchor, "AK scheme"},
		{"AK named by SHA-1", member("ak_public", func(b []byte) []byte { b[3] = 4; return b }), node.Malformed, "hash algorithm 0x0004"},
		{"EK in place of the AK", func(t *testing.T) []byte {
			return message(t, good, "ak_public", func([]byte) []byte { return part(t, good, "ek_public") })
		}, node.BadAnchor, "AK attributes"},
		{"giant AK", member("ak_public", func([]byte) []byte { return make([]byte, 4<<10) }), node.Malformed, "at most 1024"},
		{"giant certificate", member("ek_certificate", func([]byte) []byte { return make([]byte, 9<<10) }), node.Malformed, "at most 8192"},
		{"no certificate", member("ek_certificate", func([]byte) []byte { return nil }), node.Malformed, "not DER"},
		{"certificate with bytes after it", member("ek_certificate", func(b []byte) []byte { return append(b, 1) }), node.Malformed, "not padding"},
		{"certificate cut short", member("ek_certificate", func(b []byte) []byte { return b[:len(b)-1] }), node.Malformed, "not DER"},
		{"certificate with its signature flipped", member("ek_certificate", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), node.BadAnchor, "issuer"},
		{"json unknown member", text(func(s string) string { return `{"ek_chain":[],` + s[1:] }), node.Malformed, ""},
		{"json member twice", text(func(s string) string { return s[:len(s)-1] + `,"ak_public":""}` }), node.Malformed, ""},
		{"json trailing value", text(func(s string) string { return s + "{}" }), node.Malformed, ""},
		{"json empty", text(func(string) string { return "" }), node.Malformed, ""},
		{"json too long", text(func(s string) string { return s + strings.Repeat(" ", 16<<10) }), node.Malformed, "at most 16384"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := tt.request(t)
			challenge, err := s.verifier.Challenge(t.Context(), r, s.bind, s.now)
			if challenge != nil {
				t.Error("a challenge came out")
			}
			wants(t, err, tt.code, tt.says)
			_, err = s.verifier.Enrol(t.Context(), r, []byte(`{"secret":""}`), s.bind, s.now)
			wants(t, err, tt.code, tt.says)
		})
	}
}

// EK certificates as vendors make them, and as nobody should.
func TestEKCertificates(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	stranger, err := tpmtest.NewCA("Demo TPM vendor") // the same name, another key
	if err != nil {
		t.Fatal(err)
	}
	eku := func(oids ...asn1.ObjectIdentifier) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.UnknownExtKeyUsage = oids }
	}
	year9999 := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		ca    *tpmtest.CA
		spoil func(*x509.Certificate)
		says  string // "" for a certificate that is taken
	}{
		{"as tpmtest makes it", s.ca, nil, ""},
		{"no end but year 9999", s.ca, func(c *x509.Certificate) { c.NotAfter = year9999 }, ""},
		{"no extended key usage", s.ca, eku(), ""},
		{"EK's and another extended key usage", s.ca, eku(asn1.ObjectIdentifier{2, 23, 133, 8, 3}, asn1.ObjectIdentifier{2, 23, 133, 8, 1}), ""},
		{"no basic constraints", s.ca, func(c *x509.Certificate) { c.BasicConstraintsValid = false }, ""},
		{"subject alternative name not critical", s.ca, func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = false }, ""},
		{"unknown extension, not critical", s.ca, extension(false), ""},
		{"unknown extension, critical", s.ca, extension(true), "unhandled critical extension"},
		{"other vendor of the same name", stranger, nil, "unknown authority"},
		{"CA certificate", s.ca, func(c *x509.Certificate) { c.IsCA = true }, "a CA's"},
		{"AK's extended key usage", s.ca, eku(asn1.ObjectIdentifier{2, 23, 133, 8, 3}), "extended key usage"},
		{"server's extended key usage", s.ca, func(c *x509.Certificate) {
			c.UnknownExtKeyUsage, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}, "extended key usage"},
		{"over", s.ca, func(c *x509.Certificate) { c.NotAfter = s.now.Add(-time.Minute) }, "expired"},
		{"not begun", s.ca, func(c *x509.Certificate) { c.NotBefore = s.now.Add(time.Hour) }, "not yet valid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := tpm.ParseEKCertificate(s.soft.EKCertificate())
			if err != nil {
				t.Fatal(err)
			}
			der, err := tt.ca.Certify(c.PublicKey, tt.spoil)
			if err != nil {
				t.Fatal(err)
			}
			r := message(t, request(t, s.device), "ek_certificate", func([]byte) []byte { return der })
			_, err = s.verifier.Challenge(t.Context(), r, s.bind, s.now)
			if tt.says != "" {
				wants(t, err, node.BadAnchor, tt.says)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("root is over", func(t *testing.T) {
		t.Parallel()
		_, err := s.verifier.Challenge(t.Context(), request(t, s.device), s.bind, s.now.AddDate(30, 0, 0))
		wants(t, err, node.BadAnchor, "expired")
	})
}

func extension(critical bool) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 99}, Critical: critical, Value: []byte{5, 0}})
	}
}

// Vendors' chips hold certificates padded, wrapped and labelled in their own ways;
// the node sends them as they are.
func TestEKCertificateForms(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	der := s.soft.EKCertificate()
	want, err := tpm.EKHash(der)
	if err != nil {
		t.Fatal(err)
	}
	wrapped := append(binary.BigEndian.AppendUint16([]byte{0x10, 0x01, 0x00}, uint16(len(der)+2)), append([]byte{0x10, 0x02}, der...)...)
	pad := func(b []byte, with byte) []byte { return append(bytes.Clone(b), bytes.Repeat([]byte{with}, 700)...) }
	for name, b := range map[string][]byte{
		"DER":                    der,
		"padded with 00":         pad(der, 0),
		"padded with ff":         pad(der, 0xff),
		"wrapped":                wrapped,
		"wrapped and padded":     pad(wrapped, 0xff),
		"wrapped, padded inside": nil,
	} {
		if b == nil {
			inner := pad(der, 0)
			b = append(binary.BigEndian.AppendUint16([]byte{0x10, 0x01, 0x00}, uint16(len(inner)+2)), append([]byte{0x10, 0x02}, inner...)...)
		}
		if got, err := tpm.EKHash(b); err != nil || got != want {
			t.Errorf("%s: EKHash = %q, %v, want %s", name, got, err, want)
		}
		r := message(t, request(t, s.device), "ek_certificate", func([]byte) []byte { return b })
		if _, err := s.verifier.Challenge(t.Context(), r, s.bind, s.now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{
		"nothing":                    {},
		"wrapper alone":              wrapped[:7],
		"half a wrapper":             wrapped[:4],
		"wrapper's length too long":  wrapped[:len(wrapped)-1],
		"wrapper's length zero":      append([]byte{0x10, 0x01, 0, 0, 0}, wrapped[5:]...),
		"wrapper of a partial":       append([]byte{0x10, 0x01, 1}, wrapped[3:]...),
		"wrapper without second tag": append(bytes.Clone(wrapped[:5]), wrapped[7:]...),
		"wrapper's second tag 1102":  splice(5, 1, 0x11)(wrapped),
		"wrapper's second tag 1003":  splice(6, 1, 0x03)(wrapped),
		"padded with a mixture":      append(pad(der, 0), 0xff),
		"two certificates":           append(bytes.Clone(der), der...),
		"part of a certificate":      wrapped[200:],
		"empty sequence":             {0x30, 0x00},
	} {
		if got, err := tpm.EKHash(b); err == nil {
			t.Errorf("%s: EKHash = %q", name, got)
		}
	}
}

// Some vendors label the EK's RSA key RSAES-OAEP, which crypto/x509 does not read.
func TestEKCertificateOAEP(t *testing.T) {
	t.Parallel()
	ca, err := tpmtest.NewCA("Demo TPM vendor")
	if err != nil {
		t.Fatal(err)
	}
	soft, err := tpmtest.New(tpmtest.Options{CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	root, key := newRoot(t)
	label := func(last byte) []byte {
		rsaEncryption := []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01}
		return resign(t, bytes.Replace(soft.EKCertificate(), rsaEncryption, append(rsaEncryption[:10:10], last), 1), key)
	}
	oaep, pss := label(0x07), label(0x0a)
	soft.WriteNV(0x01c00002, oaep)
	d := open(t, soft, tpm.ECDSA)
	bind := [32]byte{1}
	v := verifier(t, tpm.Config{EKRoots: []*x509.Certificate{root}}, oaep, pss)
	enrol(t, v, d, bind)
	_, err = v.Challenge(t.Context(), message(t, request(t, d), "ek_certificate", func([]byte) []byte { return pss }), bind, time.Now())
	wants(t, err, node.BadAnchor, "want RSA or ECC")

	other, err := tpmtest.New(tpmtest.Options{CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	r := message(t, request(t, d), "ek_public", func([]byte) []byte { return part(t, request(t, open(t, other, tpm.ECDSA)), "ek_public") })
	_, err = v.Challenge(t.Context(), r, bind, time.Now())
	wants(t, err, node.BadAnchor, "another key than the EK")
}

// newRoot makes an RSA root of the name of tpmtest's, which signs what resign
// hands it.
func newRoot(t *testing.T) (*x509.Certificate, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Demo TPM vendor"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return root, key
}

// resign signs a certificate's contents again, under sha256WithRSAEncryption.
func resign(t *testing.T, der []byte, key *rsa.PrivateKey) []byte {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	ecdsaWithSHA256, _ := asn1.Marshal(pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}})
	algorithm := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue}
	rsaWithSHA256, err := asn1.Marshal(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	// The algorithm is inside the signed part too, and the authority key id is the
	// old root's, which path building only takes for a hint.
	var tbs asn1.RawValue
	if _, err := asn1.Unmarshal(c.RawTBSCertificate, &tbs); err != nil {
		t.Fatal(err)
	}
	inside := bytes.Replace(tbs.Bytes, ecdsaWithSHA256, rsaWithSHA256, 1)
	signed, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: inside})
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(signed)
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	out, err := asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: signed}, algorithm, asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Two roots of one name and key, one of them believed less: which of them issued
// the EK's certificate cannot be told, so only the weaker floor is certain.
func TestWeakerOfTwoRoots(t *testing.T) {
	t.Parallel()
	strong, key := newRoot(t)
	again := *strong
	again.SerialNumber = big.NewInt(2)
	der, err := x509.CreateCertificate(rand.Reader, &again, &again, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	soft := newTPM(t, try(tpmtest.NewCA("Demo TPM vendor")))
	certificate := resign(t, soft.EKCertificate(), key)
	soft.WriteNV(0x01c0000a, certificate)
	d := open(t, soft, tpm.ECDSA)
	bind := [32]byte{1}
	for _, c := range []tpm.Config{
		{EKRoots: []*x509.Certificate{strong}, InsecureSoftwareEKRoots: []*x509.Certificate{weak}},
		{EKRoots: []*x509.Certificate{weak}, InsecureSoftwareEKRoots: []*x509.Certificate{strong}},
	} {
		v := verifier(t, c, certificate)
		h, err := v.Verify(t.Context(), try(d.Quote(bind, nil)), bind, enrol(t, v, d, bind), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if h.Floor() != node.Human || h.Insecure() == nil {
			t.Errorf("floor %s, insecure %v, want human", h.Floor(), h.Insecure())
		}
	}
}

func TestAnswerRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	again, err := tpm.New(s.config) // the same gate, restarted
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, s.device)
	challenge, err := s.verifier.Challenge(t.Context(), r, s.bind, s.now)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.device.Activate(challenge)
	if err != nil {
		t.Fatal(err)
	}
	rsa := open(t, s.soft, tpm.RSASSA)
	secret := func(f func([]byte) []byte) []byte { return message(t, answer, "secret", f) }
	for _, tt := range []struct {
		name    string
		v       *tpm.Verifier
		request []byte
		answer  []byte
		bind    [32]byte
		code    node.Code
	}{
		{"secret flipped", s.verifier, r, secret(func(b []byte) []byte { b[0] ^= 1; return b }), s.bind, node.Signature},
		{"secret cut", s.verifier, r, secret(func(b []byte) []byte { return b[:31] }), s.bind, node.Signature},
		{"secret empty", s.verifier, r, secret(func([]byte) []byte { return []byte{} }), s.bind, node.Signature},
		{"secret of zeros", s.verifier, r, secret(func([]byte) []byte { return make([]byte, 32) }), s.bind, node.Signature},
		{"under another bind", s.verifier, r, answer, [32]byte{9}, node.Signature},
		{"for another AK of the TPM", s.verifier, request(t, rsa), answer, s.bind, node.Signature},
		{"of before a restart", again, r, answer, s.bind, node.Signature},
		{"not JSON", s.verifier, r, []byte("x"), s.bind, node.Malformed},
		{"unknown member", s.verifier, r, append([]byte(`{"x":1,`), answer[1:]...), s.bind, node.Malformed},
		{"too long", s.verifier, r, append(bytes.Clone(answer), bytes.Repeat([]byte(" "), 16<<10)...), s.bind, node.Malformed},
	} {
		fact, err := tt.v.Enrol(t.Context(), tt.request, tt.answer, tt.bind, s.now)
		if fact != nil {
			t.Errorf("%s: enrolled", tt.name)
		}
		wants(t, err, tt.code, "")
	}
	if _, err := s.verifier.Enrol(t.Context(), r, answer, s.bind, s.now); err != nil {
		t.Errorf("the right answer: %v", err)
	}
}

// A relay: the EK of a TPM that is ours, the AK of one that is not. The gate
// cannot see it, and neither TPM can answer.
func TestRelayedAKCannotAnswer(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	theirs := open(t, newTPM(t, s.ca), tpm.ECDSA)
	r := message(t, request(t, s.device), "ak_public", func([]byte) []byte { return part(t, request(t, theirs), "ak_public") })
	challenge, err := s.verifier.Challenge(t.Context(), r, s.bind, s.now)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := s.device.Activate(challenge); err == nil {
		t.Errorf("the EK's TPM answers %s", answer)
	}
	if answer, err := theirs.Activate(challenge); err == nil {
		t.Errorf("the AK's TPM answers %s", answer)
	}
}

// What the log holds is enough to check the certificate again.
func TestEnrolmentData(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	var e struct {
		EK            string `json:"ek"`
		EKCertificate []byte `json:"ek_certificate"`
		AK            string `json:"ak"`
		Root          string `json:"root"`
	}
	if err := json.Unmarshal(s.enrolment.Data, &e, json.RejectUnknownMembers(true)); err != nil {
		t.Fatal(err)
	}
	ek, err := tpm.EKHash(e.EKCertificate)
	if err != nil || ek != e.EK {
		t.Errorf("EKHash = %q, %v, want %s", ek, err, e.EK)
	}
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(s.ca.Certificate().Raw)); e.Root != want || e.AK != s.device.AKName() {
		t.Errorf("root %s, AK %s, want %s, %s", e.Root, e.AK, want, s.device.AKName())
	}
}

// 10,000 challenges that nobody answers leave nothing behind.
func TestHalfOpenChallenges(t *testing.T) {
	s := newSite(t, tpm.ECDSA)
	n := 10_000
	if testing.Short() {
		n = 500
	}
	r := request(t, s.device)
	first, err := s.verifier.Challenge(t.Context(), r, s.bind, s.now)
	if err != nil {
		t.Fatal(err)
	}
	before, goroutines := *s.verifier, runtime.NumGoroutine()
	heap := heapInUse()
	var wg sync.WaitGroup
	for half := range 2 {
		wg.Go(func() {
			for i := range n / 2 {
				bind := [32]byte{byte(half), byte(i), byte(i >> 8), 0xff}
				if _, err := s.verifier.Challenge(context.Background(), r, bind, s.now); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if grown := int64(heapInUse()) - int64(heap); grown > 1<<20 {
		t.Errorf("%d bytes more are in use", grown)
	}
	if !reflect.DeepEqual(before, *s.verifier) {
		t.Error("the verifier has changed")
	}
	if now := runtime.NumGoroutine(); now > goroutines+5 {
		t.Errorf("%d goroutines, %d before", now, goroutines)
	}
	answer, err := s.device.Activate(first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.verifier.Enrol(t.Context(), r, answer, s.bind, s.now); err != nil {
		t.Errorf("the first challenge's answer: %v", err)
	}
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestParseInventory(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a1", 32), strings.Repeat("b2", 32)
	for name, text := range map[string]string{
		"one line":             a,
		"with prefix":          "sha256:" + a,
		"comments and blanks":  "# ours\n\n  \n\tsha256:" + a + "  \n# end",
		"carriage return ends": a + "\r\n",
	} {
		inv, err := tpm.ParseInventory([]byte(text))
		if err != nil || len(inv) != 1 || !inv[[32]byte(bytes.Repeat([]byte{0xa1}, 32))] {
			t.Errorf("%s: %v, %v", name, inv, err)
		}
	}
	if inv, err := tpm.ParseInventory([]byte(a + "\nsha256:" + b + "\n")); err != nil || len(inv) != 2 {
		t.Errorf("two lines: %v, %v", inv, err)
	}
	if inv, err := tpm.ParseInventory(nil); err != nil || len(inv) != 0 {
		t.Errorf("empty: %v, %v, want nobody", inv, err)
	}
	for name, tt := range map[string]struct{ text, says string }{
		"twice":                {a + "\nsha256:" + a, "line 2: EK hash a1"},
		"in capitals":          {strings.ToUpper(a), "line 1"},
		"cut short":            {"\n" + a[:63], "line 2"},
		"too long":             {a + "0", "line 1"},
		"not hex":              {strings.Repeat("g", 64), "line 1"},
		"other algorithm":      {"sha1:" + a[:40], "line 1"},
		"prefix twice":         {"sha256:sha256:" + a, "line 1"},
		"comment after a hash": {a + " # mine", "line 1"},
		"two on a line":        {a + " " + b, "line 1"},
		"endless line":         {strings.Repeat("a", 1<<20), "64 KiB"},
		"too many":             {strings.Repeat("\n", 5<<20), "at most"},
		"byte order mark":      {"\ufeff" + a, "line 1"},
	} {
		if inv, err := tpm.ParseInventory([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, %v, want an error that says %q", name, inv, err, tt.says)
		}
	}
}

// part is one member, of bytes, of a JSON message.
func part(t testing.TB, text []byte, member string) (out []byte) {
	t.Helper()
	message(t, text, member, func(b []byte) []byte {
		out = b
		return b
	})
	return out
}
