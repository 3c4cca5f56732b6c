package provenancetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
)

var (
	oidPoison  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
	oidSCTList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
)

// poison marks a precertificate, RFC 6962 §3.1.
var poison = pkix.Extension{Id: oidPoison, Critical: true, Value: asn1.NullBytes}

// A ctLog promises to log certificates. It keeps none: what verifiers ask of a
// CT log is its signature.
type ctLog struct {
	key, foreign *ecdsa.PrivateKey
	id           [sha256.Size]byte // SHA-256 of the SubjectPublicKeyInfo
}

func newCTLog() (*ctLog, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	foreign, err := newKey()
	if err != nil {
		return nil, err
	}
	id, err := keyID(key.Public())
	return &ctLog{key: key, foreign: foreign, id: id}, err
}

// keyID is the SHA-256 of a key's SubjectPublicKeyInfo.
func keyID(key crypto.PublicKey) ([sha256.Size]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	return sha256.Sum256(der), err
}

// embed gives the extension that puts a signed certificate timestamp over
// precertificate into the certificate to come; foreign signs with another key.
func (l *ctLog) embed(precertificate, issuer []byte, foreign bool) (pkix.Extension, error) {
	sct := ct.SignedCertificateTimestamp{
		SCTVersion: ct.V1,
		LogID:      ct.LogID{KeyID: l.id},
		Timestamp:  uint64(time.Now().UnixMilli()),
	}
	chain := []ct.ASN1Cert{{Data: precertificate}, {Data: issuer}}
	leaf, err := ct.MerkleTreeLeafFromRawChain(chain, ct.PrecertLogEntryType, sct.Timestamp)
	if err != nil {
		return pkix.Extension{}, err
	}
	input, err := ct.SerializeSCTSignatureInput(sct, ct.LogEntry{Leaf: *leaf})
	if err != nil {
		return pkix.Extension{}, err
	}
	key := l.key
	if foreign {
		key = l.foreign
	}
	signature, err := tls.CreateSignature(*key, tls.SHA256, input)
	if err != nil {
		return pkix.Extension{}, err
	}
	sct.Signature = ct.DigitallySigned(signature)
	return listSCT(sct)
}

// listSCT is the extension of RFC 6962 §3.3 with one timestamp.
func listSCT(sct ct.SignedCertificateTimestamp) (pkix.Extension, error) {
	one, err := tls.Marshal(sct)
	if err != nil {
		return pkix.Extension{}, err
	}
	type list struct {
		SCTs []serialized `tls:"minlen:1,maxlen:65535"`
	}
	all, err := tls.Marshal(list{SCTs: []serialized{{one}}})
	if err != nil {
		return pkix.Extension{}, err
	}
	value, err := asn1.Marshal(all)
	return pkix.Extension{Id: oidSCTList, Value: value}, err
}

type serialized struct {
	Val []byte `tls:"minlen:1,maxlen:65535"`
}
