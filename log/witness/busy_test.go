package witness_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plastron/log/proof"
	"plastron/log/witness"
)

// A slowKey takes its time over one log's checkpoints.
type slowKey struct {
	ed25519.PrivateKey
	slow string // origin
	wait chan struct{}
}

func (k slowKey) Sign(r io.Reader, m []byte, o crypto.SignerOpts) ([]byte, error) {
	if bytes.Contains(m, []byte(k.slow+"\n")) {
		<-k.wait
	}
	return k.PrivateKey.Sign(r, m, o)
}

// otherLog returns a log of another origin, and a request about its first
// entries.
func otherLog(t *testing.T) (witness.LogKey, []byte) {
	t.Helper()
	s := must(proof.NewLogSigner("other.example", newKey(t)))(t)
	tree := proof.NewRange()
	tree.Append(proof.LeafHash([]byte("one")), nil)
	note := must(s.Sign(proof.Checkpoint{Origin: s.Name(), Size: 1, Root: tree.Root()}))(t)
	return witness.LogKey{Origin: s.Name(), VKey: s.VKey()}, body("0", nil, note)
}

// A log whose requests take long, and come in crowds, stands in no other's way;
// what was cosigned is shown meanwhile.
func TestOneLogBlocksNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if status, _, b := w.post(t, w.log.request(t, 0, 5)); status != http.StatusOK {
		t.Fatal(b)
	}
	before := w.latest(t)
	w.stop()
	key, other := otherLog(t)
	w.config.Logs = append(w.config.Logs, key)
	synctest.Test(t, func(t *testing.T) {
		wait := make(chan struct{})
		c := w.config
		c.Key = slowKey{c.Key.(ed25519.PrivateKey), origin, wait}
		s := must(witness.NewServer(c))(t)
		h := s.Handler()
		post := func(b []byte) (int, http.Header) {
			r := httptest.NewRecorder()
			h.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/add-checkpoint", bytes.NewReader(b)))
			return r.Code, r.Header()
		}
		var wg sync.WaitGroup
		var mu sync.Mutex // guards got
		got := map[int]int{}
		slow := w.log.request(t, 5, 9)
		for range 20 {
			wg.Go(func() {
				status, h := post(slow)
				if status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
					t.Error("503 says nothing of when to retry")
				}
				mu.Lock()
				got[status]++
				mu.Unlock()
			})
		}
		synctest.Wait()
		if status, _ := post(other); status != http.StatusOK {
			t.Errorf("the other log: status %d", status)
		}
		r := httptest.NewRecorder()
		h.ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/53b0a493135e60810db79989a4e2ef7bcd8a9ce99a67093e4cf819792a34b9f3/checkpoint", nil))
		if r.Body.String() != before {
			t.Errorf("shows %q", r.Body)
		}
		time.Sleep(witness.Timeout + time.Second) // who waited has given up
		close(wait)
		wg.Wait()
		if got[http.StatusOK] != 1 || got[http.StatusServiceUnavailable] != 19 {
			t.Errorf("answers %v, want one 200 and the rest 503", got)
		}
		s.Close()
	})
	w.start(t)
}

// More requests than there is room for are refused before they are read.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.server.Handler()
	var wg sync.WaitGroup
	var bodies []*io.PipeWriter
	for range 64 {
		r, b := io.Pipe()
		bodies = append(bodies, b)
		wg.Go(func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/add-checkpoint", r))
		})
		if _, err := b.Write([]byte("o")); err != nil { // it is being read
			t.Fatal(err)
		}
	}
	if status, _, b := w.post(t, w.log.request(t, 0, 5)); status != http.StatusServiceUnavailable || b != "too many requests\n" {
		t.Errorf("status %d %q", status, b)
	}
	for _, b := range bodies {
		b.Close()
	}
	wg.Wait()
	if status, _, b := w.post(t, w.log.request(t, 0, 5)); status != http.StatusOK {
		t.Errorf("afterwards: status %d %q", status, b)
	}
}

// exposed matches the text format, line by line.
var exposed = regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z]+="([^"\\]|\\.)*",?)+\})? -?[0-9.e+-]+)$`)

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(t, w.log.request(t, 0, 5))
	w.post(t, w.log.request(t, 5, 9))
	w.post(t, w.log.request(t, 5, 9))
	w.post(t, []byte("nonsense"))
	_, unknown := otherLog(t)
	w.post(t, unknown)
	r := httptest.NewRecorder()
	w.server.Metrics().ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if r.Header().Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("type %q", r.Header())
	}
	text := r.Body.String()
	for line := range strings.Lines(text) {
		if !exposed.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("malformed: %q", line)
		}
	}
	for _, want := range []string{
		`plastron_witness_requests_total{endpoint="add-checkpoint",log="log.example.com/gate",code="200"} 2`,
		`plastron_witness_requests_total{endpoint="add-checkpoint",log="log.example.com/gate",code="409"} 1`,
		`plastron_witness_requests_total{endpoint="add-checkpoint",log="",code="400"} 1`,
		`plastron_witness_requests_total{endpoint="add-checkpoint",log="",code="404"} 1`,
		`plastron_witness_size{log="log.example.com/gate"} 9`,
		`plastron_witness_taken_timestamp_seconds{log="log.example.com/gate"} 1795608000`,
		`plastron_witness_stopped{log="log.example.com/gate"} 0`,
		`plastron_witness_write_seconds_count 2`,
		`plastron_witness_requests_in_flight 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "other.example") {
		t.Error("a stranger chose a label")
	}
}
