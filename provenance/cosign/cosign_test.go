package cosign_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"plastron/oidc/oidctest"
	"plastron/provenance"
	"plastron/provenance/cosign"
	"plastron/provenance/provenancetest"
)

const ok = provenance.Code("")

// A lab is an OIDC issuer and a Sigstore that believes it.
type lab struct {
	*provenancetest.Sigstore
	issuer *oidctest.Issuer
}

func startLab() (*lab, error) {
	issuer, err := oidctest.Start()
	if err != nil {
		return nil, err
	}
	s, err := provenancetest.Start(provenancetest.Options{Issuer: issuer.URL()})
	return &lab{s, issuer}, err
}

// sharedLab is for tests that leave it as it is; it ends with the process.
var sharedLab = sync.OnceValues(startLab)

func newLab(t testing.TB) *lab {
	t.Helper()
	l, err := startLab()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); l.issuer.Close() })
	return l
}

func shared(t testing.TB) *lab {
	t.Helper()
	l, err := sharedLab()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const workflow = "acme/shop/.github/workflows/release.yml@refs/tags/v1.4.2"

func (l *lab) token() string {
	return l.issuer.Token(map[string]any{
		"aud": "sigstore", "sub": "repo:acme/shop:ref:refs/tags/v1.4.2", "event_name": "push",
		"sha": "5f2d1c3b4a5968778695a4b3c2d1e0f102132435", "ref": "refs/tags/v1.4.2", "workflow": "release",
		"job_workflow_ref": workflow, "repository": "acme/shop", "repository_id": "512345", "repository_owner_id": "777",
	})
}

func (l *lab) me() cosign.Expectation {
	return cosign.Expectation{Identity: "https://github.com/" + workflow, Issuer: l.issuer.URL()}
}

func (l *lab) root() provenance.Root {
	return provenance.Root{Name: "local", TrustedRoot: l.TrustedRoot()}
}

var (
	blob       = []byte("the shop\n")
	blobDigest = digestOf(blob)
)

func digestOf(b []byte) provenance.Digest {
	sum := sha256.Sum256(b)
	return provenance.Digest{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

func byDigest(d provenance.Digest) cosign.Artifact { return cosign.Artifact{Digest: d} }

func byContent(b []byte) cosign.Artifact {
	return cosign.Artifact{Digest: digestOf(b), Content: bytes.NewReader(b)}
}

// statement is about blob.
func statement(changes map[string]any) []byte {
	s := map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://spdx.dev/Document", "predicate": map[string]any{},
		"subject": []any{map[string]any{"name": "shop", "digest": map[string]any{"sha256": blobDigest.Hex}}},
	}
	maps.Copy(s, changes)
	for k, v := range changes {
		if v == nil {
			delete(s, k)
		}
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return b
}

func (l *lab) sign(t testing.TB, statement []byte) []byte {
	t.Helper()
	b, err := l.Sign(t.Context(), l.token(), statement)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (l *lab) signBlob(t testing.TB) []byte {
	t.Helper()
	b, err := l.SignBlob(t.Context(), l.token(), blob)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (l *lab) signKey(t testing.TB, statement []byte) (bundle, key []byte) {
	t.Helper()
	b, k, err := l.SignWithKey(t.Context(), statement, blob)
	if err != nil {
		t.Fatal(err)
	}
	return b, []byte(k)
}

// verify is one verification with a verifier of its own.
func verify(t testing.TB, o cosign.Options, bundle []byte, a cosign.Artifact, want cosign.Expectation) (*cosign.Signature, provenance.Code, error) {
	t.Helper()
	v, err := cosign.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := v.Verify(t.Context(), bundle, a, want)
	if err == nil {
		return s, ok, nil
	}
	var e *provenance.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T) is not a *provenance.Error", err, err)
	}
	return nil, e.Code, err
}

func public(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "cmd", "plastron", "public", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// module is the folder of an outside module in the module cache.
func module(t testing.TB, path string) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	if dir := strings.TrimSpace(string(out)); err == nil && dir != "" {
		return dir
	}
	t.Skipf("needs the source of %s in the module cache", path)
	return ""
}

func read(t testing.TB, parts ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	jsDigest = "46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c"
	jsSigner = "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main"
	jsIssuer = "https://token.actions.githubusercontent.com"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	l := shared(t)
	local := cosign.Options{Roots: []provenance.Root{l.root()}}
	good := provenance.Root{Name: "public-good", TrustedRoot: public(t, "public-good.json")}
	pub := cosign.Options{Roots: []provenance.Root{good}}
	both := cosign.Options{Roots: []provenance.Root{good, l.root()}}
	real := public(t, "sigstore.js@2.0.0-provenance.sigstore.json")
	js := byDigest(provenance.Digest{Algorithm: "sha512", Hex: jsDigest})
	jsWho := cosign.Expectation{Identity: jsSigner, Issuer: jsIssuer}
	attested, signed := l.sign(t, statement(nil)), l.signBlob(t)
	with := func(e cosign.Expectation, f func(*cosign.Expectation)) cosign.Expectation { f(&e); return e }
	other := digestOf([]byte("another"))
	for _, row := range []struct {
		name     string
		o        cosign.Options
		bundle   []byte
		artifact cosign.Artifact
		want     cosign.Expectation
		code     provenance.Code
		typ      string
	}{
		{"genuine", pub, real, js, jsWho, ok, "https://slsa.dev/provenance/v1"},
		{"genuine by pattern", pub, real, js, cosign.Expectation{IdentityRegexp: `https://github\.com/sigstore/.*`, IssuerRegexp: `https://.*\.githubusercontent\.com`}, ok, "https://slsa.dev/provenance/v1"},
		{"genuine with its workflow", pub, real, js, with(jsWho, func(e *cosign.Expectation) {
			e.Workflow = cosign.Workflow{Trigger: "push", Repository: "sigstore/sigstore-js", Ref: "refs/heads/main", SHA: "f0b49a04e5a62250e0f60fb128004a73110fe311"}
		}), ok, "https://slsa.dev/provenance/v1"},
		{"another trigger", pub, real, js, with(jsWho, func(e *cosign.Expectation) { e.Workflow.Trigger = "pull_request" }), provenance.CodeIdentity, ""},
		{"another repository", pub, real, js, with(jsWho, func(e *cosign.Expectation) { e.Workflow.Repository = "sigstore/cosign" }), provenance.CodeIdentity, ""},
		{"another ref", pub, real, js, with(jsWho, func(e *cosign.Expectation) { e.Workflow.Ref = "refs/heads/x" }), provenance.CodeIdentity, ""},
		{"another commit", pub, real, js, with(jsWho, func(e *cosign.Expectation) { e.Workflow.SHA = strings.Repeat("0", 40) }), provenance.CodeIdentity, ""},
		{"another workflow", pub, real, js, with(jsWho, func(e *cosign.Expectation) { e.Workflow.Name = "x" }), provenance.CodeIdentity, ""},
		{"timestamps wanted, log time alone", cosign.Options{Roots: pub.Roots, SignedTimestamps: true}, real, js, jsWho, provenance.CodeTime, ""},
		{"any predicate type", local, attested, byDigest(blobDigest), l.me(), ok, "https://spdx.dev/Document"},
		{"statement and the bytes", local, attested, byContent(blob), l.me(), ok, "https://spdx.dev/Document"},
		{"statement and other bytes", local, attested, byContent([]byte("x")), l.me(), provenance.CodeSubject, ""},
		{"message signature by digest", local, signed, byDigest(blobDigest), l.me(), ok, ""},
		{"message signature and the bytes", local, signed, byContent(blob), l.me(), ok, ""},
		{"message signature with timestamps wanted", cosign.Options{Roots: local.Roots, SignedTimestamps: true}, signed, byDigest(blobDigest), l.me(), ok, ""},
		{"message signature of another artifact", local, signed, byDigest(other), l.me(), provenance.CodeSubject, ""},
		{"message signature of other bytes", local, signed, byContent([]byte("x")), l.me(), provenance.CodeSubject, ""},
		{"another artifact", pub, real, byDigest(other), jsWho, provenance.CodeSubject, ""},
		{"no artifact", pub, real, cosign.Artifact{}, jsWho, provenance.CodeSubject, ""},
		{"SHA-1", pub, real, byDigest(provenance.Digest{Algorithm: "sha1", Hex: strings.Repeat("a", 40)}), jsWho, provenance.CodeSubject, ""},
		{"another identity", pub, real, js, cosign.Expectation{Identity: jsSigner + "x", Issuer: jsIssuer}, provenance.CodeIdentity, ""},
		{"another issuer", pub, real, js, cosign.Expectation{Identity: jsSigner, Issuer: "https://gitlab.com"}, provenance.CodeIdentity, ""},
		{"pattern of a part", pub, real, js, cosign.Expectation{IdentityRegexp: `https://github\.com/sigstore`, Issuer: jsIssuer}, provenance.CodeIdentity, ""},
		{"pattern that closes the group", pub, real, js, cosign.Expectation{IdentityRegexp: `x)|(?:.*`, Issuer: jsIssuer}, provenance.CodeIdentity, ""},
		{"pattern in several lines", pub, real, js, cosign.Expectation{IdentityRegexp: `(?m)^https$|.*sigstore`, Issuer: jsIssuer}, provenance.CodeIdentity, ""},
		{"no identity", pub, real, js, cosign.Expectation{Issuer: jsIssuer}, provenance.CodeIdentity, ""},
		{"no issuer", pub, real, js, cosign.Expectation{Identity: jsSigner}, provenance.CodeIdentity, ""},
		{"identity and pattern", pub, real, js, with(jsWho, func(e *cosign.Expectation) { e.IdentityRegexp = ".*" }), provenance.CodeIdentity, ""},
		{"another root", local, real, js, jsWho, provenance.CodeLog, ""},
		{"genuine among roots", both, real, js, jsWho, ok, "https://slsa.dev/provenance/v1"},
		{"local among roots", both, signed, byDigest(blobDigest), l.me(), ok, ""},
		{"another identity among roots", both, real, js, cosign.Expectation{Identity: "x", Issuer: jsIssuer}, provenance.CodeIdentity, ""},
		{"not a bundle", pub, []byte("{}"), js, jsWho, provenance.CodeMalformed, ""},
		{"no bundle", pub, nil, js, jsWho, provenance.CodeMalformed, ""},
		{"endless bundle", pub, make([]byte, cosign.MaxBundle+1), js, jsWho, provenance.CodeMalformed, ""},
		{"name twice", pub, []byte(`{"mediaType":"x",` + string(real[1:])), js, jsWho, provenance.CodeMalformed, ""},
	} {
		s, code, err := verify(t, row.o, row.bundle, row.artifact, row.want)
		switch {
		case code != row.code:
			t.Errorf("%s: %v, want %q", row.name, err, row.code)
		case row.code == ok && (s.PredicateType() != row.typ || s.SignedAt().IsZero() || s.Root() == "" || s.Extensions().Issuer == "" ||
			!strings.HasPrefix(s.Signer(), "https://github.com/")):
			t.Errorf("%s: %+v", row.name, s)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	l := shared(t)
	roots := []provenance.Root{l.root()}
	signed, key := l.signKey(t, nil)
	attested, key2 := l.signKey(t, statement(nil))
	for _, row := range []struct {
		name     string
		o        cosign.Options
		bundle   []byte
		artifact cosign.Artifact
		want     cosign.Expectation
		code     provenance.Code
	}{
		{"message signature", cosign.Options{Roots: roots, Key: key}, signed, byDigest(blobDigest), cosign.Expectation{}, ok},
		{"message signature and the bytes", cosign.Options{Roots: roots, Key: key}, signed, byContent(blob), cosign.Expectation{}, ok},
		{"statement", cosign.Options{Roots: roots, Key: key2}, attested, byDigest(blobDigest), cosign.Expectation{}, ok},
		{"key alone", cosign.Options{Key: key, InsecureIgnoreTlog: true}, signed, byDigest(blobDigest), cosign.Expectation{}, ok},
		{"another key than the log names", cosign.Options{Roots: roots, Key: key2}, signed, byDigest(blobDigest), cosign.Expectation{}, provenance.CodeLog},
		{"another key than the log names, under a statement", cosign.Options{Roots: roots, Key: key}, attested, byDigest(blobDigest), cosign.Expectation{}, provenance.CodeLog},
		{"another key alone under a statement", cosign.Options{Key: key, InsecureIgnoreTlog: true}, attested, byDigest(blobDigest), cosign.Expectation{}, provenance.CodeSignature},
		{"another key alone", cosign.Options{Key: key2, InsecureIgnoreTlog: true}, signed, byDigest(blobDigest), cosign.Expectation{}, provenance.CodeSubject},
		{"another artifact", cosign.Options{Roots: roots, Key: key}, signed, byContent([]byte("x")), cosign.Expectation{}, provenance.CodeSubject},
		{"a certificate expected", cosign.Options{Roots: roots}, signed, byDigest(blobDigest), l.me(), provenance.CodeCertificate},
		{"a key expected", cosign.Options{Roots: roots, Key: key}, l.signBlob(t), byDigest(blobDigest), cosign.Expectation{}, provenance.CodeCertificate},
		{"managed-key-and-client-identity", cosign.Options{Roots: roots, Key: key}, signed, byDigest(blobDigest), l.me(), provenance.CodeIdentity},
		{"another root's log", cosign.Options{Roots: []provenance.Root{{Name: "x", TrustedRoot: public(t, "public-good.json")}}, Key: key}, signed, byDigest(blobDigest), cosign.Expectation{}, provenance.CodeLog},
	} {
		if _, code, err := verify(t, row.o, row.bundle, row.artifact, row.want); code != row.code {
			t.Errorf("%s: %v, want %q", row.name, err, row.code)
		}
	}
	// A key has no validity to be checked against a time, but no log is no log.
	q := newLab(t)
	q.Misbehave(provenancetest.NoTimestamp)
	b, k := q.signKey(t, nil)
	if _, _, err := verify(t, cosign.Options{Roots: []provenance.Root{q.root()}, Key: k}, b, byDigest(blobDigest), cosign.Expectation{}); err != nil {
		t.Errorf("key, no timestamp: %v", err)
	}
	if _, code, _ := verify(t, cosign.Options{Roots: []provenance.Root{q.root()}, Key: k, SignedTimestamps: true}, b, byDigest(blobDigest), cosign.Expectation{}); code != provenance.CodeTime {
		t.Errorf("key, no timestamp, and one is wanted: %q", code)
	}
	q.Misbehave(provenancetest.Unlogged)
	b, k = q.signKey(t, nil)
	if _, code, err := verify(t, cosign.Options{Roots: []provenance.Root{q.root()}, Key: k}, b, byDigest(blobDigest), cosign.Expectation{}); code != provenance.CodeLog {
		t.Errorf("key, no log: %v", err)
	}
}

// What is not asked for by name is asked for.
func TestMisbehaving(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		fault      provenancetest.Fault
		code       provenance.Code
		noTlog     provenance.Code
		noSCT      provenance.Code
		timestamps provenance.Code
	}{
		{provenancetest.NoSCT, provenance.CodeCertificate, provenance.CodeCertificate, ok, provenance.CodeCertificate},
		{provenancetest.ForeignSCT, provenance.CodeCertificate, provenance.CodeCertificate, ok, provenance.CodeCertificate},
		{provenancetest.ForeignCA, provenance.CodeCertificate, provenance.CodeCertificate, provenance.CodeCertificate, provenance.CodeCertificate},
		{provenancetest.ExpiredLeaf, provenance.CodeTime, provenance.CodeTime, provenance.CodeTime, provenance.CodeTime},
		{provenancetest.OtherTree, provenance.CodeLog, ok, provenance.CodeLog, provenance.CodeLog},
		{provenancetest.ForeignCheckpoint, provenance.CodeLog, ok, provenance.CodeLog, provenance.CodeLog},
		{provenancetest.Unlogged, provenance.CodeLog, ok, provenance.CodeLog, provenance.CodeLog},
		{provenancetest.ForeignTimestamp, provenance.CodeTime, provenance.CodeTime, provenance.CodeTime, provenance.CodeTime},
		{provenancetest.OtherTimestamp, provenance.CodeTime, provenance.CodeTime, provenance.CodeTime, provenance.CodeTime},
		{provenancetest.NoTimestamp, provenance.CodeTime, provenance.CodeTime, provenance.CodeTime, provenance.CodeTime},
	} {
		l := newLab(t)
		l.Misbehave(row.fault)
		roots := []provenance.Root{l.root()}
		for content, b := range map[string][]byte{"statement": l.sign(t, statement(nil)), "message": l.signBlob(t)} {
			for _, ask := range []struct {
				name string
				o    cosign.Options
				code provenance.Code
			}{
				{"as it is", cosign.Options{Roots: roots}, row.code},
				{"no tlog", cosign.Options{Roots: roots, InsecureIgnoreTlog: true}, row.noTlog},
				{"no SCT", cosign.Options{Roots: roots, InsecureIgnoreSCT: true}, row.noSCT},
				{"timestamps", cosign.Options{Roots: roots, SignedTimestamps: true}, row.timestamps},
			} {
				if _, code, err := verify(t, ask.o, b, byDigest(blobDigest), l.me()); code != ask.code {
					t.Errorf("fault %d, %s, %s: %v, want %q", row.fault, content, ask.name, err, ask.code)
				}
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	l := shared(t)
	root := l.root()
	noStart := func(part string) provenance.Root {
		m := tree(t, root.TrustedRoot)
		delete(m[part].([]any)[0].(map[string]any)["publicKey"].(map[string]any)["validFor"].(map[string]any), "start")
		return provenance.Root{Name: "x", TrustedRoot: text(t, m)}
	}
	_, key := l.signKey(t, nil)
	for name, o := range map[string]cosign.Options{
		"nothing":                                {},
		"a key without a log":                    {Key: key},
		"a key without a root, with timestamps":  {Key: key, InsecureIgnoreTlog: true, SignedTimestamps: true},
		"a root that is none":                    {Roots: []provenance.Root{{Name: "x", TrustedRoot: []byte("{}")}}},
		"trust-root-tlog-missing-validity-start": {Roots: []provenance.Root{noStart("tlogs")}},
		"a CT log without a start":               {Roots: []provenance.Root{noStart("ctlogs")}},
		"a key that is none":                     {Roots: []provenance.Root{root}, Key: []byte("x")},
		"a key and more":                         {Roots: []provenance.Root{root}, Key: append(key[:len(key):len(key)], "x"...)},
		"two keys":                               {Roots: []provenance.Root{root}, Key: append(key[:len(key):len(key)], key...)},
		"a certificate for a key":                {Roots: []provenance.Root{root}, Key: bytes.ReplaceAll(key, []byte("PUBLIC KEY"), []byte("CERTIFICATE"))},
	} {
		if v, err := cosign.New(o); err == nil {
			t.Errorf("%s: made %v", name, v)
		}
	}
	for _, zero := range []*cosign.Verifier{nil, {}} {
		if _, err := zero.Verify(t.Context(), nil, cosign.Artifact{}, cosign.Expectation{}); err == nil {
			t.Error("a verifier without roots accepts")
		}
	}
	v, err := cosign.New(cosign.Options{Roots: []provenance.Root{root}})
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Verify(ended, l.signBlob(t), byDigest(blobDigest), l.me()); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: %v", err)
	}
}

func tree(t testing.TB, b []byte) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func text(t testing.TB, m any) []byte {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// at is the parent of a member: at(m, "a", 0, "b") is m.a[0].
func at(m any, path ...any) map[string]any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m = m.(map[string]any)[p]
		case int:
			m = m.([]any)[p]
		}
	}
	return m.(map[string]any)
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
