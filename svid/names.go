package svid

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

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
