package config

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate/policy"
	"plastron/log/proof"
	"plastron/svid"
)

// An Init is what `plastron init` is told. From it come the keys, gate.yaml,
// policy.yaml and log.policy of a new gate, which load as they are.
type Init struct {
	Dir         string // made if it is not there; must be empty of ours
	TrustDomain string
	Origin      string // of the log; default "log." + TrustDomain + "/gate"
	Listen      string // default 127.0.0.1:8443
	Read        string // open or auditors; no default
	MLDSA       bool   // give the log an ML-DSA-44 key beside its Ed25519 one

	// Witnesses is a C2SP tlog-policy without its log line: witness, group and
	// quorum lines. Empty only with InsecureNoWitnesses.
	Witnesses           []byte
	InsecureNoWitnesses bool

	Issuers  []Issuer
	Sigstore []Sigstore
	Nodes    []Node
}

// Made are the paths of what Write has written.
type Made struct {
	Config    string `json:"config"`     // gate.yaml
	Policy    string `json:"policy"`     // policy.yaml
	LogPolicy string `json:"log_policy"` // what every --log-policy takes
	Bundle    string `json:"bundle"`     // the CA certificate, what every --trust-bundle takes
	Origin    string `json:"origin"`     // the log's name, and the audience of tokens
	LogVKey   string `json:"log_vkey"`
	LogMLDSA  string `json:"log_mldsa_vkey,omitempty"` // of the log's second key
}

//go:embed gate.yaml.tmpl
var gateTemplate string

// Write makes the files. It overwrites nothing.
func (in Init) Write() (*Made, error) {
	if err := in.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(in.Dir, 0o700); err != nil {
		return nil, err
	}
	for _, name := range []string{"gate.yaml", "policy.yaml", "log.policy", "ca.pem", "ca.key", "log.key", "log-mldsa.key", "beacon.key"} {
		if _, err := os.Lstat(filepath.Join(in.Dir, name)); err == nil {
			return nil, fmt.Errorf("%s is there already: init makes new gates only; choose another --dir", filepath.Join(in.Dir, name))
		}
	}
	m, err := in.writeKeys()
	if err != nil {
		return nil, err
	}
	if err := in.writeTexts(m); err != nil {
		return nil, err
	}
	f, err := Load(m.Config)
	if err != nil {
		return nil, fmt.Errorf("what init wrote does not load: %w", err)
	}
	if err := f.Check(); err != nil {
		return nil, fmt.Errorf("what init wrote does not load: %w", err)
	}
	return m, nil
}

func (in *Init) complete() error {
	if _, err := spiffeid.TrustDomainFromString(in.TrustDomain); err != nil {
		return fmt.Errorf("trust domain: %w", err)
	}
	if in.Read != "open" && in.Read != "auditors" {
		return errors.New("say who may read the log: --log-read open, or --log-read auditors; identities and repositories are visible in its entries")
	}
	if (len(in.Witnesses) == 0) != in.InsecureNoWitnesses {
		return errors.New("name the log's witnesses with --witnesses FILE (made by `plastron witness run`), or do without by --insecure-no-witnesses")
	}
	if in.Origin == "" {
		in.Origin = "log." + in.TrustDomain + "/gate"
	}
	if in.Listen == "" {
		in.Listen = "127.0.0.1:8443"
	}
	if len(in.Nodes) == 0 {
		in.Nodes = []Node{{Name: "join", Kind: "join-token"}}
	}
	return nil
}

func (in *Init) writeKeys() (*Made, error) {
	ca, logKey, _, err := newKeys(in.Dir)
	if err != nil {
		return nil, err
	}
	td, err := spiffeid.TrustDomainFromString(in.TrustDomain)
	if err != nil {
		return nil, err
	}
	cert, err := svid.SelfSign(td, ca)
	if err != nil {
		return nil, err
	}
	signer, err := proof.NewLogSigner(in.Origin, logKey)
	if err != nil {
		return nil, err
	}
	m := &Made{
		Config: filepath.Join(in.Dir, "gate.yaml"), Policy: filepath.Join(in.Dir, "policy.yaml"),
		LogPolicy: filepath.Join(in.Dir, "log.policy"), Bundle: filepath.Join(in.Dir, "ca.pem"), Origin: in.Origin, LogVKey: signer.VKey(),
	}
	if in.MLDSA {
		key, err := newMLDSAKey(in.Dir)
		if err != nil {
			return nil, err
		}
		second, err := proof.NewCosigner(in.Origin, key)
		if err != nil {
			return nil, err
		}
		m.LogMLDSA = second.VKey()
	}
	return m, writeNew(m.Bundle, svid.EncodeCertificates(cert.Raw), 0o644)
}

func (in *Init) writeTexts(m *Made) error {
	witnesses := string(in.Witnesses)
	if in.InsecureNoWitnesses {
		witnesses = "quorum none\n"
	}
	logPolicy := "log " + m.LogVKey + "\n"
	if in.MLDSA {
		logPolicy += "log " + m.LogMLDSA + "\n"
	}
	logPolicy += witnesses
	if _, err := proof.ParsePolicy([]byte(logPolicy)); err != nil {
		return fmt.Errorf("witnesses: %w", err)
	}
	var gateYAML bytes.Buffer
	t, err := template.New("gate.yaml").Funcs(template.FuncMap{"join": strings.Join}).Parse(gateTemplate)
	if err != nil {
		return err
	}
	if err := t.Execute(&gateYAML, in); err != nil {
		return err
	}
	for path, text := range map[string][]byte{
		m.LogPolicy: []byte(logPolicy), m.Config: gateYAML.Bytes(), m.Policy: in.policyText(),
	} {
		if err := writeNew(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// policyText returns the first policy, for the sources that init was told of.
func (in *Init) policyText() []byte {
	o := policy.Example{TrustDomain: in.TrustDomain}
	if len(in.Issuers) > 0 {
		o.Issuer, o.Shared = in.Issuers[0].Name, in.Issuers[0].Shared
	}
	if len(in.Sigstore) > 0 {
		o.Root = in.Sigstore[0].Name
	}
	for _, n := range in.Nodes {
		switch n.Kind {
		case "tpm":
			o.TPM = n.Name
		case "join-token":
			o.Join = n.Name
		}
	}
	return o.Text()
}
