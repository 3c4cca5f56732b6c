package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"plastron/gate/audit"
	"plastron/log/proof"
)

func logCmd() *cobra.Command {
	return group("log", "Verify and read a log",
		logVerifyCmd(), logShowCmd(), logProveCmd(), logSearchCmd(), logTailCmd(), logMirrorCmd(), logCheckForkCmd())
}

func logVerifyCmd() *cobra.Command {
	var l logFlags
	var from, forkProof string
	var forget bool
	c := &cobra.Command{
		Use:   "verify URL|DIR --log-policy FILE [--from CHECKPOINT]",
		Short: "Check a whole log: quorum, consistency, every entry's own conditions",
		Long: "Verify reads all entries, recomputes the root and checks each entry's conditions. The\n" +
			"checkpoint that it saw last is remembered, and the log must extend it; --from names\n" +
			"another one. Exit code 5 says that the log misbehaved; if it signed two histories, the proof\n" +
			"for third parties is in the file that the message names (see `plastron log check-fork`).",
		Args: exactArgs("URL|DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, p, err := l.open(args[0])
			if err != nil {
				return err
			}
			memory := remembered(p)
			older, err := olderCheckpoint(from, memory)
			if err != nil {
				return err
			}
			rep, err := verifyLog(cmd.Context(), cmd.ErrOrStderr(), r, p, older)
			if err != nil {
				return keepFork(cmd, p, forkProof, memory, err)
			}
			if !forget {
				if err := remember(memory, rep.Checkpoint); err != nil {
					return err
				}
			}
			return print(cmd, logReport{rep})
		},
	}
	l.add(c.Flags())
	c.Flags().StringVar(&from, "from", "", "file of an older checkpoint that the log must extend (default: the one seen last)")
	c.Flags().StringVar(&forkProof, "fork-proof", "", "file for the proof that the log forked, if it did (default: beside the checkpoint seen last)")
	c.Flags().BoolVar(&forget, "no-memory", false, "do not remember this checkpoint")
	return c
}

func verifyLog(ctx context.Context, errs io.Writer, r *audit.Reader, p *proof.Policy, older []byte) (*audit.Report, error) {
	progress, stop := bar(errs, "entries")
	defer stop()
	return audit.Verify(ctx, r, p, older, progress)
}

// bar shows progress on a terminal and nothing elsewhere.
func bar(w io.Writer, unit string) (progress func(done, total uint64), stop func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, func() {}
	}
	p := mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
	b := p.AddBar(0, mpb.AppendDecorators(decor.CountersNoUnit("%d / %d "+unit)), mpb.BarRemoveOnComplete())
	return func(done, total uint64) {
			b.SetTotal(int64(total), false)
			b.SetCurrent(int64(done))
		}, func() {
			b.Abort(true)
			p.Wait()
		}
}

// remembered is the file of the last checkpoint seen of a log, in the XDG state
// folder.
func remembered(p *proof.Policy) string {
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".local", "state")
	}
	h := sha256.Sum256([]byte(p.Origin() + "\n" + p.LogVKey()))
	return filepath.Join(dir, "plastron", fmt.Sprintf("%x.checkpoint", h[:8]))
}

func olderCheckpoint(from, memory string) ([]byte, error) {
	if from != "" {
		b, err := os.ReadFile(from)
		if err != nil {
			return nil, usagef("--from: %w", err)
		}
		return b, nil
	}
	b, err := os.ReadFile(memory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func remember(path string, checkpoint []byte) error {
	if path == "" {
		return nil
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, checkpoint) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// Others may be remembering at the same time: a tail, a monitor.
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(checkpoint)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

type logReport struct{ *audit.Report }

func (r logReport) text(w io.Writer) {
	fmt.Fprintf(w, "%s is sound: %d entries, root %s\n", r.Origin, r.Size, r.Root)
	fmt.Fprintf(w, "  %s\n", quorumOf(r.Witnesses))
	if r.From > 0 {
		fmt.Fprintf(w, "  extends the checkpoint of size %d that you had\n", r.From)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Kinds)) {
		fmt.Fprintf(w, "  %6d %s\n", r.Kinds[k], k)
	}
}
