package witness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"plastron/log/proof"
)

// A state is what the witness knows of one log: the note it took last, in a file
// of its own.
type state struct {
	policy *proof.Policy // of the log alone
	path   string
	mirror *mirror // nil: a witness that keeps no entries

	line    chan struct{}          // one place for each request in hand or waiting
	shown   atomic.Pointer[[]byte] // the note taken last; nil: none
	size    atomic.Uint64          // of that
	stopped atomic.Bool            // the disk failed or the server closed; nothing is cosigned

	turn    chan struct{} // holds one token; whoever has it may use what follows, and the file
	latest  proof.Checkpoint
	persist func(seconds float64) // told how long each write took
}

// maxWaiting bounds the requests about one log that are in hand or wait for
// their turn: a log has one request in flight, so that more than a few are a
// crowd, and may not take the places of other logs' requests.
const maxWaiting = 8

var errStopped = errors.New("witness stopped: its disk failed or it was closed")

// openState reads the file. A log never seen is at size 0.
func openState(dir string, p *proof.Policy, persist func(float64)) (*state, error) {
	st := &state{
		policy:  p,
		path:    filepath.Join(dir, originHash(p.Origin())),
		latest:  proof.Checkpoint{Origin: p.Origin(), Root: proof.EmptyRoot()},
		line:    make(chan struct{}, maxWaiting),
		turn:    make(chan struct{}, 1),
		persist: persist,
	}
	st.turn <- struct{}{}
	note, err := os.ReadFile(st.path)
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return nil, err
	}
	if st.latest, err = p.OpenSigned(note); err != nil {
		return nil, fmt.Errorf("state %s: %w", st.path, err)
	}
	st.shown.Store(&note)
	st.size.Store(st.latest.Size)
	return st, nil
}

// extend takes c if it extends what was taken last, and returns the answer once
// the new state is durable: compare and persist are one step. What is kept, and
// what is answered, take says; it is asked once c may be taken.
func (st *state) extend(ctx context.Context, c proof.Checkpoint, req request, take func() (answer, note []byte, err error)) ([]byte, error) {
	if err := st.enter(ctx); err != nil {
		return nil, err
	}
	defer st.leave()
	if req.old != st.latest.Size {
		return nil, &refusal{http.StatusConflict, st.latest.Size, errors.New("old size is not the last one")}
	}
	if err := proof.VerifyConsistency(req.old, c.Size, req.hashes, st.latest.Root, c.Root); err != nil {
		return nil, &refusal{status: http.StatusUnprocessableEntity, err: err}
	}
	answer, note, err := take()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := replace(st.path, note, true); err != nil {
		st.stopped.Store(true)
		return nil, err
	}
	st.persist(time.Since(start).Seconds())
	// From here a crash loses the answer, not the state: the log asks again
	// and is told this size. A mirror takes entries up to it now.
	if st.mirror != nil {
		st.mirror.learn(c, note)
	}
	st.latest = c
	st.shown.Store(&note)
	st.size.Store(c.Size)
	return answer, nil
}

// enter waits for the turn, if there is a place to wait at.
func (st *state) enter(ctx context.Context) error {
	select {
	case st.line <- struct{}{}:
	default:
		return &refusal{status: http.StatusServiceUnavailable, err: errors.New("too many requests about this log")}
	}
	select {
	case <-st.turn:
	case <-ctx.Done():
		<-st.line
		return &refusal{status: http.StatusServiceUnavailable, err: errors.New("an earlier request about this log takes too long")}
	}
	if st.stopped.Load() {
		st.leave()
		return errStopped
	}
	return nil
}

func (st *state) leave() {
	st.turn <- struct{}{}
	<-st.line
}

// stop waits for the request in hand, and has none follow it.
func (st *state) stop() {
	st.stopped.Store(true)
	<-st.turn
	st.turn <- struct{}{}
}

// serveLatest shows the note taken last. It waits for nobody's disk.
func (st *state) serveLatest(w http.ResponseWriter, _ *http.Request) {
	serveNote(w, st.shown.Load())
}

func serveNote(w http.ResponseWriter, note *[]byte) {
	if note == nil {
		http.Error(w, "no checkpoint yet", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(*note)
}

// replace puts b in the place of the file at path. If it is to be durable, the
// file is the old one or the new one after a crash, whole, and the new one after
// replace has returned.
func replace(path string, b []byte, durable bool) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && durable {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil || !durable {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
