package proof_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"plastron/log/proof"
)

// tesseraLog is the log in tessera's testdata, grown from 0 to 15 entries by
// its own tools, with the checkpoint of every size.
const tesseraVKey = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"

type tesseraLog string

func openTessera(t *testing.T) tesseraLog {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/transparency-dev/tessera").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "testdata", "log")
	if _, statErr := os.Stat(dir); err != nil || statErr != nil {
		t.Skip("tessera is not in the module cache")
	}
	return tesseraLog(dir)
}

func (d tesseraLog) read(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), filepath.FromSlash(path)))
}

func (d tesseraLog) ReadTile(_ context.Context, level int, index uint64, width int) ([]byte, error) {
	return d.read(proof.TilePath(level, index, width))
}

func TestTesseraLog(t *testing.T) {
	t.Parallel()
	dir, ctx := openTessera(t), context.Background()
	policy := newPolicy(t, "log "+tesseraVKey, "quorum none")
	var cps [16]*proof.Cosigned
	for size := range cps {
		msg, err := dir.read(fmt.Sprintf("checkpoint.%d", size))
		if err != nil {
			t.Fatal(err)
		}
		if cps[size], err = policy.OpenCheckpoint(msg); err != nil {
			t.Fatal(err)
		}
		if got := cps[size].Checkpoint().Size; got != uint64(size) {
			t.Fatalf("checkpoint.%d has size %d", size, got)
		}
	}
	if cps[0].Checkpoint().Root != proof.EmptyRoot() {
		t.Errorf("empty tree has root %v", cps[0].Checkpoint().Root)
	}
	for to := uint64(1); to < 16; to++ {
		bundle, err := dir.read(proof.BundlePath(0, int(to)))
		if err != nil {
			t.Fatal(err)
		}
		entries, err := proof.ParseBundle(bundle, int(to))
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range entries {
			hs, err := proof.Inclusion(ctx, dir, uint64(i), to)
			if err != nil {
				t.Fatal(err)
			}
			if err := cps[to].Includes(proof.LeafHash(e), uint64(i), hs); err != nil {
				t.Error(err)
			}
		}
		for from := range to {
			hs, err := proof.Consistency(ctx, dir, from, to)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyConsistency(from, to, hs, cps[from].Checkpoint().Root, cps[to].Checkpoint().Root); err != nil {
				t.Error(err)
			}
		}
	}
}

// Every file tessera names, we name too.
func TestTesseraPaths(t *testing.T) {
	t.Parallel()
	dir := openTessera(t)
	n := 0
	err := fs.WalkDir(os.DirFS(string(dir)), "tile", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		level, index, width, err := proof.ParseTilePath(path)
		if err == nil && proof.TilePath(level, index, width) != path {
			err = fmt.Errorf("%q has another path", path)
		}
		return err
	})
	if err != nil || n == 0 {
		t.Errorf("%d paths, %v", n, err)
	}
}
