package witness_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	formatsnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"plastron/log/proof"
	"plastron/log/witness"
)

func TestServerCosigns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.latest(t); got != "" {
		t.Errorf("a witness that never cosigned shows %q", got)
	}
	// From nothing, onward, and the same size once more.
	for _, step := range [][2]uint64{{0, 3}, {3, 5}, {5, 5}, {5, 130}} {
		status, _, line := w.post(t, w.log.request(t, step[0], step[1]))
		if status != http.StatusOK {
			t.Fatalf("%v: status %d: %s", step, status, line)
		}
		_, at, err := proof.OpenCosignature(w.log.checkpoint(step[1]), []byte(line), w.server.VKey())
		if err != nil || !at.Equal(noon) {
			t.Fatalf("%v: cosigned at %v, %v", step, at, err)
		}
		want := string(w.log.note(t, step[1])) + line
		if got := w.latest(t); got != want {
			t.Errorf("%v: shows %q, want %q", step, got, want)
		}
	}
	peer := must(formatsnote.NewVerifierForCosignatureV1(w.server.VKey()))(t)
	if n, err := note.Open([]byte(w.latest(t)), note.VerifierList(peer)); err != nil || len(n.Sigs) != 1 {
		t.Errorf("formats refuses the cosignature: %v", err)
	}
}

// What a witness keeps has the log's line and its own, whatever else was on
// the note it was asked to cosign.
func TestServerKeepsNoForeignLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	status, _, first := w.post(t, w.log.request(t, 0, 3))
	if status != http.StatusOK {
		t.Fatal(first)
	}
	stranger := must(proof.NewCosigner("stranger.example", newKey(t)))(t)
	bare := w.log.note(t, 3)
	noisy := append(append(bytes.Clone(bare), first...), must(stranger.Cosign(bare, noon))(t)...)
	status, _, line := w.post(t, body("3", nil, noisy))
	if status != http.StatusOK {
		t.Fatal(line)
	}
	if got, want := w.latest(t), string(bare)+line; got != want {
		t.Errorf("shows %q, want %q", got, want)
	}
}

// Every refusal, in the order of the specification; none changes the state.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if status, _, b := w.post(t, w.log.request(t, 0, 50)); status != http.StatusOK {
		t.Fatal(b)
	}
	before := w.latest(t)
	fork := newLog(t, w.key, 40)
	stranger := newLog(t, newKey(t), noFork)
	hs := must(w.log.consistency(50, 99))(t)
	note99 := w.log.note(t, 99)
	flipped := append([]proof.Hash{}, hs...)
	flipped[1][7] ^= 1
	good := string(w.log.request(t, 50, 99))
	edit := func(old, new string) []byte { return []byte(strings.Replace(good, old, new, 1)) }
	otherOrigin := must(must(proof.NewLogSigner("other.example", w.key))(t).Sign(proof.Checkpoint{Origin: "other.example", Size: 99}))(t)
	root := w.log.checkpoint(99).Root
	spoilt := bytes.Clone(note99)
	swap := map[bool]byte{true: 'B', false: 'A'} // a base64 digit within the signature
	spoilt[len(spoilt)-8] = swap[spoilt[len(spoilt)-8] == 'A']
	unsigned := []byte(w.log.checkpoint(99).Text() + "\n— nobody.example AAAAAAAA\n")
	for _, tt := range []struct {
		rule   string
		body   []byte
		status int
	}{
		{"too long", append([]byte(good), bytes.Repeat([]byte("x"), witness.MaxRequest)...), 413},
		{"empty", nil, 400},
		{"no old line", edit("old 50\n", ""), 400},
		{"old in capitals", edit("old 50", "Old 50"), 400},
		{"old with leading zero", edit("old 50", "old 050"), 400},
		{"old with sign", edit("old 50", "old +50"), 400},
		{"old negative", edit("old 50", "old -50"), 400},
		{"old with two spaces", edit("old 50", "old  50"), 400},
		{"old past 2^63-1", edit("old 50", "old 9223372036854775808"), 400},
		{"old with carriage return", edit("old 50\n", "old 50\r\n"), 400},
		{"no empty line", edit("\n\n", "\n"), 400},
		{"hash not base64", edit("old 50\n", "old 50\n!\n"), 400},
		{"hash of 31 bytes", edit("old 50\n", "old 50\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n"), 400},
		{"hash with spare bits", edit("old 50\n", "old 50\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n"), 400},
		{"64 hashes", body("50", make([]proof.Hash, 64), note99), 400},
		{"no note", body("50", hs, nil), 404},
		{"note cut", body("50", hs, note99[:len(note99)-1]), 400},
		{"log's line twice", body("50", hs, append(bytes.Clone(note99), note99[len(w.log.checkpoint(99).Text())+1:]...)), 400},

		{"unknown origin", body("50", hs, otherOrigin), 404},
		{"unknown origin before old > size", body("100", nil, otherOrigin), 404},

		{"unsigned", body("50", hs, unsigned), 403},
		{"signed by another key of the name", body("50", hs, stranger.note(t, 99)), 403},
		{"signature of another checkpoint", body("50", hs, spoilt), 403},
		{"extension line", edit("\n\n— ", "\nextra\n\n— "), 403},
		{"unsigned before old > size", body("100", nil, unsigned), 403},

		{"old > size", body("100", hs, note99), 400},
		{"old > size before conflict", body("51", nil, w.log.note(t, 50)), 400},

		{"old behind", w.log.request(t, 49, 99), 409},
		{"old ahead", w.log.request(t, 51, 99), 409},
		{"old 0", body("0", nil, note99), 409},
		{"conflict before a wrong proof", body("49", nil, note99), 409},
		{"rolled back", w.log.request(t, 49, 49), 409},

		{"no proof", body("50", nil, note99), 422},
		{"flipped proof", body("50", flipped, note99), 422},
		{"surplus hash", body("50", append(append([]proof.Hash{}, hs...), root), note99), 422},
		{"missing hash", body("50", hs[1:], note99), 422},
		{"same size, another root", body("50", nil, fork.note(t, 50)), 422},
		{"same size, a proof", body("50", []proof.Hash{root}, w.log.note(t, 50)), 422},
		{"forked, with its own proof", fork.request(t, 50, 99), 422},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			status, contentType, b := w.post(t, tt.body)
			if status != tt.status {
				t.Errorf("status %d %q, want %d", status, b, tt.status)
			}
			if status == http.StatusConflict && (contentType != "text/x.tlog.size" || b != "50\n") {
				t.Errorf("conflict says %q of type %q", b, contentType)
			}
			if got := w.latest(t); got != before {
				t.Errorf("the state changed to %q", got)
			}
		})
	}
	if status, _, b := w.post(t, []byte(good)); status != http.StatusOK {
		t.Errorf("unspoilt: status %d %q", status, b)
	}
}

func TestServerRefusesFromNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wrongEmpty := must(w.log.signer.Sign(proof.Checkpoint{Origin: origin, Size: 0}))(t)
	for _, tt := range []struct {
		rule   string
		body   []byte
		status int
	}{
		{"size 0 with the zero hash", body("0", nil, wrongEmpty), 422},
		{"a proof from nothing", body("0", []proof.Hash{{}}, w.log.note(t, 3)), 422},
		{"old of a log never seen", w.log.request(t, 2, 3), 409},
		{"size 0", body("0", nil, w.log.note(t, 0)), 200},
		{"size 3", body("0", nil, w.log.note(t, 3)), 200},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if status, _, b := w.post(t, tt.body); status != tt.status {
				t.Errorf("status %d %q, want %d", status, b, tt.status)
			}
		})
	}
}

func TestServerMethods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, want := range map[string]int{
		"/add-checkpoint": http.StatusMethodNotAllowed,
		"/":               http.StatusNotFound,
		"/checkpoint":     http.StatusNotFound,
		"/" + strings.Repeat("0", 64) + "/checkpoint": http.StatusNotFound,
	} {
		resp, err := http.Get(w.http.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: status %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// A witness without a clock cosigns nothing.
func TestServerWithoutTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	w.config.Now = func() time.Time { return time.Unix(0, 0) }
	w.start(t)
	if status, _, b := w.post(t, w.log.request(t, 0, 3)); status != http.StatusInternalServerError {
		t.Errorf("status %d %q", status, b)
	}
	if got := w.latest(t); got != "" {
		t.Errorf("shows %q", got)
	}
}

func TestServerRemembers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if status, _, b := w.post(t, w.log.request(t, 0, 9)); status != http.StatusOK {
		t.Fatal(b)
	}
	before := w.latest(t)
	w.stop()
	// A crash before the rename leaves half a file beside the state.
	state := stateFile(t, w)
	if err := os.WriteFile(state+".tmp", []byte(before[:20]), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start(t)
	if got := w.latest(t); got != before {
		t.Errorf("shows %q, want %q", got, before)
	}
	if status, _, b := w.post(t, w.log.request(t, 0, 12)); status != http.StatusConflict || b != "9\n" {
		t.Errorf("from nothing: status %d %q", status, b)
	}
	if status, _, b := w.post(t, w.log.request(t, 9, 12)); status != http.StatusOK {
		t.Errorf("from 9: status %d %q", status, b)
	}
}

// stateFile returns the one file of the witness's that is a state.
func stateFile(t *testing.T, w *world) string {
	t.Helper()
	files := must(filepath.Glob(filepath.Join(w.config.Dir, strings.Repeat("[0-9a-f]", 64))))(t)
	if len(files) != 1 {
		t.Fatalf("state files %q, want one", files)
	}
	return files[0]
}

func TestNewServerRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if status, _, b := w.post(t, w.log.request(t, 0, 9)); status != http.StatusOK {
		t.Fatal(b)
	}
	second := w.config
	_, err := witness.NewServer(second)
	wantErr(t, err, nil, "another witness's")
	w.stop()
	state := stateFile(t, w)
	good := must(os.ReadFile(state))(t)
	stranger := newLog(t, newKey(t), noFork)
	for _, tt := range []struct {
		rule  string
		spoil func(c *witness.Config)
		says  string
	}{
		{"no key", func(c *witness.Config) { c.Key = nil }, "no key"},
		{"no name", func(c *witness.Config) { c.Name = "" }, "key name"},
		{"log twice", func(c *witness.Config) { c.Logs = append(c.Logs, c.Logs[0]) }, "named twice"},
		{"origin is not the key's name", func(c *witness.Config) { c.Logs[0].Origin = "x.example" }, "the key's name"},
		{"log key unreadable", func(c *witness.Config) { c.Logs[0].VKey = "x" }, "want name+id+key"},
		{"log key with a line of its own", func(c *witness.Config) { c.Logs[0].VKey += "\nquorum none\n#" }, "second quorum line"},
		{"directory is a file", func(c *witness.Config) { c.Dir = state }, ""},
		{"empty state", func(*witness.Config) { os.WriteFile(state, nil, 0o600) }, "state"},
		{"state cut", func(*witness.Config) { os.WriteFile(state, good[:len(good)-9], 0o600) }, "state"},
		{"state of another log", func(*witness.Config) { os.WriteFile(state, stranger.note(t, 9), 0o600) }, "state"},
		{"state with another root", func(*witness.Config) {
			os.WriteFile(state, bytes.Replace(good, []byte("\n9\n"), []byte("\n8\n"), 1), 0o600)
		}, "state"},
		{"state unreadable", func(*witness.Config) { os.Remove(state); os.Mkdir(state, 0o700) }, "directory"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			defer func() { os.Remove(state); os.WriteFile(state, good, 0o600) }()
			c := w.config
			c.Logs = append([]witness.LogKey{}, c.Logs...)
			tt.spoil(&c)
			s, err := witness.NewServer(c)
			if err == nil {
				s.Close()
			}
			wantErr(t, err, nil, tt.says)
		})
	}
	w.start(t) // none of them left the directory locked
}

// A failed write ends cosigning until the state is read again: nobody knows
// what the disk holds.
func TestServerStopsWhenItsDiskFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if status, _, b := w.post(t, w.log.request(t, 0, 9)); status != http.StatusOK {
		t.Fatal(b)
	}
	before := w.latest(t)
	obstacle := stateFile(t, w) + ".tmp"
	if err := os.Mkdir(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if status, _, b := w.post(t, w.log.request(t, 9, 12)); status != http.StatusInternalServerError || strings.Contains(b, w.config.Dir) {
			t.Errorf("status %d %q", status, b)
		}
		if err := os.RemoveAll(obstacle); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.latest(t); got != before {
		t.Errorf("shows %q", got)
	}
	w.stop()
	w.start(t)
	if status, _, b := w.post(t, w.log.request(t, 9, 12)); status != http.StatusOK {
		t.Errorf("started again: status %d %q", status, b)
	}
}

func TestServerClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.Close()
	if status, _, b := w.post(t, w.log.request(t, 0, 9)); status != http.StatusServiceUnavailable {
		t.Errorf("status %d %q", status, b)
	}
}

// Of many that extend the same size one wins; the others hear where it led.
func TestServerComparesAndPersistsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for round := range uint64(4) {
		from := round * 20
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range uint64(8) {
			b := w.log.request(t, from, from+13+i)
			wg.Go(func() {
				switch status, _, says := w.post(t, b); status {
				case http.StatusOK:
					won.Add(1)
				case http.StatusConflict:
				default:
					t.Errorf("status %d %q", status, says)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d cosigned from size %d, want 1", won.Load(), from)
		}
		c := must(w.policy(t, w.http.URL).OpenSigned([]byte(w.latest(t))))(t)
		if status, _, b := w.post(t, w.log.request(t, c.Size, from+20)); status != http.StatusOK {
			t.Fatalf("onward from %d: %d %q", c.Size, status, b)
		}
	}
}

// Whatever is asked, in whatever order, over any restart: the witness never
// cosigns two checkpoints of which one does not extend the other.
func TestServerNeverForks(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	logs := []*testLog{newLog(t, key, noFork), newLog(t, key, 5), newLog(t, key, 11)}
	config := witness.Config{Key: newKey(t), Name: "witness.example.com", Logs: []witness.LogKey{{Origin: origin, VKey: logs[0].signer.VKey()}}}
	rapid.Check(t, func(rt *rapid.T) {
		config.Dir = t.TempDir()
		s := must(witness.NewServer(config))(t)
		defer func() { s.Close() }()
		last, followed := uint64(0), -1 // size, and index in logs
		for range rapid.IntRange(1, 10).Draw(rt, "requests") {
			l := rapid.IntRange(0, len(logs)-1).Draw(rt, "log")
			to := rapid.Uint64Range(0, 20).Draw(rt, "to")
			from := rapid.OneOf(rapid.Just(last), rapid.Uint64Range(0, 20)).Draw(rt, "from")
			if from > to {
				from, to = to, from
			}
			want := http.StatusConflict
			if from == last {
				want = http.StatusUnprocessableEntity
				if followed < 0 || logs[followed].checkpoint(last) == logs[l].checkpoint(last) {
					want = http.StatusOK
				}
			}
			r := httptest.NewRecorder()
			s.Handler().ServeHTTP(r, httptest.NewRequest("POST", "/add-checkpoint", bytes.NewReader(logs[l].request(t, from, to))))
			if r.Code != want {
				rt.Fatalf("log %d from %d to %d, witness at %d of log %d: status %d %q, want %d", l, from, to, last, followed, r.Code, r.Body, want)
			}
			if want == http.StatusOK {
				last, followed = to, l
			}
			if rapid.Bool().Draw(rt, "restart") {
				s.Close()
				s = must(witness.NewServer(config))(t)
			}
		}
	})
}
