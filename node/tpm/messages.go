package tpm

import (
	"encoding/json/v2"
	"fmt"

	"plastron/node"
)

// Bounds on messages, in bytes, checked before they are decoded.
const (
	// MaxEvidence is the longest evidence that is read. RSA-4096 and 24 PCRs take 4,100.
	MaxEvidence = 8 << 10
	maxMessage  = 16 << 10
)

// An evidence is a quote and what is needed to check it.
type evidence struct {
	AKPublic  []byte            `json:"ak_public"` // TPMT_PUBLIC
	Attest    []byte            `json:"attest"`    // TPMS_ATTEST
	Signature []byte            `json:"signature"` // TPMT_SIGNATURE over attest
	PCRs      map[string]string `json:"pcrs"`      // decimal index: value in hex
}

// An enrolRequest is a TPM that asks to be let in.
type enrolRequest struct {
	EKCertificate []byte `json:"ek_certificate"` // DER, or as the TPM holds it
	EKPublic      []byte `json:"ek_public"`      // TPMT_PUBLIC
	AKPublic      []byte `json:"ak_public"`      // TPMT_PUBLIC
}

// A challenge can be opened by the TPM that holds both keys of a request.
type challenge struct {
	Credential []byte `json:"credential"` // TPMS_ID_OBJECT
	Secret     []byte `json:"secret"`     // TPM2B_ENCRYPTED_SECRET, without its size
}

// An answer is what was inside a challenge.
type answer struct {
	Secret []byte `json:"secret"` // 32 bytes
}

// An enrolment is what the log keeps of an enrolled TPM.
type enrolment struct {
	EK            string `json:"ek"`             // EKHash of the certificate
	EKCertificate []byte `json:"ek_certificate"` // DER
	AK            string `json:"ak"`             // hex of the AK's name
	Root          string `json:"root"`           // "sha256:" and hex, of the DER of the root that the EK certificate was checked against
}

// decode reads a message strictly: every member at most once, in exact case, and
// none that is not known.
func decode(what string, b []byte, most int, to any) error {
	if len(b) > most {
		return refuse(node.Malformed, "%s of %d bytes, want at most %d", what, len(b), most)
	}
	if err := json.Unmarshal(b, to, json.RejectUnknownMembers(true)); err != nil {
		return refuse(node.Malformed, "%s: %w", what, err)
	}
	return nil
}

func refuse(code node.Code, format string, args ...any) error {
	return &node.Error{Code: code, Err: fmt.Errorf(format, args...)}
}
