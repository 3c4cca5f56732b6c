package proof

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// TileWidth is how many hashes a full tile holds, and how many entries a full
// bundle: trees are cut at every eighth level (C2SP tlog-tiles).
const (
	TileWidth  = 1 << TileHeight
	TileHeight = 8
)

// Entries is the level of an entry bundle, which is no level of the tree.
const Entries = -1

// TilePath returns the path below a log's prefix of a tile: "tile/<L>/<N>" or,
// for a width below [TileWidth], "tile/<L>/<N>.p/<W>". The index is written in
// groups of three digits, all but the last marked: 1234067 is x001/x234/067.
// With level [Entries] it is the path of an entry bundle.
func TilePath(level int, index uint64, width int) string {
	l := "entries"
	if level != Entries {
		l = strconv.Itoa(level)
	}
	n := fmt.Sprintf("%03d", index%1000)
	for index >= 1000 {
		index /= 1000
		n = fmt.Sprintf("x%03d/%s", index%1000, n)
	}
	path := "tile/" + l + "/" + n
	if width != TileWidth {
		path += ".p/" + strconv.Itoa(width)
	}
	return path
}

// BundlePath returns the path below a log's prefix of an entry bundle.
func BundlePath(index uint64, width int) string { return TilePath(Entries, index, width) }

// maxTiles bounds a tile's index: the largest tree has so many at level 0.
const maxTiles = 1 << (63 - TileHeight)

// ParseTilePath reads what [TilePath] writes and nothing else, so that one
// tile has one path and no path leads elsewhere: level 0 to 63 or [Entries],
// width 1 to 256.
func ParseTilePath(path string) (level int, index uint64, width int, err error) {
	level, index, width, ok := cutTilePath(path)
	// Whatever was read leniently, the one spelling is checked here.
	if !ok || TilePath(level, index, width) != path {
		return 0, 0, 0, fmt.Errorf("tile path %q: not tile/<L>/<N>[.p/<W>]", clip(path))
	}
	return level, index, width, nil
}

func cutTilePath(path string) (level int, index uint64, width int, ok bool) {
	l, n, _ := strings.Cut(strings.TrimPrefix(path, "tile/"), "/")
	n, w, partial := strings.Cut(n, ".p/")
	level, width = Entries, TileWidth
	var bad [3]error
	if l != "entries" {
		level, bad[0] = strconv.Atoi(l)
	}
	index, bad[1] = strconv.ParseUint(strings.NewReplacer("x", "", "/", "").Replace(n), 10, 64)
	if partial {
		width, bad[2] = strconv.Atoi(w)
	}
	ok = errors.Join(bad[:]...) == nil &&
		(l == "entries" || level >= 0 && level <= 63) &&
		index < maxTiles &&
		(!partial || width >= 1 && width < TileWidth)
	return level, index, width, ok
}
