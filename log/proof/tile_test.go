package proof_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"plastron/log/proof"
)

func TestTilePath(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		level int
		index uint64
		width int
		path  string
	}{
		{0, 0, 256, "tile/0/000"},
		{0, 0, 1, "tile/0/000.p/1"},
		{0, 999, 255, "tile/0/999.p/255"},
		{1, 1000, 256, "tile/1/x001/000"},
		{2, 1234067, 256, "tile/2/x001/x234/067"},
		{63, 1234067, 12, "tile/63/x001/x234/067.p/12"},
		{0, 1<<55 - 1, 256, "tile/0/x036/x028/x797/x018/x963/967"},
		{proof.Entries, 0, 256, "tile/entries/000"},
		{proof.Entries, 1234067, 7, "tile/entries/x001/x234/067.p/7"},
		{proof.Entries, 1<<55 - 1, 255, "tile/entries/x036/x028/x797/x018/x963/967.p/255"},
	} {
		if got := proof.TilePath(tt.level, tt.index, tt.width); got != tt.path {
			t.Errorf("path %q, want %q", got, tt.path)
		}
		level, index, width, err := proof.ParseTilePath(tt.path)
		if err != nil || level != tt.level || index != tt.index || width != tt.width {
			t.Errorf("%q read as %d, %d, %d, %v", tt.path, level, index, width, err)
		}
	}
	if got := proof.BundlePath(1, 2); got != "tile/entries/001.p/2" {
		t.Errorf("bundle path %q", got)
	}
}

func TestParseTilePathRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ rule, path string }{
		{"empty", ""},
		{"no prefix", "0/000"},
		{"leading slash", "/tile/0/000"},
		{"trailing slash", "tile/0/000/"},
		{"twice the prefix", "tile/tile/0/000"},
		{"no index", "tile/0"},
		{"no index after slash", "tile/0/"},
		{"level 64", "tile/64/000"},
		{"level -1", "tile/-1/000"},
		{"level with leading zero", "tile/00/000"},
		{"level with sign", "tile/+1/000"},
		{"no level", "tile//000"},
		{"level in words", "tile/Entries/000"},
		{"index of two digits", "tile/0/00"},
		{"index of four digits", "tile/0/1000"},
		{"index with surplus group", "tile/0/x000/001"},
		{"first group unmarked", "tile/0/001/067"},
		{"last group marked", "tile/0/x001"},
		{"index past the largest tree", "tile/0/x036/x028/x797/x018/x963/968"},
		{"index past 2^64", "tile/0/x036/x028/x797/x018/x963/x968/000"},
		{"width 0", "tile/0/000.p/0"},
		{"width 256", "tile/0/000.p/256"},
		{"width with leading zero", "tile/0/000.p/01"},
		{"width with sign", "tile/0/000.p/+1"},
		{"no width", "tile/0/000.p/"},
		{"no width, no slash", "tile/0/000.p"},
		{"two widths", "tile/0/000.p/1.p/1"},
		{"dots", "tile/0/../checkpoint"},
		{"dots in the index", "tile/0/x001/../067"},
		{"escaped slash", "tile/0%2f000"},
		{"NUL", "tile/0/000\x00"},
		{"space", "tile/0/ 00"},
		{"digits of another script", "tile/0/٠٠٠"},
		{"long", "tile/0/" + strings.Repeat("x000/", 1e4) + "000"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, _, _, err := proof.ParseTilePath(tt.path)
			wantErr(t, err, nil, "tile path")
		})
	}
}

// One tile, one path, and x/mod's tlog, which names the height too and calls
// bundles data, writes it alike.
func FuzzTilePath(f *testing.F) {
	f.Add("tile/0/000")
	f.Add("tile/3/x001/x234/067.p/9")
	f.Add("tile/entries/x001/000.p/255")
	f.Fuzz(func(t *testing.T, path string) {
		level, index, width, err := proof.ParseTilePath(path)
		if err != nil {
			return
		}
		if got := proof.TilePath(level, index, width); got != path {
			t.Errorf("%q written again is %q", path, got)
		}
		peer := tlog.Tile{H: 8, L: level, N: int64(index), W: width}.Path()
		peer = strings.Replace(strings.Replace(peer, "tile/8/", "tile/", 1), "tile/data/", "tile/entries/", 1)
		if peer != path {
			t.Errorf("%q is %q by tlog", path, peer)
		}
	})
}

func TestBundle(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 255, 256} {
		entries := make([][]byte, n)
		for i := range entries {
			entries[i] = bytes.Repeat([]byte{byte(i)}, i)
		}
		b, err := proof.MarshalBundle(entries)
		if err != nil {
			t.Fatal(err)
		}
		back, err := proof.ParseBundle(b, n)
		if err != nil || !slices.EqualFunc(back, entries, bytes.Equal) {
			t.Fatalf("%d entries came back as %d, %v", n, len(back), err)
		}
		for _, bad := range []int{n - 1, n + 1} {
			if _, err := proof.ParseBundle(b, bad); err == nil {
				t.Errorf("%d entries read as %d", n, bad)
			}
		}
		// An entry cannot be grown into its neighbour.
		if _ = append(back[0], "grown"...); n > 1 && !bytes.Equal(back[1], entries[1]) {
			t.Error("appending to an entry changed the next")
		}
	}
	largest := [][]byte{make([]byte, proof.MaxEntry)}
	if _, err := proof.ParseBundle(must(proof.MarshalBundle(largest))(t), 1); err != nil {
		t.Error(err)
	}
}

func TestBundleRefuses(t *testing.T) {
	t.Parallel()
	_, err := proof.MarshalBundle(nil)
	wantErr(t, err, nil, "want 1 to 256")
	_, err = proof.MarshalBundle(make([][]byte, 257))
	wantErr(t, err, nil, "want 1 to 256")
	_, err = proof.MarshalBundle([][]byte{make([]byte, proof.MaxEntry+1)})
	wantErr(t, err, nil, "longer than 65535")
	for _, tt := range []struct {
		rule  string
		b     string
		width int
		says  string
	}{
		{"width 0", "", 0, "want 1 to 256"},
		{"width 257", "", 257, "want 1 to 256"},
		{"empty", "", 1, "ends before entry 0"},
		{"half a length", "\x00", 1, "ends before entry 0"},
		{"length without bytes", "\x00\x01", 1, "ends within entry 0"},
		{"one entry for two", "\x00\x01a", 2, "ends before entry 1"},
		{"surplus byte", "\x00\x01ab", 1, "surplus"},
		{"surplus entry", "\x00\x01a\x00\x01b", 1, "surplus"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			_, err := proof.ParseBundle([]byte(tt.b), tt.width)
			wantErr(t, err, nil, tt.says)
		})
	}
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte("\x00\x01a\x00\x00\x00\x02bc"), 3)
	f.Add([]byte("\xff\xff"), 1)
	f.Fuzz(func(t *testing.T, b []byte, width int) {
		entries, err := proof.ParseBundle(b, width)
		if err != nil {
			return
		}
		again, err := proof.MarshalBundle(entries)
		if err != nil || !bytes.Equal(again, b) || len(entries) != width {
			t.Errorf("%x written again is %x, %v", b, again, err)
		}
	})
}
