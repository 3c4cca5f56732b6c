package statement

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"plastron/log/proof"
)

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

// A Policy makes a policy text the one that decides, from its entry on.
type Policy struct {
	Name   string     `json:"name"`            // file name, for messages
	SHA256 proof.Hash `json:"sha256"`          // of the text
	Text   string     `json:"text,omitzero"`   // the text; empty when longer than MaxText: then a record by SHA256
	Author string     `json:"author,omitzero"` // who put it there, as authenticated; "" for the file of the configuration
}

func (p *Policy) kind() string     { return "policy" }
func (p *Policy) subject() subject { return subject{p.Name, digest{p.SHA256.String()}} }

func (p *Policy) check() error {
	switch {
	case p.Name == "":
		return errors.New("no name")
	case len(p.Text) > MaxText:
		return fmt.Errorf("text of %d bytes, want at most %d: store it as a record", len(p.Text), MaxText)
	case p.Text != "" && sum([]byte(p.Text)) != p.SHA256:
		return errors.New("sha256 is not the text's")
	}
	return nil
}

// BanKinds are the facts that can be banned.
var BanKinds = []string{
	"anchor", "builder", "commit", "digest", "ek", "issuer", "node", "source", "spiffe-id", "subject",
}

// A Ban refuses, from its entry on, every request that rests on a fact.
type Ban struct {
	Kind   string `json:"kind"`  // one of BanKinds
	Value  string `json:"value"` // as the fact is printed in records: "sha256:…", "github.com/acme/shop", …
	Reason string `json:"reason"`
	Author string `json:"author"` // who asked for it, as authenticated
}

func (b *Ban) kind() string     { return "ban" }
func (b *Ban) subject() subject { return about(b.Kind+":"+b.Value, []byte(b.Kind+":"+b.Value)) }

func (b *Ban) check() error {
	switch {
	case !slices.Contains(BanKinds, b.Kind):
		return fmt.Errorf("kind %q, want one of %s", b.Kind, strings.Join(BanKinds, ", "))
	case b.Value == "":
		return errors.New("no value")
	case b.Reason == "":
		return errors.New("no reason")
	}
	return nil
}

// An Unban ends the ban of a fact.
type Unban struct {
	Kind   string `json:"kind"`
	Value  string `json:"value"`
	Ban    uint64 `json:"ban"` // index of the ban's entry
	Reason string `json:"reason"`
	Author string `json:"author"`
}

func (u *Unban) kind() string { return "unban" }

func (u *Unban) subject() subject {
	return about(u.Kind+":"+u.Value, []byte(u.Kind+":"+u.Value))
}

func (u *Unban) check() error {
	if u.Ban == 0 {
		return errors.New("no index of the ban's entry")
	}
	return (&Ban{Kind: u.Kind, Value: u.Value, Reason: u.Reason}).check()
}

// A JoinToken lets the holder of a seed stand for a node, once.
type JoinToken struct {
	Node      string    `json:"node"`               // name of the node source in the gate's configuration
	PublicKey []byte    `json:"public_key"`         // Ed25519, 32 bytes; the seed is never here
	SPIFFEID  string    `json:"spiffe_id,omitzero"` // the exact SPIFFE ID it may lead to; "" for any that the rule grants
	Rule      string    `json:"rule,omitzero"`      // the only rule it may be used under; "" for any
	Expires   time.Time `json:"expires"`            // UTC, whole seconds
	Reason    string    `json:"reason"`
	Author    string    `json:"author"` // who asked for it, as authenticated
}

func (t *JoinToken) kind() string     { return "join-token" }
func (t *JoinToken) subject() subject { return about(t.Node, t.PublicKey) }

func (t *JoinToken) check() error {
	switch {
	case t.Node == "":
		return errors.New("no node source")
	case len(t.PublicKey) != ed25519.PublicKeySize:
		return fmt.Errorf("public key of %d bytes, want %d", len(t.PublicKey), ed25519.PublicKeySize)
	case t.SPIFFEID == "" && t.Rule == "":
		return errors.New("neither a SPIFFE ID nor a rule: a join token must say what it is for")
	case t.Reason == "":
		return errors.New("no reason")
	}
	return whole(t.Expires)
}

// An Enrolment makes the gate know a node: evidence that names Key is appraised
// with Data.
type Enrolment struct {
	Node      string         `json:"node"`      // name of the node source
	Kind      string         `json:"kind"`      // "tpm"
	Key       string         `json:"key"`       // what later evidence names itself by; tpm: hex of the AK's name
	Data      jsontext.Value `json:"data"`      // the kind's own facts, such as EK and AK
	Authority string         `json:"authority"` // why it was let in: "inventory"
	Anchors   []string       `json:"anchors"`   // "name sha256:…" of the roots it was checked against
	Decided   uint64         `json:"decided"`
	Spent     []proof.Hash   `json:"spent"`
	Time      time.Time      `json:"time"` // when the gate decided
	Record    proof.Hash     `json:"record,omitzero"`
}

func (e *Enrolment) kind() string     { return "enrolment" }
func (e *Enrolment) subject() subject { return about(e.Kind+":"+e.Key, []byte(e.Kind+":"+e.Key)) }

func (e *Enrolment) check() error {
	switch {
	case e.Node == "" || e.Kind == "" || e.Key == "":
		return errors.New("node, kind and key are needed")
	case !e.Data.IsValid() || e.Data.Kind() != '{':
		return errors.New("data is not a JSON object")
	case e.Authority == "":
		return errors.New("no authority")
	case len(e.Spent) == 0:
		return errors.New("no spent key: the node could be enrolled twice at once")
	}
	return whole(e.Time)
}

// A Trust says what the gate believes from its entry on. The first one is entry
// 0, the genesis, which a client may pin.
type Trust struct {
	TrustDomain  string   `json:"trust_domain"`
	Origin       string   `json:"origin"`
	Certificates [][]byte `json:"certificates"` // DER, the CA certificates that SVIDs chain to
	LogPolicy    string   `json:"log_policy"`   // C2SP tlog-policy text
	Beacon       string   `json:"beacon"`       // vkey of the beacon's cosigner
	Issuers      []Anchor `json:"issuers"`
	Sigstore     []Anchor `json:"sigstore"`
	Nodes        []Anchor `json:"nodes"`
	Insecure     []string `json:"insecure,omitzero"` // configuration that weakens a check, by its name
}

// An Anchor is one configured source of trust.
type Anchor struct {
	Name   string     `json:"name"`             // in the configuration and in rules
	Kind   string     `json:"kind,omitzero"`    // of a node source
	URL    string     `json:"url,omitzero"`     // of an issuer
	Shared bool       `json:"shared,omitzero"`  // an issuer that speaks for strangers too
	SHA256 proof.Hash `json:"sha256,omitzero"`  // of the configured roots, keys or inventory, as one text
	Floor  string     `json:"floor,omitzero"`   // hardware, institution or human
	Detail string     `json:"details,omitzero"` // what else the source is configured with, for readers
}

func (t *Trust) kind() string { return "trust" }

func (t *Trust) subject() subject {
	return about(t.Origin, []byte(t.LogPolicy))
}

func (t *Trust) check() error {
	switch {
	case t.TrustDomain == "" || t.Origin == "":
		return errors.New("trust domain and origin are needed")
	case len(t.Certificates) == 0:
		return errors.New("no CA certificate")
	case t.LogPolicy == "":
		return errors.New("no log policy")
	}
	return nil
}
