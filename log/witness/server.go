package witness

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/mldsa"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"plastron/log/proof"
)

// A LogKey is a log the witness serves.
type LogKey struct {
	Origin string
	VKey   string // Ed25519, type 0x01; its name is the origin
}

// Config is what a witness is made of.
type Config struct {
	Dir    string        // its state; one process at a time; never restored from a backup
	Key    crypto.Signer // Ed25519, for this witness alone
	MLDSA  crypto.Signer // ML-DSA-44, for this witness alone; nil: none
	Name   string        // key name, such as witness.example.com
	Mirror bool          // keep and serve the entries, and cosign nothing else; for good
	Logs   []LogKey
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: none
}

// A Server is a witness.
type Server struct {
	signers []*proof.Signer   // one a key, the Ed25519 one first
	logs    map[string]*state // by origin
	mirror  bool              // each has a mirror
	now     func() time.Time
	logger  *slog.Logger
	lock    *os.File      // held while the server lives
	slots   chan struct{} // one token a request in hand
	metrics *metrics
	closed  atomic.Bool
}

// maxRequests bounds the requests in hand, and with them memory.
const maxRequests = 64

// NewServer opens the witness's directory, which it makes if it is not there,
// and reads the checkpoint it cosigned last of each log. It refuses a directory
// another server holds, and a state that the log's key did not sign.
func NewServer(c Config) (*Server, error) {
	s := &Server{mirror: c.Mirror, logs: map[string]*state{}, now: c.Now, logger: c.Logger, slots: make(chan struct{}, maxRequests), metrics: newMetrics()}
	if s.now == nil {
		s.now = time.Now
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.signers, err = signers(c); err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	if s.lock, err = lockDir(c.Dir); err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	for _, l := range c.Logs {
		if err := s.add(c, l); err != nil {
			s.Close()
			return nil, fmt.Errorf("witness: log %q: %w", l.Origin, err)
		}
	}
	return s, nil
}

func (s *Server) add(c Config, l LogKey) error {
	if s.logs[l.Origin] != nil {
		return errors.New("named twice")
	}
	// A log's key is a log policy that asks for no witness.
	p, err := proof.ParsePolicy([]byte("log " + l.VKey + "\nquorum none\n"))
	if err != nil {
		return err
	}
	if p.Origin() != l.Origin {
		return fmt.Errorf("the key's name is %q", p.Origin())
	}
	st, err := openState(c.Dir, p, s.metrics.wrote)
	if err != nil {
		return err
	}
	if err := st.reflect(c); err != nil {
		return err
	}
	s.logs[l.Origin] = st
	return nil
}

// reflect opens the mirror of a log, if the witness is one. What a key's
// cosignature says is one thing for good (C2SP tlog-cosignature): that the log
// is consistent, or that it is kept here too.
func (st *state) reflect(c Config) (err error) {
	dir := filepath.Join(c.Dir, "mirror")
	_, err = os.Stat(filepath.Join(dir, filepath.Base(st.path)))
	switch mirrored := err == nil; {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case mirrored && !c.Mirror:
		return errors.New("it has been mirrored, and this key's cosignature says so: run it as a mirror, or make another witness")
	case !mirrored && c.Mirror && st.shown.Load() != nil:
		return errors.New("it has been witnessed without being mirrored, and this key's cosignature says no more: make another witness to be the mirror")
	case !c.Mirror:
		return nil
	}
	note := st.shown.Load()
	if note == nil {
		st.mirror, err = openMirror(dir, st.policy, st.latest, nil)
	} else {
		st.mirror, err = openMirror(dir, st.policy, st.latest, *note)
	}
	return err
}

func signers(c Config) ([]*proof.Signer, error) {
	ed, err := proof.NewCosigner(c.Name, c.Key)
	if err != nil {
		return nil, err
	}
	if _, ok := c.Key.Public().(ed25519.PublicKey); !ok {
		return nil, fmt.Errorf("key is %T, want Ed25519", c.Key.Public())
	}
	if c.MLDSA == nil {
		return []*proof.Signer{ed}, nil
	}
	pq, err := proof.NewCosigner(c.Name, c.MLDSA)
	if err != nil {
		return nil, err
	}
	if _, ok := c.MLDSA.Public().(*mldsa.PublicKey); !ok {
		return nil, fmt.Errorf("second key is %T, want ML-DSA-44", c.MLDSA.Public())
	}
	return []*proof.Signer{ed, pq}, nil
}

// VKey returns the verifier key of the witness's Ed25519 key, as a log policy
// names it.
func (s *Server) VKey() string { return s.signers[0].VKey() }

// MLDSAVKey returns the verifier key of the witness's ML-DSA-44 key, "" if it
// has none.
func (s *Server) MLDSAVKey() string {
	if len(s.signers) < 2 {
		return ""
	}
	return s.signers[1].VKey()
}

// sign returns the witness's signature lines on a checkpoint, one a key, all
// of one time.
func (s *Server) sign(note []byte) (lines []byte, err error) {
	now := s.now()
	for _, signer := range s.signers {
		line, err := signer.Cosign(note, now)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line...)
	}
	return lines, nil
}

// Close ends the witness: it answers 503 and lets its directory go.
func (s *Server) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	for _, st := range s.logs {
		st.stop() // a request that is writing finishes first
		if m := st.mirror; m != nil {
			m.mu.Lock()
			m.stopped.Store(true)
			m.mu.Unlock()
		}
	}
	return s.lock.Close()
}

// Handler returns the witness's HTTP interface, and the mirror's. It bounds how
// long and how large a request it reads.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", s.addCheckpoint)
	if s.mirror {
		mux.HandleFunc("POST /add-entries", s.addEntries)
	}
	for origin, st := range s.logs {
		if st.mirror == nil {
			mux.HandleFunc("GET /"+logPath(origin), st.serveLatest)
			continue
		}
		mux.HandleFunc("GET /"+logPath(origin), st.mirror.serveCheckpoint)
		mux.HandleFunc("GET /"+pendingPath(origin), st.serveLatest)
		mux.HandleFunc("GET /"+originHash(origin)+"/tile/", st.mirror.serveTile)
	}
	return mux
}

func (s *Server) addCheckpoint(w http.ResponseWriter, r *http.Request) {
	origin, lines, err := s.receive(w, r)
	s.answer(w, answered{endpoint: "add-checkpoint", log: origin}, lines, err)
}

// receive reads a request and decides on it, in bounded space and time. origin
// is the log's if it is one of ours.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) (origin string, lines []byte, err error) {
	if err := s.enter(); err != nil {
		return "", nil, err
	}
	defer s.leave()
	ctx, cancel := context.WithTimeout(r.Context(), Timeout)
	defer cancel()
	// Where the deadline cannot be set, as in a test's recorder, nobody is slow.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(Timeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequest))
	if err != nil {
		status := http.StatusBadRequest
		if errors.As(err, new(*http.MaxBytesError)) {
			status = http.StatusRequestEntityTooLarge
		}
		return "", nil, &refusal{status: status, err: errors.New("request body unreadable")}
	}
	return s.cosign(ctx, body)
}

// enter takes a place for a request, if there is one.
func (s *Server) enter() error {
	if s.closed.Load() {
		return &refusal{status: http.StatusServiceUnavailable, err: errors.New("closed")}
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	default:
		return &refusal{status: http.StatusServiceUnavailable, err: errors.New("too many requests")}
	}
}

func (s *Server) leave() { <-s.slots }

// A refusal is a status that is not 200 and what it says.
type refusal struct {
	status int
	size   uint64 // of a conflict
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }

// cosign decides on a request in the order of the specification.
func (s *Server) cosign(ctx context.Context, body []byte) (origin string, lines []byte, err error) {
	req, err := parseRequest(body)
	if err != nil {
		return "", nil, &refusal{status: http.StatusBadRequest, err: err}
	}
	named, _, _ := bytes.Cut(req.note, []byte("\n"))
	st := s.logs[string(named)]
	if st == nil {
		return "", nil, &refusal{status: http.StatusNotFound, err: errors.New("unknown log")}
	}
	origin = string(named)
	c, note, err := st.policy.Bare(req.note)
	switch {
	case errors.Is(err, proof.ErrSignature):
		return origin, nil, &refusal{status: http.StatusForbidden, err: err}
	case err != nil:
		return origin, nil, &refusal{status: http.StatusBadRequest, err: err}
	case req.old > c.Size:
		return origin, nil, &refusal{status: http.StatusBadRequest, err: fmt.Errorf("old size %d, checkpoint of size %d", req.old, c.Size)}
	}
	lines, err = st.extend(ctx, c, req, func() ([]byte, []byte, error) {
		if st.mirror != nil { // it signs what it has, in add-entries
			return nil, note, nil
		}
		lines, err := s.sign(note)
		return lines, append(note, lines...), err
	})
	return origin, lines, err
}

// answer says what was decided, and counts it.
func (s *Server) answer(w http.ResponseWriter, a answered, lines []byte, err error) {
	var r *refusal
	switch {
	case err == nil:
		a.status = http.StatusOK
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write(lines)
	case !errors.As(err, &r):
		a.status = http.StatusInternalServerError
		s.logger.Error("cosigning failed", "log", a.log, "err", err)
		http.Error(w, "internal error", a.status)
	case r.status == http.StatusConflict:
		a.status = r.status
		w.Header().Set("Content-Type", sizeType)
		w.WriteHeader(r.status)
		fmt.Fprintf(w, "%d\n", r.size)
	default:
		a.status = r.status
		if r.status == http.StatusUnprocessableEntity {
			// Signed by the log, so it may be evidence against it.
			s.logger.Warn("log shows an inconsistent checkpoint", "log", a.log, "err", r.err)
		}
		if r.status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, r.Error(), r.status)
	}
	s.metrics.answer(a, s.now().Unix())
}
