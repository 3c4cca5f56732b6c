package audit

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"plastron/gate/policy"
	"plastron/gate/strictyaml"
)

// A MonitorFile is monitor.yaml: which log to watch, and what for. Paths are
// relative to the folder of the file.
//
//	log: https://gate.acme.example:8443
//	log_policy: ./log.policy
//	state: ./monitor.state
//	every: 30s
//	webhook: {url: "https://hooks.acme.example/plastron"}
//	rules:
//	  - {name: production, identity: "spiffe://acme.example/prod/**"}
//	  - {name: our shop, source: "github.com/acme/shop", weakest: human}
//	  - {name: the rules change, kind: [policy, trust, ban, unban, join-token]}
type MonitorFile struct {
	Log         string        // URL, or directory of a mirror
	LogPolicy   string        // file
	TrustBundle string        // PEM file, for the gate's https; "" for the log policy alone
	SVID        string        // directory of the SVID to show, where only auditors may read
	State       string        // file of what was seen and delivered
	ForkProof   string        // file for the proof of a fork; "" for beside State
	Every       time.Duration // between two looks at the log
	Within      time.Duration // how long a cosigned checkpoint may be unserved
	Webhook     Webhook       // no URL: none
	Rules       []Interest
}

type monitorText struct {
	Log         string                     `yaml:"log"`
	LogPolicy   string                     `yaml:"log_policy"`
	TrustBundle string                     `yaml:"trust_bundle"`
	SVID        string                     `yaml:"svid"`
	State       string                     `yaml:"state"`
	ForkProof   string                     `yaml:"fork_proof"`
	Every       time.Duration              `yaml:"every"`
	Within      time.Duration              `yaml:"publish_within"`
	Webhook     strictyaml.At[webhookText] `yaml:"webhook"`
	Rules       []strictyaml.At[ruleText]  `yaml:"rules"`
}

type webhookText struct {
	URL       string `yaml:"url"`
	TokenFile string `yaml:"token_file"`
}

type ruleText struct {
	Name     strictyaml.At[string] `yaml:"name"`
	Kind     strictyaml.Strings    `yaml:"kind"`
	Identity strictyaml.Strings    `yaml:"identity"`
	Artifact strictyaml.Strings    `yaml:"artifact"`
	Source   strictyaml.Strings    `yaml:"source"`
	Issuer   strictyaml.Strings    `yaml:"issuer"`
	Weakest  strictyaml.At[string] `yaml:"weakest"`
	Insecure bool                  `yaml:"insecure"`
}

// maxRules bounds the rules, each of which every entry is compared with.
const maxRules = 1000

// LoadMonitorFile reads a monitor.yaml strictly.
func LoadMonitorFile(path string) (*MonitorFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := parseMonitorFile(filepath.Base(path), text)
	if err != nil {
		return nil, err
	}
	for _, p := range []*string{&f.LogPolicy, &f.TrustBundle, &f.SVID, &f.State, &f.ForkProof, &f.Webhook.TokenFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(path), *p)
		}
	}
	if !strings.Contains(f.Log, "://") && !filepath.IsAbs(f.Log) {
		f.Log = filepath.Join(filepath.Dir(path), f.Log)
	}
	return f, nil
}

func parseMonitorFile(name string, text []byte) (*MonitorFile, error) {
	d, err := strictyaml.Parse(name, text)
	if err != nil {
		return nil, err
	}
	t := monitorText{Every: 30 * time.Second, Within: time.Minute}
	if err := d.Decode(&t); err != nil {
		return nil, err
	}
	f := &MonitorFile{
		Log: t.Log, LogPolicy: t.LogPolicy, TrustBundle: t.TrustBundle, SVID: t.SVID, State: t.State, ForkProof: t.ForkProof,
		Every: t.Every, Within: t.Within, Webhook: Webhook{URL: t.Webhook.Value.URL, TokenFile: t.Webhook.Value.TokenFile},
	}
	switch {
	case f.Log == "" || f.LogPolicy == "" || f.State == "":
		return nil, fmt.Errorf("%s: log, log_policy and state are needed", name)
	case f.Every < time.Second:
		return nil, fmt.Errorf("%s: every is %s, want at least 1s", name, f.Every)
	case f.Within < time.Second:
		return nil, fmt.Errorf("%s: publish_within is %s, want at least 1s", name, f.Within)
	case len(t.Rules) > maxRules:
		return nil, fmt.Errorf("%s: %d rules, want at most %d", name, len(t.Rules), maxRules)
	}
	if err := checkHook(d, t.Webhook); err != nil {
		return nil, err
	}
	for _, r := range t.Rules {
		i, err := interest(d, r)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(f.Rules, func(o Interest) bool { return o.Name == i.Name }) {
			return nil, d.Errorf(r.Value.Name.Pos, "two rules named %q", i.Name)
		}
		f.Rules = append(f.Rules, *i)
	}
	return f, nil
}

// checkHook refuses a webhook that would tell the network who is watched.
func checkHook(d *strictyaml.Document, h strictyaml.At[webhookText]) error {
	if h.Value == (webhookText{}) {
		return nil
	}
	u, err := url.Parse(h.Value.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return d.Errorf(h.Pos, "webhook: want url: an http or https URL")
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return d.Errorf(h.Pos, "webhook: plain http goes to this machine only: use https")
	}
	return nil
}

// interest reads one rule.
func interest(d *strictyaml.Document, r strictyaml.At[ruleText]) (*Interest, error) {
	t := r.Value
	i := &Interest{Name: t.Name.Value, Weakest: t.Weakest.Value, Insecure: t.Insecure}
	switch {
	case i.Name == "":
		return nil, d.Errorf(r.Pos, "a rule without name")
	case len(t.Kind)+len(t.Identity)+len(t.Artifact)+len(t.Source)+len(t.Issuer) == 0 && i.Weakest == "" && !i.Insecure:
		return nil, d.Errorf(r.Pos, "rule %q has no condition: it would fit every entry", i.Name)
	case i.Weakest != "" && !slices.Contains(strength, i.Weakest):
		return nil, d.Errorf(t.Weakest.Pos, "weakest is %q, want hardware, institution or human", i.Weakest)
	}
	for _, k := range t.Kind {
		if !slices.Contains(Kinds, k.Value) {
			return nil, d.Errorf(k.Pos, "kind %q, want one of %s%s", k.Value, strings.Join(Kinds, ", "), strictyaml.DidYouMean(k.Value, Kinds))
		}
		i.Kinds = append(i.Kinds, k.Value)
	}
	for _, a := range t.Artifact {
		if !isDigest(a.Value) {
			return nil, d.Errorf(a.Pos, `artifact %q, want a whole digest: "sha256:" or "sha512:" and lower-case hex`, a.Value)
		}
		i.Artifact = append(i.Artifact, a.Value)
	}
	for _, g := range []struct {
		texts strictyaml.Strings
		to    *[]policy.Glob
	}{{t.Identity, &i.Identity}, {t.Source, &i.Source}, {t.Issuer, &i.Issuer}} {
		for _, s := range g.texts {
			glob, err := policy.ParseGlob(s.Value)
			if err != nil {
				return nil, d.Errorf(s.Pos, "%v", err)
			}
			*g.to = append(*g.to, glob)
		}
	}
	return i, nil
}

func isDigest(s string) bool {
	algorithm, text, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(text)
	return err == nil && strings.ToLower(text) == text && (algorithm == "sha256" && len(b) == 32 || algorithm == "sha512" && len(b) == 64)
}
