package tpm

import (
	"bytes"
	"crypto/x509"
	"encoding/json/v2"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"plastron/node"
	"plastron/node/tpm/tpmtest"
)

// A sample is one TPM's enrolment and quote, fresh.
type sample struct {
	verifier  *Verifier
	enrolment *node.Enrolment
	request   enrolRequest
	evidence  evidence
	data      []byte // evidence, as sent
	bind      [32]byte
	now       time.Time
}

func newSample(t testing.TB, kind AK) *sample {
	t.Helper()
	ca := must(tpmtest.NewCA("vendor"))(t)
	chip := must(tpmtest.New(tpmtest.Options{CA: ca, ECC: true}))(t)
	device := must(NewDevice(chip, kind))(t)
	defer device.Close()
	inv := must(ParseInventory([]byte(must(EKHash(chip.EKCertificate()))(t))))(t)
	s := &sample{bind: [32]byte{1}, now: time.Now()}
	s.verifier = must(New(Config{Name: "fleet", EKRoots: []*x509.Certificate{ca.Certificate()}, Inventory: inv}))(t)
	request := must(device.EnrolRequest())(t)
	challenge := must(s.verifier.Challenge(t.Context(), request, s.bind, s.now))(t)
	answer := must(device.Activate(challenge))(t)
	fact := must(s.verifier.Enrol(t.Context(), request, answer, s.bind, s.now))(t)
	s.enrolment = &node.Enrolment{Kind: Kind, Name: "fleet", Data: fact.Data}
	s.data = must(device.Quote(s.bind, nil))(t).Data
	if err := json.Unmarshal(request, &s.request); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(s.data, &s.evidence); err != nil {
		t.Fatal(err)
	}
	return s
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// seeds adds bytes, and each way of cutting or stretching them a little.
func seeds(f *testing.F, b []byte) {
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add(append(bytes.Clone(b), 0))
	f.Add([]byte{})
}

// The slow twin reads by reflection. It takes more: what the hand parser takes,
// it takes too and reads the same.
func FuzzQuote(f *testing.F) {
	seeds(f, newSample(f, ECDSA).evidence.Attest)
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAttest(b)
		if err != nil {
			return
		}
		twin, err := tpm2.Unmarshal[tpm2.TPMSAttest](b)
		if err != nil {
			t.Fatalf("go-tpm does not read it: %v", err)
		}
		q, err := twin.Attested.Quote()
		if err != nil {
			t.Fatal(err)
		}
		c := twin.ClockInfo
		if twin.Magic != tpm2.TPMGeneratedValue || !bytes.Equal(tpm2.Marshal(twin), b) ||
			!bytes.Equal(a.extraData, twin.ExtraData.Buffer) || !bytes.Equal(a.pcrDigest, q.PCRDigest.Buffer) ||
			a.clock != c.Clock || a.resetCount != c.ResetCount || a.restartCount != c.RestartCount || a.safe != bool(c.Safe) ||
			a.firmware != twin.FirmwareVersion || len(a.selections) != len(q.PCRSelect.PCRSelections) {
			t.Fatalf("go-tpm reads %+v, we %+v", twin, a)
		}
		for i, s := range q.PCRSelect.PCRSelections {
			if a.selections[i].bank != s.Hash || !bytes.Equal(a.selections[i].bitmap, s.PCRSelect) {
				t.Fatalf("selection %d: go-tpm reads %+v, we %+v", i, s, a.selections[i])
			}
		}
	})
}

func FuzzSignature(f *testing.F) {
	for _, kind := range []AK{ECDSA, RSASSA, RSAPSS} {
		seeds(f, newSample(f, kind).evidence.Signature)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSignature(b)
		if err != nil {
			return
		}
		twin, err := tpm2.Unmarshal[tpm2.TPMTSignature](b)
		if err != nil {
			t.Fatalf("go-tpm does not read it: %v", err)
		}
		if twin.SigAlg != s.scheme || !bytes.Equal(tpm2.Marshal(twin), b) {
			t.Fatalf("go-tpm reads %+v, we %+v", twin, s)
		}
	})
}

func FuzzPublic(f *testing.F) {
	for _, kind := range []AK{ECDSA, RSASSA, RSAPSS} {
		s := newSample(f, kind)
		seeds(f, s.evidence.AKPublic)
		seeds(f, s.request.EKPublic)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePublic(b)
		if err != nil {
			return
		}
		twin, err := tpm2.Unmarshal[tpm2.TPMTPublic](b)
		if err != nil {
			t.Fatalf("go-tpm does not read it: %v", err)
		}
		name, err := tpm2.ObjectName(twin)
		if err != nil || !p.named(name.Buffer) || !bytes.Equal(tpm2.Marshal(twin), b) {
			t.Fatalf("go-tpm names it %x, %v, we %x", name, err, p.name)
		}
		if key, err := tpm2.Pub(*twin); err == nil && !p.is(key) {
			t.Fatalf("go-tpm reads the key %v, we %v", key, p.key)
		}
		a := twin.ObjectAttributes
		resident := a.FixedTPM && a.FixedParent && a.SensitiveDataOrigin && !a.EncryptedDuplication && a.Restricted
		if p.checkAK() == nil && (!resident || !a.SignEncrypt || a.Decrypt) || p.checkEK() == nil && (!resident || a.SignEncrypt || !a.Decrypt) {
			t.Fatalf("attributes %+v are an AK's: %v, an EK's: %v", a, p.checkAK(), p.checkEK())
		}
	})
}

func FuzzInventory(f *testing.F) {
	a := strings.Repeat("a1", 32)
	f.Add([]byte(a))
	f.Add([]byte("# ours\nsha256:" + a + "\n\n"))
	f.Add([]byte(a + "\n" + a))
	f.Fuzz(func(t *testing.T, text []byte) {
		inv, err := ParseInventory(text)
		if err != nil {
			return
		}
		var b strings.Builder
		for hash := range inv {
			fmt.Fprintln(&b, hashText(hash))
		}
		again, err := ParseInventory([]byte(b.String()))
		if err != nil || !maps.Equal(inv, again) {
			t.Fatalf("%q reads %v, then %v, %v", text, inv, again, err)
		}
	})
}

func FuzzEKCertificate(f *testing.F) {
	der := newSample(f, ECDSA).request.EKCertificate
	seeds(f, der)
	f.Add(slices.Concat([]byte{0x10, 0x01, 0x00, byte((len(der) + 2) >> 8), byte(len(der) + 2), 0x10, 0x02}, der))
	f.Add([]byte{0x10, 0x01, 0x00, 0x00, 0x02, 0x10, 0x02})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseEKCertificate(b)
		if err != nil {
			return
		}
		if !bytes.Contains(b, c.Raw) {
			t.Fatal("the certificate is not among the bytes")
		}
		again, err := ParseEKCertificate(c.Raw)
		if err != nil || !again.Equal(c) {
			t.Fatalf("its DER reads otherwise: %v", err)
		}
		_, _ = certifiedKey(c)
		_ = checkPurpose(c)
	})
}
