package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"plastron/gate/audit"
)

func logMirrorCmd() *cobra.Command {
	var l logFlags
	var records, forkProof, listen string
	var every, stopAfter time.Duration
	c := &cobra.Command{
		Use:   "mirror URL|DIR DIR --log-policy FILE [--records DIR] [--serve HOST:PORT]",
		Short: "Copy a log into a directory that any web server can serve",
		Long: "Mirror writes what it has verified and nothing else: entries that lead to a checkpoint with\n" +
			"its quorum, which extends the one that the directory has. Run again, it copies what is new;\n" +
			"interrupted, it goes on. `plastron log verify DIR` checks the copy, as it does the log.\n" +
			"Decision records are for auditors and go to a directory of their own, which is not to be\n" +
			"served. Exit code 5 says that the log misbehaved; the mirror then keeps what it had.",
		Args: exactArgs("URL|DIR", "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := within(cmd.Context(), stopAfter)
			defer cancel()
			from, p, err := l.open(args[0])
			if err != nil {
				return err
			}
			m := &audit.Mirror{From: from, Policy: p, Dir: args[1], Records: records}
			update := func() error {
				done, err := updateMirror(ctx, cmd.ErrOrStderr(), m)
				if err != nil {
					return keepFork(cmd, p, forkProof, filepath.Join(args[1], "checkpoint"), err)
				}
				return print(cmd, mirrored{done, args[1]})
			}
			if listen == "" {
				return update()
			}
			return serveMirror(ctx, cmd, args[1], listen, every, update)
		},
	}
	l.add(c.Flags())
	f := c.Flags()
	f.StringVar(&records, "records", "", "directory for decision records, which only auditors may read")
	f.StringVar(&forkProof, "fork-proof", "", "file for the proof that the log forked, if it did (default: in the mirror)")
	f.StringVar(&listen, "serve", "", "host:port to serve the mirror at, over plain HTTP, and go on copying")
	f.DurationVar(&every, "every", 30*time.Second, "with --serve: time between two copies")
	f.DurationVar(&stopAfter, "stop-after", 0, "with --serve: stop by itself after this time (0: never)")
	return c
}

func updateMirror(ctx context.Context, errs io.Writer, m *audit.Mirror) (*audit.Mirrored, error) {
	progress, stop := bar(errs, "entries")
	defer stop()
	m.Progress = progress
	return m.Update(ctx)
}

// serveMirror serves a mirror and keeps it up to date, until ctx ends or the log
// misbehaves.
func serveMirror(ctx context.Context, cmd *cobra.Command, dir, listen string, every time.Duration, update func() error) error {
	if every < time.Second {
		return usagef("--every is %s, want at least 1s", every)
	}
	if err := update(); err != nil {
		return err
	}
	h, err := audit.ServeDir(dir)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return usagef("listen: %w", err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "mirror ready at http://%s\n", l.Addr())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- serve(ctx, l, h) }() // ended by cancel
	for {
		select {
		case err := <-served:
			return err
		case <-time.After(every):
		}
		err := update()
		if errors.Is(err, audit.ErrMisbehaved) {
			cancel()
			return errors.Join(err, <-served)
		}
		if err != nil && ctx.Err() == nil {
			logger(cmd).Warn("the log could not be copied; trying again", "err", err, "after", every)
		}
	}
}

type mirrored struct {
	*audit.Mirrored
	dir string
}

func (m mirrored) text(w io.Writer) {
	fmt.Fprintf(w, "%s holds %s: %d entries, %d of them new, root %s\n", m.dir, m.Origin, m.Size, m.Size-m.From, m.Root)
	if m.Records > 0 || m.Gone > 0 {
		fmt.Fprintf(w, "  %d records copied, %d are gone\n", m.Records, m.Gone)
	}
}
