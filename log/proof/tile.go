package proof

import (
	"context"
	"fmt"
	"sync"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
)

// A TileReader reads a log's tiles, from a disk, over HTTP or from memory.
// What it returns is not verified: a proof built from it is, by whoever
// believes it.
type TileReader interface {
	// ReadTile returns exactly width hashes of 32 bytes, the first of the tile
	// that [TilePath] names. They are not modified, and not kept.
	ReadTile(ctx context.Context, level int, index uint64, width int) ([]byte, error)
}

// Inclusion builds the proof that leaf index is in the tree of that size, the
// leaf's sibling first. If r is a [Cache] it costs O(log size) hashes.
func Inclusion(ctx context.Context, r TileReader, index, size uint64) ([]Hash, error) {
	if index >= size || size > MaxSize {
		return nil, fmt.Errorf("build inclusion proof: index %d, size %d: want index < size <= %d", index, size, uint64(MaxSize))
	}
	nodes, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, fmt.Errorf("build inclusion proof: %w", err)
	}
	hs, err := fetch(ctx, r, nodes, size)
	if err != nil {
		return nil, fmt.Errorf("build inclusion proof for leaf %d of %d: %w", index, size, err)
	}
	return hs, nil
}

// Consistency builds the proof that the tree of size from is a prefix of the
// tree of size to. It is empty from size 0 and between equal sizes.
func Consistency(ctx context.Context, r TileReader, from, to uint64) ([]Hash, error) {
	if from > to || to > MaxSize {
		return nil, fmt.Errorf("build consistency proof: sizes %d, %d: want from <= to <= %d", from, to, uint64(MaxSize))
	}
	nodes, err := proof.Consistency(from, to)
	if err != nil {
		return nil, fmt.Errorf("build consistency proof: %w", err)
	}
	hs, err := fetch(ctx, r, nodes, to)
	if err != nil {
		return nil, fmt.Errorf("build consistency proof from %d to %d: %w", from, to, err)
	}
	return hs, nil
}

// fetch reads the complete nodes a proof is made of and joins those that stand
// for an incomplete one.
func fetch(ctx context.Context, r TileReader, nodes proof.Nodes, size uint64) ([]Hash, error) {
	c, ok := r.(*Cache)
	if !ok {
		c = NewCache(r, 0)
	}
	bs := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		h, err := c.node(ctx, id, size)
		if err != nil {
			return nil, err
		}
		bs[i] = h[:]
	}
	bs, err := nodes.Rehash(bs, tree.HashChildren)
	if err != nil {
		return nil, err
	}
	return hashes(bs), nil
}

// A Cache keeps the tiles it read with all the nodes within them hashed: as a
// tile widens, only nodes that became complete are hashed. It is a TileReader
// that is safe for concurrent use if the reader below is, and belongs to one
// tree that is only appended to.
type Cache struct {
	r   TileReader
	max int

	mu    sync.Mutex // guards all below
	tiles map[tileID]*tile
	clock uint64
}

type tileID struct {
	level int
	index uint64
}

// NewCache returns a cache over r of at most max tiles, of 16 KiB each; 0
// means as many as one proof in the largest tree touches.
func NewCache(r TileReader, max int) *Cache {
	if max <= 0 {
		max = 16
	}
	return &Cache{r: r, max: max, tiles: make(map[tileID]*tile)}
}

// ReadTile reads from the reader below.
func (c *Cache) ReadTile(ctx context.Context, level int, index uint64, width int) ([]byte, error) {
	return c.r.ReadTile(ctx, level, index, width)
}

// node returns a complete node of the tree of that size.
func (c *Cache) node(ctx context.Context, id compact.NodeID, size uint64) (Hash, error) {
	level, within := int(id.Level/TileHeight), id.Level%TileHeight
	at := tileID{level, id.Index >> (TileHeight - within)}
	offset := int(id.Index & (1<<(TileHeight-within) - 1))
	t := c.tile(at)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.width() < (offset+1)<<within {
		width := WidthAt(level, at.index, size)
		b, err := c.r.ReadTile(ctx, level, at.index, width)
		if err == nil && len(b) != width*HashSize {
			err = fmt.Errorf("%d bytes, want %d", len(b), width*HashSize)
		}
		if err != nil {
			return Hash{}, fmt.Errorf("read %s: %w", TilePath(level, at.index, width), err)
		}
		t.widen(b)
	}
	return t.nodes[within][offset], nil
}

// tile returns the tile, new and empty if it is not there, and makes room for
// it by forgetting the one that was not asked for the longest.
func (c *Cache) tile(at tileID) *tile {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	t := c.tiles[at]
	if t == nil {
		if len(c.tiles) >= c.max {
			c.forgetOldest()
		}
		t = &tile{}
		c.tiles[at] = t
	}
	t.used = c.clock
	return t
}

func (c *Cache) forgetOldest() {
	var oldest tileID
	first := true
	for at, t := range c.tiles {
		if first || t.used < c.tiles[oldest].used {
			oldest, first = at, false
		}
	}
	delete(c.tiles, oldest)
}

// A tile is a subtree of height 8: nodes[0] are the hashes it is served with,
// nodes[l] those of their complete ancestors l levels up.
type tile struct {
	used  uint64 // under Cache.mu
	mu    sync.Mutex
	nodes [TileHeight][]Hash
}

func (t *tile) width() int { return len(t.nodes[0]) }

// widen appends what b has beyond the tile's width.
func (t *tile) widen(b []byte) {
	for i := t.width(); i < len(b)/HashSize; i++ {
		h := Hash(b[i*HashSize:])
		t.nodes[0] = append(t.nodes[0], h)
		for l, n := 1, i; l < TileHeight && n%2 == 1; l, n = l+1, n/2 {
			h = Hash(tree.HashChildren(t.nodes[l-1][n-1][:], t.nodes[l-1][n][:]))
			t.nodes[l] = append(t.nodes[l], h)
		}
	}
}
