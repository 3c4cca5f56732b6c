package log

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"plastron/log/proof"
	"plastron/log/witness"
)

// Open opens the log in o.Dir, or makes an empty one where neither data nor
// lock are. It returns after every entry has been applied, when it is certain
// that no later checkpoint of this log has left it; see the package comment for
// what it refuses. ctx bounds the questions to the witnesses.
func Open(ctx context.Context, o Options) (*Log, error) {
	if err := o.defaults(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{
		o:        o,
		segments: &segments{fs: o.FS, dir: filepath.Join(o.Dir, "segments"), size: o.Segment},
		tree:     newTree(o.FS, filepath.Join(o.Dir, "tiles")),
		blobs:    blobs{at: make(map[proof.Hash]blobPlace)},
		spent:    make(map[proof.Hash]uint64),
		filling:  make(chan struct{}, 1),
		poisoned: make(chan struct{}),
		closing:  make(chan struct{}),
		done:     make(chan struct{}),
	}
	l.cache = proof.NewCache(l.tree, 64)
	l.publisher.due = make(chan struct{}, 1)
	l.life, l.stop = context.WithCancel(context.Background())
	if err := l.start(ctx); err != nil {
		l.stop()
		return nil, errors.Join(fmt.Errorf("open log %s: %w", o.Dir, err), l.giveUp())
	}
	return l, nil
}

// giveUp closes what a failed start has opened.
func (l *Log) giveUp() (err error) {
	if l.segments.file != nil {
		err = l.segments.close()
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.close())
	}
	if l.writer != nil {
		err = errors.Join(err, l.writer.Close())
	}
	return err
}

// start takes the directories, gathers every checkpoint of ours that anybody
// shows, replays the segments past all of them, and only then writes.
func (l *Log) start(ctx context.Context) (err error) {
	clients, observers, err := l.clients()
	if err != nil {
		return err
	}
	for _, dir := range []string{l.segments.dir, l.tree.dir, l.o.Lock} {
		if err := l.o.FS.SyncDir(dir); err != nil {
			return err
		}
	}
	if l.writer, err = l.o.FS.Lock(filepath.Join(l.o.Dir, "writer")); err != nil {
		return fmt.Errorf("one process writes a log: %w", err)
	}
	var locked []byte
	if l.lock, locked, err = openLock(l.o.FS, l.o.Lock); err != nil {
		return fmt.Errorf("lock %s: %w", l.o.Lock, err)
	}
	r := &recovery{Log: l, locked: locked}
	if err := r.gather(ctx, clients); err != nil {
		return err
	}
	if err := r.replay(); err != nil {
		return err
	}
	if err := r.mend(); err != nil {
		return err
	}
	l.rounds = newRounds(clients)
	l.launch(observers)
	return nil
}

// launch starts the goroutines that Close stops.
func (l *Log) launch(observers []*witness.Client) {
	l.committing.Add(1)
	go l.commitAll()
	l.following.Add(1)
	go l.publishAll(l.life)
	l.publisher.wake()
	if l.o.Policy.Unwitnessed() {
		return
	}
	l.following.Add(1 + len(observers))
	go l.witnessAll(l.life)
	for _, c := range observers {
		go l.observe(l.life, c)
	}
	if l.Size() > 0 {
		l.rounds.wake()
	}
}

// clients returns a client of each witness of the quorum, and of each other
// that has a URL.
func (l *Log) clients() (quorum, observers []*witness.Client, err error) {
	given := map[string]*witness.Client{}
	for _, c := range l.o.Witnesses {
		given[c.Witness().VKey] = c
	}
	for _, w := range l.o.Policy.Witnesses() {
		c := given[w.VKey]
		if c == nil && l.o.Witnesses == nil && w.URL != "" {
			if c, err = witness.NewClient(l.o.Policy, w, nil); err != nil {
				return nil, nil, err
			}
		}
		switch {
		case c == nil && w.Quorum:
			return nil, nil, fmt.Errorf("witness %s of the quorum has no URL in the log policy: its line needs one where the gate runs", w.Name)
		case c == nil:
		case w.Quorum:
			quorum = append(quorum, c)
		default:
			observers = append(observers, c)
		}
	}
	return quorum, observers, nil
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
	name string
	note []byte
	c    proof.Checkpoint
	err  error
}

// consult asks the quorum's witnesses for the newest checkpoint of ours that
// they cosigned. Every checkpoint that was ever released had a quorum; if those
// that did not answer, or not well, hold none among themselves, then one that
// did answer was part of it and has shown it.
func (r *recovery) consult(ctx context.Context, clients []*witness.Client) error {
	if r.o.Policy.Unwitnessed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
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
			silent[w.name] = true
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

// word asks one witness. One that shows less than it has signed for us before
// is not believed.
func (r *recovery) word(ctx context.Context, c *witness.Client) (w word) {
	w.name = c.Witness().Name
	_, w.note, w.err = c.Latest(ctx)
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
