package config

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"go.step.sm/crypto/kms/softkms"
	"go.step.sm/crypto/kms/uri"

	"plastron/log"
	"plastron/log/proof"
)

// A Backup is a directory that holds a gate: the segments of its log up to a
// checkpoint, gate.yaml, and the files that it names below its folder. The lock
// is never in it, and private keys only if asked for.
//
//	backup.json   this value
//	files/…       gate.yaml and what it names, by the paths it names them by,
//	              and the gate's memory of Sigstore's logs
//	segments/…    of the log (see the package comment of plastron/log)
//
// Directory and files are their owner's alone: segments hold tokens and other
// evidence that whoever reads it can use. The hashes tell decay; what cannot be
// forged is the log, which leads to a checkpoint that it signed.
//
// What a restore means: a log goes on from the newest state that it ever
// signed, or not at all. A backup older than the lock, or than what a witness
// has cosigned, is refused. It is good where the data was lost, or moves to
// another machine, after the gate had stopped; it cannot undo what was logged,
// which is the point of a log.
type Backup struct {
	Version    int          `json:"version"`
	Origin     string       `json:"origin"`
	Size       uint64       `json:"size"` // entries
	Root       proof.Hash   `json:"root"`
	Checkpoint string       `json:"checkpoint"` // signed note
	Created    time.Time    `json:"created"`
	Segments   int          `json:"segments"`
	Length     int64        `json:"length"` // of the last segment where it was written
	Config     string       `json:"config"` // name of gate.yaml
	Keys       bool         `json:"keys"`   // private keys and other secrets are among the files
	Files      []BackupFile `json:"files"`
	Elsewhere  []string     `json:"elsewhere"` // named by gate.yaml, and not below its folder: not in the backup
}

// A BackupFile is one file of the configuration.
type BackupFile struct {
	Path   string     `json:"path"` // slashes, below the folder of gate.yaml
	SHA256 proof.Hash `json:"sha256"`
	Secret bool       `json:"secret,omitzero"`
}

const (
	backupVersion = 1
	backupName    = "backup.json"
	maxManifest   = 1 << 20
)

// A named is a file that gate.yaml names.
type named struct {
	path   string // as gate.yaml has it
	secret bool
}

// names returns the files that the configuration reads, but for gate.yaml.
func (f *File) names() ([]named, error) {
	list := []named{{f.CACertificate, false}, {f.Log.Policy, false}, {f.Policy, false}}
	for _, key := range []string{f.Keys.CA, f.Keys.Log, f.Keys.LogMLDSA, f.Keys.Beacon} {
		if u, err := uri.ParseWithScheme(softkms.Scheme, key); err == nil {
			list = append(list, named{u.Get("path"), true})
		}
	}
	for _, i := range f.Issuers {
		list = append(list, named{i.CA, false}, named{i.TokenFile, true})
		if !strings.Contains(i.JWKS, "://") {
			list = append(list, named{i.JWKS, false})
		}
	}
	for _, s := range f.Sigstore {
		list = append(list, named{s.TrustedRoot, false})
	}
	if _, err := os.Stat(f.path(f.memory())); err == nil {
		list = append(list, named{f.memory(), false})
	}
	for _, n := range f.Nodes {
		list = append(list, named{n.Enrol.Inventory, false})
		for _, pattern := range slices.Concat(n.EKRoots, n.InstitutionEKRoots, n.InsecureSoftwareEKs) {
			paths, err := filepath.Glob(f.path(pattern))
			if err != nil {
				return nil, fmt.Errorf("node %q: %w", n.Name, err)
			}
			for _, p := range paths {
				if rel, err := filepath.Rel(f.dir, p); err == nil && !filepath.IsAbs(pattern) {
					p = rel
				}
				list = append(list, named{p, false})
			}
		}
	}
	evidence, err := f.policyEvidence()
	return slices.DeleteFunc(append(list, evidence...), func(n named) bool { return n.path == "" }), err
}

// policyEvidence returns the files that the policy's tests read.
func (f *File) policyEvidence() (list []named, err error) {
	text, err := readFile(f.path(f.Policy))
	if err != nil {
		return nil, err
	}
	var p struct {
		Tests []struct {
			Evidence string `yaml:"evidence"`
		} `yaml:"tests"`
	}
	if err := yaml.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Policy, err)
	}
	for _, t := range p.Tests {
		if t.Evidence != "" {
			list = append(list, named{filepath.Join(filepath.Dir(f.Policy), t.Evidence), false})
		}
	}
	return list, nil
}

// Backup writes one of the gate that the file describes, which may be running,
// into a directory that is not there yet.
func (f *File) Backup(ctx context.Context, config, to string, secrets bool, now time.Time, progress func(done, total uint64)) (*Backup, error) {
	p, err := f.logPolicy()
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("back up to %s: %w, and nothing is overwritten", to, fs.ErrExist)
	}
	tmp := filepath.Clean(to) + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return nil, err
	}
	b := &Backup{Version: backupVersion, Origin: p.Origin(), Created: now.UTC().Truncate(time.Second), Config: filepath.Base(config), Keys: secrets, Files: []BackupFile{}, Elsewhere: []string{}}
	err = b.write(ctx, f, p, tmp, progress)
	if err == nil {
		err = os.Rename(tmp, to)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(tmp))
	}
	return b, log.Disk().SyncDir(filepath.Dir(filepath.Clean(to)))
}

func (f *File) logPolicy() (*proof.Policy, error) {
	text, err := readFile(f.path(f.Log.Policy))
	if err != nil {
		return nil, fmt.Errorf("log.policy: %w", err)
	}
	return proof.ParsePolicy(text)
}

func (b *Backup) write(ctx context.Context, f *File, p *proof.Policy, to string, progress func(done, total uint64)) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	c, err := log.Backup(ctx, f.path(f.Data), f.path(f.Lock), filepath.Join(to, "segments"), p, progress)
	if err != nil {
		return err
	}
	b.Size, b.Root, b.Checkpoint, b.Segments, b.Length = c.Checkpoint.Size, c.Checkpoint.Root, string(c.Note), c.Segments, c.Length
	list, err := f.names()
	if err != nil {
		return err
	}
	for _, n := range append([]named{{b.Config, false}}, list...) {
		if err := b.add(f, n, to); err != nil {
			return err
		}
	}
	text, err := json.Marshal(b, json.Deterministic(true))
	if err != nil {
		return err
	}
	if err := writeNew(filepath.Join(to, backupName), text, 0o600); err != nil {
		return err
	}
	return log.Disk().SyncAll(to)
}

// add copies one file of the configuration.
func (b *Backup) add(f *File, n named, to string) error {
	path := filepath.ToSlash(filepath.Clean(n.path))
	known := slices.ContainsFunc(b.Files, func(x BackupFile) bool { return x.Path == path }) || slices.Contains(b.Elsewhere, path)
	switch {
	case known, n.secret && !b.Keys:
		return nil
	case !filepath.IsLocal(n.path):
		b.Elsewhere = append(b.Elsewhere, path)
		return nil
	}
	text, err := readFile(f.path(n.path))
	if err != nil {
		return err
	}
	name := filepath.Join(to, "files", n.path)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	b.Files = append(b.Files, BackupFile{path, sha256.Sum256(text), n.secret})
	return writeNew(name, text, 0o600)
}

// OpenBackup reads a backup and verifies all of it, offline: the files by their
// hashes, the log by its segments, which must lead to the checkpoint that it
// signed. The policy is the one in the backup if nil.
func OpenBackup(ctx context.Context, dir string, p *proof.Policy, progress func(done, total uint64)) (*Backup, *log.Copy, error) {
	b, err := readManifest(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("backup %s: %w", dir, err)
	}
	if p == nil {
		if p, err = b.policy(dir); err != nil {
			return nil, nil, fmt.Errorf("backup %s: %w", dir, err)
		}
	}
	c, err := b.check(ctx, dir, p, progress)
	if err != nil {
		return nil, nil, fmt.Errorf("backup %s: %w", dir, err)
	}
	return b, c, nil
}

func readManifest(dir string) (*Backup, error) {
	path := filepath.Join(dir, backupName)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxManifest {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", backupName, info.Size(), maxManifest)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseManifest(text)
}

func parseManifest(text []byte) (*Backup, error) {
	b := new(Backup)
	if err := json.Unmarshal(text, b, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%s: %w", backupName, err)
	}
	if b.Version != backupVersion {
		return nil, fmt.Errorf("%s: version %d, want %d", backupName, b.Version, backupVersion)
	}
	seen := map[string]bool{}
	for _, x := range b.Files {
		// A path that leads out of the folder would be written there.
		if name := filepath.FromSlash(x.Path); !filepath.IsLocal(name) || filepath.ToSlash(filepath.Clean(name)) != x.Path || seen[x.Path] {
			return nil, fmt.Errorf("%s: file %q: want each once, by a path below the folder", backupName, x.Path)
		}
		seen[x.Path] = true
	}
	if !seen[b.Config] {
		return nil, fmt.Errorf("%s: the configuration %q is not among the files", backupName, b.Config)
	}
	return b, nil
}

// policy reads the log policy that the backup's own configuration names.
func (b *Backup) policy(dir string) (*proof.Policy, error) {
	f, err := Load(filepath.Join(dir, "files", filepath.FromSlash(b.Config)))
	if err != nil {
		return nil, err
	}
	return f.logPolicy()
}

func (b *Backup) check(ctx context.Context, dir string, p *proof.Policy, progress func(done, total uint64)) (*log.Copy, error) {
	found := 0
	err := filepath.WalkDir(filepath.Join(dir, "files"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found++
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, x := range b.Files {
		text, err := readFile(b.file(dir, x))
		if err != nil {
			return nil, err
		}
		if sha256.Sum256(text) != x.SHA256 {
			return nil, fmt.Errorf("file %s was changed: its SHA-256 is not %s", x.Path, x.SHA256)
		}
	}
	if found != len(b.Files) {
		return nil, fmt.Errorf("%d files, want %d", found, len(b.Files))
	}
	c, err := log.CheckCopy(ctx, filepath.Join(dir, "segments"), []byte(b.Checkpoint), p, progress)
	if err != nil {
		return nil, err
	}
	if c.Checkpoint.Size != b.Size || c.Checkpoint.Root != b.Root || c.Checkpoint.Origin != b.Origin || c.Segments != b.Segments {
		return nil, fmt.Errorf("%s says %d entries of %s in %d segments, its checkpoint %d of %s in %d", backupName, b.Size, b.Origin, b.Segments, c.Checkpoint.Size, c.Checkpoint.Origin, c.Segments)
	}
	return c, nil
}

func (b *Backup) file(dir string, x BackupFile) string {
	return filepath.Join(dir, "files", filepath.FromSlash(x.Path))
}

// Restore brings a backup that is in the directory from back to the folder of a
// gate: files that are missing, and the data. Files that are there stay as they
// are, and are returned. Data that is there, and data that the log would not
// start with, is refused, and what was written is taken away again.
func (b *Backup) Restore(ctx context.Context, from, dir string) (kept []string, err error) {
	var made []string
	defer func() {
		if err != nil {
			for _, path := range made {
				err = errors.Join(err, os.Remove(path))
			}
		}
	}()
	restore := func(x BackupFile) error {
		path := filepath.Join(dir, filepath.FromSlash(x.Path))
		text, err := readFile(b.file(from, x))
		if err != nil {
			return err
		}
		if old, err := os.ReadFile(path); err == nil {
			if !bytes.Equal(old, text) {
				kept = append(kept, x.Path)
			}
			return nil
		}
		if err := writeBack(path, text, x.Secret); err != nil {
			return err
		}
		made = append(made, path)
		return nil
	}
	backedUp, err := Load(filepath.Join(from, "files", filepath.FromSlash(b.Config)))
	if err != nil {
		return nil, err
	}
	memory := filepath.ToSlash(backedUp.memory()) // is among the data, which comes back whole
	for _, x := range b.Files {
		if x.Path == memory {
			continue
		}
		if err := restore(x); err != nil {
			return nil, err
		}
	}
	f, err := Load(filepath.Join(dir, filepath.FromSlash(b.Config)))
	if err != nil {
		return nil, err
	}
	o, err := f.logOptions()
	if err != nil {
		return nil, fmt.Errorf("%w; what the backup does not hold must be there first: keys, and files outside the gate's folder", err)
	}
	if err := log.Restore(ctx, filepath.Join(from, "segments"), b.Length, o); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(b.Files, func(x BackupFile) bool { return x.Path == memory }); i >= 0 {
		return kept, restore(b.Files[i])
	}
	return kept, nil
}

func writeBack(path string, text []byte, secret bool) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if secret {
		mode = 0o600
	}
	return writeNew(path, text, mode)
}

// logOptions returns what the gate opens its log with.
func (f *File) logOptions() (log.Options, error) {
	c, err := f.wire(Runtime{Now: time.Now})
	if err != nil {
		return log.Options{}, err
	}
	return c.Log, nil
}
