package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"plastron/gate/audit"
	"plastron/log/proof"
)

func logCheckForkCmd() *cobra.Command {
	var policy string
	c := &cobra.Command{
		Use:   "check-fork FILE --log-policy FILE",
		Short: "Check a proof that a log signed two histories, offline",
		Long: "Check-fork reads a proof that `log verify` or `monitor run` wrote: two checkpoints with\n" +
			"the log's signature that cannot both be true. Exit code 0 says that they are, and that\n" +
			"nothing of this log can be believed any more; 4, that the file proves nothing.",
		Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := readPolicy(policy)
			if err != nil {
				return err
			}
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			f, err := proof.ParseForkProof(text)
			if err != nil {
				return failf(exitEvidence, "%s: %w", args[0], err)
			}
			fork, err := f.Verify(p)
			if err != nil {
				return failf(exitEvidence, "%s proves nothing: %w", args[0], err)
			}
			return print(cmd, newForkReport(fork))
		},
	}
	c.Flags().StringVar(&policy, "log-policy", "", "log.policy: the log's key and its witnesses")
	return c
}

// keepFork writes the proof that an error carries to a file and says so; the
// error stays what it was. Without a path the file is beside another one, and
// each proof has its own.
func keepFork(cmd *cobra.Command, p *proof.Policy, path, beside string, err error) error {
	var fork *audit.ForkError
	if !errors.As(err, &fork) {
		return err
	}
	text, bad := fork.Proof.MarshalText()
	if bad == nil {
		if path == "" {
			if beside == "" {
				beside = "plastron"
			}
			h := sha256.Sum256(text)
			path = fmt.Sprintf("%s.%x.fork", strings.TrimSuffix(beside, filepath.Ext(beside)), h[:4])
		}
		bad = writeOnce(path, text)
	}
	if bad != nil {
		return fmt.Errorf("%w; and the proof of it could not be kept: %w", err, bad)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "FORK: %s signed two histories. The proof is in %s\n"+
		"Believe nothing of this log, keep the file, and show it to others: `plastron log check-fork %s --log-policy FILE`\n",
		p.Origin(), path, path)
	return err
}

// writeOnce writes a file that is not there yet, or holds these bytes already:
// evidence is never overwritten.
func writeOnce(path string, b []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s holds something else: move it away, or name another file", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

type forkReport struct {
	Origin string     `json:"origin"`
	Older  signedTree `json:"older"`
	Newer  signedTree `json:"newer"`
}

type signedTree struct {
	Size      uint64     `json:"size"`
	Root      proof.Hash `json:"root"`
	Witnesses []string   `json:"witnesses"` // of the policy, that cosigned it
}

func newForkReport(f *proof.Fork) forkReport {
	older, newer := f.Witnesses()
	return forkReport{
		f.Older().Origin,
		signedTree{f.Older().Size, f.Older().Root, older},
		signedTree{f.Newer().Size, f.Newer().Root, newer},
	}
}

func (r forkReport) text(w io.Writer) {
	fmt.Fprintf(w, "%s signed two histories: believe nothing of it\n", r.Origin)
	for _, t := range []signedTree{r.Older, r.Newer} {
		by := "no witness of the policy"
		if len(t.Witnesses) > 0 {
			by = strings.Join(t.Witnesses, ", ")
		}
		fmt.Fprintf(w, "  size %d, root %s, cosigned by %s\n", t.Size, t.Root, by)
	}
	if r.Older.Size < r.Newer.Size {
		fmt.Fprintf(w, "  the first %d entries of the second have another root than the first\n", r.Older.Size)
	}
}
