package cosign

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"

	"plastron/provenance"
)

// payloadType is the DSSE payload type of an in-toto statement.
const payloadType = "application/vnd.in-toto+json"

// statement is an in-toto Statement; what else is in it is not ours to judge.
type statement struct {
	Type    string `json:"_type"`
	Subject []struct {
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	PredicateType string         `json:"predicateType"`
	Predicate     jsontext.Value `json:"predicate"`
}

// state reads the statement, verified by now, with a reader that takes no name
// twice or in another case, and finds the artifact in it once more: libraries
// read it laxly, and pass over a _type that they do not know. It is "" for a
// plain signature.
func (t *trial) state(artifact Artifact) (predicateType string, err error) {
	e := t.b.GetDsseEnvelope()
	if e == nil {
		return "", nil
	}
	if e.GetPayloadType() != payloadType {
		return "", refuse(provenance.CodePredicate, "payload type %.80q, want %q", e.GetPayloadType(), payloadType)
	}
	var s statement
	if err := json.Unmarshal(e.GetPayload(), &s); err != nil {
		return "", refuse(provenance.CodePredicate, "statement: %w", err)
	}
	if s.Type != "https://in-toto.io/Statement/v1" && s.Type != "https://in-toto.io/Statement/v0.1" {
		return "", refuse(provenance.CodePredicate, "statement of _type %.80q, want in-toto's v0.1 or v1", s.Type)
	}
	if s.PredicateType == "" {
		return "", refuse(provenance.CodePredicate, "statement without a predicateType")
	}
	if err := s.names(artifact); err != nil {
		return "", refuse(provenance.CodeSubject, "%w", err)
	}
	return s.PredicateType, nil
}

// names tells whether a subject is the artifact, by its digest or, where the
// bytes are there, by a longer one.
func (s *statement) names(artifact Artifact) error {
	for _, sub := range s.Subject {
		if sub.Digest[artifact.Digest.Algorithm] == artifact.Digest.Hex {
			return nil
		}
	}
	if artifact.Content == nil {
		return fmt.Errorf("none of %d subjects is %s", len(s.Subject), artifact.Digest)
	}
	if _, err := artifact.Content.Seek(0, io.SeekStart); err != nil {
		return err
	}
	other, err := sum512(artifact.Content)
	if err != nil {
		return err
	}
	for _, sub := range s.Subject {
		if sub.Digest["sha512"] == other {
			return nil
		}
	}
	return errors.New("no subject is the artifact by SHA-256 or SHA-512")
}
