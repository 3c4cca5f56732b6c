package svid

import (
	"crypto"
	"crypto/ecdsa"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "svid")
	for range 2 { // the second replaces the first
		own := w.own(t, "/shop/api", true)
		if err := Save(dir, own.Certificate, own.PrivateKey.(crypto.Signer), w.bundle); err != nil {
			t.Fatal(err)
		}
		got := must(Load(dir))(t)
		if !got.PrivateKey.(*ecdsa.PrivateKey).Equal(own.PrivateKey) || string(got.Certificate[0]) != string(own.Certificate[0]) {
			t.Error("read back another SVID")
		}
	}
	for name, want := range map[string]os.FileMode{KeyFile: 0o600, ChainFile: 0o644, BundleFile: 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want mode %v", name, info, err, want)
		}
	}
	if files := must(os.ReadDir(dir))(t); len(files) != 3 {
		t.Errorf("%d files, want 3", len(files))
	}
	// go-spiffe reads them.
	s := must(x509svid.Load(filepath.Join(dir, ChainFile), filepath.Join(dir, KeyFile)))(t)
	b := must(x509bundle.Load(w.td, filepath.Join(dir, BundleFile)))(t)
	if s.ID.Path() != "/shop/api" || !b.HasX509Authority(w.ca) {
		t.Errorf("go-spiffe reads %s", s.ID)
	}
	if key := must(LoadKey(filepath.Join(dir, KeyFile)))(t); !sameKey(key, s.Certificates[0].PublicKey) {
		t.Error("LoadKey reads another key")
	}
	_, err := LoadKey(filepath.Join(dir, ChainFile))
	wantError(t, err, "PRIVATE KEY")
	// And so do we: what is on disk verifies.
	list := must(ParseCertificates(must(os.ReadFile(filepath.Join(dir, ChainFile)))(t)))(t)
	must(w.verifier().Verify(list))(t)
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := t.TempDir(), t.TempDir()
	for _, dir := range []string{a, b} {
		own := w.own(t, "/shop/api", true)
		if err := Save(dir, own.Certificate, own.PrivateKey.(crypto.Signer), w.bundle); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(a, KeyFile), filepath.Join(b, KeyFile)); err != nil {
		t.Fatal(err)
	}
	_, err := Load(b)
	wantError(t, err, "private key does not match")
	_, err = Load(a)
	wantError(t, err, "no such file")
	if err := os.WriteFile(filepath.Join(b, ChainFile), make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(b)
	wantError(t, err, "more than")
}

func TestParseCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.certify(t, must(w.a.Draft(w.draft(t)))(t))
	text := string(EncodeCertificates(c.Raw, w.ca.Raw))
	list := must(ParseCertificates([]byte("Subject: none\n" + text)))(t)
	if len(list) != 2 || !list[0].Equal(c) || !list[1].Equal(w.ca) {
		t.Errorf("%d certificates", len(list))
	}
	for name, text := range map[string]string{
		"nothing":      "",
		"no PEM":       "hello\n",
		"a key":        strings.ReplaceAll(text, "CERTIFICATE", "PRIVATE KEY"),
		"headers":      strings.Replace(text, "CERTIFICATE-----\n", "CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n\n", 1),
		"not a DER":    string(EncodeCertificates([]byte("hello"))),
		"then another": text + strings.ReplaceAll(text, "CERTIFICATE", "X509 CRL"),
	} {
		if _, err := ParseCertificates([]byte(text)); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}
