package policy

import (
	"time"

	"plastron/gate/strictyaml"
)

// The types of this file are policy.yaml as it stands there.

type (
	text     = strictyaml.At[string]
	duration = strictyaml.At[time.Duration]
	texts    = strictyaml.Strings
)

type document struct {
	Rules  []strictyaml.At[ruleText]   `yaml:"rules"`
	Refuse []strictyaml.At[refuseText] `yaml:"refuse"`
	Tests  []strictyaml.At[testText]   `yaml:"tests"`
}

type ruleText struct {
	Name     text                      `yaml:"name"`
	ID       text                      `yaml:"id"`
	TTL      duration                  `yaml:"ttl"`
	RenewFor duration                  `yaml:"renew_for"`
	Token    *strictyaml.At[tokenText] `yaml:"token"`
	Build    *strictyaml.At[buildText] `yaml:"build"`
	Node     *strictyaml.At[nodeText]  `yaml:"node"`
	Artifact texts                     `yaml:"artifact"`
	Claimed  strictyaml.At[bool]       `yaml:"insecure_claimed_artifact"`
	When     text                      `yaml:"when"`
}

type tokenText struct {
	Issuer           text                `yaml:"issuer"`
	Subject          texts               `yaml:"subject"`
	RepositoryID     texts               `yaml:"repository_id"`
	OwnerID          texts               `yaml:"owner_id"`
	Repository       texts               `yaml:"repository"`
	Ref              texts               `yaml:"ref"`
	Workflow         texts               `yaml:"workflow"`
	Environment      texts               `yaml:"environment"`
	Event            texts               `yaml:"event"`
	Runner           texts               `yaml:"runner"`
	Namespace        texts               `yaml:"namespace"`
	ServiceAccount   texts               `yaml:"service_account"`
	ServiceAccountID texts               `yaml:"service_account_id"`
	Bound            strictyaml.At[bool] `yaml:"bound"`
	Claims           map[string]texts    `yaml:"claims"`
}

type buildText struct {
	Root          text     `yaml:"root"`
	RepositoryID  texts    `yaml:"repository_id"`
	OwnerID       texts    `yaml:"owner_id"`
	Source        texts    `yaml:"source"`
	Issuer        texts    `yaml:"issuer"`
	Signer        texts    `yaml:"signer"`
	Builder       texts    `yaml:"builder"`
	BuildType     texts    `yaml:"build_type"`
	PredicateType texts    `yaml:"predicate_type"`
	Ref           texts    `yaml:"ref"`
	Event         texts    `yaml:"event"`
	Runner        texts    `yaml:"runner"`
	Workflow      texts    `yaml:"workflow"`
	Subject       texts    `yaml:"subject"`
	MinAge        duration `yaml:"min_age"`
	MaxAge        duration `yaml:"max_age"`
}

type nodeText struct {
	Any   []text           `yaml:"any"`
	Bound text             `yaml:"bound"`
	Floor text             `yaml:"floor"`
	ID    texts            `yaml:"id"`
	PCR   map[int]texts    `yaml:"pcr"`
	Facts map[string]texts `yaml:"facts"`
}

type refuseText struct {
	Name text `yaml:"name"`
	When text `yaml:"when"`
}

type testText struct {
	Name     text                    `yaml:"name"`
	Evidence text                    `yaml:"evidence"`
	Facts    *strictyaml.At[Facts]   `yaml:"facts"`
	Want     strictyaml.At[wantText] `yaml:"want"`
}

type wantText struct {
	Allow  text `yaml:"allow"`
	ID     text `yaml:"id"`
	Refuse text `yaml:"refuse"`
}
