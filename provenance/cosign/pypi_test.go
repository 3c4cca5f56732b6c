package cosign_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"plastron/provenance"
	"plastron/provenance/cosign"
)

// pypi is a bundle in PyPI's form.
func pypi(t testing.TB, bundle []byte) map[string]any {
	t.Helper()
	m := tree(t, bundle)
	material, envelope := at(m, "verificationMaterial"), at(m, "dsseEnvelope")
	certificate := material["certificate"]
	if chain, ok := material["x509CertificateChain"]; ok {
		certificate = at(chain, "certificates", 0)
	}
	return map[string]any{
		"version": 1,
		"verification_material": map[string]any{
			"certificate": certificate.(map[string]any)["rawBytes"], "transparency_entries": material["tlogEntries"],
		},
		"envelope": map[string]any{"statement": envelope["payload"], "signature": at(envelope, "signatures", 0)["sig"]},
	}
}

// The genuine bundle in PyPI's form holds as it does in its own, here and, made
// a bundle again, at a gate.
func TestPyPI(t *testing.T) {
	t.Parallel()
	genuine := public(t, "sigstore.js@2.0.0-provenance.sigstore.json")
	root := provenance.Root{Name: "public-good", TrustedRoot: public(t, "public-good.json")}
	js := provenance.Digest{Algorithm: "sha512", Hex: jsDigest}
	a := text(t, pypi(t, genuine))
	s, _, err := verify(t, cosign.Options{Roots: []provenance.Root{root}}, a, byDigest(js), cosign.Expectation{Identity: jsSigner, Issuer: jsIssuer})
	if err != nil || s.PredicateType() != "https://slsa.dev/provenance/v1" {
		t.Fatal(s, err)
	}
	bundle, err := cosign.FromPyPI(a)
	if err != nil {
		t.Fatal(err)
	}
	gate, err := provenance.New([]provenance.Root{root})
	if err != nil {
		t.Fatal(err)
	}
	b, err := gate.Verify(t.Context(), bundle, js)
	if err != nil {
		t.Fatal(err)
	}
	same, err := gate.Verify(t.Context(), genuine, js)
	if err != nil || same.EvidenceID() != b.EvidenceID() {
		t.Errorf("another evidence than the bundle's: %v", err)
	}
}

// A publish attestation has no predicate; it holds here, and is no build.
func TestPyPIPublish(t *testing.T) {
	t.Parallel()
	l := shared(t)
	payload := bytes.Replace(statement(map[string]any{"predicateType": "https://docs.pypi.org/attestations/publish/v1"}), []byte(`"predicate":{}`), []byte(`"predicate":null`), 1)
	if !bytes.Contains(payload, []byte("null")) {
		t.Fatal("no null")
	}
	b := l.sign(t, payload)
	s, _, err := verify(t, cosign.Options{Roots: []provenance.Root{l.root()}}, b, byDigest(blobDigest), l.me())
	if err != nil || s.PredicateType() != "https://docs.pypi.org/attestations/publish/v1" {
		t.Error(s, err)
	}
	gate, err := provenance.New([]provenance.Root{l.root()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = gate.Verify(t.Context(), b, blobDigest)
	var e *provenance.Error
	if !errors.As(err, &e) || e.Code != provenance.CodePredicate {
		t.Error(err)
	}
}

func TestPyPIRefused(t *testing.T) {
	t.Parallel()
	good := pypi(t, public(t, "sigstore.js@2.0.0-provenance.sigstore.json"))
	spoil := func(f func(m map[string]any)) []byte {
		m := tree(t, text(t, good))
		f(m)
		return text(t, m)
	}
	for name, a := range map[string][]byte{
		"nothing":          nil,
		"a list":           []byte("[]"),
		"endless":          make([]byte, cosign.MaxBundle+1),
		"version 2":        spoil(func(m map[string]any) { m["version"] = 2 }),
		"no version":       spoil(func(m map[string]any) { delete(m, "version") }),
		"unknown member":   spoil(func(m map[string]any) { m["x"] = 1 }),
		"no material":      spoil(func(m map[string]any) { delete(m, "verification_material") }),
		"no certificate":   spoil(func(m map[string]any) { delete(at(m, "verification_material"), "certificate") }),
		"no entries":       spoil(func(m map[string]any) { at(m, "verification_material")["transparency_entries"] = []any{} }),
		"no envelope":      spoil(func(m map[string]any) { delete(m, "envelope") }),
		"no statement":     spoil(func(m map[string]any) { delete(at(m, "envelope"), "statement") }),
		"no signature":     spoil(func(m map[string]any) { delete(at(m, "envelope"), "signature") }),
		"a bundle besides": spoil(func(m map[string]any) { m["mediaType"] = "x" }),
		"name twice":       []byte(strings.Replace(string(text(t, good)), `"version":1`, `"version":1,"version":1`, 1)),
	} {
		_, err := cosign.FromPyPI(a)
		var e *provenance.Error
		if !errors.As(err, &e) || e.Code != provenance.CodeMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzFromPyPI: what it makes is JSON of a bundle, and its parts are the
// attestation's own.
func FuzzFromPyPI(f *testing.F) {
	good, err := json.Marshal(pypi(f, public(f, "sigstore.js@2.0.0-provenance.sigstore.json")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, a []byte) {
		b, err := cosign.FromPyPI(a)
		if err != nil {
			return
		}
		m := tree(t, b)
		was := struct {
			Envelope struct{ Statement, Signature string }
		}{}
		if err := json.Unmarshal(a, &was); err != nil {
			t.Fatal(err)
		}
		if at(m, "dsseEnvelope")["payload"] != was.Envelope.Statement || at(m, "dsseEnvelope", "signatures", 0)["sig"] != was.Envelope.Signature {
			t.Error("another envelope")
		}
	})
}
