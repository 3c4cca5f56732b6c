package witness

import (
	"bufio"
	"bytes"
	"testing"

	"plastron/log/proof"
)

// The worked example of the package comment.
func TestUploadBytes(t *testing.T) {
	t.Parallel()
	u := upload{origin: "log.example", start: 255, end: 258, ticket: []byte("t")}
	b := u.marshal()
	b = pack{255, [][]byte{[]byte("one")}, []proof.Hash{{7}}}.append(b)
	b = pack{256, [][]byte{[]byte("two"), {}}, nil}.append(b)
	want := "\x00\x0blog.example" + "\x00\x00\x00\x00\x00\x00\x00\xff" + "\x00\x00\x00\x00\x00\x00\x01\x02" + "\x00\x01t" +
		"\x00\x03one" + "\x01\x07" + string(make([]byte, 31)) + "\x00\x03two\x00\x00\x00"
	if string(b) != want {
		t.Errorf("%q, want %q", b, want)
	}
	if u.packEnd(255) != 256 || u.packEnd(256) != 258 {
		t.Errorf("packages end at %d and %d", u.packEnd(255), u.packEnd(256))
	}
}

// Whatever is read is what marshal writes.
func FuzzUpload(f *testing.F) {
	f.Add(append(upload{"log.example", 3, 5, nil}.marshal(), pack{3, [][]byte{{1}, {2, 3}}, []proof.Hash{{1}}}.append(nil)...))
	f.Add(upload{"", 0, 0, []byte("ticket")}.marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		u, err := readUpload(r)
		if err != nil {
			return
		}
		again := u.marshal()
		for first := u.start; first < u.end; first = u.packEnd(first) {
			p, err := readPack(r, first, u.packEnd(first))
			if err != nil {
				break
			}
			if p.end() != u.packEnd(first) || p.end()-p.base() > proof.TileWidth || len(p.hashes) > maxHashes {
				t.Fatalf("package [%d, %d) of %d hashes", p.first, p.end(), len(p.hashes))
			}
			again = p.append(again)
		}
		if !bytes.HasPrefix(b, again) {
			t.Errorf("%q has another form %q", b, again)
		}
	})
}

func FuzzParseInfo(f *testing.F) {
	f.Add([]byte("700\n512\ndGlja2V0\n"))
	f.Add([]byte("0\n0\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := parseInfo(b)
		if err != nil {
			return
		}
		if again := i.marshal(); !bytes.Equal(again, b) {
			t.Errorf("%q has another form %q", b, again)
		}
	})
}
