package witness

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"plastron/log/proof"
)

// A state is what the witness knows of one log: the note it cosigned last, in
// a file of its own.
type state struct {
	policy *proof.Policy // of the log alone
	path   string

	mu     sync.Mutex // guards what follows, and the file: compare and persist are one step
	latest proof.Checkpoint
	note   []byte // nil: never cosigned
	failed bool   // the disk failed or the server closed; nothing is cosigned
}

// openState reads the file. A log never seen is at size 0.
func openState(dir string, p *proof.Policy) (*state, error) {
	st := &state{
		policy: p,
		path:   filepath.Join(dir, filepath.Dir(logPath(p.Origin()))),
		latest: proof.Checkpoint{Origin: p.Origin(), Root: proof.EmptyRoot()},
	}
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
	st.note = note
	return st, nil
}

// extend cosigns c if it extends what was cosigned last, and returns the
// cosignature once the new state is durable.
func (st *state) extend(c proof.Checkpoint, req request, cosign func() (line, note []byte, err error)) ([]byte, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.failed {
		return nil, errors.New("witness stopped: its disk failed or it was closed")
	}
	if req.old != st.latest.Size {
		return nil, &refusal{http.StatusConflict, st.latest.Size, errors.New("old size is not the last one")}
	}
	if err := proof.VerifyConsistency(req.old, c.Size, req.hashes, st.latest.Root, c.Root); err != nil {
		return nil, &refusal{status: http.StatusUnprocessableEntity, err: err}
	}
	line, note, err := cosign()
	if err != nil {
		return nil, err
	}
	if err := replace(st.path, note); err != nil {
		st.failed = true
		return nil, err
	}
	// From here a crash loses the answer, not the state: the log asks again
	// and is told this size.
	st.latest, st.note = c, note
	return line, nil
}

func (st *state) serveLatest(w http.ResponseWriter, r *http.Request) {
	st.mu.Lock()
	note := st.note
	st.mu.Unlock()
	if note == nil {
		http.Error(w, "no checkpoint yet", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(note)
}

// replace puts b in the place of the file at path: after a crash the file is
// the old one or the new one, whole.
func replace(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
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
