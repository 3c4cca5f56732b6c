package log_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"plastron/log/logtest"
	"plastron/log/witness"
)

// A watcher is the one witness of a history, and no network. It does not lose
// power when the log does.
type watcher struct {
	name, vkey string
	key        ed25519.PrivateKey
	via        http.RoundTripper // how the log's client gets there
}

// watch has the checkpoints of a new history cosigned.
func (h *history) watch(t *testing.T) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h.witness = &watcher{name: "w1.example/witness", key: key}
	s := h.server(t)
	h.witness.vkey = s.VKey()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	h.policy = logtest.Policy(t, h.signer, 1, &logtest.Witness{Name: "w1", VKey: h.witness.vkey, URL: "http://w1.example"})
}

// server returns a witness that has cosigned what the promises say it has.
func (h *history) server(t *testing.T) *witness.Server {
	t.Helper()
	s, err := witness.NewServer(witness.Config{
		Dir: t.TempDir(), Key: h.witness.key, Name: h.witness.name,
		Logs: []witness.LogKey{{Origin: h.signer.Name(), VKey: h.signer.VKey()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if h.cosigned == nil {
		return s
	}
	body := append([]byte("old 0\n\n"), h.cosigned...)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/add-checkpoint", bytes.NewReader(body)))
	if w.Code != http.StatusOK {
		t.Fatalf("a new witness: %d %s", w.Code, w.Body)
	}
	return s
}

// clients returns the client of the history's witness; nil: it has none.
func (h *history) clients() []*witness.Client {
	if h.witness == nil {
		return nil
	}
	c, err := witness.NewClient(h.policy, h.policy.Witnesses()[0], &http.Client{Transport: h.witness.via})
	if err != nil {
		h.t.Fatal(err)
	}
	return []*witness.Client{c}
}

// asked is the way to a witness, and takes note of what it is asked and of what
// it has cosigned.
type asked struct {
	h *history
	s *witness.Server
}

func (a asked) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.Method == "GET" {
		a.s.Handler().ServeHTTP(w, r)
		return w.Result(), nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_, note, _ := bytes.Cut(body, []byte("\n\n"))
	a.h.saw(note)
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	if a.s.Handler().ServeHTTP(w, r); w.Code == http.StatusOK {
		a.h.mu.Lock()
		a.h.promised(promise{cosigned: note})
		a.h.mu.Unlock()
	}
	return w.Result(), nil
}

// shown is a witness that shows what it cosigned last and cosigns nothing more.
type shown struct{ note []byte }

func (s shown) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	switch {
	case r.Method != "GET":
		w.WriteHeader(http.StatusServiceUnavailable)
	case s.note == nil:
		w.WriteHeader(http.StatusNotFound)
	default:
		w.Write(s.note)
	}
	return w.Result(), nil
}
