// Package plastron_test holds the house together: who may import whom, who owns
// which outside module, and what every folder must have.
package plastron_test

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "plastron"

// rows are the layers, lowest first. A package imports from lower rows only;
// packages of one row do not import each other.
var rows = [][]string{
	{"log/proof", "oidc", "node/internal/host", "gate/strictyaml", "gate/api/v1"},
	{"log/statement", "log/witness", "node", "provenance"},
	{"log", "node/jointoken", "node/tpm", "provenance/cosign"},
	{"provenance/sign"},
	{"svid"},
	{"gate/policy"},
	{"gate"},
	{"gate/audit", "gate/config"},
	{"gate/audit/index"},
	{"gate/api", "gate/api/server"},
	{"agent"},
	{"cmd/plastron"},
}

// owners says which folder trees may import an outside module that is heavy or
// dangerous. Value and format modules are free.
var owners = map[string][]string{
	"github.com/coreos/go-oidc/v3":        {"oidc"},
	"github.com/sigstore/sigstore-go":     {"provenance"},
	"github.com/sigstore/rekor":           {"provenance"},
	"github.com/sigstore/rekor-tiles/v2":  {"provenance"},
	"github.com/in-toto/in-toto-golang":   {"provenance"},
	"github.com/digitorus/timestamp":      {"provenance"},
	"github.com/google/go-tpm":            {"node"},
	"github.com/google/go-eventlog":       {"node"},
	"github.com/google/go-sev-guest":      {"node"},
	"github.com/google/go-tdx-guest":      {"node"},
	"github.com/smallstep/pkcs7":          {"node"},
	"github.com/transparency-dev/merkle":  {"log"},
	"github.com/transparency-dev/tessera": {}, // tests only: its fsck
	"cel.dev/cel-go":                      {"gate"},
	"modernc.org/sqlite":                  {"gate"},
	"github.com/prometheus/client_golang": {"gate/api/server"},
	"go.step.sm/crypto":                   {"gate/config", "cmd"},
	"github.com/spf13/cobra":              {"cmd"},
	"github.com/spf13/pflag":              {"cmd"},
	"github.com/vbauerster/mpb/v8":        {"cmd"},
	"google.golang.org/grpc":              {}, // connect speaks its protocol
	"github.com/google/go-tpm-tools":      {},
	"github.com/stretchr/testify":         {},
	"github.com/rogpeppe/go-internal":     {}, // tests only
	"pgregory.net/rapid":                  {}, // tests only
}

// light are packages that others import to check what the gate has issued, and
// heavy what they must never link.
var (
	light = []string{"log/proof", "log/witness", "svid", "gate/api"}
	heavy = []string{
		module + "/gate", module + "/gate/policy", "cel.dev/cel-go", "modernc.org/sqlite", "database/sql",
		"github.com/sigstore/sigstore-go", "github.com/sigstore/rekor", "go.step.sm/crypto/kms", "google.golang.org/grpc",
		"github.com/aws", "cloud.google.com/go", "github.com/Azure",
	}
)

// A goPackage is what `go list` says of one of ours.
type goPackage struct {
	ImportPath string
	Dir        string
	Name       string
	GoFiles    []string
	Imports    []string // of non-test files
}

// path is the package's folder, "" for the root.
func (p goPackage) path() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// helper says whether a folder imitates an outside service for tests.
func helper(path string) bool { return strings.HasSuffix(path, "test") }

// within says whether path is m or lies below it.
func within(path, m string) bool { return path == m || strings.HasPrefix(path, m+"/") }

func list(t *testing.T) (ps []goPackage) {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Dir,Name,GoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := jsontext.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := json.UnmarshalDecode(d, &p)
		if errors.Is(err, io.EOF) {
			return ps
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		if p.path() != "" { // the root holds tests only
			ps = append(ps, p)
		}
	}
}

func TestImportsGoDown(t *testing.T) {
	rank := map[string]int{}
	for i, row := range rows {
		for _, p := range row {
			rank[p] = i
		}
	}
	for _, p := range list(t) {
		self, known := rank[p.path()]
		if !known && !helper(p.path()) {
			t.Errorf("%s is in no row: give it one above", p.path())
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module+"/")
			if !ours || helper(to) || helper(p.path()) {
				continue
			}
			if below, ok := rank[to]; !ok || below >= self {
				t.Errorf("%s imports %s, which is not in a lower row", p.path(), to)
			}
		}
	}
}

func TestModulesHaveOwners(t *testing.T) {
	for _, p := range list(t) {
		if helper(p.path()) {
			continue
		}
		for _, imp := range p.Imports {
			for m, trees := range owners {
				if within(imp, m) && !slices.ContainsFunc(trees, func(tree string) bool { return within(p.path(), tree) }) {
					t.Errorf("%s imports %s; it belongs to %v", p.path(), imp, trees)
				}
			}
		}
	}
}

// TestHelpersAreForTests: what imitates a CA, an issuer or a TPM is linked only
// where it says so on the tin.
func TestHelpersAreForTests(t *testing.T) {
	for _, p := range list(t) {
		if helper(p.path()) {
			continue
		}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			showcase := p.path() == "cmd/plastron" && slices.ContainsFunc([]string{"demo", "dev", "bench"},
				func(verb string) bool { return strings.HasPrefix(name, verb) })
			for _, imp := range f.Imports {
				if to := strings.Trim(imp.Path.Value, `"`); within(to, module) && helper(to) && !showcase {
					t.Errorf("%s/%s imports %s; only tests, demo, dev and bench may", p.path(), name, to)
				}
			}
		}
	}
}

func TestRelyingPartiesLinkNoPolicyEngine(t *testing.T) {
	for _, p := range light {
		t.Run(p, func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command("go", "list", "-deps", "./"+p).Output()
			if err != nil {
				t.Fatalf("go list: %v", err)
			}
			for dep := range strings.Lines(string(out)) {
				dep = strings.TrimSpace(dep)
				for _, m := range heavy {
					if dep == m || !within(m, module) && within(dep, m) {
						t.Errorf("%s links %s", p, dep)
					}
				}
			}
		})
	}
}

// TestIssuingAsksNoDatabase: the index is a projection for readers, and no gate
// waits for it.
func TestIssuingAsksNoDatabase(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./gate", "./gate/config", "./gate/api/server").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dep := range strings.Lines(string(out)) {
		if dep = strings.TrimSpace(dep); dep == "database/sql" || dep == module+"/gate/audit/index" || within(dep, "modernc.org") {
			t.Errorf("a gate links %s", dep)
		}
	}
}

// TestGatesAskTheStrictVerifier: no gate links the one with cosign's manners,
// and that one takes from the strict one no more than words.
func TestGatesAskTheStrictVerifier(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./gate", "./gate/config", "./gate/api/server").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dep := range strings.Lines(string(out)) {
		if dep = strings.TrimSpace(dep); dep == module+"/provenance/cosign" {
			t.Errorf("a gate links %s", dep)
		}
	}
}

// TestPackageComments: the package comment is the design document.
func TestPackageComments(t *testing.T) {
	for _, p := range list(t) {
		var doc string
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			doc += f.Doc.Text()
		}
		if want := "Package " + p.Name + " "; p.Name != "main" && !strings.HasPrefix(doc, want) {
			t.Errorf("%s: package comment begins with %.40q, want %q", p.path(), doc, want)
		}
		if doc == "" {
			t.Errorf("%s: no package comment", p.path())
		}
	}
}

func TestNoFolderIsEmpty(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if path != "." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		entries, err := os.ReadDir(path)
		if len(entries) == 0 {
			t.Errorf("%s is empty", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
