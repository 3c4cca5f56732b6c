package tpm_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json/v2"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"

	"plastron/node"
	"plastron/node/tpm"
	"plastron/node/tpm/tpmtest"
)

// evidence is the JSON of evidence, for tests to spoil.
type evidence struct {
	AKPublic  []byte            `json:"ak_public"`
	Attest    []byte            `json:"attest"`
	Signature []byte            `json:"signature"`
	PCRs      map[string]string `json:"pcrs"`
}

func parsed(t testing.TB, ev node.Evidence) *evidence {
	t.Helper()
	var e evidence
	if err := json.Unmarshal(ev.Data, &e); err != nil {
		t.Fatal(err)
	}
	return &e
}

func (e *evidence) sealed(t testing.TB) node.Evidence {
	t.Helper()
	data, err := json.Marshal(e, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return node.Evidence{Kind: "tpm", Data: data}
}

// Offsets in the TPMS_ATTEST of an AK with a SHA-256 name, a bind of 32 bytes and
// one bank.
const (
	atType      = 4
	atExtra     = 6 + 2 + 34
	atReset     = atExtra + 2 + 32 + 8
	atSafe      = atReset + 8
	atCount     = atSafe + 1 + 8
	atBank      = atCount + 4
	atSize      = atBank + 2
	atBitmap    = atSize + 1
	atDigest    = atBitmap + 3
	attestBytes = atDigest + 2 + 32
)

func TestVerify(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	event := sha256.Sum256([]byte("firmware"))
	s.soft.Extend(3, event)
	ev := s.quote(t)
	key, err := s.verifier.EnrolmentKey(ev)
	if err != nil || key != s.device.AKName() {
		t.Errorf("EnrolmentKey = %q, %v, want %s", key, err, s.device.AKName())
	}
	h, err := s.verifier.Verify(t.Context(), ev, s.bind, s.enrolment, s.now)
	if err != nil {
		t.Fatal(err)
	}
	e := parsed(t, ev)
	if len(e.Attest) != attestBytes {
		t.Fatalf("quote of %d bytes, want %d: the tests' offsets are wrong", len(e.Attest), attestBytes)
	}
	if h.Kind() != "tpm" || h.Name() != "fleet" || h.ID() != "tpm:"+key || h.Floor() != node.Hardware || h.Bound() != node.Key || h.Insecure() != nil {
		t.Errorf("host %s %s %s %s %s %v", h.Kind(), h.Name(), h.ID(), h.Floor(), h.Bound(), h.Insecure())
	}
	root := s.ca.Certificate()
	if want := []node.Anchor{{Name: "CN=Demo TPM vendor", SHA256: sha256.Sum256(root.Raw)}}; !reflect.DeepEqual(h.Anchors(), want) {
		t.Errorf("anchors %v, want %v", h.Anchors(), want)
	}
	name, _ := hex.DecodeString(key)
	if want := []node.SpentKey{{Kind: "tpm", Anchor: name, M: e.Attest}}; !reflect.DeepEqual(h.Spent(), want) {
		t.Errorf("spent %x, want %x", h.Spent(), want)
	}
	ek, _ := tpm.EKHash(s.soft.EKCertificate())
	zero := [32]byte{}
	measured := sha256.Sum256(append(zero[:], event[:]...))
	for fact, want := range map[string]string{
		"ek": ek, "ak": key, "reset_count": "1", "restart_count": "0", "clock_safe": "true", "firmware": "2026000000000001",
		"pcr.0": hex.EncodeToString(zero[:]), "pcr.3": hex.EncodeToString(measured[:]),
	} {
		if got := h.Facts()[fact]; got != want {
			t.Errorf("fact %s = %q, want %q", fact, got, want)
		}
	}
	if _, ok := h.Facts()["pcr.8"]; ok {
		t.Error("a register that was not quoted is a fact")
	}
}

// What the root of an EK vouches for is the floor, and a software TPM says so.
func TestFloors(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	ev := s.quote(t)
	root := s.config.EKRoots
	for _, tt := range []struct {
		name     string
		config   tpm.Config
		floor    node.Floor
		insecure []string
	}{
		{"vendor", tpm.Config{EKRoots: root}, node.Hardware, nil},
		{"cloud", tpm.Config{InstitutionEKRoots: root}, node.Institution, nil},
		{"software", tpm.Config{InsecureSoftwareEKRoots: root}, node.Human, []string{"insecure_software_tpm"}},
	} {
		// The same enrolment each time: the configuration of today decides.
		h, err := verifier(t, tt.config, s.soft.EKCertificate()).Verify(t.Context(), ev, s.bind, s.enrolment, s.now)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if h.Floor() != tt.floor || !slices.Equal(h.Insecure(), tt.insecure) {
			t.Errorf("%s: floor %s, insecure %v, want %s, %v", tt.name, h.Floor(), h.Insecure(), tt.floor, tt.insecure)
		}
	}
}

// A TPM signs none of these. They are signed by the enrolled AK all the same, so
// that each row shows its own check and not the signature's.
func TestQuoteRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	good := parsed(t, s.quote(t))
	name, err := hex.DecodeString(s.device.AKName())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		edit func(a []byte) []byte
		code node.Code
		says string
	}{
		{"magic is not TPM_GENERATED", set(0, 0x00), node.Malformed, "TPM_GENERATED"},
		{"magic off by one bit", set(3, 0x46), node.Malformed, "TPM_GENERATED"},
		{"type certify", set(atType+1, 0x17), node.Malformed, "type"},
		{"type time", set(atType+1, 0x19), node.Malformed, "type"},
		{"trailing byte", func(a []byte) []byte { return append(a, 0) }, node.Malformed, "1 bytes after"},
		{"cut short", func(a []byte) []byte { return a[:len(a)-1] }, node.Malformed, "cut short"},
		{"empty", func([]byte) []byte { return []byte{} }, node.Malformed, "TPM_GENERATED"},
		{"clock neither safe nor not", set(atSafe, 2), node.Malformed, "safe"},
		{"endless selections", splice(atCount, 4, 0xff, 0xff, 0xff, 0xff), node.Malformed, "cut short"},
		{"selections past the end", splice(atCount, 4, 0, 0, 0, 2), node.Malformed, "cut short"},
		{"bind of another request", set(atExtra+2, 0xee), node.BadBinding, "another beacon or another SVID key"},
		{"bind cut to 20 bytes", splice(atExtra, 34, append([]byte{0, 20}, s.bind[:20]...)...), node.BadBinding, "another beacon"},
		{"bind and more", splice(atExtra, 34, append([]byte{0, 33}, append(s.bind[:], 0)...)...), node.BadBinding, "another beacon"},
		{"no bind", splice(atExtra, 34, 0, 0), node.BadBinding, "another beacon"},
		{"no selection", splice(atCount, 4+2+1+3, 0, 0, 0, 0), node.Measurement, "quote of 0 banks"},
		{"two selections", splice(atCount, 4, 0, 0, 0, 2, 0x00, 0x0b, 3, 0xff, 0, 0), node.Measurement, "quote of 2 banks"},
		{"two selections, one of SHA-1", splice(atCount, 4, 0, 0, 0, 2, 0x00, 0x04, 3, 0xff, 0, 0), node.Measurement, "quote of 2 banks"},
		{"bank downgrade to SHA-1", set(atBank+1, 0x04), node.Measurement, "bank 0x0004"},
		{"bank SHA-384", set(atBank+1, 0x0c), node.Measurement, "bank 0x000c"},
		{"subset of the PCRs", set(atBitmap, 0x7f), node.Measurement, "selects PCRs 7f0000"},
		{"superset of the PCRs", set(atBitmap+1, 0x01), node.Measurement, "selects PCRs ff0100"},
		{"other PCRs", splice(atBitmap, 3, 0, 0xff, 0), node.Measurement, "selects PCRs 00ff00"},
		{"no PCRs", set(atBitmap, 0), node.Measurement, "selects PCRs 000000"},
		{"bitmap of 4 bytes", splice(atSize, 4, 4, 0xff, 0, 0, 0), node.Measurement, "selects PCRs ff000000"},
		{"bitmap of 1 byte", splice(atSize, 4, 1, 0xff), node.Measurement, "selects PCRs ff,"},
		{"digest flipped", set(atDigest+2, 0), node.Measurement, "not those that were quoted"},
		{"digest empty", splice(atDigest, 34, 0, 0), node.Measurement, "not those that were quoted"},
		{"digest cut", splice(atDigest, 34, append([]byte{0, 31}, make([]byte, 31)...)...), node.Measurement, "not those that were quoted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := *good
			e.Attest = tt.edit(bytes.Clone(good.Attest))
			sig, err := s.soft.SignAttest(name, e.Attest)
			if err != nil {
				t.Fatal(err)
			}
			e.Signature = sig
			h, err := s.verifier.Verify(t.Context(), e.sealed(t), s.bind, s.enrolment, s.now)
			if h != nil {
				t.Error("a host came out")
			}
			wants(t, err, tt.code, tt.says)
		})
	}
	t.Run("every prefix", func(t *testing.T) {
		t.Parallel()
		for n := range good.Attest {
			e := *good
			e.Attest = good.Attest[:n]
			sig, err := s.soft.SignAttest(name, e.Attest)
			if err != nil {
				t.Fatal(err)
			}
			e.Signature = sig
			_, err = s.verifier.Verify(t.Context(), e.sealed(t), s.bind, s.enrolment, s.now)
			wants(t, err, node.Malformed, "")
		}
	})
}

func TestEvidenceRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	other := newSite(t, tpm.ECDSA)
	other.bind = s.bind
	good := parsed(t, s.quote(t))
	replayed := s.quote(t)
	zeros := strings.Repeat("0", 64)
	for _, tt := range []struct {
		name string
		edit func(t *testing.T, e *evidence)
		code node.Code
		says string
	}{
		{"attest changed after it was signed", bit(func(e *evidence) []byte { return e.Attest[atReset:] }), node.Signature, "does not verify"},
		{"signature r flipped", bit(func(e *evidence) []byte { return e.Signature[10:] }), node.Signature, "does not verify"},
		{"signature s flipped", bit(func(e *evidence) []byte { return e.Signature[60:] }), node.Signature, "does not verify"},
		{"signature of zeros", func(_ *testing.T, e *evidence) { clear(e.Signature[6:38]); clear(e.Signature[40:]) }, node.Signature, "does not verify"},
		{"signature by another TPM", func(t *testing.T, e *evidence) { e.Signature = parsed(t, other.quote(t)).Signature }, node.Signature, "does not verify"},
		{"signature with SHA-1", func(_ *testing.T, e *evidence) { e.Signature[3] = 0x04 }, node.Malformed, "hash algorithm 0x0004"},
		{"signature with SHA-384 by a SHA-256 key", func(_ *testing.T, e *evidence) { e.Signature[3] = 0x0c }, node.Signature, "scheme"},
		{"signature of scheme null", func(_ *testing.T, e *evidence) { e.Signature[1] = 0x10 }, node.Malformed, "scheme 0x0010"},
		{"signature of scheme HMAC", func(_ *testing.T, e *evidence) { e.Signature[1] = 0x05 }, node.Malformed, "scheme 0x0005"},
		{"RSA signature by an ECC key", func(_ *testing.T, e *evidence) {
			e.Signature = append([]byte{0, 0x14, 0, 0x0b, 1, 0}, make([]byte, 256)...)
		}, node.Signature, "scheme"},
		{"signature with a trailing byte", func(_ *testing.T, e *evidence) { e.Signature = append(e.Signature, 0) }, node.Malformed, "after it"},
		{"signature cut short", func(_ *testing.T, e *evidence) { e.Signature = e.Signature[:len(e.Signature)-1] }, node.Malformed, "cut short"},
		{"signature with r of 33 bytes", func(_ *testing.T, e *evidence) {
			e.Signature = slices.Concat(e.Signature[:4], []byte{0, 33, 0}, e.Signature[6:])
		}, node.Signature, "does not verify"},
		{"no signature", func(_ *testing.T, e *evidence) { e.Signature = nil }, node.Malformed, "cut short"},
		{"giant signature", func(_ *testing.T, e *evidence) { e.Signature = make([]byte, 601) }, node.Malformed, "at most 1024 and 600"},
		{"giant quote", func(_ *testing.T, e *evidence) { e.Attest = make([]byte, 1025) }, node.Malformed, "at most 1024 and 600"},

		{"PCR value is another", func(_ *testing.T, e *evidence) { e.PCRs["7"] = strings.Repeat("1", 64) }, node.Measurement, "not those that were quoted"},
		{"PCR value missing", func(_ *testing.T, e *evidence) { delete(e.PCRs, "7") }, node.Measurement, "values of 7 PCRs"},
		{"PCR value of one more", func(_ *testing.T, e *evidence) { e.PCRs["8"] = zeros }, node.Measurement, "values of 9 PCRs"},
		{"PCR value of another", func(_ *testing.T, e *evidence) { delete(e.PCRs, "7"); e.PCRs["8"] = zeros }, node.Measurement, "no value of PCR 7"},
		{"PCR index with a zero before it", func(_ *testing.T, e *evidence) { delete(e.PCRs, "7"); e.PCRs["07"] = zeros }, node.Measurement, "no value of PCR 7"},
		{"PCR value in capitals", func(_ *testing.T, e *evidence) { e.PCRs["7"] = strings.Repeat("A", 64) }, node.Measurement, "lower-case hex"},
		{"PCR value not hex", func(_ *testing.T, e *evidence) { e.PCRs["7"] = strings.Repeat("g", 64) }, node.Measurement, "lower-case hex"},
		{"PCR value of SHA-1", func(_ *testing.T, e *evidence) { e.PCRs["7"] = zeros[:40] }, node.Measurement, "40 characters"},
		{"no PCR values", func(_ *testing.T, e *evidence) { e.PCRs = nil }, node.Measurement, "values of 0 PCRs"},

		{"AK of another TPM", func(t *testing.T, e *evidence) { *e = *parsed(t, other.quote(t)) }, node.NotEnrolled, "another AK"},
		{"AK with one attribute altered", bit(func(e *evidence) []byte { return e.AKPublic[5:] }), node.NotEnrolled, "another AK"},
		{"AK with a reserved attribute", func(_ *testing.T, e *evidence) { e.AKPublic[4] |= 0x80 }, node.Malformed, "reserved"},
		{"AK cut short", func(_ *testing.T, e *evidence) { e.AKPublic = e.AKPublic[:len(e.AKPublic)-1] }, node.Malformed, "ak_public"},
		{"AK with a trailing byte", func(_ *testing.T, e *evidence) { e.AKPublic = append(e.AKPublic, 0) }, node.Malformed, "after the public area"},
		{"AK not on its curve", bit(func(e *evidence) []byte { return e.AKPublic[len(e.AKPublic)-1:] }), node.Malformed, "ak_public"},
		{"giant AK", func(_ *testing.T, e *evidence) { e.AKPublic = make([]byte, 1025) }, node.Malformed, "at most 1024"},
		{"no AK", func(_ *testing.T, e *evidence) { e.AKPublic = nil }, node.Malformed, "cut short"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := parsed(t, good.sealed(t))
			tt.edit(t, e)
			h, err := s.verifier.Verify(t.Context(), e.sealed(t), s.bind, s.enrolment, s.now)
			if h != nil {
				t.Error("a host came out")
			}
			wants(t, err, tt.code, tt.says)
		})
	}
	t.Run("replayed with another beacon", func(t *testing.T) {
		t.Parallel()
		_, err := s.verifier.Verify(t.Context(), replayed, node.Bind([32]byte{2}, []byte("key")), s.enrolment, s.now)
		wants(t, err, node.BadBinding, "another beacon")
	})
	t.Run("carried to another SVID key", func(t *testing.T) {
		t.Parallel()
		_, err := s.verifier.Verify(t.Context(), replayed, node.Bind([32]byte{1}, []byte("attacker's key")), s.enrolment, s.now)
		wants(t, err, node.BadBinding, "another SVID key")
	})
	t.Run("zero verifier", func(t *testing.T) {
		t.Parallel()
		e := *s.enrolment
		e.Name = ""
		_, err := new(tpm.Verifier).Verify(t.Context(), replayed, s.bind, &e, s.now)
		wants(t, err, node.NotEnrolled, "inventory")
	})
}

func TestEvidenceJSONRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	good := string(s.quote(t).Data)
	for name, text := range map[string]string{
		"empty":               "",
		"null":                "null",
		"array":               "[]",
		"unknown member":      `{"bank":"sha1",` + good[1:],
		"member twice":        good[:len(good)-1] + `,"attest":""}`,
		"case twin":           strings.Replace(good, `"attest"`, `"Attest"`, 1),
		"PCR twice":           strings.Replace(good, `"pcrs":{`, `"pcrs":{"0":"`+strings.Repeat("0", 64)+`",`, 1),
		"trailing value":      good + "{}",
		"base64 line break":   strings.Replace(good, `"ak_public":"`, `"ak_public":"\n`, 1),
		"base64 url alphabet": strings.Replace(good, `"ak_public":"`, `"ak_public":"-_-_`, 1),
		"attest is a number":  strings.Replace(good, `"attest":"`, `"attest":1,"x":"`, 1),
		"invalid UTF-8":       strings.Replace(good, `"pcrs":{`, "\"pcrs\":{\"\xff\":\"\",", 1),
		"too long":            good + strings.Repeat(" ", tpm.MaxEvidence),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ev := node.Evidence{Kind: "tpm", Data: []byte(text)}
			_, err := s.verifier.Verify(t.Context(), ev, s.bind, s.enrolment, s.now)
			wants(t, err, node.Malformed, "")
			_, err = s.verifier.EnrolmentKey(ev)
			wants(t, err, node.Malformed, "")
		})
	}
	for _, kind := range []string{"", "TPM", "join-token"} {
		ev := s.quote(t)
		ev.Kind = kind
		_, err := s.verifier.Verify(t.Context(), ev, s.bind, s.enrolment, s.now)
		wants(t, err, node.Malformed, "kind")
	}
}

// What the log says of the AK has to let it in, and today's configuration too.
func TestEnrolmentRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	other := newSite(t, tpm.ECDSA)
	ev := s.quote(t)
	with := func(edit func(e *node.Enrolment)) *node.Enrolment {
		e := *s.enrolment
		edit(&e)
		return &e
	}
	for _, tt := range []struct {
		name string
		v    *tpm.Verifier
		e    *node.Enrolment
		code node.Code
		says string
	}{
		{"none", s.verifier, nil, node.NotEnrolled, "no entry"},
		{"zero", s.verifier, &node.Enrolment{}, node.NotEnrolled, "no entry"},
		{"of another kind", s.verifier, with(func(e *node.Enrolment) { e.Kind = "join-token" }), node.NotEnrolled, "no entry"},
		{"of another source", s.verifier, with(func(e *node.Enrolment) { e.Name = "lab" }), node.NotEnrolled, "no entry"},
		{"of another TPM", s.verifier, other.enrolment, node.NotEnrolled, "another AK"},
		{"without data", s.verifier, with(func(e *node.Enrolment) { e.Data = nil }), node.NotEnrolled, "enrols no TPM"},
		{"with an unknown member", s.verifier, with(func(e *node.Enrolment) { e.Data = append([]byte(`{"x":1,`), e.Data[1:]...) }), node.NotEnrolled, "enrols no TPM"},
		{"without a root", s.verifier, with(func(e *node.Enrolment) {
			e.Data = []byte(strings.Replace(string(e.Data), `"root":"sha256:`, `"root":"`+strings.Repeat("0", 64), 1))
		}), node.BadAnchor, "not configured any more"},
		{"EK in capitals", s.verifier, with(func(e *node.Enrolment) { e.Data = capitals(e.Data, `"ek":"sha256:`) }), node.NotEnrolled, "not in the inventory"},
		{"root in capitals", s.verifier, with(func(e *node.Enrolment) { e.Data = capitals(e.Data, `"root":"sha256:`) }), node.BadAnchor, "not configured any more"},
		{"EK is not in the inventory any more", verifier(t, s.config), s.enrolment, node.NotEnrolled, "not in the inventory"},
		{"root is not configured any more", verifier(t, other.config, s.soft.EKCertificate()), s.enrolment, node.BadAnchor, "not configured any more"},
	} {
		h, err := tt.v.Verify(t.Context(), ev, s.bind, tt.e, s.now)
		if h != nil {
			t.Errorf("%s: a host came out", tt.name)
		}
		wants(t, err, tt.code, tt.says)
	}
}

// An unrestricted key of the same TPM signs a quote that no TPM made. Should one
// ever get into the log, each quote still finds it out.
func TestUnrestrictedAKRefusedAtQuote(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(ak []byte){
		"not restricted":          func(ak []byte) { ak[5] &^= 0x01 },
		"decrypts too":            func(ak []byte) { ak[5] |= 0x02 },
		"does not sign":           func(ak []byte) { ak[5] &^= 0x04 },
		"not fixed to its TPM":    func(ak []byte) { ak[7] &^= 0x02 },
		"not fixed to its parent": func(ak []byte) { ak[7] &^= 0x10 },
		"made outside the TPM":    func(ak []byte) { ak[7] &^= 0x20 },
		"can be duplicated":       func(ak []byte) { ak[6] |= 0x08 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := parsed(t, s.quote(t))
			copy(e.AKPublic[len(e.AKPublic)-66:], point[1:33])
			copy(e.AKPublic[len(e.AKPublic)-32:], point[33:])
			edit(e.AKPublic)
			digest := sha256.Sum256(e.Attest)
			r, q, err := ecdsa.Sign(rand.Reader, key, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			r.FillBytes(e.Signature[6:38])
			q.FillBytes(e.Signature[40:])
			ev := e.sealed(t)
			ak, err := s.verifier.EnrolmentKey(ev)
			if err != nil {
				t.Fatal(err)
			}
			forged := *s.enrolment
			forged.Data = []byte(strings.Replace(string(forged.Data), s.device.AKName(), ak, 1))
			_, err = s.verifier.Verify(t.Context(), ev, s.bind, &forged, s.now)
			wants(t, err, node.BadAnchor, "AK attributes")
		})
	}
}

// A second signature over the same bytes is made from the first without the key.
// It verifies, and it spends the same.
func TestMalleatedSignatureSpendsTheSame(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	ev := s.quote(t)
	e := parsed(t, ev)
	n := elliptic.P256().Params().N
	q := new(big.Int).SetBytes(e.Signature[40:])
	q.Sub(n, q).FillBytes(e.Signature[40:])
	twin := e.sealed(t)
	if bytes.Equal(twin.Data, ev.Data) {
		t.Fatal("nothing was changed")
	}
	var spent [2][]node.SpentKey
	for i, ev := range []node.Evidence{ev, twin} {
		h, err := s.verifier.Verify(t.Context(), ev, s.bind, s.enrolment, s.now)
		if err != nil {
			t.Fatal(err)
		}
		spent[i] = h.Spent()
	}
	if !reflect.DeepEqual(spent[0], spent[1]) {
		t.Errorf("the twin spends %x, the quote %x", spent[1], spent[0])
	}
}

// A reboot shows: the count moves, the registers start over, the AK stays.
func TestReboot(t *testing.T) {
	t.Parallel()
	s := newSite(t, tpm.ECDSA)
	s.soft.Extend(0, [32]byte{1})
	before, err := s.verifier.Verify(t.Context(), s.quote(t), s.bind, s.enrolment, s.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.soft.Reboot(); err != nil {
		t.Fatal(err)
	}
	s.device, err = tpm.NewDevice(s.soft, tpm.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	after, err := s.verifier.Verify(t.Context(), s.quote(t), s.bind, s.enrolment, s.now)
	if err != nil {
		t.Fatal(err)
	}
	if before.ID() != after.ID() || after.Facts()["reset_count"] != "2" || after.Facts()["pcr.0"] == before.Facts()["pcr.0"] {
		t.Errorf("before %s %v, after %s %v", before.ID(), before.Facts(), after.ID(), after.Facts())
	}
}

type certificate = x509.Certificate

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	ca, err := tpmtest.NewCA("vendor")
	if err != nil {
		t.Fatal(err)
	}
	root := ca.Certificate()
	leaf, err := tpm.ParseEKCertificate(newTPM(t, ca).EKCertificate())
	if err != nil {
		t.Fatal(err)
	}
	good := tpm.Config{Name: "fleet", EKRoots: []*certificate{root}}
	for name, edit := range map[string]func(*tpm.Config){
		"no name":                        func(c *tpm.Config) { c.Name = "" },
		"no roots":                       func(c *tpm.Config) { c.EKRoots = nil },
		"root that is no CA":             func(c *tpm.Config) { c.EKRoots = []*certificate{leaf} },
		"root twice":                     func(c *tpm.Config) { c.EKRoots = []*certificate{root, root} },
		"root both genuine and software": func(c *tpm.Config) { c.InsecureSoftwareEKRoots = c.EKRoots },
		"root both genuine and cloud":    func(c *tpm.Config) { c.InstitutionEKRoots = c.EKRoots },
		"PCR -1":                         func(c *tpm.Config) { c.PCRs = []int{-1} },
		"PCR 24":                         func(c *tpm.Config) { c.PCRs = []int{24} },
		"PCR twice":                      func(c *tpm.Config) { c.PCRs = []int{7, 0, 7} },
	} {
		c := good
		edit(&c)
		if _, err := tpm.New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := tpm.New(good); err != nil {
		t.Error(err)
	}
}

// capitals spells the 64 characters after a prefix so.
func capitals(data []byte, prefix string) []byte {
	before, after, _ := strings.Cut(string(data), prefix)
	return []byte(before + prefix + strings.ToUpper(after[:64]) + after[64:])
}

// Keys as TPMs describe them: each field of a TPMT_PUBLIC has its range.
func TestPublicAreas(t *testing.T) {
	t.Parallel()
	soft := newTPM(t, try(tpmtest.NewCA("vendor")))
	v := verifier(t, tpm.Config{EKRoots: []*certificate{try(tpmtest.NewCA("vendor")).Certificate()}})
	// Offsets in the public area of an AK: symmetric 10, scheme 12, hash 14, then
	// RSA's bits 16, exponent 18, modulus 22, or the curve 16, kdf 18, x 20, y 54.
	for _, tt := range []struct {
		kind tpm.AK
		name string
		edit func([]byte) []byte
		says string // "" for an area that is read
	}{
		{tpm.ECDSA, "ECC as it is", splice(0, 0), ""},
		{tpm.ECDSA, "type keyed hash", set(1, 0x08), "key type 0x0008"},
		{tpm.ECDSA, "named by SHA-384", set(3, 0x0c), ""},
		{tpm.ECDSA, "named by nothing", set(3, 0x10), "hash algorithm 0x0010"},
		{tpm.ECDSA, "symmetric AES-128-CFB", splice(10, 2, 0, 6, 0, 128, 0, 0x43), ""},
		{tpm.ECDSA, "symmetric AES-77-CFB", splice(10, 2, 0, 6, 0, 77, 0, 0x43), "symmetric algorithm"},
		{tpm.ECDSA, "symmetric AES-128-CBC", splice(10, 2, 0, 6, 0, 128, 0, 0x42), "symmetric algorithm"},
		{tpm.ECDSA, "symmetric Camellia", splice(10, 2, 0, 0x26, 0, 128, 0, 0x43), "symmetric algorithm"},
		{tpm.ECDSA, "scheme ECDAA", set(13, 0x1a), "scheme"},
		{tpm.ECDSA, "scheme's hash SHA-1", set(15, 0x04), "scheme"},
		{tpm.ECDSA, "curve P-224", set(17, 0x02), "curve 0x0002"},
		{tpm.ECDSA, "curve P-384 with a point of P-256", set(17, 0x04), "not on curve"},
		{tpm.ECDSA, "key derivation", splice(18, 2, 0, 0x20, 0, 0x0b), "key derivation 0x0020"},
		{tpm.ECDSA, "x of 33 bytes", splice(20, 2, 0, 33, 0), "coordinates of 33 and 32"},
		{tpm.ECDSA, "y of 33 bytes", splice(54, 2, 0, 33, 0), "coordinates of 32 and 33"},
		{tpm.ECDSA, "point at infinity", splice(22, 66, append(make([]byte, 32), append([]byte{0, 32}, make([]byte, 32)...)...)...), "not on curve"},
		{tpm.RSASSA, "RSA as it is", splice(0, 0), ""},
		{tpm.RSASSA, "exponent written out", splice(18, 4, 0, 1, 0, 1), ""},
		{tpm.RSASSA, "exponent 3", splice(18, 4, 0, 0, 0, 3), "exponent 3"},
		{tpm.RSASSA, "exponent 1", splice(18, 4, 0, 0, 0, 1), "exponent 1"},
		{tpm.RSASSA, "RSA-1024", func(a []byte) []byte {
			a[152] |= 0x80
			return slices.Concat(a[:16], []byte{4, 0, 0, 0, 0, 0, 0, 128}, a[152:])
		}, "RSA key of 1024 bits"},
		{tpm.RSASSA, "3072 bits and a modulus of 2048", splice(16, 2, 12, 0), "not an odd number of 3072 bits"},
		{tpm.RSASSA, "16384 bits", splice(16, 2, 0x40, 0), "RSA key of 16384 bits"},
		{tpm.RSASSA, "modulus of 255 bytes", splice(22, 3, 0, 255), "not an odd number"},
		{tpm.RSASSA, "modulus begins with zero", set(24, 0), "not an odd number"},
		{tpm.RSASSA, "modulus is even", func(a []byte) []byte { a[len(a)-1] &^= 1; return a }, "not an odd number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := evidence{AKPublic: tt.edit(part(t, request(t, open(t, soft, tt.kind)), "ak_public"))}
			_, err := v.EnrolmentKey(e.sealed(t))
			if tt.says != "" {
				wants(t, err, node.Malformed, tt.says)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func set(at int, b byte) func([]byte) []byte {
	return func(a []byte) []byte {
		if a[at] == b {
			b ^= 0xff
		}
		a[at] = b
		return a
	}
}

// splice replaces n bytes at an offset.
func splice(at, n int, b ...byte) func([]byte) []byte {
	return func(a []byte) []byte { return slices.Concat(a[:at], b, a[at+n:]) }
}

// bit flips the lowest bit of the first byte of a part.
func bit(part func(*evidence) []byte) func(*testing.T, *evidence) {
	return func(_ *testing.T, e *evidence) { part(e)[0] ^= 1 }
}
