package provenance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"plastron/log/proof"
)

// A TileLog says where a transparency log of a trust root serves its tiles, so
// that what it signs can be compared with what it serves (C2SP tlog-tiles; of
// Sigstore's logs Rekor v2).
type TileLog struct {
	Origin       string // the log's name in checkpoints, the host of its base URL in the trust root
	URL          string // prefix of "/checkpoint" and "/tile/…"
	InsecureHTTP bool   // plain http, to loopback addresses only
}

// Bounds on what a log is asked for.
const (
	tileTimeout  = 10 * time.Second // one answer, whole
	roundTimeout = 2 * time.Minute  // one comparison of one log
	tileHeight   = 8
	tileBytes    = 1 << tileHeight * tlog.HashSize
	maxTiles     = 1024 // of 8 KiB, kept during one comparison
)

// A tileLog is a tile log, ready to be asked.
type tileLog struct {
	*rekorLog
	id     treeID
	url    string
	client *http.Client
}

func newTileLog(o TileLog, l *rekorLog) (*tileLog, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil:
		return nil, err
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q: want a URL of scheme, host and path alone", o.URL)
	case u.Scheme == "http" && o.InsecureHTTP:
	case u.Scheme != "https":
		return nil, fmt.Errorf("%q: want https, or http with insecure_http for loopback", o.URL)
	}
	return &tileLog{rekorLog: l, id: treeID{l.key, o.Origin}, url: strings.TrimSuffix(o.URL, "/"), client: tileClient(o.InsecureHTTP)}, nil
}

// tileClient follows nothing, keeps nothing and uses no proxy.
func tileClient(loopback bool) *http.Client {
	dialer := &net.Dialer{Timeout: tileTimeout}
	if loopback {
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			if at, err := netip.ParseAddrPort(address); err != nil || !at.Addr().Unmap().IsLoopback() {
				return errors.New("refused: insecure_http is for loopback addresses")
			}
			return nil
		}
	}
	return &http.Client{
		Timeout:       tileTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    tileTimeout,
			DisableCompression:     true, // so that bounds are on what is decoded, too
			IdleConnTimeout:        tileTimeout,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

var errNoTile = errors.New("status 404")

// get fetches one document of at most so many bytes.
func (l *tileLog) get(ctx context.Context, path string, most int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "plastron")
	resp, err := l.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, fmt.Errorf("GET %s: %w", req.URL, errNoTile)
	default:
		return nil, fmt.Errorf("GET %s: status %d, want 200", req.URL, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", req.URL, err)
	}
	if int64(len(body)) > most {
		return nil, fmt.Errorf("GET %s: more than %d bytes", req.URL, most)
	}
	return body, nil
}

// head fetches the log's newest checkpoint and checks its signature.
func (l *tileLog) head(ctx context.Context) (checkpoint, error) {
	text, err := l.get(ctx, "checkpoint", maxCheckpoint)
	if err != nil {
		return checkpoint{}, err
	}
	n, err := note.Open(text, note.VerifierList(l.noted))
	if err != nil {
		return checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := proof.ParseCheckpoint(n.Text)
	if err != nil {
		return checkpoint{}, err
	}
	if c.Origin != l.id.origin {
		return checkpoint{}, fmt.Errorf("checkpoint of %.80q, want %q", c.Origin, l.id.origin)
	}
	return checkpoint{l.id, c.Size, c.Root}, nil
}

// prefixes gives roots of smaller trees that the tree under a head begins with.
// x/mod's reader lets no tile through that does not lead to the head's root.
func (l *tileLog) prefixes(ctx context.Context, head checkpoint) func(size uint64) (proof.Hash, error) {
	tiles := &tileReader{ctx: ctx, log: l, kept: make(map[tlog.Tile][]byte)}
	r := tlog.TileHashReader(tlog.Tree{N: int64(head.size), Hash: tlog.Hash(head.root)}, tiles)
	return func(size uint64) (proof.Hash, error) {
		h, err := tlog.TreeHash(int64(size), r)
		return proof.Hash(h), err
	}
}

// A tileReader is x/mod's way to the tiles of one tree, for one comparison.
type tileReader struct {
	ctx  context.Context
	log  *tileLog
	kept map[tlog.Tile][]byte
}

func (r *tileReader) Height() int { return tileHeight }

func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		if out[i] = r.kept[t]; out[i] != nil {
			continue
		}
		var err error
		if out[i], err = r.read(t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// read fetches a tile. A log may have dropped a partial one when it was full.
func (r *tileReader) read(t tlog.Tile) ([]byte, error) {
	want := t.W * tlog.HashSize
	b, err := r.log.get(r.ctx, proof.TilePath(t.L, uint64(t.N), t.W), tileBytes)
	if errors.Is(err, errNoTile) && t.W < 1<<tileHeight {
		if b, err = r.log.get(r.ctx, proof.TilePath(t.L, uint64(t.N), 1<<tileHeight), tileBytes); len(b) > want {
			b = b[:want]
		}
	}
	if err == nil && len(b) != want {
		err = fmt.Errorf("tile %s of %d bytes, want %d", t.Path(), len(b), want)
	}
	return b, err
}

// SaveTiles keeps tiles that lead to the root.
func (r *tileReader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, t := range tiles {
		if len(r.kept) < maxTiles {
			r.kept[t] = data[i]
		}
	}
}
