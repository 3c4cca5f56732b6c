package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"plastron/provenance"
	"plastron/provenance/sign"
)

// maxPredicate bounds a predicate file and a trusted root, in bytes.
const maxPredicate = 4 << 20

func signCmd() *cobra.Command {
	var o sign.Options
	var tokenFile, root, predicate, out string
	c := &cobra.Command{
		Use:   "sign FILE|sha256:… --fulcio-url URL --rekor-url URL --timestamp-url URL --trusted-root FILE",
		Short: "Sign provenance of an artifact keylessly and log it",
		Long: "Sign makes an in-toto statement about the artifact, has Fulcio certify a one-time key for\n" +
			"your OIDC token, logs the signature in Rekor, has it timestamped, verifies the bundle\n" +
			"offline, and writes it beside the artifact. Without --predicate the statement is SLSA v1\n" +
			"provenance made from the same claims as the certificate.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.TrustedRoot, err = readBounded(root); err != nil {
				return usagef("--trusted-root: %w", err)
			}
			if predicate != "" {
				if o.Predicate, err = readBounded(predicate); err != nil {
					return usagef("--predicate: %w", err)
				}
			}
			if o.IdentityToken, err = identityToken(cmd, tokenFile); err != nil {
				return err
			}
			for _, a := range args {
				s, err := signSubject(a)
				if err != nil {
					return usagef("%w", err)
				}
				o.Subjects = append(o.Subjects, s)
			}
			if out == "" {
				if strings.HasPrefix(args[0], "sha256:") {
					return usagef("--out FILE is needed for an artifact given by digest")
				}
				out = args[0] + ".sigstore.json"
			}
			bundle, err := sign.Sign(cmd.Context(), o)
			if err != nil {
				return fmt.Errorf("sign: %w", err)
			}
			if err := os.WriteFile(out, bundle, 0o644); err != nil {
				return err
			}
			return print(cmd, signed{Bundle: out, Subjects: len(o.Subjects)})
		},
	}
	f := c.Flags()
	f.StringVar(&o.FulcioURL, "fulcio-url", "", "Fulcio, the certificate authority")
	f.StringVar(&o.RekorURL, "rekor-url", "", "Rekor v2, the transparency log")
	f.StringVar(&o.TimestampURL, "timestamp-url", "", "RFC 3161 timestamp authority")
	f.StringVar(&root, "trusted-root", "", "trusted_root.json that the bundle must verify under")
	f.StringVar(&tokenFile, "identity-token", "", "file of an OIDC token for audience sigstore, - for stdin (default: ask the CI system)")
	f.StringVar(&predicate, "predicate", "", "JSON predicate (default: SLSA v1 provenance)")
	f.StringVar(&o.PredicateType, "type", "", "predicate type, with --predicate")
	f.StringVar(&out, "out", "", "bundle to write (default FILE.sigstore.json)")
	return c
}

// identityToken reads the token, or asks the CI system that this runs in.
func identityToken(cmd *cobra.Command, file string) (string, error) {
	if file == "" {
		token, err := sign.AmbientToken(cmd.Context(), "sigstore")
		if err != nil {
			return "", usagef("no identity token: give one with --identity-token FILE: %w", err)
		}
		return token, nil
	}
	b, err := readInput(cmd.InOrStdin(), file)
	if err != nil {
		return "", usagef("--identity-token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func signSubject(artifact string) (sign.Subject, error) {
	if !strings.HasPrefix(artifact, "sha256:") && !strings.HasPrefix(artifact, "sha512:") {
		return sign.FileSubject(artifact)
	}
	d, err := provenance.ParseDigest(artifact)
	if err != nil {
		return sign.Subject{}, err
	}
	return sign.Subject{Name: artifact, Digests: []provenance.Digest{d}}, nil
}

func readBounded(path string) ([]byte, error) { return readUpTo(path, maxPredicate) }

// readUpTo reads a file of at most so many bytes.
func readUpTo(path string, most int64) ([]byte, error) {
	if path == "" {
		return nil, fmt.Errorf("a file is needed")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s: more than %d bytes", filepath.Base(path), most)
	}
	return b, err
}

type signed struct {
	Bundle   string `json:"bundle"`
	Subjects int    `json:"subjects"`
}

func (s signed) text(w io.Writer) {
	fmt.Fprintf(w, "signed, logged, timestamped and verified: %s\n", s.Bundle)
}
