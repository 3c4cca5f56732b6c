package proof_test

import (
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/log"

	"plastron/log/proof"
)

const specCheckpoint = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"

func TestParseCheckpoint(t *testing.T) {
	t.Parallel()
	c, err := proof.ParseCheckpoint(specCheckpoint)
	if err != nil {
		t.Fatal(err)
	}
	if c.Origin != "example.com/behind-the-sofa" || c.Size != 20852163 || c.Root[0] != 0x0a || c.Text() != specCheckpoint {
		t.Errorf("read %+v", c)
	}
	for _, size := range []uint64{0, 1, proof.MaxSize} {
		c.Size = size
		if back, err := proof.ParseCheckpoint(c.Text()); err != nil || back != c {
			t.Errorf("size %d came back as %+v, %v", size, back, err)
		}
	}
}

func TestParseCheckpointRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ rule, old, new, says string }{
		{"empty", specCheckpoint, "", "not terminated"},
		{"unterminated", "q2I=\n", "q2I=", "not terminated"},
		{"two lines", "20852163\n", "", "exactly the lines"},
		{"extension line", "q2I=\n", "q2I=\nextra\n", "exactly the lines"},
		{"empty extension line", "q2I=\n", "q2I=\n\n", "exactly the lines"},
		{"empty origin", "example.com/behind-the-sofa", "", "origin"},
		{"origin with a tab", "example.com/", "example.com\t", "control character"},
		{"origin not UTF-8", "example.com/", "example.com\xff", "not UTF-8"},
		{"empty size", "20852163", "", "not a decimal"},
		{"leading zero", "20852163", "020852163", "canonical"},
		{"sign", "20852163", "+20852163", "decimal"},
		{"negative", "20852163", "-1", "decimal"},
		{"hexadecimal", "20852163", "0x10", "decimal"},
		{"space", "20852163", " 20852163", "decimal"},
		{"underscore", "20852163", "20_852_163", "decimal"},
		{"past 2^63-1", "20852163", "9223372036854775808", "more than"},
		{"past 2^64-1", "20852163", "18446744073709551616", "decimal"},
		{"empty root", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", "", "0 bytes"},
		{"short root", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", "CsUY", "3 bytes"},
		{"long root", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2IA", "33 bytes"},
		{"root without padding", "q2I=", "q2I", "canonical base64"},
		{"root with spare bits", "q2I=", "q2J=", "canonical base64"},
		{"root in URL alphabet", "om/X", "om_X", "canonical base64"},
		{"carriage return", "q2I=\n", "q2I=\r\n", "canonical base64"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := proof.ParseCheckpoint(strings.Replace(specCheckpoint, tt.old, tt.new, 1))
			wantErr(t, err, nil, tt.says)
		})
	}
}

// What we accept, the formats library must read alike; it accepts more.
func FuzzParseCheckpoint(f *testing.F) {
	f.Add(specCheckpoint)
	f.Add("a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
	f.Add("a\n007\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
	f.Add("a b\n1\nAAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := proof.ParseCheckpoint(text)
		if err != nil {
			return
		}
		if c.Text() != text {
			t.Errorf("%q has another text %q", text, c.Text())
		}
		var peer formats.Checkpoint
		rest, err := peer.Unmarshal([]byte(text))
		if err != nil || len(rest) > 0 || peer.Origin != c.Origin || peer.Size != c.Size || proof.Hash(peer.Hash) != c.Root {
			t.Errorf("%q is %+v; formats says %+v, rest %q, %v", text, c, peer, rest, err)
		}
	})
}
