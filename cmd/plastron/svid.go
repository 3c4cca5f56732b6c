package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"plastron/svid"
)

func svidCmd() *cobra.Command {
	return group("svid", "Look at and check SVIDs, offline", svidShowCmd(), svidVerifyCmd())
}

// shown is what an SVID says.
type shown struct {
	SPIFFEID  string            `json:"spiffe_id"`
	Serial    string            `json:"serial"` // hex
	NotBefore time.Time         `json:"not_before"`
	NotAfter  time.Time         `json:"not_after"`
	Verified  bool              `json:"verified"`
	Index     *uint64           `json:"log_index,omitzero"` // once verified
	Witnesses []string          `json:"witnesses,omitzero"` // whose cosignatures met the quorum
	Artifact  string            `json:"artifact,omitzero"`
	Tie       string            `json:"tie,omitzero"`
	Floors    []string          `json:"floors,omitzero"`
	Insecure  []string          `json:"insecure,omitzero"`
	Record    string            `json:"record"` // SHA-256 of the decision record, hex
	Build     map[string]string `json:"build,omitzero"`
	witnessed bool
}

func show(t *svid.TBS) *shown {
	return &shown{
		SPIFFEID: t.ID.String(), Serial: t.Serial.Text(16), NotBefore: t.NotBefore, NotAfter: t.NotAfter,
		Artifact: t.Decision.Artifact, Tie: string(t.Decision.Tie), Floors: t.Decision.Floors, Insecure: t.Decision.Insecure,
		Record: fmt.Sprintf("%x", t.Decision.Record),
	}
}

func (s *shown) text(w io.Writer) {
	fmt.Fprintf(w, "%s\n", s.SPIFFEID)
	if s.Verified {
		who := quorumOf(nil)
		if s.witnessed {
			who = quorumOf(s.Witnesses)
		}
		fmt.Fprintf(w, "  verified: chain, SPIFFE profile, log proof of entry %d, %s\n", *s.Index, who)
	} else {
		fmt.Fprintln(w, "  not verified: `plastron svid verify` does")
	}
	fmt.Fprintf(w, "  valid     %s to %s\n", s.NotBefore.Format(time.RFC3339), s.NotAfter.Format(time.RFC3339))
	fmt.Fprintf(w, "  serial    %s\n", s.Serial)
	if s.Artifact != "" {
		fmt.Fprintf(w, "  artifact  %s (%s)\n", s.Artifact, s.Tie)
	}
	for _, f := range s.Floors {
		fmt.Fprintf(w, "  floor     %s\n", f)
	}
	for _, x := range s.Insecure {
		fmt.Fprintf(w, "  INSECURE  %s\n", x)
	}
	fmt.Fprintf(w, "  record    sha256:%s\n", s.Record)
}

func svidShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Print what an SVID says, without checking it",
		Args:  exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			chain, err := svid.ParseCertificates(text)
			if err != nil {
				return failf(exitEvidence, "%s: %w", args[0], err)
			}
			t, err := svid.Show(chain[0].Raw)
			if err != nil {
				return failf(exitEvidence, "%s: %w", args[0], err)
			}
			return print(cmd, show(t))
		},
	}
}

func svidVerifyCmd() *cobra.Command {
	var t trustFlags
	var claimed bool
	c := &cobra.Command{
		Use:   "verify FILE --log-policy FILE --trust-bundle FILE",
		Short: "Check chain, SPIFFE profile, log proof and quorum, offline",
		Args:  exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			peer, policy, err := verifySVID(args[0], t, claimed)
			if err != nil {
				return err
			}
			s, index := show(peer.TBS()), peer.Index()
			s.Verified, s.Index, s.Witnesses, s.witnessed = true, &index, peer.Witnesses(), !policy.Unwitnessed()
			return print(cmd, s)
		},
	}
	t.add(c.Flags())
	c.Flags().BoolVar(&claimed, "allow-claimed-artifact", false, "accept an artifact that the requester only claimed")
	return c
}
