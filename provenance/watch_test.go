package provenance_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"plastron/provenance"
)

// A told is a logger whose messages a test waits for.
type told chan string

func (c told) Enabled(context.Context, slog.Level) bool { return true }
func (c told) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c told) WithGroup(string) slog.Handler            { return c }
func (c told) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	c <- text
	return nil
}

// wait takes messages until one matches.
func (c told) wait(t *testing.T, pattern string) string {
	t.Helper()
	want := regexp.MustCompile(pattern)
	last := "nothing"
	for patience := time.After(30 * time.Second); ; {
		select {
		case m := <-c:
			if want.MatchString(m) {
				return m
			}
			last = m
		case <-patience:
			t.Fatalf("never told %q, last %q", pattern, last)
		}
	}
}

// watched is a verifier of the lab that watches its log through a door.
func watched(t *testing.T, l *lab, door, file string) (*provenance.Verifier, told, func()) {
	t.Helper()
	r := provenance.Root{Name: "local", TrustedRoot: l.TrustedRoot()}
	if door != "" {
		r.Tiles = []provenance.TileLog{{Origin: "127.0.0.1", URL: door, InsecureHTTP: true}}
	}
	v, err := provenance.New([]provenance.Root{r})
	if err != nil {
		t.Fatal(err)
	}
	said := make(told, 1<<16)
	stop, err := v.Watch(provenance.Watch{File: file, Every: time.Millisecond, Logger: slog.New(said)})
	if err != nil {
		t.Fatal(err)
	}
	return v, said, func() {
		t.Helper()
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
}

func mustVerify(t *testing.T, v *provenance.Verifier, bundle []byte) {
	t.Helper()
	if _, err := v.Verify(t.Context(), bundle, shop); err != nil {
		t.Fatalf("refused: %v", err)
	}
}

// mustRefuse wants a refusal that names all of these.
func mustRefuse(t *testing.T, v *provenance.Verifier, bundle []byte, names ...string) {
	t.Helper()
	_, err := v.Verify(t.Context(), bundle, shop)
	if err == nil {
		t.Fatal("accepted")
	}
	if codeOf(t, err) != provenance.CodeLog {
		t.Errorf("refused as %v", err)
	}
	for _, n := range names {
		if !strings.Contains(err.Error(), n) {
			t.Errorf("%q does not say %q", err, n)
		}
	}
}

// rootOf is the root in a bundle's proof, as messages write it.
func rootOf(t *testing.T, bundle []byte) string {
	t.Helper()
	v, ok := at(tree(string(bundle)), strings.Split("verificationMaterial.tlogEntries.0.inclusionProof.rootHash", "."))
	if !ok {
		t.Fatal("no root")
	}
	raw, err := base64.StdEncoding.DecodeString(v.(string))
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(raw)
}

// A log that signs two roots for one size is refused from then on, with what it
// showed before, by later processes too.
func TestTwoRoots(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	file := filepath.Join(t.TempDir(), "checkpoints")
	v, said, stop := watched(t, l, "", file)
	old := l.sign(t, text(slsaV1())) // under a smaller tree, shown later
	one := l.sign(t, text(slsaV1()))
	size := l.Size()
	mustVerify(t, v, one)
	mustVerify(t, v, old) // a smaller size is normal
	if err := l.Fork(size - 1); err != nil {
		t.Fatal(err)
	}
	other := l.sign(t, text(slsaV1()))
	if rootOf(t, one) == rootOf(t, other) || l.Size() != size {
		t.Fatal("the fork is none")
	}
	mustRefuse(t, v, other, rootOf(t, one), rootOf(t, other), "known since 20", "for size 1002")
	said.wait(t, "two faces")
	mustRefuse(t, v, one, "two faces") // also what is remembered as verified
	mustRefuse(t, v, l.sign(t, text(slsaV1())), "two faces")
	stop()
	v, _, stop = watched(t, l, "", file)
	mustRefuse(t, v, one, rootOf(t, one), rootOf(t, other))
	stop()
	// Another log's checkpoints are another's.
	k := newLab(t)
	v, err := provenance.New([]provenance.Root{{Name: "local", TrustedRoot: l.TrustedRoot()}, {Name: "k", TrustedRoot: k.TrustedRoot()}})
	if err != nil {
		t.Fatal(err)
	}
	mustVerify(t, v, one)
	mustRefuse(t, v, other)
	mustVerify(t, v, k.sign(t, text(slsaV1())))
}

// Sizes are remembered across restarts.
func TestRemembersAcrossRestarts(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	file := filepath.Join(t.TempDir(), "checkpoints")
	v, _, stop := watched(t, l, "", file)
	one := l.sign(t, text(slsaV1()))
	mustVerify(t, v, one)
	stop()
	if err := l.Fork(l.Size() - 1); err != nil {
		t.Fatal(err)
	}
	other := l.sign(t, text(slsaV1()))
	v, _, stop = watched(t, l, "", file)
	mustRefuse(t, v, other, rootOf(t, one), rootOf(t, other))
	stop()
	if err := os.WriteFile(file, []byte("plastron sigstore checkpoints 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := provenance.New([]provenance.Root{{Name: "local", TrustedRoot: l.TrustedRoot()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Watch(provenance.Watch{File: file}); err == nil || !strings.Contains(err.Error(), "move the file away") {
		t.Errorf("a damaged file: %v", err)
	}
}

// A fork between two sizes is found by the log's own tiles, and only by tiles
// that lead to a signed root.
func TestForkBetweenSizes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	v, said, stop := watched(t, l, l.RekorURL()+"/api/v2", "")
	defer stop()
	one := l.sign(t, text(slsaV1()))
	mustVerify(t, v, one)
	l.sign(t, text(slsaV1()))
	said.wait(t, "proven=[1-9]")
	two := l.sign(t, text(slsaV1()))
	mustVerify(t, v, two)
	for range 3 { // so that the next head is past whatever size was met
		l.sign(t, text(slsaV1()))
	}
	said.wait(t, "proven=[1-9]")
	if err := l.Fork(900); err != nil {
		t.Fatal(err)
	}
	if err := l.Grow(300); err != nil { // past all sizes met, so that none of them has two roots
		t.Fatal(err)
	}
	said.wait(t, `two faces.*origin=127\.0\.0\.1.*signed root [0-9a-f]{64} for size 100\d, known since 20.*and root [0-9a-f]{64} for size \d+, whose tree has root`)
	mustRefuse(t, v, one, "two faces")
	mustRefuse(t, v, l.sign(t, text(slsaV1())), "two faces")
}

// Whatever stands between us and the log, or the log's disk, spoils only the
// comparison: it makes no fork out of nothing.
func TestTilesThatProveNothing(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		spoil func(path string, body []byte) (status int, out []byte)
		says  string
	}{
		"flipped tile": {func(path string, b []byte) (int, []byte) {
			if strings.Contains(path, "/tile/") {
				b[7] ^= 1
			}
			return 200, b
		}, "inconsistent tile"},
		"short tile": {func(path string, b []byte) (int, []byte) {
			if strings.Contains(path, "/tile/") {
				b = b[:len(b)-1]
			}
			return 200, b
		}, "want "},
		"endless tile": {func(path string, b []byte) (int, []byte) {
			if strings.Contains(path, "/tile/") {
				b = make([]byte, 1<<20)
			}
			return 200, b
		}, "more than 8192 bytes"},
		"endless checkpoint": {func(string, []byte) (int, []byte) { return 200, make([]byte, 1<<20) }, "more than 8192 bytes"},
		"no tile": {func(path string, b []byte) (int, []byte) {
			if strings.Contains(path, "/tile/") {
				return 404, nil
			}
			return 200, b
		}, "status 404"},
		"redirect":            {func(string, []byte) (int, []byte) { return 302, nil }, "status 302"},
		"unsigned checkpoint": {func(_ string, b []byte) (int, []byte) { return 200, b[:strings.Index(string(b), "\n\n")+2] }, "checkpoint"},
		"flipped checkpoint":  {func(_ string, b []byte) (int, []byte) { b[12] ^= 1; return 200, b }, "checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			v, said, stop := watched(t, l, door(t, l, row.spoil), "")
			defer stop()
			one := l.sign(t, text(slsaV1()))
			mustVerify(t, v, one)
			l.sign(t, text(slsaV1()))
			said.wait(t, row.says)
			mustVerify(t, v, one)
			mustVerify(t, v, l.sign(t, text(slsaV1())))
		})
	}
}

// A log may throw partial tiles away once they are full.
func TestDroppedPartialTiles(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	full := strings.NewReplacer(".p/", "\x00")
	v, said, stop := watched(t, l, door(t, l, func(path string, b []byte) (int, []byte) {
		if full.Replace(path) != path && strings.Contains(path, "/tile/0/003") {
			return 404, nil
		}
		return 200, b
	}), "")
	defer stop()
	mustVerify(t, v, l.sign(t, text(slsaV1())))
	if err := l.Grow(100); err != nil { // 1001 entries are in tile 3, which is full at 1024
		t.Fatal(err)
	}
	said.wait(t, "proven=[1-9]")
}

// A head smaller than what the log signed before is told, and is no fork.
func TestOlderHead(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var first []byte
	v, said, stop := watched(t, l, door(t, l, func(path string, b []byte) (int, []byte) {
		if strings.HasSuffix(path, "/checkpoint") {
			if first == nil {
				first = b
			}
			return 200, first
		}
		return 200, b
	}), "")
	defer stop()
	said.wait(t, "agrees with its tiles")
	one := l.sign(t, text(slsaV1()))
	mustVerify(t, v, one)
	said.wait(t, "of size 1000, and it has signed 1001")
	mustVerify(t, v, one)
}

// door is the lab's log behind something that spoils what it answers.
func door(t *testing.T, l *lab, spoil func(path string, body []byte) (int, []byte)) string {
	t.Helper()
	to, err := url.Parse(l.RekorURL())
	if err != nil {
		t.Fatal(err)
	}
	p := httputil.NewSingleHostReverseProxy(to)
	p.ModifyResponse = func(r *http.Response) error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		status, out := spoil(r.Request.URL.Path, body)
		r.StatusCode, r.Body, r.ContentLength = status, io.NopCloser(strings.NewReader(string(out))), int64(len(out))
		r.Header.Del("Content-Length")
		if status == 302 {
			r.Header.Set("Location", l.RekorURL()+r.Request.URL.Path)
		}
		return nil
	}
	p.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	return s.URL
}

func TestTileLogs(t *testing.T) {
	t.Parallel()
	good := publicGood(t)
	for name, row := range map[string]struct {
		o  provenance.TileLog
		ok bool
	}{
		"https":          {provenance.TileLog{Origin: "rekor.sigstore.dev", URL: "https://rekor.sigstore.dev/api/v2"}, true},
		"unknown log":    {provenance.TileLog{Origin: "rekor.example", URL: "https://rekor.example"}, false},
		"plain http":     {provenance.TileLog{Origin: "rekor.sigstore.dev", URL: "http://rekor.sigstore.dev"}, false},
		"file":           {provenance.TileLog{Origin: "rekor.sigstore.dev", URL: "file:///etc"}, false},
		"user in URL":    {provenance.TileLog{Origin: "rekor.sigstore.dev", URL: "https://a:b@rekor.sigstore.dev"}, false},
		"query":          {provenance.TileLog{Origin: "rekor.sigstore.dev", URL: "https://rekor.sigstore.dev?x"}, false},
		"no URL":         {provenance.TileLog{Origin: "rekor.sigstore.dev"}, false},
		"control in URL": {provenance.TileLog{Origin: "rekor.sigstore.dev", URL: "https://rekor\n"}, false},
	} {
		r := good
		r.Tiles = []provenance.TileLog{row.o}
		if _, err := provenance.New([]provenance.Root{r}); (err == nil) != row.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// insecure_http leads to loopback addresses only.
func TestTilesOverHTTPStayHome(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	_, said, stop := watched(t, l, "http://192.0.2.1:9", "")
	said.wait(t, "loopback")
	stop()
}

func TestWatchStops(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hang.Close)
	v, err := provenance.New([]provenance.Root{{
		Name: "local", TrustedRoot: l.TrustedRoot(),
		Tiles: []provenance.TileLog{{Origin: "127.0.0.1", URL: hang.URL, InsecureHTTP: true}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	stop, err := v.Watch(provenance.Watch{File: filepath.Join(t.TempDir(), "no", "such", "folder"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	mustVerify(t, v, l.sign(t, text(slsaV1())))
	if err := stop(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("written into a folder that is not there: %v", err)
	}
}
