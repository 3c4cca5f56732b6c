package svid

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"math/big"
	"net"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/log"
	"plastron/log/proof"
)

func chain(c *x509.Certificate) []*x509.Certificate { return []*x509.Certificate{c} }

func TestVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.draft(t)
	tbs := must(w.a.Draft(d))(t)
	c := w.certify(t, tbs)
	entry := must(proof.Frame(proof.X509SVID, tbs))(t)
	for name, verify := range map[string]func() (*logged, error){
		"Verify": func() (*logged, error) {
			p, err := w.verifier().Verify(chain(c))
			if err != nil {
				return nil, err
			}
			return &p.logged, nil
		},
		"VerifyLogged": func() (*logged, error) {
			l, err := VerifyLogged(c.Raw, w.policy, w.now)
			if err != nil {
				return nil, err
			}
			return &l.logged, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := must(verify())(t)
			build, ok := l.Build()
			if l.ID() != d.ID || l.Index() != 5 || l.LeafHash() != proof.LeafHash(entry) ||
				!slices.Equal(l.Witnesses(), []string{"wit1", "wit2"}) && !slices.Equal(l.Witnesses(), []string{"wit2", "wit1"}) ||
				!ok || build.SourceRepositoryURI != "https://github.com/acme/shop" {
				t.Errorf("peer %+v", l)
			}
			if !sameDecision(l.Decision(), d.Decision) {
				t.Errorf("decision %+v\nwant %+v", l.Decision(), d.Decision)
			}
		})
	}
}

// Every certificate here is signed by the right CA, and the tree is the right
// log's unless the row says otherwise.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tbs := must(w.a.Draft(w.draft(t)))(t)
	other := must(w.a.Draft(w.draft(t)))(t)
	compact := w.compact(t, tbs, w.now)
	with := func(proof []byte) []byte { return must(splice(tbs, proof))(t) }
	// edited returns the SVID with its proof edited. The layout is that of
	// proof.Compact; the origin has 21 bytes.
	const hashes = 1 + 1 + 21 + 8 + 8
	seals := hashes + 1 + 32*int(compact[hashes]) + 4 + 64
	edited := func(edit func(b []byte) []byte) []byte { return with(edit(bytes.Clone(compact))) }
	extended := func(edit func(list []byte, last []byte) []byte) []byte {
		head, list, err := halves(with(compact))
		if err != nil {
			t.Fatal(err)
		}
		logged := takeApart(t, tbs)
		before := slices.Concat(logged.extensions...)
		return whole(head, edit(before, list[len(before):]), nil)
	}
	at := func(at time.Time) []byte { return with(w.compact(t, tbs, at)) }
	foreign := newLedger(t, "all", "wit1", "wit2")

	for name, row := range map[string]struct {
		tbs  []byte
		want string
	}{
		"never logged: no extension":    {tbs, "not the last"},
		"never logged: empty extension": {with(nil), "version"},
		"never logged: zeros":           {with(make([]byte, 400)), "version"},
		"proof of another entry":        {must(splice(other, compact))(t), "signature"},
		"proof of another log":          {with(foreign.compact(t, tbs, w.now)), "key"},
		"proof of another size":         {edited(func(b []byte) []byte { b[hashes-1]++; return b }), ""},
		"proof at another index":        {edited(func(b []byte) []byte { b[hashes-9]++; return b }), ""},
		"extension twice":               {extended(func(list, last []byte) []byte { return slices.Concat(list, last, last) }), "inside"},
		"extension not last":            {extended(func(list, last []byte) []byte { return slices.Concat(last, list) }), "not the last"},
		"extension alone":               {extended(func(list, last []byte) []byte { return last }), "only one"},
		"extension critical":            {extended(func(list, last []byte) []byte { return append(list, ext(OIDLogProof, true, octets(compact))...) }), "critical"},
		"extension not an OCTET STRING": {extended(func(list, last []byte) []byte { return append(list, ext(OIDLogProof, false, compact)...) }), "OCTET STRING"},
		"extension value has a tail": {extended(func(list, last []byte) []byte {
			return append(list, ext(OIDLogProof, false, append(octets(compact), 0))...)
		}), "OCTET STRING"},
		"trailing bytes":                   {edited(func(b []byte) []byte { return append(b, 0) }), "trailing"},
		"cut short":                        {edited(func(b []byte) []byte { return b[:len(b)-1] }), "ends early"},
		"unknown version":                  {edited(func(b []byte) []byte { b[0] = 2; return b }), "version"},
		"another origin":                   {edited(func(b []byte) []byte { b[2]++; return b }), "origin"},
		"surplus hash":                     {edited(func(b []byte) []byte { b[hashes]++; return slices.Insert(b, hashes+1, make([]byte, 32)...) }), "hashes"},
		"a hash too few":                   {edited(func(b []byte) []byte { b[hashes]--; return slices.Delete(b, hashes+1, hashes+33) }), "hashes"},
		"hashes swapped":                   {edited(func(b []byte) []byte { swap(b[hashes+1:hashes+33], b[hashes+33:hashes+65]); return b }), "signature"},
		"one witness key twice":            {edited(func(b []byte) []byte { copy(b[seals+1+76:], b[seals+1:seals+1+76]); return b }), "twice"},
		"witness keys out of order":        {edited(func(b []byte) []byte { swap(b[seals+1:seals+1+76], b[seals+1+76:]); return b }), "order"},
		"a witness too few":                {edited(func(b []byte) []byte { b[seals]--; return b[:len(b)-76] }), "too few witnesses"},
		"no witness":                       {edited(func(b []byte) []byte { b[seals] = 0; return b[:seals+1] }), "too few witnesses"},
		"unknown witness":                  {edited(func(b []byte) []byte { b[len(b)-76]++; return b }), "key id"},
		"cosignature of another time":      {edited(func(b []byte) []byte { b[len(b)-65]++; return b }), "signature"},
		"log signature spoiled":            {edited(func(b []byte) []byte { b[seals-1]++; return b }), "signature"},
		"log key id spoiled":               {edited(func(b []byte) []byte { b[seals-65]++; return b }), "log key"},
		"cosigned before notBefore - 60 s": {at(w.now.Add(-71 * time.Second)), "no quorum of witnesses cosigned"},
		"cosigned after now + 60 s":        {at(w.now.Add(61 * time.Second)), "no quorum of witnesses cosigned"},
		"logged among what it was decided on": {func() []byte {
			d := w.draft(t)
			d.Decision.Decided = 1000
			tbs := must(w.a.Draft(d))(t)
			return must(splice(tbs, w.compact(t, tbs, w.now)))(t)
		}(), "decided on"},
		"artifact only claimed": {w.spliced(t, func(d *Draft) { d.Decision.Tie = Claimed }), "only claimed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := parse(t, w.sign(t, row.tbs))
			_, err := w.verifier().Verify(chain(c))
			wantError(t, err, row.want)
			if !errors.Is(err, ErrRefused) {
				t.Error("it is not ErrRefused")
			}
			if name == "artifact only claimed" {
				return // for a Verifier to ask
			}
			if _, err := VerifyLogged(c.Raw, w.policy, w.now); err == nil {
				t.Error("VerifyLogged takes it")
			}
		})
	}
	// The rows above prove something only if the edges of what they spoil pass.
	for name, tbs := range map[string][]byte{
		"whole":                        with(compact),
		"cosigned at notBefore - 60 s": at(w.now.Add(-70 * time.Second)),
		"cosigned at now + 60 s":       at(w.now.Add(60 * time.Second)),
	} {
		if _, err := w.verifier().Verify(chain(parse(t, w.sign(t, tbs)))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A bundle and a log that let a broken profile pass are not enough.
func TestVerifyChecksTheProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tbs := must(w.a.Draft(w.draft(t)))(t)
	for name, row := range spoiled {
		p := takeApart(t, bytes.Clone(tbs))
		row.spoil(p)
		if len(p.extensions) == 0 {
			continue // there is nothing to append a proof to
		}
		c := w.certify(t, p.tbs())
		if _, err := w.verifier().Verify(chain(c)); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := VerifyLogged(c.Raw, w.policy, w.now); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: VerifyLogged: %v", name, err)
		}
	}
}

func TestVerifyChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.certify(t, must(w.a.Draft(w.draft(t)))(t))
	stranger := newWorldWith(t, "none")
	stranger.ledger, stranger.bundle = w.ledger, x509bundle.FromX509Authorities(w.td, []*x509.Certificate{stranger.ca})
	theirs := stranger.certify(t, must(stranger.a.Draft(w.draft(t)))(t))
	// Another key's CA under the same name and key id.
	forged := stranger.twin(t, w.ca)
	clock := func(at time.Time) func(*Verifier) {
		return func(v *Verifier) { v.Now = func() time.Time { return at } }
	}
	for name, row := range map[string]struct {
		chain []*x509.Certificate
		edit  func(*Verifier)
		want  string
	}{
		"empty chain":           {nil, nil, "chain has 0"},
		"nine certificates":     {slices.Repeat(chain(good), 9), nil, "chain has 9"},
		"nil certificate":       {chain(nil), nil, "chain has 1"},
		"zero certificate":      {chain(&x509.Certificate{}), nil, "not DER"},
		"the CA as leaf":        {chain(w.ca), nil, "not the last"},
		"another CA":            {chain(theirs), nil, "unknown authority"},
		"an empty bundle":       {chain(good), func(v *Verifier) { v.Bundle = x509bundle.New(w.td) }, "unknown authority"},
		"a CA of the same name": {chain(good), func(v *Verifier) { v.Bundle = x509bundle.FromX509Authorities(w.td, []*x509.Certificate{forged}) }, "certificate signed by unknown authority"},
		"foreign trust domain": {chain(good), func(v *Verifier) {
			v.Bundle = x509bundle.FromX509Authorities(spiffeid.RequireTrustDomainFromString("b.example"), []*x509.Certificate{w.ca})
		}, "not of the trust domain"},
		"SVID of a foreign trust domain": {chain(w.foreign(t)), nil, "not of the trust domain"},
		"expired":                        {chain(good), clock(w.now.Add(time.Hour + time.Second)), "is after"},
		"not yet valid":                  {chain(good), clock(w.now.Add(-11 * time.Second)), "is before"},
		"CA expired":                     {chain(w.longLived(t)), clock(w.ca.NotAfter.Add(time.Second)), "expired"},
		"not authorized":                 {chain(good), func(v *Verifier) { v.Authorize = func(p *Peer) error { return errors.New("not " + p.ID().Path()) } }, "not /shop/api"},
		"no bundle":                      {chain(good), func(v *Verifier) { v.Bundle = nil }, "lacks"},
		"no policy":                      {chain(good), func(v *Verifier) { v.Policy = nil }, "lacks"},
		"the zero policy":                {chain(good), func(v *Verifier) { v.Policy = new(log.Policy) }, "zero"},
		"zero Verifier":                  {chain(good), func(v *Verifier) { *v = Verifier{} }, "lacks"},
		"another's policy":               {chain(good), func(v *Verifier) { v.Policy = newLedger(t, "all", "wit1").policy }, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := w.verifier()
			if row.edit != nil {
				row.edit(v)
			}
			_, err := v.Verify(row.chain)
			wantError(t, err, row.want)
			if !errors.Is(err, ErrRefused) {
				t.Error("it is not ErrRefused")
			}
		})
	}
	if _, err := (*Verifier)(nil).Verify(chain(good)); !errors.Is(err, ErrRefused) {
		t.Errorf("nil Verifier: %v", err)
	}
	_, err := VerifyLogged(good.Raw, w.policy, w.now.Add(-11*time.Second))
	wantError(t, err, "begins only")
	_, err = VerifyLogged(good.Raw, w.policy, w.now.Add(time.Hour+time.Second))
	wantError(t, err, "is over")
	if _, err := VerifyLogged(good.Raw, nil, w.now); !errors.Is(err, ErrRefused) {
		t.Errorf("VerifyLogged without policy: %v", err)
	}
	if _, err := VerifyLogged(good.Raw, new(log.Policy), w.now); !errors.Is(err, log.ErrNotLogged) {
		t.Errorf("VerifyLogged with the zero policy: %v", err)
	}
}

// A Verifier reads the raw bytes: what a caller writes over the parsed fields
// changes nothing, and neither do certificates behind the leaf.
func TestVerifyReadsRawBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := *w.certify(t, must(w.a.Draft(w.draft(t)))(t))
	c.URIs, c.RawTBSCertificate, c.NotAfter, c.IsCA = nil, nil, time.Time{}, true
	p := must(w.verifier().Verify([]*x509.Certificate{&c, {}, nil}))(t)
	if p.ID().Path() != "/shop/api" {
		t.Errorf("peer %s", p.ID())
	}
}

// Flip each bit of each byte of an SVID, one at a time. The CA's signature or
// our reading of it must refuse all of them.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.certify(t, must(w.a.Draft(w.draft(t)))(t)).Raw
	v := w.verifier()
	for i := range raw {
		for _, flip := range []byte{1, 0x80, 0xff} {
			bad := bytes.Clone(raw)
			bad[i] ^= flip
			if _, err := v.Verify(chain(parse(t, bad))); err == nil {
				t.Fatalf("byte %d of %d: accepted with %02x for %02x", i, len(raw), bad[i], raw[i])
			}
		}
	}
	for n := range raw {
		if _, err := v.Verify(chain(&x509.Certificate{Raw: raw[:n]})); err == nil {
			t.Fatalf("accepted the first %d bytes", n)
		}
	}
	if _, err := v.Verify(chain(&x509.Certificate{Raw: append(bytes.Clone(raw), 0)})); err == nil {
		t.Fatal("accepted a byte too many")
	}
}

// VerifyLogged asks no CA, so the log's proof alone must catch every flipped
// bit but those of the CA's signature.
func TestEveryByteCountsWithoutCA(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.certify(t, must(w.a.Draft(w.draft(t)))(t)).Raw
	tbs, _, err := split(raw)
	if err != nil {
		t.Fatal(err)
	}
	end := len(raw) - len(join(nil, nil)) // at most: the TBSCertificate ends before
	end = min(end, bytes.Index(raw, tbs)+len(tbs))
	for i := range raw[:end] {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if _, err := VerifyLogged(bad, w.policy, w.now); err == nil {
			t.Fatalf("byte %d of %d: accepted", i, end)
		}
	}
}

// With two of three witnesses wanted, one whose clock is wrong does no harm, and
// two of them make no quorum.
func TestWitnessClocks(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, "2", "wit1", "wit2", "wit3")
	tbs := must(w.a.Draft(w.draft(t)))(t)
	entry := must(proof.Frame(proof.X509SVID, tbs))(t)
	p := w.log(t, entry, w.now)
	for wrong, want := range []int{3, 2, 0, 0} {
		var lines []byte
		for i, c := range w.cosigners {
			at := w.now
			if i < wrong {
				at = at.Add(-24 * time.Hour)
			}
			note := w.checkpoint(t, []*proof.Signer{c}, at)
			lines = append(lines, note[len(w.checkpoint(t, nil, at)):]...)
		}
		q := p
		q.Checkpoint = append(w.checkpoint(t, nil, w.now), lines...)
		c := parse(t, w.sign(t, must(splice(tbs, must(q.Compact(w.policy))(t)))(t)))
		peer, err := w.verifier().Verify(chain(c))
		switch {
		case want == 0:
			wantError(t, err, "no quorum")
			if !errors.Is(err, log.ErrNotLogged) {
				t.Error("it is not ErrNotLogged")
			}
		case err != nil:
			t.Errorf("%d wrong clocks: %v", wrong, err)
		case len(peer.Witnesses()) != want:
			t.Errorf("%d wrong clocks: witnesses %q", wrong, peer.Witnesses())
		}
	}
}

// A cosignature after notAfter does not count, though it is within a minute of
// now.
func TestCosignedAfterTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.draft(t)
	tbs := must(w.a.Draft(d))(t)
	w.now = d.NotAfter
	for late, ok := range map[time.Duration]bool{0: true, time.Second: false} {
		c := parse(t, w.sign(t, must(splice(tbs, w.compact(t, tbs, d.NotAfter.Add(late))))(t)))
		if _, err := w.verifier().Verify(chain(c)); (err == nil) != ok {
			t.Errorf("cosigned %v after notAfter: %v", late, err)
		}
	}
}

// Size is looked at before anything else.
func TestCertificateTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.verifier().Verify(chain(&x509.Certificate{Raw: make([]byte, MaxCertificate+1)}))
	wantError(t, err, "want at most 32768")
	_, _, err = cut(make([]byte, MaxCertificate+1))
	wantError(t, err, "want at most 32768")
	_, err = ParseTBS(make([]byte, MaxTBS+1))
	wantError(t, err, "want at most 16384")
}

// Under `quorum none` there is no witness, and there are no times.
func TestUnwitnessed(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, "none")
	p := must(w.verifier().Verify(chain(w.certify(t, must(w.a.Draft(w.draft(t)))(t)))))(t)
	if len(p.Witnesses()) != 0 {
		t.Errorf("witnesses %q", p.Witnesses())
	}
}

func TestAllowClaimed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.verifier()
	v.AllowClaimed = true
	c := parse(t, w.sign(t, w.spliced(t, func(d *Draft) { d.Decision.Tie = Claimed })))
	if p := must(v.Verify(chain(c)))(t); p.Decision().Tie != Claimed {
		t.Errorf("tie %q", p.Decision().Tie)
	}
}

// What a peer hands out is a copy: nobody can write over what was verified.
func TestPeerIsImmutable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.draft(t)
	d.DNSNames, d.IPs = []string{"a.example"}, []net.IP{{127, 0, 0, 1}}
	p := must(w.verifier().Verify(chain(w.certify(t, must(w.a.Draft(d))(t)))))(t)
	want, x, y := p.TBS(), p.TBS(), p.Decision()
	x.Serial.SetInt64(1)
	x.Issuer[0]++
	x.AuthorityKeyID[0]++
	x.SPKI[0]++
	x.DNSNames[0] = "b.example"
	x.IPs[0][0]++
	x.Build.Issuer = "evil"
	p.Witnesses()[0] = "evil"
	y.Spent[0][0]++
	y.Floors[0], y.Insecure[0], *y.Renews = "evil", "evil", 0
	if got := p.TBS(); !reflect.DeepEqual(got, want) || !sameDecision(p.Decision(), d.Decision) || p.Witnesses()[0] == "evil" {
		t.Errorf("peer says %+v, said %+v", got, want)
	}
}

// The zero values of what is verified say nothing.
func TestZeroValues(t *testing.T) {
	t.Parallel()
	var p Peer
	var l Logged
	for _, z := range []*logged{&p.logged, &l.logged} {
		if _, built := z.Build(); !z.ID().IsZero() || built || z.LeafHash() != (proof.Hash{}) || z.Decision().Record != [32]byte{} || z.Witnesses() != nil {
			t.Errorf("zero value says %+v", z)
		}
	}
	if err := (&Verifier{}).VerifyConnection(tls.ConnectionState{}); !errors.Is(err, ErrRefused) {
		t.Errorf("zero Verifier: %v", err)
	}
}

// spliced returns an edited draft, logged and with its proof.
func (w *world) spliced(t testing.TB, edit func(*Draft)) []byte {
	t.Helper()
	d := w.draft(t)
	edit(&d)
	tbs := must(w.a.Draft(d))(t)
	return must(splice(tbs, w.compact(t, tbs, w.now)))(t)
}

// foreign returns an SVID of our CA and log with an ID of another trust domain.
func (w *world) foreign(t testing.TB) *x509.Certificate {
	t.Helper()
	p := takeApart(t, must(w.a.Draft(w.draft(t)))(t))
	withNames(tlv(0x86, "spiffe://evil.example/shop/api"))(p)
	return w.certify(t, p.tbs())
}

// longLived returns an SVID that ends with its CA, cosigned then.
func (w *world) longLived(t testing.TB) *x509.Certificate {
	t.Helper()
	d := w.draft(t)
	d.NotAfter = w.ca.NotAfter
	p := takeApart(t, must(w.a.Draft(d))(t))
	p.fields["validity"] = validity("260301120000Z", "270301130000Z")
	return w.certify(t, p.tbs())
}

// twin returns a CA certificate of the world's own key that says it is another.
func (w *world) twin(t testing.TB, ca *x509.Certificate) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), RawSubject: ca.RawSubject, Subject: pkix.Name{}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: ca.SubjectKeyId,
	}
	raw := must(x509.CreateCertificate(rand.Reader, template, template, w.caKey.Public(), w.caKey))(t)
	return must(x509.ParseCertificate(raw))(t)
}

func octets(b []byte) []byte {
	out := []byte{0x04, 0x82}
	out = binary.BigEndian.AppendUint16(out, uint16(len(b)))
	return append(out, b...)
}

func swap(a, b []byte) {
	c := bytes.Clone(a)
	copy(a, b)
	copy(b, c)
}

func sameDecision(a, b Decision) bool {
	if (a.Renews == nil) != (b.Renews == nil) || a.Renews != nil && *a.Renews != *b.Renews {
		return false
	}
	return a.Record == b.Record && a.Policy == b.Policy && a.Decided == b.Decided && slices.Equal(a.Spent, b.Spent) &&
		a.Artifact == b.Artifact && a.Tie == b.Tie && slices.Equal(a.Floors, b.Floors) && slices.Equal(a.Insecure, b.Insecure)
}
