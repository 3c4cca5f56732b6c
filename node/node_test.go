package node_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"plastron/node"
)

func TestBind(t *testing.T) {
	t.Parallel()
	beacon := sha256.Sum256([]byte("beacon"))
	spki := []byte("public key")
	key := sha256.Sum256(spki)
	want := sha256.Sum256([]byte("plastron bind v1\x00" + string(beacon[:]) + string(key[:])))
	if got := node.Bind(beacon, spki); got != want {
		t.Errorf("Bind = %x, want %x", got, want)
	}
	// printf, sha256sum and xxd give the same.
	const golden = "2eb94a47e64295df78a77bb327321e4f6fc097db11646c7923aa8880dd331aaf"
	if got := node.Bind(beacon, spki); hex.EncodeToString(got[:]) != golden {
		t.Errorf("Bind = %x, want %s", got, golden)
	}
}

func TestZeroHost(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]*node.Host{"zero": new(node.Host), "nil": nil} {
		if h.Kind() != "" {
			t.Errorf("%s host is of kind %q", name, h.Kind())
		}
		for accessor, call := range map[string]func(){
			"Name":      func() { h.Name() },
			"ID":        func() { h.ID() },
			"Floor":     func() { h.Floor() },
			"Bound":     func() { h.Bound() },
			"Anchors":   func() { h.Anchors() },
			"Facts":     func() { h.Facts() },
			"Time":      func() { h.Time() },
			"Digest":    func() { h.Digest() },
			"Spent":     func() { h.Spent() },
			"Artifacts": func() { h.Artifacts() },
			"Insecure":  func() { h.Insecure() },
			"SPIFFEID":  func() { h.SPIFFEID() },
			"Rule":      func() { h.Rule() },
		} {
			if !panics(call) {
				t.Errorf("%s host answers %s", name, accessor)
			}
		}
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

// Only a verifier can make a Host: what lies outside node does not compile if it
// tries.
func TestForeignersCannotMakeHosts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, program, says string }{
		{
			"reads a host",
			`package main; import "plastron/node"; func f(h *node.Host) string { return h.Name() }; func main() {}`,
			"",
		},
		{
			"imports the maker",
			`package main; import "plastron/node/internal/host"; func main() { host.New(host.Result{}) }`,
			"use of internal package",
		},
		{
			"fills a host's fields",
			`package main; import "plastron/node"; func main() { _ = node.Host{r: struct{}{}} }`,
			"cannot refer to unexported field r",
		},
		{
			"converts to a host",
			`package main; import "plastron/node"; func main() { _ = node.Host(struct{ r struct{ Kind string } }{}) }`,
			"cannot convert",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := build(t, tt.program)
			switch {
			case tt.says == "" && err != nil:
				t.Errorf("does not compile: %v\n%s", err, out)
			case tt.says != "" && (err == nil || !strings.Contains(out, tt.says)):
				t.Errorf("err = %v, want a compiler that says %q:\n%s", err, tt.says, out)
			}
		})
	}
}

// build compiles a program as if it lay in this module, beside node.
func build(t *testing.T, program string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "foreigner", "main.go"): source}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-overlay", file, "-o", filepath.Join(dir, "out"), "./foreigner")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	return string(out), err
}
