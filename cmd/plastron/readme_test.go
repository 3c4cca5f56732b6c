package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestReadme runs every command of README.md's "By hand", in its order, with
// other ports. A server's command ends in &: the script waits until it says
// that it is ready, as a reader would.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := "exec sh readme.sh\n" +
		"stdout 'verified: sha256:'\n" +
		"stdout 'spiffe://acme.example/shop/shop'\n" +
		"stdout 'log proof of entry [0-9]+, cosigned by w1'\n" +
		"stdout 'WHERE tpm:'\n" +
		"stdout 'is sound: [0-9]+ entries'\n" +
		"stdout 'x509-svid .*from github.com/acme/shop'\n" +
		"stdout 'entry 1 of log.acme.example/gate: policy'\n" +
		"stdout ' enrolment .*node .* of fleet'\n" +
		"stdout 'verified: it is entry 1 of log.acme.example/gate'\n" +
		"stdout 'source\tgithub.com/acme/shop'\n" +
		"stdout 'mirror holds log.acme.example/gate'\n" +
		"stdout '#[0-9]+ x509-svid spiffe://acme.example/shop/shop .* [[]shop[]]'\n" +
		"stdout 'backup holds log.acme.example/gate'\n" +
		"-- readme.sh --\n" + readmeScript(t, string(text))
	if err := os.WriteFile(filepath.Join(dir, "readme.txt"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: dir, Setup: setup})
}

// readmeScript turns the README's sh blocks into one script.
func readmeScript(t *testing.T, text string) string {
	var b strings.Builder
	b.WriteString("set -eu\npids=\ntrap 'kill $pids; wait' EXIT\n" +
		"ready() { n=0; until grep -q ready $1; do n=$((n+1)); [ $n -lt 300 ] || { cat $1 >&2; exit 1; }; sleep 0.1; done; }\n")
	servers, commands := 0, 0
	for i, block := range strings.Split(text, "```sh\n") {
		if i == 0 {
			continue
		}
		block, _, _ = strings.Cut(block, "```")
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			line = strings.ReplaceAll(line, "127.0.0.1:8443", "$GATE")
			line = strings.ReplaceAll(line, "127.0.0.1:8444", "$WITNESS")
			if strings.HasPrefix(line, "plastron init ") {
				line += " --listen $GATE"
			}
			if server, ok := strings.CutSuffix(line, " &"); ok {
				servers++
				line = fmt.Sprintf("%s 2>server%d.log &\npids=\"$pids $!\"\nready server%d.log", server, servers, servers)
			}
			commands++
			b.WriteString(line + "\n")
		}
	}
	if servers != 3 || commands < 20 {
		t.Fatalf("README.md has %d servers and %d commands in its sh blocks: did their form change?", servers, commands)
	}
	return b.String()
}
