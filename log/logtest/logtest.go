// Package logtest opens real logs for tests: new keys, a temporary directory,
// and real witnesses over loopback HTTP. Nothing in it pretends: what a test
// gets is what plastron/log and plastron/log/witness do.
package logtest

import (
	"crypto"
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plastron/log"
	"plastron/log/proof"
	"plastron/log/witness"
)

// An Option changes the log that [New] opens.
type Option func(*setup)

type setup struct {
	origin    string
	key       crypto.Signer
	witnesses int
	quorum    int
	mldsa     bool
	mirrors   int // the first so many witnesses
	now       func() time.Time
	changes   []func(*log.Options)
}

// Origin names the log; the default is "log.example/test".
func Origin(origin string) Option { return func(s *setup) { s.origin = origin } }

// Key is the log's key; the default is a new one.
func Key(k crypto.Signer) Option { return func(s *setup) { s.key = k } }

// Witnesses runs n witnesses of which quorum must cosign. The default is one of
// one.
func Witnesses(n, quorum int) Option {
	return func(s *setup) { s.witnesses, s.quorum = n, quorum }
}

// MLDSA gives the log and each of its witnesses an ML-DSA-44 key too. The policy
// names all of them; those of the witnesses are not in the quorum.
func MLDSA() Option { return func(s *setup) { s.mldsa = true } }

// Mirrors has the first n witnesses be mirrors.
func Mirrors(n int) Option { return func(s *setup) { s.mirrors = n } }

// Unwitnessed says quorum none.
func Unwitnessed() Option { return Witnesses(0, 0) }

// Clock is the time of the log and of its witnesses.
func Clock(now func() time.Time) Option { return func(s *setup) { s.now = now } }

// With changes the options before the log is opened.
func With(change func(*log.Options)) Option {
	return func(s *setup) { s.changes = append(s.changes, change) }
}

// A Log is an open log and what it was made of.
type Log struct {
	*log.Log
	Options   log.Options // Dir and Lock are in the test's temporary directory
	Policy    *proof.Policy
	Signer    *proof.Signer
	Witnesses []*Witness
}

// A Witness is a running witness.
type Witness struct {
	Name string // in the policy
	VKey string
	PQ   string // its ML-DSA verifier key, named Name + "-mldsa"; "": none
	URL  string
	Dir  string // its state

	server  *witness.Server
	instead atomic.Pointer[http.Handler]
}

// Replace has h answer in the witness's place; nil puts the witness back.
func (w *Witness) Replace(h http.Handler) {
	if h == nil {
		w.instead.Store(nil)
		return
	}
	w.instead.Store(&h)
}

// Down stops the witness from answering, or lets it answer again.
func (w *Witness) Down(down bool) {
	if !down {
		w.Replace(nil)
		return
	}
	w.Replace(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		http.Error(rw, "down", http.StatusServiceUnavailable)
	}))
}

// Serve answers as the witness itself does, whoever is in its place.
func (w *Witness) Serve(rw http.ResponseWriter, r *http.Request) {
	w.server.Handler().ServeHTTP(rw, r)
}

func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if h := w.instead.Load(); h != nil {
		(*h).ServeHTTP(rw, r)
		return
	}
	w.server.Handler().ServeHTTP(rw, r)
}

// New opens an empty log, which is closed when the test ends.
func New(t testing.TB, options ...Option) *Log {
	t.Helper()
	s := setup{origin: "log.example/test", witnesses: 1, quorum: 1}
	for _, o := range options {
		o(&s)
	}
	if s.key == nil {
		s.key = key(t)
	}
	l := &Log{Signer: signer(t, s.origin, s.key)}
	for i := range s.witnesses {
		l.Witnesses = append(l.Witnesses, newWitness(t, fmt.Sprintf("w%d", i+1), l.Signer, s, i < s.mirrors))
	}
	dir := t.TempDir()
	l.Options = log.Options{
		Dir: filepath.Join(dir, "data"), Lock: filepath.Join(dir, "lock"), Segment: 1 << 20,
		Signer: l.Signer, Now: s.now, Logger: slog.New(slog.DiscardHandler),
	}
	if s.mldsa {
		l.Options.MLDSA = mldsaSigner(t, s.origin)
	}
	l.Policy = policy(t, l.Signer, l.Options.MLDSA, s.quorum, l.Witnesses...)
	l.Options.Policy = l.Policy
	for _, w := range l.Witnesses[:s.mirrors] {
		l.Options.Mirrors = append(l.Options.Mirrors, w.Name)
	}
	for _, change := range s.changes {
		change(&l.Options)
	}
	l.Open(t)
	return l
}

// Open opens the log again after it has been closed.
func (l *Log) Open(t testing.TB) {
	t.Helper()
	opened, err := log.Open(t.Context(), l.Options)
	if err != nil {
		t.Fatal(err)
	}
	l.Log = opened
	t.Cleanup(func() { opened.Close() }) // may be closed already
}

// Signer returns the signer of a log with a new key.
func Signer(t testing.TB, origin string) *proof.Signer {
	t.Helper()
	return signer(t, origin, key(t))
}

func signer(t testing.TB, origin string, k crypto.Signer) *proof.Signer {
	t.Helper()
	s, err := proof.NewLogSigner(origin, k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Policy returns the log policy of a signer, in which quorum of the witnesses
// must cosign; 0 is quorum none.
func Policy(t testing.TB, s *proof.Signer, quorum int, witnesses ...*Witness) *proof.Policy {
	t.Helper()
	return policy(t, s, nil, quorum, witnesses...)
}

func policy(t testing.TB, s, pq *proof.Signer, quorum int, witnesses ...*Witness) *proof.Policy {
	t.Helper()
	var b, names strings.Builder
	fmt.Fprintf(&b, "log %s\n", s.VKey())
	if pq != nil {
		fmt.Fprintf(&b, "log %s\n", pq.VKey())
	}
	for _, w := range witnesses {
		fmt.Fprintf(&b, "witness %s %s %s\n", w.Name, w.VKey, w.URL)
		if w.PQ != "" {
			fmt.Fprintf(&b, "witness %s-mldsa %s %s\n", w.Name, w.PQ, w.URL)
		}
		names.WriteString(" " + w.Name)
	}
	if quorum == 0 {
		b.WriteString("quorum none\n")
	} else {
		fmt.Fprintf(&b, "group all-of-us %d%s\nquorum all-of-us\n", quorum, names.String())
	}
	p, err := proof.ParsePolicy([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newWitness(t testing.TB, name string, of *proof.Signer, s setup, mirror bool) *Witness {
	t.Helper()
	w := &Witness{Name: name, Dir: t.TempDir()}
	c := witness.Config{
		Dir: w.Dir, Key: key(t), Name: name + ".example/witness",
		Logs: []witness.LogKey{{Origin: of.Name(), VKey: of.VKey()}},
		Now:  s.now, Mirror: mirror,
	}
	if s.mldsa {
		c.MLDSA = mldsaKey(t)
	}
	var err error
	if w.server, err = witness.NewServer(c); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(w)
	w.VKey, w.PQ, w.URL = w.server.VKey(), w.server.MLDSAVKey(), web.URL
	t.Cleanup(func() {
		web.Close()
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func mldsaSigner(t testing.TB, origin string) *proof.Signer {
	t.Helper()
	s, err := proof.NewCosigner(origin, mldsaKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mldsaKey(t testing.TB) *mldsa.PrivateKey {
	t.Helper()
	k, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func key(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
