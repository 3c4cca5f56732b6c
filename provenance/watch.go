package provenance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// A Watch says how a verifier keeps what it remembers of transparency logs.
type Watch struct {
	File   string           // where it is written; "" keeps it in memory alone
	Every  time.Duration    // between writes, and between comparisons with the logs' tiles; default 5 min
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default
}

// Watch reads what an earlier process remembered and then, until stop is called,
// writes down what is met and proves it consistent with the tiles of each
// [TileLog] of the roots. It is called at most once, before the first Verify,
// by the only process that uses the file. A crash forgets what was met since the
// last write; a fork is written down at once.
func (v *Verifier) Watch(o Watch) (stop func() error, err error) {
	if o.Every <= 0 {
		o.Every = 5 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now != nil {
		v.logs.now = o.Now
	}
	if o.File != "" {
		if err := v.logs.load(o.File); err != nil {
			return nil, err
		}
	}
	w := &watch{Watch: o, v: v, found: make(chan struct{}, 1), done: make(chan struct{})}
	v.logs.forked = w.forked
	ctx, cancel := context.WithCancel(context.Background())
	go w.run(ctx) // ended by stop
	return func() error {
		cancel()
		<-w.done
		return w.save()
	}, nil
}

type watch struct {
	Watch
	v     *Verifier
	found chan struct{} // holds one when a fork is to be written down
	done  chan struct{} // closed when run has returned
}

// forked is called with the memory's lock held.
func (w *watch) forked(id treeID, f *fork) {
	w.Logger.Error("a Sigstore transparency log shows two faces; nothing by it is believed any more",
		"origin", id.origin, "key", fmt.Sprintf("%x", id.key), "how", f.how)
	select {
	case w.found <- struct{}{}:
	default:
	}
}

func (w *watch) run(ctx context.Context) {
	defer close(w.done)
	for round := time.After(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-w.found:
		case <-round:
			w.compare(ctx)
			round = time.After(w.Every)
		}
		if err := w.save(); err != nil {
			w.Logger.Error("write down the checkpoints of Sigstore's logs", "err", err)
		}
	}
}

func (w *watch) save() error {
	if w.File == "" {
		return nil
	}
	return w.v.logs.save(w.File)
}

// compare asks each log that serves tiles.
func (w *watch) compare(ctx context.Context) {
	for _, r := range w.v.roots {
		for _, l := range r.tiles {
			ctx, cancel := context.WithTimeout(ctx, roundTimeout)
			proven, err := w.v.logs.compare(ctx, l)
			cancel()
			switch {
			case errors.Is(err, context.Canceled):
			case err != nil:
				w.Logger.Warn("a Sigstore transparency log could not be compared with its tiles", "origin", l.id.origin, "url", l.url, "err", err)
			default:
				w.Logger.Debug("a Sigstore transparency log agrees with its tiles", "origin", l.id.origin, "proven", proven)
			}
		}
	}
}

// compare proves every remembered size of a log a prefix of its newest tree. An
// error is no fork: tiles are not signed, so whatever does not lead to a signed
// root is noise. A fork is two signed roots, of which the tiles under the one
// lead elsewhere than to the other.
func (m *logMemory) compare(ctx context.Context, l *tileLog) (proven int, err error) {
	head, err := l.head(ctx)
	if err != nil {
		return 0, err
	}
	newest := m.newest(l.id)
	if err := m.meet([]checkpoint{head}); err != nil {
		return 0, err
	}
	if head.size < newest {
		err = fmt.Errorf("its newest checkpoint is of size %d, and it has signed %d", head.size, newest)
	}
	prefix := l.prefixes(ctx, head)
	for _, s := range m.unproven(l.id, head.size) {
		if s.size == head.size || s.size == 0 {
			continue
		}
		root, cause := prefix(s.size)
		if cause != nil {
			return proven, fmt.Errorf("tiles under its checkpoint of size %d: %w", head.size, cause)
		}
		if root != s.root {
			m.diverge(l.id, fmt.Sprintf("it signed root %s for size %d, known since %s, and root %s for size %d, whose tree has root %s at that size",
				s.root, s.size, stamp(s.since), head.root, head.size, root))
			return proven, errors.New("forked")
		}
		m.prove(l.id, s.size)
		proven++
	}
	return proven, err
}
