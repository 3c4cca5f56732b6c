package provenance_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"plastron/provenance"
)

// A mutant is a bundle with one thing spoilt.
type mutant struct {
	path string // of the spoilt member: "dsseEnvelope.payload"
	how  string
	text []byte
}

// mutants spoils every leaf, array and object of a bundle's JSON in every way
// that keeps it JSON; positions bounds the flips per leaf.
func mutants(bundle []byte, positions int) []mutant {
	whole := tree(string(bundle))
	var out []mutant
	add := func(path []string, how string) {
		out = append(out, mutant{strings.Join(path, "."), how, text(whole)})
	}
	var walk func(path []string, v any, set func(any))
	walk = func(path []string, v any, set func(any)) {
		defer set(v)
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				child := v[name]
				at := append(slices.Clone(path), name)
				walk(at, child, func(x any) { v[name] = x })
				delete(v, name)
				add(at, "drop")
				if twin := snake(name); twin != name {
					v[twin] = child
					add(at, "snake case")
					delete(v, twin)
				}
				v[name] = []any{child}
				add(at, "wrap in an array")
				v[name] = child
			}
			v["surplus"] = "x"
			add(path, "unknown member")
			delete(v, "surplus")
		case []any:
			for i, child := range v {
				at := append(slices.Clone(path), strconv.Itoa(i))
				walk(at, child, func(x any) { v[i] = x })
				set(slices.Delete(slices.Clone(v), i, i+1))
				add(at, "drop")
				set(slices.Insert(slices.Clone(v), i, child))
				add(at, "twice")
			}
			if reversed := slices.Clone(v); len(v) > 1 {
				slices.Reverse(reversed)
				set(reversed)
				add(path, "reverse")
			}
		case string:
			for how, spoilt := range spoil(v, positions) {
				set(spoilt)
				add(path, how)
			}
		}
	}
	walk(nil, whole, func(any) {})
	return out
}

// spoil gives other strings: of a number, of base64 by its bytes, of text.
func spoil(s string, positions int) map[string]string {
	out := map[string]string{"empty": "", "append": s + "A", "truncate": s[:max(len(s)-1, 0)]}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		out["+1"], out["-1"], out["zero"] = fmt.Sprint(n+1), fmt.Sprint(n-1), "0"
		out["leading zero"], out["negative"] = "0"+s, "-"+s
	} else if b, err := base64.StdEncoding.DecodeString(s); err == nil && len(s) > 8 {
		code := base64.StdEncoding.EncodeToString
		for i := range steps(len(b), positions) {
			flipped := slices.Clone(b)
			flipped[i] ^= 1 << (i % 8)
			out["flip byte "+strconv.Itoa(i)] = code(flipped)
		}
		out["cut a byte"], out["add a byte"] = code(b[:len(b)-1]), code(append(slices.Clone(b), 0))
		out["half"], out["line break"] = code(b[:len(b)/2]), s[:4]+"\n"+s[4:]
		out["URL alphabet"], out["no padding"] = base64.URLEncoding.EncodeToString(b), strings.TrimRight(s, "=")
	} else {
		for i := range steps(len(s), positions) {
			flipped := []byte(s)
			flipped[i] ^= 1
			out["flip character "+strconv.Itoa(i)] = string(flipped)
		}
		out["upper case"] = strings.ToUpper(s)
	}
	for how, spoilt := range out {
		if spoilt == s {
			delete(out, how) // this spelling has no such variant
		}
	}
	return out
}

// steps gives at most positions indexes below n, first and last among them.
func steps(n, positions int) func(func(int) bool) {
	return func(yield func(int) bool) {
		if n <= positions {
			for i := range n {
				if !yield(i) {
					return
				}
			}
			return
		}
		for k := range positions {
			if !yield(k * (n - 1) / (positions - 1)) {
				return
			}
		}
	}
}

func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// harmless lists the only mutants that may be accepted: they say the same.
func harmless(m mutant) bool {
	switch m.path {
	case "dsseEnvelope.signatures.0.keyid": // empty in the genuine bundle: absent says the same
		return m.how == "drop"
	case "verificationMaterial.timestampVerificationData": // has nothing in it, in the genuine bundle
		return m.how == "drop"
	}
	return false
}

// wantCodes gives the codes a spoilt member may be refused with, by the longest
// prefix of its path. provenance_malformed goes everywhere: shape comes first.
var wantCodes = map[string][]provenance.Code{
	"":                                 {},
	"dsseEnvelope.payload":             {provenance.CodeSignature},
	"dsseEnvelope.signatures":          {provenance.CodeSignature},
	"verificationMaterial":             {provenance.CodeCertificate, provenance.CodeLog},
	"verificationMaterial.certificate": {provenance.CodeCertificate, provenance.CodeIdentity, provenance.CodeSignature, provenance.CodeLog, provenance.CodeTime},
	"verificationMaterial.x509CertificateChain":      {provenance.CodeCertificate, provenance.CodeIdentity, provenance.CodeSignature, provenance.CodeLog, provenance.CodeTime},
	"verificationMaterial.tlogEntries":               {provenance.CodeLog},
	"verificationMaterial.timestampVerificationData": {provenance.CodeTime},
}

func mayRefuseAs(path string, code provenance.Code) bool {
	best := ""
	for prefix := range wantCodes {
		if (path == prefix || strings.HasPrefix(path, prefix+".")) && len(prefix) > len(best) {
			best = prefix
		}
	}
	return code == provenance.CodeMalformed || slices.Contains(wantCodes[best], code)
}

// No single change to a bundle may pass, and its refusal must name the part.
func TestMutants(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	v, real, artifact := genuine(t)
	for _, row := range []struct {
		name     string
		v        *provenance.Verifier
		bundle   []byte
		artifact provenance.Digest
	}{
		{"genuine Rekor v1", v, real, artifact},
		{"local Rekor v2", l.Verifier, l.sign(t, text(slsaV1())), shop},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if _, err := row.v.Verify(t.Context(), text(tree(string(row.bundle))), row.artifact); err != nil {
				t.Fatalf("not spoilt at all: %v", err)
			}
			positions := 500
			if testing.Short() {
				positions = 12
			}
			all := mutants(row.bundle, positions)
			t.Logf("%d mutants", len(all))
			tally := each(all, func(m mutant) provenance.Code {
				b, err := row.v.Verify(t.Context(), m.text, row.artifact)
				if err == nil {
					if !harmless(m) {
						t.Errorf("%s: %s: accepted as %s", m.path, m.how, b.SubjectName())
					}
					return "accepted"
				}
				code := codeOf(t, err)
				if !mayRefuseAs(m.path, code) {
					t.Errorf("%s: %s: refused as %v", m.path, m.how, err)
				}
				return code
			})
			t.Logf("%v", tally)
		})
	}
}

// each runs f over all mutants on two goroutines and counts the answers.
func each(all []mutant, f func(mutant) provenance.Code) map[provenance.Code]int {
	var mu sync.Mutex
	tally := make(map[provenance.Code]int)
	var wg sync.WaitGroup
	for half := range 2 {
		wg.Go(func() {
			for i := half; i < len(all); i += 2 {
				code := f(all[i])
				mu.Lock()
				tally[code]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return tally
}

// Parts of two valid bundles never make a third.
func TestSplices(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	// The same statement twice: nothing but who signed when tells them apart.
	a, b := l.sign(t, text(slsaV1())), l.sign(t, text(slsaV1()))
	other := slsaV1()
	other["subject"].([]any)[0].(map[string]any)["name"] = "other"
	for name, donor := range map[string][]byte{"same statement": b, "other statement": l.sign(t, text(other))} {
		for _, path := range paths(tree(string(a)), nil) {
			into, from := tree(string(a)), tree(string(donor))
			part, ok := at(from, path)
			was, had := at(into, path)
			if !ok || !had || string(text(part)) == string(text(was)) {
				continue
			}
			put(into, path, part)
			if build, err := l.Verify(t.Context(), text(into), shop); err == nil {
				t.Errorf("%s: %s of b in a: accepted with evidence %x", name, strings.Join(path, "."), build.EvidenceID())
			}
		}
	}
}

// paths gives every path into a JSON tree, but the root.
func paths(v any, prefix []string) [][]string {
	var out [][]string
	visit := func(key string, child any) {
		p := append(slices.Clone(prefix), key)
		out = append(append(out, p), paths(child, p)...)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			visit(k, v[k])
		}
	case []any:
		for i, child := range v {
			visit(strconv.Itoa(i), child)
		}
	}
	return out
}

func at(v any, path []string) (any, bool) {
	for _, key := range path {
		switch in := v.(type) {
		case map[string]any:
			child, ok := in[key]
			if !ok {
				return nil, false
			}
			v = child
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// put replaces what is at path; nil takes it away.
func put(v any, path []string, x any) {
	parent, ok := at(v, path[:len(path)-1])
	if !ok {
		panic("no such path")
	}
	last := path[len(path)-1]
	switch in := parent.(type) {
	case map[string]any:
		if x == nil {
			delete(in, last)
			return
		}
		in[last] = x
	case []any:
		i, err := strconv.Atoi(last)
		if err != nil {
			panic(err)
		}
		in[i] = x
	}
}

// The JSON itself: what a lenient reader would let through.
func TestShape(t *testing.T) {
	t.Parallel()
	v, genuineText, artifact := genuine(t)
	g := string(genuineText)
	swap := func(old, new string) string {
		if !strings.Contains(g, old) {
			t.Fatalf("the bundle does not hold %q", old)
		}
		return strings.Replace(g, old, new, 1)
	}
	many := func(path string, n int) string {
		whole := tree(g)
		list, _ := at(whole, strings.Split(path, "."))
		one := list.([]any)[0]
		var all []any
		for range n {
			all = append(all, one)
		}
		put(whole, strings.Split(path, "."), all)
		return string(text(whole))
	}
	set := func(path string, value any) string {
		whole := tree(g)
		put(whole, strings.Split(path, "."), value)
		return string(text(whole))
	}
	stamps := func(n int) any {
		return map[string]any{"rfc3161Timestamps": slices.Repeat([]any{map[string]any{"signedTimestamp": "AAAA"}}, n)}
	}
	const entry = "verificationMaterial.tlogEntries.0."
	for _, row := range []struct {
		name, text string
		want       provenance.Code
	}{
		{"empty", "", provenance.CodeMalformed},
		{"null", "null", provenance.CodeMalformed},
		{"array", "[" + g + "]", provenance.CodeMalformed},
		{"two values", g + g, provenance.CodeMalformed},
		{"S15 1 MiB and a byte", g + strings.Repeat(" ", provenance.MaxBundle+1-len(g)), provenance.CodeMalformed},
		{"S15 depth", `{"mediaType":` + strings.Repeat("[", 100_000), provenance.CodeMalformed},
		{"S15 media type", swap("version=0.1", "version=0.9"), provenance.CodeMalformed},
		{"S15 many log entries", many("verificationMaterial.tlogEntries", 5), provenance.CodeLog},
		{"S5 one log twice", many("verificationMaterial.tlogEntries", 2), provenance.CodeLog},
		{"name twice", swap(`"dsseEnvelope"`, `"dsseEnvelope":null,"dsseEnvelope"`), provenance.CodeMalformed},
		{"name in another case", swap(`"dsseEnvelope"`, `"DsseEnvelope"`), provenance.CodeMalformed},
		{"not UTF-8", swap(`"keyid": ""`, "\"keyid\": \"\xff\""), provenance.CodeMalformed},
		{"S10 no signature", set("dsseEnvelope.signatures", []any{}), provenance.CodeMalformed},
		{"S10 two signatures", many("dsseEnvelope.signatures", 2), provenance.CodeMalformed},
		{"S10 key id", set("dsseEnvelope.signatures.0.keyid", "root"), provenance.CodeMalformed},
		{"payload type", set("dsseEnvelope.payloadType", "application/json"), provenance.CodeMalformed},
		{"no payload", set("dsseEnvelope.payload", ""), provenance.CodeMalformed},
		{"empty signature", set("dsseEnvelope.signatures.0.sig", ""), provenance.CodeSignature},
		{"no envelope", set("dsseEnvelope", nil), provenance.CodeMalformed},
		{"a bare key beside the certificate", set("verificationMaterial.publicKey", map[string]any{"hint": "x"}), provenance.CodeCertificate},
		{"a certificate beside the chain", set("verificationMaterial.certificate", map[string]any{"rawBytes": "AAAA"}), provenance.CodeCertificate},
		{"v0.3 with a chain", set("mediaType", "application/vnd.dev.sigstore.bundle.v0.3+json"), provenance.CodeMalformed},
		{"endless chain", many("verificationMaterial.x509CertificateChain.certificates", 6), provenance.CodeCertificate},
		{"log id of another length", set(entry+"logId.keyId", "AAAA"), provenance.CodeLog},
		{"no body", set(entry+"canonicalizedBody", ""), provenance.CodeLog},
		{"no root hash", set(entry+"inclusionProof.rootHash", nil), provenance.CodeLog},
		{"Rekor v2 with a promise", set(entry+"kindVersion", map[string]any{"kind": "hashedrekord", "version": "0.0.2"}), provenance.CodeLog},
		{"empty timestamp", set("verificationMaterial.timestampVerificationData", map[string]any{"rfc3161Timestamps": []any{map[string]any{}}}), provenance.CodeTime},
		{"bare key", set("verificationMaterial", map[string]any{"publicKey": map[string]any{"hint": "x"}}), provenance.CodeCertificate},
		{"no certificate", set("verificationMaterial.x509CertificateChain.certificates", []any{}), provenance.CodeCertificate},
		{"certificate is no DER", set("verificationMaterial.x509CertificateChain.certificates.0.rawBytes", "AAAA"), provenance.CodeCertificate},
		{"a stranger's certificate in the chain", many("verificationMaterial.x509CertificateChain.certificates", 2), provenance.CodeCertificate},
		{"message signature", set("messageSignature", map[string]any{"signature": "AAAA"}), provenance.CodeMalformed},
		{"no log entry", set("verificationMaterial.tlogEntries", []any{}), provenance.CodeLog},
		{"promise without proof", set(entry+"inclusionProof", nil), provenance.CodeLog},
		{"proof without checkpoint", set(entry+"inclusionProof.checkpoint", nil), provenance.CodeLog},
		{"Rekor v1 without promise", set(entry+"inclusionPromise", nil), provenance.CodeLog},
		{"Rekor v1 without time", set(entry+"integratedTime", "0"), provenance.CodeLog},
		{"leaf outside the tree", set(entry+"inclusionProof.logIndex", "27657875"), provenance.CodeLog},
		{"endless proof", many(entry+"inclusionProof.hashes", 65), provenance.CodeLog},
		{"short hash", set(entry+"inclusionProof.hashes.0", "AAAA"), provenance.CodeLog},
		{"index over 63 bits", set(entry+"logIndex", "9223372036854775808"), provenance.CodeMalformed},
		{"index as a fraction", set(entry+"logIndex", 1.5), provenance.CodeMalformed},
		{"unknown kind", set(entry+"kindVersion.kind", "rekord"), provenance.CodeLog},
		{"another kind than the body's", set(entry+"kindVersion", map[string]any{"kind": "dsse", "version": "0.0.1"}), provenance.CodeLog},
		{"S10 endless checkpoint", set(entry+"inclusionProof.checkpoint.envelope", strings.Repeat("— x AAAAAAAA\n", 1000)), provenance.CodeLog},
		{"S10 checkpoint signed twice", set(entry+"inclusionProof.checkpoint.envelope", doubled(t, g)), provenance.CodeLog},
		{"unknown log", set(entry+"logId.keyId", base64.StdEncoding.EncodeToString(make([]byte, 32))), provenance.CodeLog},
		{"many timestamps", set("verificationMaterial.timestampVerificationData", stamps(5)), provenance.CodeTime},
		{"a timestamp that is none", set("verificationMaterial.timestampVerificationData", stamps(1)), provenance.CodeTime},
	} {
		_, err := v.Verify(t.Context(), []byte(row.text), artifact)
		if err == nil {
			t.Errorf("%s: accepted", row.name)
			continue
		}
		if got := codeOf(t, err); got != row.want {
			t.Errorf("%s: refused as %v, want %s", row.name, err, row.want)
		}
	}
}

// doubled is the bundle's checkpoint with its signature line twice.
func doubled(t *testing.T, bundle string) string {
	t.Helper()
	v, ok := at(tree(bundle), strings.Split("verificationMaterial.tlogEntries.0.inclusionProof.checkpoint.envelope", "."))
	if !ok {
		t.Fatal("no checkpoint")
	}
	note := v.(string)
	return note + note[strings.Index(note, "\n\n")+2:]
}

// S11: two encodings of one envelope are one evidence.
func TestOneEvidence(t *testing.T) {
	t.Parallel()
	v, one, artifact := genuine(t)
	other, err := json.MarshalIndent(tree(string(one)), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	a, err := v.Verify(t.Context(), one, artifact)
	if err != nil {
		t.Fatal(err)
	}
	b, err := v.Verify(t.Context(), other, artifact)
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest() == b.Digest() || a.EvidenceID() != b.EvidenceID() {
		t.Errorf("digests %x %x, evidence %x %x: want different, equal", a.Digest(), b.Digest(), a.EvidenceID(), b.EvidenceID())
	}
}
