package proof_test

import (
	"bytes"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"plastron/log/proof"
)

func TestFrame(t *testing.T) {
	t.Parallel()
	for _, k := range []proof.Kind{proof.X509SVID, proof.JWTSVID, proof.Statement} {
		for _, n := range []int{1, 1000, proof.MaxEntry - 2} {
			body := bytes.Repeat([]byte{7}, n)
			e, err := proof.Frame(k, body)
			if err != nil {
				t.Fatal(err)
			}
			kind, got, err := proof.Unframe(e)
			if err != nil || kind != k || !bytes.Equal(got, body) {
				t.Errorf("%v of %d bytes came back as %v of %d: %v", k, n, kind, len(got), err)
			}
		}
	}
	_, err := proof.Frame(0, []byte("x"))
	wantErr(t, err, nil, "unknown kind 0")
	_, err = proof.Frame(proof.Statement, nil)
	wantErr(t, err, nil, "no body")
	_, err = proof.Frame(proof.Statement, make([]byte, proof.MaxEntry-1))
	wantErr(t, err, nil, "longer than 65535")
}

func TestUnframeRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rule  string
		entry []byte
		says  string
	}{
		{"empty", nil, "no body"},
		{"version alone", []byte{1}, "no body"},
		{"framing alone", []byte{1, 3}, "no body"},
		{"version 0", []byte{0, 3, 'x'}, "version 0"},
		{"version 2", []byte{2, 3, 'x'}, "version 2"},
		{"kind 0", []byte{1, 0, 'x'}, "unknown kind 0"},
		{"kind 4", []byte{1, 4, 'x'}, "unknown kind 4"},
		{"too long", append([]byte{1, 3}, make([]byte, proof.MaxEntry-1)...), "longer than"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, _, err := proof.Unframe(tt.entry)
			wantErr(t, err, nil, tt.says)
		})
	}
}

func FuzzUnframe(f *testing.F) {
	f.Add([]byte("\x01\x03{}"))
	f.Add([]byte("\x01\x01\x30\x00"))
	f.Add([]byte{1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, body, err := proof.Unframe(b)
		if err != nil {
			return
		}
		e, err := proof.Frame(k, body)
		if err != nil || !bytes.Equal(e, b) {
			t.Errorf("%x framed again is %x, %v", b, e, err)
		}
	})
}

func TestLeafHash(t *testing.T) {
	t.Parallel()
	for _, e := range []string{"", "x", "entry"} {
		if got, want := proof.LeafHash([]byte(e)), proof.Hash(tlog.RecordHash([]byte(e))); got != want {
			t.Errorf("leaf hash of %q: %v, tlog says %v", e, got, want)
		}
	}
	empty, err := tlog.TreeHash(0, nil)
	if err != nil || proof.EmptyRoot() != proof.Hash(empty) {
		t.Errorf("empty root %v, tlog says %v, %v", proof.EmptyRoot(), empty, err)
	}
}

func TestHashText(t *testing.T) {
	t.Parallel()
	h := proof.LeafHash([]byte("x"))
	text, err := h.MarshalText()
	if err != nil || string(text) != h.String() {
		t.Fatalf("text %q, string %q, %v", text, h, err)
	}
	var back proof.Hash
	if err := back.UnmarshalText(text); err != nil || back != h {
		t.Errorf("%v came back as %v, %v", h, back, err)
	}
	for _, tt := range []struct{ rule, text, says string }{
		{"empty", "", "0 characters"},
		{"short", h.String()[1:], "63 characters"},
		{"long", h.String() + "0", "65 characters"},
		{"upper case", string(bytes.ToUpper(text)), "lower case"},
		{"not hexadecimal", "g" + h.String()[1:], "invalid byte"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			kept := h
			wantErr(t, kept.UnmarshalText([]byte(tt.text)), nil, tt.says)
			if kept != h {
				t.Error("a refused text changed the hash")
			}
		})
	}
}
