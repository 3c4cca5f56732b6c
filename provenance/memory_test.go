package provenance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"plastron/log/proof"
)

func rootAt(size uint64) (h proof.Hash) {
	binary.BigEndian.PutUint64(h[:], size)
	return h
}

// Memory is bounded, the newest stays, and what goes is not the first to come.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m, id := newLogMemory(), treeID{origin: "log.example"}
	const flood = maxSightings + 100
	for size := uint64(1); size <= flood; size++ {
		if err := m.meet([]checkpoint{{id, size, rootAt(size)}}); err != nil {
			t.Fatal(err)
		}
	}
	tm := m.trees[id]
	if len(tm.seen) != maxSightings || len(tm.at) != maxSightings {
		t.Fatalf("%d sightings, %d by size, want %d", len(tm.seen), len(tm.at), maxSightings)
	}
	for size, i := range tm.at {
		if tm.seen[i].size != size || tm.seen[i].root != rootAt(size) {
			t.Fatalf("size %d leads to %+v", size, tm.seen[i])
		}
	}
	if _, kept := tm.at[flood]; !kept {
		t.Error("the newest is forgotten")
	}
	kept := 0
	for size := uint64(1); size <= 100; size++ {
		if _, ok := tm.at[size]; ok {
			kept++
		}
	}
	if kept < 50 { // chance: 1 in 10^40
		t.Errorf("%d of the oldest 100 are left", kept)
	}
	// An older size than all the rest is remembered too, and the newest stays.
	if err := m.meet([]checkpoint{{id, flood + 1, rootAt(flood + 1)}}); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(maxSightings) {
		if err := m.meet([]checkpoint{{treeID{origin: "log.example"}, flood + 1, rootAt(flood + 1)}}); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, kept := m.trees[id].at[flood+1]; !kept {
		t.Error("the newest is forgotten")
	}
}

// What is proven a prefix of something later goes first: it stands for itself.
func TestForgetsProvenFirst(t *testing.T) {
	t.Parallel()
	m, id := newLogMemory(), treeID{origin: "log.example"}
	for size := uint64(1); size <= maxSightings; size++ {
		if err := m.meet([]checkpoint{{id, size, rootAt(size)}}); err != nil {
			t.Fatal(err)
		}
	}
	for size := uint64(1000); size < 1100; size++ {
		m.prove(id, size)
	}
	for size := uint64(maxSightings + 1); size <= maxSightings+100; size++ {
		if err := m.meet([]checkpoint{{id, size, rootAt(size)}}); err != nil {
			t.Fatal(err)
		}
	}
	for size := uint64(1); size <= maxSightings+100; size++ {
		_, kept := m.trees[id].at[size]
		if proven := size >= 1000 && size < 1100; kept == proven {
			t.Fatalf("size %d, proven %v, is kept: %v", size, proven, kept)
		}
	}
}

// A key that signs ever new trees is refused, and others are not.
func TestShardsAreBounded(t *testing.T) {
	t.Parallel()
	m := newLogMemory()
	for i := range maxShards {
		if err := m.meet([]checkpoint{{treeID{origin: fmt.Sprintf("log - %d", i)}, 1, rootAt(1)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.meet([]checkpoint{{treeID{origin: "log - 99"}, 1, rootAt(1)}}); err == nil {
		t.Error("one more is taken")
	}
	if err := m.meet([]checkpoint{{treeID{origin: "log - 1"}, 2, rootAt(2)}}); err != nil {
		t.Errorf("a known one: %v", err)
	}
	if err := m.meet([]checkpoint{{treeID{key: [32]byte{1}, origin: "log - 99"}, 1, rootAt(1)}}); err != nil {
		t.Errorf("another key's: %v", err)
	}
}

// Checkpoints of one bundle are remembered all or none.
func TestMeetsAllOrNone(t *testing.T) {
	t.Parallel()
	m, a, b := newLogMemory(), treeID{origin: "a"}, treeID{origin: "b"}
	if err := m.meet([]checkpoint{{b, 7, rootAt(7)}}); err != nil {
		t.Fatal(err)
	}
	if err := m.meet([]checkpoint{{a, 7, rootAt(7)}, {b, 7, rootAt(8)}}); err == nil {
		t.Fatal("two roots at one size are taken")
	}
	if m.trees[a] != nil {
		t.Error("the other log's checkpoint is remembered from a bundle that was refused")
	}
	if err := m.refused([]treeID{a, b}); err == nil || m.refused([]treeID{a}) != nil {
		t.Errorf("refused: %v", err)
	}
}

// memoryText is a memory with all there can be in one.
func memoryText(t testing.TB) []byte {
	m := newLogMemory()
	m.now = func() time.Time { return time.Unix(1790000000, 0) }
	a, b := treeID{key: [32]byte{1}, origin: "rekor.example - 17"}, treeID{key: [32]byte{1}, origin: "rekor.example - 18"}
	c := treeID{key: [32]byte{2}, origin: "log.example"}
	for _, p := range []checkpoint{{a, 30, rootAt(30)}, {a, 4, rootAt(4)}, {b, 1, rootAt(1)}, {c, 1 << 62, rootAt(5)}} {
		if err := m.meet([]checkpoint{p}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.meet([]checkpoint{{b, 1, rootAt(9)}}); err == nil {
		t.Fatal("no fork")
	}
	return m.encode()
}

func TestMemoryFile(t *testing.T) {
	t.Parallel()
	text := memoryText(t)
	m := newLogMemory()
	if err := m.decode(text); err != nil {
		t.Fatal(err)
	}
	if got := m.encode(); !bytes.Equal(got, text) {
		t.Errorf("read back as\n%swant\n%s", got, text)
	}
	if err := m.refused([]treeID{{key: [32]byte{1}, origin: "rekor.example - 18"}}); err == nil || !strings.Contains(err.Error(), "since 2026-09-21T14:13:20Z") {
		t.Errorf("the fork is forgotten: %v", err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for i := range lines {
		if lines[i] == "" {
			continue
		}
		for how, spoilt := range map[string]string{
			"cut":         strings.Join(lines[:i], "") + lines[i][:len(lines[i])-1],
			"twice":       strings.Join(lines[:i+1], "") + lines[i] + strings.Join(lines[i+1:], ""),
			"CRLF":        strings.Replace(string(text), lines[i], strings.TrimSuffix(lines[i], "\n")+"\r\n", 1),
			"empty line":  strings.Join(lines[:i+1], "") + "\n" + strings.Join(lines[i+1:], ""),
			"leading 0":   strings.Join(lines[:i], "") + "0" + strings.Join(lines[i:], ""),
			"space":       strings.Join(lines[:i], "") + " " + strings.Join(lines[i:], ""),
			"upper case":  strings.Join(lines[:i], "") + strings.ToUpper(lines[i]) + strings.Join(lines[i+1:], ""),
			"first words": strings.Join(lines[:i], "") + strings.Fields(lines[i])[0] + "\n" + strings.Join(lines[i+1:], ""),
		} {
			if spoilt == string(text) {
				continue
			}
			if err := newLogMemory().decode([]byte(spoilt)); err == nil {
				t.Errorf("line %d %s: read", i+1, how)
			}
		}
		if i+1 < len(lines)-1 && !strings.Contains(lines[i]+lines[i+1], "tree") {
			swapped := append([]string(nil), lines...)
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			if err := newLogMemory().decode([]byte(strings.Join(swapped, ""))); err == nil {
				t.Errorf("lines %d and %d swapped: read", i+1, i+2)
			}
		}
	}
}

// FuzzMemory: what is read is written back as it was.
func FuzzMemory(f *testing.F) {
	f.Add([]byte(memoryHeader))
	f.Add(memoryText(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		m := newLogMemory()
		if m.decode(text) == nil && !bytes.Equal(m.encode(), text) {
			t.Error("written back as something else")
		}
	})
}
