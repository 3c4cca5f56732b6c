package log_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	formatsnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// published waits until what is published holds a text.
func published(t *testing.T, url, text string) []byte {
	t.Helper()
	for range 500 {
		if _, _, b := get(t, url+"/checkpoint"); strings.Contains(string(b), text) {
			return b
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nothing is published that says %q", text)
	return nil
}

// TestMLDSA publishes checkpoints with the log's second signature and the second
// keys' cosignatures; what is released to appenders, written to the segments and
// to the lock has none of the log's.
func TestMLDSA(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.MLDSA())
	r := mustAppend(t, l, "one")
	own := "— log.example/test "
	if n := strings.Count(string(r.Proof().Checkpoint), own); n != 1 {
		t.Errorf("%d lines by the log in a receipt", n)
	}
	c, err := l.Policy.OpenPublished(published(t, served(t, l, 1).URL, "\n1\n"))
	if err != nil || len(c.Witnesses()) != 1 {
		t.Fatal(err)
	}
	for _, vkey := range []string{l.Options.MLDSA.VKey(), l.Witnesses[0].PQ} {
		v, err := formatsnote.NewMLDSAVerifier(vkey)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := note.Open(c.Note(), note.VerifierList(v)); err != nil || len(n.Sigs) != 1 {
			t.Errorf("formats refuses the line by %.40s…: %v", vkey, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	second := "" // how the line of the ML-DSA key begins
	for line := range strings.Lines(string(c.Note())) {
		if strings.HasPrefix(line, own) && len(line) > 3000 {
			second = line[:len(own)+5]
		}
	}
	if second == "" {
		t.Fatalf("no ML-DSA line by the log in %q", c.Note())
	}
	for _, path := range []string{filepath.Join(l.Options.Dir, "segments", "00000000"), filepath.Join(l.Options.Lock, "checkpoint")} {
		b, err := os.ReadFile(path)
		if err != nil || bytes.Contains(b, []byte(second)) {
			t.Errorf("%s holds an ML-DSA signature, or: %v", path, err)
		}
	}
	// Opened again, what is published has each line once.
	l.Open(t)
	again, err := l.Policy.OpenPublished(published(t, served(t, l, 1).URL, "\n1\n"))
	if err != nil || strings.Count(string(again.Note()), own) != 2 {
		t.Errorf("after a restart: %v, %q", err, again.Note())
	}
	mustAppend(t, l, "two")
	if _, err := l.Policy.OpenPublished(published(t, served(t, l, 2).URL, "\n2\n")); err != nil {
		t.Error(err)
	}
}

func TestOpenRefusesMLDSA(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.MLDSA())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	other := logtest.New(t, logtest.MLDSA())
	for rule, change := range map[string]func(*log.Options){
		"no signer":         func(o *log.Options) { o.MLDSA = nil },
		"another signer":    func(o *log.Options) { o.MLDSA = other.Options.MLDSA },
		"the first signer":  func(o *log.Options) { o.MLDSA = o.Signer },
		"not in the policy": func(o *log.Options) { o.Policy = logtest.Policy(t, o.Signer, 1, l.Witnesses...) },
	} {
		o := l.Options
		change(&o)
		if opened, err := log.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "ML-DSA") {
			t.Errorf("%s: %v", rule, err)
			if err == nil {
				opened.Close()
			}
		}
	}
}

// mixed opens a log of two witnesses with a quorum line of the test's own.
func mixed(t *testing.T, quorum string) *logtest.Log {
	t.Helper()
	return logtest.New(t, logtest.Witnesses(2, 2), logtest.MLDSA(), logtest.With(func(o *log.Options) {
		text, _, _ := strings.Cut(string(o.Policy.Text()), "group ")
		p, err := proof.ParsePolicy([]byte(text + quorum))
		if err != nil {
			t.Fatal(err)
		}
		o.Policy = p
	}))
}

// TestMLDSAInTheQuorum has ML-DSA keys in the quorum: where the Ed25519 keys can
// meet it, nothing is released before they do, since an SVID carries no other.
func TestMLDSAInTheQuorum(t *testing.T) {
	t.Parallel()
	l := mixed(t, "group g 2 w1 w1-mldsa w2\nquorum g\n")
	leaf := proof.LeafHash([]byte("one"))
	r := mustAppend(t, l, "one")
	compact, err := r.Proof().Compact(l.Options.Policy)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := proof.ParseCompact(compact, l.Options.Policy, leaf); err != nil || len(compact) > 500 {
		t.Errorf("%d bytes, %v, %v", len(compact), p, err)
	}
	l.Witnesses[1].Down(true)
	if _, err := l.Append(t.Context(), []byte("two"), free); err == nil {
		t.Error("two keys of one witness were a quorum")
	}
	l.Witnesses[1].Down(false)
	if _, err := l.Receipt(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

// TestMLDSAQuorum has a quorum that only ML-DSA keys can meet: nothing could be
// minted from such a log, but it can be kept.
func TestMLDSAQuorum(t *testing.T) {
	t.Parallel()
	l := mixed(t, "group g all w1-mldsa w2-mldsa\nquorum g\n")
	r := mustAppend(t, l, "one")
	if _, err := r.Open(l.Options.Policy); err != nil {
		t.Error(err)
	}
	if _, err := r.Proof().Compact(l.Options.Policy); err == nil {
		t.Error("compact")
	}
}

// TestOneRequestAtATime counts what a witness with two keys, both waited for,
// has to answer at once, while many append.
func TestOneRequestAtATime(t *testing.T) {
	t.Parallel()
	l := mixed(t, "group g all w1 w1-mldsa\nquorum g\n")
	for _, w := range l.Witnesses {
		var mu sync.Mutex // guards now and most
		now, most := 0, 0
		w.Replace(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			w.Serve(rw, r)
			mu.Lock()
			now--
			mu.Unlock()
		}))
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			if most != 1 {
				t.Errorf("%d requests at once to %s, want 1", most, w.Name)
			}
		}()
	}
	grow(t, l, 300)
	served(t, l, 300)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
