package witness_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"plastron/log/proof"
	"plastron/log/witness"
)

// A bigLog is a log of as many entries as a test likes, kept by x/mod's tlog.
type bigLog struct {
	signer *proof.Signer
	n      int64
	stored []tlog.Hash
	fork   int64 // entries from here on are another log's
}

func newBigLog(t testing.TB, signer *proof.Signer, n, fork int64) *bigLog {
	t.Helper()
	l := &bigLog{signer: signer, fork: fork}
	for ; l.n < n; l.n++ {
		l.stored = append(l.stored, must(tlog.StoredHashes(l.n, l.entry(l.n), l))(t)...)
	}
	return l
}

func (l *bigLog) entry(i int64) []byte {
	if i >= l.fork {
		return fmt.Appendf(nil, "another entry %d", i)
	}
	return fmt.Appendf(nil, "entry %d", i)
}

func (l *bigLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hs := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		hs[i] = l.stored[x]
	}
	return hs, nil
}

func (l *bigLog) ReadTile(_ context.Context, level int, index uint64, width int) ([]byte, error) {
	return tlog.ReadTileData(tlog.Tile{H: 8, L: level, N: int64(index), W: width}, l)
}

func (l *bigLog) checkpoint(t testing.TB, size uint64) proof.Checkpoint {
	t.Helper()
	root := must(tlog.TreeHash(int64(size), l))(t)
	return proof.Checkpoint{Origin: l.signer.Name(), Size: size, Root: proof.Hash(root)}
}

func (l *bigLog) note(t testing.TB, size uint64) []byte {
	t.Helper()
	return must(l.signer.Sign(l.checkpoint(t, size)))(t)
}

func (l *bigLog) consistency(from, to uint64) ([]proof.Hash, error) {
	return proof.Consistency(context.Background(), l, from, to)
}

func (l *bigLog) source() witness.Source {
	return witness.Source{
		Entries: func(_ context.Context, from, to uint64) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				for i := from; i < to && yield(l.entry(int64(i)), nil); i++ {
				}
			}
		},
		Subtree: func(start, end, size uint64) ([]proof.Hash, error) {
			return proof.Subtree(context.Background(), l, start, end, size)
		},
	}
}

// add returns an add-checkpoint request.
func (l *bigLog) add(t testing.TB, from, to uint64) []byte {
	t.Helper()
	return body(fmt.Sprint(from), must(l.consistency(from, to))(t), l.note(t, to))
}

// upload returns the first packages of an add-entries request, written from the
// specification.
func (l *bigLog) upload(t testing.TB, start, end uint64, ticket string, packages int) []byte {
	t.Helper()
	var b []byte
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(l.signer.Name()))), l.signer.Name()...)
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, start), end)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(ticket))), ticket...)
	if start == end {
		return b
	}
	roundedStart := start / 256 * 256
	for i := range uint64(packages) {
		from, to := max(start, roundedStart+i*256), min(end, roundedStart+(i+1)*256)
		if from >= to {
			break
		}
		for e := from; e < to; e++ {
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(l.entry(int64(e))))), l.entry(int64(e))...)
		}
		hs := must(proof.Subtree(context.Background(), l, roundedStart+i*256, to, end))(t)
		b = append(b, byte(len(hs)))
		for _, h := range hs {
			b = append(b, h[:]...)
		}
	}
	return b
}

const all = 1 << 20

// newMirror is a world whose witness is a mirror, and a log of its origin.
func newMirror(t testing.TB, n int64) (*world, *bigLog) {
	t.Helper()
	w := newWorld(t)
	w.stop()
	w.config.Mirror, w.config.Dir = true, t.TempDir()
	w.start(t)
	return w, newBigLog(t, w.log.signer, n, n)
}

// send posts to the mirror and returns status, type and body.
func (w *world) send(t testing.TB, path, contentType, encoding string, b []byte) (int, string, string) {
	t.Helper()
	r := must(http.NewRequest(http.MethodPost, w.http.URL+path, bytes.NewReader(b)))(t)
	r.Header.Set("Content-Type", contentType)
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(must(io.ReadAll(resp.Body))(t))
}

func (w *world) entries(t testing.TB, b []byte) (int, string, string) {
	t.Helper()
	return w.send(t, "/add-entries", "application/octet-stream", "", b)
}

// mustTake has the mirror take a checkpoint and its entries.
func (w *world) mustTake(t testing.TB, l *bigLog, from, to uint64) string {
	t.Helper()
	if status, _, b := w.post(t, l.add(t, from, to)); status != http.StatusOK || b != "" {
		t.Fatalf("add-checkpoint: status %d %q, want 200 and nothing: a mirror does not sign yet", status, b)
	}
	status, _, b := w.entries(t, l.upload(t, from, to, "", all))
	if status != http.StatusOK {
		t.Fatalf("add-entries: status %d %q", status, b)
	}
	return b
}

// served reads a path of the mirrored log.
func (w *world) served(t testing.TB, path string) (int, []byte) {
	t.Helper()
	const hash = "53b0a493135e60810db79989a4e2ef7bcd8a9ce99a67093e4cf819792a34b9f3"
	resp, err := http.Get(w.http.URL + "/" + hash + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, must(io.ReadAll(resp.Body))(t)
}

// whole checks all that the mirror serves: signatures, bundles and tiles of the
// size, against the log's own.
func (w *world) whole(t testing.TB, l *bigLog, size uint64) {
	t.Helper()
	status, msg := w.served(t, "checkpoint")
	c, err := w.policy(t, w.http.URL).OpenCheckpoint(msg)
	if status != http.StatusOK || err != nil || c.Checkpoint() != l.checkpoint(t, size) {
		t.Fatalf("checkpoint of size %d: status %d, %v", size, status, err)
	}
	for index := uint64(0); index*256 < size; index++ {
		width := int(min(256, size-index*256))
		status, b := w.served(t, proof.BundlePath(index, width))
		got, err := proof.ParseBundle(b, width)
		if status != http.StatusOK || err != nil {
			t.Fatalf("bundle %d: status %d, %v", index, status, err)
		}
		for i, e := range got {
			if !bytes.Equal(e, l.entry(int64(index*256)+int64(i))) {
				t.Fatalf("entry %d is %q", index*256+uint64(i), e)
			}
		}
	}
	for level := 0; size>>(8*level) > 0; level++ {
		for index, n := uint64(0), size>>(8*level); index*256 < n; index++ {
			width := int(min(256, n-index*256))
			status, b := w.served(t, proof.TilePath(level, index, width))
			want := must(l.ReadTile(context.Background(), level, index, width))(t)
			if status != http.StatusOK || !bytes.Equal(b, want) {
				t.Fatalf("tile %d/%d: status %d", level, index, status)
			}
		}
	}
}

// The mirror signs when it has the entries and not before, and serves them.
func TestMirror(t *testing.T) {
	t.Parallel()
	w, l := newMirror(t, 1000)
	for _, step := range [][2]uint64{{0, 1}, {1, 3}, {3, 255}, {255, 256}, {256, 257}, {257, 257}, {257, 900}, {900, 1000}} {
		lines := w.mustTake(t, l, step[0], step[1])
		if _, at, err := proof.OpenCosignature(l.checkpoint(t, step[1]), []byte(lines), w.server.VKey()); err != nil || !at.Equal(noon) {
			t.Fatalf("%v: %q, %v", step, lines, err)
		}
		w.whole(t, l, step[1])
		if status, b := w.served(t, "checkpoint"); status != http.StatusOK || string(b) != string(l.note(t, step[1]))+lines {
			t.Errorf("%v: shows %q", step, b)
		}
	}
	v := must(note.NewVerifier(l.signer.VKey()))(t)
	_, msg := w.served(t, "checkpoint")
	if n, err := note.Open(msg, note.VerifierList(v)); err != nil || len(n.Sigs) != 1 {
		t.Errorf("the log's signature was not kept: %v", err)
	}
	for path, want := range map[string]int{
		"tile/0/003.p/232": 200, "tile/0/003.p/1": 200, "tile/0/002.p/7": 200, "tile/entries/003.p/5": 200, "tile/1/000.p/2": 200,
		"tile/0/003.p/233": 404, "tile/0/003": 404, "tile/entries/003.p/233": 404, "tile/1/000.p/4": 404, "tile/2/000.p/1": 404,
		"tile/0/3": 400, "tile/0/003.p/0": 400, "tile/0/000.tmp": 400, "pending": 200, "": 404, "state": 404,
	} {
		if status, b := w.served(t, path); status != want {
			t.Errorf("%s: status %d %.60q, want %d", path, status, b, want)
		}
	}
}

// An upload may come in parts, compressed or not, from any client, and twice.
func TestMirrorPrefixes(t *testing.T) {
	t.Parallel()
	w, l := newMirror(t, 1000)
	if status, _, b := w.post(t, l.add(t, 0, 1000)); status != http.StatusOK {
		t.Fatal(b)
	}
	info := func(status int, contentType, b string, want int, says string) {
		t.Helper()
		if status != want || contentType != "text/x.tlog.mirror-info" || b != says {
			t.Errorf("status %d, %q, %q, want %d %q", status, contentType, b, want, says)
		}
	}
	status, contentType, b := w.entries(t, l.upload(t, 0, 0, "", 0))
	info(status, contentType, b, http.StatusConflict, "1000\n0\n\n")
	status, contentType, b = w.entries(t, l.upload(t, 0, 1000, "", 1))
	info(status, contentType, b, http.StatusAccepted, "1000\n256\n\n")
	if _, got := w.served(t, "checkpoint"); !strings.Contains(string(got), "no checkpoint") {
		t.Errorf("shows %q", got)
	}
	// Cut within its second package.
	cut := l.upload(t, 256, 1000, "", 2)
	status, contentType, b = w.entries(t, cut[:len(cut)-9])
	info(status, contentType, b, http.StatusAccepted, "1000\n512\n\n")
	// Again from before; a ticket that means nothing to us does no harm.
	status, contentType, b = w.entries(t, l.upload(t, 100, 1000, "ticket", 3))
	info(status, contentType, b, http.StatusAccepted, "1000\n768\n\n")
	// A larger checkpoint does not undo what leads to the smaller.
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(l.upload(t, 768, 1000, "", all))
	z.Close()
	if status, _, b := w.send(t, "/add-entries", "application/octet-stream", "gzip", zipped.Bytes()); status != http.StatusOK {
		t.Fatalf("compressed: status %d %q", status, b)
	}
	w.whole(t, l, 1000)
}

// Several checkpoints are pending at once; the mirror checkpoint never goes
// back, and what is uploaded for a larger one is had by a smaller.
func TestMirrorSeveralPending(t *testing.T) {
	t.Parallel()
	w, l := newMirror(t, 600)
	for _, step := range [][2]uint64{{0, 100}, {100, 300}, {300, 600}} {
		if status, _, b := w.post(t, l.add(t, step[0], step[1])); status != http.StatusOK {
			t.Fatal(b)
		}
	}
	if status, _, b := w.entries(t, l.upload(t, 0, 300, "", 1)); status != http.StatusAccepted || b != "300\n256\n\n" {
		t.Errorf("status %d %q", status, b)
	}
	if status, _, b := w.entries(t, l.upload(t, 100, 100, "", 0)); status != http.StatusOK {
		t.Errorf("the first pending one: status %d %q", status, b)
	}
	w.whole(t, l, 100)
	if status, _, b := w.entries(t, l.upload(t, 256, 600, "", all)); status != http.StatusOK {
		t.Errorf("the last: status %d %q", status, b)
	}
	w.whole(t, l, 600)
	if status, _, b := w.entries(t, l.upload(t, 300, 300, "", 0)); status != http.StatusConflict || b != "600\n600\n\n" {
		t.Errorf("back: status %d %q", status, b)
	}
	w.whole(t, l, 600)
}

// Every refusal, and none changes what is served.
func TestMirrorRefuses(t *testing.T) {
	t.Parallel()
	w, l := newMirror(t, 10000)
	w.mustTake(t, l, 0, 300)
	if status, _, b := w.post(t, l.add(t, 300, 9500)); status != http.StatusOK {
		t.Fatal(b)
	}
	_, before := w.served(t, "checkpoint")
	fork := newBigLog(t, w.log.signer, 9500, 290)
	good := l.upload(t, 300, 9500, "", 1)
	head := len(l.upload(t, 300, 9500, "", 0))
	flip := func(i int) []byte { b := bytes.Clone(good); b[i] ^= 1; return b }
	patched := func(at int, by ...byte) []byte { b := bytes.Clone(good); copy(b[at:], by); return b }
	unknown := newBigLog(t, must(proof.NewLogSigner("other.example", newKey(t)))(t), 3, 3)
	proofAt := bytes.LastIndex(good, []byte("entry 511")) + len("entry 511")
	for _, tt := range []struct {
		rule      string
		body      []byte
		status    int
		infoStart string
	}{
		{"empty", nil, 400, ""},
		{"cut in the origin", good[:10], 400, ""},
		{"cut in the head", good[:head-3], 400, ""},
		{"head only", good[:head], 400, ""},
		{"cut in the first package", good[:head+40], 400, ""},
		{"cut in the proof", good[:len(good)-1], 400, ""},
		{"64 hashes", patched(proofAt, 64), 400, ""},
		{"start after end", l.upload(t, 9501, 9500, "", 0), 400, ""},
		{"end past 2^63-1", patched(head-10, 0x80), 400, ""},
		{"unknown log", unknown.upload(t, 0, 3, "", 1), 404, ""},
		{"end that no checkpoint has", l.upload(t, 300, 9499, "", 1), 409, "9500\n300\n"},
		{"end below the mirror checkpoint", l.upload(t, 0, 299, "", 1), 409, "9500\n300\n"},
		{"end that a fork has", fork.upload(t, 290, 310, "", 1), 409, "9500\n300\n"},
		{"a gap before it", l.upload(t, 301, 9500, "", 1), 409, "9500\n300\n"},
		{"nothing, from nowhere", l.upload(t, 0, 0, "", 0), 409, "9500\n300\n"},
		{"another log's entries", fork.upload(t, 300, 9500, "", 1), 422, ""},
		{"flipped entry", flip(head + 20), 422, ""},
		{"flipped proof", flip(len(good) - 5), 422, ""},
		{"an entry more than the proof", l.upload(t, 299, 9500, "", 1)[:0], 400, ""},
		{"entry cut in two", patched(head, 0, 4), 400, ""},
		{"proof left out", func() []byte { b := bytes.Clone(good[:proofAt+1]); b[proofAt] = 0; return b }(), 422, ""},
		{"proof of another place", func() []byte {
			other := l.upload(t, 512, 9500, "", 1)
			at := bytes.LastIndex(other, []byte("entry 767")) + len("entry 767")
			return append(bytes.Clone(good[:proofAt]), other[at:]...)
		}(), 422, ""},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			status, contentType, b := w.entries(t, tt.body)
			if status != tt.status {
				t.Errorf("status %d %q, want %d", status, b, tt.status)
			}
			if tt.infoStart != "" && (contentType != "text/x.tlog.mirror-info" || b != tt.infoStart+"\n") {
				t.Errorf("says %q of type %q, want %q", b, contentType, tt.infoStart)
			}
			if _, got := w.served(t, "checkpoint"); !bytes.Equal(got, before) {
				t.Errorf("shows %q", got)
			}
		})
	}
	for _, tt := range []struct {
		rule, contentType, encoding string
		status                      int
	}{
		{"text", "text/plain", "", 400},
		{"no type", "", "", 400},
		{"not gzip", "application/octet-stream", "gzip", 400},
		{"brotli", "application/octet-stream", "br", 415},
	} {
		if status, _, b := w.send(t, "/add-entries", tt.contentType, tt.encoding, good); status != tt.status {
			t.Errorf("%s: status %d %q, want %d", tt.rule, status, b, tt.status)
		}
	}
	if status, _, b := w.entries(t, good); status != http.StatusAccepted || b != "9500\n512\n\n" {
		t.Errorf("unspoilt: status %d %q", status, b)
	}
	// Far below what is there is refused too.
	if status, _, b := w.entries(t, l.upload(t, 512, 9500, "", 40)); status != http.StatusOK {
		t.Fatalf("the rest: %d %q", status, b)
	}
	if status, _, b := w.entries(t, l.upload(t, 256, 9500, "", 1)); status != http.StatusConflict || b != "9500\n9500\n\n" {
		t.Errorf("far below: status %d %q", status, b)
	}
	w.whole(t, l, 9500)
}

// What was acknowledged is there after a restart, and after a crash at any
// place between two writes.
func TestMirrorRestarts(t *testing.T) {
	t.Parallel()
	w, l := newMirror(t, 900)
	w.mustTake(t, l, 0, 300)
	if status, _, b := w.post(t, l.add(t, 300, 900)); status != http.StatusOK {
		t.Fatal(b)
	}
	if status, _, b := w.entries(t, l.upload(t, 300, 900, "", 1)); status != http.StatusAccepted || b != "900\n512\n\n" {
		t.Fatalf("status %d %q", status, b)
	}
	again := func() { t.Helper(); w.stop(); w.start(t) }
	again()
	w.whole(t, l, 300)
	if status, _, b := w.entries(t, l.upload(t, 0, 0, "", 0)); status != http.StatusConflict || b != "900\n512\n\n" {
		t.Errorf("after a restart: status %d %q", status, b)
	}
	dir := filepath.Join(w.config.Dir, "mirror", "53b0a493135e60810db79989a4e2ef7bcd8a9ce99a67093e4cf819792a34b9f3")
	// A crash before a rename leaves half a file; before a removal, a narrower one.
	for _, name := range []string{"checkpoint.tmp", "tile/0/002.tmp", "tile/entries/002.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	narrow := filepath.Join(dir, "tile/entries/002.p")
	if err := os.MkdirAll(narrow, 0o700); err != nil {
		t.Fatal(err)
	}
	bundle := must(proof.MarshalBundle([][]byte{l.entry(512), l.entry(513)}))(t)
	if err := os.WriteFile(filepath.Join(narrow, "2"), bundle, 0o600); err != nil { // durable, not acknowledged
		t.Fatal(err)
	}
	again()
	if status, _, b := w.entries(t, l.upload(t, 0, 0, "", 0)); status != http.StatusConflict || b != "900\n514\n\n" {
		t.Errorf("after a crash: status %d %q", status, b)
	}
	// A crash in the next step leaves a torn tile beyond the signed checkpoint.
	beyond := filepath.Join(dir, "tile/0/003.p")
	if err := errors.Join(os.MkdirAll(beyond, 0o700), os.WriteFile(filepath.Join(beyond, "100"), make([]byte, 3200), 0o600)); err != nil {
		t.Fatal(err)
	}
	if status, _, b := w.entries(t, l.upload(t, 512, 900, "", all)); status != http.StatusOK {
		t.Fatalf("status %d %q", status, b)
	}
	w.whole(t, l, 900)
	// A crash takes partial tiles that were not synced: they are made anew.
	for file, torn := range map[string][]byte{"tile/0/003.p/132": nil, "tile/1/000.p/3": make([]byte, 64)} {
		path := filepath.Join(dir, file)
		if torn == nil {
			os.Remove(path)
		} else if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again()
	w.whole(t, l, 900)
	// A crash after the tiles and before the checkpoint: the checkpoint is the old
	// one, and the upload is asked for again.
	if err := os.WriteFile(filepath.Join(dir, "checkpoint"), []byte(string(l.note(t, 300))), 0o600); err != nil {
		t.Fatal(err)
	}
	again()
	if status, _, b := w.entries(t, l.upload(t, 900, 900, "", 0)); status != http.StatusOK {
		t.Fatalf("status %d %q", status, b)
	}
	w.whole(t, l, 900)
}

// A mirror that is not whole does not start, and a key says one thing for good.
func TestNewMirrorRefuses(t *testing.T) {
	t.Parallel()
	w, l := newMirror(t, 700)
	w.mustTake(t, l, 0, 600)
	w.stop()
	dir := filepath.Join(w.config.Dir, "mirror", "53b0a493135e60810db79989a4e2ef7bcd8a9ce99a67093e4cf819792a34b9f3")
	for _, tt := range []struct {
		rule, file string
		bytes      []byte // nil: removed
		says       string
	}{
		{"bundle gone", "tile/entries/002.p/88", nil, "holds 512 entries of 600"},
		{"bundle in between gone", "tile/entries/001", nil, ""}, // found out when it is read
		{"full tile gone", "tile/0/001", nil, ""},               // as the bundle
		{"checkpoint of another log", "checkpoint", newLog(t, newKey(t), noFork).note(t, 9), "mirror checkpoint"},
		{"checkpoint beyond the state", "checkpoint", l.note(t, 700), "rolled back"},
		{"checkpoint of another root", "checkpoint", newBigLog(t, w.log.signer, 600, 3).note(t, 600), "have the root"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			path := filepath.Join(dir, tt.file)
			good := must(os.ReadFile(path))(t)
			if tt.bytes == nil {
				os.Remove(path)
			} else {
				os.WriteFile(path, tt.bytes, 0o600)
			}
			defer os.WriteFile(path, good, 0o600)
			s, err := witness.NewServer(w.config)
			if err == nil {
				s.Close()
			}
			if tt.says != "" {
				wantErr(t, err, nil, tt.says)
			}
		})
	}
	c := w.config
	c.Mirror = false
	_, err := witness.NewServer(c)
	wantErr(t, err, nil, "run it as a mirror")
	plain := newWorld(t)
	plain.post(t, plain.log.request(t, 0, 5))
	plain.stop()
	plain.config.Mirror = true
	_, err = witness.NewServer(plain.config)
	wantErr(t, err, nil, "make another witness")
	plain.config.Mirror = false
	plain.start(t)
	w.start(t)
	w.whole(t, l, 600)
}

// Many clients upload the same at once.
func TestMirrorConcurrently(t *testing.T) {
	t.Parallel()
	w, l := newMirror(t, 2000)
	if status, _, b := w.post(t, l.add(t, 0, 2000)); status != http.StatusOK {
		t.Fatal(b)
	}
	whole, tail := l.upload(t, 0, 2000, "", all), l.upload(t, 0, 2000, "", 3)
	var ok atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			b := whole
			if i%2 == 1 {
				b = tail
			}
			switch status, _, says := w.entries(t, b); status {
			case http.StatusOK:
				ok.Add(1)
			case http.StatusAccepted, http.StatusServiceUnavailable, http.StatusConflict:
			default:
				t.Errorf("status %d %q", status, says)
			}
		})
	}
	wg.Wait()
	if ok.Load() == 0 {
		t.Error("nobody was served")
	}
	w.whole(t, l, 2000)
}

// pusher returns a client of the mirror at url that pushes.
func (w *world) pusher(t testing.TB, l *bigLog, url string) *witness.Client {
	t.Helper()
	c := w.client(t, url)
	c.Mirror(l.source())
	return c
}

// The client brings a mirror what it lacks, however much, and goes on from there.
func TestClientPushes(t *testing.T) {
	t.Parallel()
	w, l := newMirror(t, 20000)
	r := &recorder{Handler: w.server.Handler()}
	front := httptest.NewServer(r)
	defer front.Close()
	c := w.pusher(t, l, front.URL)
	if c.Patience() != witness.PushTimeout || w.client(t, front.URL).Patience() != witness.Timeout {
		t.Error("patience")
	}
	for _, size := range []uint64{3, 3, 10, 19000, 19001, 20000} {
		lines, err := c.Cosign(t.Context(), 0, l.consistency, l.note(t, size))
		if err != nil || len(lines) != 1 {
			t.Fatalf("size %d: %v", size, err)
		}
		if held, _, err := c.Latest(t.Context()); err != nil || held != size {
			t.Errorf("latest is %d, %v", held, err)
		}
	}
	w.whole(t, l, 20000)
	if r.atOnce.Load() != 1 {
		t.Errorf("%d requests at once, want 1", r.atOnce.Load())
	}
	// Another client, after a restart of either, asks where it is.
	w.stop()
	w.start(t)
	if _, err := w.pusher(t, l, w.http.URL).Cosign(t.Context(), 0, l.consistency, l.note(t, 20000)); err != nil {
		t.Error(err)
	}
	// The mirror moved on without us: no fault of its, and not cosigned.
	small := w.pusher(t, l, w.http.URL)
	if _, err := small.Cosign(t.Context(), 0, l.consistency, l.note(t, 19000)); err == nil || !errors.As(err, new(*witness.AheadError)) {
		t.Errorf("a smaller checkpoint of a log that was rolled back: %v", err)
	}
}

// A mirror that has a larger pending checkpoint than it signed shows it: a log
// that was rolled back in between learns of it.
func TestClientLearnsOfPending(t *testing.T) {
	t.Parallel()
	w, l := newMirror(t, 600)
	w.mustTake(t, l, 0, 300)
	if status, _, b := w.post(t, l.add(t, 300, 600)); status != http.StatusOK {
		t.Fatal(b)
	}
	var ahead *witness.AheadError
	if _, err := w.pusher(t, l, w.http.URL).Cosign(t.Context(), 0, l.consistency, l.note(t, 400)); !errors.As(err, &ahead) || ahead.Size != 600 {
		t.Errorf("%v, want an AheadError of size 600", err)
	}
	if held, _, err := w.pusher(t, l, w.http.URL).Latest(t.Context()); err != nil || held != 600 {
		t.Errorf("latest is %d, %v", held, err)
	}
}

// What a mirror says counts only as far as it goes forward.
func TestClientRefusesTheMirror(t *testing.T) {
	t.Parallel()
	w, l := newMirror(t, 600)
	cosigner := must(proof.NewCosigner(w.config.Name, w.config.Key))(t)
	line := func(size uint64) string { return string(must(cosigner.Cosign(l.note(t, size), noon))(t)) }
	at := func(status int, size, next uint64, ticket string) answering {
		return answering{status, "text/x.tlog.mirror-info", fmt.Sprintf("%d\n%d\n%s\n", size, next, base64.StdEncoding.EncodeToString([]byte(ticket)))}
	}
	for _, tt := range []struct {
		rule    string
		answers []answering // of add-entries, the last again and again
		faulty  bool
		says    string
	}{
		{"signs without entries", []answering{{200, "", line(600)}}, false, "status 200"},
		{"signs another size", []answering{at(409, 600, 0, ""), {200, "", line(599)}}, true, "invalid signature"},
		{"signs nothing", []answering{at(409, 600, 0, ""), {200, "", ""}}, true, ""},
		{"takes nothing", []answering{at(409, 600, 0, ""), at(202, 600, 0, "")}, true, "still lacks entry 0"},
		{"goes back", []answering{at(409, 600, 256, ""), at(202, 600, 100, "")}, true, "still lacks entry 100"},
		{"conflicts for ever", []answering{at(409, 600, 5, "")}, true, "conflict after conflict"},
		{"wants a smaller end", []answering{at(409, 600, 0, ""), at(409, 500, 0, "")}, true, "after it was given the checkpoint of size 600"},
		{"wants a larger end", []answering{at(409, 600, 0, ""), at(409, 700, 0, "")}, false, "is past size 600"},
		{"info of another type", []answering{{409, "text/plain", "600\n0\n\n"}}, true, "status 409"},
		{"info of two lines", []answering{{409, "text/x.tlog.mirror-info", "600\n0\n"}}, true, "status 409"},
		{"info without ticket's base64", []answering{{409, "text/x.tlog.mirror-info", "600\n0\n*\n"}}, true, "status 409"},
		{"is down", []answering{{503, "", "later"}}, false, "status 503"},
		{"finds it unproven", []answering{at(409, 600, 0, ""), {422, "", "no"}}, false, "status 422"},
		{"endless", []answering{{409, "text/x.tlog.mirror-info", strings.Repeat("9", 100000)}}, true, "longer than"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			front := httptest.NewServer(&fakeMirror{answers: tt.answers})
			defer front.Close()
			lines, err := w.pusher(t, l, front.URL).Cosign(t.Context(), 0, l.consistency, l.note(t, 600))
			wantErr(t, err, nil, tt.says)
			if lines != nil || errors.Is(err, witness.ErrFaulty) != tt.faulty {
				t.Errorf("faulty %v, want %v: %v", !tt.faulty, tt.faulty, err)
			}
		})
	}
	// A ticket is brought back.
	f := &fakeMirror{answers: []answering{at(409, 600, 0, "first"), at(409, 600, 0, "second"), at(202, 600, 256, "third"), {200, "", line(600)}}}
	front := httptest.NewServer(f)
	defer front.Close()
	if _, err := w.pusher(t, l, front.URL).Cosign(t.Context(), 0, l.consistency, l.note(t, 600)); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.tickets, ","); got != ",,second,third" {
		t.Errorf("tickets %q", got)
	}
}

type answering struct {
	status      int
	contentType string
	body        string
}

// A fakeMirror takes every checkpoint and answers uploads as it is told.
type fakeMirror struct {
	answers []answering
	n       int
	tickets []string
}

func (f *fakeMirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	if r.URL.Path != "/add-entries" {
		return
	}
	origin := int(binary.BigEndian.Uint16(b))
	at := b[2+origin+16:]
	f.tickets = append(f.tickets, string(at[2:2+int(binary.BigEndian.Uint16(at))]))
	a := f.answers[min(f.n, len(f.answers)-1)]
	f.n++
	w.Header().Set("Content-Type", a.contentType)
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
}
