package main

import (
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"plastron/gate/audit/index"
)

func logSearchCmd() *cobra.Command {
	var l logFlags
	var q index.Query
	var since, until string
	c := &cobra.Command{
		Use:   "search URL|DIR --log-policy FILE [--id GLOB] [--repository GLOB] [--kind KIND] [--since TIME] …",
		Short: "Find entries by what they say",
		Long: "Search brings the local index up to the newest cosigned checkpoint, asks it, and prints what\n" +
			"matches every flag, newest first. Values are globs: * is any text, ? one character. What only\n" +
			"decision records say (tokens, nodes, evidence) is found where you may read them: show an\n" +
			"auditor's SVID with --svid. `plastron log show` proves an entry that was found.",
		Args: exactArgs("URL|DIR"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			now := time.Now()
			if q.Since, err = moment(since, now); err != nil {
				return usagef("--since: %w", err)
			}
			if q.Until, err = moment(until, now); err != nil {
				return usagef("--until: %w", err)
			}
			r, p, err := l.open(args[0])
			if err != nil {
				return err
			}
			v, err := look(cmd, r, p)
			if err != nil {
				return err
			}
			x, rep, err := l.index(cmd, r, p, v)
			if err != nil {
				return err
			}
			defer x.Close()
			f := found{Origin: p.Origin(), Size: rep.Size}
			if f.Entries, f.More, err = x.Search(cmd.Context(), q); err != nil {
				return err
			}
			if rep.Withheld > 0 && q.Recorded() {
				fmt.Fprintf(cmd.ErrOrStderr(), "plastron: of %d SVIDs only the entry is indexed: their decision records are for auditors; "+
					"with an auditor's SVID, `plastron index rebuild --svid DIR` reads them\n", rep.Withheld)
			}
			if len(f.Entries) == 0 {
				return fmt.Errorf("nothing matches among the %d entries of %s: %w", f.Size, f.Origin, fs.ErrNotExist)
			}
			return print(cmd, f)
		},
	}
	l.add(c.Flags())
	f := c.Flags()
	f.StringVar(&q.ID, "id", "", "SPIFFE ID")
	f.StringVar(&q.Issuer, "issuer", "", "OIDC issuer of token or build: URL, or name in the gate's configuration")
	f.StringVar(&q.Subject, "subject", "", "subject of token or build")
	f.StringVar(&q.Repository, "repository", "", "source repository, github.com/owner/name")
	f.StringVar(&q.Digest, "digest", "", "digest of artifact, key, record, evidence or policy; a commit")
	f.StringVar(&q.Builder, "builder", "", "builder, signer or workflow of the build")
	f.StringVar(&q.Node, "node", "", "node source, node id or key")
	f.StringVar(&q.Kind, "kind", "", "x509-svid, policy, ban, unban, join-token, enrolment, trust")
	f.StringVar(&since, "since", "", "not before this time (RFC 3339, or a date) or this long ago (90m, 36h)")
	f.StringVar(&until, "until", "", "not after it, in the same forms")
	f.IntVar(&q.Limit, "limit", 1000, "print at most so many")
	return c
}

// moment reads a time, a date in UTC, or how long ago.
func moment(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time such as 2026-03-01T12:00:00Z, 2026-03-01 or 36h", s)
}

type found struct {
	Origin  string      `json:"origin"`
	Size    uint64      `json:"size"` // entries that were searched
	Entries []index.Hit `json:"entries"`
	More    bool        `json:"more,omitzero"` // there are more than --limit
}

func (f found) text(w io.Writer) {
	for _, h := range f.Entries {
		writeLine(w, h.Index, h.Time, h.Kind, h.Summary)
	}
	if f.More {
		fmt.Fprintf(w, "and more: --limit is %d\n", len(f.Entries))
	}
}

// writeLine prints an entry in one line.
func writeLine(w io.Writer, index uint64, at time.Time, kind, summary string) {
	when := "-"
	if !at.IsZero() {
		when = at.UTC().Format(time.RFC3339)
	}
	fmt.Fprintf(w, "%8d  %-20s  %-10s  %s\n", index, when, kind, oneLine(summary))
}
