package tpm_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2/transport"

	"plastron/node/tpm/tpmtest"
)

// A chip is a TPM under test and the roots of its EK certificate.
type chip struct {
	transport.TPM
	roots   []*x509.Certificate
	address string // for tpm.Open
}

// chips are what node-side tests run against: the same code, ours and others'.
var chips = []struct {
	name string
	open func(testing.TB) *chip
}{
	{"tpmtest RSA EK", func(t testing.TB) *chip { return softChip(t, false) }},
	{"tpmtest ECC EK", func(t testing.TB) *chip { return softChip(t, true) }},
	{"swtpm", swtpm},
}

func softChip(t testing.TB, ecc bool) *chip {
	t.Helper()
	ca, err := tpmtest.NewCA("Demo TPM vendor")
	if err != nil {
		t.Fatal(err)
	}
	soft, err := tpmtest.New(tpmtest.Options{CA: ca, ECC: ecc})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- soft.Serve(l) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &chip{soft, []*x509.Certificate{ca.Certificate()}, "tcp:" + l.Addr().String()}
}

// swtpm makes a TPM with libtpms, from Debian's swtpm and swtpm-tools.
func swtpm(t testing.TB) *chip {
	t.Helper()
	for _, program := range []string{"swtpm", "swtpm_setup"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("swtpm is not installed: apt-get install swtpm swtpm-tools")
		}
	}
	dir, err := os.MkdirTemp("", "swtpm") // shorter than t.TempDir: a socket's path is at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	manufacture(t, dir)
	socket := filepath.Join(dir, "sock")
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir+"/state",
		"--server", "type=unixio,path="+socket, "--ctrl", "type=unixio,path="+dir+"/ctrl",
		"--flags", "not-need-init,startup-clear")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for range 100 {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return &chip{dialed(socket), certificates(t, dir+"/ca/issuercert.pem", dir+"/ca/swtpm-localca-rootca-cert.pem"), "unix:" + socket}
}

func manufacture(t testing.TB, dir string) {
	t.Helper()
	for name, text := range map[string]string{
		"localca.conf":    fmt.Sprintf("statedir = %[1]s/ca\nsigningkey = %[1]s/ca/signkey.pem\nissuercert = %[1]s/ca/issuercert.pem\ncertserial = %[1]s/ca/certserial\n", dir),
		"localca.options": "--platform-manufacturer Demo\n--platform-version 1\n--platform-model swtpm\n",
		"setup.conf":      fmt.Sprintf("create_certs_tool=/usr/bin/swtpm_localca\ncreate_certs_tool_config=%[1]s/localca.conf\ncreate_certs_tool_options=%[1]s/localca.options\nactive_pcr_banks=sha256\n", dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"ca", "state"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("swtpm_setup", "--tpm2", "--tpmstate", dir+"/state", "--config", dir+"/setup.conf",
		"--create-ek-cert", "--create-platform-cert", "--lock-nvram", "--pcr-banks", "sha256", "--ecc").CombinedOutput()
	if err != nil {
		t.Fatalf("swtpm_setup: %v\n%s", err, out)
	}
}

// dialed is a TPM on a socket that serves one client at a time: each command
// comes and hangs up.
type dialed string

func (d dialed) Send(command []byte) ([]byte, error) {
	conn, err := net.Dial("unix", string(d))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return transport.FromReadWriter(conn).Send(command)
}

func certificates(t testing.TB, files ...string) (out []*x509.Certificate) {
	t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, c)
		}
	}
	return out
}
