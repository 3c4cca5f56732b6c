package main

import (
	"context"
	"encoding/json/v2"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"plastron/gate/audit"
	"plastron/log/proof"
)

// How often a log is asked for news, and how long it is left alone at most after
// it did not answer.
const (
	tailEvery = time.Second
	tailPause = 15 * time.Second
)

func logTailCmd() *cobra.Command {
	var l logFlags
	var from int64
	var follow bool
	c := &cobra.Command{
		Use:   "tail URL|DIR --log-policy FILE [--from INDEX] [-f]",
		Short: "Print entries, one line each, as they are cosigned",
		Long: "Tail prints the last ten entries, or those from an index on, once each is proven to be in the\n" +
			"newest cosigned checkpoint and that to extend the one before. With -f it stays, and waits for\n" +
			"a log that does not answer; Ctrl-C ends it. With -o json a line is a JSON object.",
		Args: exactArgs("URL|DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if from < -1 {
				return usagef("--from is %d, want an index from 0 on", from)
			}
			t := tail{l: &l, at: args[0], next: from, cmd: cmd}
			err := t.read(cmd.Context())
			// Who is refused at once will be refused for ever.
			if !follow || err != nil && (!patience(err) || exitCode(err) == exitRefused) {
				return err
			}
			if err != nil {
				t.wait(cmd.Context(), err)
			}
			return t.follow(cmd.Context())
		},
	}
	l.add(c.Flags())
	c.Flags().Int64Var(&from, "from", -1, "index to begin at (default: ten entries before the end)")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "stay, and print entries as they come")
	return c
}

// A tail is how far a log has been printed.
type tail struct {
	l      *logFlags
	at     string
	next   int64 // index to print next; -1: ten before the end
	cmd    *cobra.Command
	r      *audit.Reader // nil: to be opened
	p      *proof.Policy
	failed int // times in a row
}

// follow reads on until the context ends, which is no error, or the log
// misbehaves.
func (t *tail) follow(ctx context.Context) error {
	for {
		pause := tailEvery
		for range t.failed {
			pause = min(2*pause, tailPause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		err := t.read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !patience(err):
			return err
		case err != nil:
			t.wait(ctx, err)
		default:
			t.failed = 0
		}
	}
}

// patience says whether an error may pass by itself: a gate that is restarted,
// a log with nothing in it yet, an SVID that is being renewed.
func patience(err error) bool {
	code := exitCode(err)
	return code == exitUnreachable || code == exitNotFound || code == exitRefused
}

// wait says once that it waits. The log is opened anew, with the SVID that is in
// its folder by then.
func (t *tail) wait(ctx context.Context, err error) {
	if t.failed == 0 && ctx.Err() == nil {
		fmt.Fprintf(t.cmd.ErrOrStderr(), "plastron: waiting for the log: %s\n", clean(err.Error()))
	}
	t.failed++
	t.r = nil
}

// read prints what is new.
func (t *tail) read(ctx context.Context) (err error) {
	if t.r == nil {
		if t.r, t.p, err = t.l.open(t.at); err != nil {
			return err
		}
	}
	v, err := look(t.cmd, t.r, t.p)
	if err != nil {
		return err
	}
	if t.next < 0 {
		t.next = max(0, int64(v.Size())-10)
	}
	if v.Size() <= uint64(t.next) {
		return nil
	}
	asJSON := t.cmd.Flag("output").Value.String() == "json"
	return v.Walk(ctx, uint64(t.next), v.Size(), func(index uint64, b []byte) error {
		t.next = int64(index) + 1
		e := audit.ParseEntry(index, b)
		if !asJSON {
			writeLine(t.cmd.OutOrStdout(), index, e.Time(), e.Kind, e.Summary())
			return nil
		}
		return writeJSONLine(t.cmd.OutOrStdout(), e)
	})
}

func writeJSONLine(w io.Writer, v any) error {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
