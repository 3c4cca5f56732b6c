package svid

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
)

// The files of an SVID's directory. SPIFFE clients, curl, nginx and openssl read
// them as they are.
const (
	ChainFile  = "svid.pem"   // the certificate
	KeyFile    = "key.pem"    // its key: PKCS#8, mode 0600
	BundleFile = "bundle.pem" // the trust bundle
)

const maxFile = 1 << 20 // bytes of a PEM file that are read

// EncodeCertificates returns certificates, given in DER, as PEM.
func EncodeCertificates(certificates ...[]byte) []byte {
	var out []byte
	for _, c := range certificates {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	return out
}

// ParseCertificates reads one or more PEM certificates. Texts between the blocks
// are skipped, as other tools put them there; other blocks are refused.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			return nil, fmt.Errorf("svid: PEM block %q, want CERTIFICATE", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("svid: certificate %d: %w", len(list)+1, err)
		}
		list, text = append(list, c), rest
	}
	if len(list) == 0 {
		return nil, errors.New("svid: no PEM certificate")
	}
	return list, nil
}

// Save writes an SVID, its key and the trust bundle into a directory, making it
// if need be. Each file is replaced as a whole; a reader that comes between two
// of them finds a key and a certificate that do not fit, which Load refuses.
func Save(dir string, chain [][]byte, key crypto.Signer, bundle *x509bundle.Bundle) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("svid: key: %w", err)
	}
	authorities, err := bundle.Marshal()
	if err != nil {
		return fmt.Errorf("svid: trust bundle: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("svid: %w", err)
	}
	for _, f := range []struct {
		name string
		mode os.FileMode
		text []byte
	}{
		{KeyFile, 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})},
		{ChainFile, 0o644, EncodeCertificates(chain...)},
		{BundleFile, 0o644, authorities},
	} {
		if err := replace(filepath.Join(dir, f.name), f.mode, f.text); err != nil {
			return fmt.Errorf("svid: %w", err)
		}
	}
	return nil
}

// replace writes a file beside the old one and renames it into place.
func replace(path string, mode os.FileMode, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(text); err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Load reads what Save wrote, as [tls.Config] wants it. The certificate is not
// verified; that its key fits is checked.
func Load(dir string) (*tls.Certificate, error) {
	chain, err := readFile(filepath.Join(dir, ChainFile))
	if err != nil {
		return nil, err
	}
	key, err := readFile(filepath.Join(dir, KeyFile))
	if err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("svid: %s: %w", dir, err)
	}
	return &c, nil
}

// LoadKey reads one private key, PKCS#8 in PEM.
func LoadKey(path string) (crypto.Signer, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("svid: %s is not one PEM block PRIVATE KEY", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("svid: %s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("svid: %s: a %T does not sign", path, key)
	}
	return signer, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("svid: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("svid: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("svid: %s has more than %d bytes", path, maxFile)
	}
	return text, nil
}
