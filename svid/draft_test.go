package svid

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// golden returns the TBSCertificate that crypto/x509 makes of a draft, with the
// serial number of ours.
func golden(t *testing.T, w *world, d Draft, serial *big.Int) []byte {
	t.Helper()
	raw := must(x509.CreateCertificate(rand.Reader, template(t, d, serial), w.ca, d.Key, w.caKey))(t)
	return must(x509.ParseCertificate(raw))(t).RawTBSCertificate
}

func template(t testing.TB, d Draft, serial *big.Int) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial, NotBefore: d.NotBefore, NotAfter: d.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		DNSNames:              d.DNSNames, IPAddresses: d.IPs, URIs: []*url.URL{d.ID.URL()},
	}
	if d.Build != nil {
		for _, x := range must(d.Build.Render())(t) {
			if x.Id[len(x.Id)-1] >= 8 {
				template.ExtraExtensions = append(template.ExtraExtensions, x)
			}
		}
	}
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: OIDDecision, Value: must(d.Decision.marshal())(t)})
	return template
}

func TestDraftIsWhatCryptoX509Encodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	full := w.draft(t)
	rsa2048, rsa4096 := must(rsa.GenerateKey(rand.Reader, 2048))(t), must(rsa.GenerateKey(rand.Reader, 4096))(t)
	for name, edit := range map[string]func(*Draft){
		"everything": func(*Draft) {},
		"nothing built, nothing run": func(d *Draft) {
			d.Build, d.Decision = nil, Decision{Record: [32]byte{1}, Decided: 1}
		},
		"the gate's own names": func(d *Draft) {
			d.DNSNames = []string{"localhost", "gate.acme.example"}
			d.IPs = []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP("2001:db8::1")}
		},
		"P-384":         func(d *Draft) { d.Key = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t).Public() },
		"Ed25519":       func(d *Draft) { d.Key = newEd25519(t).Public() },
		"RSA 2048":      func(d *Draft) { d.Key = rsa2048.Public() },
		"RSA 4096":      func(d *Draft) { d.Key = rsa4096.Public() },
		"2,048-byte ID": func(d *Draft) { d.ID = longID(2048) },
		"other time zone and half seconds": func(d *Draft) {
			zone := time.FixedZone("here", 3600)
			d.NotBefore, d.NotAfter = d.NotBefore.In(zone).Add(time.Second/2), d.NotAfter.In(zone).Add(time.Second/2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := full
			edit(&d)
			tbs := must(w.a.Draft(d))(t)
			got := must(ParseTBS(tbs))(t)
			if want := golden(t, w, d, got.Serial); !bytes.Equal(tbs, want) {
				t.Fatalf("TBSCertificate:\n%x\nwant, from crypto/x509:\n%x", tbs, want)
			}
			if got.ID != d.ID || !got.NotBefore.Equal(d.NotBefore.Truncate(time.Second)) || !got.NotAfter.Equal(d.NotAfter.Truncate(time.Second)) ||
				!slices.Equal(got.DNSNames, d.DNSNames) || !slices.EqualFunc(got.IPs, d.IPs, net.IP.Equal) {
				t.Errorf("read back as %+v", got)
			}
		})
	}
}

// After 2049 times are GeneralizedTime (RFC 5280 §4.1.2.5).
func TestDraftAfter2049(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.now = time.Date(2049, 12, 31, 23, 59, 0, 0, time.UTC)
	ca := must(NewCA(w.td, w.caKey, w.now, w.now.AddDate(3, 0, 0)))(t)
	w.ca, w.a.cas[0].certificate = ca, ca
	d := w.draft(t)
	tbs := must(w.a.Draft(d))(t)
	got := must(ParseTBS(tbs))(t)
	if !bytes.Equal(tbs, golden(t, w, d, got.Serial)) || !got.NotAfter.Equal(d.NotAfter) || got.NotAfter.Year() != 2050 {
		t.Errorf("it ends %v, want %v", got.NotAfter, d.NotAfter)
	}
}

func TestDraftDropsDeprecatedBuildFacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := must(ParseTBS(must(w.a.Draft(w.draft(t)))(t)))(t)
	want := *github()
	want.GithubWorkflowTrigger, want.GithubWorkflowSHA, want.GithubWorkflowRepository = "", "", ""
	if got.Build == nil || *got.Build != want {
		t.Errorf("build facts %+v\nwant %+v", got.Build, want)
	}
}

func TestDraftWritesANameOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.draft(t)
	d.Decision.Floors = []string{"where:hardware", "where:hardware"}
	d.Decision.Insecure = []string{"a b", "c", "a b"}
	got := must(ParseTBS(must(w.a.Draft(d))(t)))(t).Decision
	if len(got.Floors) != 1 || len(got.Insecure) != 2 {
		t.Errorf("floors %q, insecure %q", got.Floors, got.Insecure)
	}
	if len(d.Decision.Floors) != 2 {
		t.Error("Draft wrote into its argument")
	}
}

func TestSerialNumbers(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 10_000 {
		s := must(newSerial())(t)
		if n := new(big.Int).SetBytes(s); n.BitLen() != 127 || seen[string(s)] {
			t.Fatalf("serial %x has %d bits, seen %t", s, n.BitLen(), seen[string(s)])
		}
		seen[string(s)] = true
	}
}

func TestDraftRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p256 := newP256(t).PublicKey
	n2048 := must(rsa.GenerateKey(rand.Reader, 2048))(t).N
	for name, row := range map[string]struct {
		edit func(*Draft)
		want string
	}{
		"SPIFFE-ID 2.1 foreign trust domain": {func(d *Draft) { d.ID = spiffeid.RequireFromString("spiffe://evil.example/shop/api") }, "not of the trust domain"},
		"X509-SVID 4.1 root path":            {func(d *Draft) { d.ID = w.td.ID() }, "root path"},
		"SPIFFE-ID zero":                     {func(d *Draft) { d.ID = spiffeid.ID{} }, "SPIFFE ID"},
		"SPIFFE-ID 2.3 2,049 bytes":          {func(d *Draft) { d.ID = longID(2049) }, "2049 bytes"},

		"ends before it begins":  {func(d *Draft) { d.NotAfter = d.NotBefore }, "validity is empty"},
		"ends in the past":       {func(d *Draft) { d.NotBefore, d.NotAfter = epoch.Add(-time.Hour), epoch }, "is over since"},
		"outlives its CA":        {func(d *Draft) { d.NotAfter = w.ca.NotAfter.Add(time.Second) }, "outlive"},
		"year 10000":             {func(d *Draft) { d.NotAfter = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "GeneralizedTime"},
		"begins in 1949":         {func(d *Draft) { d.NotBefore = time.Date(1949, 1, 1, 0, 0, 0, 0, time.UTC) }, "UTCTime"},
		"DNS name in upper case": {func(d *Draft) { d.DNSNames = []string{"Gate.example"} }, "host name"},
		"DNS wildcard":           {func(d *Draft) { d.DNSNames = []string{"*.example"} }, "host name"},
		"DNS name with NUL":      {func(d *Draft) { d.DNSNames = []string{"a\x00.example"} }, "host name"},
		"DNS empty":              {func(d *Draft) { d.DNSNames = []string{""} }, "host name"},
		"33 DNS names":           {func(d *Draft) { d.DNSNames = slices.Repeat([]string{"a"}, 33) }, "more than 32"},
		"IP address of 5 bytes":  {func(d *Draft) { d.IPs = []net.IP{make(net.IP, 5)} }, "IP address"},

		"key nil":           {func(d *Draft) { d.Key = nil }, "key of type"},
		"key P-224":         {func(d *Draft) { d.Key = must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))(t).Public() }, "P-256 or P-384"},
		"key P-521":         {func(d *Draft) { d.Key = must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))(t).Public() }, "P-256 or P-384"},
		"key a private key": {func(d *Draft) { d.Key = newP256(t) }, "key of type"},
		//lint:ignore SA1019 only the fields can hold what is no point
		"key at infinity": {func(d *Draft) { d.Key = &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int), Y: new(big.Int)} }, "not a point"},
		//lint:ignore SA1019 only the fields can hold what is no point
		"key off the curve":     {func(d *Draft) { d.Key = &ecdsa.PublicKey{Curve: elliptic.P256(), X: p256.X, Y: p256.X} }, "not a point"},
		"key nil pointer":       {func(d *Draft) { d.Key = (*ecdsa.PublicKey)(nil) }, "P-256 or P-384"},
		"Ed25519 of 31 bytes":   {func(d *Draft) { d.Key = make(ed25519.PublicKey, 31) }, "31 bytes"},
		"Ed25519 of order 1":    {func(d *Draft) { d.Key = append(ed25519.PublicKey{1}, make([]byte, 31)...) }, "small order"},
		"RSA 1024":              {func(d *Draft) { d.Key = &rsa.PublicKey{N: new(big.Int).Rsh(n2048, 1024), E: 65537} }, "1024 bits"},
		"RSA 16384":             {func(d *Draft) { d.Key = &rsa.PublicKey{N: oddBits(16384), E: 65537} }, "16384 bits"},
		"RSA even":              {func(d *Draft) { d.Key = &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537} }, "want an odd one"},
		"RSA e=1":               {func(d *Draft) { d.Key = &rsa.PublicKey{N: n2048, E: 1} }, "exponent 1"},
		"RSA e=3":               {func(d *Draft) { d.Key = &rsa.PublicKey{N: n2048, E: 3} }, "exponent 3"},
		"the CA's own key":      {func(d *Draft) { d.Key = w.caKey.Public() }, "own"},
		"the log's own key":     {func(d *Draft) { d.Key = w.ledger.key.Public() }, "own"},
		"build without issuer":  {func(d *Draft) { d.Build.Issuer = "" }, "issuer"},
		"build fact not UTF-8":  {func(d *Draft) { d.Build.BuildTrigger = "\xff" }, "UTF-8"},
		"build fact too long":   {func(d *Draft) { d.Build.BuildTrigger = strings.Repeat("a", 2049) }, "2048 bytes"},
		"all facts too long":    {tooLong, "16384"},
		"no decision record":    {func(d *Draft) { d.Decision.Record = [32]byte{} }, "no decision record"},
		"policy not applied":    {func(d *Draft) { d.Decision.Policy = 4 }, "policy entry 4"},
		"renewed not applied":   {func(d *Draft) { d.Decision.Renews = new(uint64(4)) }, "renewed entry 4"},
		"spent key twice":       {func(d *Draft) { d.Decision.Spent = [][32]byte{{1}, {1}} }, "twice"},
		"17 spent keys":         {func(d *Draft) { d.Decision.Spent = make([][32]byte, 17) }, "at most 16"},
		"artifact without tie":  {func(d *Draft) { d.Decision.Tie = NoTie }, "tie"},
		"tie without artifact":  {func(d *Draft) { d.Decision.Artifact = "" }, "not in its place"},
		"unknown tie":           {func(d *Draft) { d.Decision.Tie = "sworn" }, "unknown"},
		"artifact short":        {func(d *Draft) { d.Decision.Artifact = "sha256:ab" }, "whole"},
		"artifact SHA-1":        {func(d *Draft) { d.Decision.Artifact = "sha1:" + strings.Repeat("a", 40) }, "whole"},
		"artifact of none":      {func(d *Draft) { d.Decision.Artifact = "md5:" }, "whole"},
		"artifact upper case":   {func(d *Draft) { d.Decision.Artifact = "sha256:" + strings.Repeat("AB", 32) }, "whole"},
		"floor unknown":         {func(d *Draft) { d.Decision.Floors = []string{"who:hope"} }, "floor"},
		"floor of no fact":      {func(d *Draft) { d.Decision.Floors = []string{":human"} }, "floor"},
		"insecure control byte": {func(d *Draft) { d.Decision.Insecure = []string{"a\nb"} }, "printable"},
		"insecure empty":        {func(d *Draft) { d.Decision.Insecure = []string{""} }, "printable"},
		"insecure too long":     {func(d *Draft) { d.Decision.Insecure = []string{strings.Repeat("a", 161)} }, "printable"},
		"the zero Draft":        {func(d *Draft) { *d = Draft{} }, "key of type"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := w.draft(t)
			row.edit(&d)
			_, err := w.a.Draft(d)
			wantError(t, err, row.want)
		})
	}
}

func tooLong(d *Draft) {
	long := strings.Repeat("a", 2000)
	b := d.Build
	for _, s := range []*string{
		&b.BuildSignerURI, &b.BuildSignerDigest, &b.RunnerEnvironment, &b.SourceRepositoryURI, &b.SourceRepositoryDigest,
		&b.SourceRepositoryRef, &b.SourceRepositoryOwnerURI, &b.BuildConfigURI, &b.BuildConfigDigest,
	} {
		*s = long
	}
}

func oddBits(n uint) *big.Int {
	i := new(big.Int).Lsh(big.NewInt(1), n-1)
	return i.SetBit(i, 0, 1)
}

// longID returns an ID of n bytes.
func longID(n int) spiffeid.ID {
	const start = "spiffe://acme.example/"
	return spiffeid.RequireFromString(start + strings.Repeat("a", n-len(start)))
}

// A signature by a key of small order can be made by anybody: find one for each
// of the table, and none for a real key.
func TestSmallOrders(t *testing.T) {
	t.Parallel()
	anyone := func(key ed25519.PublicKey) bool {
		for i := range 200 {
			for _, r := range smallOrders {
				for _, sign := range []byte{0, 0x80} {
					r[31] |= sign
					if ed25519.Verify(key, []byte{byte(i)}, append(r[:], make([]byte, 32)...)) {
						return true
					}
				}
			}
		}
		return false
	}
	for _, k := range smallOrders {
		if !anyone(k[:]) {
			t.Errorf("%x: no signature found", k)
		}
	}
	key := newEd25519(t).Public().(ed25519.PublicKey)
	if anyone(key) || smallOrder(key) {
		t.Errorf("%x is of small order", key)
	}
}
