package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"plastron/log/proof"
)

// Pace of the publisher.
const (
	// publishEvery is the least time between two publications: what is
	// released within it is published together.
	publishEvery = 100 * time.Millisecond
	// syncEvery is how often what was published is made durable, so that less
	// of it is derived again after a crash.
	syncEvery = 10 * time.Second
)

// A publisher derives the public files from the segments: bundles and tiles,
// then the checkpoint that promises them. They are durable up to the mark
// only; above it a crash may lose or tear them.
type publisher struct {
	due       chan struct{} // holds a token while there may be something to do
	published atomic.Pointer[publication]
	marked    uint64 // size up to which the files are durable

	signed *proof.Cosigned // the checkpoint that line is of; both the publisher's own
	line   []byte          // by the log's ML-DSA key

	mu       sync.Mutex // guards both below
	attached []byte     // lines by witnesses outside the quorum
	size     uint64     // of the checkpoint they cosigned
}

// A publication is a checkpoint that is being served.
type publication struct {
	size uint64
	note []byte // as the file has it
}

// wake says that there is a new checkpoint.
func (p *publisher) wake() {
	select {
	case p.due <- struct{}{}:
	default:
	}
}

// attach adds a verified line to the published checkpoint, if it is still the
// one of that size.
func (p *publisher) attach(size uint64, line []byte) {
	p.mu.Lock()
	if size != p.size {
		p.attached, p.size = nil, size
	}
	p.attached = append(p.attached, line...)
	p.mu.Unlock()
	p.wake()
}

// note returns what is to be published of a checkpoint. After a restart c may be
// what was published before, with all lines on it.
func (p *publisher) note(c *proof.Cosigned) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	note := proof.AppendLines(c.Note(), p.line)
	if p.size != c.Checkpoint().Size {
		return note
	}
	return proof.AppendLines(note, p.attached)
}

// sign has the log's ML-DSA key sign a checkpoint, once.
func (l *Log) sign(c *proof.Cosigned) (err error) {
	p := &l.publisher
	if l.o.MLDSA == nil || p.signed == c {
		return nil
	}
	if p.line, err = l.o.MLDSA.Cosign(c.Note(), l.o.Now()); err != nil {
		return fmt.Errorf("sign what is published: %w", err)
	}
	p.signed = c
	return nil
}

// publishAll publishes the newest cosigned checkpoint, now and again, until
// ctx ends; then once more, and makes all of it durable.
func (l *Log) publishAll(ctx context.Context) {
	defer l.following.Done()
	sync := time.NewTicker(syncEvery)
	defer sync.Stop()
	for {
		err := error(nil)
		select {
		case <-l.publisher.due:
			err = l.publish()
		case <-sync.C:
			err = l.mark()
		case <-l.poisoned:
			return
		case <-ctx.Done():
			if err := errors.Join(l.publish(), l.mark()); err != nil {
				l.poison(err)
			}
			return
		}
		if err != nil {
			l.poison(err)
			return
		}
		select {
		case <-time.After(publishEvery):
		case <-ctx.Done():
		}
	}
}

// publish writes what the newest cosigned checkpoint promises beyond the last
// publication, and the checkpoint last.
func (l *Log) publish() error {
	c := l.cosigned.Load()
	if c == nil {
		return nil
	}
	p, size, from := &l.publisher, c.Checkpoint().Size, l.publisher.marked
	if err := l.sign(c); err != nil {
		return err
	}
	note := p.note(c)
	if last := p.published.Load(); last != nil {
		if from = last.size; bytes.Equal(last.note, note) {
			return nil
		}
	}
	if err := l.derive(from, size); err != nil {
		return fmt.Errorf("publish size %d: %w", size, err)
	}
	if err := l.replace("checkpoint", note); err != nil {
		return fmt.Errorf("publish checkpoint of size %d: %w", size, err)
	}
	p.published.Store(&publication{size, note})
	l.tree.trim(size)
	return nil
}

// derive writes the bundles and tiles of the tree of size to that the tree of
// size from has not. Tiles that it completes replace their partial ones.
func (l *Log) derive(from, to uint64) error {
	for t := range proof.Grown(from, to) {
		if err := l.tile(t); err != nil {
			return err
		}
	}
	return nil
}

// tile writes one tile or bundle.
func (l *Log) tile(t proof.Tile) (err error) {
	var b []byte
	if t.Level == proof.Entries {
		b, err = l.bundle(t.Index, t.Width)
	} else {
		b, err = l.tree.ReadTile(l.life, t.Level, t.Index, t.Width)
	}
	if err != nil {
		return err
	}
	path := t.Path()
	if err := l.replace(path, b); err != nil || t.Width < proof.TileWidth {
		return err
	}
	return l.dropPartials(path + ".p")
}

// bundle reads entries for a bundle from the segments.
func (l *Log) bundle(index uint64, width int) ([]byte, error) {
	entries := make([][]byte, 0, width)
	from := index * proof.TileWidth
	for e, err := range l.entries(context.Background(), from, from+uint64(width)) {
		if err != nil {
			return nil, err
		}
		entries = append(entries, e.Entry)
	}
	return proof.MarshalBundle(entries)
}

// dropPartials removes the partial tiles of a tile that is full now.
func (l *Log) dropPartials(dir string) error {
	dir = filepath.Join(l.tree.dir, dir)
	names, err := l.o.FS.List(dir)
	if err != nil || len(names) == 0 {
		return err
	}
	for _, n := range names {
		if err := l.o.FS.Remove(filepath.Join(dir, n)); err != nil {
			return err
		}
	}
	return l.o.FS.Remove(dir)
}

// replace writes a file below the tiles directory so that a reader sees the
// old bytes or the new ones. It is not durable yet.
func (l *Log) replace(path string, b []byte) error {
	name := filepath.Join(l.tree.dir, path)
	if path != checkpointFile && path != markFile {
		if err := l.immutable(name, b); err != nil {
			return err
		}
	}
	tmp := name + ".tmp"
	f, err := l.o.FS.Open(tmp, true)
	if err != nil {
		return err
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt(b, 0)
	}
	if path == markFile && err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return l.o.FS.Rename(tmp, name)
}

// Files below the tiles directory that change.
const (
	checkpointFile = "checkpoint"
	markFile       = "mark"
)

// immutable refuses to replace a tile by another one. A tile above the mark may
// have been torn by a crash: then its bytes are ours, or zeros, or missing.
func (l *Log) immutable(name string, b []byte) error {
	old, err := readAll(l.o.FS, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	ok := len(old) <= len(b)
	for i := 0; ok && i < len(old); i++ {
		ok = old[i] == b[i] || old[i] == 0
	}
	if !ok {
		return fmt.Errorf("%s holds other bytes than the segments say: move the tiles directory away and start again, all of it is derived anew", name)
	}
	return nil
}

// mark makes what is published durable, and then says so: recovery derives
// only what is above the mark.
func (l *Log) mark() error {
	p := l.publisher.published.Load()
	if p == nil || p.size == l.publisher.marked {
		return nil
	}
	if err := l.o.FS.SyncAll(l.tree.dir); err != nil {
		return fmt.Errorf("sync tiles: %w", err)
	}
	if err := l.replace(markFile, p.note); err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	if err := l.o.FS.SyncDir(l.tree.dir); err != nil {
		return fmt.Errorf("sync mark: %w", err)
	}
	l.publisher.marked = p.size
	return nil
}
