package strictyaml_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"plastron/gate/strictyaml"
)

type inner struct {
	Issuer strictyaml.At[string]         `yaml:"issuer"`
	Claims map[string]strictyaml.Strings `yaml:"claims"`
	PCR    map[int]string                `yaml:"pcr"`
	Bound  *bool                         `yaml:"bound"`
	TTL    strictyaml.At[time.Duration]  `yaml:"ttl"`
	When   strictyaml.At[string]         `yaml:"when"`
	More   []inner                       `yaml:"more"`
}

var _ = outer{}.hidden

type outer struct {
	Name   string             `yaml:"name"`
	Count  int                `json:"count,omitzero"`
	Since  time.Time          `yaml:"since"`
	List   []string           `yaml:"list"`
	Any    strictyaml.Strings `yaml:"any"`
	Token  *inner             `yaml:"token"`
	hidden string             // not a field of the file
}

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	text := `--- # a comment
name: "0123"   # kept
count: -12
since: 2026-08-01T00:00:00Z
list:
- a
-   'b: c'
any: one
token:
  issuer: cluster
  claims: {sub: [a, b], "x.y/z": c}
  pcr: {7: aa, 0: "00"}
  bound: true
  ttl: 90s
  when: |
    a &&
      b
  more: [{issuer: é}]
`
	var got outer
	if err := strictyaml.Unmarshal("f.yaml", []byte(text), &got); err != nil {
		t.Fatal(err)
	}
	yes := true
	at := func(s string, line, column int) strictyaml.At[string] {
		return strictyaml.At[string]{Value: s, Pos: strictyaml.Pos{Line: line, Column: column}}
	}
	want := outer{
		Name: "0123", Count: -12, Since: time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC), List: []string{"a", "b: c"},
		Any: strictyaml.Strings{at("one", 8, 6)},
		Token: &inner{
			Issuer: at("cluster", 10, 11),
			Claims: map[string]strictyaml.Strings{"sub": {at("a", 11, 18), at("b", 11, 21)}, "x.y/z": {at("c", 11, 34)}},
			PCR:    map[int]string{7: "aa", 0: "00"}, Bound: &yes,
			TTL:  strictyaml.At[time.Duration]{Value: 90 * time.Second, Pos: strictyaml.Pos{Line: 14, Column: 8}},
			When: at("a &&\n  b\n", 15, 9),
			More: []inner{{Issuer: at("é", 18, 19)}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\n%+v\nwant\n%+v\n%+v", got, got.Token, want, want.Token)
	}
}

// Each row is one thing that does not load, and where the error says it is.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rule, text, want string }{
		{"empty file", "", `f.yaml:1:1: nothing in it`},
		{"only a comment", "# hello\n", `f.yaml:1:1: nothing in it`},
		{"not a mapping", "- a\n", `f.yaml:1:1: a list, want a mapping`},
		{"a scalar", "hello\n", `f.yaml:1:1: a string, want a mapping`},
		{"unknown field", "token:\n  isuer: x\n", `f.yaml:2:3: unknown field "isuer", did you mean "issuer"?`},
		{"unknown field, nothing near", "zzz: 1\n", `f.yaml:1:1: unknown field "zzz"` + "\n"},
		{"exact case", "Name: x\n", `f.yaml:1:1: unknown field "Name", did you mean "name"?`},
		{"unexported field", "hidden: x\n", `f.yaml:1:1: unknown field "hidden"`},
		{"duplicate field", "name: a\nname: b\n", `f.yaml:2:1: mapping key "name" already defined at [1:1]`},
		{"duplicate field, quoted", "name: a\n\"name\": b\n", `f.yaml:2:1: `},
		{"duplicate key", "token: {pcr: {7: a, 7: b}}\n", `f.yaml:1:21: `},
		{"number for a string", "name: 512345\n", `f.yaml:1:7: the number 512345, want a string: quote it`},
		{"octal for a string", "name: 0123\n", `f.yaml:1:7: the number 0123, want a string: quote it`},
		{"bool for a string", "name: true\n", `f.yaml:1:7: true, want a string: quote it`},
		{"null for a string", "name: ~\n", `f.yaml:1:1: "name" has no value`},
		{"no value", "token:\nname: x\n", `f.yaml:1:1: "token" has no value`},
		{"null in a list", "list: [a, ~]\n", `f.yaml:1:11: no value`},
		{"empty item", "list:\n-\n- a\n", `f.yaml:2:`},
		{"implied null", "token: {issuer}\n", `f.yaml:1:9: "issuer" has no value`},
		{"list for a string", "name: [a]\n", `f.yaml:1:7: a list, want a string`},
		{"string for a list", "list: a\n", `f.yaml:1:7: a string, want a list`},
		{"mapping for a list", "list: {a: b}\n", `f.yaml:1:7: a mapping, want a list`},
		{"string for a mapping", "token: a\n", `f.yaml:1:8: a string, want a mapping`},
		{"list in strings", "any: [[a]]\n", `f.yaml:1:7: a list, want a string`},
		{"number in strings", "any: 7\n", `f.yaml:1:6: the number 7, want a string: quote it`},
		{"string for a bool", "token: {bound: yes}\n", `f.yaml:1:16: a string, want true or false`},
		{"other spelling of a bool", "token: {bound: True}\n", `f.yaml:1:16: `},
		{"string for a number", "count: \"7\"\n", `f.yaml:1:8: a string, want a whole number`},
		{"float", "count: 1.0\n", `f.yaml:1:8: the number 1.0, want a whole number`},
		{"exponent", "count: 1e3\n", `f.yaml:1:8: `},
		{"hexadecimal", "count: 0x10\n", `f.yaml:1:8: `},
		{"leading zero", "count: 010\n", `f.yaml:1:8: `},
		{"underscore", "count: 1_000\n", `f.yaml:1:8: `},
		{"overflow", "count: 9223372036854775808\n", `f.yaml:1:8: `},
		{"number for a duration", "token: {ttl: 60}\n", `f.yaml:1:14: the number 60, want a duration such as`},
		{"days", "token: {ttl: 7d}\n", `f.yaml:1:14: "7d" is not a duration such as`},
		{"bad time", "since: yesterday\n", `f.yaml:1:8: parsing time`},
		{"anchor", "name: &a x\n", `f.yaml:1:7: anchors (&name) are refused`},
		{"alias", "list: [*a]\n", `f.yaml:1:8: aliases (*name) are refused`},
		{"merge key", "token:\n  <<: {issuer: x}\n", `f.yaml:2:3: merge keys (<<) are refused`},
		{"tag", "name: !!str 7\n", `f.yaml:1:7: tags (!name) are refused`},
		{"directive", "%YAML 1.2\n---\nname: x\n", `f.yaml:1:1: directives`},
		{"complex key", "? name\n: x\n", `f.yaml:1:1: complex keys`},
		{"second document", "name: a\n---\nname: b\n", `f.yaml:2:1: a second document is refused`},
		{"second document after an empty one", "---\n---\nname: b\n", `f.yaml:2:1: a second document is refused`},
		{"document end", "name: a\n...\n", `f.yaml:2:1: a document end`},
		{"tab", "token:\n\tissuer: x\n", `f.yaml:2:`},
		{"unclosed quote", "name: 'a\n", `f.yaml:1:7: could not find end`},
		{"unclosed bracket", "list: [a\n", `f.yaml:1:7: `},
		{"not UTF-8", "name: \xff\n", `f.yaml:1:7: not UTF-8`},
		{"control character", "name: a\x1b[31mb\n", `f.yaml:1:8: control character U+001B`},
		{"carriage return", "name: a\rb\n", `f.yaml:1:8: control character U+000D`},
		{"byte order mark", "\ufeffname: a\n", `f.yaml:1:1: control character U+FEFF`},
		{"too long", strings.Repeat("# comment\n", 30000), `f.yaml:1:1: file of 300000 bytes, want at most 262144`},
		{"too long a line", "name: " + strings.Repeat("a", 5000), `f.yaml:1:1: line of 5006 bytes, want at most 4096`},
		{"blank lines", "name: |\n" + strings.Repeat("\n", 100) + "  a\n", `f.yaml:66:1: more than 64 blank lines in a row`},
		{"lines of blanks", "name: |\n" + strings.Repeat("    \n", 100) + "  a\n", `f.yaml:66:1: more than 64 blank lines in a row`},
		{"deep flow", "list: " + strings.Repeat("[", 2000), `f.yaml:1:38: nested too deeply`},
		{"deep flow over lines", "list: \n" + strings.Repeat(" [\n", 20000), `f.yaml:33:2: nested too deeply`},
		{"deep sequence", strings.Repeat("- ", 2000) + "\n", `f.yaml:1:65: nested too deeply`},
		{"deep mapping", deep(100), `f.yaml:33:33: nested too deeply`},
		{"many keys", many(5000, "k%d: v\n"), `f.yaml:4097:1: too many items in one collection`},
		{"many items", many(5000, "- v%d\n"), `f.yaml:4097:1: too many items in one collection`},
		{"many flow items", "list: [\n" + many(5000, "v%d,\n") + "]\n", `too many items in one collection`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			var v outer
			err := strictyaml.Unmarshal("f.yaml", []byte(c.text), &v)
			if err == nil {
				t.Fatalf("loaded: %+v", v)
			}
			var e *strictyaml.Error
			if !errors.As(err, &e) {
				t.Errorf("error of type %T", err)
			}
			if strings.HasPrefix(c.want, "f.yaml") && !strings.HasPrefix(err.Error(), c.want) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
		})
	}
}

func deep(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%sk:\n", strings.Repeat(" ", i))
	}
	return b.String()
}

func many(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// Windows editors end lines with CR LF.
func TestCRLF(t *testing.T) {
	t.Parallel()
	var v outer
	if err := strictyaml.Unmarshal("f.yaml", []byte("name: a\r\ncount: 1\r\n"), &v); err != nil || v.Name != "a" || v.Count != 1 {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestInside(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule, text   string
		line, column int
		want         strictyaml.Pos
	}{
		{"plain", "when: a && b\n", 1, 6, strictyaml.Pos{Line: 1, Column: 12}},
		{"single quotes", "when: 'a && b'\n", 1, 6, strictyaml.Pos{Line: 1, Column: 13}},
		{"double quotes", "when: \"a && b\"\n", 1, 6, strictyaml.Pos{Line: 1, Column: 13}},
		{"escapes: the scalar", "when: \"a \\u0026& b\"\n", 1, 6, strictyaml.Pos{Line: 1, Column: 7}},
		{"block", "when: |\n    a &&\n      b\n", 2, 3, strictyaml.Pos{Line: 3, Column: 7}},
		{"stripped block", "when: |-\n  a &&\n  b\n", 2, 1, strictyaml.Pos{Line: 3, Column: 3}},
		{"folded: the scalar", "when: >\n  a &&\n  b\n", 1, 6, strictyaml.Pos{Line: 1, Column: 7}},
		{"outside: the scalar", "when: a\n", 9, 9, strictyaml.Pos{Line: 1, Column: 7}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d, err := strictyaml.Parse("f", []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			var v inner
			if err := d.Decode(&v); err != nil {
				t.Fatal(err)
			}
			if got := d.Inside(v.When, c.line, c.column); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func Example() {
	text := `rules:
- name: shop-api
  tokn: {issuer: cluster}
`
	var v struct {
		Rules []struct {
			Name  string            `yaml:"name"`
			Token map[string]string `yaml:"token"`
		} `yaml:"rules"`
	}
	fmt.Println(strictyaml.Unmarshal("policy.yaml", []byte(text), &v))
	// Output:
	// policy.yaml:3:3: unknown field "tokn", did you mean "token"?
	//     2 | - name: shop-api
	// >   3 |   tokn: {issuer: cluster}
	//           ^
}

func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{
		"name: a\n", "token:\n  issuer: cluster\n  claims: {sub: [a, b]}\n", "list: [a, 'b', \"c\\n\"]\n", "token: {when: |\n  a\n  b\n}\n",
		"any: *a\n", "<<: {}\n", "? a\n: b\n", "--- a\n", "[[[[", "- - - -", "name: |2-\n   x\n", "name: >+\n\n\n x\n", "count: 0x1\n", "a: {b: [c, {d: e}]}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var v, w outer
		start := time.Now()
		err := strictyaml.Unmarshal("f.yaml", text, &v)
		if again := strictyaml.Unmarshal("f.yaml", text, &w); (err == nil) != (again == nil) || !reflect.DeepEqual(v, w) {
			t.Error("decoded twice, differently")
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("took %v", took)
		}
		var e *strictyaml.Error
		if err != nil && (!errors.As(err, &e) || e.Pos.Line < 1 || e.Pos.Column < 1) {
			t.Errorf("error without a place: %v", err)
		}
	})
}
