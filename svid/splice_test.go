package svid

import (
	"bytes"
	"crypto/x509"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Lengths cross the sizes at which DER writes one more byte.
func TestCutUndoesSplice(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, "none")
	tbs := must(w.a.Draft(w.draft(t)))(t)
	rapid.Check(t, func(t *rapid.T) {
		proof := rapid.SliceOfN(rapid.Byte(), 0, 1000).Draw(t, "proof")
		logged := tbs
		if rapid.Bool().Draw(t, "small") {
			logged = whole([]byte{0x02, 0x01, 0x01}, ext(OIDDecision, false, make([]byte, rapid.IntRange(0, 300).Draw(t, "n"))), nil)
		}
		signed, err := splice(logged, proof)
		if err != nil {
			t.Fatal(err)
		}
		again, got, err := cut(signed)
		if err != nil || !bytes.Equal(again, logged) || !bytes.Equal(got, proof) {
			t.Fatalf("cut: %v", err)
		}
	})
}

func FuzzCut(f *testing.F) {
	w := newWorldWith(f, "none")
	tbs := must(w.a.Draft(w.draft(f)))(f)
	f.Add(tbs)
	f.Add(must(splice(tbs, nil))(f))
	f.Add(must(splice(tbs, w.compact(f, tbs, w.now)))(f))
	f.Add(unhex("3003 a301 00"))
	f.Fuzz(func(t *testing.T, signed []byte) {
		tbs, proof, err := cut(signed)
		if err != nil {
			return
		}
		again, err := splice(tbs, proof)
		if err != nil || !bytes.Equal(again, signed) {
			t.Errorf("%x is cut, and spliced as %x (%v)", signed, again, err)
		}
	})
}

// FuzzVerify mutates a certificate's bytes. None but the seed passes, and what
// our strict reader takes crypto/x509 takes, and reads the same.
func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	tbs := must(w.a.Draft(w.draft(f)))(f)
	good := w.certify(f, tbs).Raw
	f.Add(good)
	f.Add(w.ca.Raw)
	f.Add(w.sign(f, tbs))
	v := w.verifier()
	f.Fuzz(func(t *testing.T, raw []byte) {
		u, err := open(raw)
		if err != nil {
			return
		}
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatalf("crypto/x509 refuses what we take: %v", err)
		}
		if len(c.URIs) != 1 || c.URIs[0].String() != u.tbs.ID.String() || c.SerialNumber.Cmp(u.tbs.Serial) != 0 ||
			!c.NotBefore.Equal(u.tbs.NotBefore) || !c.NotAfter.Equal(u.tbs.NotAfter) || !slices.Equal(c.DNSNames, u.tbs.DNSNames) ||
			!bytes.Equal(c.RawSubjectPublicKeyInfo, u.tbs.SPKI) || !bytes.Equal(c.AuthorityKeyId, u.tbs.AuthorityKeyID) ||
			c.IsCA || c.KeyUsage != x509.KeyUsageDigitalSignature || len(c.UnhandledCriticalExtensions) > 0 {
			t.Fatalf("crypto/x509 reads %x differently", raw)
		}
		if _, err := v.Verify(chain(c)); err == nil && !bytes.Equal(raw, good) {
			t.Fatalf("accepted %x", raw)
		}
	})
}
