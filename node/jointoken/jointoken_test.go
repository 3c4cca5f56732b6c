package jointoken_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json/v2"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"plastron/log/statement"
	"plastron/node"
	"plastron/node/jointoken"
)

var now = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

// A site is a source of nodes, a token made for it, and one request.
type site struct {
	verifier *jointoken.Verifier
	token    string
	public   ed25519.PublicKey
	entry    statement.JoinToken
	bind     [32]byte
}

func newSite(t testing.TB) *site {
	t.Helper()
	token, public, err := jointoken.NewToken()
	if err != nil {
		t.Fatal(err)
	}
	return siteOf(token, public)
}

func siteOf(token string, public ed25519.PublicKey) *site {
	return &site{
		verifier: jointoken.New("lab"),
		token:    token,
		public:   public,
		bind:     node.Bind([32]byte{1}, []byte("key")),
		entry: statement.JoinToken{
			Node: "lab", PublicKey: public, SPIFFEID: "spiffe://acme.example/lab/1", Rule: "lab",
			Expires: now.Add(time.Hour), Reason: "new machine", Author: "alice",
		},
	}
}

func (s *site) enrolment(t testing.TB) *node.Enrolment {
	t.Helper()
	data, err := json.Marshal(s.entry)
	if err != nil {
		t.Fatal(err)
	}
	return &node.Enrolment{Kind: "join-token", Name: "lab", Index: 7, Data: data}
}

func (s *site) evidence(t testing.TB) node.Evidence {
	t.Helper()
	ev, err := jointoken.Attest(s.token, s.bind)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestVerify(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ev := s.evidence(t)
	key, err := s.verifier.EnrolmentKey(ev)
	if err != nil || key != hex.EncodeToString(s.public) {
		t.Errorf("EnrolmentKey = %q, %v, want the public key's hex", key, err)
	}
	h, err := s.verifier.Verify(t.Context(), ev, s.bind, s.enrolment(t), now)
	if err != nil {
		t.Fatal(err)
	}
	if h.Kind() != "join-token" || h.Name() != "lab" || h.ID() != "join-token:"+key || h.Floor() != node.Human || h.Bound() != node.Key {
		t.Errorf("host %s %s %s %s %s", h.Kind(), h.Name(), h.ID(), h.Floor(), h.Bound())
	}
	if h.SPIFFEID() != s.entry.SPIFFEID || h.Rule() != s.entry.Rule || h.Facts()["author"] != "alice" {
		t.Errorf("host names %q, %q and %v", h.SPIFFEID(), h.Rule(), h.Facts())
	}
	spent := h.Spent()
	if len(spent) != 1 || spent[0].Kind != "join-token" || !bytes.Equal(spent[0].Anchor, s.public) || len(spent[0].M) != 0 {
		t.Errorf("spent %+v, want the public key and nothing else: it is spent on its first key", spent)
	}
	if strings.Contains(string(ev.Data), strings.TrimPrefix(s.token, "plastron-join-v1.")) {
		t.Error("evidence holds the secret")
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	other := newSite(t)
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, s *site, ev *node.Evidence, e **node.Enrolment, at *time.Time)
		code  node.Code
	}{
		{"other beacon", func(_ *testing.T, s *site, _ *node.Evidence, _ **node.Enrolment, _ *time.Time) {
			s.bind = node.Bind([32]byte{2}, []byte("key"))
		}, node.Signature},
		{"other SVID key", func(_ *testing.T, s *site, _ *node.Evidence, _ **node.Enrolment, _ *time.Time) {
			s.bind = node.Bind([32]byte{1}, []byte("attacker's key"))
		}, node.Signature},
		{"zero bind", func(_ *testing.T, s *site, _ *node.Evidence, _ **node.Enrolment, _ *time.Time) { s.bind = [32]byte{} }, node.Signature},
		{"signature without the domain", func(t *testing.T, s *site, ev *node.Evidence, _ **node.Enrolment, _ *time.Time) {
			*ev = sealed(t, s.public, ed25519.Sign(key(t, s.token), s.bind[:]))
		}, node.Signature},
		{"signature by another token", func(t *testing.T, s *site, ev *node.Evidence, _ **node.Enrolment, _ *time.Time) {
			*ev = sealed(t, s.public, ed25519.Sign(key(t, other.token), append([]byte("plastron join v1\x00"), s.bind[:]...)))
		}, node.Signature},
		{"signature flipped", edit(func(e *evidence) { e.Signature[0] ^= 1 }), node.Signature},
		{"signature of 63 bytes", edit(func(e *evidence) { e.Signature = e.Signature[:63] }), node.Malformed},
		{"signature of 65 bytes", edit(func(e *evidence) { e.Signature = append(e.Signature, 0) }), node.Malformed},
		{"no signature", edit(func(e *evidence) { e.Signature = nil }), node.Malformed},
		{"public key of 31 bytes", edit(func(e *evidence) { e.PublicKey = e.PublicKey[:31] }), node.Malformed},
		{"no public key", edit(func(e *evidence) { e.PublicKey = nil }), node.Malformed},
		{"another token's evidence", func(t *testing.T, s *site, ev *node.Evidence, _ **node.Enrolment, _ *time.Time) {
			other := *other
			other.bind = s.bind
			*ev = other.evidence(t)
		}, node.NotEnrolled},
		{"not enrolled", func(_ *testing.T, _ *site, _ *node.Evidence, e **node.Enrolment, _ *time.Time) { *e = nil }, node.NotEnrolled},
		{"zero enrolment", func(_ *testing.T, _ *site, _ *node.Evidence, e **node.Enrolment, _ *time.Time) {
			*e = &node.Enrolment{}
		}, node.NotEnrolled},
		{"enrolment of another kind", func(_ *testing.T, _ *site, _ *node.Evidence, e **node.Enrolment, _ *time.Time) { (*e).Kind = "tpm" }, node.NotEnrolled},
		{"enrolment of another source", func(_ *testing.T, _ *site, _ *node.Evidence, e **node.Enrolment, _ *time.Time) { (*e).Name = "prod" }, node.NotEnrolled},
		{"token for another source", entry(func(e *statement.JoinToken) { e.Node = "prod" }), node.NotEnrolled},
		{"entry of another key", entry(func(e *statement.JoinToken) { e.PublicKey = other.public }), node.NotEnrolled},
		{"entry without a key", entry(func(e *statement.JoinToken) { e.PublicKey = nil }), node.NotEnrolled},
		{"entry without an end", entry(func(e *statement.JoinToken) { e.Expires = time.Time{} }), node.NotEnrolled},
		{"entry with an unknown member", func(_ *testing.T, _ *site, _ *node.Evidence, e **node.Enrolment, _ *time.Time) {
			(*e).Data = append([]byte(`{"insecure":true,`), (*e).Data[1:]...)
		}, node.NotEnrolled},
		{"at its end", func(_ *testing.T, s *site, _ *node.Evidence, _ **node.Enrolment, at *time.Time) {
			*at = s.entry.Expires
		}, node.NotEnrolled},
		{"after its end", func(_ *testing.T, s *site, _ *node.Evidence, _ **node.Enrolment, at *time.Time) {
			*at = s.entry.Expires.Add(time.Nanosecond)
		}, node.NotEnrolled},
		{"kind of another verifier", func(_ *testing.T, _ *site, ev *node.Evidence, _ **node.Enrolment, _ *time.Time) { ev.Kind = "tpm" }, node.Malformed},
		{"no kind", func(_ *testing.T, _ *site, ev *node.Evidence, _ **node.Enrolment, _ *time.Time) { ev.Kind = "" }, node.Malformed},
		{"zero evidence", func(_ *testing.T, _ *site, ev *node.Evidence, _ **node.Enrolment, _ *time.Time) {
			*ev = node.Evidence{}
		}, node.Malformed},
		{"json empty", raw(func(string) string { return "" }), node.Malformed},
		{"json null", raw(func(string) string { return "null" }), node.Malformed},
		{"json unknown member", raw(func(s string) string { return `{"alg":"none",` + s[1:] }), node.Malformed},
		{"json member twice", raw(func(s string) string { return s[:len(s)-1] + `,"signature":""}` }), node.Malformed},
		{"json case twin", raw(func(s string) string { return strings.Replace(s, `"signature"`, `"Signature"`, 1) }), node.Malformed},
		{"json trailing bytes", raw(func(s string) string { return s + "{}" }), node.Malformed},
		{"json signature is a number", raw(func(string) string { return `{"public_key":1,"signature":2}` }), node.Malformed},
		{"json bad base64", raw(func(s string) string { return strings.Replace(s, `":"`, `":"!`, 1) }), node.Malformed},
		{"json too long", raw(func(s string) string { return s + strings.Repeat(" ", jointoken.MaxEvidence) }), node.Malformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			ev, at := s.evidence(t), now
			e := s.enrolment(t)
			tt.spoil(t, s, &ev, &e, &at)
			h, err := s.verifier.Verify(t.Context(), ev, s.bind, e, at)
			var refused *node.Error
			if h != nil || !errors.As(err, &refused) || refused.Code != tt.code {
				t.Errorf("Verify = %v, %v, want %s", h, err, tt.code)
			}
		})
	}
}

func TestTokenText(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if !strings.HasPrefix(s.token, "plastron-join-v1.") || len(s.token) != len("plastron-join-v1.")+43 {
		t.Errorf("token text has %d bytes", len(s.token))
	}
	for name, token := range map[string]string{
		"empty":          "",
		"no prefix":      strings.TrimPrefix(s.token, "plastron-join-v1."),
		"other version":  strings.Replace(s.token, "v1", "v2", 1),
		"cut short":      s.token[:len(s.token)-1],
		"longer":         s.token + "AA",
		"padding":        s.token + "=",
		"white space":    s.token + "\n",
		"stray low bits": s.token[:len(s.token)-1] + "B",
	} {
		if _, err := jointoken.Attest(token, s.bind); err == nil {
			t.Errorf("%s: taken", name)
		} else if len(token) > 20 && strings.Contains(err.Error(), token[20:]) {
			t.Errorf("%s: the error repeats the secret", name)
		}
	}
}

// The worked example: a fixed seed, so that another implementation can compare.
func ExampleAttest() {
	token := "plastron-join-v1." + base64.RawURLEncoding.EncodeToString(make([]byte, 32)) // never use this seed
	ev, err := jointoken.Attest(token, [32]byte{})
	fmt.Println(err)
	fmt.Println(string(ev.Data[:61]))
	// Output:
	// <nil>
	// {"public_key":"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=",
}

func FuzzEvidence(f *testing.F) {
	seed := sha256.Sum256([]byte("the same in every worker"))
	s := siteOf("plastron-join-v1."+base64.RawURLEncoding.EncodeToString(seed[:]), ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
	e := s.enrolment(f)
	good := s.evidence(f)
	f.Add(good.Data)
	f.Add([]byte(`{"public_key":"","signature":""}`))
	f.Add([]byte(`{"public_key":"AA==","signature":"AA==","x":0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ev := node.Evidence{Kind: "join-token", Data: data}
		key, err := s.verifier.EnrolmentKey(ev)
		h, verr := s.verifier.Verify(t.Context(), ev, s.bind, e, now)
		if err != nil && verr == nil {
			t.Fatal("verified what does not parse")
		}
		// Ed25519 is deterministic: only the one signature can be there.
		if verr == nil && (h.ID() != "join-token:"+key || key != hex.EncodeToString(s.public)) {
			t.Fatalf("verified %q for the key %x", data, s.public)
		}
	})
}

type evidence struct {
	PublicKey []byte `json:"public_key"`
	Signature []byte `json:"signature"`
}

type spoiler = func(*testing.T, *site, *node.Evidence, **node.Enrolment, *time.Time)

func edit(f func(*evidence)) spoiler {
	return func(t *testing.T, _ *site, ev *node.Evidence, _ **node.Enrolment, _ *time.Time) {
		var e evidence
		if err := json.Unmarshal(ev.Data, &e); err != nil {
			t.Fatal(err)
		}
		f(&e)
		*ev = sealed(t, e.PublicKey, e.Signature)
	}
}

func raw(f func(string) string) spoiler {
	return func(_ *testing.T, _ *site, ev *node.Evidence, _ **node.Enrolment, _ *time.Time) {
		ev.Data = []byte(f(string(ev.Data)))
	}
}

func entry(f func(*statement.JoinToken)) spoiler {
	return func(t *testing.T, s *site, _ *node.Evidence, e **node.Enrolment, _ *time.Time) {
		f(&s.entry)
		*e = s.enrolment(t)
	}
}

func sealed(t *testing.T, public, signature []byte) node.Evidence {
	t.Helper()
	data, err := json.Marshal(evidence{public, signature})
	if err != nil {
		t.Fatal(err)
	}
	return node.Evidence{Kind: "join-token", Data: data}
}

func key(t *testing.T, token string) ed25519.PrivateKey {
	t.Helper()
	seed, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "plastron-join-v1."))
	if err != nil {
		t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(seed)
}
