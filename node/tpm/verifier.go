package tpm

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"plastron/node"
	"plastron/node/internal/host"
)

// Kind is the kind of evidence and of node sources.
const Kind = "tpm"

// A Config says which TPMs a source of nodes is made of.
type Config struct {
	Name string // of the node source in the gate's configuration

	// CA certificates that EK certificates have to chain to, by what vouches for
	// the TPM: its maker; a cloud that emulates it; nobody. None may be in two.
	EKRoots                 []*x509.Certificate // floor hardware
	InstitutionEKRoots      []*x509.Certificate // floor institution
	InsecureSoftwareEKRoots []*x509.Certificate // floor human, Insecure names InsecureSoftware

	Inventory Inventory // the TPMs that are ours
	PCRs      []int     // registers of the SHA-256 bank that a quote selects, exactly; nil for DefaultPCRs
}

// A Verifier appraises the TPMs of one node source, and enrols them. It keeps
// nothing but its configuration and a key of this process; the zero Verifier
// accepts nothing.
type Verifier struct {
	name      string
	roots     *roots
	inventory Inventory
	pcrs      pcrSet
	key       [32]byte // derives the secrets inside challenges
}

var _ node.Enroller = (*Verifier)(nil)

// New makes the verifier of a node source.
func New(c Config) (*Verifier, error) {
	if c.Name == "" {
		return nil, errors.New("tpm: node source without a name")
	}
	r, err := newRoots(c)
	if err != nil {
		return nil, fmt.Errorf("tpm: node source %q: %w", c.Name, err)
	}
	pcrs, err := newPCRSet(c.PCRs)
	if err != nil {
		return nil, fmt.Errorf("tpm: node source %q: %w", c.Name, err)
	}
	v := &Verifier{name: c.Name, roots: r, inventory: maps.Clone(c.Inventory), pcrs: pcrs}
	rand.Read(v.key[:]) // never fails
	return v, nil
}

// Name is the node source's.
func (v *Verifier) Name() string { return v.name }

// Kind is "tpm".
func (v *Verifier) Kind() string { return Kind }

// EnrolmentKey is the lower-case hex of the name of the AK that the evidence
// carries, as recomputed from its public area.
func (v *Verifier) EnrolmentKey(ev node.Evidence) (string, error) {
	_, ak, err := parseEvidence(ev)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(ak.name), nil
}

// Verify appraises a quote, in the order that the package comment gives.
func (v *Verifier) Verify(_ context.Context, ev node.Evidence, bind [32]byte, e *node.Enrolment, now time.Time) (*node.Host, error) {
	sent, ak, err := parseEvidence(ev)
	if err != nil {
		return nil, err
	}
	known, anchor, err := v.admitted(ak, e)
	if err != nil {
		return nil, err
	}
	if err := ak.checkAK(); err != nil {
		return nil, refuse(node.BadAnchor, "%w", err)
	}
	sig, err := parseSignature(sent.Signature)
	if err != nil {
		return nil, refuse(node.Malformed, "%w", err)
	}
	if err := sig.verify(ak, sent.Attest); err != nil {
		return nil, refuse(node.Signature, "quote: %w", err)
	}
	quote, err := parseAttest(sent.Attest)
	if err != nil {
		return nil, refuse(node.Malformed, "%w", err)
	}
	values, err := quote.check(bind, v.pcrs, sig.hash, sent.PCRs)
	if err != nil {
		return nil, err
	}
	return host.New(host.Result{
		Name:     v.name,
		Kind:     Kind,
		ID:       Kind + ":" + hex.EncodeToString(ak.name),
		Floor:    anchor.floor,
		Bound:    node.Key,
		Anchors:  []node.Anchor{anchor.anchor},
		Facts:    v.facts(known, quote, values),
		Time:     now,
		Digest:   sha256.Sum256(ev.Data),
		Spent:    []node.SpentKey{{Kind: Kind, Anchor: ak.name, M: sent.Attest}},
		Insecure: anchor.insecure(),
	}), nil
}

// parseEvidence decodes evidence strictly and reads the key that it names. It
// verifies nothing.
func parseEvidence(ev node.Evidence) (*evidence, *public, error) {
	if ev.Kind != Kind {
		return nil, nil, refuse(node.Malformed, "evidence of kind %q, want %q", ev.Kind, Kind)
	}
	var e evidence
	if err := decode("TPM evidence", ev.Data, MaxEvidence, &e); err != nil {
		return nil, nil, err
	}
	if len(e.Attest) > maxAttest || len(e.Signature) > maxSignature {
		return nil, nil, refuse(node.Malformed, "quote of %d bytes and signature of %d, want at most %d and %d", len(e.Attest), len(e.Signature), maxAttest, maxSignature)
	}
	ak, err := parsePublic(e.AKPublic)
	if err != nil {
		return nil, nil, refuse(node.Malformed, "ak_public: %w", err)
	}
	return &e, ak, nil
}

// admitted returns what the log knows of an AK, if that still lets it in: the
// inventory and the roots may have changed since it was enrolled.
func (v *Verifier) admitted(ak *public, e *node.Enrolment) (*enrolment, root, error) {
	none := func(format string, args ...any) (*enrolment, root, error) {
		return nil, root{}, refuse(node.NotEnrolled, format, args...)
	}
	if e == nil || e.Kind != Kind || e.Name != v.name {
		return none("no entry of the log enrols AK %x in %q: run `plastron node enrol`", ak.name, v.name)
	}
	var known enrolment
	if err := decode("enrolment", e.Data, maxMessage, &known); err != nil {
		return none("entry %d enrols no TPM: %w", e.Index, err)
	}
	if known.AK != hex.EncodeToString(ak.name) {
		return none("entry %d enrols another AK, %s", e.Index, known.AK)
	}
	ek, err := parseHash(known.EK)
	if err != nil || !v.inventory[ek] {
		return none("the TPM of entry %d, EK %s, is not in the inventory of %q any more", e.Index, known.EK, v.name)
	}
	hash, err := parseHash(known.Root)
	anchor, ok := v.roots.known[hash]
	if err != nil || !ok {
		return nil, root{}, refuse(node.BadAnchor, "entry %d was made under EK root %s, which is not configured any more", e.Index, known.Root)
	}
	return &known, anchor, nil
}

func (v *Verifier) facts(known *enrolment, q *attested, values [][sha256.Size]byte) map[string]string {
	f := map[string]string{
		"ek":            known.EK,
		"ak":            known.AK,
		"clock":         strconv.FormatUint(q.clock, 10),
		"clock_safe":    strconv.FormatBool(q.safe),
		"reset_count":   strconv.FormatUint(uint64(q.resetCount), 10),
		"restart_count": strconv.FormatUint(uint64(q.restartCount), 10),
		"firmware":      fmt.Sprintf("%016x", q.firmware),
	}
	for i, p := range v.pcrs {
		f["pcr."+strconv.Itoa(p)] = hex.EncodeToString(values[i][:])
	}
	return f
}
