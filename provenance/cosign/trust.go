package cosign

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
)

// trusted is a trusted root.
type trusted struct {
	name     string
	material root.TrustedMaterial
}

// New reads the trusted roots and the key. Without roots, a key is enough where
// no log is asked for.
func New(o Options) (*Verifier, error) {
	v := &Verifier{o: o}
	for _, r := range o.Roots {
		t, err := root.NewTrustedRootFromJSON(r.TrustedRoot)
		if err != nil {
			return nil, fmt.Errorf("trusted root %q: %w", r.Name, err)
		}
		if err := hasStart(t); err != nil {
			return nil, fmt.Errorf("trusted root %q: %w", r.Name, err)
		}
		v.roots = append(v.roots, trusted{r.Name, t})
	}
	if o.Key != nil {
		var err error
		if v.key, err = readKey(o.Key); err != nil {
			return nil, fmt.Errorf("key: %w", err)
		}
		if len(v.roots) == 0 && o.InsecureIgnoreTlog && !o.SignedTimestamps {
			v.roots = []trusted{{"", &root.BaseTrustedMaterial{}}}
		}
	}
	if len(v.roots) == 0 {
		return nil, errors.New("no trusted root: log entries, timestamps and certificates are checked under one")
	}
	return v, nil
}

// hasStart refuses a log's key that is trusted since no time: the specification
// wants a start, and readers differ in what they take for none.
func hasStart(t *root.TrustedRoot) error {
	for _, logs := range []map[string]*root.TransparencyLog{t.RekorLogs(), t.CTLogs()} {
		for _, l := range logs {
			if l.ValidityPeriodStart.Unix() <= 0 {
				return fmt.Errorf("key of log %s: validFor has no start", l.BaseURL)
			}
		}
	}
	return nil
}

// readKey takes one PEM public key. It is trusted at all times.
func readKey(text []byte) (root.TrustedMaterial, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" || len(rest) != 0 {
		return nil, errors.New("want one PEM block of type PUBLIC KEY")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	verifier, err := signature.LoadDefaultVerifier(key)
	if err != nil {
		return nil, err
	}
	return root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(verifier, time.Time{}, time.Time{}), nil
	}), nil
}

// knowsSome tells whether an entry is by a log of this root: if not, another
// root has more to say about why the bundle is refused.
func (r trusted) knowsSome(b *bundle.Bundle) bool {
	for _, e := range b.GetVerificationMaterial().GetTlogEntries() {
		if r.material.RekorLogs()[hex.EncodeToString(e.GetLogId().GetKeyId())] != nil {
			return true
		}
	}
	return false
}
