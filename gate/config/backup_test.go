package config_test

import (
	"context"
	"encoding/json/v2"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plastron/gate/config"
)

// backedUp runs a new gate, backs it up with its keys and stops it.
func backedUp(t *testing.T) (m *config.Made, to string, b *config.Backup) {
	t.Helper()
	dir, m := made(t)
	f, err := config.Load(m.Config)
	if err != nil {
		t.Fatal(err)
	}
	g, err := f.Open(t.Context(), config.Runtime{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	to = filepath.Join(dir, "backup")
	if b, err = f.Backup(t.Context(), m.Config, to, true, time.Unix(1.8e9, 0), nil); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	return m, to, b
}

// TestBackupFiles: a backup has what gate.yaml names below its folder, says what
// is elsewhere, and nobody else may read it.
func TestBackupFiles(t *testing.T) {
	t.Parallel()
	_, to, b := backedUp(t)
	var paths, secrets []string
	for _, x := range b.Files {
		paths = append(paths, x.Path)
		if x.Secret {
			secrets = append(secrets, x.Path)
		}
	}
	slices.Sort(paths)
	slices.Sort(secrets)
	if want := []string{"beacon.key", "ca.key", "ca.pem", "gate.yaml", "log.key", "log.policy", "policy.yaml"}; !slices.Equal(paths, want) {
		t.Errorf("files %q, want %q", paths, want)
	}
	if want := []string{"beacon.key", "ca.key", "log.key"}; !slices.Equal(secrets, want) {
		t.Errorf("secrets %q, want %q", secrets, want)
	}
	if want := []string{"../ek.sha256", "../ek.pem"}; !slices.Equal(b.Elsewhere, want) {
		t.Errorf("elsewhere %q, want %q", b.Elsewhere, want)
	}
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if _, c, err := config.OpenBackup(context.Background(), to, nil, nil); err != nil || c.Checkpoint.Size != b.Size || b.Size < 2 {
		t.Errorf("%v; %d entries", err, b.Size)
	}
}

// TestOpenBackupRefuses spoils a backup.
func TestOpenBackupRefuses(t *testing.T) {
	t.Parallel()
	_, whole, _ := backedUp(t)
	for says, spoil := range map[string]func(t *testing.T, dir string){
		"was changed":          func(t *testing.T, dir string) { write(t, dir, "files/policy.yaml", "rules: []\n") },
		"no such file":         func(t *testing.T, dir string) { remove(t, dir, "files/ca.pem") },
		"8 files, want 7":      func(t *testing.T, dir string) { write(t, dir, "files/surplus", "x") },
		"is damaged at byte 0": func(t *testing.T, dir string) { write(t, dir, "segments/00000000", strings.Repeat("x", 9999)) },
		"says 9 entries":       func(t *testing.T, dir string) { manifest(t, dir, func(b *config.Backup) { b.Size = 9 }) },
		"says":                 func(t *testing.T, dir string) { manifest(t, dir, func(b *config.Backup) { b.Segments++ }) },
		"version 2":            func(t *testing.T, dir string) { manifest(t, dir, func(b *config.Backup) { b.Version = 2 }) },
		"signature": func(t *testing.T, dir string) {
			manifest(t, dir, func(b *config.Backup) { b.Checkpoint = strings.Replace(b.Checkpoint, "— log.", "— lag.", 1) })
		},
		"a path below": func(t *testing.T, dir string) {
			manifest(t, dir, func(b *config.Backup) { b.Files[1].Path = "../ca.pem" })
		},
		"each once": func(t *testing.T, dir string) {
			manifest(t, dir, func(b *config.Backup) { b.Files[1].Path = b.Files[0].Path })
		},
		"below the folder": func(t *testing.T, dir string) {
			manifest(t, dir, func(b *config.Backup) { b.Files[1].Path = "/etc/passwd" })
		},
		"is not among": func(t *testing.T, dir string) { manifest(t, dir, func(b *config.Backup) { b.Config = "other.yaml" }) },
		"backup.json":  func(t *testing.T, dir string) { write(t, dir, "backup.json", "{") },
	} {
		dir := filepath.Join(t.TempDir(), "backup")
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		spoil(t, dir)
		if _, _, err := config.OpenBackup(t.Context(), dir, nil, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q in it", err, says)
		}
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func manifest(t *testing.T, dir string, change func(b *config.Backup)) {
	t.Helper()
	b, err := config.ParseManifest([]byte(read(t, filepath.Join(dir, "backup.json"))))
	if err != nil {
		t.Fatal(err)
	}
	change(b)
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "backup.json", string(text))
}

// TestRestoreKeeps: what is there stays, and what is refused leaves nothing.
func TestRestoreKeeps(t *testing.T) {
	t.Parallel()
	m, to, b := backedUp(t)
	dir := filepath.Dir(m.Config)
	remove(t, dir, "ca.pem")
	write(t, dir, "policy.yaml", read(t, m.Policy)+"# a newer one\n")
	if _, err := b.Restore(t.Context(), to, dir); err == nil || !strings.Contains(err.Error(), "nothing is overwritten") {
		t.Errorf("over the data: %v", err)
	}
	if _, err := os.Stat(m.Bundle); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the refused restore left a file: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	kept, err := b.Restore(t.Context(), to, dir)
	if err != nil || !slices.Equal(kept, []string{"policy.yaml"}) {
		t.Errorf("kept %q, %v", kept, err)
	}
	if !strings.Contains(read(t, m.Policy), "a newer one") || read(t, m.Bundle) == "" {
		t.Error("the newer file was lost, or the missing one is not back")
	}
}

// TestBackupMemory: what the gate remembers of Sigstore's logs lies among the
// data, and comes back with it; so does the log's second key.
func TestBackupMemory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m, err := config.Init{Dir: filepath.Join(dir, "gate"), TrustDomain: "acme.example", Read: "open", Listen: "127.0.0.1:0", InsecureNoWitnesses: true, MLDSA: true}.Write()
	if err != nil {
		t.Fatal(err)
	}
	f, err := config.Load(m.Config)
	if err != nil {
		t.Fatal(err)
	}
	g, err := f.Open(t.Context(), config.Runtime{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	gate, to := filepath.Dir(m.Config), filepath.Join(dir, "backup")
	write(t, filepath.Join(gate, "data"), "sigstore-checkpoints", "memory\n")
	b, err := f.Backup(t.Context(), m.Config, to, true, time.Unix(1.8e9, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	remove(t, gate, "log-mldsa.key")
	if err := os.RemoveAll(filepath.Join(gate, "data")); err != nil {
		t.Fatal(err)
	}
	kept, err := b.Restore(t.Context(), to, gate)
	if err != nil || len(kept) > 0 {
		t.Errorf("kept %q, %v", kept, err)
	}
	if got := read(t, filepath.Join(gate, "data", "sigstore-checkpoints")); got != "memory\n" {
		t.Errorf("memory %q", got)
	}
	if read(t, filepath.Join(gate, "log-mldsa.key")) == "" {
		t.Error("the ML-DSA key is not back")
	}
}

// What we accept says each file once, below the folder.
func FuzzParseManifest(f *testing.F) {
	text, err := json.Marshal(&config.Backup{Version: 1, Config: "gate.yaml", Files: []config.BackupFile{{Path: "gate.yaml"}, {Path: "a/b", Secret: true}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := config.ParseManifest(text)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, x := range b.Files {
			rel, err := filepath.Rel("/gate", filepath.Join("/gate", x.Path))
			if err != nil || rel != x.Path || strings.HasPrefix(rel, "..") || seen[rel] {
				t.Errorf("%q leads to %q", x.Path, rel)
			}
			seen[rel] = true
		}
	})
}
