package cosign

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"

	"plastron/provenance"
)

// attestation is PyPI's attestation object (PEP 740), version 1. Bytes are in
// base64, log entries in Sigstore's own JSON.
type attestation struct {
	Version  int `json:"version"`
	Material *struct {
		Certificate string           `json:"certificate"` // DER
		Entries     []jsontext.Value `json:"transparency_entries"`
	} `json:"verification_material"`
	Envelope *struct {
		Statement string `json:"statement"` // in-toto
		Signature string `json:"signature"`
	} `json:"envelope"`
}

// FromPyPI makes a Sigstore bundle v0.3 of a PEP 740 attestation object: the
// same certificate, log entries, statement and signature in other places.
// Nothing is verified. The error is always a [*provenance.Error].
func FromPyPI(text []byte) (bundle []byte, err error) {
	if len(text) > MaxBundle {
		return nil, refuse(provenance.CodeMalformed, "attestation of %d bytes, want at most %d", len(text), MaxBundle)
	}
	var a attestation
	if err := json.Unmarshal(text, &a, json.RejectUnknownMembers(true)); err != nil {
		return nil, refuse(provenance.CodeMalformed, "PEP 740 attestation: %w", err)
	}
	if err := a.check(); err != nil {
		return nil, refuse(provenance.CodeMalformed, "PEP 740 attestation: %w", err)
	}
	return json.Marshal(map[string]any{
		"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": map[string]any{
			"certificate": map[string]any{"rawBytes": a.Material.Certificate},
			"tlogEntries": a.Material.Entries,
		},
		"dsseEnvelope": map[string]any{
			"payload": a.Envelope.Statement, "payloadType": payloadType,
			"signatures": []any{map[string]any{"sig": a.Envelope.Signature}},
		},
	}, json.Deterministic(true))
}

func (a *attestation) check() error {
	switch {
	case a.Version != 1:
		return fmt.Errorf("version %d, want 1", a.Version)
	case a.Material == nil || a.Material.Certificate == "" || len(a.Material.Entries) == 0:
		return errors.New("no verification_material with a certificate and transparency_entries")
	case a.Envelope == nil || a.Envelope.Statement == "" || a.Envelope.Signature == "":
		return errors.New("no envelope with a statement and a signature")
	}
	return nil
}

// isPyPI tells an attestation object by what no bundle has.
func isPyPI(one jsontext.Value) bool {
	var shape struct {
		Material jsontext.Value `json:"verification_material"`
	}
	return json.Unmarshal(one, &shape) == nil && shape.Material != nil
}
