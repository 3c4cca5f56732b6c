package policy

import (
	"encoding/json/v2"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Facts are what a request proved: every value that a decision reads. Whoever
// fills them copies from verified values only ([plastron/oidc.Identity],
// [plastron/provenance.Build], [plastron/node.Host]).
//
// A nil noun is absent: no token, no bundle, no node evidence. Inside a noun the
// zero value of a field ("", no time, nil) is an absent fact. A clause on an
// absent fact does not hold; an expression that reads one refuses the request.
//
// The JSON form is what a decision record archives; [ParseFacts] reads it back.
type Facts struct {
	Now      time.Time `json:"now"` // when the decision is made
	Token    *Token    `json:"token,omitzero"`
	Build    *Build    `json:"build,omitzero"`
	Node     *Node     `json:"node,omitzero"`
	Artifact *Artifact `json:"artifact,omitzero"` // only with a build
}

// Token is WHO: a verified OIDC token. Issuer and Subject are always there.
//
// Facts that issuers name differently (repository_id, namespace, workflow ...)
// are read from Claims by the names that GitHub, GitLab and Kubernetes use;
// see claims.go.
type Token struct {
	Issuer    string            `json:"issuer"` // name in the configuration
	URL       string            `json:"url,omitzero"`
	Subject   string            `json:"subject"`
	IssuedAt  time.Time         `json:"issued_at,omitzero"`
	ExpiresAt time.Time         `json:"expires_at,omitzero"`
	Bound     bool              `json:"bound,omitzero"`  // its audience carried the request's bind
	Claims    map[string]string `json:"claims,omitzero"` // dotted paths to the text of strings, numbers and booleans
}

// Build is WHAT: verified provenance. Root is always there. The comments give
// the number of Fulcio's extension (1.3.6.1.4.1.57264.1.N).
type Build struct {
	Root          string    `json:"root"`                    // name of the Sigstore root in the configuration
	Issuer        string    `json:"issuer,omitzero"`         // OIDC issuer URL in the certificate (8)
	Signer        string    `json:"signer,omitzero"`         // subject alternative name: workflow URI or e-mail address
	Builder       string    `json:"builder,omitzero"`        // SLSA builder id
	BuildType     string    `json:"build_type,omitzero"`     // SLSA buildType
	PredicateType string    `json:"predicate_type,omitzero"` // in-toto predicateType
	Source        string    `json:"source,omitzero"`         // host/owner/repository without scheme (12)
	RepositoryID  string    `json:"repository_id,omitzero"`  // (15)
	OwnerID       string    `json:"owner_id,omitzero"`       // (17)
	Commit        string    `json:"commit,omitzero"`         // hex (13)
	Ref           string    `json:"ref,omitzero"`            // refs/heads/main, refs/tags/v1 (14)
	Workflow      string    `json:"workflow,omitzero"`       // build config URI (18)
	Event         string    `json:"event,omitzero"`          // build trigger (20)
	Runner        string    `json:"runner,omitzero"`         // runner environment (11)
	Run           string    `json:"run,omitzero"`            // run invocation URI (21)
	Subject       string    `json:"subject,omitzero"`        // name of the matched in-toto subject
	SignedAt      time.Time `json:"signed_at,omitzero"`      // verified signing time
	LoggedAt      time.Time `json:"logged_at,omitzero"`      // integrated time, where the log states one
	Log           string    `json:"log,omitzero"`            // transparency log that holds it
	LogIndex      *int64    `json:"log_index,omitzero"`
}

// Node is WHERE: verified node evidence. Name, Kind, ID, Floor and Bound are
// always there.
type Node struct {
	Name  string            `json:"name"`           // of the source, in the configuration
	Kind  string            `json:"kind"`           // tpm, join-token ...
	ID    string            `json:"id"`             // stable: "tpm:<hex>"
	Floor string            `json:"floor"`          // hardware, institution, human
	Bound string            `json:"bound"`          // key, audience, none
	Facts map[string]string `json:"facts,omitzero"` // what the kind proves beside; "pcr.7" is lower-case hex, SHA-256 bank
}

// Artifact is what the requester says it runs, and what ties it to that.
type Artifact struct {
	Digest string `json:"digest"` // "sha256:<hex>" or "sha512:<hex>"
	Tie    string `json:"tie"`    // measured, token, claimed: the strongest that was proved
}

// ParseFacts reads the JSON form of facts strictly: unknown, duplicate and
// misspelt names are refused, as are incomplete facts.
func ParseFacts(text []byte) (*Facts, error) {
	f := new(Facts)
	if err := json.Unmarshal(text, f, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("parse facts: %w", err)
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("parse facts: %w", err)
	}
	return f, nil
}

// check refuses facts that no verifier could have made, the zero value first.
func (f *Facts) check() error {
	switch {
	case f == nil || f.Now.IsZero():
		return errors.New("no time of decision")
	case f.Token != nil && (f.Token.Issuer == "" || f.Token.Subject == ""):
		return errors.New("a token without issuer or subject")
	case f.Build != nil && f.Build.Root == "":
		return errors.New("a build without root")
	case f.Node != nil && (f.Node.Name == "" || f.Node.Kind == "" || f.Node.ID == ""):
		return errors.New("a node without name, kind or id")
	case f.Node != nil && !slices.Contains(floors, f.Node.Floor):
		return fmt.Errorf("a node on floor %s", quote(f.Node.Floor))
	case f.Node != nil && !slices.Contains([]string{"key", "audience", "none"}, f.Node.Bound):
		return fmt.Errorf("a node bound by %s", quote(f.Node.Bound))
	case f.Artifact != nil && f.Build == nil:
		return errors.New("an artifact without a build")
	case f.Artifact != nil && !strings.Contains(f.Artifact.Digest, ":"):
		return errors.New("an artifact without digest")
	case f.Artifact != nil && !slices.Contains(ties, f.Artifact.Tie):
		return fmt.Errorf("an artifact tied by %s", quote(f.Artifact.Tie))
	}
	return nil
}
