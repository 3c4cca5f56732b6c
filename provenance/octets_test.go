package provenance

import (
	"encoding/json/v2"
	"testing"
)

// One spelling for any bytes and any number.
func TestSpellings(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		text string
		ok   bool
	}{
		{`"AAECAw=="`, true},
		{`""`, true},
		{`"AA\u0045CAw=="`, true}, // JSON's own spellings of a text are one text
		{`"AAECAw"`, false},
		{`"AAECAw="`, false},
		{`"AAECA1=="`, false}, // stray bits
		{`"AAEC\nAw=="`, false},
		{`"AAEC\rAw=="`, false},
		{`"-_8="`, false},
		{`"A A="`, false},
		{`null`, false},
		{`5`, false},
		{`[]`, false},
		{`{}`, false},
	} {
		var o octets
		if err := json.Unmarshal([]byte(row.text), &o); (err == nil) != row.ok {
			t.Errorf("octets %s: %v", row.text, err)
		}
	}
	for _, row := range []struct {
		text string
		want integer
		ok   bool
	}{
		{`0`, 0, true},
		{`"0"`, 0, true},
		{`7`, 7, true},
		{`"9223372036854775807"`, 1<<63 - 1, true},
		{`"9223372036854775808"`, 0, false},
		{`-1`, 0, false},
		{`"-1"`, 0, false},
		{`"-0"`, 0, false},
		{`"+1"`, 0, false},
		{`"01"`, 0, false},
		{`1.0`, 0, false},
		{`1e3`, 0, false},
		{`" 1"`, 0, false},
		{`""`, 0, false},
		{`null`, 0, false},
		{`true`, 0, false},
	} {
		var n integer
		if err := json.Unmarshal([]byte(row.text), &n); (err == nil) != row.ok || n != row.want {
			t.Errorf("integer %s: %d, %v", row.text, n, err)
		}
	}
}
