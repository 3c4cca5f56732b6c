package statement

import (
	"bytes"
	"encoding/json/jsontext"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"plastron/log/proof"
)

var second = time.Date(2026, 8, 1, 10, 0, 0, 0, time.UTC)

// samples has one good predicate of each kind.
func samples() []Predicate {
	renews := uint64(7)
	text := "rules: []\n"
	return []Predicate{
		&Policy{Name: "policy.yaml", Text: text, SHA256: sum([]byte(text))},
		&Ban{Kind: "digest", Value: "sha256:00", Reason: "bad", Author: "ann"},
		&Unban{Kind: "digest", Value: "sha256:00", Ban: 4, Reason: "good", Author: "ann"},
		&JoinToken{Node: "join", PublicKey: make([]byte, 32), Rule: "seed", Expires: second, Reason: "first", Author: "ann"},
		&Enrolment{
			Node: "fleet", Kind: "tpm", Key: "00", Data: jsontext.Value(`{"ek":"x"}`), Authority: "inventory",
			Anchors: []string{"v sha256:00"}, Decided: 3, Spent: []proof.Hash{{1}}, Time: second,
		},
		&Trust{TrustDomain: "acme.example", Origin: "log.acme.example", Certificates: [][]byte{{1}}, LogPolicy: "log x\n", Beacon: "b"},
		&Record{
			SPIFFEID: "spiffe://acme.example/a", Key: proof.Hash{2}, Time: second, Facts: jsontext.Value(`{"now":"x"}`), Renews: &renews,
			Verdict: Verdict{Rule: "r", Policy: 1, Decided: 2, TTL: 60, Spent: []proof.Hash{{3}}},
		},
	}
}

func TestRoundTrip(t *testing.T) {
	for _, p := range samples() {
		t.Run(p.kind(), func(t *testing.T) {
			b, err := Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Marshal(got)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("marshalled again: %s, %v\nwant %s", again, err, b)
			}
			if reflect.TypeOf(got) != reflect.TypeOf(p) {
				t.Errorf("parsed as %T, want %T", got, p)
			}
		})
	}
}

// A zero predicate says nothing and is refused.
func TestZero(t *testing.T) {
	for _, p := range []Predicate{&Policy{}, &Ban{}, &Unban{}, &JoinToken{}, &Enrolment{}, &Trust{}, &Record{}} {
		if b, err := Marshal(p); err == nil {
			t.Errorf("%T: marshalled as %s", p, b)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	ban, err := Marshal(&Ban{Kind: "digest", Value: "sha256:00", Reason: "bad", Author: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	swap := func(old, by string) string {
		s := strings.Replace(string(ban), old, by, 1)
		if s == string(ban) {
			t.Fatalf("%q is not in %s", old, ban)
		}
		return s
	}
	for rule, text := range map[string]string{
		"empty":                         "",
		"trailing bytes":                string(ban) + " {}",
		"other _type":                   swap("Statement/v1", "Statement/v0.1"),
		"unknown predicate type":        swap("/ban/v1", "/bane/v1"),
		"predicate of another type":     swap("/ban/v1", "/unban/v1"),
		"unknown member":                swap(`"author"`, `"x":1,"author"`),
		"duplicate member":              swap(`"author"`, `"author":"eve","author"`),
		"case-twin member":              swap(`"author"`, `"Author":"eve","author"`),
		"subject of another predicate":  swap(`"value":"sha256:00"`, `"value":"sha256:01"`),
		"subject absent":                swap(`"subject":[{`, `"subject":[],"was":[{`),
		"kind that cannot be banned":    swap(`"kind":"digest"`, `"kind":"weather"`),
		"wrong type":                    swap(`"reason":"bad"`, `"reason":7`),
		"invalid UTF-8":                 swap(`"bad"`, "\"\xff\""),
		"no reason":                     swap(`"reason":"bad"`, `"reason":""`),
		"longer than an entry":          swap(`"bad"`, `"`+strings.Repeat("x", MaxBytes)+`"`),
		"a digest that is not the name": swap(`"sha256":"`, `"sha256":"0`),
	} {
		t.Run(rule, func(t *testing.T) {
			if p, err := Parse([]byte(text)); err == nil {
				t.Errorf("parsed as %+v", p)
			}
		})
	}
}

// A policy's text and hash belong together.
func TestPolicyText(t *testing.T) {
	p := &Policy{Name: "policy.yaml", Text: "a", SHA256: sum([]byte("b"))}
	if _, err := Marshal(p); err == nil {
		t.Error("a text with another text's hash was marshalled")
	}
	p = &Policy{Name: "policy.yaml", Text: strings.Repeat("a", MaxText+1)}
	p.SHA256 = sum([]byte(p.Text))
	if _, err := Marshal(p); err == nil {
		t.Error("a text longer than MaxText was marshalled")
	}
}

// Statements count in whole seconds.
func TestFractions(t *testing.T) {
	j := &JoinToken{Node: "join", PublicKey: make([]byte, 32), Rule: "seed", Expires: second.Add(time.Millisecond), Reason: "x"}
	if _, err := Marshal(j); err == nil {
		t.Error("a time with a fraction was marshalled")
	}
}

func ExampleMarshal() {
	b, err := Marshal(&Ban{Kind: "commit", Value: "6c1ad3a", Reason: "backdoor", Author: "unix uid 1000 (ann)"})
	if err != nil {
		panic(err)
	}
	v := jsontext.Value(b)
	if err := v.Indent(); err != nil {
		panic(err)
	}
	fmt.Println(string(v))
	// Output:
	// {
	// 	"_type": "https://in-toto.io/Statement/v1",
	// 	"subject": [
	// 		{
	// 			"name": "commit:6c1ad3a",
	// 			"digest": {
	// 				"sha256": "d0488dd2b837368af23a37ae3fc7418d2837a5eb331c77e949bfb5ba06c86a19"
	// 			}
	// 		}
	// 	],
	// 	"predicateType": "https://plastron.example/ban/v1",
	// 	"predicate": {
	// 		"kind": "commit",
	// 		"value": "6c1ad3a",
	// 		"reason": "backdoor",
	// 		"author": "unix uid 1000 (ann)"
	// 	}
	// }
}

// FuzzParse: whatever parses marshals to the same meaning, and never panics.
func FuzzParse(f *testing.F) {
	for _, p := range samples() {
		b, err := Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Marshal(p)
		if err != nil {
			t.Fatalf("%s parses, but does not marshal: %v", b, err)
		}
		q, err := Parse(again)
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%+v became %+v, %v", p, q, err)
		}
	})
}
