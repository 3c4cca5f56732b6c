package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"plastron/log/proof"
)

// Bounds on what a log may answer, in bytes.
const (
	maxCheckpoint = 64 << 10
	maxBundle     = 256 * (2 + proof.MaxEntry)
	maxTile       = 256 * 32
	maxBlob       = 4 << 20
)

// fetchTimeout bounds one answer of a log.
const fetchTimeout = 30 * time.Second

// A Reader reads a log's public files, from its URL or from a directory that
// holds a copy. What it returns is not verified.
type Reader struct {
	at   string
	read func(ctx context.Context, path string, limit int64) ([]byte, error)
}

// Open returns a reader of a log at an http(s) URL or in a directory. The
// client is used for URLs; nil is http.DefaultClient without redirects.
func Open(at string, hc *http.Client) (*Reader, error) {
	if !strings.Contains(at, "://") {
		info, err := os.Stat(at)
		if err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
		if !info.IsDir() {
			return nil, fmt.Errorf("open log: %s is neither a URL nor a directory", at)
		}
		return &Reader{at, dir(at).read}, nil
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("open log: %q is no http or https URL", at)
	}
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if hc != nil {
		c.Transport = hc.Transport
	}
	return &Reader{at, site{strings.TrimSuffix(at, "/"), &c}.read}, nil
}

// String returns the URL or directory.
func (r *Reader) String() string { return r.at }

// Checkpoint returns the newest checkpoint that the log shows, unverified.
func (r *Reader) Checkpoint(ctx context.Context) ([]byte, error) {
	return r.read(ctx, "checkpoint", maxCheckpoint)
}

// ReadTile returns a tile of width hashes, unverified ([proof.TileReader]).
func (r *Reader) ReadTile(ctx context.Context, level int, index uint64, width int) ([]byte, error) {
	b, err := r.read(ctx, proof.TilePath(level, index, width), maxTile)
	if err != nil && width < 256 && errors.Is(err, fs.ErrNotExist) {
		// A partial tile may be gone once the full one is there.
		if b, err = r.read(ctx, proof.TilePath(level, index, 256), maxTile); err == nil && len(b) > width*32 {
			b = b[:width*32]
		}
	}
	return b, err
}

// ReadBundle returns the entries of a bundle of width entries, unverified.
func (r *Reader) ReadBundle(ctx context.Context, index uint64, width int) ([][]byte, error) {
	b, err := r.read(ctx, proof.BundlePath(index, width), maxBundle)
	served := width
	if err != nil && width < 256 && errors.Is(err, fs.ErrNotExist) {
		// A partial bundle may be gone once the full one is there.
		served = 256
		b, err = r.read(ctx, proof.BundlePath(index, served), maxBundle)
	}
	if err != nil {
		return nil, err
	}
	entries, err := proof.ParseBundle(b, served)
	if err != nil {
		return nil, misbehaved("%s: %w", proof.BundlePath(index, served), err)
	}
	return entries[:width], nil
}

// Blob returns a record or a piece of evidence by its hash, which it checks.
func (r *Reader) Blob(ctx context.Context, kind string, h proof.Hash) ([]byte, error) {
	b, err := r.read(ctx, kind+"/"+h.String(), maxBlob)
	if err != nil {
		return nil, err
	}
	if proof.Hash(sum(b)) != h {
		return nil, fmt.Errorf("%s %s: the bytes served have another hash", kind, h)
	}
	return b, nil
}

type dir string

func (d dir) read(_ context.Context, path string, limit int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(string(d), filepath.FromSlash(path)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, path, limit)
}

type site struct {
	base   string
	client *http.Client
}

func (s site) read(ctx context.Context, path string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return readAll(res.Body, path, limit)
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s/%s: %w", s.base, path, fs.ErrNotExist)
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("%s/%s: %w", s.base, path, fs.ErrPermission)
	}
	return nil, fmt.Errorf("%s/%s: %s", s.base, path, res.Status)
}

func readAll(r io.Reader, path string, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", path, limit)
	}
	return b, nil
}
