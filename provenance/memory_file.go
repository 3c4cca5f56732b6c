package provenance

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"plastron/log/proof"
)

// The file of the memory is text, trees by key and origin, sizes ascending:
//
//	plastron sigstore checkpoints 1
//	tree <key, SHA-256 in hexadecimal> <origin>
//	forked <seconds since 1970> <how>
//	<size> <root in hexadecimal> <seconds since 1970>
//
// with a forked line only where there is one. It is replaced as a whole. Which
// sizes are proven is not in it: they are proven again.
const (
	memoryHeader  = "plastron sigstore checkpoints 1\n"
	maxMemoryFile = 64 << 20 // bytes
)

func sortSightings(ss []sighting) {
	slices.SortFunc(ss, func(a, b sighting) int {
		if a.size < b.size {
			return -1
		}
		return 1 // no two are equal
	})
}

// encode writes the memory down; mu is held.
func (m *logMemory) encode() []byte {
	var b bytes.Buffer
	b.WriteString(memoryHeader)
	for _, id := range slices.SortedFunc(maps.Keys(m.trees), compareTrees) {
		t := m.trees[id]
		fmt.Fprintf(&b, "tree %x %s\n", id.key, id.origin)
		if t.fork != nil {
			fmt.Fprintf(&b, "forked %d %s\n", t.fork.since.Unix(), t.fork.how)
		}
		seen := slices.Clone(t.seen)
		sortSightings(seen)
		for _, s := range seen {
			fmt.Fprintf(&b, "%d %s %d\n", s.size, hex.EncodeToString(s.root[:]), s.since.Unix())
		}
	}
	return b.Bytes()
}

// decode reads into an empty memory what encode writes, and nothing else: no
// two texts mean one thing.
func (m *logMemory) decode(text []byte) error {
	body, ok := bytes.CutPrefix(text, []byte(memoryHeader))
	if !ok {
		return fmt.Errorf("want %q in its first line", strings.TrimSuffix(memoryHeader, "\n"))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var t *treeMemory
	n := 1
	for line := range strings.Lines(string(body)) {
		n++
		next, err := m.decodeLine(t, strings.TrimSuffix(line, "\n"))
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		t = next
	}
	if !bytes.Equal(m.encode(), text) {
		return errors.New("not in the one form in which it is written: lines are out of order, or damaged")
	}
	return nil
}

// decodeLine reads a line about t and gives the tree that the next is about.
func (m *logMemory) decodeLine(t *treeMemory, line string) (*treeMemory, error) {
	first, rest, _ := strings.Cut(line, " ")
	middle, last, _ := strings.Cut(rest, " ")
	switch {
	case first == "tree":
		key, err := hex.DecodeString(middle)
		id := treeID{origin: last}
		if err != nil || copy(id.key[:], key) != len(id.key) || len(key) != len(id.key) || !isLine(last) {
			return nil, errors.New("want: tree KEY ORIGIN")
		}
		if m.trees[id] != nil || m.shards[id.key] >= maxShards {
			return nil, fmt.Errorf("tree %q twice, or more than %d of one key", last, maxShards)
		}
		return m.tree(id), nil
	case t == nil:
		return nil, errors.New("belongs to no tree")
	case first == "forked":
		at, err := strconv.ParseInt(middle, 10, 64)
		if err != nil || !isLine(last) || t.fork != nil {
			return nil, errors.New("want, once: forked SECONDS HOW")
		}
		t.fork = &fork{time.Unix(at, 0).UTC(), last}
		return t, nil
	}
	return t, t.decodeSighting(first, middle, last)
}

func (t *treeMemory) decodeSighting(size, root, since string) error {
	s := sighting{}
	n, errSize := strconv.ParseUint(size, 10, 63)
	h, errRoot := hex.DecodeString(root)
	at, errSince := strconv.ParseInt(since, 10, 64)
	if errors.Join(errSize, errRoot, errSince) != nil || len(h) != proof.HashSize {
		return errors.New("want: SIZE ROOT SECONDS")
	}
	if _, twice := t.at[n]; twice || len(t.seen) >= maxSightings {
		return fmt.Errorf("size %d twice, or more than %d sizes", n, maxSightings)
	}
	s.size, s.root, s.since = n, proof.Hash(h), time.Unix(at, 0).UTC()
	t.at[n] = len(t.seen)
	t.seen = append(t.seen, s)
	return nil
}

// isLine tells a text that stays one line wherever it is printed.
func isLine(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// load reads the file into an empty memory. There need not be one.
func (m *logMemory) load(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxMemoryFile+1))
	if err != nil {
		return err
	}
	if len(text) > maxMemoryFile {
		err = fmt.Errorf("more than %d bytes", maxMemoryFile)
	} else {
		err = m.decode(text)
	}
	if err != nil {
		return fmt.Errorf("%s, the checkpoints met so far: %w; move the file away to begin anew, without them", path, err)
	}
	return nil
}

// save replaces the file if anything was learnt. A crash leaves the old file
// or the new one.
func (m *logMemory) save(path string) error {
	m.mu.Lock()
	if !m.dirty {
		m.mu.Unlock()
		return nil
	}
	text := m.encode()
	m.dirty = false
	m.mu.Unlock()
	err := replace(path, text)
	if err != nil {
		m.mu.Lock()
		m.dirty = true
		m.mu.Unlock()
	}
	return err
}

func replace(path string, text []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
