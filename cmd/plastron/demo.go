package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func demoCmd() *cobra.Command {
	var keep string
	c := &cobra.Command{
		Use:   "demo",
		Short: "The whole story on this machine, in under a minute",
		Long: "Demo builds and signs a small program, runs a gate with its log, a witness, an OIDC issuer,\n" +
			"a small Sigstore and a software TPM on loopback, gets an SVID, uses it, attacks all of it,\n" +
			"and audits the log. Everything runs in this process and is gone when it ends.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			d := &demo{errs: cmd.ErrOrStderr()}
			if o, _ := cmd.Flags().GetString("output"); o == "text" {
				d.out = cmd.OutOrStdout()
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Minute)
			defer cancel()
			if d.dir = keep; keep == "" {
				if d.dir, err = os.MkdirTemp("", "plastron-demo-"); err != nil {
					return err
				}
				defer os.RemoveAll(d.dir)
			}
			told, err := d.tell(ctx)
			if err != nil {
				return err
			}
			if d.out != nil {
				return nil
			}
			return print(cmd, told)
		},
	}
	c.Flags().StringVar(&keep, "keep", "", "leave keys, log and evidence in this folder")
	return c
}

// A demo tells one story and keeps what its steps made for the next.
type demo struct {
	dir  string
	out  io.Writer // where it is told as it happens; nil with -o json
	errs io.Writer
	told story
	stage
}

// story is the demo as data.
type story struct {
	Steps   []step    `json:"steps"`
	Attacks []attack  `json:"attacks"`
	Explain explained `json:"explain"`
	Took    float64   `json:"took_ms"`
}

func (s *story) text(io.Writer) {} // told as it happened

// A step is one thing that was done, and what was checked in it.
type step struct {
	Title   string   `json:"title"`
	Checked []string `json:"checked"`
	Took    float64  `json:"took_ms"`
}

// An attack is one thing that was tried, and how it was refused.
type attack struct {
	Title string  `json:"title"`
	Code  string  `json:"code"` // the refusal's code, or the check that refused
	Said  string  `json:"said"`
	Took  float64 `json:"took_ms"`
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// tell runs the steps in order. A step that fails, or an attack that succeeds,
// ends the story with an error.
func (d *demo) tell(ctx context.Context) (_ *story, err error) {
	start := time.Now()
	defer func() { err = errors.Join(err, d.stop()) }()
	steps := []struct {
		title string
		run   func(context.Context) ([]string, error)
	}{
		{"A real public artifact: npm package sigstore@2.0.0, built by GitHub Actions in 2023", d.publicArtifact},
		{"A gate and its neighbours, on loopback: issuer, Sigstore, TPM, witness", d.startAll},
		{"A local build, signed and logged by its CI job", d.buildAndSign},
		{"The node's TPM is enrolled, the workload asks, and the gate logs before it mints", d.requestSVID},
		{"The SVID at work: mTLS, and the log proof checked offline in the handshake", d.handshake},
		{"What does it stand on?", d.explain},
		{"Attacks", d.attacks},
		{"An auditor reads the log", d.auditLog},
	}
	for i, s := range steps {
		d.say("\n%d. %s\n", i+1, s.title)
		began := time.Now()
		checked, err := s.run(ctx)
		took := time.Since(began)
		if err != nil {
			return nil, fmt.Errorf("step %d, %s: %w", i+1, s.title, err)
		}
		d.told.Steps = append(d.told.Steps, step{s.title, checked, ms(took)})
		for _, c := range checked {
			d.say("   ok  %s\n", c)
		}
		d.say("   %.0f ms\n", ms(took))
	}
	d.told.Took = ms(time.Since(start))
	d.say("\nDone in %.1f s. Nothing is left running.\nNext: README.md does the same by hand, with the processes apart.\n", time.Since(start).Seconds())
	return &d.told, nil
}

func (d *demo) say(format string, args ...any) {
	if d.out != nil {
		fmt.Fprintf(d.out, format, args...)
	}
}

func indent(s, by string) string {
	return by + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n"+by) + "\n"
}
