package log

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"

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
	l := newLog(o)
	if err := l.start(ctx); err != nil {
		l.stop()
		return nil, errors.Join(fmt.Errorf("open log %s: %w", o.Dir, err), l.giveUp())
	}
	return l, nil
}

func newLog(o Options) *Log {
	l := &Log{
		o:         o,
		segments:  &segments{fs: o.FS, dir: filepath.Join(o.Dir, "segments"), size: o.Segment},
		tree:      newTree(o.FS, filepath.Join(o.Dir, "tiles")),
		blobs:     blobs{at: make(map[proof.Hash]blobPlace)},
		spent:     make(map[proof.Hash]uint64),
		filling:   make(chan struct{}, 1),
		poisoned:  make(chan struct{}),
		closing:   make(chan struct{}),
		gzipped:   gzipped{kept: kept[uint64]{most: servedKept}},
		fullTiles: kept[tileID]{most: servedKept},
		done:      make(chan struct{}),
	}
	l.segments.failed = l.poison
	l.cache = proof.NewCache(l.tree, 64)
	l.publisher.due = make(chan struct{}, 1)
	l.life, l.stop = context.WithCancel(context.Background())
	return l
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
	r, err := l.replayed(ctx, clients)
	if err != nil {
		return err
	}
	if err := r.mend(); err != nil {
		return err
	}
	l.rounds = newRounds(clients)
	l.launch(observers)
	return nil
}

// replayed does all of a start that comes before it writes.
func (l *Log) replayed(ctx context.Context, clients []*witness.Client) (*recovery, error) {
	var err error
	for _, dir := range []string{l.segments.dir, l.tree.dir, l.o.Lock} {
		if err := l.o.FS.SyncDir(dir); err != nil {
			return nil, err
		}
	}
	if l.writer, err = l.o.FS.Lock(filepath.Join(l.o.Dir, "writer")); err != nil {
		return nil, fmt.Errorf("one process writes a log, even while it is paused: stop the other one first: %w", err)
	}
	var locked []byte
	if l.lock, locked, err = openLock(l.o.FS, l.o.Lock); err != nil {
		return nil, fmt.Errorf("lock %s: %w", l.o.Lock, err)
	}
	r := &recovery{Log: l, locked: locked, damaged: map[proof.Hash]bool{}}
	if err := r.gather(ctx, clients); err != nil {
		return nil, err
	}
	return r, r.replay()
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

// waitsFor reports whether nothing is released without a quorum that counts this
// key. ML-DSA keys are not counted if the quorum can do without them: what an
// SVID carries are Ed25519 cosignatures.
func (l *Log) waitsFor(w proof.Witness) bool {
	return w.Quorum && (!w.MLDSA || l.o.Policy.Compactable() != nil)
}

// mirrored refuses names of mirrors that could not be pushed to.
func (l *Log) mirrored() error {
	for _, name := range l.o.Mirrors {
		i := slices.IndexFunc(l.o.Policy.Witnesses(), func(w proof.Witness) bool { return w.Name == name })
		if i < 0 || l.o.Witnesses == nil && l.o.Policy.Witnesses()[i].URL == "" {
			return fmt.Errorf("mirror %q: the log policy has no witness of that name with a URL", name)
		}
	}
	return nil
}

// source is where mirrors are pushed from: durable entries, and proofs from the
// tree.
func (l *Log) source() witness.Source {
	return witness.Source{
		Entries: func(ctx context.Context, from, to uint64) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				for e, err := range l.entries(ctx, from, min(to, l.applied.Load())) {
					if !yield(e.Entry, err) {
						return
					}
				}
			}
		},
		Subtree: func(start, end, size uint64) ([]proof.Hash, error) {
			return proof.Subtree(l.life, l.cache, start, end, size)
		},
	}
}

// clients returns a client of each witness that the quorum waits for, and of
// each other that has a URL: one for all keys of a witness, for two would race
// each other at it.
func (l *Log) clients() (quorum, observers []*witness.Client, err error) {
	of := map[string]*witness.Client{}
	for _, c := range l.o.Witnesses {
		for _, k := range c.Witnesses() {
			of[k.VKey] = c
		}
	}
	if err := l.mirrored(); err != nil {
		return nil, nil, err
	}
	needed := map[*witness.Client]bool{}
	var clients []*witness.Client
	for _, w := range l.o.Policy.Witnesses() {
		c := of[w.VKey]
		if c == nil && l.o.Witnesses == nil && w.URL != "" {
			if c, err = witness.NewClient(l.o.Policy, w, nil); err != nil {
				return nil, nil, err
			}
			for _, k := range c.Witnesses() {
				of[k.VKey] = c
			}
		}
		waited := l.waitsFor(w)
		switch {
		case c == nil && waited:
			return nil, nil, fmt.Errorf("witness %s of the quorum has no URL in the log policy: its line needs one where the gate runs", w.Name)
		case c == nil:
			continue
		case !slices.Contains(clients, c):
			clients = append(clients, c)
		}
		needed[c] = needed[c] || waited
	}
	for _, c := range clients {
		if slices.ContainsFunc(c.Witnesses(), func(w proof.Witness) bool { return slices.Contains(l.o.Mirrors, w.Name) }) {
			c.Mirror(l.source())
		}
		if needed[c] {
			quorum = append(quorum, c)
		} else {
			observers = append(observers, c)
		}
	}
	return quorum, observers, nil
}
