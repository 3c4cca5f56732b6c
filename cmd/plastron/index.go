package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"plastron/gate/audit"
	"plastron/gate/audit/index"
	"plastron/log/proof"
	"plastron/log/statement"
)

// indexed is the file of the local index of a log, beside its remembered
// checkpoint.
func indexed(p *proof.Policy) (string, error) {
	path, ok := strings.CutSuffix(remembered(p), ".checkpoint")
	if !ok {
		return "", usagef("there is no folder for the index: set XDG_STATE_HOME or HOME")
	}
	return path + ".index", nil
}

// index returns the local index of a log, brought up to a view of it.
func (l *logFlags) index(cmd *cobra.Command, r *audit.Reader, p *proof.Policy, v *audit.View) (*index.Index, *index.Report, error) {
	path, err := indexed(p)
	if err != nil {
		return nil, nil, err
	}
	x, err := index.Open(cmd.Context(), path)
	if errors.Is(err, index.ErrDamaged) {
		return nil, nil, usagef("%w", err)
	}
	if err != nil {
		return nil, nil, err
	}
	progress, stop := bar(cmd.ErrOrStderr(), "entries")
	defer stop()
	rep, err := x.Update(cmd.Context(), v, l.records(r), progress)
	if err != nil {
		return nil, nil, errors.Join(err, x.Close())
	}
	return x, rep, nil
}

// records returns how to read decision records: not at all over the network
// without an SVID, since the answer is known.
func (l *logFlags) records(r *audit.Reader) index.Records {
	if l.own == "" && strings.Contains(r.String(), "://") {
		return nil
	}
	return func(ctx context.Context, e *audit.Entry) (*statement.Record, error) { return recordOf(ctx, r, e) }
}

func indexCmd() *cobra.Command {
	return group("index", "Keep the local index that searches ask", indexRebuildCmd())
}

func indexRebuildCmd() *cobra.Command {
	var l logFlags
	c := &cobra.Command{
		Use:   "rebuild URL|DIR --log-policy FILE [--svid DIR]",
		Short: "Make the local index of a log anew",
		Long: "Rebuild deletes the local index of a log and makes it again out of its entries, and out of\n" +
			"the decision records that you may read: show an auditor's SVID with --svid. The content is\n" +
			"the same however often the index was brought up to date in between.",
		Args: exactArgs("URL|DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, p, err := l.open(args[0])
			if err != nil {
				return err
			}
			path, err := indexed(p)
			if err != nil {
				return err
			}
			v, err := look(cmd, r, p) // before anything is deleted
			if err != nil {
				return err
			}
			if err := index.Remove(path); err != nil {
				return err
			}
			x, rep, err := l.index(cmd, r, p, v)
			if err != nil {
				return err
			}
			defer x.Close()
			return print(cmd, indexReport{rep, p.Origin(), path})
		},
	}
	l.add(c.Flags())
	return c
}

type indexReport struct {
	*index.Report
	Origin string `json:"origin"`
	File   string `json:"file"`
}

func (r indexReport) text(w io.Writer) {
	fmt.Fprintf(w, "indexed %d entries of %s\n  file      %s\n", r.Size, r.Origin, r.File)
	if r.Withheld > 0 {
		fmt.Fprintf(w, "  withheld  %d decision records: token, node and evidence of those SVIDs can't be searched\n", r.Withheld)
	}
}
