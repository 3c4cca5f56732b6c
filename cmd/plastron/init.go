package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"plastron/gate/config"
)

func initCmd() *cobra.Command {
	var (
		in                          config.Init
		witnesses, tpmName          string
		issuers, insecure, sigstore []string
		ekRoots, softRoots          []string
		inventory                   string
	)
	c := &cobra.Command{
		Use:   "init --dir DIR --trust-domain NAME --log-read open|auditors (--witnesses FILE | --insecure-no-witnesses)",
		Short: "Make the keys and the configuration of a new gate",
		Long: "Init writes keys, gate.yaml, policy.yaml and log.policy into a new folder. They load as\n" +
			"they are; read the two YAML files before you run the gate.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if witnesses != "" {
				if in.Witnesses, err = os.ReadFile(witnesses); err != nil {
					return usagef("--witnesses: %w", err)
				}
			}
			if in.Issuers, err = issuerFlags(issuers, insecure); err != nil {
				return err
			}
			for _, s := range sigstore {
				name, path, ok := strings.Cut(s, "=")
				if !ok {
					return usagef("--sigstore %q: want NAME=trusted_root.json", s)
				}
				if path, err = filepath.Abs(path); err != nil {
					return err
				}
				in.Sigstore = append(in.Sigstore, config.Sigstore{Name: name, TrustedRoot: path})
			}
			if in.Nodes, err = nodeFlags(tpmName, inventory, ekRoots, softRoots); err != nil {
				return err
			}
			m, err := in.Write()
			if err != nil {
				return usagef("init: %w", err)
			}
			return print(cmd, initResult{*m})
		},
	}
	f := c.Flags()
	f.StringVar(&in.Dir, "dir", "", "folder to make the gate in")
	f.StringVar(&in.TrustDomain, "trust-domain", "", "SPIFFE trust domain, such as acme.example")
	f.StringVar(&in.Origin, "origin", "", "name of the log (default log.TRUST-DOMAIN/gate)")
	f.StringVar(&in.Listen, "listen", "127.0.0.1:8443", "where the gate will listen")
	f.StringVar(&in.Read, "log-read", "", "who may read the log's entries: open or auditors")
	f.BoolVar(&in.MLDSA, "mldsa", false, "give the log an ML-DSA-44 key too, with which it signs what it publishes")
	f.StringVar(&witnesses, "witnesses", "", "C2SP tlog-policy file of the log's witnesses, without a log line")
	f.BoolVar(&in.InsecureNoWitnesses, "insecure-no-witnesses", false, "do without witnesses")
	f.StringArrayVar(&issuers, "issuer", nil, "NAME=https://… of an OIDC issuer of your own (repeatable)")
	f.StringArrayVar(&insecure, "insecure-http-issuer", nil, "NAME=http://127.0.0.1:… of an issuer on loopback (repeatable)")
	f.StringArrayVar(&sigstore, "sigstore", nil, "NAME=trusted_root.json of a Sigstore (repeatable)")
	f.StringVar(&tpmName, "tpm", "", "name for a source of TPM nodes, such as fleet")
	f.StringArrayVar(&ekRoots, "ek-roots", nil, "PEM file of TPM vendors' roots, for --tpm (repeatable)")
	f.StringArrayVar(&softRoots, "insecure-software-ek-roots", nil, "PEM file of roots of software TPMs, for --tpm (repeatable)")
	f.StringVar(&inventory, "ek-inventory", "", "file of the EK hashes that are ours, for --tpm")
	return c
}

// issuerFlags reads NAME=URL pairs. The two issuers that everybody knows are
// marked shared: init writes no rule on them that names nobody.
func issuerFlags(secure, insecure []string) (out []config.Issuer, err error) {
	for i, flag := range append(append([]string{}, secure...), insecure...) {
		name, u, ok := strings.Cut(flag, "=")
		if !ok {
			return nil, usagef("issuer %q: want NAME=URL", flag)
		}
		shared := u == "https://token.actions.githubusercontent.com" || u == "https://gitlab.com" || u == "https://accounts.google.com"
		out = append(out, config.Issuer{Name: name, URL: u, Shared: shared, InsecureHTTP: i >= len(secure)})
	}
	return out, nil
}

func nodeFlags(name, inventory string, roots, soft []string) ([]config.Node, error) {
	nodes := []config.Node{{Name: "join", Kind: "join-token"}}
	if name == "" {
		return nodes, nil
	}
	n := config.Node{Name: name, Kind: "tpm"}
	for _, list := range []struct{ from, to *[]string }{{&roots, &n.EKRoots}, {&soft, &n.InsecureSoftwareEKs}} {
		for _, p := range *list.from {
			abs, err := filepath.Abs(p)
			if err != nil {
				return nil, err
			}
			*list.to = append(*list.to, abs)
		}
	}
	var err error
	if n.Enrol.Inventory, err = filepath.Abs(inventory); inventory == "" || err != nil {
		return nil, usagef("--tpm wants --ek-inventory FILE: a vendor's root proves a genuine TPM, not that it is yours")
	}
	return append([]config.Node{n}, nodes...), nil
}

type initResult struct{ config.Made }

func (r initResult) text(w io.Writer) {
	fmt.Fprintf(w, "made a gate whose log is %s\n\n", r.Origin)
	fmt.Fprintf(w, "  %s\twhat it trusts: read it\n  %s\twho gets what: read it\n", r.Config, r.Policy)
	fmt.Fprintf(w, "  %s\tgive it to relying parties and auditors (--log-policy)\n  %s\tthe CA certificate (--trust-bundle)\n\n", r.LogPolicy, r.Bundle)
	fmt.Fprintf(w, "next: plastron gate run --config %s\n", r.Config)
}
