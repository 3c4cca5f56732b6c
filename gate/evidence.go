package gate

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"io/fs"
	"strings"

	"plastron/log/proof"
	"plastron/log/statement"
)

// Kinds of what the log stores beside its entries, as records name them.
const (
	KindToken   = "token"
	KindJWK     = "jwk"
	KindBundle  = "bundle"
	KindNode    = "node"
	KindBeacon  = "beacon"
	KindCSR     = "csr"
	KindRenewal = "renewal"
	KindPolicy  = "policy"
)

// Record returns the decision record with a hash; fs.ErrNotExist where the log
// has none.
func (g *Gate) Record(h proof.Hash) ([]byte, error) {
	b, err := g.log.Blob(h)
	if err != nil {
		return nil, err
	}
	if !isRecord(b) {
		return nil, fmt.Errorf("record %s: %w", h, fs.ErrNotExist)
	}
	return b, nil
}

// Evidence returns a stored piece of evidence and what kind it is, judged by
// its bytes: nothing that calls itself a bundle can be a token, for a token is
// no JSON. Whoever serves it decides by the kind who may read it; what is none
// of the known kinds is a token, and served to nobody.
func (g *Gate) Evidence(h proof.Hash) (kind string, data []byte, err error) {
	b, err := g.log.Blob(h)
	if err != nil {
		return "", nil, err
	}
	switch {
	case isRecord(b):
		return "", nil, fmt.Errorf("evidence %s: %w", h, fs.ErrNotExist)
	case g.state.isPolicy(h): // longer than an entry holds
		return KindPolicy, b, nil
	}
	return g.kindOf(b), b, nil
}

func isRecord(b []byte) bool {
	p, err := statement.Parse(b)
	_, ok := p.(*statement.Record)
	return err == nil && ok
}

func (g *Gate) kindOf(b []byte) string {
	if _, err := g.c.Log.Policy.OpenCheckpoint(b); err == nil {
		return KindBeacon
	}
	var members map[string]jsontext.Value
	if json.Unmarshal(b, &members) != nil {
		if strings.HasPrefix(string(b), "0") { // DER SEQUENCE
			return KindCSR
		}
		return KindToken
	}
	switch {
	case strings.HasPrefix(string(members["mediaType"]), `"application/vnd.dev.sigstore.bundle`):
		return KindBundle
	case members["svid"] != nil && members["signature"] != nil && len(members) == 2:
		return KindRenewal
	case members["kty"] != nil:
		return KindJWK
	case members["kind"] != nil && members["data"] != nil && len(members) == 2:
		return KindNode
	}
	return KindToken
}
