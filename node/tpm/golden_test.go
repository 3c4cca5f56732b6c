package tpm_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"plastron/node"
	"plastron/node/tpm"
)

var record = flag.Bool("record", false, "record testdata/swtpm.json anew, from swtpm")

// A recording is what another implementation's TPM once said, and what a gate
// knew of it: testdata/README.md says how it was made.
type recording struct {
	Root      []byte         `json:"root"` // DER
	Bind      [32]byte       `json:"bind"`
	Enrolment jsontext.Value `json:"enrolment"`
	Evidence  jsontext.Value `json:"evidence"`
}

var recordingFile = filepath.Join("testdata", "swtpm.json")

// A quote that libtpms made stays good for ever, with or without swtpm here.
func TestRecordedQuote(t *testing.T) {
	if *record {
		recordQuote(t)
	}
	r, v := recorded(t)
	h, err := r.verify(t, v, r.Evidence)
	if err != nil {
		t.Fatal(err)
	}
	if h.Floor() != node.Human || h.Facts()["clock_safe"] != "true" {
		t.Errorf("floor %s, facts %v", h.Floor(), h.Facts())
	}
}

// Whatever is sent, a host comes out only for the bytes that the AK signed. The
// recorded AK's private half is gone.
func FuzzEvidence(f *testing.F) {
	r, v := recorded(f)
	f.Add([]byte(r.Evidence))
	f.Add([]byte(r.Evidence[:len(r.Evidence)-1]))
	f.Add([]byte("{}"))
	want := parsed(f, node.Evidence{Data: r.Evidence})
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := r.verify(t, v, data)
		if err != nil {
			return
		}
		got := parsed(t, node.Evidence{Data: data})
		if !bytes.Equal(got.Attest, want.Attest) || !bytes.Equal(got.AKPublic, want.AKPublic) || !maps.Equal(got.PCRs, want.PCRs) || h.Kind() != "tpm" {
			t.Fatalf("a host came out of %q", data)
		}
	})
}

func recorded(t testing.TB) (*recording, *tpm.Verifier) {
	t.Helper()
	text, err := os.ReadFile(recordingFile)
	if err != nil {
		t.Fatal(err)
	}
	r := new(recording)
	if err := json.Unmarshal(text, r, json.RejectUnknownMembers(true)); err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(r.Root)
	if err != nil {
		t.Fatal(err)
	}
	return r, verifier(t, tpm.Config{InsecureSoftwareEKRoots: []*x509.Certificate{root}}, part(t, r.Enrolment, "ek_certificate"))
}

func (r *recording) verify(t testing.TB, v *tpm.Verifier, data []byte) (*node.Host, error) {
	e := &node.Enrolment{Kind: "tpm", Name: "fleet", Data: r.Enrolment}
	return v.Verify(t.Context(), node.Evidence{Kind: "tpm", Data: data}, r.Bind, e, time.Now())
}

func recordQuote(t *testing.T) {
	c := swtpm(t)
	d, err := tpm.NewDevice(c, tpm.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, d)
	certificate, err := d.EKCertificate()
	if err != nil {
		t.Fatal(err)
	}
	r := recording{Root: c.roots[0].Raw, Bind: node.Bind([32]byte{1}, []byte("key"))}
	v := verifier(t, tpm.Config{EKRoots: c.roots[:1]}, certificate)
	r.Enrolment = enrol(t, v, d, r.Bind).Data
	ev, err := d.Quote(r.Bind, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Evidence = ev.Data
	text, err := json.Marshal(r, json.Deterministic(true), jsontext.WithIndent("\t"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recordingFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
