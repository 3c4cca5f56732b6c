package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/softkms"
	"go.step.sm/crypto/kms/uri"
)

// openKey returns the signer that a key URI names. This build speaks
// softkms:path=FILE, PKCS #8 PEM in a file of mode 0600 or stricter.
func (f *File) openKey(keyURI string) (crypto.Signer, error) {
	u, err := uri.ParseWithScheme(softkms.Scheme, keyURI)
	if err != nil {
		return nil, fmt.Errorf("key %q: want softkms:path=FILE: %w", keyURI, err)
	}
	path := u.Get("path")
	if path == "" {
		return nil, fmt.Errorf("key %q: want softkms:path=FILE", keyURI)
	}
	path = f.path(path)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key %s: mode %s, want a regular file that only its owner reads: chmod 600 %s", path, info.Mode(), path)
	}
	signer, err := (&softkms.SoftKMS{}).CreateSigner(&apiv1.CreateSignerRequest{SigningKey: path})
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	return signer, nil
}

// openEd25519 returns a signer that must be Ed25519: log and beacon keys.
func (f *File) openEd25519(keyURI string) (crypto.Signer, error) {
	s, err := f.openKey(keyURI)
	if err != nil {
		return nil, err
	}
	if _, ok := s.Public().(ed25519.PublicKey); !ok {
		return nil, fmt.Errorf("key %q is %T, want Ed25519", keyURI, s.Public())
	}
	return s, nil
}

// openMLDSA returns a signer that must be ML-DSA-44: the log's second key.
func (f *File) openMLDSA(keyURI string) (crypto.Signer, error) {
	s, err := f.openKey(keyURI)
	if err != nil {
		return nil, err
	}
	if pub, ok := s.Public().(*mldsa.PublicKey); !ok || pub.Parameters() != mldsa.MLDSA44() {
		return nil, fmt.Errorf("key %q is %T, want ML-DSA-44", keyURI, s.Public())
	}
	return s, nil
}

// openP256 returns a signer that must be ECDSA P-256: the CA key.
func (f *File) openP256(keyURI string) (crypto.Signer, error) {
	s, err := f.openKey(keyURI)
	if err != nil {
		return nil, err
	}
	if k, ok := s.Public().(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		return nil, fmt.Errorf("key %q is %T, want ECDSA P-256", keyURI, s.Public())
	}
	return s, nil
}

// newKeys makes the keys of a new gate in dir.
func newKeys(dir string) (ca *ecdsa.PrivateKey, log, beacon ed25519.PrivateKey, err error) {
	if ca, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, nil, err
	}
	if _, log, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, nil, nil, err
	}
	if _, beacon, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, nil, nil, err
	}
	for name, key := range map[string]crypto.Signer{"ca.key": ca, "log.key": log, "beacon.key": beacon} {
		if err := WriteKey(filepath.Join(dir, name), key); err != nil {
			return nil, nil, nil, err
		}
	}
	return ca, log, beacon, nil
}

// newMLDSAKey makes the log's second key in dir.
func newMLDSAKey(dir string) (*mldsa.PrivateKey, error) {
	key, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		return nil, err
	}
	return key, WriteKey(filepath.Join(dir, "log-mldsa.key"), key)
}

// WriteKey writes a new PKCS #8 PEM file of mode 0600. It never overwrites.
func WriteKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeNew(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// writeNew writes a file that must not exist yet.
func writeNew(path string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}
