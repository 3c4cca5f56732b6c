package main

import (
	"crypto/x509"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"

	"plastron/gate/config"
	"plastron/node/tpm"
)

func nodeCmd() *cobra.Command {
	return group("node", "Look at this node's evidence", nodeShowCmd())
}

func nodeShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show tpm:/dev/tpmrm0|tpm:unix:PATH|tpm:tcp:HOST:PORT",
		Short: "Print what a TPM calls itself: the line for an inventory of EKs",
		Args:  exactArgs("tpm:…"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := openNode(args[0])
			if err != nil {
				return err
			}
			defer n.close()
			if n.device == nil {
				return usagef("%q is no TPM", args[0])
			}
			der, err := n.device.EKCertificate()
			if err != nil {
				return err
			}
			hash, err := tpm.EKHash(der)
			if err != nil {
				return err
			}
			s := tpmShown{EK: hash, AK: n.device.AKName()}
			if c, err := x509.ParseCertificate(der); err == nil {
				s.Issuer = c.Issuer.String()
			}
			return print(cmd, s)
		},
	}
}

type tpmShown struct {
	EK     string `json:"ek"`     // SHA-256 of the EK certificate's SubjectPublicKeyInfo, as inventories list it
	AK     string `json:"ak"`     // name of the attestation key, hex
	Issuer string `json:"issuer"` // of the EK certificate
}

func (s tpmShown) text(w io.Writer) {
	fmt.Fprintf(w, "EK      %s\nAK      %s\nissuer  %s\n", s.EK, s.AK, clean(s.Issuer))
}

func policyCmd() *cobra.Command {
	var path string
	check := &cobra.Command{
		Use:   "check --config gate.yaml",
		Short: "Load the policy of a gate and run the tests inside it",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := config.Load(path)
			if err != nil {
				return usagef("%w", err)
			}
			if err := f.CheckPolicy(); err != nil {
				return usagef("%w", err)
			}
			return print(cmd, checked{f.Policy})
		},
	}
	check.Flags().StringVar(&path, "config", "gate.yaml", "the gate's configuration")
	return group("policy", "Check policies", check)
}

func versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  exactArgs(),
		RunE:  func(cmd *cobra.Command, _ []string) error { return print(cmd, versionResult{version()}) },
	}
}

type versionResult struct {
	Version string `json:"version"`
}

func (v versionResult) text(w io.Writer) { fmt.Fprintf(w, "plastron %s\n", v.Version) }

// version is that of the build: the module's, or the commit it was made from.
func version() string {
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := b.Main.Version
	for _, s := range b.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v = s.Value
		}
	}
	return v
}
