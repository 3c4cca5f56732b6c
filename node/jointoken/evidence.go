package jointoken

import (
	"crypto/ed25519"
	"encoding/json/v2"

	"plastron/node"
)

// evidence is what a node sends: a key, and its signature over the bind.
type evidence struct {
	PublicKey ed25519.PublicKey `json:"public_key"`
	Signature []byte            `json:"signature"`
}

// parse decodes evidence strictly. It verifies nothing.
func parse(ev node.Evidence) (*evidence, error) {
	if ev.Kind != Kind {
		return nil, refuse(node.Malformed, "evidence of kind %q, want %q", ev.Kind, Kind)
	}
	if len(ev.Data) > MaxEvidence {
		return nil, refuse(node.Malformed, "join token evidence of %d bytes, want at most %d", len(ev.Data), MaxEvidence)
	}
	var e evidence
	if err := json.Unmarshal(ev.Data, &e, json.RejectUnknownMembers(true)); err != nil {
		return nil, refuse(node.Malformed, "join token evidence: %w", err)
	}
	if len(e.PublicKey) != ed25519.PublicKeySize {
		return nil, refuse(node.Malformed, "public key of %d bytes, want %d", len(e.PublicKey), ed25519.PublicKeySize)
	}
	if len(e.Signature) != ed25519.SignatureSize {
		return nil, refuse(node.Malformed, "signature of %d bytes, want %d", len(e.Signature), ed25519.SignatureSize)
	}
	return &e, nil
}
