package svid

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
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

var (
	idLogProof  = contents(OIDLogProof)
	idDecision  = contents(OIDDecision)
	idKeyUsage  = contents(asn1.ObjectIdentifier{2, 5, 29, 15})
	idAltName   = contents(asn1.ObjectIdentifier{2, 5, 29, 17})
	idBasic     = contents(asn1.ObjectIdentifier{2, 5, 29, 19})
	idAuthority = contents(asn1.ObjectIdentifier{2, 5, 29, 35})
	idExtUsage  = contents(asn1.ObjectIdentifier{2, 5, 29, 37})
)

// The values of three extensions, which are the same in every SVID.
var (
	digitalSignature = []byte{0x03, 0x02, 0x07, 0x80}
	notCA            = []byte{0x30, 0x00}
	serverAndClient  = []byte{
		0x30, 0x14,
		0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01,
		0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02,
	}
)

// readExtensions reads the list and refuses a certificate that lacks one, has
// one twice, or has one that is not of the profile.
func (t *TBS) readExtensions(list cryptobyte.String) error {
	seen := make(map[string]bool)
	var build []pkix.Extension
	for !list.Empty() {
		x, err := readExtension(&list)
		if err != nil {
			return err
		}
		if seen[x.id] {
			return errors.New("an extension is there twice")
		}
		seen[x.id] = true
		if id, ok := buildIDs[x.id]; ok {
			if x.critical {
				return fmt.Errorf("build extension %v is critical", id)
			}
			build = append(build, pkix.Extension{Id: id, Value: x.value})
			continue
		}
		if err := t.readExtension(x); err != nil {
			return err
		}
	}
	for _, id := range []string{idKeyUsage, idExtUsage, idBasic, idAuthority, idAltName, idDecision} {
		if !seen[id] {
			return fmt.Errorf("extension %s is missing", name(id))
		}
	}
	var err error
	t.Build, err = parseBuild(build)
	return err
}

func (t *TBS) readExtension(x extension) (err error) {
	critical := x.id == idKeyUsage || x.id == idBasic || x.id == idAltName
	switch x.id {
	case idKeyUsage:
		if !bytes.Equal(x.value, digitalSignature) {
			err = errors.New("key usage is not digitalSignature alone")
		}
	case idExtUsage:
		if !bytes.Equal(x.value, serverAndClient) {
			err = errors.New("extended key usage is not server and client authentication")
		}
	case idBasic:
		if !bytes.Equal(x.value, notCA) {
			err = errors.New("basic constraints are not those of a leaf")
		}
	case idAuthority:
		t.AuthorityKeyID, err = readAuthorityKeyID(x.value)
	case idAltName:
		err = t.readNames(x.value)
	case idDecision:
		t.Decision, err = ParseDecision(x.value)
	case idLogProof:
		err = errors.New("a log-proof extension is inside")
	default:
		err = fmt.Errorf("extension %s is not of the profile", name(x.id))
	}
	if err == nil && x.critical != critical {
		err = fmt.Errorf("extension %s: critical is %t, want %t", name(x.id), x.critical, critical)
	}
	return err
}

// name returns the dotted form of an identifier's contents octets.
func name(id string) string {
	var b cryptobyte.Builder
	b.AddASN1(der.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(id)) })
	s := cryptobyte.String(b.BytesOrPanic())
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1ObjectIdentifier(&oid) {
		return fmt.Sprintf("%x", id)
	}
	return oid.String()
}

func readAuthorityKeyID(value []byte) ([]byte, error) {
	s := cryptobyte.String(value)
	var body, id cryptobyte.String
	if !s.ReadASN1(&body, der.SEQUENCE) || !s.Empty() ||
		!body.ReadASN1(&id, der.Tag(0).ContextSpecific()) || !body.Empty() || len(id) != keyIDSize {
		return nil, fmt.Errorf("authority key id is not one key identifier of %d bytes", keyIDSize)
	}
	return bytes.Clone(id), nil
}

// The kinds of GeneralName that an SVID has, in this order.
var (
	tagDNS = der.Tag(2).ContextSpecific()
	tagURI = der.Tag(6).ContextSpecific()
	tagIP  = der.Tag(7).ContextSpecific()
)

// readNames reads the subject alternative names: DNS names, then IP addresses,
// then exactly one URI, the SPIFFE ID (X509-SVID §2: "MUST contain exactly one
// URI SAN").
func (t *TBS) readNames(value []byte) error {
	s := cryptobyte.String(value)
	var names cryptobyte.String
	if !s.ReadASN1(&names, der.SEQUENCE) || !s.Empty() {
		return errNotDER
	}
	for names.PeekASN1Tag(tagDNS) {
		var n cryptobyte.String
		if !names.ReadASN1(&n, tagDNS) || !isHostname(string(n)) {
			return errors.New("a DNS name is not a host name in lower case")
		}
		t.DNSNames = append(t.DNSNames, string(n))
	}
	for names.PeekASN1Tag(tagIP) {
		var n cryptobyte.String
		if !names.ReadASN1(&n, tagIP) || len(n) != net.IPv4len && (len(n) != net.IPv6len || net.IP(n).To4() != nil) {
			return errors.New("an IP address has neither 4 nor 16 bytes")
		}
		t.IPs = append(t.IPs, bytes.Clone(n))
	}
	if len(t.DNSNames)+len(t.IPs) > maxNames {
		return fmt.Errorf("more than %d DNS names and IP addresses", maxNames)
	}
	var uri cryptobyte.String
	if !names.ReadASN1(&uri, tagURI) || !names.Empty() {
		return errors.New("subject alternative names are not DNS names, IP addresses and exactly one URI")
	}
	var err error
	t.ID, err = parseID(string(uri))
	return err
}

const (
	maxNames       = 32
	maxID          = 2048 // bytes of a SPIFFE ID (SPIFFE-ID §2.3)
	maxTrustDomain = 255  // bytes (SPIFFE-ID §2.1)
)

// parseID reads the SPIFFE ID of a workload.
func parseID(s string) (spiffeid.ID, error) {
	if len(s) > maxID {
		return spiffeid.ID{}, fmt.Errorf("SPIFFE ID has %d bytes, want at most %d", len(s), maxID)
	}
	id, err := spiffeid.FromString(s)
	switch {
	case err != nil:
		return spiffeid.ID{}, fmt.Errorf("SPIFFE ID: %w", err)
	case id.String() != s:
		return spiffeid.ID{}, errors.New("SPIFFE ID is not in its canonical form")
	case len(id.TrustDomain().Name()) > maxTrustDomain:
		return spiffeid.ID{}, fmt.Errorf("trust domain has more than %d bytes", maxTrustDomain)
	case id.Path() == "":
		return spiffeid.ID{}, errors.New("SPIFFE ID has the root path, which is the trust domain's own")
	}
	return id, nil
}

// isHostname reports whether s is a DNS name of letters, digits and hyphens,
// without wildcards (RFC 1123 §2.1), in lower case.
func isHostname(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		odd := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, odd) {
			return false
		}
	}
	return true
}
