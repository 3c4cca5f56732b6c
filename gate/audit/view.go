package audit

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/bits"

	"plastron/log/proof"
)

// A View is a log as one cosigned checkpoint has it. Every entry that it returns
// has been hashed up to that checkpoint, bundle by bundle: a reader of a long log
// neither reads it twice nor holds it. It comes from [Look]. A View is not safe
// for concurrent use.
type View struct {
	r        *Reader
	cosigned *proof.Cosigned
	tiles    *proof.Cache
	bundle   *leaves
	from     uint64 // size of the older checkpoint that it extends; 0: none
}

// Look returns the log as its newest checkpoint has it, once that met the policy
// and was proven to extend the older checkpoint; nil for none. Where the two
// contradict each other, and the log serves what proves it, the error is a
// [ForkError].
func Look(ctx context.Context, r *Reader, p *proof.Policy, older []byte) (*View, error) {
	var was proof.Checkpoint
	if older != nil {
		c, err := p.OpenCheckpoint(older)
		if err != nil {
			return nil, fmt.Errorf("the older checkpoint: %w", err)
		}
		was = c.Checkpoint()
	}
	c, err := newest(ctx, r, p, was.Size)
	if err != nil && c != nil {
		return nil, convict(ctx, r, p, older, c.Note(), err)
	}
	if err != nil {
		return nil, err
	}
	v := &View{r: r, cosigned: c, bundle: &leaves{r: r}, from: was.Size}
	v.tiles = proof.NewCache(v.bundle, 0)
	if older == nil || bytes.Equal(older, c.Note()) {
		return v, nil
	}
	if err := v.Extends(ctx, was); err != nil {
		return nil, convict(ctx, r, p, older, c.Note(), err)
	}
	return v, nil
}

// Extends refuses unless the log of an older checkpoint is a prefix of this one.
func (v *View) Extends(ctx context.Context, was proof.Checkpoint) error {
	if now := v.Checkpoint(); was.Size > now.Size {
		return misbehaved("it shows size %d, but has shown size %d before: entries are gone", now.Size, was.Size)
	}
	return extends(ctx, v.r, was, v.Checkpoint())
}

// Checkpoint returns the checkpoint.
func (v *View) Checkpoint() proof.Checkpoint { return v.cosigned.Checkpoint() }

// Size returns the number of entries.
func (v *View) Size() uint64 { return v.Checkpoint().Size }

// Note returns the cosigned checkpoint as it was signed.
func (v *View) Note() []byte { return v.cosigned.Note() }

// Witnesses returns the names of the witnesses who cosigned.
func (v *View) Witnesses() []string { return v.cosigned.Witnesses() }

// Entry returns one entry with the proof that the log holds it. An index beyond
// the checkpoint is [fs.ErrNotExist].
func (v *View) Entry(ctx context.Context, index uint64) ([]byte, proof.Proof, error) {
	size := v.Size()
	if index >= size {
		return nil, proof.Proof{}, fmt.Errorf("entry %d of %d: %w", index, size, fs.ErrNotExist)
	}
	entries, err := v.r.ReadBundle(ctx, index/256, v.width(index/256))
	if err != nil {
		return nil, proof.Proof{}, err
	}
	hashes, err := proof.Inclusion(ctx, v.tiles, index, size)
	if err != nil {
		return nil, proof.Proof{}, err
	}
	e := entries[index%256]
	if err := v.cosigned.Includes(proof.LeafHash(e), index, hashes); err != nil {
		return nil, proof.Proof{}, misbehaved("entry %d is not what was logged: %w", index, err)
	}
	return e, proof.Proof{Index: index, Hashes: hashes, Checkpoint: v.Note()}, nil
}

// Walk calls f with the entries from one index up to, not including, another, in
// their order. An error of f ends it.
func (v *View) Walk(ctx context.Context, from, to uint64, f func(index uint64, entry []byte) error) error {
	if to > v.Size() {
		return fmt.Errorf("entry %d of %d: %w", to-1, v.Size(), fs.ErrNotExist)
	}
	for from < to {
		entries, err := v.read(ctx, from/256)
		if err != nil {
			return err
		}
		for _, e := range entries[from%256:] {
			if from == to {
				break
			}
			if err := f(from, e); err != nil {
				return err
			}
			from++
		}
	}
	return nil
}

func (v *View) width(bundle uint64) int { return int(min(256, v.Size()-bundle*256)) }

// read returns a bundle, once its entries are known to be those of the tree.
//
// A tree is cut at multiples of 256 first, so that over its bundles' roots it is
// a tree of the same kind: the path of a bundle's first leaf, but for the hashes
// within the bundle, is the path of its root.
func (v *View) read(ctx context.Context, n uint64) ([][]byte, error) {
	tree, width := v.Checkpoint(), v.width(n)
	entries, err := v.r.ReadBundle(ctx, n, width)
	if err != nil {
		return nil, err
	}
	root := proof.NewRange()
	v.bundle.index, v.bundle.tile = n, make([]byte, 0, width*proof.HashSize)
	for _, e := range entries {
		h := proof.LeafHash(e)
		root.Append(h, nil)
		v.bundle.tile = append(v.bundle.tile, h[:]...)
	}
	path, err := proof.Inclusion(ctx, v.tiles, n*256, tree.Size)
	if err != nil {
		return nil, err
	}
	within, bundles := bits.Len(uint(width-1)), (tree.Size+255)/256
	if err := proof.VerifyInclusion(root.Root(), n, bundles, path[within:], tree.Root); err != nil {
		return nil, misbehaved("entries %d to %d are not what was logged: bundle %w", n*256, n*256+uint64(width)-1, err)
	}
	return entries, nil
}

// leaves is the log's tile reader, but for the tile of the bundle at hand: its
// hashes have just been made of the entries.
type leaves struct {
	r     *Reader
	index uint64
	tile  []byte
}

func (l *leaves) ReadTile(ctx context.Context, level int, index uint64, width int) ([]byte, error) {
	if level == 0 && index == l.index && len(l.tile) == width*proof.HashSize {
		return l.tile, nil
	}
	return l.r.ReadTile(ctx, level, index, width)
}
