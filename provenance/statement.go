package provenance

import (
	"cmp"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"slices"

	attestation "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/types/known/structpb"
)

// Bounds on a statement, sigstore-go's as well.
const (
	maxSubjects = 1024
	maxDigests  = 32 // of one subject
)

// statement is an in-toto Statement, v0.1 or v1.
type statement struct {
	Type          string         `json:"_type"`
	Subject       []descriptor   `json:"subject"`
	PredicateType string         `json:"predicateType"`
	Predicate     jsontext.Value `json:"predicate"`
}

// descriptor is an in-toto ResourceDescriptor.
type descriptor struct {
	Name        string            `json:"name"`
	URI         string            `json:"uri"`
	Digest      map[string]string `json:"digest"`
	Content     octets            `json:"content"`
	Location    string            `json:"downloadLocation"`
	MediaType   string            `json:"mediaType"`
	Annotations jsontext.Value    `json:"annotations"`
}

// state reads the verified payload, the only time it is decoded, into b: subject
// and predicate, each compared with what is known already.
func (b *Build) state(payload []byte, artifact Digest) error {
	s, err := parseStatement(payload)
	if err != nil {
		return refuse(CodePredicate, "statement: %w", err)
	}
	if err := s.validate(); err != nil {
		return err
	}
	if err := b.match(s.Subject, artifact); err != nil {
		return refuse(CodeSubject, "%w", err)
	}
	p, err := parsePredicate(s.PredicateType, s.Predicate)
	if err != nil {
		return refuse(CodePredicate, "predicate %.200q: %w", s.PredicateType, err)
	}
	b.predicateType, b.buildType, b.builder = s.PredicateType, p.buildType, p.builder
	if err := p.agree(b); err != nil {
		return refuse(CodePredicate, "predicate contradicts the certificate: %w", err)
	}
	return nil
}

// parseStatement decodes strictly: a name twice, in another case or unknown is
// refused at every level but inside the predicate, which has its own reader.
func parseStatement(payload []byte) (*statement, error) {
	var s statement
	if err := json.Unmarshal(payload, &s, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	if len(s.Subject) > maxSubjects {
		return nil, fmt.Errorf("%d subjects, want at most %d", len(s.Subject), maxSubjects)
	}
	for i := range s.Subject {
		if n := len(s.Subject[i].Digest); n > maxDigests {
			return nil, fmt.Errorf("subject %d has %d digests, want at most %d", i, n, maxDigests)
		}
	}
	if s.Predicate.Kind() != '{' {
		return nil, errors.New("predicate is not an object")
	}
	return &s, nil
}

// validate asks, by in-toto's own code, for what its specification requires.
func (s *statement) validate() error {
	p := attestation.Statement{Type: s.Type, PredicateType: s.PredicateType, Predicate: &structpb.Struct{}}
	for i := range s.Subject {
		d := s.Subject[i].proto()
		if err := d.Validate(); err != nil {
			return refuse(CodeSubject, "subject %d: %w", i, err)
		}
		p.Subject = append(p.Subject, d)
	}
	if len(p.Subject) == 0 {
		return refuse(CodeSubject, "statement has no subject")
	}
	if err := p.Validate(); err != nil {
		return refuse(CodePredicate, "statement: %w", err)
	}
	return nil
}

func (d *descriptor) proto() *attestation.ResourceDescriptor {
	return &attestation.ResourceDescriptor{Name: d.Name, Uri: d.URI, Digest: d.Digest}
}

// contradicts tells whether d has one strong digest of those given and another
// value for some other: it cannot be the same bytes and must be.
func (d *descriptor) contradicts(all map[string]string) bool {
	shares, differs := false, false
	for algorithm, digits := range d.Digest {
		was, given := all[algorithm]
		if _, strong := digestLen[algorithm]; strong && given && was == digits {
			shares = true
		}
		differs = differs || given && was != digits
	}
	return shares && differs
}

// match finds the artifact among the subjects and takes over the other digests
// given for it. Two subjects may be the same bytes under two names, but then
// they must agree: otherwise one of the digests is a lie, and which one would
// depend on who reads.
func (b *Build) match(subjects []descriptor, artifact Digest) error {
	all := make(map[string]string)
	found := false
	for i := range subjects {
		s := &subjects[i]
		if s.Digest[artifact.Algorithm] != artifact.Hex {
			continue
		}
		if !found {
			b.subjectName, found = s.Name, true
		}
		for algorithm, digits := range s.Digest {
			if _, given := all[algorithm]; !given {
				all[algorithm] = digits // and whoever differs contradicts
			}
		}
	}
	if !found {
		return fmt.Errorf("none of %d subjects is %s", len(subjects), artifact)
	}
	for i := range subjects {
		if subjects[i].contradicts(all) {
			return fmt.Errorf("subject %d shares a digest with %s and differs in another", i, artifact)
		}
	}
	for algorithm, digits := range all {
		d := Digest{algorithm, digits}
		if _, names := digestLen[algorithm]; !names {
			continue // a weak or foreign algorithm names nothing here
		}
		if err := d.check(); err != nil {
			return fmt.Errorf("subject %q: %w", b.subjectName, err)
		}
		b.digests = append(b.digests, d)
	}
	slices.SortFunc(b.digests, func(x, y Digest) int { return cmp.Compare(x.Algorithm, y.Algorithm) })
	b.artifact = artifact
	return nil
}
