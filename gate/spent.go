package gate

import (
	"crypto/sha256"
	"encoding/binary"

	"plastron/log/proof"
	"plastron/node"
	"plastron/oidc"
)

// SpentKey names what one request uses up, in 32 bytes:
//
//	SHA-256("plastron spent v1\x00" || u8 len(kind) || kind || SHA-256(anchor) || SHA-256(m))
//
// m is the bytes that a signature covers, never the signature: ECDSA signatures
// are malleable, and a second encoding of one token would be a second token.
//
//	kind        anchor                      m
//	oidc        issuer URL                  JWS signing input
//	tpm         AK name                     TPMS_ATTEST
//	join-token  its Ed25519 public key      empty
//	enrolment   kind ":" node source name   the enrolment's key
//	renewal     leaf hash of the SVID       empty
//	reissue     spent key of the chain      index of the chain's newest entry, u64 big-endian
func SpentKey(kind string, anchor []byte, m []byte) proof.Hash {
	return spentKey(kind, anchor, sha256.Sum256(m))
}

func spentKey(kind string, anchor []byte, m [32]byte) proof.Hash {
	h := sha256.New()
	h.Write([]byte("plastron spent v1\x00"))
	h.Write([]byte{byte(len(kind))})
	h.Write([]byte(kind))
	a := sha256.Sum256(anchor)
	h.Write(a[:])
	h.Write(m[:])
	return proof.Hash(h.Sum(nil))
}

func tokenKey(id *oidc.Identity) proof.Hash {
	return spentKey("oidc", []byte(id.URL()), id.SigningInput())
}

func hostKeys(h *node.Host) (keys []proof.Hash) {
	for _, s := range h.Spent() {
		keys = append(keys, SpentKey(s.Kind, s.Anchor, s.M))
	}
	return keys
}

func reissueKey(chain proof.Hash, newest uint64) proof.Hash {
	return SpentKey("reissue", chain[:], binary.BigEndian.AppendUint64(nil, newest))
}
