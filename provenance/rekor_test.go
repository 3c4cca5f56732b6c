package provenance

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/testing/ca"
)

// virtualEntry is a dsse/0.0.1 entry by sigstore-go's own test authority, which
// builds it with Rekor's code, and the evidence it is about.
func virtualEntry(t *testing.T) (*entryShape, *evidence) {
	t.Helper()
	s, err := ca.NewVirtualSigstore()
	if err != nil {
		t.Fatal(err)
	}
	payload := []byte(`{"_type":"https://in-toto.io/Statement/v1"}`)
	signed, err := s.Attest("someone@example.com", "https://issuer.example", payload)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := signed.TlogEntries()
	if err != nil {
		t.Fatal(err)
	}
	content, err := signed.VerificationContent()
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signed.SignatureContent()
	if err != nil {
		t.Fatal(err)
	}
	e := &entryShape{Kind: kindShape{"dsse", "0.0.1"}, Body: entries[0].TransparencyLogEntry().CanonicalizedBody}
	return e, &evidence{leaf: content.Certificate(), payload: payload, signature: signature.Signature()}
}

func TestDSSEEntry(t *testing.T) {
	t.Parallel()
	e, ev := virtualEntry(t)
	if err := e.compareV1(ev); err != nil {
		t.Fatal(err)
	}
	_, other := virtualEntry(t)
	for name, spoilt := range map[string]*evidence{
		"another payload":     {leaf: ev.leaf, payload: append([]byte(" "), ev.payload...), signature: ev.signature},
		"another signature":   {leaf: ev.leaf, payload: ev.payload, signature: other.signature},
		"another certificate": {leaf: other.leaf, payload: ev.payload, signature: ev.signature},
	} {
		if err := e.compareV1(spoilt); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Bodies that are not one reading of one entry.
func TestEntryBodies(t *testing.T) {
	t.Parallel()
	e, ev := virtualEntry(t)
	whole := string(e.Body)
	var b struct{ Spec json.RawMessage }
	if err := json.Unmarshal(e.Body, &b); err != nil {
		t.Fatal(err)
	}
	swap := func(old, new string) string {
		if !strings.Contains(whole, old) {
			t.Fatalf("body lacks %s: %s", old, whole)
		}
		return strings.Replace(whole, old, new, 1)
	}
	for name, text := range map[string]string{
		"not JSON":             "x",
		"empty":                "{}",
		"another kind":         swap(`"kind":"dsse"`, `"kind":"intoto"`),
		"another version":      swap(`"0.0.1"`, `"0.0.2"`),
		"kind twice":           swap(`"kind":"dsse"`, `"kind":"dsse","kind":"dsse"`),
		"unknown member":       swap(`"kind":"dsse"`, `"kind":"dsse","x":1`),
		"spec is a list":       strings.Replace(whole, string(b.Spec), "[]", 1),
		"spec is empty":        strings.Replace(whole, string(b.Spec), "{}", 1),
		"no signature":         strings.Replace(whole, string(b.Spec), `{"payloadHash":{"algorithm":"sha256","value":"00"},"signatures":[]}`, 1),
		"null signature":       strings.Replace(whole, string(b.Spec), `{"payloadHash":{"algorithm":"sha256","value":"00"},"signatures":[null]}`, 1),
		"signature of nothing": strings.Replace(whole, string(b.Spec), `{"payloadHash":{"algorithm":"sha256","value":"00"},"signatures":[{}]}`, 1),
		"another hash":         swap(`"algorithm":"sha256"`, `"algorithm":"sha1"`),
	} {
		spoilt := &entryShape{Kind: e.Kind, Body: octets(text)}
		// The envelope hash comes before the payload hash in a dsse body.
		if name == "another hash" {
			spoilt.Body = octets(strings.ReplaceAll(whole, `"algorithm":"sha256"`, `"algorithm":"sha1"`))
		}
		if err := spoilt.compareV1(ev); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, spec := range map[string]string{
		"no content":           `{}`,
		"null content":         `{"content":null}`,
		"no envelope":          `{"content":{"payloadHash":{"algorithm":"sha256","value":"00"}}}`,
		"no signature":         `{"content":{"payloadHash":{"algorithm":"sha256","value":"00"},"envelope":{"payloadType":"x","signatures":[]}}}`,
		"null signature":       `{"content":{"payloadHash":{"algorithm":"sha256","value":"00"},"envelope":{"payloadType":"x","signatures":[null]}}}`,
		"signature of nothing": `{"content":{"payloadHash":{"algorithm":"sha256","value":"00"},"envelope":{"payloadType":"x","signatures":[{}]}}}`,
	} {
		in := &entryShape{Kind: kindShape{"intoto", "0.0.2"}, Body: octets(`{"apiVersion":"0.0.2","kind":"intoto","spec":` + spec + `}`)}
		if err := in.compareV1(ev); err == nil {
			t.Errorf("intoto, %s: accepted", name)
		}
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]struct {
		name string
		v1   bool
	}{
		"rekor.sigstore.dev - 2605736670972794746": {"rekor.sigstore.dev", true},
		"log2025-1.rekor.sigstore.dev":             {"log2025-1.rekor.sigstore.dev", false},
		"rekor.sigstore.dev - ":                    {"rekor.sigstore.dev - ", false},
		"rekor.sigstore.dev - 1x":                  {"rekor.sigstore.dev - 1x", false},
		"rekor.sigstore.dev - 1 - 2":               {"rekor.sigstore.dev - 1 - 2", false},
		"":                                         {"", false},
	} {
		if name, v1 := host(origin); name != want.name || v1 != want.v1 {
			t.Errorf("host(%q) = %q, %v; want %v", origin, name, v1, want)
		}
	}
}
