package log_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// grow appends n entries, many at once.
func grow(t *testing.T, l *logtest.Log, n int) {
	t.Helper()
	var wg sync.WaitGroup
	first := l.Size()
	for i := range n {
		wg.Go(func() {
			if _, err := l.Append(t.Context(), fmt.Appendf(nil, "entry %d", first+uint64(i)), free); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// served waits until a checkpoint of that size is published.
func served(t *testing.T, l *logtest.Log, size uint64) *httptest.Server {
	t.Helper()
	web := httptest.NewServer(l.Handler())
	t.Cleanup(web.Close)
	for range 500 {
		if _, _, b := get(t, web.URL+"/checkpoint"); strings.Contains(string(b), fmt.Sprintf("\n%d\n", size)) {
			return web
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("size %d is not published", size)
	return nil
}

func get(t *testing.T, url string) (status int, h http.Header, body []byte) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err = io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header, body
}

func check(t *testing.T, l *logtest.Log, f fsck.Fetcher) error {
	t.Helper()
	v, err := note.NewVerifier(l.Signer.VKey())
	if err != nil {
		t.Fatal(err)
	}
	leaves := func(b []byte) (hashes [][]byte, err error) {
		var bundle api.EntryBundle
		if err := bundle.UnmarshalText(b); err != nil {
			return nil, err
		}
		for _, e := range bundle.Entries {
			h := tlog.RecordHash(e)
			hashes = append(hashes, h[:])
		}
		return hashes, nil
	}
	return fsck.New(l.Signer.Name(), v, f, leaves, fsck.Opts{N: 2}).Check(t.Context())
}

// TestFsck has Tessera check what is on the disk and what is served, at sizes
// around those at which tiles are completed, and a byte of it flipped.
func TestFsck(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 255, 256, 257, 1000} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			t.Parallel()
			l := logtest.New(t)
			grow(t, l, size/2)
			if size > 1 {
				served(t, l, uint64(size/2))
			}
			grow(t, l, size-size/2)
			web := served(t, l, uint64(size))
			root, err := url.Parse(web.URL + "/")
			if err != nil {
				t.Fatal(err)
			}
			overHTTP, err := client.NewHTTPFetcher(root, nil)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(l.Options.Dir, "tiles")
			if err := check(t, l, overHTTP); err != nil {
				t.Errorf("over HTTP: %v", err)
			}
			if err := check(t, l, client.FileFetcher{Root: dir}); err != nil {
				t.Errorf("on disk: %v", err)
			}
			path := filepath.Join(dir, proof.BundlePath(0, min(size, 256)))
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[2] ^= 1
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			plain, err := client.NewHTTPFetcher(root, &http.Client{Transport: &http.Transport{DisableCompression: true}})
			if err != nil {
				t.Fatal(err)
			}
			if err := check(t, l, plain); err == nil { // what is compressed may have been kept
				t.Error("a flipped byte was not caught")
			}
		})
	}
}

// tiles reads hashes through served tiles, as package tlog wants them.
type tiles struct {
	t   *testing.T
	url string
}

func (r tiles) Height() int { return 8 }

func (r tiles) ReadTiles(want []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range want {
		status, _, b := get(r.t, r.url+"/"+proof.TilePath(tile.L, uint64(tile.N), tile.W))
		if status != http.StatusOK {
			return nil, fmt.Errorf("%+v: status %d", tile, status)
		}
		data = append(data, b)
	}
	return data, nil
}

func (r tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// TestProofs compares every receipt, and consistency between checkpoints that
// were seen, with an independent implementation that reads served tiles.
func TestProofs(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Witnesses(2, 2))
	v, err := note.NewVerifier(l.Signer.VKey())
	if err != nil {
		t.Fatal(err)
	}
	open := func(msg []byte) tlog.Tree {
		t.Helper()
		n, err := note.Open(msg, note.VerifierList(v))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(n.Text, "\n")
		size, err := strconv.ParseInt(lines[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		root, err := base64.StdEncoding.DecodeString(lines[2])
		if err != nil {
			t.Fatal(err)
		}
		return tlog.Tree{N: size, Hash: tlog.Hash(root)}
	}
	type seen struct {
		entry   string
		receipt *log.Receipt
	}
	var mu sync.Mutex
	var receipts []seen
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 30 {
				entry := fmt.Sprintf("entry %d %d", i, j)
				r := mustAppend(t, l, entry)
				mu.Lock()
				receipts = append(receipts, seen{entry, r})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	web := served(t, l, 600)
	_, _, msg := get(t, web.URL+"/checkpoint")
	newest := open(msg)
	hashes := tlog.TileHashReader(newest, tiles{t, web.URL})
	for _, s := range receipts {
		p := s.receipt.Proof()
		tree, index := open(p.Checkpoint), int64(p.Index)
		var path tlog.RecordProof
		for _, h := range p.Hashes {
			path = append(path, tlog.Hash(h))
		}
		if err := tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash([]byte(s.entry))); err != nil {
			t.Fatalf("receipt %d of %d: %v", index, tree.N, err)
		}
		path, err := tlog.ProveRecord(newest.N, index, hashes)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(path, newest.N, newest.Hash, index, tlog.RecordHash([]byte(s.entry))); err != nil {
			t.Fatalf("entry %d from served tiles: %v", index, err)
		}
		consistent, err := tlog.ProveTree(newest.N, tree.N, hashes)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckTree(consistent, newest.N, newest.Hash, tree.N, tree.Hash); err != nil {
			t.Fatalf("checkpoint %d is not a prefix of %d: %v", tree.N, newest.N, err)
		}
	}
}

// TestDamagedTile flips a byte of a tile that proofs are built from.
func TestDamagedTile(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	grow(t, l, 600)
	closeLog(t, l)
	edit(t, filepath.Join(l.Options.Dir, "tiles/tile/0/000"), func(b []byte) []byte { b[100] ^= 1; return b })
	l.Open(t)
	if _, err := l.Receipt(t.Context(), 100); err == nil || !strings.Contains(err.Error(), "tile/0/000 on disk is damaged") {
		t.Errorf("%v, want the damaged tile", err)
	}
	if _, err := l.Receipt(t.Context(), 300); err != nil {
		t.Errorf("beside it: %v", err)
	}
	closeLog(t, l)
	removeAll(t, filepath.Join(l.Options.Dir, "tiles"))
	l.Open(t)
	r, err := l.Receipt(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(l.Policy); err != nil {
		t.Error(err)
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	empty := httptest.NewServer(l.Handler())
	defer empty.Close()
	for _, path := range []string{"/checkpoint", "/tile/0/000", "/tile/0/000.p/1"} {
		if status, _, _ := get(t, empty.URL+path); status != http.StatusNotFound {
			t.Errorf("empty log: GET %s: %d, want 404", path, status)
		}
	}
	grow(t, l, 300)
	web := served(t, l, 300)
	_, _, whole := get(t, web.URL+"/tile/0/000")
	_, _, bundle := get(t, web.URL+"/tile/entries/000")
	for _, c := range []struct {
		path   string
		status int
		size   int // -1: not looked at
	}{
		{"/checkpoint", 200, -1},
		{"/tile/0/000", 200, 8192},
		{"/tile/0/000.p/1", 200, 32},
		{"/tile/0/000.p/255", 200, 255 * 32},
		{"/tile/0/001.p/44", 200, 44 * 32},
		{"/tile/0/001.p/43", 200, 43 * 32},
		{"/tile/1/000.p/1", 200, 32},
		{"/tile/entries/000", 200, -1},
		{"/tile/entries/000.p/7", 200, -1},
		{"/tile/entries/001.p/44", 200, -1},
		{"/tile/0/001.p/45", 404, -1},
		{"/tile/0/001", 404, -1},
		{"/tile/0/002.p/1", 404, -1},
		{"/tile/1/000", 404, -1},
		{"/tile/1/000.p/2", 404, -1},
		{"/tile/2/000.p/1", 404, -1},
		{"/tile/63/000.p/1", 404, -1},
		{"/tile/entries/001.p/45", 404, -1},
		{"/tile/entries/x999/999.p/1", 404, -1},
		{"/tile/0/000.p/0", 400, -1},
		{"/tile/0/000.p/256", 400, -1},
		{"/tile/0/000.p/01", 400, -1},
		{"/tile/0/0", 400, -1},
		{"/tile/0/0000", 400, -1},
		{"/tile/0/x000/000", 400, -1},
		{"/tile/64/000", 400, -1},
		{"/tile/-1/000", 400, -1},
		{"/tile/00/000", 400, -1},
		{"/tile/0/000/", 400, -1},
		{"/tile/0/000.tmp", 400, -1},
		{"/tile/0/000.p/1.tmp", 400, -1},
		{"/tile/0/..%2f..%2fmark", 400, -1},
		{"/tile/0/%30%30%30", 400, -1},
		{"/tile/../mark", 400, -1},
		{"/tile/0/../../../segments/00000000", 400, -1},
		{"/tile//000", 400, -1},
		{"/tile/", 400, -1},
		{"/../segments/00000000", 404, -1},
		{"/mark", 404, -1},
		{"/", 404, -1},
		{"/checkpoint/", 404, -1},
		{"/checkpoint.tmp", 404, -1},
		{"/segments/00000000", 404, -1},
	} {
		r := httptest.NewRequest("GET", "http://log.example/", nil)
		u, err := url.Parse("http://log.example" + c.path)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = u
		w := httptest.NewRecorder()
		l.Handler().ServeHTTP(w, r)
		if w.Code != c.status || c.size >= 0 && w.Body.Len() != c.size {
			t.Errorf("GET %s: %d and %d bytes, want %d and %d", c.path, w.Code, w.Body.Len(), c.status, c.size)
		}
		h := w.Header()
		if h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s: without nosniff", c.path)
		}
		if c.status == 200 && c.path != "/checkpoint" {
			if !strings.Contains(h.Get("Cache-Control"), "immutable") || h.Get("Content-Type") != "application/octet-stream" {
				t.Errorf("GET %s: headers %v", c.path, h)
			}
			from := whole
			if strings.Contains(c.path, "entries") {
				from = bundle
			}
			if strings.Contains(c.path, "/000.p/") && !strings.HasPrefix(c.path, "/tile/1/") && !bytes.HasPrefix(from, w.Body.Bytes()) {
				t.Errorf("GET %s: not a prefix of the whole", c.path)
			}
		} else if strings.Contains(h.Get("Cache-Control"), "immutable") {
			t.Errorf("GET %s: an answer %d that caches keep for ever", c.path, w.Code)
		}
	}
}

// TestHandlerEncodings asks for the same bundle in all the ways there are.
func TestHandlerEncodings(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	grow(t, l, 300)
	web := served(t, l, 300)
	_, _, want := get(t, web.URL+"/tile/entries/000")
	for _, c := range []struct {
		path, accepts, bytes string
		gzip                 bool
		from, to             int
	}{
		{"/tile/entries/000", "", "", false, 0, len(want)},
		{"/tile/entries/000", "gzip", "", true, 0, len(want)},
		{"/tile/entries/000", "br, GZIP ;q=0.5", "", true, 0, len(want)},
		{"/tile/entries/000", "identity, gzip;q=0", "", false, 0, len(want)},
		{"/tile/entries/000", "gzipped", "", false, 0, len(want)},
		{"/tile/entries/000", "gzip", "bytes=2-9", false, 2, 10},
		{"/tile/entries/000", "", "bytes=-5", false, len(want) - 5, len(want)},
		{"/tile/entries/000.p/255", "gzip", "bytes=0-9", false, 0, 10},
	} {
		r := httptest.NewRequest("GET", c.path, nil)
		r.Header.Set("Accept-Encoding", c.accepts)
		if c.bytes != "" {
			r.Header.Set("Range", c.bytes)
		}
		w := httptest.NewRecorder()
		l.Handler().ServeHTTP(w, r)
		body := io.Reader(w.Body)
		if gzipped := w.Header().Get("Content-Encoding") == "gzip"; gzipped != c.gzip {
			t.Errorf("%+v: gzip %t", c, gzipped)
		} else if gzipped {
			z, err := gzip.NewReader(body)
			if err != nil {
				t.Fatal(err)
			}
			body = z
		}
		if strings.HasSuffix(c.path, "/000") && w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%+v: a cache would give it to who cannot read it", c)
		}
		if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, want[c.from:c.to]) {
			t.Errorf("%+v: %d, other bytes, %v", c, w.Code, err)
		}
	}
	for _, c := range []struct {
		path, bytes string
		code        int
	}{{"/tile/0/000", "bytes=9000-", 416}, {"/tile/0/000", "bytes=9-2", 416}, {"/tile/0/000", "bytes=0-31", 206}} {
		r := httptest.NewRequest("GET", c.path, nil)
		r.Header.Set("Range", c.bytes)
		w := httptest.NewRecorder()
		l.Handler().ServeHTTP(w, r)
		if w.Code != c.code {
			t.Errorf("GET %s %s: %d, want %d", c.path, c.bytes, w.Code, c.code)
		}
	}
}

func TestHandlerCheckpoint(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	mustAppend(t, l, "one")
	web := served(t, l, 1)
	status, h, body := get(t, web.URL+"/checkpoint")
	if status != 200 || h.Get("Content-Type") != "text/plain; charset=utf-8" || h.Get("Cache-Control") != "public, max-age=1" || h.Get("ETag") == "" {
		t.Errorf("%d, %v", status, h)
	}
	if _, err := l.Policy.OpenCheckpoint(body); err != nil {
		t.Errorf("the published checkpoint does not meet the policy: %v", err)
	}
	again, err := http.NewRequestWithContext(t.Context(), "GET", web.URL+"/checkpoint", nil)
	if err != nil {
		t.Fatal(err)
	}
	again.Header.Set("If-None-Match", h.Get("ETag"))
	r, err := http.DefaultClient.Do(again)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusNotModified {
		t.Errorf("the same ETag: %d, want 304", r.StatusCode)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		w := httptest.NewRecorder()
		l.Handler().ServeHTTP(w, httptest.NewRequest(method, "/checkpoint", nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d, want 405", method, w.Code)
		}
	}
}

// TestHandlerKeepsTiles has a tile torn on the disk, before it was asked for and
// after: a whole one is kept, a torn one is not.
func TestHandlerKeepsTiles(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	grow(t, l, 300)
	web := served(t, l, 300)
	path := filepath.Join(l.Options.Dir, "tiles", "tile", "0", "000")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		file   []byte
		status int
	}{{whole[:100], 500}, {nil, 500}, {whole, 200}, {whole[:100], 200}} {
		if err := os.WriteFile(path, step.file, 0o600); err != nil {
			t.Fatal(err)
		}
		status, _, b := get(t, web.URL+"/tile/0/000")
		if status != step.status || status == 200 && !bytes.Equal(b, whole) {
			t.Errorf("%d bytes on the disk: %d and %d bytes, want %d", len(step.file), status, len(b), step.status)
		}
	}
}
