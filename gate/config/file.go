// Package config reads gate.yaml and wires a gate from it, so that a test, the
// demo and `plastron gate run` build the very same gate.
//
// What comes in is a file that its owner wrote; nothing in it is verified but
// its shape: unknown keys, wrong types and duplicates do not load, and the
// error says where (gate.yaml:4:3). What goes out is a running
// [plastron/gate.Gate]. Whatever the file names (roots, keys, issuers,
// witnesses) is trusted from then on, and goes into the log's trust entry.
//
// Paths in the file are relative to the folder of the file.
package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate/strictyaml"
)

// A File is gate.yaml.
type File struct {
	TrustDomain   string     `yaml:"trust_domain"`
	Listen        string     `yaml:"listen"`             // host:port of the API, TLS
	Names         []string   `yaml:"names"`              // DNS names and IP addresses in the gate's own SVID, for curl
	Metrics       string     `yaml:"metrics,omitempty"`  // host:port of /livez, /readyz and /metrics, plain HTTP; "" for none
	Admin         string     `yaml:"admin"`              // path of the admin Unix socket
	Data          string     `yaml:"data"`               // directory of the log: entries, records, evidence
	Lock          string     `yaml:"lock"`               // directory of the newest checkpoint; another device if you can
	Keys          Keys       `yaml:"keys"`               // private keys
	CACertificate string     `yaml:"ca_certificate"`     // PEM, of keys.ca
	Log           Log        `yaml:"log"`                // the transparency log
	Issuers       []Issuer   `yaml:"issuers"`            // WHO
	Sigstore      []Sigstore `yaml:"sigstore,omitempty"` // WHAT
	Nodes         []Node     `yaml:"nodes,omitempty"`    // WHERE
	Policy        string     `yaml:"policy"`             // policy.yaml

	dir string // folder of the file
}

// Keys are key URIs, as go.step.sm/crypto/kms reads them: "softkms:path=ca.key".
type Keys struct {
	CA       string `yaml:"ca"`                  // P-256
	Log      string `yaml:"log"`                 // Ed25519
	LogMLDSA string `yaml:"log_mldsa,omitempty"` // ML-DSA-44: signs published checkpoints too; "" for none
	Beacon   string `yaml:"beacon"`              // Ed25519
}

// Log is the transparency log that the gate writes.
type Log struct {
	Origin              string   `yaml:"origin"`                          // C2SP checkpoint origin; also the tokens' audience
	Read                string   `yaml:"read"`                            // open, auditors
	Policy              string   `yaml:"policy"`                          // C2SP tlog-policy file
	Mirrors             []string `yaml:"mirrors,omitempty"`               // names of its witnesses that are mirrors: they are pushed the entries
	Auditors            []string `yaml:"auditors,omitempty"`              // SPIFFE IDs that may read records
	HTTP                string   `yaml:"http,omitempty"`                  // host:port where an open log is served over plain HTTP too; "" for none
	InsecureNoWitnesses bool     `yaml:"insecure_no_witnesses,omitempty"` // with `quorum none`
}

// An Issuer is a source of OIDC tokens.
type Issuer struct {
	Name         string        `yaml:"name"`
	URL          string        `yaml:"url"`
	Audience     string        `yaml:"audience,omitempty"` // default the log's origin
	Shared       bool          `yaml:"shared,omitempty"`   // speaks for strangers too
	JWKS         string        `yaml:"jwks,omitempty"`     // file or URL; default by discovery
	CA           string        `yaml:"ca,omitempty"`       // PEM, for its HTTPS
	Algorithms   []string      `yaml:"algorithms,omitempty"`
	MaxLifetime  time.Duration `yaml:"max_lifetime,omitempty"`
	Claims       Claims        `yaml:"claims,omitempty"`
	KeyHosts     []string      `yaml:"key_hosts,omitempty"`                // where else its discovery may say its keys are
	TokenFile    string        `yaml:"token_file,omitempty"`               // bearer token to fetch its keys with
	PrivateNet   bool          `yaml:"private_network,omitempty"`          // its HTTPS may be at private addresses
	InsecureHTTP bool          `yaml:"insecure_http,omitempty"`            // plain http, loopback only
	InsecureAud  bool          `yaml:"insecure_other_audiences,omitempty"` // tokens may be for others too
}

// Claims name the claims that tie an artifact to a token.
type Claims struct {
	ArtifactDigest string `yaml:"artifact_digest,omitempty"`
	RepositoryID   string `yaml:"repository_id,omitempty"`
	Commit         string `yaml:"commit,omitempty"`
}

// Sigstore is a Sigstore instance that provenance may rest on.
type Sigstore struct {
	Name        string  `yaml:"name"`
	TrustedRoot string  `yaml:"trusted_root"`    // trusted_root.json
	Tiles       []Tiles `yaml:"tiles,omitempty"` // where its Rekor v2 logs serve their tiles, to compare what they sign
}

// Tiles say where one transparency log serves its tiles.
type Tiles struct {
	Origin       string `yaml:"origin"`                  // the host of its base URL in the trusted root
	URL          string `yaml:"url"`                     // for Rekor v2 its base URL and /api/v2
	InsecureHTTP bool   `yaml:"insecure_http,omitempty"` // plain http, loopback only
}

// A Node is a source of node evidence.
type Node struct {
	Name                string   `yaml:"name"`
	Kind                string   `yaml:"kind"` // tpm, join-token
	EKRoots             []string `yaml:"ek_roots,omitempty"`
	InstitutionEKRoots  []string `yaml:"institution_ek_roots,omitempty"` // clouds' virtual TPMs
	InsecureSoftwareEKs []string `yaml:"insecure_software_ek_roots,omitempty"`
	PCRs                []int    `yaml:"pcrs,omitempty"`
	Enrol               Enrol    `yaml:"enrol,omitempty"`
}

// Enrol says which nodes are ours.
type Enrol struct {
	Inventory string `yaml:"inventory,omitempty"` // file of EK hashes
}

// maxFile bounds each file that the configuration names, in bytes.
const maxFile = 4 << 20

// Load reads a gate.yaml strictly.
func Load(path string) (*File, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	f := &File{dir: filepath.Dir(path)}
	if err := strictyaml.Unmarshal(filepath.Base(path), text, f); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return f, nil
}

func (f *File) check() error {
	if _, err := spiffeid.TrustDomainFromString(f.TrustDomain); err != nil {
		return fmt.Errorf("trust_domain: %w", err)
	}
	for name, v := range map[string]string{
		"listen": f.Listen, "admin": f.Admin, "data": f.Data, "lock": f.Lock, "keys.ca": f.Keys.CA, "keys.log": f.Keys.Log,
		"keys.beacon": f.Keys.Beacon, "ca_certificate": f.CACertificate, "log.origin": f.Log.Origin, "log.policy": f.Log.Policy, "policy": f.Policy,
	} {
		if v == "" {
			return fmt.Errorf("%s is missing", name)
		}
	}
	if !slices.Contains([]string{"open", "auditors"}, f.Log.Read) {
		return fmt.Errorf("log.read is %q, want open or auditors: identities and repositories are visible in entries, so the choice is yours", f.Log.Read)
	}
	for _, hostport := range []string{f.Listen, f.Metrics, f.Log.HTTP} {
		if _, _, err := net.SplitHostPort(hostport); hostport != "" && err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	if f.Log.HTTP != "" && f.Log.Read != "open" {
		return errors.New("log.http serves anyone: it goes with `read: open`")
	}
	if len(f.Log.Mirrors) > 0 && f.Log.Read != "open" {
		return errors.New("log.mirrors: a mirror serves the entries to anyone who reaches it: it goes with `read: open`")
	}
	if k := f.Keys; k.CA == k.Log || k.Log == k.Beacon || k.CA == k.Beacon || slices.Contains([]string{k.CA, k.Log, k.Beacon}, k.LogMLDSA) {
		return errors.New("keys: the CA, log and beacon keys must differ")
	}
	return f.checkNames()
}

// checkNames refuses two sources of one name: rules name sources.
func (f *File) checkNames() error {
	seen := map[string]bool{}
	for _, n := range f.sourceNames() {
		if n == "/" || seen[n] {
			return fmt.Errorf("source %q: every issuer, sigstore and node needs a name of its own", n)
		}
		seen[n] = true
	}
	for _, n := range f.Nodes {
		if n.Kind != "tpm" && n.Kind != "join-token" {
			return fmt.Errorf("node %q: kind %q, want tpm or join-token", n.Name, n.Kind)
		}
	}
	return nil
}

func (f *File) sourceNames() (names []string) {
	for _, i := range f.Issuers {
		names = append(names, "issuer/"+i.Name)
	}
	for _, s := range f.Sigstore {
		names = append(names, "sigstore/"+s.Name)
	}
	for _, n := range f.Nodes {
		names = append(names, "node/"+n.Name)
	}
	return names
}

// AdminSocket returns the path of the admin socket as seen from the working
// directory.
func (f *File) AdminSocket() string { return f.path(f.Admin) }

// path returns a path of the file as seen from the working directory.
func (f *File) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(f.dir, p)
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", path, info.Size(), maxFile)
	}
	return os.ReadFile(path)
}
