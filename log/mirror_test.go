package log_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/tessera/client"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// mirrorURL returns where a mirror serves the log.
func mirrorURL(l *logtest.Log, w *logtest.Witness) string {
	h := sha256.Sum256([]byte(l.Signer.Name()))
	return w.URL + "/" + hex.EncodeToString(h[:])
}

// mirrored waits until a mirror serves a checkpoint of that size, with its
// cosignature, and has Tessera check all of it.
func mirrored(t *testing.T, l *logtest.Log, w *logtest.Witness, size uint64) {
	t.Helper()
	at := mirrorURL(l, w)
	note := published(t, at, fmt.Sprintf("\n%d\n", size))
	if !bytes.Contains(note, []byte("\n— "+w.Name+".example/witness ")) {
		t.Errorf("no cosignature on %q", note)
	}
	root, err := url.Parse(at + "/")
	if err != nil {
		t.Fatal(err)
	}
	f, err := client.NewHTTPFetcher(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(t, l, f); err != nil {
		t.Errorf("Tessera refuses what %s serves: %v", w.Name, err)
	}
}

// TestMirror has a mirror in the quorum: what a receipt promises, it serves.
func TestMirror(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Mirrors(1), logtest.MLDSA())
	for size := range uint64(3) {
		r := mustAppend(t, l, fmt.Sprint(size))
		c, err := l.Policy.OpenCheckpoint(r.Proof().Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		mirrored(t, l, l.Witnesses[0], c.Checkpoint().Size)
	}
	grow(t, l, 1000)
	mirrored(t, l, l.Witnesses[0], 1003)
	if err := l.Recosign(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Open(t)
	mustAppend(t, l, "after a restart")
	mirrored(t, l, l.Witnesses[0], 1004)
}

// TestMirrorCatchesUp takes a mirror away that the quorum can do without, and
// brings it back after thousands of entries.
func TestMirrorCatchesUp(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Witnesses(2, 1), logtest.Mirrors(1))
	mustAppend(t, l, "before")
	l.Witnesses[0].Down(true)
	grow(t, l, 9000)
	l.Witnesses[0].Down(false)
	mustAppend(t, l, "after") // asks it
	mirrored(t, l, l.Witnesses[0], 9002)
}

// TestSlowMirror has one of two witnesses be a mirror that lies in every way, and
// then one that takes an upload and never answers: the other is the quorum.
func TestSlowMirror(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Witnesses(2, 1), logtest.Mirrors(1))
	m := l.Witnesses[0]
	instead := func(h http.HandlerFunc) {
		m.Replace(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/add-entries" {
				h(w, r)
				return
			}
			m.Serve(w, r)
		}))
	}
	info := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/x.tlog.mirror-info")
			w.WriteHeader(status)
			fmt.Fprint(w, text)
		}
	}
	for rule, h := range map[string]http.HandlerFunc{
		"conflicts":            info(409, "1\n0\n\n"),
		"takes nothing":        info(202, "1\n0\n\n"),
		"claims what we lack":  info(409, "1000000\n999999\n\n"),
		"signs without having": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "— w1.example/witness AAAA\n") },
		"is down":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
	} {
		instead(h)
		if _, err := mustAppend(t, l, rule).Open(l.Policy); err != nil {
			t.Errorf("%s: %v", rule, err)
		}
	}
	enough := make(chan struct{})
	instead(func(http.ResponseWriter, *http.Request) { <-enough })
	for i := range 20 {
		if _, err := mustAppend(t, l, fmt.Sprint(i)).Open(l.Policy); err != nil {
			t.Fatal(err)
		}
	}
	m.Replace(nil)
	close(enough)
	select {
	case <-l.Poisoned():
		t.Error(l.Err())
	default:
	}
	size := l.Size()
	for range 500 {
		if err := l.Recosign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, b := get(t, mirrorURL(l, m)+"/checkpoint"); strings.Contains(string(b), fmt.Sprintf("\n%d\n", size)) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	mirrored(t, l, m, size)
}

// TestMirrorOutsideTheQuorum is told at its own pace.
func TestMirrorOutsideTheQuorum(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Witnesses(2, 2), logtest.Mirrors(1), logtest.With(func(o *log.Options) {
		text, _, _ := strings.Cut(string(o.Policy.Text()), "group ")
		var err error
		if o.Policy, err = proof.ParsePolicy([]byte(text + "quorum w2\n")); err != nil {
			t.Fatal(err)
		}
	}))
	grow(t, l, 300)
	mirrored(t, l, l.Witnesses[0], 300)
	if b := published(t, served(t, l, 300).URL, "— w1.example/witness "); bytes.Count(b, []byte("— w1.example/witness ")) != 1 {
		t.Errorf("published %q", b)
	}
}

func TestOpenRefusesMirrors(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o := l.Options
	o.Mirrors = []string{"w9"}
	if _, err := log.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), `mirror "w9"`) {
		t.Errorf("%v", err)
	}
}
