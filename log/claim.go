package log

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"plastron/log/proof"
	"plastron/log/witness"
)

// A claim is a checkpoint of ours that somebody holds: our data must lead to
// it, or we would sign a second history.
type claim struct {
	holder     string // who, as an error says it
	remedy     string // what to do if the data does not lead to it
	checkpoint proof.Checkpoint
}

// gather collects the checkpoints of ours that the data must lead to.
func (r *recovery) gather(ctx context.Context, clients []*witness.Client) error {
	if r.locked != nil {
		c, err := r.o.Policy.OpenSigned(r.locked)
		if err != nil {
			return fmt.Errorf("lock %s is another log's, or was signed with another key; restore the one that belongs to this data: %w", r.o.Lock, err)
		}
		r.lockSize = c.Size
		r.claims = append(r.claims, claim{
			fmt.Sprintf("the lock %s", r.o.Lock),
			"the data directory is older than the lock, or not complete: bring back the newest one. Never restore the lock to match", c,
		})
	}
	if _, c, err := r.own(checkpointFile); err != nil {
		return err
	} else if c != nil {
		r.claims = append(r.claims, claim{
			"the published checkpoint",
			"tiles and segments are not of one log: bring back the segments that belong to them", *c,
		})
	}
	if _, c, err := r.own(markFile); err != nil {
		return err
	} else if c != nil {
		r.markSize = c.Size
		r.claims = append(r.claims, claim{
			"the mark of the tiles directory",
			"tiles and segments are not of one log: bring back the segments that belong to them", *c,
		})
	}
	return r.consult(ctx, clients)
}

// own reads a signed note of ours from the tiles directory. These files are
// derived, so that one that is missing or torn counts as none.
func (r *recovery) own(name string) (note []byte, c *proof.Checkpoint, err error) {
	note, err = readAll(r.o.FS, filepath.Join(r.tree.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	read, err := r.o.Policy.OpenSigned(note)
	if err != nil {
		r.o.Logger.Warn("a derived file is damaged and will be replaced", "file", name, "err", err)
		return nil, nil, nil
	}
	return note, &read, nil
}

// A word is what a witness says at start-up.
type word struct {
	name  string
	names []string // of its keys that are waited for
	note  []byte
	c     proof.Checkpoint
	err   error
}

// consult asks the quorum's witnesses for the newest checkpoint of ours that
// they cosigned. Every checkpoint that was ever released had a quorum; if those
// that did not answer, or not well, hold none among themselves, then one that
// did answer was part of it and has shown it.
func (r *recovery) consult(ctx context.Context, clients []*witness.Client) error {
	if r.o.Policy.Unwitnessed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*witness.Timeout+time.Second)
	defer cancel()
	words := make([]word, len(clients))
	var asked sync.WaitGroup
	for i, c := range clients {
		asked.Go(func() { words[i] = r.word(ctx, c) })
	}
	asked.Wait()
	silent := map[string]bool{}
	var why []error
	for _, w := range words {
		if w.err != nil {
			for _, name := range w.names {
				silent[name] = true
			}
			why = append(why, w.err)
		} else if w.note != nil {
			r.claims = append(r.claims, claim{
				"witness " + w.name,
				"this log was rolled back, or another one runs under its key: find the data that holds it before anything else is signed", w.c,
			})
		}
	}
	if r.o.Policy.Satisfied(silent) {
		return fmt.Errorf("too few witnesses show what they cosigned last: those missing could have cosigned a checkpoint that this data lacks; start again when they are up: %w", errors.Join(why...))
	}
	for _, err := range why {
		r.o.Logger.Warn("starting without a witness", "err", err)
	}
	return nil
}

// word asks one witness, and once more if it did not answer in time: who starts
// with the machine may find its witness still starting. One that shows less
// than it has signed for us before is not believed.
func (r *recovery) word(ctx context.Context, c *witness.Client) (w word) {
	w.name = c.Witness().Name
	for _, k := range c.Witnesses() {
		if r.waitsFor(k) {
			w.names = append(w.names, k.Name)
		}
	}
	_, w.note, w.err = c.Latest(ctx)
	if errors.Is(w.err, context.DeadlineExceeded) {
		_, w.note, w.err = c.Latest(ctx)
	}
	if errors.Is(w.err, fs.ErrNotExist) {
		w.note, w.err = nil, nil
	}
	if w.note != nil && w.err == nil {
		w.c, w.err = r.o.Policy.OpenSigned(w.note)
	}
	if least := r.cosignedBy(w.name); w.err == nil && w.c.Size < least {
		w.err = fmt.Errorf("witness %s has cosigned size %d and shows only size %d: it lost its state", w.name, least, w.c.Size)
	}
	return w
}

// cosignedBy returns the size of the published checkpoint if the witness
// cosigned it.
func (r *recovery) cosignedBy(name string) uint64 {
	note, err := readAll(r.o.FS, filepath.Join(r.tree.dir, checkpointFile))
	if err != nil {
		return 0
	}
	c, err := r.o.Policy.OpenCheckpoint(note)
	if err != nil {
		return 0
	}
	for _, w := range c.Witnesses() {
		if w == name {
			return c.Checkpoint().Size
		}
	}
	return 0
}
