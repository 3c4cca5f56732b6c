package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"plastron/gate/api"
	"plastron/gate/audit"
	"plastron/log/proof"
	"plastron/svid"
)

// verifySVID checks the SVID of a file, offline.
func verifySVID(path string, t trustFlags, claimed bool) (*svid.Peer, *proof.Policy, error) {
	if t.policy == "" || t.bundle == "" {
		return nil, nil, usagef("--log-policy FILE and --trust-bundle FILE are needed")
	}
	trust, err := t.trust()
	if err != nil {
		return nil, nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	chain, err := svid.ParseCertificates(text)
	if err != nil {
		return nil, nil, failf(exitEvidence, "%s: %w", path, err)
	}
	v := &svid.Verifier{Bundle: trust.Bundle, Policy: trust.Policy, AllowClaimed: claimed}
	peer, err := v.Verify(chain)
	if err != nil {
		return nil, nil, failf(exitEvidence, "%s: %w", path, err)
	}
	return peer, trust.Policy, nil
}

func explainCmd() *cobra.Command {
	var t trustFlags
	var gate, own, record string
	c := &cobra.Command{
		Use:   "explain SVID --log-policy FILE --trust-bundle FILE [--gate URL --svid DIR | --record FILE]",
		Short: "Show what an SVID stands on, down to the floors",
		Long: "Explain checks the SVID now and prints the tree of who, what, where and why. The facts of\n" +
			"the decision are in its record, which the gate gives to the SVID's holder and to auditors\n" +
			"(--gate with --svid DIR), or which you have as a file (--record).",
		Args: exactArgs("SVID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := args[0]
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				if own == "" {
					own = path
				}
				path = filepath.Join(path, svid.ChainFile)
			}
			peer, policy, err := verifySVID(path, t, true)
			if err != nil {
				return err
			}
			text, err := readRecord(cmd.Context(), peer, t, gate, own, record)
			if err != nil {
				return err
			}
			e, err := audit.Explain(policy, peer, text)
			if err != nil {
				return failf(exitEvidence, "%w", err)
			}
			return print(cmd, explained{e})
		},
	}
	t.add(c.Flags())
	c.Flags().StringVar(&gate, "gate", "", "URL of the gate that has the record")
	c.Flags().StringVar(&own, "svid", "", "directory of the SVID to show to the gate (default SVID, if it is a directory)")
	c.Flags().StringVar(&record, "record", "", "file of the decision record")
	return c
}

// readRecord returns the decision record of an SVID from a file or from the
// gate, nil where neither is named.
func readRecord(ctx context.Context, peer *svid.Peer, t trustFlags, gate, own, file string) ([]byte, error) {
	switch {
	case file != "":
		return os.ReadFile(file)
	case gate == "":
		return nil, nil
	}
	trust, err := t.trust()
	if err != nil {
		return nil, err
	}
	if trust.SVID, err = ownSVID(own); err != nil {
		return nil, usagef("--svid: %w", err)
	}
	r, err := openLog(gate, trust)
	if err != nil {
		return nil, err
	}
	b, err := r.Blob(ctx, "record", proof.Hash(peer.Decision().Record))
	if errors.Is(err, fs.ErrPermission) {
		return nil, failf(exitRefused, "the gate gives records to the SVID's holder and to auditors: show one of theirs with --svid DIR: %w", err)
	}
	return b, err
}

// openLog opens a log for reading: a directory, a plain http URL (the log
// authenticates itself), or a gate's https URL.
func openLog(at string, trust api.Trust) (*audit.Reader, error) {
	if len(at) < 8 || at[:8] != "https://" {
		r, err := audit.Open(at, nil)
		if err != nil {
			return nil, usagef("%w", err)
		}
		return r, nil
	}
	hc, err := trust.HTTPClient()
	if err != nil {
		return nil, err
	}
	r, err := audit.Open(at, hc)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return r, nil
}

type explained struct{ *audit.Explanation }

func (e explained) text(w io.Writer) { e.Write(w, time.Now()) }
