package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"plastron/log"
	"plastron/log/proof"
)

// A Mirror copies a log into a directory of static files (C2SP tlog-tiles):
// checkpoint, tile/<L>/<N>[.p/<W>], tile/entries/<N>[.p/<W>]. It believes
// nothing: entries are written once they are hashed up to a checkpoint that
// meets the policy and extends the one that the directory has; tiles are not
// copied but computed from them. The checkpoint is written last, when all that
// it promises is durable, so that a directory that was interrupted is the older
// mirror, and goes on where it was.
type Mirror struct {
	From     *Reader
	Policy   *proof.Policy
	Dir      string
	Records  string                   // directory for decision records, which are not public; "" for none
	Progress func(done, total uint64) // nil: nobody asks
}

// A Mirrored is what a mirror holds.
type Mirrored struct {
	Origin  string     `json:"origin"`
	Size    uint64     `json:"size"`
	Root    proof.Hash `json:"root"`
	From    uint64     `json:"from"`             // size that it had before
	Records int        `json:"records,omitzero"` // copied now
	Gone    int        `json:"gone,omitzero"`    // records that the log does not have any more
}

// Update copies what is new. The error is a [ForkError] or another
// [ErrMisbehaved] if the log does not go on from what the mirror has.
func (m *Mirror) Update(ctx context.Context) (*Mirrored, error) {
	if err := os.MkdirAll(m.Dir, 0o755); err != nil {
		return nil, err
	}
	held, err := log.Disk().Lock(filepath.Join(m.Dir, "mirror.lock"))
	if err != nil {
		return nil, fmt.Errorf("one process writes a mirror: %w", err)
	}
	done, err := m.update(ctx)
	if err = errors.Join(err, held.Close()); err != nil {
		return nil, err
	}
	return done, nil
}

func (m *Mirror) update(ctx context.Context) (*Mirrored, error) {
	own, err := Open(m.Dir, nil)
	if err != nil {
		return nil, err
	}
	var was proof.Checkpoint
	older, err := own.Checkpoint(ctx)
	if err == nil {
		was, err = m.Policy.OpenSigned(older)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("mirror %s: %w", m.Dir, err)
	}
	c, err := newest(ctx, m.From, m.Policy, was.Size)
	if err == nil && older != nil {
		err = extends(ctx, m.From, was, c.Checkpoint())
	}
	if err != nil && c != nil {
		return nil, convict(ctx, m.From, m.Policy, older, c.Note(), err)
	}
	if err != nil {
		return nil, err
	}
	now := c.Checkpoint()
	if older == nil || was.Size < now.Size {
		if err := m.copy(ctx, own, was.Size, now); err != nil {
			return nil, err
		}
	}
	if err := log.Disk().SyncAll(m.Dir); err != nil {
		return nil, err
	}
	if err := replaceFile(filepath.Join(m.Dir, "checkpoint"), c.Note()); err != nil {
		return nil, err
	}
	done := &Mirrored{Origin: now.Origin, Size: now.Size, Root: now.Root, From: was.Size}
	return done, m.records(ctx, own, done)
}

// copy brings the directory from one size to that of a checkpoint which extends
// it. It begins with the last bundle that was not full.
func (m *Mirror) copy(ctx context.Context, own *Reader, size uint64, now proof.Checkpoint) error {
	base := size / 256 * 256
	tree, err := proof.ReadRange(ctx, own, base)
	if err != nil {
		return m.damaged(err)
	}
	remote := proof.NewCache(m.From, 0)
	if err := leads(ctx, remote, tree, now); err != nil {
		return m.damaged(err)
	}
	w := &tileWriter{dir: m.Dir}
	if err := w.open(ctx, own, base); err != nil {
		return m.damaged(err)
	}
	for from := base; from < now.Size; {
		to := min(now.Size, (from/stepSize+1)*stepSize)
		step, err := m.step(ctx, own, remote, tree, to, now)
		if err != nil {
			return err
		}
		if err := w.put(step); err != nil {
			return err
		}
		tree, from = step.tree, to
		if m.Progress != nil {
			m.Progress(to, now.Size)
		}
	}
	return w.finish(now.Size)
}

func (m *Mirror) damaged(err error) error {
	return fmt.Errorf("the mirror %s is damaged: move it away and make it anew: %w", m.Dir, err)
}

// leads proves that a tree is the beginning of a checkpoint's.
func leads(ctx context.Context, tiles *proof.Cache, tree *proof.Range, now proof.Checkpoint) error {
	hashes, err := proof.Consistency(ctx, tiles, tree.Size(), now.Size)
	if err != nil {
		return err
	}
	return proof.VerifyConsistency(tree.Size(), now.Size, hashes, tree.Root(), now.Root)
}

// A mirrorStep is a piece of the log that was verified.
type mirrorStep struct {
	first   uint64     // number of the first bundle
	bundles [][][]byte // entries of each
	tree    *proof.Range
	nodes   []tileHash
}

// A tileHash is a hash that stands in a tile.
type tileHash struct {
	level int // of the tile
	index uint64
	hash  proof.Hash
}

// step reads the entries up to a size, from the directory if an interrupted run
// left them there, otherwise from the log, and verifies them.
func (m *Mirror) step(ctx context.Context, own *Reader, remote *proof.Cache, tree *proof.Range, to uint64, now proof.Checkpoint) (*mirrorStep, error) {
	if s, err := readStep(ctx, own, tree, to); err == nil && leads(ctx, remote, s.tree, now) == nil {
		return s, nil
	}
	s, err := readStep(ctx, m.From, tree, to)
	if err != nil {
		return nil, err
	}
	if err := leads(ctx, remote, s.tree, now); err != nil {
		return nil, misbehaved("entries %d to %d are not those that it signed: %w", tree.Size(), to-1, err)
	}
	return s, nil
}

func readStep(ctx context.Context, r *Reader, tree *proof.Range, to uint64) (*mirrorStep, error) {
	s := &mirrorStep{first: tree.Size() / 256}
	var err error
	if s.tree, err = proof.OpenRange(tree.Size(), tree.Hashes()); err != nil {
		return nil, err
	}
	if s.bundles, err = readBundles(ctx, r, s.first, to); err != nil {
		return nil, err
	}
	for _, entries := range s.bundles {
		for _, e := range entries {
			s.tree.Append(proof.LeafHash(e), func(level uint, index uint64, h proof.Hash) {
				if level%8 == 0 {
					s.nodes = append(s.nodes, tileHash{int(level / 8), index, h})
				}
			})
		}
	}
	return s, nil
}

// readBundles reads the bundles of a step at once.
func readBundles(ctx context.Context, r *Reader, first, to uint64) ([][][]byte, error) {
	out := make([][][]byte, (to+255)/256-first)
	bad := make([]error, len(out))
	var reading sync.WaitGroup
	for i := range out {
		n := first + uint64(i)
		reading.Go(func() { out[i], bad[i] = r.ReadBundle(ctx, n, int(min(256, to-n*256))) })
	}
	reading.Wait()
	return out, errors.Join(bad...)
}

// A tileWriter writes bundles and tiles. It holds the tile of each level that is
// not full.
type tileWriter struct {
	dir     string
	partial [8][]byte
}

// open reads the tiles that are not full at a size which fills its last bundle.
func (w *tileWriter) open(ctx context.Context, own *Reader, size uint64) error {
	for level := 1; level < len(w.partial); level++ {
		hashes := size >> (8 * level)
		if width := int(hashes % 256); width > 0 {
			b, err := own.ReadTile(ctx, level, hashes/256, width)
			if err != nil {
				return err
			}
			w.partial[level] = b
		}
	}
	return nil
}

func (w *tileWriter) put(s *mirrorStep) error {
	for i, entries := range s.bundles {
		b, err := proof.MarshalBundle(entries)
		if err != nil {
			return err
		}
		if err := w.write(proof.Entries, s.first+uint64(i), len(entries), b); err != nil {
			return err
		}
	}
	for _, n := range s.nodes {
		w.partial[n.level] = append(w.partial[n.level], n.hash[:]...)
		if len(w.partial[n.level]) == 256*proof.HashSize {
			if err := w.write(n.level, n.index/256, 256, w.partial[n.level]); err != nil {
				return err
			}
			w.partial[n.level] = nil
		}
	}
	return nil
}

// finish writes the tiles that are not full.
func (w *tileWriter) finish(size uint64) error {
	for level, b := range w.partial {
		if len(b) > 0 {
			if err := w.write(level, size>>(8*level)/256, len(b)/proof.HashSize, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// write puts a tile or bundle in its place, whole; it is durable with all the
// others, before the checkpoint. The partial ones go once the full one is there.
func (w *tileWriter) write(level int, index uint64, width int, b []byte) error {
	path := filepath.Join(w.dir, filepath.FromSlash(proof.TilePath(level, index, width)))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", b, 0o644); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	if width < 256 {
		return nil
	}
	return os.RemoveAll(path + ".p")
}

// recordsFile says how many entries the records of which are there.
const recordsFile = "size"

// records copies the decision records of SVIDs, for whom the log gives them to.
func (m *Mirror) records(ctx context.Context, own *Reader, done *Mirrored) error {
	if m.Records == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(m.Records, "record"), 0o700); err != nil {
		return err
	}
	var from uint64
	text, err := os.ReadFile(filepath.Join(m.Records, recordsFile))
	if err == nil {
		from, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) || from > done.Size {
		return fmt.Errorf("records %s: %s is not how many entries they are of: %v", m.Records, recordsFile, err)
	}
	for from < done.Size {
		to := min(done.Size, (from/stepSize+1)*stepSize)
		entries, err := readRange(ctx, own, from, to)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.tbs == nil {
				continue
			}
			if err := m.record(ctx, proof.Hash(e.tbs.Decision.Record), done); err != nil {
				return fmt.Errorf("record of %s: %w", e.tbs.ID, err)
			}
		}
		from = to
		if err := replaceFile(filepath.Join(m.Records, recordsFile), fmt.Appendf(nil, "%d\n", from)); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mirror) record(ctx context.Context, h proof.Hash, done *Mirrored) error {
	path := filepath.Join(m.Records, "record", h.String())
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	b, err := m.From.Blob(ctx, "record", h)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		done.Gone++
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the log gives records to its auditors: show the SVID of one: %w", err)
	case err != nil:
		return err
	}
	if err := os.WriteFile(path+".tmp", b, 0o600); err != nil {
		return err
	}
	done.Records++
	return os.Rename(path+".tmp", path)
}

// ServeDir serves a mirror as the log itself would: GET of /checkpoint and
// /tile/…, a partial tile cut from the full one where that has replaced it, and
// no other file.
func ServeDir(dir string) (http.Handler, error) {
	r, err := Open(dir, nil)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /checkpoint", func(w http.ResponseWriter, req *http.Request) {
		b, err := r.Checkpoint(req.Context())
		answer(w, "text/plain; charset=utf-8", "public, max-age=1", b, err)
	})
	mux.HandleFunc("GET /tile/", func(w http.ResponseWriter, req *http.Request) {
		level, index, width, err := proof.ParseTilePath(strings.TrimPrefix(req.URL.Path, "/"))
		if err != nil || req.URL.RawPath != "" {
			http.Error(w, "malformed path", http.StatusBadRequest)
			return
		}
		var b []byte
		if level == proof.Entries {
			var entries [][]byte
			if entries, err = r.ReadBundle(req.Context(), index, width); err == nil {
				b, err = proof.MarshalBundle(entries)
			}
		} else {
			b, err = r.ReadTile(req.Context(), level, index, width)
		}
		answer(w, "application/octet-stream", "public, max-age=31536000, immutable", b, err)
	})
	return mux, nil
}

func answer(w http.ResponseWriter, contentType, cache string, b []byte, err error) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "not here", http.StatusNotFound)
	case err != nil:
		http.Error(w, "the mirror could not read it", http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", cache)
		_, _ = w.Write(b)
	}
}
