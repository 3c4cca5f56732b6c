package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"plastron/log/proof"
)

// A Copy is what a copy of a log's segments was found to hold.
type Copy struct {
	Checkpoint proof.Checkpoint
	Note       []byte // signed by the log
	Segments   int
	Length     int64 // of the last segment where it is written; the copy ends with its last record
	Blobs      int   // records and pieces of evidence
	Erased     int   // of which the bytes do not have their hash: erased, or damaged
}

// Backup copies the segments of the log in the directory dir into a new
// directory, up to the checkpoint that the lock holds, while another process may
// be appending: what the lock holds is durable and will never change, but for
// blobs that are erased. The lock itself is not copied. Tiles are not either:
// they are derived. It returns after the copy has been read back and verified.
func Backup(ctx context.Context, dir, lock, to string, p *Policy, progress func(done, total uint64)) (*Copy, error) {
	refuse := func(err error) (*Copy, error) { return nil, fmt.Errorf("back up log %s: %w", dir, err) }
	note, err := readLock(lock)
	if err != nil {
		return refuse(fmt.Errorf("lock %s: %w", lock, err))
	}
	c, err := p.OpenSigned(note)
	if err != nil {
		return refuse(fmt.Errorf("lock %s: %w", lock, err))
	}
	from := &segments{fs: Disk(), dir: filepath.Join(dir, "segments")}
	scanned := &scan{policy: p, want: c}
	end, err := scanned.read(ctx, from)
	if err != nil {
		return refuse(err)
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return refuse(err)
	}
	out := &segments{fs: Disk(), dir: to}
	var length int64
	for n := uint64(0); n <= end.segment; n++ {
		most := int64(-1)
		if n == end.segment {
			most = end.offset
		}
		if length, err = copySegment(from.name(n), out.name(n), most, 0); err != nil {
			return refuse(err)
		}
	}
	if err := out.fs.SyncDir(to); err != nil {
		return refuse(err)
	}
	done, err := CheckCopy(ctx, to, note, p, progress)
	if err != nil {
		return refuse(err)
	}
	done.Length = length
	return done, nil
}

// readLock returns the note in a lock that another process may be writing.
func readLock(dir string) ([]byte, error) {
	f, err := Disk().Open(filepath.Join(dir, lockName), false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := (&lock{file: f}).newest()
	return bytes.Clone(s.note), err
}

// CheckCopy verifies the segments of a copy: every record, and that they lead to
// the checkpoint of the note, which the log signed, and end there. Blobs are
// counted; one whose bytes were erased is no fault of a copy.
func CheckCopy(ctx context.Context, dir string, note []byte, p *Policy, progress func(done, total uint64)) (*Copy, error) {
	c, err := p.OpenSigned(note)
	if err != nil {
		return nil, err
	}
	s := &segments{fs: Disk(), dir: dir}
	count, err := s.count()
	if err != nil {
		return nil, err
	}
	r := &scan{policy: p, want: c, blobs: true, progress: progress}
	end, err := r.read(ctx, s)
	if err != nil {
		return nil, err
	}
	if zero, err := s.zeroFrom(end.segment, end.offset); err != nil || !zero || count != end.segment+1 {
		return nil, errors.Join(fmt.Errorf("there is more behind the record that leads to size %d", c.Size), err)
	}
	return &Copy{Checkpoint: c, Note: note, Segments: int(count), Blobs: r.stored, Erased: r.erased}, nil
}

// A scan reads records up to a checkpoint.
type scan struct {
	policy   *Policy
	want     proof.Checkpoint
	blobs    bool // verify them, too
	progress func(done, total uint64)

	stored, erased int
}

// read returns the place behind the last record, once the entries up to there
// have the root that is wanted.
func (s *scan) read(ctx context.Context, from *segments) (end place, err error) {
	if s.want.Size == 0 {
		return end, errors.New("the log is empty")
	}
	tree := proof.NewRange()
	c := from.cursor(place{})
	defer c.close()
	for tree.Size() < s.want.Size {
		if err := ctx.Err(); err != nil {
			return end, err
		}
		r, err := c.next()
		if err == io.EOF {
			return end, forked("the data ends at size %d, but the checkpoint is of size %d", tree.Size(), s.want.Size)
		}
		if err != nil {
			return end, err
		}
		if r.start != tree.Size() {
			return end, fmt.Errorf("segment %d, byte %d: the record begins with entry %d, %d entries come before it", r.segment, r.offset, r.start, tree.Size())
		}
		for _, e := range r.entries {
			tree.Append(proof.LeafHash(e.Entry), nil)
		}
		if err := s.count(from, r); err != nil {
			return end, err
		}
		end = place{r.end(), r.segment, r.offset + r.size()}
		if s.progress != nil {
			s.progress(min(r.end(), s.want.Size), s.want.Size)
		}
	}
	if tree.Size() != s.want.Size || tree.Root() != s.want.Root {
		return end, forked("the %d entries have root %s, but the log signed %s for size %d", tree.Size(), tree.Root(), s.want.Root, s.want.Size)
	}
	return end, nil
}

func (s *scan) count(from *segments, r *record) error {
	if !s.blobs {
		return nil
	}
	at := blobPlace{r.offset + int64(r.head), uint32(r.segment), 0}
	for _, h := range r.blobs {
		at.length = h.length
		s.stored++
		if _, err := from.blob(at, h.hash); errors.Is(err, errBlob) {
			s.erased++
		} else if err != nil {
			return err
		}
		at.offset += int64(h.length)
	}
	return nil
}

// copySegment copies the first most bytes of a segment, all if negative, and
// makes the copy of a length by zeros. It returns the length of the original.
func copySegment(from, to string, most, length int64) (int64, error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return 0, err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	if most < 0 {
		most = info.Size()
	}
	n, err := io.CopyN(out, in, most)
	for err == nil && n < length {
		var m int
		m, err = out.Write(zeros[:min(int64(len(zeros)), length-n)])
		n += int64(m)
	}
	if err == nil {
		err = out.Sync()
	}
	return info.Size(), errors.Join(err, out.Close())
}

// Restore puts a copy in the place of o.Dir, which must not be there or be empty,
// and refuses what a start of the log would refuse, in the same words: above all
// a copy that is older than the lock. A log that has moved on cannot be brought
// back to an older state; that is the point of it. length is [Copy.Length].
//
// What it refuses leaves nothing behind.
func Restore(ctx context.Context, from string, length int64, o Options) error {
	refuse := func(err error) error { return fmt.Errorf("restore log %s: %w", o.Dir, err) }
	if err := o.defaults(); err != nil {
		return refuse(err)
	}
	names, err := os.ReadDir(o.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return refuse(err)
	}
	if len(names) > 0 {
		return refuse(errors.New("it is there, and nothing is overwritten: if it is damaged, move it away; if it is not, it is newer than any backup"))
	}
	next := o
	next.Dir = filepath.Clean(o.Dir) + ".restoring"
	if err := os.RemoveAll(next.Dir); err != nil {
		return refuse(err)
	}
	err = copyBack(from, filepath.Join(next.Dir, "segments"), length)
	if err == nil {
		err = wouldStart(ctx, next)
	}
	if err == nil && names != nil {
		err = os.Remove(o.Dir)
	}
	if err == nil {
		err = o.FS.Rename(next.Dir, o.Dir)
	}
	if err == nil {
		err = o.FS.SyncDir(filepath.Dir(filepath.Clean(o.Dir)))
	}
	if err != nil {
		return refuse(errors.Join(err, os.RemoveAll(next.Dir)))
	}
	return nil
}

func copyBack(from, to string, length int64) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	in, out := &segments{fs: Disk(), dir: from}, &segments{fs: Disk(), dir: to}
	names, err := in.fs.List(from)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for n := range uint64(len(names)) {
		whole := int64(0)
		if n == uint64(len(names))-1 {
			whole = length
		}
		if _, err := copySegment(in.name(n), out.name(n), -1, whole); err != nil {
			return err
		}
	}
	return out.fs.SyncDir(to)
}

// wouldStart does what Open does before it writes: it takes the directories,
// gathers the checkpoints that anybody holds, and replays the segments.
func wouldStart(ctx context.Context, o Options) (err error) {
	l := newLog(o)
	defer l.stop()
	defer func() { err = errors.Join(err, l.giveUp()) }()
	clients, _, err := l.clients()
	if err != nil {
		return err
	}
	_, err = l.replayed(ctx, clients)
	return err
}
