package provenance

import (
	"encoding/json/v2"
	"strings"
)

// Bounds on what is read before any cryptography. Real bundles have 5 to 20 kB,
// one log entry and at most one timestamp.
const (
	MaxBundle     = 1 << 20 // bytes
	maxEntries    = 4
	maxTimestamps = 4
	maxChain      = 4       // certificates beside the leaf
	maxProof      = 64      // hashes: a tree of 2^64 leaves
	maxCheckpoint = 8 << 10 // bytes
)

// payloadType is the DSSE payload type of an in-toto statement.
const payloadType = "application/vnd.in-toto+json"

// mediaTypes gives the bundle version that each media type announces.
var mediaTypes = map[string]string{
	"application/vnd.dev.sigstore.bundle+json;version=0.1": "v0.1",
	"application/vnd.dev.sigstore.bundle+json;version=0.2": "v0.2",
	"application/vnd.dev.sigstore.bundle+json;version=0.3": "v0.3",
	"application/vnd.dev.sigstore.bundle.v0.3+json":        "v0.3",
}

// shape is the JSON of a bundle: protobuf dev.sigstore.bundle.v1.Bundle, by its
// lower-camel-case names only.
type shape struct {
	MediaType string         `json:"mediaType"`
	Material  materialShape  `json:"verificationMaterial"`
	Envelope  *envelopeShape `json:"dsseEnvelope"`
	Message   *messageShape  `json:"messageSignature"`
}

type materialShape struct {
	Certificate *certificateShape `json:"certificate"`          // from v0.3
	Chain       *chainShape       `json:"x509CertificateChain"` // until v0.2
	PublicKey   *keyShape         `json:"publicKey"`
	Entries     []entryShape      `json:"tlogEntries"`
	Times       timesShape        `json:"timestampVerificationData"`
}

type certificateShape struct {
	DER octets `json:"rawBytes"`
}

type chainShape struct {
	Certificates []certificateShape `json:"certificates"`
}

type keyShape struct {
	Hint string `json:"hint"`
}

type timesShape struct {
	RFC3161 []timestampShape `json:"rfc3161Timestamps"`
}

type timestampShape struct {
	Response octets `json:"signedTimestamp"` // DER TimeStampResp
}

type entryShape struct {
	LogIndex       integer      `json:"logIndex"`
	LogID          logIDShape   `json:"logId"`
	Kind           kindShape    `json:"kindVersion"`
	IntegratedTime integer      `json:"integratedTime"` // seconds since 1970
	Promise        promiseShape `json:"inclusionPromise"`
	Proof          *proofShape  `json:"inclusionProof"`
	Body           octets       `json:"canonicalizedBody"`
}

type logIDShape struct {
	KeyID octets `json:"keyId"`
}

type kindShape struct {
	Kind    string `json:"kind"`
	Version string `json:"version"`
}

type promiseShape struct {
	SET octets `json:"signedEntryTimestamp"`
}

type proofShape struct {
	LogIndex   integer         `json:"logIndex"`
	RootHash   octets          `json:"rootHash"`
	TreeSize   integer         `json:"treeSize"`
	Hashes     []octets        `json:"hashes"`
	Checkpoint checkpointShape `json:"checkpoint"`
}

type checkpointShape struct {
	Envelope string `json:"envelope"` // C2SP signed note
}

type envelopeShape struct {
	Payload     octets           `json:"payload"`
	PayloadType string           `json:"payloadType"`
	Signatures  []signatureShape `json:"signatures"`
}

type signatureShape struct {
	Signature octets `json:"sig"`
	KeyID     string `json:"keyid"`
}

type messageShape struct {
	Digest    digestShape `json:"messageDigest"`
	Signature octets      `json:"signature"`
}

type digestShape struct {
	Algorithm string `json:"algorithm"`
	Digest    octets `json:"digest"`
}

// parseShape reads the bundle's JSON once and checks all that needs no
// cryptography; its caller has bounded its size. What it lets through has one certificate, one signature over an
// in-toto payload, and proofs with checkpoints; it says nothing about truth.
func parseShape(bundle []byte) (*shape, error) {
	var s shape
	if err := json.Unmarshal(bundle, &s, json.RejectUnknownMembers(true)); err != nil {
		return nil, refuse(CodeMalformed, "bundle: %w", err)
	}
	version, known := mediaTypes[s.MediaType]
	if !known {
		return nil, refuse(CodeMalformed, "media type %.80q, want a Sigstore bundle of version 0.1, 0.2 or 0.3", s.MediaType)
	}
	for _, check := range []func() error{s.envelope, func() error { return s.certificate(version) }, s.entries, s.timestamps} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return &s, nil
}

func (s *shape) envelope() error {
	e := s.Envelope
	switch {
	case s.Message != nil:
		return refuse(CodeMalformed, "bundle carries a message signature, want a DSSE envelope with a statement")
	case e == nil:
		return refuse(CodeMalformed, "bundle carries no DSSE envelope")
	case e.PayloadType != payloadType:
		return refuse(CodeMalformed, "payload type %.80q, want %q", e.PayloadType, payloadType)
	case len(e.Payload) == 0:
		return refuse(CodeMalformed, "envelope has no payload")
	case len(e.Signatures) != 1:
		return refuse(CodeMalformed, "envelope has %d signatures, want exactly 1", len(e.Signatures))
	case e.Signatures[0].KeyID != "":
		// Nothing signs a key id, and under a certificate nothing needs it.
		return refuse(CodeMalformed, "signature has key id %.80q, want none beside a certificate", e.Signatures[0].KeyID)
	}
	return nil
}

func (s *shape) certificate(version string) error {
	m := &s.Material
	switch {
	case m.PublicKey != nil:
		return refuse(CodeCertificate, "bundle is signed by a bare key, want a certificate that says who built")
	case m.Certificate != nil && m.Chain != nil:
		return refuse(CodeCertificate, "bundle has both a certificate and a chain")
	case m.Chain != nil && version == "v0.3":
		return refuse(CodeMalformed, "bundle v0.3 has a certificate chain, want one certificate")
	case m.Chain != nil && (len(m.Chain.Certificates) == 0 || len(m.Chain.Certificates) > 1+maxChain):
		return refuse(CodeCertificate, "chain of %d certificates, want 1 to %d", len(m.Chain.Certificates), 1+maxChain)
	case len(s.leafDER()) == 0:
		return refuse(CodeCertificate, "bundle has no certificate")
	}
	return nil
}

func (s *shape) leafDER() []byte {
	switch m := &s.Material; {
	case m.Certificate != nil:
		return m.Certificate.DER
	case m.Chain != nil:
		return m.Chain.Certificates[0].DER
	}
	return nil
}

func (s *shape) entries() error {
	es := s.Material.Entries
	if len(es) == 0 || len(es) > maxEntries {
		return refuse(CodeLog, "bundle has %d log entries, want 1 to %d", len(es), maxEntries)
	}
	logs := make(map[string]bool)
	for i := range es {
		e := &es[i]
		if logs[string(e.LogID.KeyID)] {
			return refuse(CodeLog, "log entry %d: second entry by one log", i)
		}
		logs[string(e.LogID.KeyID)] = true
		if err := e.check(); err != nil {
			return refuse(CodeLog, "log entry %d: %w", i, err)
		}
	}
	return nil
}

func (s *shape) timestamps() error {
	ts := s.Material.Times.RFC3161
	if len(ts) > maxTimestamps {
		return refuse(CodeTime, "bundle has %d timestamps, want at most %d", len(ts), maxTimestamps)
	}
	for i := range ts {
		if len(ts[i].Response) == 0 {
			return refuse(CodeTime, "timestamp %d is empty", i)
		}
	}
	for i := range s.Material.Entries {
		if len(s.Material.Entries[i].Promise.SET) > 0 {
			return nil
		}
	}
	if len(ts) == 0 {
		return refuse(CodeTime, "nobody vouches for the time of signing: no timestamp, no signed entry timestamp")
	}
	return nil
}

// host is the part of a checkpoint's origin that names the log: Rekor v1 writes
// "host - tree id", Rekor v2 the host alone.
func host(origin string) (name string, v1 bool) {
	name, tree, found := strings.Cut(origin, " - ")
	if !found || tree == "" || strings.Trim(tree, "0123456789") != "" {
		return origin, false
	}
	return name, true
}
