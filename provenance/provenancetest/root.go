package provenancetest

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// trustedRoot describes the instance as a trusted_root.json, each part valid
// from start on.
func (s *Sigstore) trustedRoot(start time.Time) ([]byte, error) {
	log := func(id []byte, key crypto.PublicKey) map[string]*root.TransparencyLog {
		return map[string]*root.TransparencyLog{hex.EncodeToString(id): {
			BaseURL: s.url, ID: id, PublicKey: key, ValidityPeriodStart: start,
			HashFunc: crypto.SHA256, SignatureHashFunc: crypto.SHA256,
		}}
	}
	ca, stamp := s.fulcio.ca, s.tsa.ca
	t, err := root.NewTrustedRoot(root.TrustedRootMediaType01,
		[]root.CertificateAuthority{&root.FulcioCertificateAuthority{
			Root: ca.root, Intermediates: []*x509.Certificate{ca.intermediate}, ValidityPeriodStart: start, URI: s.FulcioURL(),
		}},
		log(s.ct.id[:], s.ct.key.Public()),
		[]root.TimestampingAuthority{&root.SigstoreTimestampingAuthority{
			Root: stamp.root, Intermediates: []*x509.Certificate{stamp.intermediate}, Leaf: stamp.leaf,
			ValidityPeriodStart: start, URI: s.TimestampURL(),
		}},
		log(s.rekor.id, s.rekor.key.Public()),
	)
	if err != nil {
		return nil, err
	}
	return t.MarshalJSON()
}
