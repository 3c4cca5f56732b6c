package provenance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/sigstore/sigstore-go/pkg/root"
)

// stamped makes a timestamp response; certificates go into it.
func stamped(t *testing.T, leaf *x509.Certificate, key *ecdsa.PrivateKey, own bool, more ...*x509.Certificate) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte("signature"))
	s := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Time: time.Now(), Policy: asn1.ObjectIdentifier{1, 2, 3},
		AddTSACertificate: own, Certificates: more,
	}
	response, err := s.CreateResponseWithOpts(leaf, key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// tsaTrust is a root with one timestamp authority, its leaf, and a certificate
// of its intermediate's key by someone else.
func tsaTrust(t *testing.T) (r *trustRoot, leaf *x509.Certificate, key *ecdsa.PrivateKey, foreign *x509.Certificate) {
	t.Helper()
	const long = 100 * 365 * 24 // hours: digitorus signs with today's date
	p := pki{t}
	ca, caKey := p.issue(caTemplate("tsa root", 0, long), nil, nil)
	mid, midKey := p.issue(caTemplate("tsa mid", 0, long), ca, caKey)
	stranger, strangerKey := p.issue(caTemplate("tsa root", 0, long), nil, nil)
	der, err := x509.CreateCertificate(rand.Reader, mid, stranger, midKey.Public(), strangerKey)
	if err != nil {
		t.Fatal(err)
	}
	if foreign, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	template := leafTemplate(0, long)
	template.Subject = pkix.Name{CommonName: "tsa"}
	template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}
	leaf, key = p.issue(template, mid, midKey)
	tsa := &root.SigstoreTimestampingAuthority{Root: ca, Intermediates: []*x509.Certificate{mid}, Leaf: leaf, URI: "https://tsa.example"}
	return &trustRoot{timestamps: []*timestampAuthority{{SigstoreTimestampingAuthority: tsa}}}, leaf, key, foreign
}

func TestTimestampFrame(t *testing.T) {
	t.Parallel()
	r, leaf, key, foreign := tsaTrust(t)
	tsa := r.timestamps[0]
	for name, response := range map[string][]byte{
		"no certificates": stamped(t, leaf, key, false),
		"its own":         stamped(t, leaf, key, true),
		"its own chain":   stamped(t, leaf, key, true, tsa.Intermediates[0], tsa.Root),
	} {
		if err := r.checkFrame(response); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := tsa.Verify(response, []byte("signature")); err != nil {
			t.Errorf("%s: sigstore-go: %v", name, err)
		}
	}
	if err := r.checkFrame(stamped(t, leaf, key, true, foreign)); err == nil || !strings.Contains(err.Error(), "not of a timestamp authority") {
		t.Errorf("a foreign certificate: %v", err)
	}
	rejection, err := timestamp.CreateErrorResponse(timestamp.Rejection, timestamp.BadRequest)
	if err != nil {
		t.Fatal(err)
	}
	good := stamped(t, leaf, key, false)
	for name, response := range map[string][]byte{
		"rejection":      rejection,
		"empty":          nil,
		"trailing bytes": append(good[:len(good):len(good)], 5, 0),
		"truncated":      good[:len(good)-1],
		"deep":           []byte(strings.Repeat("\x30\x80", 1000)),
	} {
		if err := r.checkFrame(response); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// inTime takes the certificate's validity with both ends.
func TestIntegratedTime(t *testing.T) {
	t.Parallel()
	ev := &evidence{leaf: &x509.Certificate{NotBefore: hour(1), NotAfter: hour(2)}}
	for _, row := range []struct {
		at time.Time
		ok bool
	}{
		{hour(1), true}, {hour(2), true}, {hour(1).Add(-time.Second), false}, {hour(2).Add(time.Second), false},
	} {
		if err := ev.inTime(&entryShape{IntegratedTime: integer(row.at.Unix())}); (err == nil) != row.ok {
			t.Errorf("%v: %v", row.at, err)
		}
	}
	if err := ev.inTime(&entryShape{}); err != nil {
		t.Errorf("Rekor v2 gives no time: %v", err)
	}
}
