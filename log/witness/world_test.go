package witness_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"plastron/log/proof"
	"plastron/log/witness"
)

const origin = "log.example.com/gate"

// noon is when the witnesses of these tests sign.
var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A testLog is a log of at most 256 entries that says what it is told to.
type testLog struct {
	signer *proof.Signer
	leaves []proof.Hash
}

// newLog returns a log whose entries are those of every log of this
// test from the first on, but for those after fork.
func newLog(t testing.TB, key ed25519.PrivateKey, fork int) *testLog {
	t.Helper()
	l := &testLog{signer: must(proof.NewLogSigner(origin, key))(t)}
	for i := range 200 {
		e := fmt.Sprintf("entry %d", i)
		if i >= fork {
			e = "another " + e
		}
		l.leaves = append(l.leaves, proof.LeafHash([]byte(e)))
	}
	return l
}

const noFork = 1000

func (l *testLog) ReadTile(_ context.Context, level int, index uint64, width int) ([]byte, error) {
	if level != 0 || index != 0 {
		return nil, errors.New("no such tile")
	}
	var b []byte
	for _, h := range l.leaves[:width] {
		b = append(b, h[:]...)
	}
	return b, nil
}

func (l *testLog) checkpoint(size uint64) proof.Checkpoint {
	r := proof.NewRange()
	for _, h := range l.leaves[:size] {
		r.Append(h, nil)
	}
	return proof.Checkpoint{Origin: origin, Size: size, Root: r.Root()}
}

func (l *testLog) note(t testing.TB, size uint64) []byte {
	t.Helper()
	return must(l.signer.Sign(l.checkpoint(size)))(t)
}

func (l *testLog) consistency(from, to uint64) ([]proof.Hash, error) {
	return proof.Consistency(context.Background(), l, from, to)
}

// body returns an add-checkpoint request written from the specification.
func body(old string, hashes []proof.Hash, note []byte) []byte {
	var b bytes.Buffer
	b.WriteString("old " + old + "\n")
	for _, h := range hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteString("\n")
	b.Write(note)
	return b.Bytes()
}

func (l *testLog) request(t testing.TB, from, to uint64) []byte {
	t.Helper()
	return body(fmt.Sprint(from), must(l.consistency(from, to))(t), l.note(t, to))
}

// A world is a log and a witness that serves it over HTTP.
type world struct {
	key    ed25519.PrivateKey
	log    *testLog
	config witness.Config
	server *witness.Server
	http   *httptest.Server
}

func newWorld(t testing.TB) *world {
	t.Helper()
	key := newKey(t)
	w := &world{key: key, log: newLog(t, key, noFork)}
	w.config = witness.Config{
		Dir:  t.TempDir(),
		Key:  newKey(t),
		Name: "witness.example.com",
		Logs: []witness.LogKey{{Origin: origin, VKey: w.log.signer.VKey()}},
		Now:  func() time.Time { return noon },
	}
	w.start(t)
	t.Cleanup(w.stop)
	return w
}

func (w *world) start(t testing.TB) {
	t.Helper()
	w.server = must(witness.NewServer(w.config))(t)
	w.http = httptest.NewServer(w.server.Handler())
}

func (w *world) stop() {
	w.http.Close()
	w.server.Close()
}

// policy wants the witness at url.
func (w *world) policy(t testing.TB, url string) *proof.Policy {
	t.Helper()
	text := fmt.Sprintf("log %s\nwitness w %s %s\nquorum w\n", w.log.signer.VKey(), w.server.VKey(), url)
	return must(proof.ParsePolicy([]byte(text)))(t)
}

func (w *world) client(t testing.TB, url string) *witness.Client {
	t.Helper()
	p := w.policy(t, url)
	return must(witness.NewClient(p, p.Witnesses()[0], nil))(t)
}

// post sends an add-checkpoint request and returns status, type and body.
func (w *world) post(t testing.TB, b []byte) (int, string, string) {
	t.Helper()
	resp, err := http.Post(w.http.URL+"/add-checkpoint", "", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(must(io.ReadAll(resp.Body))(t))
}

// latest returns the note the witness shows, "" if none.
func (w *world) latest(t testing.TB) string {
	t.Helper()
	// printf log.example.com/gate | sha256sum
	const path = "/53b0a493135e60810db79989a4e2ef7bcd8a9ce99a67093e4cf819792a34b9f3/checkpoint"
	resp, err := http.Get(w.http.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := string(must(io.ReadAll(resp.Body))(t))
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return ""
	case resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8":
		t.Fatalf("latest checkpoint: status %d, %q", resp.StatusCode, resp.Header)
	}
	return b
}

func wantErr(t *testing.T, err, target error, text string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("accepted, want an error that says %q", text)
	case target != nil && !errors.Is(err, target):
		t.Errorf("got error %v, want %v", err, target)
	case !strings.Contains(err.Error(), text):
		t.Errorf("got error %q, want it to say %q", err, text)
	}
}
