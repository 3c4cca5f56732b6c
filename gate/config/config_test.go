package config_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plastron/gate/config"
	"plastron/node/tpm"
	"plastron/node/tpm/tpmtest"
	"plastron/oidc/oidctest"
)

// made is a new gate in a folder of its own, without witnesses, with an issuer
// on loopback and a software TPM.
func made(t *testing.T) (dir string, m *config.Made) {
	t.Helper()
	dir = t.TempDir()
	vendor, err := tpmtest.NewCA("test vendor")
	if err != nil {
		t.Fatal(err)
	}
	device, err := tpmtest.New(tpmtest.Options{CA: vendor, ECC: true})
	if err != nil {
		t.Fatal(err)
	}
	ek, err := tpm.EKHash(device.EKCertificate())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "ek.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: vendor.Certificate().Raw})))
	write(t, dir, "ek.sha256", ek+"\n")
	write(t, dir, "root.json", read(t, filepath.Join("..", "..", "cmd", "plastron", "public", "public-good.json")))
	m, err = config.Init{
		Dir: filepath.Join(dir, "gate"), TrustDomain: "acme.example", Read: "open", Listen: "127.0.0.1:0", InsecureNoWitnesses: true,
		Issuers: []config.Issuer{{Name: "ci", URL: oidctest.New(t).URL(), InsecureHTTP: true}},
		Nodes: []config.Node{
			{Name: "fleet", Kind: "tpm", InsecureSoftwareEKs: []string{"../ek.pem"}, Enrol: config.Enrol{Inventory: "../ek.sha256"}},
			{Name: "join", Kind: "join-token"},
		},
	}.Write()
	if err != nil {
		t.Fatal(err)
	}
	return dir, m
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// check loads a configuration and all that it names.
func check(m *config.Made) error {
	f, err := config.Load(m.Config)
	if err != nil {
		return err
	}
	return f.Check()
}

// TestRefused has a row for each way in which gate.yaml may be no good: what is
// changed in a good one, and what the error says.
func TestRefused(t *testing.T) {
	t.Parallel()
	_, m := made(t)
	good := read(t, m.Config)
	for rule, row := range map[string]struct{ old, by, want string }{
		"unknown key":                   {"listen:", "lisen:", `unknown field "lisen"`},
		"duplicate key":                 {"listen:", "listen: a:1\nlisten:", "gate.yaml:"},
		"wrong type":                    {"names: [localhost, 127.0.0.1]", "names: {a: b}", "gate.yaml:"},
		"trust domain":                  {"trust_domain: acme.example", "trust_domain: Acme!", "trust_domain"},
		"listen without a port":         {"127.0.0.1:0", "127.0.0.1", "listen"},
		"read is no default":            {"read: open", `read: ""`, "the choice is yours"},
		"http serves anyone":            {"read: open", "read: auditors\n  http: 127.0.0.1:0", "it goes with `read: open`"},
		"one key in two roles":          {"softkms:path=beacon.key", "softkms:path=log.key", "must differ"},
		"key of another kind":           {"softkms:path=ca.key", "softkms:path=log2.key", "want ECDSA P-256"},
		"key of another log":            {"softkms:path=log.key", "softkms:path=log2.key", "its log line is"},
		"key of no kind we speak":       {"softkms:path=ca.key", "pkcs11:id=01", "want softkms:path=FILE"},
		"key that is not there":         {"softkms:path=ca.key", "softkms:path=gone.key", "gone.key"},
		"origin of another log":         {"origin: log.acme.example/gate", "origin: log.other.example/gate", "its log line is"},
		"no witnesses, and not said":    {"  insecure_no_witnesses: true", "  # ", "go together"},
		"CA certificate absent":         {"ca_certificate: ./ca.pem", "ca_certificate: ./gone.pem", "gone.pem"},
		"CA certificate not one":        {"ca_certificate: ./ca.pem", "ca_certificate: ./ca.key", "want CERTIFICATE"},
		"plain http, and not said":      {"    insecure_http: true", "    # ", "http"},
		"two issuers of one name":       {"issuers:\n", "issuers:\n  - {name: ci, url: \"https://ci.example\"}\n", "a name of its own"},
		"node of an unknown kind":       {"kind: join-token", "kind: horoscope", "want tpm or join-token"},
		"TPMs without an inventory":     {`    enrol: {inventory: "../ek.sha256"}`, "", "not that it is yours"},
		"TPM roots absent":              {`"../ek.pem"`, `"../gone.pem"`, "gone.pem"},
		"inventory that is none":        {`"../ek.sha256"`, `"./policy.yaml"`, "inventory"},
		"a mirror serves anyone":        {"read: open", "read: auditors\n  mirrors: [w1]", "it goes with `read: open`"},
		"mirror that is no witness":     {"read: open", "read: open\n  mirrors: [w1]", `no witness "w1"`},
		"policy absent":                 {"policy: ./policy.yaml", "policy: ./gone.yaml", "gone.yaml"},
		"tiles of an unknown log":       {"sigstore: []", `sigstore: [{name: public-good, trusted_root: "../root.json", tiles: [{origin: rekor.example, url: "https://rekor.example"}]}]`, "no log of the trust root has that name"},
		"tiles over plain http":         {"sigstore: []", `sigstore: [{name: public-good, trusted_root: "../root.json", tiles: [{origin: rekor.sigstore.dev, url: "http://127.0.0.1"}]}]`, "want https"},
		"policy names an absent issuer": {"name: ci", "name: other", "policy.yaml:"},
	} {
		t.Run(rule, func(t *testing.T) {
			dir, m := made(t)
			_, key, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if err := config.WriteKey(filepath.Join(dir, "gate", "log2.key"), key); err != nil {
				t.Fatal(err)
			}
			text := read(t, m.Config)
			if !strings.Contains(text, row.old) {
				t.Fatalf("%q is not in the configuration:\n%s", row.old, good)
			}
			write(t, filepath.Join(dir, "gate"), "gate.yaml", strings.Replace(text, row.old, row.by, 1))
			if err := check(m); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want an error that says %q", err, row.want)
			}
		})
	}
}

// A log's second key is in the configuration and in the log policy, or in
// neither.
func TestMLDSA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m, err := config.Init{Dir: filepath.Join(dir, "gate"), TrustDomain: "acme.example", Read: "open", Listen: "127.0.0.1:0", InsecureNoWitnesses: true, MLDSA: true}.Write()
	if err != nil {
		t.Fatal(err)
	}
	other, err := config.Init{Dir: filepath.Join(dir, "other"), TrustDomain: "acme.example", Read: "open", InsecureNoWitnesses: true, MLDSA: true}.Write()
	if err != nil {
		t.Fatal(err)
	}
	yaml, policy := read(t, m.Config), read(t, m.LogPolicy)
	if !strings.Contains(policy, "log "+m.LogMLDSA+"\n") || m.LogMLDSA == "" {
		t.Errorf("log.policy does not name %q", m.LogMLDSA)
	}
	for rule, row := range map[string]struct{ old, by, want string }{
		"good":                      {"", "", ""},
		"key not in the file":       {`, log_mldsa: "softkms:path=log-mldsa.key"`, "", "go together"},
		"key not in the policy":     {"log " + m.LogMLDSA + "\n", "", "go together"},
		"another log's key":         {"path=log-mldsa.key", "path=../other/log-mldsa.key", "its ML-DSA log line is"},
		"another key in the policy": {m.LogMLDSA, other.LogMLDSA, "its ML-DSA log line is"},
		"Ed25519":                   {"path=log-mldsa.key", "path=../other/log.key", "want ML-DSA-44"},
		"one key in two roles":      {"path=log-mldsa.key", "path=beacon.key", "must differ"},
	} {
		write(t, filepath.Join(dir, "gate"), "gate.yaml", strings.Replace(yaml, row.old, row.by, 1))
		write(t, filepath.Join(dir, "gate"), "log.policy", strings.Replace(policy, row.old, row.by, 1))
		err := check(m)
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v, want %q", rule, err, row.want)
		}
	}
	// That nothing could be minted is said when the file is loaded.
	write(t, filepath.Join(dir, "gate"), "gate.yaml", strings.Replace(yaml, "insecure_no_witnesses: true", `http: ""`, 1))
	write(t, filepath.Join(dir, "gate"), "log.policy", strings.Replace(policy, "quorum none", "witness w "+other.LogMLDSA+"\nquorum w", 1))
	if err := check(m); err == nil || !strings.Contains(err.Error(), "SVIDs carry Ed25519 cosignatures only") {
		t.Errorf("a quorum that needs an ML-DSA witness: %v", err)
	}
}

// A private key that others can read does not start a gate.
func TestKeyMode(t *testing.T) {
	t.Parallel()
	dir, m := made(t)
	if err := check(m); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "gate", "ca.key")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := check(m); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v, want an error that names the command which mends it", err)
	}
}

// The first start logs what the gate trusts, and what weakens it by name.
func TestTrust(t *testing.T) {
	t.Parallel()
	_, m := made(t)
	f, err := config.Load(m.Config)
	if err != nil {
		t.Fatal(err)
	}
	g, err := f.Open(context.Background(), config.Runtime{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	trust := g.Trust()
	for _, want := range []string{"insecure_no_witnesses", "issuer ci: insecure_http", "node fleet: insecure_software_ek_roots"} {
		if !strings.Contains(strings.Join(trust.Insecure, "\n"), want) {
			t.Errorf("insecure %q, want %q among them", trust.Insecure, want)
		}
	}
	if len(trust.Issuers) != 1 || len(trust.Nodes) != 2 || trust.Nodes[0].Floor != "human" || trust.Origin != m.Origin {
		t.Errorf("trust %+v", trust)
	}
	if size := g.Log().Size(); size != 3 {
		t.Errorf("a new log has %d entries, want trust, policy and the gate's own SVID", size)
	}
}

// Init makes new gates only.
func TestInitOverwritesNothing(t *testing.T) {
	t.Parallel()
	dir, m := made(t)
	before := read(t, filepath.Join(dir, "gate", "ca.key"))
	_, err := config.Init{Dir: filepath.Join(dir, "gate"), TrustDomain: "acme.example", Read: "open", InsecureNoWitnesses: true}.Write()
	if err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("got %v, want a refusal", err)
	}
	if read(t, filepath.Join(dir, "gate", "ca.key")) != before || check(m) != nil {
		t.Error("the gate that was there has changed")
	}
}
