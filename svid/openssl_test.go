package svid

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// OpenSSL is the second opinion: it verifies the chain and prints every part.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	w := newWorldAt(t, time.Now(), "all", "wit1")
	c := w.certify(t, must(w.a.Draft(w.draft(t)))(t))
	dir := t.TempDir()
	leaf, ca := filepath.Join(dir, ChainFile), filepath.Join(dir, BundleFile)
	for path, text := range map[string][]byte{leaf: EncodeCertificates(c.Raw), ca: EncodeCertificates(w.ca.Raw)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(openssl, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %s: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, purpose := range []string{"sslserver", "sslclient"} {
		if out := run("verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca, leaf); !strings.HasSuffix(out, ": OK\n") {
			t.Error(out)
		}
	}
	text := run("x509", "-noout", "-text", "-in", leaf)
	for _, want := range []string{
		"URI:spiffe://acme.example/shop/api", "CA:FALSE", "Digital Signature", "TLS Web Server Authentication, TLS Web Client Authentication",
		"1.3.6.1.4.1.57264.1.12", "https://github.com/acme/shop", "1.3.6.1.4.1.32473.2", "who:institution", "1.3.6.1.4.1.32473.1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("openssl x509 -text does not say %q", want)
		}
	}
	if text := run("x509", "-noout", "-text", "-in", ca); !strings.Contains(text, "pathlen:0") || !strings.Contains(text, "URI:spiffe://acme.example") {
		t.Error(text)
	}
	// What is in our two extensions is ASN.1, to the last byte.
	run("asn1parse", "-in", leaf)
}
