package provenance

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor/pkg/util"
)

// maxNoteSignatures bounds the signature lines under a Rekor v2 checkpoint: the
// log's and those of witnesses, which are not counted.
const maxNoteSignatures = 16

// check refuses an entry that could not prove anything: no proof, a proof
// without a checkpoint, or fields that contradict each other. The promise
// (SignedEntryTimestamp) says only that the log means to include the entry.
func (e *entryShape) check() error {
	p := e.Proof
	switch {
	case len(e.LogID.KeyID) != sha256.Size:
		return fmt.Errorf("log id of %d bytes, want %d", len(e.LogID.KeyID), sha256.Size)
	case len(e.Body) == 0:
		return errors.New("no body")
	case p == nil:
		return errors.New("no inclusion proof: a promise alone is not inclusion")
	case p.Checkpoint.Envelope == "":
		return errors.New("inclusion proof without a checkpoint")
	case len(p.Checkpoint.Envelope) > maxCheckpoint:
		return fmt.Errorf("checkpoint of %d bytes, want at most %d", len(p.Checkpoint.Envelope), maxCheckpoint)
	case p.LogIndex >= p.TreeSize:
		return fmt.Errorf("leaf %d of %d", p.LogIndex, p.TreeSize)
	case len(p.RootHash) != sha256.Size:
		return fmt.Errorf("root hash of %d bytes", len(p.RootHash))
	case len(p.Hashes) > maxProof:
		return fmt.Errorf("inclusion proof of %d hashes, want at most %d", len(p.Hashes), maxProof)
	}
	for _, h := range p.Hashes {
		if len(h) != sha256.Size {
			return fmt.Errorf("inclusion proof with a hash of %d bytes", len(h))
		}
	}
	return e.checkKind()
}

// checkKind knows the three entries that speak of a DSSE envelope.
func (e *entryShape) checkKind() error {
	switch e.Kind {
	case kindShape{"intoto", "0.0.2"}, kindShape{"dsse", "0.0.1"}: // Rekor v1
		if len(e.Promise.SET) == 0 || e.IntegratedTime == 0 {
			return errors.New("entry of Rekor v1 without a signed entry timestamp: nothing signs its time and index")
		}
	case kindShape{"hashedrekord", "0.0.2"}: // Rekor v2
		if len(e.Promise.SET) != 0 || e.IntegratedTime != 0 {
			return errors.New("entry of Rekor v2 with a promise or an integrated time, which nothing signs")
		}
		if e.LogIndex != e.Proof.LogIndex {
			return fmt.Errorf("log index %d, but the proof is of %d", e.LogIndex, e.Proof.LogIndex)
		}
	default:
		return fmt.Errorf("entry of kind %.40q version %.20q: want intoto/0.0.2, dsse/0.0.1 or hashedrekord/0.0.2", e.Kind.Kind, e.Kind.Version)
	}
	return nil
}

func (e *entryShape) v1() bool { return e.Kind.Kind != "hashedrekord" }

// integrated is the time the log promised to have taken the entry in; the zero
// time for Rekor v2.
func (e *entryShape) integrated() time.Time {
	if e.IntegratedTime == 0 {
		return time.Time{}
	}
	return time.Unix(int64(e.IntegratedTime), 0).UTC()
}

// checkpoint reads the proof's checkpoint without believing its signatures and
// compares it with the fields beside it, which verifiers take from one place or
// the other. logHost is the name that the log's trust root gives it.
func (e *entryShape) checkpoint(logHost string) error {
	var c util.SignedCheckpoint
	if err := c.UnmarshalText([]byte(e.Proof.Checkpoint.Envelope)); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	name, v1 := host(c.Origin)
	switch {
	case c.SignedNote.String() != e.Proof.Checkpoint.Envelope:
		return errors.New("checkpoint is not in its canonical form")
	case name != logHost:
		return fmt.Errorf("checkpoint of %.80q, want %q", c.Origin, logHost)
	case v1 != e.v1():
		return fmt.Errorf("checkpoint of %.80q under an entry of kind %s/%s", c.Origin, e.Kind.Kind, e.Kind.Version)
	case c.Size != uint64(e.Proof.TreeSize):
		return fmt.Errorf("checkpoint of size %d, but the proof is for %d", c.Size, e.Proof.TreeSize)
	case string(c.Hash) != string(e.Proof.RootHash):
		return errors.New("checkpoint and proof name different roots")
	case v1 && len(c.Signatures) != 1, len(c.Signatures) > maxNoteSignatures:
		return fmt.Errorf("checkpoint with %d signatures", len(c.Signatures))
	case c.Signatures[0].Name != logHost:
		return fmt.Errorf("checkpoint signed by %.80q, want %q first", c.Signatures[0].Name, logHost)
	}
	return nil
}

// proto is the entry as Sigstore's libraries take it.
func (e *entryShape) proto() *rekorv1.TransparencyLogEntry {
	t := &rekorv1.TransparencyLogEntry{
		LogIndex:       int64(e.LogIndex),
		LogId:          &commonv1.LogId{KeyId: e.LogID.KeyID},
		KindVersion:    &rekorv1.KindVersion{Kind: e.Kind.Kind, Version: e.Kind.Version},
		IntegratedTime: int64(e.IntegratedTime),
		InclusionProof: &rekorv1.InclusionProof{
			LogIndex:   int64(e.Proof.LogIndex),
			RootHash:   e.Proof.RootHash,
			TreeSize:   int64(e.Proof.TreeSize),
			Checkpoint: &rekorv1.Checkpoint{Envelope: e.Proof.Checkpoint.Envelope},
		},
		CanonicalizedBody: e.Body,
	}
	for _, h := range e.Proof.Hashes {
		t.InclusionProof.Hashes = append(t.InclusionProof.Hashes, h)
	}
	if len(e.Promise.SET) > 0 {
		t.InclusionPromise = &rekorv1.InclusionPromise{SignedEntryTimestamp: e.Promise.SET}
	}
	return t
}
