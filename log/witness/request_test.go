package witness

import (
	"bytes"
	"testing"

	"plastron/log/proof"
)

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("old 0\n\nlog.example\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— log.example AAAAAAAA\n"))
	f.Add(request{old: 20852014, hashes: []proof.Hash{{1}, {2}}, note: []byte("note")}.marshal())
	f.Add([]byte("old 007\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRequest(b)
		if err != nil {
			return
		}
		if again := r.marshal(); !bytes.Equal(again, b) || len(r.hashes) > maxHashes {
			t.Errorf("%q has another form %q", b, again)
		}
	})
}
