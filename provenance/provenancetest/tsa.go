package provenancetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"net/http"
	"time"

	"github.com/digitorus/timestamp"
)

// A tsa is a timestamp authority: a leaf that signs times.
type tsa struct {
	ca, foreign *stamper
}

type stamper struct {
	*authority
	leaf *x509.Certificate
	key  *ecdsa.PrivateKey
}

var oidTimeStamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}

func newTSA(now time.Time) (*tsa, error) {
	ca, err := newStamper(now)
	if err != nil {
		return nil, err
	}
	foreign, err := newStamper(now)
	return &tsa{ca, foreign}, err
}

func newStamper(now time.Time) (*stamper, error) {
	a, err := newAuthority("sigstore tsa", x509.ExtKeyUsageTimeStamping, now)
	if err != nil {
		return nil, err
	}
	usage, err := criticalUsage(oidTimeStamping)
	if err != nil {
		return nil, err
	}
	s := &stamper{authority: a}
	if s.key, err = newKey(); err != nil {
		return nil, err
	}
	s.leaf, err = certify(&x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"plastron loopback"}, CommonName: "sigstore tsa"},
		NotBefore: now.Add(-age), NotAfter: a.intermediate.NotAfter,
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{usage},
	}, a.intermediate, s.key, a.key)
	return s, err
}

func (s *Sigstore) timestamp(w http.ResponseWriter, r *http.Request) {
	query, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	req, err := timestamp.ParseRequest(query)
	if err != nil || req.HashAlgorithm != crypto.SHA256 {
		http.Error(w, "want a timestamp query over SHA-256", http.StatusBadRequest)
		return
	}
	by := s.tsa.ca
	if s.does(ForeignTimestamp) {
		by = s.tsa.foreign
	}
	if s.does(OtherTimestamp) {
		other := sha256.Sum256(req.HashedMessage)
		req.HashedMessage = other[:]
	}
	stamp := timestamp.Timestamp{
		HashAlgorithm:     req.HashAlgorithm,
		HashedMessage:     req.HashedMessage,
		Nonce:             req.Nonce,
		Time:              time.Now(),
		Policy:            asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2},
		AddTSACertificate: req.Certificates,
	}
	response, err := stamp.CreateResponseWithOpts(by.leaf, by.key, crypto.SHA256)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.WriteHeader(http.StatusCreated)
	w.Write(response)
}
