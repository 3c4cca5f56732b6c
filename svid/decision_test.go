package svid

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// anyDecision draws Decisions that a gate may make.
var anyDecision = rapid.Custom(func(t *rapid.T) Decision {
	hash := rapid.Custom(func(t *rapid.T) [32]byte {
		return [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
	})
	d := Decision{
		Record:   hash.Filter(func(h [32]byte) bool { return h != [32]byte{} }).Draw(t, "record"),
		Decided:  rapid.Uint64Min(1).Draw(t, "decided"),
		Spent:    rapid.SliceOfNDistinct(hash, 0, maxSpent, rapid.ID).Draw(t, "spent"),
		Floors:   rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9_-]{1,20}:(hardware|institution|human)`), 0, maxFloors, rapid.ID).Draw(t, "floors"),
		Insecure: rapid.SliceOfNDistinct(rapid.StringMatching(`[ -~]{1,160}`), 0, maxInsecure, rapid.ID).Draw(t, "insecure"),
	}
	d.Policy = rapid.Uint64Max(d.Decided-1).Draw(t, "policy")
	if rapid.Bool().Draw(t, "renewal") {
		d.Renews = new(rapid.Uint64Max(d.Decided-1).Draw(t, "renews"))
	}
	if rapid.Bool().Draw(t, "tied") {
		d.Artifact = rapid.StringMatching(`sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}`).Draw(t, "artifact")
		d.Tie = rapid.SampledFrom(ties[1:]).Draw(t, "tie")
	}
	return d
})

func TestDecisionRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := anyDecision.Draw(t, "decision")
		b, err := d.marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseDecision(b)
		if err != nil {
			t.Fatal(err)
		}
		if !sameDecision(got, d) {
			t.Fatalf("decision %+v\nread back as %+v", d, got)
		}
	})
}

// decision is the worked example of the format, byte by byte.
var decision = strings.Join([]string{
	"3081bb",                          // SEQUENCE, 187 bytes
	"020101",                          // version 1
	"0420" + strings.Repeat("11", 32), // record
	"020101",                          // policy 1
	"02020080",                        // decided 128
	"3022" + "0420" + strings.Repeat("22", 32),                                                  // spent, one key
	"a04c" + "0c47" + hex.EncodeToString([]byte("sha256:"+strings.Repeat("ab", 32))) + "0a0102", // artifact, tie token
	"3011" + "0c0f" + hex.EncodeToString([]byte("who:institution")),                             // floors
	"3003" + "0c0161", // insecure
	"a103" + "02010f", // renews 15
}, " ")

func TestDecisionBytes(t *testing.T) {
	t.Parallel()
	b := unhex(decision)
	got := must(ParseDecision(b))(t)
	want := Decision{
		Record: [32]byte(bytes.Repeat([]byte{0x11}, 32)), Policy: 1, Decided: 128,
		Spent:    [][32]byte{[32]byte(bytes.Repeat([]byte{0x22}, 32))},
		Artifact: "sha256:" + strings.Repeat("ab", 32), Tie: Token,
		Floors: []string{"who:institution"}, Insecure: []string{"a"}, Renews: new(uint64(15)),
	}
	if !sameDecision(got, want) {
		t.Errorf("read %+v\nwant %+v", got, want)
	}
	if again := must(want.marshal())(t); !bytes.Equal(again, b) {
		t.Errorf("wrote %x\nwant  %x", again, b)
	}
}

func TestParseDecisionRefuses(t *testing.T) {
	t.Parallel()
	rows := map[string]string{
		"empty":                    "",
		"zero Decision":            string(must((&Decision{}).marshal())(t)),
		"trailing byte":            string(unhex(decision)) + "\x00",
		"long form of a length":    string(slices.Concat(unhex("308200bb"), unhex(decision)[3:])),
		"indefinite length":        string(slices.Concat(unhex("3080"), unhex(decision)[3:], []byte{0, 0})),
		"version 2":                edited(decision, "020101 0420", "020102 0420"),
		"version 1 in two bytes":   edited(decision, "3081bb 020101", "3081bc 02020001"),
		"negative policy":          edited(decision, "020101 02020080", "0201ff 02020080"),
		"record of 31 bytes":       edited(decision, "3081bb 020101 042011", "3081ba 020101 041f"),
		"spent key of 31 bytes":    edited(edited0(decision, "3081bb", "3081ba"), "3022042022", "3021041f"),
		"no tie":                   edited(edited0(decision, "3081bb", "3081b8"), "0a0102", "", "a04c", "a049"),
		"tie 0":                    edited(decision, "0a0102", "0a0100"),
		"tie 4":                    edited(decision, "0a0102", "0a0104"),
		"tie as INTEGER":           edited(decision, "0a0102", "020102"),
		"artifact PrintableString": edited(decision, "a04c0c47", "a04c1347"),
		"artifact as SEQUENCE":     edited(decision, "a04c0c47", "304c0c47"),
		"floors out of place":      edited(decision, "30110c0f", "31110c0f"),
		"renews primitive":         edited(decision, "a10302010f", "810302010f"),
		"renews trailing":          edited(decision, "a10302010f", "a10302010f", "3081bb", "3081bc") + "\x00",
		"renews twice":             edited(decision, "a10302010f", "a10302010fa10302010f", "3081bb", "3081c0"),
	}
	for name, value := range rows {
		if d, err := ParseDecision([]byte(value)); err == nil {
			t.Errorf("%s: read as %+v", name, d)
		}
	}
}

// edited replaces hexadecimal text, in pairs of old and new, each of which must
// be there.
func edited(text string, pairs ...string) string { return string(unhex(edited0(text, pairs...))) }

func edited0(text string, pairs ...string) string {
	text = strings.ReplaceAll(text, " ", "")
	for i := 0; i < len(pairs); i += 2 {
		from, to := strings.ReplaceAll(pairs[i], " ", ""), strings.ReplaceAll(pairs[i+1], " ", "")
		if !strings.Contains(text, from) {
			panic(fmt.Sprintf("%q is not in %s", from, text))
		}
		text = strings.Replace(text, from, to, 1)
	}
	return text
}

func FuzzDecision(f *testing.F) {
	f.Add(unhex(decision))
	f.Add(must((&Decision{Record: [32]byte{1}, Decided: 1}).marshal())(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDecision(b)
		if err != nil {
			return
		}
		if again, err := d.marshal(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x is read, and written as %x (%v)", b, again, err)
		}
	})
}
