package svid

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// A gate is a world whose log is a real one, with a real witness. Its CA key
// counts its signatures.
type gate struct {
	*world
	log *logtest.Log
	key *counted
}

// A counted key counts what it signs.
type counted struct {
	crypto.Signer
	n int
}

func (k *counted) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.n++
	return k.Signer.Sign(r, digest, opts)
}

func newGate(t testing.TB) *gate {
	t.Helper()
	w := newWorldAt(t, time.Now().Truncate(time.Second), "none")
	g := &gate{world: w, log: logtest.New(t), key: &counted{Signer: w.caKey}}
	w.policy = g.log.Policy
	g.a = g.authority(t, w.policy)
	for range 5 {
		g.append(t, proof.Statement, []byte("{}"))
	}
	return g
}

func (g *gate) authority(t testing.TB, p *log.Policy) *Authority {
	t.Helper()
	return must(NewAuthority(Config{TrustDomain: g.td, Certificate: g.ca, Key: g.key, Policy: p, Now: func() time.Time { return g.now }}))(t)
}

func (g *gate) append(t testing.TB, kind proof.Kind, body []byte) *log.Receipt {
	t.Helper()
	entry := must(proof.Frame(kind, body))(t)
	return must(g.log.Append(t.Context(), entry, log.Conditions{Decided: log.Unconditional}))(t)
}

func TestMint(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	d := g.draft(t)
	tbs := must(g.a.Draft(d))(t)
	r := g.append(t, proof.X509SVID, tbs)
	if g.key.n != 0 {
		t.Fatal("the CA key signed before the log did")
	}
	s := must(g.a.Mint(r))(t)

	// The SVID says what was granted, and is what was logged.
	if s.ID() != d.ID || s.Index() != 5 || len(s.Chain()) != 1 || !bytes.Equal(s.Chain()[0], s.Certificate().Raw) {
		t.Errorf("SVID %s at %d", s.ID(), s.Index())
	}
	logged, _, err := cut(s.Certificate().RawTBSCertificate)
	if err != nil || !bytes.Equal(logged, tbs) {
		t.Errorf("the SVID is not what was logged: %v", err)
	}
	stored := must(g.log.Entry(5))(t)
	if s.LeafHash() != proof.LeafHash(stored.Entry) {
		t.Error("leaf hash is not the entry's")
	}

	text := must(s.Proof().MarshalText())(t)
	if c := must(must(proof.ParseProof(text))(t).Verify(g.policy, s.LeafHash()))(t); c.Checkpoint().Size <= s.Index() {
		t.Errorf("its proof is of a tree of %d", c.Checkpoint().Size)
	}
	if shown := must(Show(s.Certificate().Raw))(t); !reflect.DeepEqual(shown, s.TBS()) || !reflect.DeepEqual(shown, must(ParseTBS(tbs))(t)) {
		t.Errorf("it shows %+v", shown)
	}
	if shown := must(Show(g.sign(t, tbs)))(t); shown.ID != d.ID {
		t.Errorf("without a proof it shows %s", shown.ID)
	}

	// Others accept it: go-spiffe, and a relying party with nothing but bundle
	// and policy.
	if _, _, err := x509svid.Verify(chain(s.Certificate()), g.bundle, x509svid.WithTime(g.now)); err != nil {
		t.Error(err)
	}
	p := must(g.verifier().Verify(chain(s.Certificate())))(t)
	if p.ID() != d.ID || p.Index() != s.Index() || p.LeafHash() != s.LeafHash() || len(p.Witnesses()) != 1 {
		t.Errorf("peer %s at %d", p.ID(), p.Index())
	}

	// Minted again, now and from a newer receipt, it is the same SVID.
	g.append(t, proof.Statement, []byte("{}"))
	for name, r := range map[string]*log.Receipt{"same receipt": r, "newer receipt": must(g.log.Receipt(t.Context(), 5))(t)} {
		again := must(g.a.Mint(r))(t)
		logged, _, err := cut(again.Certificate().RawTBSCertificate)
		if err != nil || !bytes.Equal(logged, tbs) || again.Certificate().SerialNumber.Cmp(s.Certificate().SerialNumber) != 0 || again.LeafHash() != s.LeafHash() {
			t.Errorf("%s: another SVID", name)
		}
		must(g.verifier().Verify(chain(again.Certificate())))(t)
	}
}

// Mint signs nothing but a lawful SVID in a log it believes. In each row the CA
// key stays unused.
func TestMintRefuses(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	tbs := must(g.a.Draft(g.draft(t)))(t)
	good := g.append(t, proof.X509SVID, tbs)
	witness := must(proof.NewCosigner("witness.example/w", newEd25519(t)))(t)
	demanding := must(proof.ParsePolicy([]byte("log " + g.log.Signer.VKey() + "\nwitness w " + witness.VKey() + "\nquorum w\n")))(t)
	tainted := must(NewAuthority(Config{
		TrustDomain: g.td, Certificate: g.ca, Key: g.key, Policy: g.policy, Tainted: [][]byte{g.ca.SubjectKeyId},
	}))(t)
	later := must(NewAuthority(Config{
		TrustDomain: g.td, Certificate: g.ca, Key: g.key, Policy: g.policy, Now: func() time.Time { return g.now.Add(time.Hour) },
	}))(t)
	stranger := newWorldAt(t, g.now, "none")
	signed := must(splice(tbs, nil))(t)
	for name, row := range map[string]struct {
		authority *Authority
		receipt   *log.Receipt
		notLogged bool
		want      string
	}{
		"nil receipt":                      {g.a, nil, true, ""},
		"zero receipt":                     {g.a, new(log.Receipt), true, ""},
		"another log's receipt":            {g.authority(t, stranger.policy), good, true, ""},
		"no quorum":                        {g.authority(t, demanding), good, true, ""},
		"a statement":                      {g.a, g.append(t, proof.Statement, []byte("{}")), false, "not an X.509-SVID"},
		"a TBSCertificate as a statement":  {g.a, g.append(t, proof.Statement, tbs), false, "not an X.509-SVID"},
		"a TBSCertificate as a JWT-SVID":   {g.a, g.append(t, proof.JWTSVID, tbs), false, "not an X.509-SVID"},
		"not a TBSCertificate":             {g.a, g.append(t, proof.X509SVID, []byte("hello")), false, "not DER"},
		"a whole certificate":              {g.a, g.append(t, proof.X509SVID, g.ca.Raw), false, "svid"},
		"the CA's TBSCertificate":          {g.a, g.append(t, proof.X509SVID, g.ca.RawTBSCertificate), false, "subject"},
		"a log-proof extension inside":     {g.a, g.append(t, proof.X509SVID, signed), false, "inside"},
		"a tainted CA":                     {tainted, good, false, "tainted"},
		"now = notAfter":                   {later, good, false, "is over"},
		"another CA's":                     {stranger.withLogOf(t, g), good, false, "no CA with the key id"},
		"entry at an index it was decided": {g.a, g.append(t, proof.X509SVID, early(t, g)), false, "decided on"},
	} {
		t.Run(name, func(t *testing.T) {
			before := g.key.n
			_, err := row.authority.Mint(row.receipt)
			wantError(t, err, row.want)
			if errors.Is(err, log.ErrNotLogged) != row.notLogged {
				t.Errorf("error %v: is ErrNotLogged %t, want %t", err, !row.notLogged, row.notLogged)
			}
			if g.key.n != before {
				t.Error("the CA key was used")
			}
		})
	}
	for name, row := range spoiled {
		p := takeApart(t, bytes.Clone(tbs))
		row.spoil(p)
		r := g.append(t, proof.X509SVID, p.tbs())
		if _, err := g.a.Mint(r); err == nil {
			t.Errorf("%s: minted", name)
		}
	}
	if g.key.n != 0 {
		t.Errorf("the CA key was used %d times", g.key.n)
	}
	must(g.a.Mint(good))(t)
}

// early is a draft that says it was decided on more entries than there are.
func early(t testing.TB, g *gate) []byte {
	d := g.draft(t)
	d.Decision.Decided = 1 << 40
	return must(g.a.Draft(d))(t)
}

// withLogOf is an authority of the same trust domain with another CA, and the
// log of g.
func (w *world) withLogOf(t testing.TB, g *gate) *Authority {
	return must(NewAuthority(Config{TrustDomain: w.td, Certificate: w.ca, Key: w.caKey, Policy: g.policy}))(t)
}

// A faulty key manager mints nothing.
func TestMintWithFaultyKey(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	r := g.append(t, proof.X509SVID, must(g.a.Draft(g.draft(t)))(t))
	for name, sign := range map[string]func(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error){
		"an error": func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
			return nil, errors.New("key manager is away")
		},
		"nothing":   func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil },
		"another's": newP256(t).Sign,
		"another digest's": func(r io.Reader, _ []byte, o crypto.SignerOpts) ([]byte, error) {
			return g.caKey.Sign(r, make([]byte, 32), o)
		},
	} {
		key := &faulty{g.caKey, sign}
		a := must(NewAuthority(Config{TrustDomain: g.td, Certificate: g.ca, Key: key, Policy: g.policy}))(t)
		if s, err := a.Mint(r); err == nil || s != nil {
			t.Errorf("%s: minted", name)
		}
	}
}

type faulty struct {
	crypto.Signer
	sign func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error)
}

func (f *faulty) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return f.sign(r, digest, opts)
}
