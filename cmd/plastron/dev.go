package main

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plastron/node/tpm"
	"plastron/node/tpm/tpmtest"
	"plastron/oidc/oidctest"
	"plastron/provenance/provenancetest"
)

// The neighbours of a gate, on loopback: an OIDC issuer, a small Sigstore, and
// a software TPM whose vendor nobody but a demonstration should trust.
type neighbours struct {
	issuer   *oidctest.Issuer
	sigstore *provenancetest.Sigstore
	vendor   *tpmtest.CA
	tpm      *tpmtest.TPM
	dir      string
	sock     net.Listener
}

// The files that neighbours write into their folder.
const (
	devEnv       = "env"               // shell: the URLs, as PLASTRON_* that the verbs read
	devIssuer    = "issuer"            // URL of the OIDC issuer
	devRoot      = "trusted_root.json" // of the Sigstore
	devEKRoots   = "ek-roots.pem"      // the TPM vendor's root
	devInventory = "ek.sha256"         // the EK of our TPM
	devTPM       = "tpm.sock"          // the TPM, raw commands
)

// startNeighbours starts them and writes their files into dir.
func startNeighbours(dir string) (n *neighbours, err error) {
	n = &neighbours{dir: dir}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if err = os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if n.issuer, err = oidctest.Start(); err != nil {
		return nil, err
	}
	n.issuer.ServeTokens()
	if n.sigstore, err = provenancetest.Start(provenancetest.Options{Issuer: n.issuer.URL()}); err != nil {
		return nil, err
	}
	if n.vendor, err = tpmtest.NewCA("Demo TPM vendor"); err != nil {
		return nil, err
	}
	if n.tpm, err = tpmtest.New(tpmtest.Options{CA: n.vendor}); err != nil {
		return nil, err
	}
	if n.sock, err = net.Listen("unix", filepath.Join(dir, devTPM)); err != nil {
		return nil, err
	}
	go n.tpm.Serve(n.sock) // ended by close
	return n, n.write()
}

func (n *neighbours) write() error {
	ek, err := tpm.EKHash(n.tpm.EKCertificate())
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(n.dir)
	if err != nil {
		return err
	}
	env := fmt.Sprintf("export PLASTRON_FULCIO_URL=%s\nexport PLASTRON_REKOR_URL=%s\nexport PLASTRON_TIMESTAMP_URL=%s\nexport PLASTRON_TRUSTED_ROOT=%s\n",
		n.sigstore.FulcioURL(), n.sigstore.RekorURL(), n.sigstore.TimestampURL(), filepath.Join(abs, devRoot))
	for name, text := range map[string][]byte{
		devEnv:       []byte(env),
		devIssuer:    []byte(n.issuer.URL() + "\n"),
		devRoot:      n.sigstore.TrustedRoot(),
		devEKRoots:   pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.vendor.Certificate().Raw}),
		devInventory: []byte("# EKs that are ours: SHA-256 of the EK certificate's SubjectPublicKeyInfo\n" + ek + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(n.dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// close stops all of them.
func (n *neighbours) close() {
	if n.sock != nil {
		n.sock.Close()
	}
	if n.sigstore != nil {
		n.sigstore.Close()
	}
	if n.issuer != nil {
		n.issuer.Close()
	}
}

// ciClaims are the claims of a CI job of acme/shop, as GitHub's runner would get
// them: they name the same repository id and commit as the certificate that
// Fulcio makes from them, which is what ties the artifact to the token.
func ciClaims(audience string) map[string]any {
	const workflow = "acme/shop/.github/workflows/release.yml@refs/tags/v1.4.2"
	const commit = "6c1ad3a7c9be2d1a1f0b5f9b8f1f5a7a3e9c4d20"
	return map[string]any{
		"aud": audience, "sub": "repo:acme/shop:ref:refs/tags/v1.4.2", "jti": rand.Text(),
		"repository": "acme/shop", "repository_id": "512345", "repository_owner": "acme", "repository_owner_id": "99001",
		"repository_visibility": "private", "event_name": "push", "ref": "refs/tags/v1.4.2", "ref_type": "tag", "sha": commit,
		"workflow": "release", "workflow_ref": workflow, "workflow_sha": commit, "job_workflow_ref": workflow, "job_workflow_sha": commit,
		"runner_environment": "github-hosted", "run_id": "4217", "run_attempt": "1",
	}
}

func devCmd() *cobra.Command {
	var dir string
	var stopAfter time.Duration
	c := &cobra.Command{
		Use:   "dev --dir DIR",
		Short: "Leave a gate's neighbours running: OIDC issuer, small Sigstore, software TPM",
		Long: "Dev starts what a gate needs around it on loopback, for trying things out: an OIDC issuer\n" +
			"that gives anyone any token, a small Sigstore, and a software TPM. Nothing of it proves\n" +
			"anything. It stops by itself.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return usagef("--dir is needed")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), stopAfter)
			defer cancel()
			n, err := startNeighbours(dir)
			if err != nil {
				return err
			}
			defer n.close()
			fmt.Fprintf(cmd.ErrOrStderr(), "dev ready: issuer %s, files in %s, stops in %s\n", n.issuer.URL(), dir, stopAfter)
			<-ctx.Done()
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder for their files and the TPM's socket")
	c.Flags().DurationVar(&stopAfter, "stop-after", time.Hour, "stop by itself after this time")
	c.AddCommand(devTokenCmd())
	return c
}

func devTokenCmd() *cobra.Command {
	var dir, audience string
	var set []string
	c := &cobra.Command{
		Use:   "token --dir DIR --audience NAME [--claim NAME=VALUE…]",
		Short: "Get a token from the issuer of `plastron dev`, as a CI job of acme/shop",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			issuer, err := os.ReadFile(filepath.Join(dir, devIssuer))
			if err != nil {
				return usagef("%w; is `plastron dev --dir %s` running?", err, dir)
			}
			claims := ciClaims(audience)
			for _, s := range set {
				name, value, ok := strings.Cut(s, "=")
				if !ok {
					return usagef("--claim %q: want NAME=VALUE", s)
				}
				claims[name] = value
			}
			token, err := fetchToken(cmd.Context(), strings.TrimSpace(string(issuer)), claims)
			if err != nil {
				return err
			}
			return print(cmd, devToken{token})
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder of `plastron dev`")
	c.Flags().StringVar(&audience, "audience", "", "whom the token is for: sigstore, or the origin of a gate's log")
	c.Flags().StringArrayVar(&set, "claim", nil, "NAME=VALUE, to say something else (repeatable)")
	return c
}

func fetchToken(ctx context.Context, issuer string, claims map[string]any) (string, error) {
	q := url.Values{}
	for k, v := range claims {
		q.Set(k, fmt.Sprint(v))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, issuer+oidctest.TokenPath+"?"+q.Encode(), nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", errors.New("dev issuer: " + res.Status)
	}
	return strings.TrimSpace(string(b)), nil
}

type devToken struct {
	Token string `json:"token"`
}

func (t devToken) text(w io.Writer) { fmt.Fprintln(w, t.Token) }
