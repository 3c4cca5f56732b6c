package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// source is an issuer's keys without a network: it counts, can be down, and can
// be slow.
type source struct {
	kids    []string
	down    bool
	panics  bool
	delay   time.Duration
	fetches atomic.Int64
}

var errDown = errors.New("down")

func (s *source) fetch(ctx context.Context) ([]*key, error) {
	s.fetches.Add(1)
	select {
	case <-time.After(s.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.panics {
		panic("parser")
	}
	if s.down {
		return nil, errDown
	}
	var keys []*key
	for _, kid := range s.kids {
		keys = append(keys, &key{kid: kid, algs: []string{"ES256"}})
	}
	return keys, nil
}

func (s *source) set() *keySet { return &keySet{fetch: s.fetch, now: time.Now} }

// find says what became of a token: "ok", or the code of its refusal.
func find(k *keySet, kid string) string {
	_, err := k.find(context.Background(), kid, "ES256")
	var e *Error
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &e):
		return string(e.Code)
	}
	return err.Error()
}

func want(t *testing.T, s *source, k *keySet, kid, code string, fetches int64) {
	t.Helper()
	got := find(k, kid)
	synctest.Wait() // a fetch by the way ends
	if n := s.fetches.Load(); got != code || n != fetches {
		t.Errorf("kid %s: %s after %d fetches, want %s after %d", kid, got, n, code, fetches)
	}
}

func TestKeysAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{kids: []string{"a"}}
		k := s.set()
		want(t, s, k, "a", "ok", 1)
		time.Sleep(KeysRefresh - time.Second)
		want(t, s, k, "a", "ok", 1)
		time.Sleep(time.Second)
		want(t, s, k, "a", "ok", 2) // by the way
		s.kids = []string{"b"}      // a is withdrawn
		time.Sleep(KeysTTL - time.Second)
		want(t, s, k, "a", "ok", 3) // the last one, while the fetch is under way
		want(t, s, k, "a", "oidc_keys", 3)
		want(t, s, k, "b", "ok", 3)
		time.Sleep(KeysTTL)
		want(t, s, k, "a", "oidc_signature", 4) // waited
	})
}

// O11: an issuer that is down is believed to KeysEnd and not a second longer.
func TestKeysEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{kids: []string{"a"}}
		k := s.set()
		want(t, s, k, "a", "ok", 1)
		s.down = true
		time.Sleep(KeysEnd - time.Second)
		want(t, s, k, "a", "ok", 2)
		time.Sleep(time.Second)
		want(t, s, k, "a", "oidc_keys", 2)
		time.Sleep(KeysCoolDown - time.Second)
		want(t, s, k, "a", "oidc_keys", 3)
		if _, err := k.find(t.Context(), "a", "ES256"); !errors.Is(err, errDown) {
			t.Errorf("the cause is not told: %v", err)
		}
		s.down = false
		time.Sleep(KeysCoolDown)
		want(t, s, k, "a", "ok", 4)
	})
}

// A rotation is followed at the first token by the new key.
func TestKeysRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{kids: []string{"a"}}
		k := s.set()
		want(t, s, k, "a", "ok", 1)
		time.Sleep(KeysCoolDown)
		s.kids = []string{"a", "b"}
		want(t, s, k, "b", "ok", 2)
		want(t, s, k, "c", "oidc_keys", 2)
		time.Sleep(KeysCoolDown)
		want(t, s, k, "c", "oidc_signature", 3)
		time.Sleep(KeysCoolDown)
		s.down = true
		want(t, s, k, "c", "oidc_keys", 4)
		want(t, s, k, "a", "ok", 4) // the last good set is kept
	})
}

// O10: unknown kids cost the issuer one fetch in a cool-down.
func TestUnknownKidFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{kids: []string{"a"}, delay: time.Second}
		k := s.set()
		want(t, s, k, "a", "ok", 1)
		time.Sleep(KeysCoolDown)
		for n := range 1000 {
			go find(k, fmt.Sprint("unknown-", n))
		}
		time.Sleep(KeysCoolDown - time.Second)
		synctest.Wait()
		want(t, s, k, "a", "ok", 2)
		for n := range 1000 {
			want(t, s, k, fmt.Sprint("unknown-", n), "oidc_keys", 2)
		}
	})
}

// A flood on a cold gate whose issuer is down.
func TestColdFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{down: true, delay: time.Second}
		k := s.set()
		for range 1000 {
			go find(k, "a")
		}
		time.Sleep(KeysCoolDown - time.Second)
		want(t, s, k, "a", "oidc_keys", 1)
		s.down, s.kids = false, []string{"a"}
		time.Sleep(time.Second)
		want(t, s, k, "a", "ok", 2)
	})
}

// Nobody waits for a slow issuer while the keys are young, and nobody holds up
// those who have a key.
func TestNoLockOverTheNetwork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{kids: []string{"a"}}
		k := s.set()
		want(t, s, k, "a", "ok", 1)
		s.delay = time.Hour
		time.Sleep(KeysRefresh)
		go find(k, "unknown")
		synctest.Wait()
		start := time.Now()
		want(t, s, k, "a", "ok", 2)
		if d := time.Since(start); d != 0 {
			t.Errorf("a known key took %v", d)
		}
		time.Sleep(FetchTimeout)
	})
}

func TestFetchIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{delay: time.Hour}
		k := s.set()
		start := time.Now()
		want(t, s, k, "a", "oidc_keys", 1)
		if d := time.Since(start); d != FetchTimeout {
			t.Errorf("waited %v, want %v", d, FetchTimeout)
		}
	})
}

// A caller that goes away does not take the fetch with it.
func TestCallerGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{kids: []string{"a"}, delay: 2 * time.Second}
		k := s.set()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := k.find(ctx, "a", "ES256")
		var e *Error
		if !errors.As(err, &e) || e.Code != Keys || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		want(t, s, k, "a", "ok", 1)
		time.Sleep(KeysCoolDown)
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := k.find(gone, "new", "ES256"); !errors.Is(err, context.Canceled) {
			t.Errorf("new kid: error %v", err)
		}
		time.Sleep(FetchTimeout)
		k = s.set()
		if err := k.ready(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("ready: error %v", err)
		}
		time.Sleep(FetchTimeout)
	})
}

func TestParserPanicIsRefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{kids: []string{"a"}, panics: true}
		k := s.set()
		want(t, s, k, "a", "oidc_keys", 1)
		s.panics = false
		time.Sleep(KeysCoolDown)
		want(t, s, k, "a", "ok", 2)
	})
}

// G10: a clock that goes back makes no key younger.
func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{kids: []string{"a"}}
		now := time.Now()
		k := &keySet{fetch: s.fetch, now: func() time.Time { return now }}
		want(t, s, k, "a", "ok", 1)
		now = now.Add(-time.Minute)
		s.down = true
		want(t, s, k, "a", "oidc_keys", 2)
		s.down = false
		now = now.Add(KeysCoolDown)
		want(t, s, k, "a", "ok", 3)
	})
}

// A token without a kid has the only key of its algorithm, or none.
func TestTokenWithoutKid(t *testing.T) {
	t.Parallel()
	one := &key{kid: "a", algs: []string{"ES256"}}
	two := &key{kid: "b", algs: []string{"ES256"}}
	other := &key{kid: "c", algs: []string{"RS256"}}
	nameless := &key{algs: []string{"ES384"}}
	for name, c := range map[string]struct {
		keys     []*key
		kid, alg string
		want     *key
	}{
		"only one":                          {[]*key{one}, "", "ES256", one},
		"only one of its algorithm":         {[]*key{one, other}, "", "RS256", other},
		"two":                               {[]*key{one, two}, "", "ES256", nil},
		"none":                              {[]*key{other}, "", "ES256", nil},
		"kid of another algorithm":          {[]*key{one, other}, "c", "ES256", nil},
		"kid, but the only key has no name": {[]*key{nameless}, "x", "ES384", nil},
		"no kid, and the key has none":      {[]*key{nameless}, "", "ES384", nameless},
	} {
		k := &keySet{keys: c.keys, now: time.Now}
		got, err := k.find(t.Context(), c.kid, c.alg)
		if got != c.want || (got == nil) != (err != nil) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if e := new(Error); err != nil && (!errors.As(err, &e) || e.Code != Signature) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// piped serves HTTP over in-memory pipes, so that a fetcher can be watched by a
// clock of the test's.
func piped(t *testing.T, h http.HandlerFunc) *fetcher {
	t.Helper()
	f, err := newFetcher(Issuer{URL: "http://127.0.0.1", InsecureHTTP: true, Algorithms: []string{"ES256"}}, "127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	f.client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		l.conns <- theirs
		return ours, nil
	}
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return f
}

type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipes) Close() error   { close(l.closed); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// O9: bytes that come one a second end with the timeout.
func TestDripFedKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := piped(t, func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Second)
			}
		})
		k := &keySet{fetch: f.keys, now: time.Now}
		start := time.Now()
		_, err := k.find(t.Context(), "a", "ES256")
		if d := time.Since(start); d != FetchTimeout || err == nil || !strings.Contains(err.Error(), "no answer within 5s") {
			t.Errorf("after %v: %v", d, err)
		}
		time.Sleep(2 * time.Second) // the handler sees that we are gone
	})
}

func newKey(t testing.TB) jose.JSONWebKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: private.Public(), KeyID: "a", Algorithm: "ES256", Use: "sig"}
}
