package provenance

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"

	"github.com/go-openapi/strfmt"
	tilesnote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	tilesverify "github.com/sigstore/rekor-tiles/v2/pkg/verify"
	"github.com/sigstore/rekor/pkg/generated/models"
	rekorverify "github.com/sigstore/rekor/pkg/verify"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/mod/sumdb/note"
)

// A rekorLog is a transparency log of a trust root, its key ready for use. The
// key comes from the root alone: nothing in a bundle can bring its own.
type rekorLog struct {
	*root.TransparencyLog
	host   string // the log's name in checkpoints: the host of its base URL
	signed signature.Verifier
	noted  note.Verifier
	key    [32]byte // SHA-256 of the SubjectPublicKeyInfo
}

func newRekorLog(t *root.TransparencyLog) (*rekorLog, error) {
	u, err := url.Parse(t.BaseURL)
	if err != nil {
		return nil, err
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("base URL %q names no host, which is the log's name in checkpoints", t.BaseURL)
	}
	spki, err := x509.MarshalPKIXPublicKey(t.PublicKey)
	if err != nil {
		return nil, err
	}
	l := &rekorLog{TransparencyLog: t, host: u.Hostname(), key: sha256.Sum256(spki)}
	if l.signed, err = signature.LoadVerifier(t.PublicKey, t.SignatureHashFunc); err != nil {
		return nil, err
	}
	if l.noted, err = tilesnote.NewNoteVerifier(l.host, l.signed); err != nil {
		return nil, err
	}
	return l, nil
}

// verify checks that the log holds this entry and that the entry is about this
// evidence. What sigstore-go checks as well it checks by other code: Rekor's own.
func (l *rekorLog) verify(ctx context.Context, e *entryShape, ev *evidence) error {
	if err := e.checkpoint(l.host); err != nil {
		return err
	}
	if e.v1() {
		if err := rekorverify.VerifyLogEntry(ctx, e.anon(), l.signed); err != nil {
			return fmt.Errorf("by Rekor v1: %w", err)
		}
		return e.compareV1(ev)
	}
	// The leaf hash is of the body the bundle brought; sigstore-go computes it
	// from the envelope and certificate. Both being at one index of one tree,
	// the body is about this envelope and this certificate.
	if err := tilesverify.VerifyLogEntry(e.proto(), l.noted); err != nil {
		return fmt.Errorf("by Rekor v2: %w", err)
	}
	return e.compareKind()
}

// anon is the entry as Rekor v1's API gives it: hexadecimal hashes, the index
// over all shards outside the proof and the index within the shard inside it.
func (e *entryShape) anon() *models.LogEntryAnon {
	id, integrated, index := hex.EncodeToString(e.LogID.KeyID), int64(e.IntegratedTime), int64(e.LogIndex)
	leaf, size, rootHash := int64(e.Proof.LogIndex), int64(e.Proof.TreeSize), hex.EncodeToString(e.Proof.RootHash)
	hashes := make([]string, len(e.Proof.Hashes))
	for i, h := range e.Proof.Hashes {
		hashes[i] = hex.EncodeToString(h)
	}
	return &models.LogEntryAnon{
		Body:           base64.StdEncoding.EncodeToString(e.Body),
		IntegratedTime: &integrated,
		LogID:          &id,
		LogIndex:       &index,
		Verification: &models.LogEntryAnonVerification{
			SignedEntryTimestamp: strfmt.Base64(e.Promise.SET),
			InclusionProof: &models.InclusionProof{
				Checkpoint: &e.Proof.Checkpoint.Envelope,
				Hashes:     hashes,
				LogIndex:   &leaf,
				RootHash:   &rootHash,
				TreeSize:   &size,
			},
		},
	}
}

// body is what all entries have in common.
type body struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Spec       jsontext.Value `json:"spec"`
}

// compareKind refuses an entry whose body is of another kind than the bundle
// says, so that it is read as what it was logged as.
func (e *entryShape) compareKind() error {
	_, err := e.spec()
	return err
}

func (e *entryShape) spec() (jsontext.Value, error) {
	var b body
	if err := json.Unmarshal(e.Body, &b, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("entry body: %w", err)
	}
	if (kindShape{b.Kind, b.APIVersion}) != e.Kind {
		return nil, fmt.Errorf("entry body is %.40q version %.20q, bundle says %s/%s", b.Kind, b.APIVersion, e.Kind.Kind, e.Kind.Version)
	}
	return b.Spec, nil
}

// A logged entry names three things, which must be the bundle's own: the
// payload by its hash, the signature, and the certificate as PEM.
type logged struct {
	payloadAlgorithm, payloadHash *string
	signature                     string // standard base64
	certificate                   []byte // PEM
}

func (e *entryShape) compareV1(ev *evidence) error {
	spec, err := e.spec()
	if err != nil {
		return err
	}
	l, err := readV1(e.Kind.Kind, spec)
	if err != nil {
		return err
	}
	want := sha256.Sum256(ev.payload)
	switch {
	case l.payloadAlgorithm == nil || *l.payloadAlgorithm != "sha256" || l.payloadHash == nil:
		return errors.New("entry names no SHA-256 of the payload")
	case *l.payloadHash != hex.EncodeToString(want[:]):
		return fmt.Errorf("entry is about payload %.64q, bundle carries %x", *l.payloadHash, want)
	case l.signature != base64.StdEncoding.EncodeToString(ev.signature):
		return errors.New("entry is about another signature")
	}
	block, rest := pem.Decode(l.certificate)
	switch {
	case block == nil || block.Type != "CERTIFICATE" || len(rest) != 0:
		return errors.New("entry's verifier is not one PEM certificate")
	case string(block.Bytes) != string(ev.leaf.Raw):
		return errors.New("entry is about another certificate")
	}
	return nil
}

// readV1 reads the two kinds of Rekor v1 entry into what they have in common.
func readV1(kind string, spec jsontext.Value) (*logged, error) {
	if kind == "dsse" {
		return readDSSE(spec)
	}
	return readInToto(spec)
}

func readDSSE(spec jsontext.Value) (*logged, error) {
	var s models.DSSEV001Schema
	if err := json.Unmarshal(spec, &s, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("dsse entry: %w", err)
	}
	if len(s.Signatures) != 1 || s.Signatures[0] == nil || s.PayloadHash == nil {
		return nil, errors.New("dsse entry: want one signature and a payload hash")
	}
	one := s.Signatures[0]
	if one.Signature == nil || one.Verifier == nil {
		return nil, errors.New("dsse entry: signature without bytes or verifier")
	}
	return &logged{s.PayloadHash.Algorithm, s.PayloadHash.Value, *one.Signature, *one.Verifier}, nil
}

func readInToto(spec jsontext.Value) (*logged, error) {
	var s models.IntotoV002Schema
	if err := json.Unmarshal(spec, &s, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("intoto entry: %w", err)
	}
	if s.Content == nil || s.Content.PayloadHash == nil || s.Content.Envelope == nil || len(s.Content.Envelope.Signatures) != 1 {
		return nil, errors.New("intoto entry: want one signature and a payload hash")
	}
	one := s.Content.Envelope.Signatures[0]
	if one == nil || one.Sig == nil || one.PublicKey == nil {
		return nil, errors.New("intoto entry: signature without bytes or public key")
	}
	// The log stores the envelope's base64 text as bytes, so it is base64 twice.
	return &logged{s.Content.PayloadHash.Algorithm, s.Content.PayloadHash.Value, string(*one.Sig), *one.PublicKey}, nil
}
