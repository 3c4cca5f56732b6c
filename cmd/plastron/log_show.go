package main

import (
	"context"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"plastron/gate/audit"
	"plastron/log/statement"
)

// recordOf returns the decision record of an SVID's entry; nil where it is not
// to be had, or the entry is of another kind.
func recordOf(ctx context.Context, r *audit.Reader, e *audit.Entry) (*statement.Record, error) {
	if e.SVID == nil {
		return nil, nil
	}
	rec, err := r.Record(ctx, e.SVID.DecisionRecord)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return rec, err
}

// A shownEntry is one entry and on whose word it is logged.
type shownEntry struct {
	*audit.Entry
	Origin    string            `json:"origin"`
	Size      uint64            `json:"size"`      // of the checkpoint that has it
	Witnesses []string          `json:"witnesses"` // who cosigned that
	Record    *statement.Record `json:"record,omitzero"`
}

func logShowCmd() *cobra.Command {
	var l logFlags
	c := &cobra.Command{
		Use:   "show URL|DIR INDEX|SERIAL|LEAFHASH --log-policy FILE [--svid DIR]",
		Short: "Show one entry, once its inclusion is proven",
		Long: "Show prints what an entry says, by its index, or by an SVID's serial number or an entry's\n" +
			"leaf hash in hex, which the local index knows. The entry is proven to be in the log under\n" +
			"its newest cosigned checkpoint. The decision record is there if you may read it.",
		Args: exactArgs("URL|DIR", "INDEX|SERIAL|LEAFHASH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := l.entry(cmd, args[0], args[1])
			if err != nil {
				return err
			}
			s := shownEntry{Entry: audit.ParseEntry(e.proof.Index, e.bytes), Origin: e.policy.Origin(), Size: e.view.Size(), Witnesses: e.view.Witnesses()}
			if s.Record, err = recordOf(cmd.Context(), e.log, s.Entry); err != nil {
				return err
			}
			return print(cmd, s)
		},
	}
	l.add(c.Flags())
	return c
}

func (s shownEntry) text(w io.Writer) {
	fmt.Fprintf(w, "entry %d of %s: %s\n", s.Index, s.Origin, s.Kind)
	fmt.Fprintf(w, "  verified: it is in the checkpoint of size %d, %s\n", s.Size, quorumOf(s.Witnesses))
	fmt.Fprintf(w, "  leaf hash  %s, %d bytes\n", s.Leaf, s.Bytes)
	switch {
	case s.SVID != nil:
		textOf(w, "", s.SVID)
	case s.Statement != nil:
		textOf(w, "", s.Predicate())
	default:
		fmt.Fprintf(w, "  %s\n", oneLine(s.Problem))
	}
	if s.Record != nil {
		fmt.Fprintln(w, "its decision record:")
		textOf(w, "", s.Record)
	}
}

// textOf prints a value as JSON has it, one line a member, in its order.
func textOf(w io.Writer, prefix string, v any) {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		fmt.Fprintf(w, "  %s\n", oneLine(err.Error()))
		return
	}
	for d := jsontext.NewDecoder(strings.NewReader(string(b))); ; {
		t, err := d.ReadToken()
		if err != nil {
			return // the end: json wrote it
		}
		in, n := d.StackIndex(d.StackDepth())
		if k := t.Kind(); k == '{' || k == '[' || k == '}' || k == ']' || in == '{' && n%2 == 1 {
			continue // not a value, or a member's name
		}
		name := strings.NewReplacer("/", ".", "~1", "/", "~0", "~").Replace(strings.TrimPrefix(string(d.StackPointer()), "/"))
		if first, rest, many := strings.Cut(strings.TrimSuffix(t.String(), "\n"), "\n"); many {
			fmt.Fprintf(w, "  %s%s:\n    %s\n", prefix, oneLine(name), oneLine(first))
			for line := range strings.SplitSeq(rest, "\n") {
				fmt.Fprintf(w, "    %s\n", oneLine(line))
			}
			continue
		}
		fmt.Fprintf(w, "  %s%s  %s\n", prefix, oneLine(name), oneLine(strings.TrimSuffix(t.String(), "\n")))
	}
}

// oneLine escapes what could drive a terminal or begin another line: entries say
// whatever their authors wrote.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\ufffd'
		}
		return r
	}, clean(s))
}
