package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plastron/gate/config"
	"plastron/log"
)

func backupCmd() *cobra.Command {
	return group("backup", "Copy a running gate, check the copy, and bring it back", backupCreateCmd(), backupVerifyCmd(), backupRestoreCmd())
}

func backupCreateCmd() *cobra.Command {
	var path, out string
	var keys bool
	c := &cobra.Command{
		Use:   "create --config gate.yaml --out DIR [--with-keys]",
		Short: "Copy a gate, which may be running, into a new directory",
		Long: "Create copies the log up to the checkpoint that the lock holds, gate.yaml and the files it\n" +
			"names, and verifies the copy. It holds records and evidence: keep it as you keep the data.\n" +
			"Private keys are in it only with --with-keys. The lock is never in it.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usagef("--out DIR is needed")
			}
			f, err := config.Load(path)
			if err != nil {
				return usagef("%w", err)
			}
			progress, stop := bar(cmd.ErrOrStderr(), "entries")
			b, err := f.Backup(cmd.Context(), path, out, keys, time.Now(), progress)
			stop()
			if errors.Is(err, fs.ErrExist) {
				return usagef("%w", err)
			}
			if err != nil {
				return err
			}
			if !keys {
				fmt.Fprintln(cmd.ErrOrStderr(), "private keys are not in the backup: keep them elsewhere, or use --with-keys")
			}
			for _, x := range b.Elsewhere {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s is outside the gate's folder and not in the backup\n", x)
			}
			return print(cmd, backedUp{Backup: b, dir: out})
		},
	}
	c.Flags().StringVar(&path, "config", "gate.yaml", "the gate's configuration")
	c.Flags().StringVar(&out, "out", "", "directory to make")
	c.Flags().BoolVar(&keys, "with-keys", false, "private keys and token files, too")
	return c
}

func backupVerifyCmd() *cobra.Command {
	var policy string
	c := &cobra.Command{
		Use:   "verify DIR [--log-policy FILE]",
		Short: "Check a whole backup, offline",
		Long: "Verify checks each file by its hash and reads the log from its first entry: it must lead to\n" +
			"the checkpoint that the log signed. Without --log-policy the policy in the backup says whose\n" +
			"signature that is.",
		Args: exactArgs("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, c, err := openBackup(cmd, args[0], policy)
			if err != nil {
				return err
			}
			return print(cmd, backedUp{b, &c.Blobs, &c.Erased, args[0]})
		},
	}
	c.Flags().StringVar(&policy, "log-policy", "", "log.policy: the log's key (default: the backup's)")
	return c
}

// openBackup verifies a backup.
func openBackup(cmd *cobra.Command, dir, policy string) (*config.Backup, *log.Copy, error) {
	var pinned *log.Policy
	if policy != "" {
		var err error
		if pinned, err = readPolicy(policy); err != nil {
			return nil, nil, err
		}
	}
	progress, stop := bar(cmd.ErrOrStderr(), "entries")
	defer stop()
	b, c, err := config.OpenBackup(cmd.Context(), dir, pinned, progress)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, context.Canceled) {
		return nil, nil, failf(exitEvidence, "%w", err)
	}
	return b, c, err
}

func backupRestoreCmd() *cobra.Command {
	var dir, policy string
	c := &cobra.Command{
		Use:   "restore BACKUP --dir DIR",
		Short: "Bring a gate back, if its log has not moved on",
		Long: "Restore verifies the backup and puts it into the gate's folder: files that are missing\n" +
			"there, and the log's data. It overwrites nothing.\n\n" +
			"A log goes on from the newest state that it ever signed, or not at all: a backup that is\n" +
			"older than the lock, or than what a witness has cosigned, is refused with exit code 5, as the\n" +
			"gate's start would be. It is good where the data was lost, or moves, after the gate had\n" +
			"stopped. It cannot take back what was logged: that is the point of a log. The lock must be in\n" +
			"its place and is never restored; if it is lost for good, the log has ended.",
		Args: exactArgs("BACKUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				return usagef("--dir DIR is needed: the folder of gate.yaml")
			}
			b, _, err := openBackup(cmd, args[0], policy)
			if err != nil {
				return err
			}
			kept, err := b.Restore(cmd.Context(), args[0], dir)
			if err != nil && !errors.Is(err, log.ErrForked) {
				return usagef("%w", err)
			}
			if err != nil {
				return err
			}
			return print(cmd, restored{b.Origin, b.Size, filepath.Join(dir, b.Config), kept})
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder of gate.yaml")
	c.Flags().StringVar(&policy, "log-policy", "", "log.policy: the log's key (default: the backup's)")
	return c
}

type backedUp struct {
	*config.Backup
	Blobs  *int `json:"blobs,omitzero"`  // records and pieces of evidence; known to verify
	Erased *int `json:"erased,omitzero"` // of them
	dir    string
}

func (b backedUp) text(w io.Writer) {
	fmt.Fprintf(w, "%s holds %s: %d entries, root %s\n", b.dir, b.Origin, b.Size, b.Root)
	if b.Blobs != nil {
		fmt.Fprintf(w, "  %d records and pieces of evidence, %d of them erased\n", *b.Blobs, *b.Erased)
	}
	with := "without private keys"
	if b.Keys {
		with = "with PRIVATE KEYS"
	}
	fmt.Fprintf(w, "  %d files, %s\n", len(b.Files), with)
}

type restored struct {
	Origin string   `json:"origin"`
	Size   uint64   `json:"size"`
	Config string   `json:"config"`
	Kept   []string `json:"kept"` // files that were there, differ from the backup's, and stayed
}

func (r restored) text(w io.Writer) {
	fmt.Fprintf(w, "%s is back, with %d entries\n", r.Origin, r.Size)
	if len(r.Kept) > 0 {
		fmt.Fprintf(w, "  kept, and not as in the backup: %s\n", strings.Join(r.Kept, ", "))
	}
	fmt.Fprintf(w, "next: plastron gate run --config %s\n", r.Config)
}
