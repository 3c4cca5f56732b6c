package jointoken

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"plastron/log/statement"
	"plastron/node"
	"plastron/node/internal/host"
)

func makeHost(name string, ev node.Evidence, e *evidence, token *statement.JoinToken, now time.Time) *node.Host {
	return host.New(host.Result{
		Name:    name,
		Kind:    Kind,
		ID:      Kind + ":" + hex.EncodeToString(e.PublicKey),
		Floor:   node.Human,
		Bound:   node.Key,
		Anchors: []node.Anchor{{Name: "join token of " + token.Author, SHA256: sha256.Sum256(e.PublicKey)}},
		Facts: map[string]string{
			"author":  token.Author,
			"reason":  token.Reason,
			"expires": token.Expires.UTC().Format(time.RFC3339),
		},
		Time:     now,
		Digest:   sha256.Sum256(ev.Data),
		Spent:    []node.SpentKey{{Kind: Kind, Anchor: e.PublicKey}},
		SPIFFEID: token.SPIFFEID,
		Rule:     token.Rule,
	})
}
