package proof_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	formatsnote "github.com/transparency-dev/formats/note"
	formats "github.com/transparency-dev/formats/witness"

	"plastron/log/proof"
)

func TestParsePolicy(t *testing.T) {
	t.Parallel()
	log, a, b, c := newLog(t, origin), newCosigner(t, "a.example"), newCosigner(t, "b.example"), newCosigner(t, "c.example")
	text := "# a comment, and an empty line\n\n \t# an indented one\n" +
		"log\t" + log.VKey() + "  https://log.example.com/gate \n" +
		"witness Ä " + a.VKey() + " https://a.example/w\n" +
		"witness b#1 " + b.VKey() + "\n" +
		"witness any " + c.VKey() + " http://127.0.0.1:1\n" +
		"group g 2 Ä b#1\n" +
		"quorum g\n"
	p, err := proof.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if p.Origin() != origin || p.LogVKey() != log.VKey() || string(p.Text()) != text || p.Unwitnessed() {
		t.Errorf("origin %q, key %q, text %q", p.Origin(), p.LogVKey(), p.Text())
	}
	want := []proof.Witness{
		{Name: "Ä", VKey: a.VKey(), URL: "https://a.example/w", Quorum: true},
		{Name: "b#1", VKey: b.VKey(), Quorum: true},
		{Name: "any", VKey: c.VKey(), URL: "http://127.0.0.1:1"},
	}
	for i, w := range p.Witnesses() {
		if w != want[i] {
			t.Errorf("witness %d: %+v, want %+v", i, w, want[i])
		}
	}
	if len(p.Witnesses()) != len(want) {
		t.Errorf("%d witnesses, want %d", len(p.Witnesses()), len(want))
	}
}

// A line says where it is wrong, and every way to be wrong has its row.
func TestParsePolicyRefuses(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	log := newLog(t, origin)
	a, b := newCosigner(t, "a.example"), newCosigner(t, "b.example")
	sameKey := func(name string) string {
		s, err := proof.NewCosigner(name, key)
		if err != nil {
			t.Fatal(err)
		}
		return s.VKey()
	}
	sameLog, err := proof.NewLogSigner(origin, key)
	if err != nil {
		t.Fatal(err)
	}
	many := func(n int, line string) []string {
		var ls []string
		for i := range n {
			ls = append(ls, fmt.Sprintf(line, i, newCosigner(t, fmt.Sprint("w", i)).VKey()))
		}
		return ls
	}
	groups := many(65, "witness w%d %s")[:64]
	for i := range 65 {
		groups = append(groups, fmt.Sprintf("group g%d all %s", i, map[bool]string{true: fmt.Sprintf("w%d", i), false: "g0"}[i < 64]))
	}
	id := strings.Split(a.VKey(), "+")[1]
	for strings.ToUpper(id) == id { // a digit has no case
		a = newCosigner(t, "a.example")
		id = strings.Split(a.VKey(), "+")[1]
	}
	wLog, wA, wB := "log "+log.VKey(), "witness a "+a.VKey(), "witness b "+b.VKey()
	for _, tt := range []struct {
		rule  string
		lines []string
		says  string
	}{
		{"empty", nil, "no log line"},
		{"no log line", []string{wA, "quorum a"}, "no log line"},
		{"no quorum line", []string{wLog, wA}, "no quorum line"},
		{"two log lines", []string{wLog, "log " + newLog(t, "x.example").VKey(), "quorum none"}, "line 2: second log line"},
		{"two quorum lines", []string{wLog, "quorum none", "quorum none"}, "line 3: second quorum line"},
		{"unknown keyword", []string{wLog, "Quorum none"}, `line 2: unknown keyword "Quorum"`},
		{"trailing comment", []string{wLog, "quorum none # nobody"}, "line 2: want quorum"},
		{"control character", []string{wLog, "quorum\x0bnone"}, "line 2: control character"},
		{"carriage return", []string{wLog + "\r", "quorum none"}, "line 1: control character"},
		{"delete character", []string{wLog, "# \x7f", "quorum none"}, "line 2: control character"},
		{"NUL in a comment", []string{wLog, "# \x00", "quorum none"}, "line 2: control character"},
		{"no-break space does not divide", []string{wLog, "quorum\u00a0none"}, "line 2: unknown keyword"},

		{"log without key", []string{"log", "quorum none"}, "line 1: want log"},
		{"log with more", []string{wLog + " https://x.example y", "quorum none"}, "line 1: want log"},
		{"log key of a witness's type", []string{"log " + a.VKey(), "quorum none"}, "line 1: log: verifier key"},
		{"log url ftp", []string{wLog + " ftp://x.example", "quorum none"}, "line 1: url"},

		{"witness without key", []string{wLog, "witness a", "quorum none"}, "line 2: want witness"},
		{"witness with more", []string{wLog, wA + " https://x.example y", "quorum a"}, "line 2: want witness"},
		{"witness key of a log's type", []string{wLog, "witness a " + newLog(t, "a.example").VKey(), "quorum a"}, "line 2: witness"},
		{"witness key of type 2", []string{wLog, "witness a " + retype(t, a.VKey(), 2), "quorum a"}, "signature type 0x02"},
		{"witness named none", []string{wLog, "witness none " + a.VKey(), "quorum none"}, `line 2: the name "none" is taken`},
		{"one name, two witnesses", []string{wLog, wA, "witness a " + b.VKey(), "quorum a"}, "line 3: \"a\" is defined twice"},
		{"one key, two names", []string{wLog, "witness a " + sameKey("a"), "witness b " + sameKey("b"), "quorum a"}, "line 3: witness \"b\": verifier key"},
		{"one line twice", []string{wLog, wA, wA, "quorum a"}, "in the policy already"},
		{"the log's key as a witness's", []string{"log " + sameLog.VKey(), "witness a " + sameKey("a"), "quorum a"}, "in the policy already"},
		{"more than 64 witnesses", append([]string{wLog}, append(many(65, "witness w%d %s"), "quorum w0")...), "line 66: more than 64 witnesses"},
		{"url relative", []string{wLog, wA + " /add", "quorum a"}, "line 2: url"},
		{"url without host", []string{wLog, wA + " https:///x", "quorum a"}, "no host"},
		{"url opaque", []string{wLog, wA + " https:x", "quorum a"}, "no host"},
		{"url with user", []string{wLog, wA + " https://u:p@x.example", "quorum a"}, "user, query or fragment"},
		{"url with query", []string{wLog, wA + " https://x.example/?", "quorum a"}, "user, query or fragment"},
		{"url with fragment", []string{wLog, wA + " https://x.example/#f", "quorum a"}, "user, query or fragment"},
		{"url unreadable", []string{wLog, wA + " https://x.example/%zz", "quorum a"}, "line 2: url"},

		{"vkey without id", []string{wLog, "witness a a.example", "quorum a"}, "want name+id+key"},
		{"vkey with wrong id", []string{wLog, "witness a " + strings.Replace(a.VKey(), id, "00000000", 1), "quorum a"}, "id is not"},
		{"vkey with upper-case id", []string{wLog, "witness a " + strings.Replace(a.VKey(), id, strings.ToUpper(id), 1), "quorum a"}, "id is not"},
		{"vkey of another name", []string{wLog, "witness a " + strings.Replace(a.VKey(), "a.example", "b.example", 1), "quorum a"}, "id is not"},
		{"vkey with a short key", []string{wLog, "witness a " + a.VKey()[:len(a.VKey())-4], "quorum a"}, "Ed25519 key of 29 bytes"},
		{"vkey without a key", []string{wLog, "witness a a.example+" + id + "+", "quorum a"}, "not canonical base64"},
		{"vkey without a name", []string{wLog, "witness a " + strings.Replace(a.VKey(), "a.example", "", 1), "quorum a"}, "key name"},

		{"group too short", []string{wLog, wA, "group g all", "quorum a"}, "line 3: want group"},
		{"group of an unknown", []string{wLog, wA, "group g all a b", "quorum g"}, `line 3: group "g": "b" is not defined above`},
		{"group of itself", []string{wLog, wA, "group g all a g", "quorum g"}, `"g" is not defined above`},
		{"group of none", []string{wLog, wA, "group g all none", "quorum g"}, "not defined above"},
		{"group before its member", []string{wLog, "group g all a", wA, "quorum g"}, "line 2: group"},
		{"group of one twice", []string{wLog, wA, "group g all a a", "quorum g"}, "is a member already"},
		{"member of two groups", []string{wLog, wA, wB, "group g all a", "group h any a b", "quorum h"}, "line 5: group \"h\": \"a\" is a member already"},
		{"group named as a witness", []string{wLog, wA, "group a all a", "quorum a"}, "defined twice"},
		{"group named none", []string{wLog, wA, "group none all a", "quorum none"}, "is taken"},
		{"threshold 0", []string{wLog, wA, "group g 0 a", "quorum g"}, "would ask for nobody"},
		{"threshold above n", []string{wLog, wA, "group g 2 a", "quorum g"}, "2 is more than 1"},
		{"threshold with leading zero", []string{wLog, wA, "group g 01 a", "quorum g"}, "canonical"},
		{"threshold with sign", []string{wLog, wA, "group g +1 a", "quorum g"}, "decimal"},
		{"threshold of 2^64+1", []string{wLog, wA, "group g 18446744073709551617 a", "quorum g"}, "decimal"},
		{"threshold in capitals", []string{wLog, wA, "group g ALL a", "quorum g"}, "decimal"},
		{"more than 64 groups", append([]string{wLog}, append(groups, "quorum g0")...), "more than 64 groups"},

		{"quorum of nothing", []string{wLog, "quorum"}, "line 2: want quorum"},
		{"quorum of two", []string{wLog, wA, wB, "quorum a b"}, "want quorum"},
		{"quorum of an unknown", []string{wLog, "quorum a"}, "not defined above"},
		{"quorum before its witness", []string{wLog, "quorum a", wA}, "line 2: quorum"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := proof.ParsePolicy([]byte(strings.Join(tt.lines, "\n") + "\n"))
			wantErr(t, err, nil, tt.says)
		})
	}
	t.Run("unterminated", func(t *testing.T) {
		_, err := proof.ParsePolicy([]byte(wLog + "\n" + wA + "\nquorum a"))
		wantErr(t, err, nil, "not terminated")
	})
	t.Run("too long", func(t *testing.T) {
		_, err := proof.ParsePolicy(bytes.Repeat([]byte("\n"), proof.MaxPolicy+1))
		wantErr(t, err, nil, "longer than")
	})
}

// Two keys of one key id: the names are searched for, which is cheap in 32 bits.
func TestParsePolicyRefusesOneID(t *testing.T) {
	t.Parallel()
	vkeys := [2]map[uint32]string{{}, {}}
	keys := [2]ed25519.PublicKey{newKey(t).Public().(ed25519.PublicKey), newKey(t).Public().(ed25519.PublicKey)}
	for n := 0; ; n++ {
		for i, pub := range keys {
			name := fmt.Sprintf("w%d.example", n)
			typed := append([]byte{4}, pub...)
			sum := sha256.Sum256(append([]byte(name+"\n"), typed...))
			id := binary.BigEndian.Uint32(sum[:])
			vkeys[i][id] = fmt.Sprintf("%s+%08x+%s", name, id, base64.StdEncoding.EncodeToString(typed))
			if other, ok := vkeys[1-i][id]; ok {
				_, err := proof.ParsePolicy([]byte("log " + newLog(t, origin).VKey() + "\nwitness a " + vkeys[i][id] + "\nwitness b " + other + "\nquorum a\n"))
				wantErr(t, err, nil, "line 3: witness \"b\": verifier key")
				wantErr(t, err, nil, "its key id is in the policy already")
				return
			}
		}
	}
}

// retype gives a verifier key another signature type.
func retype(t *testing.T, vkey string, alg byte) string {
	t.Helper()
	parts := strings.SplitN(vkey, "+", 3)
	b, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	b[0] = alg
	return parts[0] + "+" + parts[1] + "+" + base64.StdEncoding.EncodeToString(b)
}

// For every set of witnesses, our arithmetic, our verdict on a note and the
// formats library's are one.
func TestQuorumAgainstPeer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, 3)
	var ws []*proof.Signer
	lines := []string{"log " + w.log.VKey()}
	for i := range 5 {
		ws = append(ws, newCosigner(t, fmt.Sprintf("w%d.example", i)))
		lines = append(lines, fmt.Sprintf("witness w%d %s https://w%d.example", i, ws[i].VKey(), i))
	}
	for _, quorum := range []string{
		"quorum none",
		"quorum w3",
		"group g any w0 w1 w2 w3 w4\nquorum g",
		"group g all w0 w1 w2 w3 w4\nquorum g",
		"group g 3 w0 w1 w2 w3 w4\nquorum g",
		"group g 2 w0 w1 w2\ngroup h any w3 w4\ngroup both all g h\nquorum both",
		"group g all w0 w1\ngroup h 1 g w2 w3\nquorum h",
	} {
		text := strings.Join(append(lines, quorum), "\n") + "\n"
		ours := newPolicy(t, strings.TrimSuffix(text, "\n"))
		theirs, err := formats.ParsePolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for set := range 1 << len(ws) {
			heard := map[string]bool{}
			var signers []*proof.Signer
			for i := range ws {
				if set>>i&1 == 1 {
					heard[fmt.Sprintf("w%d", i)] = true
					signers = append(signers, ws[i])
				}
			}
			msg := w.note(t, w.checkpoint(t, 3), signers...)
			want := theirs.Satisfied(msg)
			if got := ours.Satisfied(heard); got != want {
				t.Errorf("%q, %05b: satisfied %v, formats says %v", quorum, set, got, want)
			}
			c, err := ours.OpenCheckpoint(msg)
			if (err == nil) != want {
				t.Errorf("%q, %05b: opened with %v, formats says %v", quorum, set, err, want)
			}
			if err == nil && len(c.Times()) != len(c.Witnesses()) {
				t.Errorf("%q, %05b: %d times, %d witnesses", quorum, set, len(c.Times()), len(c.Witnesses()))
			}
		}
	}
}

// The formats library reads what we read, where each witness has a URL: the
// same keys, under the names of the URLs.
func TestParsePolicyAgainstPeer(t *testing.T) {
	t.Parallel()
	for _, text := range policySeeds(t) {
		p, err := proof.ParsePolicy([]byte(text))
		if err != nil {
			continue
		}
		comparePolicy(t, p)
	}
}

func comparePolicy(t *testing.T, p *proof.Policy) {
	t.Helper()
	want := map[string]bool{}
	for _, w := range p.Witnesses() {
		if w.URL == "" {
			return // theirs demands one
		}
		if w.Quorum {
			want[w.VKey] = true
		}
	}
	theirs, err := formats.ParsePolicy(p.Text())
	if err != nil {
		// Theirs also cuts comments anywhere, bans keywords as names, and
		// divides lines at any Unicode space.
		return
	}
	got := map[string]bool{}
	for _, v := range theirs.Endpoints() {
		for vkey := range want {
			peer, err := formatsnote.NewVerifierForCosignatureV1(vkey)
			if err == nil && peer.Name() == v.Name() && peer.KeyHash() == v.KeyHash() {
				got[vkey] = true
			}
		}
	}
	if len(theirs.Endpoints()) == len(want) && !maps.Equal(got, want) {
		t.Errorf("policy %q: quorum of %v, formats says %v", p.Text(), want, got)
	}
}

func policySeeds(t testing.TB) []string {
	log, a, b := newLog(t, origin), newCosigner(t, "a.example"), newCosigner(t, "b.example")
	_, pq, err := formatsnote.GenerateMLDSAKey("pq.example")
	if err != nil {
		t.Fatal(err)
	}
	return []string{
		"log " + log.VKey() + "\nquorum none\n",
		"log " + log.VKey() + " https://l.example\nwitness a " + a.VKey() + " https://a.example\nquorum a\n",
		"log " + log.VKey() + "\nwitness a " + a.VKey() + " https://a.example\nwitness b " + b.VKey() + " https://b.example\ngroup g 1 a b\nquorum g\n",
		"#\nwitness q " + pq + " https://q.example\nlog " + log.VKey() + "\ngroup all all q\nquorum all\n",
		"quorum none\n",
		"group g 0\nquorum g\n",
	}
}

var lineOfError = regexp.MustCompile(`^log policy( line [0-9]+:|:| of)`)

func FuzzParsePolicy(f *testing.F) {
	for _, s := range policySeeds(f) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := proof.ParsePolicy(text)
		if err != nil {
			if !lineOfError.MatchString(err.Error()) {
				t.Errorf("error %q names no line", err)
			}
			return
		}
		heard := map[string]bool{}
		keys := map[string]bool{}
		for _, w := range p.Witnesses() {
			heard[w.Name] = w.Quorum
			keys[w.VKey] = true
		}
		switch {
		case p.Origin() == "" || p.LogVKey() == "" || !bytes.Equal(p.Text(), text):
			t.Errorf("policy %q lost its log or text", text)
		case len(keys) != len(p.Witnesses()):
			t.Errorf("policy %q counts a key twice", text)
		case !p.Satisfied(heard):
			t.Errorf("policy %q is not met by its whole quorum", text)
		case p.Satisfied(nil) != p.Unwitnessed():
			t.Errorf("policy %q is met by nobody", text)
		}
		comparePolicy(t, p)
	})
}
