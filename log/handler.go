package log

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"plastron/log/proof"
)

// Handler serves what the newest published checkpoint promises, as C2SP
// tlog-tiles: GET and HEAD of /checkpoint and /tile/…. A partial tile is served
// for every size the log ever had a checkpoint of, cut from a wider one. What
// goes beyond the published size is not there, and neither is any other file.
// Full bundles are compressed for who takes gzip.
func (l *Log) Handler() http.Handler {
	return http.HandlerFunc(l.serve)
}

func (l *Log) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	path, ok := strings.CutPrefix(r.URL.Path, "/")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "GET or HEAD", http.StatusMethodNotAllowed)
	case !ok || r.URL.RawPath != "":
		http.Error(w, "malformed path", http.StatusBadRequest)
	case path == checkpointFile:
		l.serveCheckpoint(w, r)
	case strings.HasPrefix(path, "tile/"):
		l.serveTile(w, r, path)
	default:
		http.NotFound(w, r)
	}
}

// serveCheckpoint lets caches keep a checkpoint for a second.
func (l *Log) serveCheckpoint(w http.ResponseWriter, r *http.Request) {
	p := l.publisher.published.Load()
	if p == nil {
		http.NotFound(w, r)
		return
	}
	h := sum(p.note)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=1")
	w.Header().Set("ETag", `"`+hex.EncodeToString(h[:16])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(p.note))
}

func (l *Log) serveTile(w http.ResponseWriter, r *http.Request, path string) {
	level, index, width, err := proof.ParseTilePath(path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b, err := l.published(level, index, width)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.NotFound(w, r)
		return
	case err != nil:
		l.o.Logger.Error("serve tile", "path", path, "err", err)
		http.Error(w, "the tile is damaged", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	if level == proof.Entries && width == proof.TileWidth {
		w.Header().Set("Vary", "Accept-Encoding")
		if takesGzip(r) {
			if z := l.gzipped.bundle(index, b); z != nil {
				w.Header().Set("Content-Encoding", "gzip")
				b = z
			}
		}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// servedKept is how many bytes of full tiles, and of compressed bundles, are kept
// in memory, twice.
const servedKept = 8 << 20

// A tileID names a full tile of hashes.
type tileID struct {
	level int
	index uint64
}

// published reads a tile or bundle of the published tree, and cuts it to width.
func (l *Log) published(level int, index uint64, width int) ([]byte, error) {
	p := l.publisher.published.Load()
	if p == nil {
		return nil, fs.ErrNotExist
	}
	widest := proof.WidthAt(level, index, p.size)
	if width > widest {
		return nil, fs.ErrNotExist
	}
	id, full := tileID{level, index}, level != proof.Entries && widest == proof.TileWidth
	if full {
		if b := l.fullTiles.find(id); b != nil {
			return proof.CutTile(level, b, width)
		}
	}
	b, err := readAll(l.o.FS, filepath.Join(l.tree.dir, proof.TilePath(level, index, widest)))
	if errors.Is(err, fs.ErrNotExist) && widest < proof.TileWidth {
		// It has been completed since p was loaded.
		b, err = readAll(l.o.FS, filepath.Join(l.tree.dir, proof.TilePath(level, index, proof.TileWidth)))
	}
	if err != nil {
		return nil, err
	}
	if full && len(b) == proof.TileWidth*proof.HashSize { // a torn one may be whole the next time
		l.fullTiles.keep(id, b)
	}
	return proof.CutTile(level, b, width)
}
