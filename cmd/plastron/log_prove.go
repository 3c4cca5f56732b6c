package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"plastron/log/proof"
	"plastron/svid"
)

// A provenEntry is an entry whose log proof has been verified.
type provenEntry struct {
	Origin    string     `json:"origin"`
	Index     uint64     `json:"index"`
	Leaf      proof.Hash `json:"leaf"`
	Size      uint64     `json:"size"`      // of the checkpoint that has it
	Witnesses []string   `json:"witnesses"` // who cosigned that
	Proof     string     `json:"proof"`     // C2SP tlog-proof text

	verdict bool // text is the verdict, not the proof
}

// proveEntry verifies a proof of an entry.
func proveEntry(p *proof.Policy, entry []byte, pr proof.Proof) (*provenEntry, error) {
	leaf := proof.LeafHash(entry)
	c, err := pr.Verify(p, leaf)
	if err != nil {
		return nil, failf(exitEvidence, "the proof does not hold for this entry and log policy: %w", err)
	}
	text, err := pr.MarshalText()
	if err != nil {
		return nil, failf(exitEvidence, "%w", err)
	}
	return &provenEntry{
		Origin: p.Origin(), Index: pr.Index, Leaf: leaf, Size: c.Checkpoint().Size, Witnesses: c.Witnesses(), Proof: string(text),
	}, nil
}

func (p *provenEntry) text(w io.Writer) {
	if !p.verdict {
		io.WriteString(w, p.Proof)
		return
	}
	fmt.Fprintf(w, "verified: it is entry %d of %s\n", p.Index, p.Origin)
	fmt.Fprintf(w, "  in the checkpoint of size %d, %s\n  leaf hash  %s\n", p.Size, quorumOf(p.Witnesses), p.Leaf)
}

func logProveCmd() *cobra.Command {
	var l logFlags
	var out string
	c := &cobra.Command{
		Use:   "prove URL|DIR INDEX|SERIAL|LEAFHASH --log-policy FILE [--entry FILE] > FILE.tlog-proof",
		Short: "Write the C2SP tlog-proof of an entry",
		Long: "Prove writes the proof that the log holds an entry, under its newest cosigned checkpoint, as\n" +
			"text that any C2SP tool reads. --entry keeps the entry, byte for byte, beside it.\n" +
			"`plastron proof verify` checks the two, offline.",
		Args: exactArgs("URL|DIR", "INDEX|SERIAL|LEAFHASH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := l.entry(cmd, args[0], args[1])
			if err != nil {
				return err
			}
			proven, err := proveEntry(e.policy, e.bytes, e.proof)
			if err != nil {
				return err
			}
			return writeProof(cmd, proven, out, e.bytes)
		},
	}
	l.add(c.Flags())
	c.Flags().StringVar(&out, "entry", "", "file to write the entry to")
	return c
}

// writeProof prints a proof, and writes its entry to a file if one is named.
func writeProof(cmd *cobra.Command, p *provenEntry, out string, entry []byte) error {
	if out != "" {
		if err := os.WriteFile(out, entry, 0o644); err != nil {
			return err
		}
	}
	return print(cmd, p)
}

func proofCmd() *cobra.Command {
	return group("proof", "Take log proofs out of SVIDs and check them, offline", proofExtractCmd(), proofVerifyCmd())
}

func proofExtractCmd() *cobra.Command {
	var t trustFlags
	var out string
	c := &cobra.Command{
		Use:   "extract SVID --log-policy FILE [--entry FILE] > FILE.tlog-proof",
		Short: "Write the log proof that an SVID carries as C2SP tlog-proof text",
		Long: "Extract verifies the compact proof inside an SVID (a file, or the directory that holds it)\n" +
			"and writes it as C2SP tlog-proof text. --entry keeps the entry that it is about. Whether\n" +
			"the SVID itself is to be accepted, `plastron svid verify` says.",
		Args: exactArgs("SVID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := t.logPolicy()
			if err != nil {
				return err
			}
			entry, compact, err := entryOf(args[0])
			if err != nil {
				return err
			}
			pr, err := proof.ParseCompact(compact, p, proof.LeafHash(entry))
			if err != nil {
				return failf(exitEvidence, "%s: %w", args[0], err)
			}
			proven, err := proveEntry(p, entry, pr)
			if err != nil {
				return err
			}
			return writeProof(cmd, proven, out, entry)
		},
	}
	t.add(c.Flags())
	c.Flags().StringVar(&out, "entry", "", "file to write the entry to")
	return c
}

func proofVerifyCmd() *cobra.Command {
	var t trustFlags
	var entry, cert string
	c := &cobra.Command{
		Use:   "verify PROOF (--entry FILE | --svid FILE) --log-policy FILE",
		Short: "Check a C2SP tlog-proof: inclusion, the log's signature, the quorum",
		Args:  exactArgs("PROOF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := t.logPolicy()
			if err != nil {
				return err
			}
			if (entry == "") == (cert == "") {
				return usagef("say what the proof is about: --entry FILE (see `plastron log prove --entry`) or --svid FILE")
			}
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			pr, err := proof.ParseProof(text)
			if err != nil {
				return failf(exitEvidence, "%s: %w", args[0], err)
			}
			var b []byte
			if cert != "" {
				b, _, err = entryOf(cert)
			} else {
				b, err = os.ReadFile(entry)
			}
			if err != nil {
				return err
			}
			proven, err := proveEntry(p, b, pr)
			if err != nil {
				return err
			}
			proven.verdict = true
			return print(cmd, proven)
		},
	}
	t.add(c.Flags())
	c.Flags().StringVar(&entry, "entry", "", "file of the log entry")
	c.Flags().StringVar(&cert, "svid", "", "SVID, file or directory, whose entry it is")
	return c
}

// logPolicy returns the log policy, which is needed.
func (t *trustFlags) logPolicy() (*proof.Policy, error) {
	trust, err := t.trust()
	if err == nil && trust.Policy == nil {
		err = usagef("--log-policy FILE is needed")
	}
	return trust.Policy, err
}

// entryOf takes apart the first certificate of a file, or of the directory of an
// SVID.
func entryOf(path string) (entry, compact []byte, err error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, svid.ChainFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	chain, err := svid.ParseCertificates(text)
	if err == nil {
		entry, compact, err = svid.Entry(chain[0].Raw)
	}
	if err != nil {
		return nil, nil, failf(exitEvidence, "%s: %w", path, err)
	}
	return entry, compact, nil
}
