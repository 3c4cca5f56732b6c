package cosign_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"plastron/provenance"
	"plastron/provenance/cosign"
	"plastron/provenance/provenancetest"
)

// Rows named after the cases of the public sigstore-conformance suite
// (test/assets/bundle-verify). Its files are in no Go module, so what each case
// describes is done here to bundles of the local Sigstore; *_fail must be
// refused. Not passed, for sigstore-go 1.3.0 does not: the bundles of rekor2-dsse-*
// with an entry of kind dsse/0.0.2, of Rekor v2's alpha, and
// intoto-canonical-log-entry, a Rekor v1 entry under a checkpoint without a tree
// id, which is taken for Rekor v2. managed-key-and-trusted-root, whose root has
// no log, wants InsecureIgnoreTlog said.
func TestConformanceCases(t *testing.T) {
	t.Parallel()
	l := shared(t)
	local := []provenance.Root{l.root()}
	message, attested := l.signBlob(t), l.sign(t, statement(nil))
	otherMessage := func() []byte {
		b, err := l.SignBlob(t.Context(), l.token(), []byte("another"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}()
	spoil := func(b []byte, f func(m map[string]any)) []byte {
		m := tree(t, b)
		f(m)
		return text(t, m)
	}
	entry := func(m map[string]any) map[string]any { return at(m, "verificationMaterial", "tlogEntries", 0) }
	flip := func(m map[string]any, name string) { m[name] = flipped(t, m[name].(string)) }
	rooted := func(f func(m map[string]any)) []provenance.Root {
		m := tree(t, l.TrustedRoot())
		f(m)
		return []provenance.Root{{Name: "x", TrustedRoot: text(t, m)}}
	}
	past, future := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	validity := func(part, end, when string) []provenance.Root {
		return rooted(func(m map[string]any) {
			part := at(m, part, 0)
			if key, ok := part["publicKey"].(map[string]any); ok {
				part = key
			}
			part["validFor"].(map[string]any)[end] = when
		})
	}
	for _, row := range []struct {
		name   string
		roots  []provenance.Root
		bundle []byte
	}{
		{"rekor2-happy-path", local, message},
		{"rekor2-dsse-happy-path", local, attested},
		{"dsse-with-hashedrekord-happy-path", local, attested},
		{"happy-path-v0.3-media-type", local, spoil(message, func(m map[string]any) { m["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.3" })},
		{"happy-path-v0.2", local, spoil(message, oldStyle("0.2"))},
		{"v0.1-without-promise_fail", local, spoil(message, oldStyle("0.1"))},
		{"invalid-media-type_fail", local, spoil(message, func(m map[string]any) { m["mediaType"] = "application/vnd.dev.sigstore.bundle.v9+json" })},
		{"invalid-signature_fail", local, spoil(message, func(m map[string]any) { flip(at(m, "messageSignature"), "signature") })},
		{"message-digest-mismatch_fail", local, spoil(message, func(m map[string]any) { flip(at(m, "messageSignature", "messageDigest"), "digest") })},
		{"rekor2-dsse-invalid-sig_fail", local, spoil(attested, func(m map[string]any) { flip(at(m, "dsseEnvelope", "signatures", 0), "sig") })},
		{"rekor2-dsse-mismatch-envelope_fail", local, spoil(attested, func(m map[string]any) {
			at(m, "dsseEnvelope")["payload"] = base64.StdEncoding.EncodeToString(statement(map[string]any{"predicate": map[string]any{"x": 1}}))
		})},
		{"rekor2-dsse-mismatch-sig_fail", local, spoil(attested, func(m map[string]any) {
			at(m, "dsseEnvelope")["signatures"] = at(tree(t, l.sign(t, statement(nil))), "dsseEnvelope")["signatures"]
		})},
		{"cve-2022-36056-swapped-tlog-entry_fail", local, spoil(message, func(m map[string]any) {
			at(m, "verificationMaterial")["tlogEntries"] = at(tree(t, otherMessage), "verificationMaterial")["tlogEntries"]
		})},
		{"dsse-statement-unknown-type_fail", local, l.sign(t, statement(map[string]any{"_type": "https://in-toto.io/Statement/v2"}))},
		{"dsse-statement-missing-type_fail", local, l.sign(t, statement(map[string]any{"_type": nil}))},
		{"dsse-statement-missing-predicate-type_fail", local, l.sign(t, statement(map[string]any{"predicateType": nil}))},
		{"dsse-no-matching-subject_fail", local, l.sign(t, statement(map[string]any{"subject": []any{}}))},
		{"inclusion-proof-missing_fail", local, spoil(message, func(m map[string]any) { delete(entry(m), "inclusionProof") })},
		{"inclusion-proof-wrong-root_fail", local, spoil(message, func(m map[string]any) { flip(at(entry(m), "inclusionProof"), "rootHash") })},
		{"inclusion-proof-wrong-hash_fail", local, spoil(message, func(m map[string]any) {
			hashes := at(entry(m), "inclusionProof")["hashes"].([]any)
			hashes[0] = flipped(t, hashes[0].(string))
		})},
		{"checkpoint-missing_fail", local, spoil(message, func(m map[string]any) { delete(at(entry(m), "inclusionProof"), "checkpoint") })},
		{"checkpoint-invalid-signature_fail", local, spoil(message, func(m map[string]any) {
			c := at(entry(m), "inclusionProof", "checkpoint")
			note := c["envelope"].(string)
			i := strings.LastIndexByte(note, ' ') + 1
			c["envelope"] = note[:i] + flippedAt(t, strings.TrimSpace(note[i:]), 9) + "\n"
		})},
		{"checkpoint-wrong-size_fail", local, spoil(message, func(m map[string]any) {
			c := at(entry(m), "inclusionProof", "checkpoint")
			lines := strings.SplitN(c["envelope"].(string), "\n", 3)
			n, _ := strconv.Atoi(lines[1])
			lines[1] = strconv.Itoa(n + 1)
			c["envelope"] = strings.Join(lines, "\n")
		})},
		{"rekor2-no-timestamp_fail", local, spoil(message, func(m map[string]any) { delete(at(m, "verificationMaterial"), "timestampVerificationData") })},
		{"rekor2-timestamp-payload-mismatch_fail", local, spoil(message, func(m map[string]any) {
			at(m, "verificationMaterial")["timestampVerificationData"] = at(tree(t, otherMessage), "verificationMaterial")["timestampVerificationData"]
		})},
		{"rekor2-timestamp-outside-trust-root-tsa-validity_fail", validity("timestampAuthorities", "end", past), message},
		{"rekor2-timestamp-before-trust-root-tsa-validity_fail", validity("timestampAuthorities", "start", future), message},
		{"rekor2-timestamp-wrong-tsa-validity-borrow_fail", rooted(func(m map[string]any) {
			at(m, "timestampAuthorities", 0, "validFor")["end"] = past
			m["timestampAuthorities"] = append(m["timestampAuthorities"].([]any), map[string]any{
				"subject": map[string]any{}, "certChain": map[string]any{"certificates": []any{}},
				"validFor": map[string]any{"start": past, "end": future},
			})
		}), message},
		{"trust-root-ca-validity-ended_fail", validity("certificateAuthorities", "end", past), message},
		{"trust-root-ctlog-validity-ended_fail", validity("ctlogs", "end", past), message},
		{"trust-root-without-tsa_fail", rooted(func(m map[string]any) { delete(m, "timestampAuthorities") }), message},
		{"trust-root-without-tlog_fail", rooted(func(m map[string]any) { delete(m, "tlogs") }), message},
		{"trust-root-without-ctlog_fail", rooted(func(m map[string]any) { delete(m, "ctlogs") }), message},
		{"trust-root-without-ca_fail", rooted(func(m map[string]any) { delete(m, "certificateAuthorities") }), message},
		{"certificate-and-no-material_fail", local, spoil(message, func(m map[string]any) { delete(at(m, "verificationMaterial"), "certificate") })},
		{"both-contents_fail", local, spoil(message, func(m map[string]any) { m["dsseEnvelope"] = at(tree(t, attested), "dsseEnvelope") })},
	} {
		v, err := cosign.New(cosign.Options{Roots: row.roots})
		if err == nil {
			_, err = v.Verify(t.Context(), row.bundle, byContent(blob), l.me())
		}
		if fails := strings.HasSuffix(row.name, "_fail"); (err != nil) != fails {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// A timestamp outside of the certificate's life is not excused by one inside.
func TestEveryTimeCounts(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	b := tree(t, l.signBlob(t))
	l.Misbehave(provenancetest.ExpiredLeaf)
	late := tree(t, l.signBlob(t))
	stamps := func(m map[string]any) []any {
		return at(m, "verificationMaterial", "timestampVerificationData")["rfc3161Timestamps"].([]any)
	}
	if _, code, err := verify(t, cosign.Options{Roots: []provenance.Root{l.root()}}, text(t, b), byContent(blob), l.me()); code != ok {
		t.Fatal(err)
	}
	at(late, "verificationMaterial", "timestampVerificationData")["rfc3161Timestamps"] = append(stamps(late), stamps(b)...)
	if _, code, err := verify(t, cosign.Options{Roots: []provenance.Root{l.root()}}, text(t, late), byContent(blob), l.me()); code == ok {
		t.Error("accepted")
	} else if code != provenance.CodeTime {
		t.Error(err)
	}
}

// The log's integrated time and the authority's may be the last second of the
// key's period: periods include their end.
func TestPeriodsIncludeTheirEnd(t *testing.T) {
	t.Parallel()
	real := public(t, "sigstore.js@2.0.0-provenance.sigstore.json")
	js := byDigest(provenance.Digest{Algorithm: "sha512", Hex: jsDigest})
	for end, want := range map[string]provenance.Code{"2023-08-18T16:05:35Z": ok, "2023-08-18T16:05:34Z": provenance.CodeLog} {
		m := tree(t, public(t, "public-good.json"))
		for i := range m["tlogs"].([]any) {
			at(m, "tlogs", i, "publicKey", "validFor")["end"] = end
		}
		o := cosign.Options{Roots: []provenance.Root{{Name: "x", TrustedRoot: text(t, m)}}}
		if _, code, err := verify(t, o, real, js, cosign.Expectation{Identity: jsSigner, Issuer: jsIssuer}); code != want {
			t.Errorf("trust-root-tlog-validity-end-inclusive, %s: %v, want %q", end, err, want)
		}
	}
}

// oldStyle rewrites a bundle to carry its certificate as versions 0.1 and 0.2 do.
func oldStyle(version string) func(m map[string]any) {
	return func(m map[string]any) {
		m["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=" + version
		material := at(m, "verificationMaterial")
		material["x509CertificateChain"] = map[string]any{"certificates": []any{material["certificate"]}}
		delete(material, "certificate")
	}
}

// flipped has one bit of the last byte changed.
func flipped(t testing.TB, b64 string) string { return flippedAt(t, b64, -1) }

func flippedAt(t testing.TB, b64 string, i int) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(b64)
	if err != nil {
		t.Fatal(err)
	}
	if i < 0 {
		i = len(b) - 1
	}
	b[i] ^= 1
	return base64.StdEncoding.EncodeToString(b)
}

// The bundles of sigstore-go's own test data.
func TestModuleFixtures(t *testing.T) {
	t.Parallel()
	dir := module(t, "github.com/sigstore/sigstore-go")
	data := func(parts ...string) []byte { return read(t, append([]string{dir}, parts...)...) }
	root := func(parts ...string) []provenance.Root {
		return []provenance.Root{{Name: parts[len(parts)-1], TrustedRoot: data(parts...)}}
	}
	const tests = "pkg/testing/data"
	example := root("examples", "trusted-root-public-good.json")
	good := root(tests, "trusted-roots", "public-good.json")
	jsWho := cosign.Expectation{Identity: jsSigner, Issuer: jsIssuer}
	subject := func(b []byte) cosign.Artifact { return byDigest(subjectOf(t, b)) }
	provenanceBundle, publish := data("examples", "bundle-provenance.json"), data("examples", "bundle-publish.json")
	npm := data("examples", "publish_key.pub")
	validity := data(tests, "bundles", "public-key-validity.sigstore.json")
	validityKey := data(tests, "public-keys", "public-key-validity.pem")
	for _, row := range []struct {
		name   string
		o      cosign.Options
		bundle []byte
		want   cosign.Expectation
		code   provenance.Code
	}{
		{"sigstore.js 2.0.0", cosign.Options{Roots: good}, data(tests, "bundles", "sigstore.js@2.0.0-provenance.sigstore.json"), jsWho, ok},
		{"sigstore.js 1.3.0, proof without checkpoint", cosign.Options{Roots: example}, provenanceBundle, jsWho, ok},
		{"npm's publish attestation, by key", cosign.Options{Roots: example, Key: npm}, publish, cosign.Expectation{}, ok},
		{"npm's publish attestation, by another key", cosign.Options{Roots: example, Key: validityKey}, publish, cosign.Expectation{}, provenance.CodeLog},
		{"npm's publish attestation, no key given", cosign.Options{Roots: example}, publish, jsWho, provenance.CodeCertificate},
		{"dsse, promise only", cosign.Options{Roots: good}, data(tests, "bundles", "dsse.sigstore.json"), cosign.Expectation{IdentityRegexp: ".*", IssuerRegexp: ".*"}, ok},
		{"dsse, two signatures", cosign.Options{Roots: good}, data(tests, "bundles", "dsse-2sigs.sigstore.json"), cosign.Expectation{IdentityRegexp: ".*", IssuerRegexp: ".*"}, provenance.CodeSignature},
		{"OtherName in the certificate", cosign.Options{Roots: root(tests, "trusted-roots", "scaffolding.json")}, data(tests, "bundles", "othername.sigstore.json"), cosign.Expectation{IdentityRegexp: ".*", IssuerRegexp: ".*"}, ok},
		{"key without a log, and none asked for", cosign.Options{Roots: root(tests, "trusted-roots", "public-key-validity.json"), Key: validityKey, InsecureIgnoreTlog: true}, validity, cosign.Expectation{}, ok},
		{"key without a log", cosign.Options{Roots: root(tests, "trusted-roots", "public-key-validity.json"), Key: validityKey}, validity, cosign.Expectation{}, provenance.CodeLog},
	} {
		s, code, err := verify(t, row.o, row.bundle, subject(row.bundle), row.want)
		if code != row.code {
			t.Errorf("%s: %v, want %q", row.name, err, row.code)
		}
		if code == ok && s.Root() == "" {
			t.Errorf("%s: %+v", row.name, s)
		}
	}
}

// What holds here and is refused at a gate, whatever is made wider here.
func TestGateIsStricter(t *testing.T) {
	t.Parallel()
	dir := module(t, "github.com/sigstore/sigstore-go")
	l := newLab(t)
	l.Misbehave(provenancetest.NoSCT)
	unpublished := l.sign(t, statement(nil))
	l.Misbehave(0)
	keyed, _ := l.signKey(t, statement(nil))
	example := read(t, dir, "examples", "trusted-root-public-good.json")
	for _, row := range []struct {
		name   string
		root   []byte
		bundle []byte
		code   provenance.Code
	}{
		{"a promise alone", public(t, "public-good.json"), read(t, dir, "pkg", "testing", "data", "bundles", "dsse.sigstore.json"), provenance.CodeLog},
		{"a proof without a checkpoint", example, read(t, dir, "examples", "bundle-provenance.json"), provenance.CodeLog},
		{"a key", example, read(t, dir, "examples", "bundle-publish.json"), provenance.CodeMalformed},
		{"a key's statement", l.TrustedRoot(), keyed, provenance.CodeCertificate},
		{"no SCT", l.TrustedRoot(), unpublished, provenance.CodeCertificate},
		{"a message signature", l.TrustedRoot(), l.signBlob(t), provenance.CodeMalformed},
		{"another predicate", l.TrustedRoot(), l.sign(t, statement(nil)), provenance.CodePredicate},
	} {
		v, err := provenance.New([]provenance.Root{{Name: "x", TrustedRoot: row.root}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(t.Context(), row.bundle, subjectOf(t, row.bundle))
		var e *provenance.Error
		if !errors.As(err, &e) || e.Code != row.code {
			t.Errorf("%s: %v, want %s", row.name, err, row.code)
		}
	}
}

// subjectOf is a digest of the statement's first subject, or of the message.
func subjectOf(t testing.TB, bundle []byte) provenance.Digest {
	t.Helper()
	var b struct {
		Envelope struct{ Payload []byte } `json:"dsseEnvelope"`
		Message  struct {
			Digest struct{ Digest []byte } `json:"messageDigest"`
		} `json:"messageSignature"`
	}
	if err := json.Unmarshal(bundle, &b); err != nil {
		t.Fatal(err)
	}
	if b.Envelope.Payload == nil {
		return provenance.Digest{Algorithm: "sha256", Hex: hexOf(b.Message.Digest.Digest)}
	}
	var s struct {
		Subject []struct{ Digest map[string]string }
	}
	if err := json.Unmarshal(b.Envelope.Payload, &s); err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range slices.Sorted(maps.Keys(s.Subject[0].Digest)) {
		if algorithm == "sha256" || algorithm == "sha512" {
			return provenance.Digest{Algorithm: algorithm, Hex: s.Subject[0].Digest[algorithm]}
		}
	}
	t.Fatalf("subject %v", s.Subject[0])
	return provenance.Digest{}
}

// Every member of every kind of bundle, spoilt in every way that leaves JSON:
// what is still accepted must be a member that nothing signs and nothing reads.
func TestMutants(t *testing.T) {
	t.Parallel()
	l := shared(t)
	keyed, key := l.signKey(t, nil)
	example := provenance.Root{Name: "example", TrustedRoot: read(t, module(t, "github.com/sigstore/sigstore-go"), "examples", "trusted-root-public-good.json")}
	fixture := func(name string) []byte {
		return read(t, module(t, "github.com/sigstore/sigstore-go"), "examples", name)
	}
	jsWho := cosign.Expectation{Identity: jsSigner, Issuer: jsIssuer}
	npm := fixture("publish_key.pub")
	// Unsigned and unread: hints; of Rekor v2 what repeats the leaf, which
	// sigstore-go makes anew from the bundle, and its index; of Rekor v1 the proof
	// beside the promise, which vouches by itself. A gate refuses all of these.
	const idle = `publicKey\.hint|\.keyid`
	const v2 = idle + `|tlogEntries\.0\.(kindVersion|canonicalizedBody|inclusionProof\.logIndex)|messageDigest\.algorithm dropped`
	const v1 = idle + `|tlogEntries\.0\.(inclusionProof|kindVersion)|timestampVerificationData dropped|certificates\.[12]|certificates without its last`
	const keyed2 = v2 + `|timestampVerificationData.*(dropped|emptied|without its last)$` // a key needs no time
	for _, row := range []struct {
		name     string
		o        cosign.Options
		bundle   []byte
		artifact cosign.Artifact
		want     cosign.Expectation
		idle     string
	}{
		{"message, Rekor v2", cosign.Options{Roots: []provenance.Root{l.root()}}, l.signBlob(t), byContent(blob), l.me(), v2},
		{"message by digest, Rekor v2", cosign.Options{Roots: []provenance.Root{l.root()}}, l.signBlob(t), byDigest(blobDigest), l.me(), v2},
		{"statement, Rekor v2", cosign.Options{Roots: []provenance.Root{l.root()}}, l.sign(t, statement(nil)), byContent(blob), l.me(), v2},
		{"message by key, Rekor v2", cosign.Options{Roots: []provenance.Root{l.root()}, Key: key}, keyed, byContent(blob), cosign.Expectation{}, keyed2},
		{"statement, Rekor v1", cosign.Options{Roots: []provenance.Root{example}}, fixture("bundle-provenance.json"), byDigest(subjectOf(t, fixture("bundle-provenance.json"))), jsWho, v1},
		{"statement by key, Rekor v1", cosign.Options{Roots: []provenance.Root{example}, Key: npm}, fixture("bundle-publish.json"), byDigest(subjectOf(t, fixture("bundle-publish.json"))), cosign.Expectation{}, v1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			v, err := cosign.New(row.o)
			if err != nil {
				t.Fatal(err)
			}
			good, err := v.Verify(t.Context(), row.bundle, row.artifact, row.want)
			if err != nil {
				t.Fatal(err)
			}
			idle := regexp.MustCompile(row.idle)
			n := 0
			for path, spoilt := range mutants(t, row.bundle) {
				n++
				s, err := v.Verify(t.Context(), spoilt, row.artifact, row.want)
				if err == nil && (!idle.MatchString(path) || s.Signer() != good.Signer() || s.PredicateType() != good.PredicateType() || s.Root() != good.Root()) {
					t.Errorf("%s: accepted", path)
				}
			}
			t.Logf("%d mutants", n)
		})
	}
}

// mutants are the bundle with one member spoilt, by the member and how.
func mutants(t *testing.T, bundle []byte) map[string][]byte {
	t.Helper()
	whole := any(tree(t, bundle))
	out := make(map[string][]byte)
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		add := func(how string, spoilt any) {
			set(spoilt)
			out[path+" "+how] = text(t, whole)
			set(v)
		}
		switch v := v.(type) {
		case map[string]any:
			for name, child := range v {
				at := strings.TrimPrefix(path+"."+name, ".")
				walk(at, child, func(x any) { v[name] = x })
				delete(v, name)
				out[at+" dropped"] = text(t, whole)
				v[name] = child
			}
		case []any:
			for i := range v {
				walk(path+"."+strconv.Itoa(i), v[i], func(x any) { v[i] = x })
			}
			add("emptied", []any{})
			if len(v) > 0 {
				add("without its last", v[:len(v)-1])
			}
		case string:
			add("emptied", "")
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				add("plus one", strconv.FormatInt(n+1, 10))
				return
			}
			if raw, err := base64.StdEncoding.DecodeString(v); err == nil && len(raw) > 8 {
				for _, i := range []int{0, len(raw) / 3, len(raw) / 2, len(raw) - 1} {
					add("flipped at "+strconv.Itoa(i), flippedAt(t, v, i))
				}
				add("cut", base64.StdEncoding.EncodeToString(raw[:len(raw)-1]))
				add("longer", base64.StdEncoding.EncodeToString(append(raw, 0)))
				return
			}
			add("longer", v+"x")
			if v != "" {
				add("cut", v[:len(v)-1])
			}
		}
	}
	walk("", whole, func(any) {})
	return out
}
