package tpmtest

import (
	"crypto"
	"crypto/x509"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A state is what a TPM keeps without power, and the JSON of its file.
type state struct {
	Keys       map[string][]byte `json:"keys"` // PKCS #8 by hierarchy and template, see keyID
	NV         map[uint32][]byte `json:"nv"`   // by index
	ResetCount uint32            `json:"reset_count"`
	Clock      uint64            `json:"clock"` // at the last start, milliseconds
}

func (t *TPM) load() (found bool, err error) {
	t.state = state{Keys: map[string][]byte{}, NV: map[uint32][]byte{}}
	if t.path == "" {
		return false, nil
	}
	b, err := os.ReadFile(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, json.Unmarshal(b, &t.state, json.RejectUnknownMembers(true))
}

// save writes the state, so that a crash leaves the old file or the new one.
func (t *TPM) save() error {
	if t.path == "" {
		return nil
	}
	b, err := json.Marshal(t.state, json.Deterministic(true))
	if err != nil {
		return err
	}
	if err := os.WriteFile(t.path+".tmp", b, 0o600); err != nil {
		return err
	}
	return os.Rename(t.path+".tmp", t.path)
}

func (s *state) key(id string) (crypto.Signer, error) {
	k, err := x509.ParsePKCS8PrivateKey(s.Keys[id])
	if err != nil {
		return nil, err
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("state holds a %T", k)
	}
	return signer, nil
}
