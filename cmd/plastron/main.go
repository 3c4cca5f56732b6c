// Plastron is a transparency-logged supply-chain identity gate: it lets a
// workload show who it is, what it is and where it runs, writes the issuance
// into a Merkle log, and only then mints an SVID that carries the proof.
//
// One binary, a file a verb. A verb reads flags, wires what the packages offer
// and prints; what is decided is decided elsewhere. Results go to stdout, as
// text or with -o json as one JSON value; progress and logs go to stderr.
//
// Exit codes:
//
//	0  yes
//	1  internal error
//	2  usage or configuration
//	3  refused by policy
//	4  evidence invalid
//	5  the log misbehaved: a fork, a rollback, a proof that does not verify
//	6  not found
//	7  unreachable, or busy: try again
//	8  not yet
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is main with its effects as parameters.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	if err := root.ExecuteContext(ctx); err != nil {
		code := exitCode(err)
		fmt.Fprintf(errs, "plastron: %s\n", clean(err.Error()))
		return code
	}
	return 0
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "plastron",
		Short: "A transparency-logged supply-chain identity gate",
		Long: "Plastron lets a workload show who it is, what it is and where it runs, writes\n" +
			"the issuance into its own Merkle log, and only then mints an SVID that carries\n" +
			"the proof. Start with `plastron demo`.",
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: prepare,
	}
	root.PersistentFlags().StringP("output", "o", "text", "print results as text or json")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%w; `%s --help` lists the flags", err, c.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: "start", Title: "Start here:"},
		&cobra.Group{ID: "ci", Title: "CI pipelines:"},
		&cobra.Group{ID: "run", Title: "Runtimes and relying parties:"},
		&cobra.Group{ID: "audit", Title: "Auditors:"},
		&cobra.Group{ID: "operate", Title: "Operators:"},
	)
	for group, verbs := range map[string][]*cobra.Command{
		"start":   {demoCmd(), devCmd()},
		"ci":      {signCmd(), verifyCmd()},
		"run":     {requestCmd(), svidCmd(), nodeCmd()},
		"audit":   {explainCmd(), logCmd(), monitorCmd(), proofCmd(), indexCmd(), witnessCmd()},
		"operate": {initCmd(), gateCmd(), tokenCmd(), banCmd(), policyCmd(), configCmd(), backupCmd(), benchCmd()},
	} {
		for _, v := range verbs {
			v.GroupID = group
			root.AddCommand(v)
		}
	}
	root.AddCommand(versionCmd())
	return root
}

// prepare fills flags that were not given from PLASTRON_* and checks -o.
func prepare(cmd *cobra.Command, _ []string) error {
	var bad error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := "PLASTRON_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := os.LookupEnv(name); ok && !f.Changed {
			if err := cmd.Flags().Set(f.Name, v); err != nil {
				bad = usagef("%s: %w", name, err)
			}
		}
	})
	if o, _ := cmd.Flags().GetString("output"); bad == nil && o != "text" && o != "json" {
		return usagef("-o is %q, want text or json", o)
	}
	return bad
}

// exactArgs is cobra.ExactArgs with an error that names what is wanted.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usagef("%d arguments, want %d (%s); `%s --help` says more", len(args), len(names), strings.Join(names, " "), cmd.CommandPath())
		}
		return nil
	}
}

// group is a command that only holds others.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("%q is no verb of `%s`; `%s --help` lists them", args[0], cmd.CommandPath(), cmd.CommandPath())
		}
		return errors.Join(cmd.Help(), usagef("`%s` needs a verb", cmd.CommandPath()))
	}}
	c.AddCommand(verbs...)
	return c
}
