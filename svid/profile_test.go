package svid

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// Parts of a TBSCertificate, for tests that put it together wrongly. The fields
// are whole elements.
type parts struct {
	fields     map[string][]byte
	extensions [][]byte
}

var fieldNames = []string{"version", "serial", "algorithm", "issuer", "validity", "subject", "key"}

func takeApart(t testing.TB, tbs []byte) *parts {
	t.Helper()
	head, list, err := halves(tbs)
	if err != nil {
		t.Fatal(err)
	}
	p := &parts{fields: make(map[string][]byte)}
	element := func(s *cryptobyte.String) []byte {
		var e cryptobyte.String
		var tag der.Tag
		if !s.ReadAnyASN1Element(&e, &tag) {
			t.Fatal("not DER")
		}
		return e
	}
	for _, name := range fieldNames {
		p.fields[name] = element(&head)
	}
	for !list.Empty() {
		p.extensions = append(p.extensions, element(&list))
	}
	return p
}

func (p *parts) tbs() []byte {
	var head []byte
	for _, name := range fieldNames {
		head = append(head, p.fields[name]...)
	}
	return whole(head, slices.Concat(p.extensions...), nil)
}

// at returns the place of an extension.
func (p *parts) at(id asn1.ObjectIdentifier) int {
	i := slices.IndexFunc(p.extensions, func(x []byte) bool { return bytes.Contains(x[:min(len(x), 16)], []byte(contents(id))) })
	if i < 0 {
		panic("no such extension")
	}
	return i
}

func (p *parts) set(id asn1.ObjectIdentifier, critical bool, value string) {
	p.extensions[p.at(id)] = ext(id, critical, unhex(value))
}

func (p *parts) drop(id asn1.ObjectIdentifier) {
	i := p.at(id)
	p.extensions = slices.Delete(p.extensions, i, i+1)
}

func ext(id asn1.ObjectIdentifier, critical bool, value []byte) []byte {
	var b cryptobyte.Builder
	addExtension(&b, id, critical, value)
	return b.BytesOrPanic()
}

// tlv returns an element with a short length.
func tlv(tag byte, value string) []byte { return append([]byte{tag, byte(len(value))}, value...) }

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

var (
	oidKeyUsage  = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasic     = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidAuthority = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidExtUsage  = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidTrigger   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 20}
)

// spoiled are the ways to break the profile, one row for each rule. What is
// refused here is refused by Mint before the CA key is used, and by a relying
// party even if a CA and a log let it pass.
var spoiled = map[string]struct {
	spoil func(*parts)
	want  string
}{
	"rfc5280 4.1.2.1 version 1":               {func(p *parts) { p.fields["version"] = nil }, "not DER"},
	"rfc5280 4.1.2.1 version 2":               {func(p *parts) { p.fields["version"] = unhex("a003020101") }, "version"},
	"rfc5280 4.1.2.2 serial zero":             {func(p *parts) { p.fields["serial"] = unhex("020100") }, "serial"},
	"rfc5280 4.1.2.2 serial negative":         {func(p *parts) { p.fields["serial"] = unhex("0201ff") }, "serial"},
	"rfc5280 4.1.2.2 serial of 21 octets":     {func(p *parts) { p.fields["serial"] = unhex("021500" + strings.Repeat("ff", 20)) }, "serial"},
	"x690 8.3.2 serial not minimal":           {func(p *parts) { p.fields["serial"] = unhex("02020001") }, "not DER"},
	"rfc5280 4.1.1.2 another algorithm":       {func(p *parts) { p.fields["algorithm"] = unhex("300a06082a8648ce3d040303") }, "algorithm"},
	"rfc5758 3.2 algorithm with NULL":         {func(p *parts) { p.fields["algorithm"] = unhex("300c06082a8648ce3d0403020500") }, "algorithm"},
	"subject not empty":                       {func(p *parts) { p.fields["subject"] = unhex("300d310b3009060355040613025553") }, "subject"},
	"issuerUniqueID":                          {func(p *parts) { p.fields["key"] = append(p.fields["key"], unhex("81020001")...) }, "not DER"},
	"rfc5280 4.1.2.5 empty validity":          {func(p *parts) { p.fields["validity"] = validity("260301120000Z", "260301120000Z") }, "validity is empty"},
	"rfc5280 4.1.2.5.1 no seconds":            {func(p *parts) { p.fields["validity"] = validity("2603011159Z", "260301130000Z") }, "time"},
	"rfc5280 4.1.2.5.1 not in GMT":            {func(p *parts) { p.fields["validity"] = validity("260301115950+0000", "260301130000Z") }, "time"},
	"rfc5280 4.1.2.5.1 the 31st of February":  {func(p *parts) { p.fields["validity"] = validity("260231115950Z", "260301130000Z") }, "time"},
	"rfc5280 4.1.2.5 GeneralizedTime in 2026": {func(p *parts) { p.fields["validity"] = validity("20260301115950Z", "260301130000Z") }, "time"},
	"rfc5280 4.1.2.5.2 fraction of a second":  {func(p *parts) { p.fields["validity"] = validity("260301115950Z", "20500301130000.5Z") }, "time"},
	"three times":                             {func(p *parts) { p.fields["validity"] = validity("260301115950Z", "260301130000Z", "260301130000Z") }, "not DER"},
	"key P-256, point compressed": {func(p *parts) {
		p.fields["key"] = unhex("3039301306072a8648ce3d020106082a8648ce3d030107032200 03" + strings.Repeat("11", 32))
	}, "public key"},
	"key in explicit parameters":     {func(p *parts) { p.fields["key"] = unhex("3013300b06072a8648ce3d02013000 030400041111") }, "public key"},
	"key of DSA":                     {func(p *parts) { p.fields["key"] = unhex("3013300906072a8648ce380401030600020301 0001") }, "public key"},
	"key of 255 bits and one unused": {func(p *parts) { p.fields["key"] = unhex("302a300506032b6570032101" + strings.Repeat("42", 32)) }, "not DER"},
	"key on P-224": {func(p *parts) {
		key, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
		p.fields["key"], _ = x509.MarshalPKIXPublicKey(key.Public())
	}, "P-256 or P-384"},
	"rfc5280 4.2 an extension twice": {func(p *parts) { p.extensions = append(p.extensions, p.extensions[0]) }, "twice"},
	"rfc5280 4.2 no extensions":      {func(p *parts) { p.extensions = nil }, "missing"},
	"an extension of no profile": {func(p *parts) {
		p.extensions = append(p.extensions, ext(asn1.ObjectIdentifier{2, 5, 29, 14}, false, unhex("0400")))
	}, "not of the profile"},
	"rfc5280 4.2 unknown critical extension": {func(p *parts) {
		p.extensions = append(p.extensions, ext(asn1.ObjectIdentifier{1, 2, 3}, true, unhex("0500")))
	}, "not of the profile"},
	"x690 11.5 critical FALSE encoded": {func(p *parts) {
		p.extensions[1] = unhex("3020 0603551d25 010100 0416" + hex.EncodeToString(serverAndClient))
	}, "critical"},
	"x690 11.1 critical TRUE is 01":             {func(p *parts) { p.extensions[0] = unhex("300e 0603551d0f 010101 0404 03020780") }, "critical"},
	"bytes after an extension's value":          {func(p *parts) { p.extensions[0] = unhex("3010 0603551d0f 0101ff 0404 03020780 0500") }, "not DER"},
	"a log-proof extension inside":              {func(p *parts) { p.extensions = append(p.extensions, ext(OIDLogProof, false, unhex("0400"))) }, "log-proof extension is inside"},
	"X509-SVID 4.3 no key usage":                {func(p *parts) { p.drop(oidKeyUsage) }, "2.5.29.15 is missing"},
	"X509-SVID 4.3 key usage not critical":      {func(p *parts) { p.set(oidKeyUsage, false, "03020780") }, "critical"},
	"X509-SVID 4.3 keyCertSign":                 {func(p *parts) { p.set(oidKeyUsage, true, "03020284") }, "key usage"},
	"X509-SVID 4.3 cRLSign":                     {func(p *parts) { p.set(oidKeyUsage, true, "03020182") }, "key usage"},
	"X509-SVID 4.3 no digitalSignature":         {func(p *parts) { p.set(oidKeyUsage, true, "03020520") }, "key usage"},
	"x690 11.2.2 key usage with trailing zeros": {func(p *parts) { p.set(oidKeyUsage, true, "03020080") }, "key usage"},
	"X509-SVID 4.4 EKU server only":             {func(p *parts) { p.set(oidExtUsage, false, "300a06082b06010505070301") }, "extended key usage"},
	"X509-SVID 4.4 EKU any":                     {func(p *parts) { p.set(oidExtUsage, false, "300606 04551d2500") }, "extended key usage"},
	"X509-SVID 4.4 EKU critical":                {func(p *parts) { p.set(oidExtUsage, true, hex.EncodeToString(serverAndClient)) }, "critical"},
	"X509-SVID 4.2 cA":                          {func(p *parts) { p.set(oidBasic, true, "30030101ff") }, "basic constraints"},
	"X509-SVID 4.2 cA FALSE encoded":            {func(p *parts) { p.set(oidBasic, true, "3003010100") }, "basic constraints"},
	"X509-SVID 4.2 no basic constraints":        {func(p *parts) { p.drop(oidBasic) }, "missing"},
	"rfc5280 4.2.1.1 no authority key id":       {func(p *parts) { p.drop(oidAuthority) }, "missing"},
	"authority key id of 4 bytes":               {func(p *parts) { p.set(oidAuthority, false, "3006800401020304") }, "authority key id"},
	"authority key id with serial":              {func(p *parts) { p.set(oidAuthority, false, "30198014"+strings.Repeat("11", 20)+"820101") }, "authority key id"},
	"X509-SVID 2 no name":                       {func(p *parts) { p.drop(oidAltName) }, "missing"},
	"X509-SVID 2 no URI":                        {withNames(tlv(0x82, "gate.example")), "exactly one URI"},
	"X509-SVID 2 two URIs":                      {withNames(tlv(0x86, "spiffe://acme.example/a"), tlv(0x86, "spiffe://acme.example/b")), "exactly one URI"},
	"X509-SVID 2 one URI twice":                 {withNames(tlv(0x86, "spiffe://acme.example/a"), tlv(0x86, "spiffe://acme.example/a")), "exactly one URI"},
	"rfc5280 4.2.1.6 name not critical": {func(p *parts) {
		p.extensions[p.at(oidAltName)] = ext(oidAltName, false, tlv(0x30, string(tlv(0x86, "spiffe://acme.example/a"))))
	}, "critical"},
	"an e-mail address":                        {withNames(tlv(0x81, "a@b.example"), tlv(0x86, "spiffe://acme.example/a")), "exactly one URI"},
	"a DNS name after the URI":                 {withNames(tlv(0x86, "spiffe://acme.example/a"), tlv(0x82, "a.example")), "exactly one URI"},
	"a DNS wildcard":                           {withNames(tlv(0x82, "*.example"), tlv(0x86, "spiffe://acme.example/a")), "host name"},
	"an IPv4 address in 16 bytes":              {withNames(tlv(0x87, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x7f\x00\x00\x01"), tlv(0x86, "spiffe://acme.example/a")), "IP address"},
	"X509-SVID 2 root path":                    {withNames(tlv(0x86, "spiffe://acme.example")), "root path"},
	"SPIFFE-ID 2.2 trailing slash":             {withNames(tlv(0x86, "spiffe://acme.example/")), "SPIFFE ID"},
	"SPIFFE-ID 2.2 empty segment":              {withNames(tlv(0x86, "spiffe://acme.example//a")), "SPIFFE ID"},
	"SPIFFE-ID 2.2 dot segments":               {withNames(tlv(0x86, "spiffe://acme.example/a/../b")), "SPIFFE ID"},
	"SPIFFE-ID 2.2 percent-encoding":           {withNames(tlv(0x86, "spiffe://acme.example/a%2fb")), "SPIFFE ID"},
	"SPIFFE-ID 2.1 trust domain in upper case": {withNames(tlv(0x86, "spiffe://ACME.example/a")), "SPIFFE ID"},
	"SPIFFE-ID 2 another scheme":               {withNames(tlv(0x86, "https://acme.example/a")), "SPIFFE ID"},
	"SPIFFE-ID 2 a port":                       {withNames(tlv(0x86, "spiffe://acme.example:443/a")), "SPIFFE ID"},
	"SPIFFE-ID 2 user info":                    {withNames(tlv(0x86, "spiffe://u@acme.example/a")), "SPIFFE ID"},
	"SPIFFE-ID 2 a query":                      {withNames(tlv(0x86, "spiffe://acme.example/a?b")), "SPIFFE ID"},
	"SPIFFE-ID 2 a fragment":                   {withNames(tlv(0x86, "spiffe://acme.example/a#b")), "SPIFFE ID"},
	"SPIFFE-ID 2 NUL":                          {withNames(tlv(0x86, "spiffe://acme.example/a\x00")), "SPIFFE ID"},
	"build fact critical":                      {func(p *parts) { p.set(oidTrigger, true, "0c0470757368") }, "critical"},
	"build fact PrintableString":               {func(p *parts) { p.set(oidTrigger, false, "130470757368") }, "build extension"},
	"build fact raw text":                      {func(p *parts) { p.set(oidTrigger, false, "70757368") }, "build extension"},
	"build fact trailing bytes":                {func(p *parts) { p.set(oidTrigger, false, "0c047075736800") }, "build extension"},
	"build fact empty":                         {func(p *parts) { p.set(oidTrigger, false, "0c00") }, "build extension"},
	"build fact not UTF-8":                     {func(p *parts) { p.set(oidTrigger, false, "0c01ff") }, "build extension"},
	"build facts without issuer":               {func(p *parts) { p.drop(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}) }, "issuer"},
	"build facts out of order": {func(p *parts) {
		i := p.at(oidTrigger)
		p.extensions[i], p.extensions[i+1] = p.extensions[i+1], p.extensions[i]
	}, "order"},
	"build fact deprecated": {func(p *parts) {
		p.extensions = append(p.extensions, ext(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, false, []byte("https://evil.example")))
	}, "not of the profile"},
	"no decision":        {func(p *parts) { p.drop(OIDDecision) }, "missing"},
	"decision critical":  {func(p *parts) { p.spoilDecision(func(x *extension) { x.critical = true }) }, "critical"},
	"decision cut short": {func(p *parts) { p.spoilDecision(func(x *extension) { x.value = x.value[:len(x.value)-1] }) }, "decision"},
	"decision trailing":  {func(p *parts) { p.spoilDecision(func(x *extension) { x.value = append(slices.Clip(x.value), 0) }) }, "decision"},
}

func (p *parts) spoilDecision(spoil func(*extension)) {
	i := p.at(OIDDecision)
	raw := cryptobyte.String(p.extensions[i])
	x, err := readExtension(&raw)
	if err != nil {
		panic(err)
	}
	spoil(&x)
	p.extensions[i] = ext(OIDDecision, x.critical, x.value)
}

func validity(times ...string) []byte {
	var v []byte
	for _, s := range times {
		tag := byte(der.UTCTime)
		if len(s) > 13 && s[:2] == "20" {
			tag = byte(der.GeneralizedTime)
		}
		v = append(v, tlv(tag, s)...)
	}
	return tlv(byte(der.SEQUENCE), string(v))
}

func withNames(names ...[]byte) func(*parts) {
	return func(p *parts) {
		p.extensions[p.at(oidAltName)] = ext(oidAltName, true, tlv(0x30, string(slices.Concat(names...))))
	}
}

func TestProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tbs := must(w.a.Draft(w.draft(t)))(t)
	if again := takeApart(t, tbs).tbs(); !bytes.Equal(again, tbs) {
		t.Fatal("the parts are not the whole")
	}
	if _, err := w.verifier().Verify(chain(w.certify(t, tbs))); err != nil {
		t.Fatal(err)
	}
	for name, row := range spoiled {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := takeApart(t, bytes.Clone(tbs))
			row.spoil(p)
			_, err := ParseTBS(p.tbs())
			wantError(t, err, row.want)
			if _, _, err := w.a.lint(p.tbs()); err == nil {
				t.Error("the authority would sign it")
			}
		})
	}
}

func TestLengthsOfNames(t *testing.T) {
	t.Parallel()
	must(parseID("spiffe://" + strings.Repeat("a", 255) + "/a"))(t)
	_, err := parseID("spiffe://" + strings.Repeat("a", 256) + "/a")
	wantError(t, err, "more than 255 bytes")
	long := strings.Repeat("a", 63) + "."
	for name, want := range map[string]bool{
		"a": true, "a-b.c": true, strings.Repeat(long, 3) + strings.Repeat("a", 61): true,
		strings.Repeat(long, 3) + strings.Repeat("a", 62): false, strings.Repeat("a", 64): false, "a.": false, ".a": false, "-a": false, "a-": false, "a_b": false,
	} {
		if isHostname(name) != want {
			t.Errorf("%q is a host name: %t, want %t", name, !want, want)
		}
	}
}
