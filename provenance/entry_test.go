package provenance

import (
	"slices"
	"strings"
	"testing"
)

// What needs no cryptography is refused before there is any: these rows would be
// refused later as well, and at a price.
func TestEntryCheck(t *testing.T) {
	t.Parallel()
	hash := func(n int) octets { return make(octets, n) }
	v1 := func() *entryShape {
		return &entryShape{
			LogIndex: 9, LogID: logIDShape{hash(32)}, Kind: kindShape{"intoto", "0.0.2"}, IntegratedTime: 1, Promise: promiseShape{octets("SET")},
			Proof: &proofShape{LogIndex: 2, TreeSize: 3, RootHash: hash(32), Hashes: []octets{hash(32), hash(32)}, Checkpoint: checkpointShape{"note"}},
			Body:  octets("body"),
		}
	}
	v2 := func() *entryShape {
		e := v1()
		e.Kind, e.IntegratedTime, e.Promise, e.LogIndex = kindShape{"hashedrekord", "0.0.2"}, 0, promiseShape{}, 2
		return e
	}
	same := func(*entryShape) {}
	for _, row := range []struct {
		name   string
		base   func() *entryShape
		change func(*entryShape)
		want   string
	}{
		{"Rekor v1", v1, same, ""},
		{"Rekor v1, dsse", v1, func(e *entryShape) { e.Kind = kindShape{"dsse", "0.0.1"} }, ""},
		{"Rekor v2", v2, same, ""},
		{"log id", v1, func(e *entryShape) { e.LogID.KeyID = hash(31) }, "log id"},
		{"no body", v1, func(e *entryShape) { e.Body = nil }, "no body"},
		{"no proof", v1, func(e *entryShape) { e.Proof = nil }, "promise alone"},
		{"no checkpoint", v1, func(e *entryShape) { e.Proof.Checkpoint.Envelope = "" }, "without a checkpoint"},
		{"endless checkpoint", v1, func(e *entryShape) { e.Proof.Checkpoint.Envelope = strings.Repeat("x", maxCheckpoint+1) }, "at most"},
		{"leaf outside the tree", v1, func(e *entryShape) { e.Proof.LogIndex = 3 }, "leaf 3 of 3"},
		{"short root", v1, func(e *entryShape) { e.Proof.RootHash = hash(31) }, "root hash"},
		{"endless proof", v1, func(e *entryShape) { e.Proof.Hashes = slices.Repeat([]octets{hash(32)}, 65) }, "65 hashes"},
		{"short hash", v1, func(e *entryShape) { e.Proof.Hashes[1] = hash(33) }, "33 bytes"},
		{"v1 without a promise", v1, func(e *entryShape) { e.Promise.SET = nil }, "without a signed entry timestamp"},
		{"v1 without a time", v1, func(e *entryShape) { e.IntegratedTime = 0 }, "without a signed entry timestamp"},
		{"v2 with a promise", v2, func(e *entryShape) { e.Promise.SET = octets("SET") }, "nothing signs"},
		{"v2 with a time", v2, func(e *entryShape) { e.IntegratedTime = 1 }, "nothing signs"},
		{"v2 with two indexes", v2, func(e *entryShape) { e.LogIndex = 1 }, "the proof is of 2"},
		{"unknown kind", v1, func(e *entryShape) { e.Kind.Kind = "rekord" }, "want intoto"},
		{"unknown version", v1, func(e *entryShape) { e.Kind.Version = "0.0.1" }, "want intoto"},
		{"hashedrekord of Rekor v1", v1, func(e *entryShape) { e.Kind = kindShape{"hashedrekord", "0.0.1"} }, "want intoto"},
	} {
		e := row.base()
		row.change(e)
		err := e.check()
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

// Each field beside the checkpoint must be the checkpoint's own.
func TestEntryCheckpoint(t *testing.T) {
	t.Parallel()
	root := strings.Repeat("A", 43) + "="
	note := func(origin, size, name string, more ...string) string {
		line := "— " + name + " AAAAAGZvbw==\n"
		return origin + "\n" + size + "\n" + root + "\n\n" + line + strings.Join(more, "")
	}
	const v1, v2 = "rekor.example - 12", "rekor.example"
	line := "— witness AAAAAGZvbw==\n"
	for _, row := range []struct {
		name, kind, note string
		want             string
	}{
		{"Rekor v1", "intoto", note(v1, "3", "rekor.example"), ""},
		{"Rekor v2", "hashedrekord", note(v2, "3", "rekor.example"), ""},
		{"Rekor v2 with witnesses", "hashedrekord", note(v2, "3", "rekor.example", line, line), ""},
		{"S10 endless signatures", "hashedrekord", note(v2, "3", "rekor.example", slices.Repeat([]string{line}, 16)...), "17 signatures"},
		{"S10 Rekor v1 signed twice", "intoto", note(v1, "3", "rekor.example", line), "2 signatures"},
		{"another log's name", "intoto", note("other.example - 12", "3", "rekor.example"), `want "rekor.example"`},
		{"another signer's name", "intoto", note(v1, "3", "other.example"), "signed by"},
		{"v1 under v2", "hashedrekord", note(v1, "3", "rekor.example"), "under an entry of kind"},
		{"v2 under v1", "intoto", note(v2, "3", "rekor.example"), "under an entry of kind"},
		{"another size", "intoto", note(v1, "4", "rekor.example"), "size 4"},
		{"another root", "intoto", strings.Replace(note(v1, "3", "rekor.example"), "AAAA", "BAAA", 1), "different roots"},
		{"trailing words", "intoto", strings.Replace(note(v1, "3", "rekor.example"), "==\n", "== x\n", 1), ""},
		{"not a note", "intoto", "x", "checkpoint"},
	} {
		e := &entryShape{Kind: kindShape{row.kind, "0.0.2"}, Proof: &proofShape{TreeSize: 3, RootHash: make(octets, 32), Checkpoint: checkpointShape{row.note}}}
		err := e.checkpoint("rekor.example")
		if row.name == "trailing words" {
			if err == nil {
				t.Errorf("%s: accepted", row.name)
			}
			continue
		}
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

func TestParseShapeIsCheap(t *testing.T) {
	t.Parallel()
	genuine := string(publicFile(t, "sigstore.js@2.0.0-provenance.sigstore.json"))
	swap := func(old, new string) string {
		if !strings.Contains(genuine, old) {
			t.Fatalf("the bundle lacks %s", old)
		}
		return strings.Replace(genuine, old, new, 1)
	}
	one := genuine[strings.Index(genuine, `"tlogEntries": [`)+len(`"tlogEntries": [`) : strings.Index(genuine, `"timestampVerificationData"`)]
	one = one[:strings.LastIndex(one, "]")]
	stamps := func(s ...string) string {
		return swap(`"timestampVerificationData": null`, `"timestampVerificationData": {"rfc3161Timestamps": [`+strings.Join(s, ",")+`]}`)
	}
	stamp := `{"signedTimestamp":"AAAA"}`
	for _, row := range []struct {
		name, text string
		want       Code
	}{
		{"genuine", genuine, ""},
		{"one log twice", swap(one, one+","+one), CodeLog},
		{"five timestamps", stamps(stamp, stamp, stamp, stamp, stamp), CodeTime},
		{"four timestamps", stamps(stamp, stamp, stamp, stamp), ""},
		{"an empty timestamp", stamps(stamp, `{}`), CodeTime},
	} {
		_, err := parseShape([]byte(row.text))
		e, _ := err.(*Error)
		if (err == nil) != (row.want == "") || err != nil && e.Code != row.want {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
	var s shape // Rekor v2, and nobody who vouches for the time
	s.Material.Entries = make([]entryShape, 1)
	if err := s.timestamps(); err == nil {
		t.Error("no timestamp and no promise: accepted")
	}
}
