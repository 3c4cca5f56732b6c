package server

import (
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	gatev1 "plastron/gate/api/v1"
)

// seed is a message with every shape of field.
var seed = &gatev1.IssueRequest{Csr: []byte{0x30}, Beacon: []byte("note\n"), Token: "a.b.c", Artifact: "sha256:é", Evidence: []*gatev1.Evidence{{Kind: "tpm", Data: []byte("{}")}, {}}}

func FuzzText(f *testing.F) {
	f.Add([]byte(`{"csr":"MA==","evidence":[{"kind":"tpm","data":"e30="}]}`))
	f.Add([]byte(`{"token":"\u0000","token":"\ud800"}`))
	f.Add([]byte(`{"evidence":[[[[[[[[[[`))
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, text{"json"}, b) })
}

func FuzzBinary(f *testing.F) {
	b, err := proto.Marshal(seed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	f.Fuzz(func(t *testing.T, b []byte) { roundTrip(t, binary{}, b) })
}

// roundTrip checks that what a codec takes, it gives back, and takes again.
func roundTrip(t *testing.T, c connect.Codec, b []byte) {
	var m, again gatev1.IssueRequest
	if c.Unmarshal(b, &m) != nil {
		return
	}
	if known(m.ProtoReflect()) != nil {
		t.Fatal("a message with an unknown field was taken")
	}
	out, err := c.Marshal(&m)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Unmarshal(out, &again); err != nil || !proto.Equal(&m, &again) {
		t.Fatalf("%v became %v: %v", &m, &again, err)
	}
}

func FuzzHash(f *testing.F) {
	f.Add("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
	f.Add("E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetPathValue("hash", s)
		if h, ok := hash(r); ok && h.String() != s {
			t.Fatalf("%q was read as %s", s, h)
		}
	})
}
