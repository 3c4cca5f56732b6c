package provenance

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// A Root is one Sigstore instance to be trusted: its certificate authorities,
// CT logs, transparency logs and timestamp authorities, each with the period
// for which it is trusted. Only the file says so; nothing is fetched.
type Root struct {
	Name        string    // what facts and policies call it, as in "public-good"
	TrustedRoot []byte    // trusted_root.json, media type application/vnd.dev.sigstore.trustedroot+json;version=0.1
	Tiles       []TileLog // where its logs serve their tiles, for [Verifier.Watch]; none need be known
}

// trustRoot is a root, read and prepared.
type trustRoot struct {
	name        string
	material    *root.TrustedRoot
	authorities []*authority
	timestamps  []*timestampAuthority
	logs        map[string]*rekorLog // by key id, lower-case hexadecimal
	tiles       []*tileLog
	ctKeys      map[string][32]byte // by log id, lower-case hexadecimal: SHA-256 of the SubjectPublicKeyInfo
}

// newTrustRoot refuses a root under which no bundle could ever hold: better
// said at start than once per request.
func newTrustRoot(r Root) (*trustRoot, error) {
	material, err := root.NewTrustedRootFromJSON(r.TrustedRoot)
	if err != nil {
		return nil, err
	}
	t := &trustRoot{name: r.Name, material: material, logs: make(map[string]*rekorLog), ctKeys: make(map[string][32]byte)}
	for _, step := range []func() error{t.readAuthorities, t.readLogs, t.readCT, t.readTimestamps} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	for _, o := range r.Tiles {
		if err := t.addTiles(o); err != nil {
			return nil, fmt.Errorf("tiles of log %q: %w", o.Origin, err)
		}
	}
	return t, nil
}

// addTiles joins an address to the log of the root that has that name.
func (t *trustRoot) addTiles(o TileLog) error {
	var found *rekorLog
	for _, l := range t.logs {
		if l.host != o.Origin {
			continue
		}
		if found != nil {
			return errors.New("several logs of the trust root have that name")
		}
		found = l
	}
	if found == nil {
		return errors.New("no log of the trust root has that name, the host of its base URL")
	}
	l, err := newTileLog(o, found)
	t.tiles = append(t.tiles, l)
	return err
}

func (t *trustRoot) readAuthorities() error {
	for _, ca := range t.material.FulcioCertificateAuthorities() {
		fulcio, ok := ca.(*root.FulcioCertificateAuthority)
		if !ok {
			return fmt.Errorf("certificate authority is a %T", ca)
		}
		a, err := newAuthority(fulcio)
		if err != nil {
			return fmt.Errorf("certificate authority %s: %w", fulcio.URI, err)
		}
		t.authorities = append(t.authorities, a)
	}
	if len(t.authorities) == 0 {
		return errors.New("no certificate authority")
	}
	return nil
}

func (t *trustRoot) readLogs() error {
	keys := make(map[[32]byte]string)
	for id, log := range t.material.RekorLogs() {
		l, err := newRekorLog(log)
		if err != nil {
			return fmt.Errorf("transparency log %s: %w", log.BaseURL, err)
		}
		if log.ValidityPeriodStart.Unix() <= 0 {
			return fmt.Errorf("transparency log %s: its key's validFor has no start", log.BaseURL)
		}
		if other, twice := keys[l.key]; twice {
			return fmt.Errorf("transparency logs %s and %s have one key", other, log.BaseURL)
		}
		keys[l.key] = log.BaseURL
		t.logs[id] = l
	}
	if len(t.logs) == 0 {
		return errors.New("no transparency log: inclusion could not be shown")
	}
	return nil
}

func (t *trustRoot) readCT() error {
	for id, log := range t.material.CTLogs() {
		spki, err := x509.MarshalPKIXPublicKey(log.PublicKey)
		if err != nil {
			return fmt.Errorf("CT log %s: %w", log.BaseURL, err)
		}
		t.ctKeys[id] = sha256.Sum256(spki)
	}
	if len(t.ctKeys) == 0 {
		return errors.New("no CT log: no certificate could show that it was published")
	}
	return nil
}

func (t *trustRoot) readTimestamps() error {
	for _, a := range t.material.TimestampingAuthorities() {
		tsa, ok := a.(*root.SigstoreTimestampingAuthority)
		if !ok || tsa.Root == nil {
			return fmt.Errorf("timestamp authority without a root certificate")
		}
		t.timestamps = append(t.timestamps, &timestampAuthority{SigstoreTimestampingAuthority: tsa, root: sha256.Sum256(tsa.Root.Raw)})
	}
	return nil
}

// log finds the log of an entry; nil where the root knows it not.
func (t *trustRoot) log(e *entryShape) *rekorLog { return t.logs[hex.EncodeToString(e.LogID.KeyID)] }

// knows tells whether all entries of the evidence are by logs of this root.
func (t *trustRoot) knows(ev *evidence) bool {
	for i := range ev.shape.Material.Entries {
		if t.log(&ev.shape.Material.Entries[i]) == nil {
			return false
		}
	}
	return true
}
