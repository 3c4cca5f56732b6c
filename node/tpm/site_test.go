package tpm_test

import (
	"crypto/x509"
	"encoding/json/v2"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"plastron/node"
	"plastron/node/tpm"
	"plastron/node/tpm/tpmtest"
)

// A site is a gate's source of nodes and one TPM that is enrolled in it.
type site struct {
	ca        *tpmtest.CA
	soft      *tpmtest.TPM
	device    *tpm.Device
	config    tpm.Config
	verifier  *tpm.Verifier
	enrolment *node.Enrolment
	bind      [32]byte
	now       time.Time
}

func newSite(t testing.TB, kind tpm.AK) *site {
	t.Helper()
	ca, err := tpmtest.NewCA("Demo TPM vendor")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{ca: ca, soft: newTPM(t, ca), bind: node.Bind([32]byte{1}, []byte("key")), now: time.Now()}
	s.device = open(t, s.soft, kind)
	s.config = tpm.Config{Name: "fleet", EKRoots: []*x509.Certificate{ca.Certificate()}, Inventory: inventory(t, s.soft.EKCertificate())}
	if s.verifier, err = tpm.New(s.config); err != nil {
		t.Fatal(err)
	}
	s.enrolment = enrol(t, s.verifier, s.device, s.bind)
	return s
}

func (s *site) quote(t testing.TB) node.Evidence {
	t.Helper()
	ev, err := s.device.Quote(s.bind, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func newTPM(t testing.TB, ca *tpmtest.CA) *tpmtest.TPM {
	t.Helper()
	soft, err := tpmtest.New(tpmtest.Options{CA: ca, ECC: true})
	if err != nil {
		t.Fatal(err)
	}
	return soft
}

func open(t testing.TB, soft *tpmtest.TPM, kind tpm.AK) *tpm.Device {
	t.Helper()
	d, err := tpm.NewDevice(soft, kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, d) })
	return d
}

func shut(t testing.TB, d *tpm.Device) {
	t.Helper()
	if err := d.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func inventory(t testing.TB, certificates ...[]byte) tpm.Inventory {
	t.Helper()
	var text strings.Builder
	for _, c := range certificates {
		hash, err := tpm.EKHash(c)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(hash + "\n")
	}
	inv, err := tpm.ParseInventory([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// verifier makes the source "fleet" whose inventory is the given certificates.
func verifier(t testing.TB, c tpm.Config, certificates ...[]byte) *tpm.Verifier {
	t.Helper()
	c.Name, c.Inventory = "fleet", inventory(t, certificates...)
	v, err := tpm.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// enrol goes through the challenge, and returns what the log would hold.
func enrol(t testing.TB, v *tpm.Verifier, d *tpm.Device, bind [32]byte) *node.Enrolment {
	t.Helper()
	r := request(t, d)
	challenge, err := v.Challenge(t.Context(), r, bind, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := d.Activate(challenge)
	if err != nil {
		t.Fatal(err)
	}
	fact, err := v.Enrol(t.Context(), r, answer, bind, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if fact.Key != d.AKName() || fact.Authority != "inventory" || len(fact.Anchors) != 1 || !strings.HasPrefix(fact.Facts["ek"], "sha256:") {
		t.Errorf("enrolment %+v", fact)
	}
	return &node.Enrolment{Kind: "tpm", Name: "fleet", Index: 9, Data: fact.Data}
}

func request(t testing.TB, d *tpm.Device) []byte {
	t.Helper()
	r, err := d.EnrolRequest()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// message changes one member, of bytes, of a JSON message.
func message(t testing.TB, text []byte, member string, change func([]byte) []byte) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	var b []byte
	old, err := json.Marshal(m[member])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(old, &b); err != nil {
		t.Fatal(err)
	}
	m[member] = change(b)
	out, err := json.Marshal(m, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wants fails unless err is a refusal by the code whose text says why.
func wants(t testing.TB, err error, code node.Code, says string) {
	t.Helper()
	var refused *node.Error
	if !errors.As(err, &refused) || refused.Code != code || !strings.Contains(err.Error(), says) {
		t.Errorf("err = %v, want %s that says %q", err, code, says)
	}
}
