package svid

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// A Tie says how an SVID's artifact is tied to whoever asked for the SVID.
type Tie string

const (
	NoTie    Tie = ""         // there is no artifact
	Measured Tie = "measured" // node evidence proves that this digest ran
	Token    Tie = "token"    // the OIDC issuer's claims name it
	Claimed  Tie = "claimed"  // the requester only says so; refused unless asked for
)

// ties are the ENUMERATED values of a Tie.
var ties = []Tie{1: Measured, 2: Token, 3: Claimed}

// Bounds of a Decision, so that a certificate stays small.
const (
	maxSpent    = 16
	maxFloors   = 16
	maxInsecure = 16
	maxText     = 160 // bytes of one text
)

// A Decision is why an SVID was granted: it ties the certificate to the decision
// record, to the policy that decided, and to the state of the log that it was
// decided on. It is an extension of every SVID, and so part of the entry.
type Decision struct {
	Record   [32]byte   // SHA-256 of the decision record; never zero
	Policy   uint64     // index of the policy entry that decided; below Decided
	Decided  uint64     // number of log entries the gate had applied when it decided
	Spent    [][32]byte // keys of what the grant used up, each once; at most 16
	Artifact string     // digest of what runs, "sha256:" or "sha512:" and lower-case hex; "" if none
	Tie      Tie        // how the artifact is tied to the requester; NoTie if and only if there is none
	Floors   []string   // where each verified fact ends, "who:institution", each once; at most 16
	Insecure []string   // names of the weakened checks this rests on, each once; at most 16
	Renews   *uint64    // index of the entry that this one follows, below Decided; nil if it is the first
}

const decisionVersion = 1

var (
	tagArtifact = der.Tag(0).ContextSpecific().Constructed()
	tagRenews   = der.Tag(1).ContextSpecific().Constructed()
)

func (d *Decision) clone() Decision {
	c := *d
	c.Spent, c.Floors, c.Insecure = slices.Clone(d.Spent), slices.Clone(d.Floors), slices.Clone(d.Insecure)
	if d.Renews != nil {
		c.Renews = new(*d.Renews)
	}
	return c
}

// marshal encodes d. It does not judge: what it makes is judged by
// ParseDecision, which reads it again.
func (d *Decision) marshal() ([]byte, error) {
	tie := slices.Index(ties, d.Tie)
	if d.Tie == NoTie {
		tie = 0
	}
	if tie < 0 {
		return nil, fmt.Errorf("decision: tie %q is unknown", d.Tie)
	}
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Uint64(decisionVersion)
		b.AddASN1OctetString(d.Record[:])
		b.AddASN1Uint64(d.Policy)
		b.AddASN1Uint64(d.Decided)
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, k := range d.Spent {
				b.AddASN1OctetString(k[:])
			}
		})
		if d.Artifact != "" || tie != 0 {
			b.AddASN1(tagArtifact, func(b *cryptobyte.Builder) {
				addText(b, d.Artifact)
				b.AddASN1Enum(int64(tie))
			})
		}
		addTexts(b, d.Floors)
		addTexts(b, d.Insecure)
		if d.Renews != nil {
			b.AddASN1(tagRenews, func(b *cryptobyte.Builder) { b.AddASN1Uint64(*d.Renews) })
		}
	})
	return b.Bytes()
}

func addText(b *cryptobyte.Builder, s string) {
	b.AddASN1(der.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
}

func addTexts(b *cryptobyte.Builder, list []string) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, s := range list {
			addText(b, s)
		}
	})
}

// ParseDecision reads the value of a decision extension. The encoding is DER,
// and there is one for each Decision:
//
//	Decision ::= SEQUENCE {
//	    version   INTEGER (1),
//	    record    OCTET STRING (SIZE (32)),
//	    policy    INTEGER (0..2^64-1),
//	    decided   INTEGER (0..2^64-1),
//	    spent     SEQUENCE SIZE (0..16) OF OCTET STRING (SIZE (32)),
//	    artifact  [0] IMPLICIT SEQUENCE {
//	                  digest UTF8String,
//	                  tie    ENUMERATED { measured (1), token (2), claimed (3) } } OPTIONAL,
//	    floors    SEQUENCE SIZE (0..16) OF UTF8String,
//	    insecure  SEQUENCE SIZE (0..16) OF UTF8String,
//	    renews    [1] EXPLICIT INTEGER (0..2^64-1) OPTIONAL }
//
// Texts are 1 to 160 bytes of printable ASCII. A floor is a fact
// in lower case, a colon, and one of hardware, institution and human. No list
// holds a value twice.
func ParseDecision(value []byte) (Decision, error) {
	d, err := readDecision(value)
	if err == nil {
		err = d.check()
	}
	if err != nil {
		return Decision{}, fmt.Errorf("decision: %w", err)
	}
	return d, nil
}

func readDecision(value []byte) (d Decision, err error) {
	s := cryptobyte.String(value)
	var body, spent, artifact cryptobyte.String
	var version uint64
	var hasArtifact bool
	if !s.ReadASN1(&body, der.SEQUENCE) || !s.Empty() || !body.ReadASN1Integer(&version) {
		return d, errNotDER
	}
	if version != decisionVersion {
		return d, fmt.Errorf("version %d is unknown", version)
	}
	if !readHash(&body, &d.Record) || !body.ReadASN1Integer(&d.Policy) || !body.ReadASN1Integer(&d.Decided) ||
		!body.ReadASN1(&spent, der.SEQUENCE) || !body.ReadOptionalASN1(&artifact, &hasArtifact, tagArtifact) {
		return d, errNotDER
	}
	for !spent.Empty() {
		var k [32]byte
		if len(d.Spent) == maxSpent || !readHash(&spent, &k) {
			return d, errors.New("spent is not a list of at most 16 keys of 32 bytes")
		}
		d.Spent = append(d.Spent, k)
	}
	if hasArtifact {
		var tie int
		if !readText(&artifact, &d.Artifact) || !artifact.ReadASN1Enum(&tie) || !artifact.Empty() {
			return d, errNotDER
		}
		if tie < 1 || tie >= len(ties) {
			return d, fmt.Errorf("tie %d is unknown", tie)
		}
		d.Tie = ties[tie]
	}
	if d.Floors, err = readTexts(&body, maxFloors); err != nil {
		return d, fmt.Errorf("floors: %w", err)
	}
	if d.Insecure, err = readTexts(&body, maxInsecure); err != nil {
		return d, fmt.Errorf("insecure: %w", err)
	}
	return d, d.readRenews(&body)
}

func (d *Decision) readRenews(body *cryptobyte.String) error {
	var renews cryptobyte.String
	var present bool
	if !body.ReadOptionalASN1(&renews, &present, tagRenews) || !body.Empty() {
		return errNotDER
	}
	if !present {
		return nil
	}
	d.Renews = new(uint64)
	if !renews.ReadASN1Integer(d.Renews) || !renews.Empty() {
		return errNotDER
	}
	return nil
}

func readHash(s *cryptobyte.String, h *[32]byte) bool {
	var b cryptobyte.String
	return s.ReadASN1(&b, der.OCTET_STRING) && len(b) == 32 && copy(h[:], b) == 32
}

func readText(s *cryptobyte.String, text *string) bool {
	var b cryptobyte.String
	if !s.ReadASN1(&b, der.UTF8String) || len(b) == 0 || len(b) > maxText {
		return false
	}
	*text = string(b)
	return !strings.ContainsFunc(*text, func(r rune) bool { return r < ' ' || r > '~' })
}

func readTexts(s *cryptobyte.String, limit int) (texts []string, err error) {
	var list cryptobyte.String
	if !s.ReadASN1(&list, der.SEQUENCE) {
		return nil, errNotDER
	}
	for !list.Empty() {
		var text string
		if len(texts) == limit || !readText(&list, &text) {
			return nil, fmt.Errorf("not a list of at most %d texts of printable ASCII", limit)
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// check refuses a Decision that no gate could have made.
func (d *Decision) check() error {
	switch {
	case d.Record == [32]byte{}:
		return errors.New("no decision record")
	case d.Policy >= d.Decided:
		return fmt.Errorf("policy entry %d is not among the %d entries it was decided on", d.Policy, d.Decided)
	case d.Renews != nil && *d.Renews >= d.Decided:
		return fmt.Errorf("renewed entry %d is not among the %d entries it was decided on", *d.Renews, d.Decided)
	case d.Artifact != "" && !isDigest(d.Artifact):
		return fmt.Errorf("artifact %q is not a whole SHA-256 or SHA-512 digest", d.Artifact)
	case repeats(d.Spent) || repeats(d.Floors) || repeats(d.Insecure):
		return errors.New("a list holds a value twice")
	}
	for _, f := range d.Floors {
		if !isFloor(f) {
			return fmt.Errorf("floor %q: want fact:hardware, fact:institution or fact:human", f)
		}
	}
	return nil
}

func isDigest(s string) bool {
	algorithm, text, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(text)
	if !ok || err != nil || strings.ToLower(text) != text {
		return false
	}
	return algorithm == "sha256" && len(b) == 32 || algorithm == "sha512" && len(b) == 64
}

func isFloor(s string) bool {
	fact, floor, ok := strings.Cut(s, ":")
	odd := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' }
	return ok && fact != "" && !strings.ContainsFunc(fact, odd) &&
		slices.Contains([]string{"hardware", "institution", "human"}, floor)
}

func repeats[T comparable](list []T) bool {
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			return true
		}
	}
	return false
}
