package witness_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plastron/log/proof"
	"plastron/log/witness"
)

func TestClientCosign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t, w.http.URL+"/")
	policy := w.policy(t, w.http.URL)
	for _, size := range []uint64{0, 3, 3, 70, 180} {
		signed := w.log.note(t, size)
		lines, err := c.Cosign(t.Context(), 0, w.log.consistency, signed)
		if err != nil {
			t.Fatal(err)
		}
		line := lines[0].Line
		opened, err := policy.OpenCheckpoint(append(signed, line...))
		if err != nil || opened.Checkpoint().Size != size || len(opened.Times()) != 1 {
			t.Fatalf("size %d: %v", size, err)
		}
		held, note, err := c.Latest(t.Context())
		if err != nil || held != size || !bytes.HasSuffix(note, line) {
			t.Errorf("size %d: latest is %d, %v", size, held, err)
		}
	}
}

// A recorder counts what reaches a handler.
type recorder struct {
	http.Handler
	mu     sync.Mutex // guards posts
	posts  []string   // first lines
	now    atomic.Int32
	atOnce atomic.Int32
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if n := r.now.Add(1); n > r.atOnce.Load() {
		r.atOnce.Store(n)
	}
	defer r.now.Add(-1)
	if req.Method == http.MethodPost {
		b, _ := io.ReadAll(req.Body)
		first, _, _ := strings.Cut(string(b), "\n")
		r.mu.Lock()
		r.posts = append(r.posts, first)
		r.mu.Unlock()
		req.Body = io.NopCloser(bytes.NewReader(b))
	}
	r.Handler.ServeHTTP(w, req)
}

// The client remembers where the witness is, and asks again from there once.
func TestClientLearnsTheSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if status, _, b := w.post(t, w.log.request(t, 0, 40)); status != http.StatusOK {
		t.Fatal(b)
	}
	r := &recorder{Handler: w.server.Handler()}
	front := httptest.NewServer(r)
	defer front.Close()
	c := w.client(t, front.URL)
	for _, step := range []struct{ old, size uint64 }{{0, 60}, {0, 60}, {7, 70}} {
		if _, err := c.Cosign(t.Context(), step.old, w.log.consistency, w.log.note(t, step.size)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := strings.Join(r.posts, ", "), "old 0, old 40, old 60, old 60"; got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	// A guess beyond the checkpoint asks no more than the checkpoint has.
	c = w.client(t, front.URL)
	if _, err := c.Cosign(t.Context(), 1000, w.log.consistency, w.log.note(t, 75)); err != nil {
		t.Error(err)
	}
}

func TestClientKeepsOneConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := &recorder{Handler: w.server.Handler()}
	front := httptest.NewUnstartedServer(r)
	var conns atomic.Int32
	front.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	front.Start()
	defer front.Close()
	c := w.client(t, front.URL)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := c.Cosign(context.Background(), 0, w.log.consistency, w.log.note(t, 30)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if r.atOnce.Load() != 1 || conns.Load() != 1 {
		t.Errorf("%d requests at once on %d connections, want 1 on 1", r.atOnce.Load(), conns.Load())
	}
}

// A smaller checkpoint is our mistake. It is not sent: the witness would say,
// rightly, that it holds more, and that would look like a rollback.
func TestClientSendsNoSmallerCheckpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := &recorder{Handler: w.server.Handler()}
	front := httptest.NewServer(r)
	defer front.Close()
	c := w.client(t, front.URL)
	if _, err := c.Cosign(t.Context(), 0, w.log.consistency, w.log.note(t, 30)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Cosign(t.Context(), 0, w.log.consistency, w.log.note(t, 29))
	wantErr(t, err, nil, "size 29 after one of size 30")
	if errors.As(err, new(*witness.AheadError)) || errors.Is(err, witness.ErrFaulty) || len(r.posts) != 1 {
		t.Errorf("%d requests, %v", len(r.posts), err)
	}
}

func TestClientRefusesItsCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t, w.http.URL)
	down := errors.New("tiles are gone")
	_, err := c.Cosign(t.Context(), 0, func(uint64, uint64) ([]proof.Hash, error) { return nil, down }, w.log.note(t, 3))
	wantErr(t, err, down, "consistency proof from 0 to 3")
	_, err = c.Cosign(t.Context(), 0, w.log.consistency, newLog(t, newKey(t), noFork).note(t, 3))
	wantErr(t, err, proof.ErrSignature, "")
	_, err = c.Cosign(t.Context(), 0, w.log.consistency, []byte("hello"))
	wantErr(t, err, nil, "malformed")
	p, known := w.policy(t, w.http.URL), w.policy(t, w.http.URL).Witnesses()[0]
	elsewhere := known
	elsewhere.URL = "http://elsewhere.example"
	silent := w.policy(t, "")
	for rule, err := range map[string]error{
		"zero policy":          failure(witness.NewClient(&proof.Policy{}, known, nil)),
		"nil policy":           failure(witness.NewClient(nil, known, nil)),
		"zero witness":         failure(witness.NewClient(p, proof.Witness{}, nil)),
		"no url":               failure(witness.NewClient(silent, silent.Witnesses()[0], nil)),
		"another url":          failure(witness.NewClient(p, elsewhere, nil)),
		"another policy's one": failure(witness.NewClient(newWorld(t).policy(t, w.http.URL), known, nil)),
	} {
		if err == nil {
			t.Errorf("%s: accepted", rule)
		}
	}
}

func failure[T any](_ T, err error) error { return err }

// A liar answers a client as it likes.
type liar struct {
	post, get func(w http.ResponseWriter, r *http.Request)
}

func (l liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		l.post(w, r)
	} else {
		l.get(w, r)
	}
}

func say(status int, contentType, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// What a witness says counts only if it shows it.
func TestClientRefusesTheWitness(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const size = 40
	cosigner := must(proof.NewCosigner(w.config.Name, w.config.Key))(t)
	impostor := must(proof.NewCosigner(w.config.Name, newKey(t)))(t)
	fork := newLog(t, w.key, 30)
	stranger := newLog(t, newKey(t), noFork)
	note := w.log.note(t, size)
	by := func(s *proof.Signer, msg []byte) string { return string(must(s.Cosign(msg, noon))(t)) }
	ok := func(body string) func(http.ResponseWriter, *http.Request) { return say(200, "text/plain", body) }
	conflict := func(body string) func(http.ResponseWriter, *http.Request) {
		return say(409, "text/x.tlog.size", body)
	}
	good := by(cosigner, note)
	none := say(404, "text/plain", "")
	for _, tt := range []struct {
		rule      string
		post, get func(http.ResponseWriter, *http.Request)
		faulty    bool
		ahead     uint64 // size of an AheadError
		says      string
	}{
		{rule: "empty answer", post: ok(""), faulty: true},
		{rule: "not a line", post: ok("thanks\n"), faulty: true},
		{rule: "line cut", post: ok(good[:len(good)-1]), faulty: true},
		{rule: "by another key of the name", post: ok(by(impostor, note)), faulty: true, says: "no verifiable"},
		{rule: "cosignature of another size", post: ok(by(cosigner, w.log.note(t, size-1))), faulty: true, says: "invalid signature"},
		{rule: "cosignature of another root", post: ok(by(cosigner, fork.note(t, size))), faulty: true, says: "invalid signature"},
		{rule: "another checkpoint, cosigned, slipped in", post: ok("\n" + string(fork.note(t, size)) + by(cosigner, fork.note(t, size))), faulty: true},
		{rule: "its line twice", post: ok(good + good), faulty: true, says: "twice"},
		{rule: "one key, two names", post: ok(by(must(proof.NewCosigner("second.example", w.config.Key))(t), note)), faulty: true, says: "no verifiable"},
		{rule: "time 0", post: ok(timeless(t, good)), faulty: true, says: "invalid signature"},
		{rule: "endless answer", post: func(w http.ResponseWriter, _ *http.Request) {
			for range 100 { // a client that reads on fails by the message
				if _, err := w.Write(bytes.Repeat([]byte("—"), 1000)); err != nil {
					return
				}
			}
		}, faulty: true, says: "longer than"},

		{rule: "conflict of another type", post: say(409, "text/plain", "7\n"), faulty: true, says: "conflict with old size 0"},
		{rule: "conflict unterminated", post: conflict("7"), faulty: true, says: "conflict"},
		{rule: "conflict with leading zero", post: conflict("07\n"), faulty: true, says: "conflict"},
		{rule: "conflict with two lines", post: conflict("7\n\n"), faulty: true, says: "conflict"},
		{rule: "conflict without a size", post: conflict(""), faulty: true, says: "conflict"},
		{rule: "conflict naming the size we sent", post: conflict("0\n"), faulty: true, says: "conflict with old size 0"},
		{rule: "conflict after conflict", post: func() func(http.ResponseWriter, *http.Request) {
			n := 6
			return func(w http.ResponseWriter, r *http.Request) { n++; conflict(fmt.Sprintln(n))(w, r) }
		}(), faulty: true, says: "cosigned size 7 last by its word, then size 8"},

		{rule: "ahead, shows nothing", post: conflict("50\n"), get: none, faulty: true, says: "does not show why"},
		{rule: "ahead, shows an error", post: conflict("50\n"), get: say(500, "", ""), faulty: true, says: "status 500"},
		{rule: "ahead, shows another log's", post: conflict("50\n"), get: ok(string(stranger.note(t, 50))), faulty: true, says: "does not show why"},
		{rule: "ahead, shows less", post: conflict("50\n"), get: ok(string(w.log.note(t, 30))), faulty: true, says: "extends the size 30 it shows"},
		{rule: "ahead, shows ours", post: conflict("50\n"), get: ok(string(note)), faulty: true, says: "extends the size 40 it shows"},
		{rule: "ahead, shows it: rolled back", post: conflict("50\n"), get: ok(string(w.log.note(t, 50))), ahead: 50},
		{rule: "ahead, shows it: forked", post: conflict("50\n"), get: ok(string(fork.note(t, 50))), ahead: 50},
		{rule: "ahead, shows even more", post: conflict("50\n"), get: ok(string(w.log.note(t, 60))), ahead: 60},
		{rule: "inconsistent, shows nothing", post: say(422, "", "no"), get: none, faulty: true, says: "does not show why"},
		{rule: "inconsistent, shows our past", post: say(422, "", "no"), get: ok(string(w.log.note(t, 39))), faulty: true, says: "extends the size 39"},
		{rule: "inconsistent, shows a fork of the size", post: say(422, "", "no"), get: ok(string(fork.note(t, 40))), ahead: 40},
		{rule: "inconsistent, shows a smaller fork", post: say(422, "", "no"), get: ok(string(fork.note(t, 35))), ahead: 35},

		{rule: "unknown log", post: none, says: "status 404"},
		{rule: "forbidden", post: say(403, "", "not you"), says: `status 403: "not you"`},
		{rule: "down", post: say(503, "", ""), says: "status 503"},
		{rule: "accepted", post: say(202, "text/plain", good), says: "status 202"},
		{rule: "redirect", post: func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, w.http.URL+"/add-checkpoint", http.StatusTemporaryRedirect)
		}, says: "status 307"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if tt.get == nil {
				tt.get = func(http.ResponseWriter, *http.Request) { t.Error("the monitoring path is asked") }
			}
			front := httptest.NewServer(liar{tt.post, tt.get})
			defer front.Close()
			line, err := w.client(t, front.URL).Cosign(t.Context(), 0, w.log.consistency, note)
			wantErr(t, err, nil, tt.says)
			if line != nil || errors.Is(err, witness.ErrFaulty) != tt.faulty {
				t.Errorf("lines %q, faulty %v, want %v: %v", line, !tt.faulty, tt.faulty, err)
			}
			var ahead *witness.AheadError
			if errors.As(err, &ahead) != (tt.ahead > 0) {
				t.Fatalf("got %v, want an AheadError: %v", err, tt.ahead > 0)
			}
			if ahead != nil {
				held, err := w.policy(t, "http://x").OpenSigned(ahead.Note)
				if err != nil || held.Size != tt.ahead || ahead.Size != tt.ahead || ahead.Witness != "w" {
					t.Errorf("evidence of size %d, %v", ahead.Size, err)
				}
			}
		})
	}
	if got := w.latest(t); got != "" {
		t.Errorf("a redirect was followed: the witness shows %q", got)
	}
	front := httptest.NewServer(liar{post: ok("— x.example AAAAAAAA\n" + good)})
	defer front.Close()
	line, err := w.client(t, front.URL).Cosign(t.Context(), 0, w.log.consistency, note)
	if err != nil || len(line) != 1 || string(line[0].Line) != good {
		t.Errorf("beside a line of an unknown key: %q, %v", line, err)
	}
}

// timeless sets the time of a cosignature line to 0.
func timeless(t *testing.T, line string) string {
	t.Helper()
	head, b64, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "— ")), " ")
	b := must(base64.StdEncoding.DecodeString(b64))(t)
	copy(b[4:12], make([]byte, 8))
	return "— " + head + " " + base64.StdEncoding.EncodeToString(b) + "\n"
}

func TestClientLatest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, _, err := w.client(t, w.http.URL).Latest(t.Context())
	wantErr(t, err, fs.ErrNotExist, "")
	front := httptest.NewServer(liar{get: say(200, "text/plain", string(newLog(t, newKey(t), noFork).note(t, 4)))})
	defer front.Close()
	_, _, err = w.client(t, front.URL).Latest(t.Context())
	wantErr(t, err, proof.ErrSignature, "")
	endless := httptest.NewServer(liar{get: say(200, "text/plain", strings.Repeat("x", 2*proof.MaxNote))})
	defer endless.Close()
	_, _, err = w.client(t, endless.URL).Latest(t.Context())
	wantErr(t, err, witness.ErrFaulty, "longer than 131072")
}

// A witness that takes the request and says nothing costs the client its
// timeout, and whoever waits for a turn may leave before.
func TestClientTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	note := w.log.note(t, 3)
	p := w.policy(t, "http://witness.example")
	synctest.Test(t, func(t *testing.T) {
		hc := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go io.Copy(io.Discard, theirs) // until the client closes its end
			return ours, nil
		}}}
		c := must(witness.NewClient(p, p.Witnesses()[0], hc))(t)
		start := time.Now()
		done := make(chan error)
		go func() {
			_, err := c.Cosign(context.Background(), 0, w.log.consistency, note)
			done <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := c.Cosign(ctx, 0, w.log.consistency, note)
		wantErr(t, err, context.DeadlineExceeded, "")
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("waited %v for a turn, want 1s", waited)
		}
		wantErr(t, <-done, context.DeadlineExceeded, "")
		if waited := time.Since(start); waited != witness.Timeout {
			t.Errorf("waited %v for an answer, want %v", waited, witness.Timeout)
		}
	})
}

// A request whose answer was lost may have been taken: the next one finds out.
func TestClientAfterALostAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var lost atomic.Bool
	handler := w.server.Handler()
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if lost.Swap(true) {
			handler.ServeHTTP(rw, r)
			return
		}
		handler.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}))
	defer front.Close()
	c := w.client(t, front.URL)
	if _, err := c.Cosign(t.Context(), 0, w.log.consistency, w.log.note(t, 20)); err == nil {
		t.Fatal("cosigned without an answer")
	}
	if _, err := c.Cosign(t.Context(), 0, w.log.consistency, w.log.note(t, 20)); err != nil {
		t.Errorf("the same checkpoint again: %v", err)
	}
	if _, err := c.Cosign(t.Context(), 0, w.log.consistency, w.log.note(t, 25)); err != nil {
		t.Errorf("onward: %v", err)
	}
}
