package svid

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"

	"github.com/sigstore/fulcio/pkg/certificate"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"plastron/log/proof"
)

// A TBS is what the body of an X.509-SVID entry says, decoded once. It is not
// proof of anything: see [Peer] and [Logged] for that.
type TBS struct {
	Serial         *big.Int // positive, at most 20 octets (RFC 5280 §4.1.2.2)
	Issuer         []byte   // the CA's Name, DER
	AuthorityKeyID []byte   // the CA's subject key identifier, 20 bytes
	NotBefore      time.Time
	NotAfter       time.Time
	ID             spiffeid.ID
	SPKI           []byte     // the SVID key's SubjectPublicKeyInfo, DER
	Key            proof.Hash // SHA-256 of SPKI
	DNSNames       []string   // lower case; only the gate's own SVID has some
	IPs            []net.IP
	Build          *certificate.Extensions // Fulcio's .8 to .24; nil if nothing was built
	Decision       Decision
}

func (t *TBS) clone() *TBS {
	c := *t
	if t.Serial != nil {
		c.Serial = new(big.Int).Set(t.Serial)
	}
	c.Issuer, c.AuthorityKeyID, c.SPKI = bytes.Clone(t.Issuer), bytes.Clone(t.AuthorityKeyID), bytes.Clone(t.SPKI)
	c.DNSNames, c.IPs = slices.Clone(t.DNSNames), nil
	for _, ip := range t.IPs {
		c.IPs = append(c.IPs, slices.Clone(ip))
	}
	if t.Build != nil {
		c.Build = new(*t.Build)
	}
	c.Decision = t.Decision.clone()
	return &c
}

var errNotDER = errors.New("not DER, or not in its place")

// ParseTBS reads the TBSCertificate of an X.509-SVID as it is logged, which is
// without the log-proof extension. It refuses everything that [Authority.Draft]
// would not have written: what is not DER, what breaks the SPIFFE profile, and
// every extension that the package comment does not list.
func ParseTBS(tbs []byte) (*TBS, error) {
	if len(tbs) > MaxTBS {
		return nil, fmt.Errorf("svid: TBSCertificate has %d bytes, want at most %d", len(tbs), MaxTBS)
	}
	head, list, err := halves(tbs)
	if err != nil {
		return nil, fmt.Errorf("svid: TBSCertificate: %w", err)
	}
	t := new(TBS)
	if err := t.readHead(head); err != nil {
		return nil, fmt.Errorf("svid: TBSCertificate: %w", err)
	}
	if err := t.readExtensions(list); err != nil {
		return nil, fmt.Errorf("svid: TBSCertificate: %w", err)
	}
	return t, nil
}

// Show reads a certificate, with a log proof or without, and returns what it
// says. It verifies nothing: that is for [Verifier.Verify].
func Show(certificate []byte) (*TBS, error) {
	tbs, _, err := split(certificate)
	if err != nil {
		return nil, fmt.Errorf("svid: %w", err)
	}
	if logged, _, err := cut(tbs); err == nil {
		tbs = logged
	}
	return ParseTBS(tbs)
}

// readHead reads all fields before the extensions.
func (t *TBS) readHead(s cryptobyte.String) error {
	var version, issuer, validity, algorithm, subject, key cryptobyte.String
	var v uint64
	t.Serial = new(big.Int)
	if !s.ReadASN1(&version, tagVersion) || !version.ReadASN1Integer(&v) || !version.Empty() ||
		!s.ReadASN1Integer(t.Serial) ||
		!s.ReadASN1Element(&algorithm, der.SEQUENCE) ||
		!s.ReadASN1Element(&issuer, der.SEQUENCE) ||
		!s.ReadASN1(&validity, der.SEQUENCE) ||
		!s.ReadASN1(&subject, der.SEQUENCE) ||
		!s.ReadASN1Element(&key, der.SEQUENCE) || !s.Empty() {
		return errNotDER
	}
	switch {
	case v != 2:
		return fmt.Errorf("version is v%d, want v3", v+1)
	case t.Serial.Sign() <= 0 || t.Serial.BitLen() > 159:
		return errors.New("serial number is not a positive number of at most 20 octets")
	case !bytes.Equal(algorithm, ecdsaWithSHA256):
		return errors.New("signature algorithm is not ECDSA with SHA-256")
	case !subject.Empty():
		return errors.New("subject is not empty")
	}
	t.Issuer = bytes.Clone(issuer)
	t.SPKI = bytes.Clone(key)
	t.Key = sha256.Sum256(key)
	if _, err := parseSPKI(t.SPKI); err != nil {
		return err
	}
	return t.readValidity(validity)
}

func (t *TBS) readValidity(s cryptobyte.String) (err error) {
	if t.NotBefore, err = readTime(&s); err != nil {
		return err
	}
	if t.NotAfter, err = readTime(&s); err != nil {
		return err
	}
	if !s.Empty() {
		return errNotDER
	}
	if !t.NotBefore.Before(t.NotAfter) {
		return errors.New("validity is empty")
	}
	return nil
}

// readTime reads a Time. RFC 5280 §4.1.2.5: "dates through the year 2049 as
// UTCTime; [...] dates in 2050 or later [...] as GeneralizedTime", in seconds
// and with a Z.
func readTime(s *cryptobyte.String) (time.Time, error) {
	var b cryptobyte.String
	var tag der.Tag
	if !s.ReadAnyASN1(&b, &tag) || tag != der.UTCTime && tag != der.GeneralizedTime {
		return time.Time{}, errNotDER
	}
	text := string(b)
	if tag == der.UTCTime && len(text) > 2 {
		century := "20"
		if text[:2] >= "50" {
			century = "19"
		}
		text = century + text
	}
	at, err := time.Parse("20060102150405Z", text)
	if err != nil || at.Format("20060102150405Z") != text || (tag == der.UTCTime) != (at.Year() < 2050) {
		return time.Time{}, errors.New("time is not as RFC 5280 wants it")
	}
	return at, nil
}
