package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plastron/gate/audit"
	"plastron/log"
	"plastron/log/proof"
	"plastron/log/witness"
)

func monitorCmd() *cobra.Command {
	return group("monitor", "Watch a log for entries of interest and for misbehaviour", monitorRunCmd())
}

func monitorRunCmd() *cobra.Command {
	var path string
	var once bool
	var stopAfter time.Duration
	c := &cobra.Command{
		Use:   "run --config monitor.yaml [--once]",
		Short: "Verify what a log adds, and print the entries that match the rules",
		Long: "Run follows a log: it verifies what is new, holds the log to what its witnesses cosigned,\n" +
			"prints each entry that a rule of monitor.yaml fits (with -o json a line of JSON each) and\n" +
			"posts it to the webhook. The state file makes a restart go on where it stopped: nothing is\n" +
			"left out or told twice. It ends with exit code 5 when the log misbehaves.\n\n" +
			"With --once, for cron, it looks once: exit code 0 says that nothing matched, 3 that something\n" +
			"did, 5 that the log misbehaved, 7 that log or webhook could not be reached, 8 that the log\n" +
			"shows less than before and may still catch up.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := within(cmd.Context(), stopAfter)
			defer cancel()
			f, err := audit.LoadMonitorFile(path)
			if err != nil {
				return usagef("%w", err)
			}
			m, err := newMonitor(cmd, f)
			if err != nil {
				return err
			}
			held, err := log.Disk().Lock(f.State + ".lock")
			if err != nil {
				return usagef("another monitor uses state %s: %w", f.State, err)
			}
			if once {
				err = lookOnce(ctx, m)
			} else {
				fmt.Fprintf(cmd.ErrOrStderr(), "watching %s every %s\n", m.Policy.Origin(), f.Every)
				err = m.Run(ctx)
			}
			return errors.Join(alarm(ctx, cmd, f, m.Policy, err), held.Close())
		},
	}
	c.Flags().StringVar(&path, "config", "monitor.yaml", "which log to watch, and what for")
	c.Flags().BoolVar(&once, "once", false, "look once, and say by the exit code what was found")
	c.Flags().DurationVar(&stopAfter, "stop-after", 0, "stop by itself after this time (0: never)")
	return c
}

// newMonitor wires the monitor of a file.
func newMonitor(cmd *cobra.Command, f *audit.MonitorFile) (*audit.Monitor, error) {
	trust, err := (&trustFlags{bundle: f.TrustBundle, policy: f.LogPolicy}).trust()
	if err != nil {
		return nil, err
	}
	if trust.SVID, err = ownSVID(f.SVID); err != nil {
		return nil, usagef("svid: %w", err)
	}
	m := &audit.Monitor{
		Policy: trust.Policy, Interests: f.Rules, State: f.State, Every: f.Every, Within: f.Within, Logger: logger(cmd),
	}
	if m.Log, err = openLog(f.Log, trust); err != nil {
		return nil, err
	}
	for _, w := range trust.Policy.Witnesses() {
		if w.URL == "" {
			continue
		}
		c, err := witness.NewClient(trust.Policy, w, nil)
		if err != nil {
			return nil, err
		}
		m.Witnesses = append(m.Witnesses, c)
	}
	m.Deliver = func(ctx context.Context, found []audit.Match) error {
		// First to where it can fail: what is printed is not printed again.
		if f.Webhook.URL != "" {
			if err := f.Webhook.Post(ctx, delivery{Origin: m.Policy.Origin(), Matches: found}); err != nil {
				return &failure{exitUnreachable, err}
			}
		}
		for _, x := range found {
			if err := print(cmd, matched{x}); err != nil {
				return err
			}
		}
		return nil
	}
	return m, nil
}

// lookOnce says by its error what a single look has found.
func lookOnce(ctx context.Context, m *audit.Monitor) error {
	n, err := m.Look(ctx)
	switch {
	case errors.Is(err, audit.ErrNotYet):
		return &failure{exitNotYet, err}
	case err != nil:
		return err
	case n > 0:
		return failf(exitRefused, "%d entries match", n)
	}
	return nil
}

// alarm keeps the proof of a fork and tells the webhook that the log misbehaved.
func alarm(ctx context.Context, cmd *cobra.Command, f *audit.MonitorFile, p *proof.Policy, err error) error {
	if !errors.Is(err, audit.ErrMisbehaved) {
		return err
	}
	d := delivery{Origin: p.Origin(), Misbehaved: err.Error()}
	var fork *audit.ForkError
	if errors.As(err, &fork) {
		text, bad := fork.Proof.MarshalText()
		if bad != nil {
			return errors.Join(err, bad)
		}
		d.ForkProof = string(text)
	}
	err = keepFork(cmd, p, f.ForkProof, f.State, err)
	if f.Webhook.URL != "" {
		if bad := f.Webhook.Post(ctx, d); bad != nil {
			return fmt.Errorf("%w; and nobody was told: %v", err, bad)
		}
	}
	return err
}

// A delivery is what the webhook is posted: matches, or that the log misbehaved.
type delivery struct {
	Origin     string        `json:"origin"`
	Matches    []audit.Match `json:"matches,omitzero"`
	Misbehaved string        `json:"misbehaved,omitzero"`
	ForkProof  string        `json:"fork_proof,omitzero"` // text, for `plastron log check-fork`
}

type matched struct{ audit.Match }

func (m matched) text(w io.Writer) {
	fmt.Fprintf(w, "#%d %s %s  [%s]\n", m.Index, m.Kind, oneLine(m.Summary), strings.Join(m.Rules, ", "))
	for _, x := range []struct{ label, value string }{
		{"artifact", m.Artifact},
		{"source", m.Source},
		{"issuer", m.Issuer},
		{"floors", strings.Join(m.Floors, ", ")},
		{"INSECURE", strings.Join(m.Insecure, ", ")},
	} {
		if x.value != "" {
			fmt.Fprintf(w, "  %s: %s\n", x.label, oneLine(x.value))
		}
	}
}
