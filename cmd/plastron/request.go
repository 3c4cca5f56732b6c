package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate/api"
	"plastron/node"
	"plastron/node/jointoken"
	"plastron/node/tpm"
	"plastron/svid"
)

// trustFlags say how a gate or an SVID is known.
type trustFlags struct{ bundle, policy string }

func (t *trustFlags) add(f *pflag.FlagSet) {
	f.StringVar(&t.policy, "log-policy", "", "log.policy: the log's key, its witnesses and their quorum")
	f.StringVar(&t.bundle, "trust-bundle", "", "PEM file of the trust domain's CA certificates")
}

// trust reads the files; at least one must be given.
func (t *trustFlags) trust() (out api.Trust, err error) {
	if t.policy == "" && t.bundle == "" {
		return out, usagef("--log-policy FILE or --trust-bundle FILE is needed: there is no trust on first use")
	}
	if t.policy != "" {
		if out.Policy, err = readPolicy(t.policy); err != nil {
			return out, err
		}
	}
	if t.bundle != "" {
		out.Bundle, err = readBundle(t.bundle)
	}
	return out, err
}

// readBundle reads CA certificates; the trust domain is that of their own
// SPIFFE ID.
func readBundle(path string) (*x509bundle.Bundle, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("--trust-bundle: %w", err)
	}
	certs, err := svid.ParseCertificates(text)
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	if len(certs[0].URIs) != 1 {
		return nil, usagef("%s: its first certificate names no trust domain", path)
	}
	id, err := spiffeid.FromURI(certs[0].URIs[0])
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return x509bundle.FromX509Authorities(id.TrustDomain(), certs), nil
}

// A requester asks a gate for one SVID.
type requester struct {
	gate     string
	trust    api.Trust
	token    string
	bundle   []byte
	artifact string // digest
	node     string // tpm:ADDRESS or join-token:TOKEN; "" for none
	pcrs     []int  // that a TPM quotes; nil: tpm.DefaultPCRs
	renew    string // directory of an SVID in place of the token; "" for none
	out      string // directory
}

func requestCmd() *cobra.Command {
	var (
		r                           requester
		t                           trustFlags
		tokenFile, bundle, artifact string
	)
	c := &cobra.Command{
		Use:   "request --gate URL --log-policy FILE --token-file FILE --bundle FILE --artifact FILE|sha256:… --node KIND:… --out DIR",
		Short: "Ask a gate for an SVID",
		Long: "Request makes a key, shows the gate a token, provenance and node evidence that are bound\n" +
			"to it, and writes svid.pem, key.pem and bundle.pem. Send the same again after a lost reply.\n" +
			"With --renew an SVID stands in for the token, where the rule says renew_for.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if r.gate == "" || r.out == "" {
				return usagef("--gate and --out are needed")
			}
			if r.trust, err = t.trust(); err != nil {
				return err
			}
			if tokenFile != "" {
				text, err := readInput(cmd.InOrStdin(), tokenFile)
				if err != nil {
					return usagef("--token-file: %w", err)
				}
				r.token = strings.TrimSpace(string(text))
			}
			if bundle != "" {
				if r.bundle, err = os.ReadFile(bundle); err != nil {
					return usagef("--bundle: %w", err)
				}
			}
			if artifact != "" {
				if r.artifact, err = digestOf(artifact); err != nil {
					return usagef("--artifact: %w", err)
				}
			}
			got, err := r.request(cmd.Context())
			if err != nil {
				return err
			}
			return print(cmd, got)
		},
	}
	f := c.Flags()
	t.add(f)
	f.StringVar(&r.gate, "gate", "", "URL of the gate, https://HOST:PORT")
	f.StringVar(&tokenFile, "token-file", "", "file of the OIDC token, - for stdin")
	f.StringVar(&bundle, "bundle", "", "Sigstore bundle of the artifact's provenance")
	f.StringVar(&artifact, "artifact", "", "the artifact that runs: a file, or sha256:…")
	f.StringVar(&r.node, "node", "", "tpm:/dev/tpmrm0, tpm:unix:PATH, tpm:tcp:HOST:PORT, join-token:TOKEN or join-token:@FILE")
	f.StringVar(&r.renew, "renew", "", "directory of an SVID to show in place of a token (--out may be the same)")
	f.IntSliceVar(&r.pcrs, "pcrs", nil, "PCRs that the TPM quotes, where the gate asks for others than 0 to 7")
	f.StringVar(&r.out, "out", "", "directory for svid.pem, key.pem and bundle.pem")
	return c
}

// requested is what request prints.
type requested struct {
	SPIFFEID string    `json:"spiffe_id"`
	Index    uint64    `json:"log_index"`
	NotAfter time.Time `json:"not_after"`
	Enrolled *uint64   `json:"enrolled,omitzero"` // index of the node's enrolment, if this request made it
	Dir      string    `json:"dir"`
}

func (r *requested) text(w io.Writer) {
	if r.Enrolled != nil {
		fmt.Fprintf(w, "node enrolled: entry %d\n", *r.Enrolled)
	}
	fmt.Fprintf(w, "%s\n  entry %d, valid until %s\n  in %s\n", r.SPIFFEID, r.Index, r.NotAfter.Format(time.RFC3339), r.Dir)
}

// request makes a key and asks for an SVID on it.
func (r *requester) request(ctx context.Context) (*requested, error) {
	key, err := r.key()
	if err != nil {
		return nil, err
	}
	c, err := api.NewClient(r.gate, r.trust)
	if err != nil {
		return nil, usagef("%w", err)
	}
	defer c.Close()
	issued, enrolled, err := r.issue(ctx, c, key)
	if err != nil {
		return nil, err
	}
	leaf := issued.Chain[0]
	id, err := spiffeid.FromURI(leaf.URIs[0])
	if err != nil {
		return nil, err
	}
	ders := make([][]byte, 0, len(issued.Chain))
	for _, c := range issued.Chain {
		ders = append(ders, c.Raw)
	}
	if err := svid.Save(r.out, ders, key, x509bundle.FromX509Authorities(id.TrustDomain(), issued.CACertificates)); err != nil {
		return nil, err
	}
	return &requested{SPIFFEID: id.String(), Index: issued.Index, NotAfter: leaf.NotAfter, Enrolled: enrolled, Dir: r.out}, nil
}

// key returns the key of an SVID that is already there, so that asking again
// after a lost reply asks on the same key, or a new one. A renewal is for a new
// key.
func (r *requester) key() (*ecdsa.PrivateKey, error) {
	if r.renew != "" {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	old, err := svid.Load(r.out)
	if err == nil {
		if k, ok := old.PrivateKey.(*ecdsa.PrivateKey); ok {
			return k, nil
		}
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// issue makes the evidence over a fresh beacon and asks. A TPM that the gate
// does not know yet is enrolled first.
func (r *requester) issue(ctx context.Context, c *api.Client, key *ecdsa.PrivateKey) (*api.Issued, *uint64, error) {
	csr, spki, err := asked(key)
	if err != nil {
		return nil, nil, err
	}
	beacon, err := c.Beacon(ctx)
	if err != nil {
		return nil, nil, err
	}
	n, err := openNode(r.node)
	if err != nil {
		return nil, nil, err
	}
	defer n.close()
	if len(r.pcrs) > 0 {
		n.pcrs = r.pcrs
	}
	req := &api.Request{CSR: csr, Beacon: beacon, Token: r.token, Bundle: r.bundle, Artifact: r.artifact}
	bind := node.Bind(sha256.Sum256(beacon), spki)
	if req.Evidence, err = n.attest(bind); err != nil {
		return nil, nil, err
	}
	if req.Renewal, err = r.renewal(bind); err != nil {
		return nil, nil, err
	}
	issued, err := c.Issue(ctx, req)
	var no *api.Refusal
	if n.device == nil || !errors.As(err, &no) || no.Code != "node_not_enrolled" {
		return issued, nil, err
	}
	index, err := enrol(ctx, c, n.device, beacon, spki)
	if err != nil {
		return nil, nil, err
	}
	issued, err = c.Issue(ctx, req)
	return issued, &index, err
}

// asked returns what a request says of its key: a CSR, and the DER public key
// that evidence is bound to.
func asked(key *ecdsa.PrivateKey) (csr, spki []byte, err error) {
	if csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key); err != nil {
		return nil, nil, err
	}
	spki, err = x509.MarshalPKIXPublicKey(&key.PublicKey)
	return csr, spki, err
}

// renewal signs for the new key with that of the SVID that is renewed.
func (r *requester) renewal(bind [32]byte) (*api.Renewal, error) {
	if r.renew == "" {
		return nil, nil
	}
	old, err := svid.Load(r.renew)
	if err != nil {
		return nil, usagef("--renew: %w", err)
	}
	signer, ok := old.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, usagef("--renew: %s has no key that signs", r.renew)
	}
	hash := crypto.SHA256
	if _, ok := signer.Public().(ed25519.PublicKey); ok {
		hash = 0 // Ed25519 signs the message itself
	}
	signature, err := crypto.SignMessage(signer, rand.Reader, svid.RenewalMessage(bind), hash)
	if err != nil {
		return nil, err
	}
	return &api.Renewal{SVID: old.Certificate[0], Signature: signature}, nil
}

// enrol lets the gate know a TPM: it proves that the AK lives beside the EK.
func enrol(ctx context.Context, c *api.Client, d *tpm.Device, beacon, spki []byte) (uint64, error) {
	request, err := d.EnrolRequest()
	if err != nil {
		return 0, err
	}
	challenge, err := c.Challenge(ctx, "tpm", request, beacon, spki)
	if err != nil {
		return 0, err
	}
	answer, err := d.Activate(challenge)
	if err != nil {
		return 0, fmt.Errorf("activate credential: %w", err)
	}
	return c.Enrol(ctx, "tpm", request, answer, beacon, spki)
}

// A nodeSource makes node evidence on this side.
type nodeSource struct {
	device *tpm.Device // tpm
	pcrs   []int       // that it quotes
	token  string      // join-token
}

// openNode understands --node.
func openNode(flag string) (*nodeSource, error) {
	kind, rest, _ := strings.Cut(flag, ":")
	switch kind {
	case "":
		return &nodeSource{}, nil
	case "tpm":
		d, err := tpm.Open(rest)
		if err != nil {
			return nil, fmt.Errorf("--node %s: %w", flag, err)
		}
		return &nodeSource{device: d, pcrs: tpm.DefaultPCRs}, nil
	case "join-token":
		if path, ok := strings.CutPrefix(rest, "@"); ok {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, usagef("--node: %w", err)
			}
			rest = strings.TrimSpace(string(text))
		}
		return &nodeSource{token: rest}, nil
	}
	return nil, usagef("--node %q: want tpm:… or join-token:…", kind)
}

func (n *nodeSource) attest(bind [32]byte) ([]node.Evidence, error) {
	var ev node.Evidence
	var err error
	switch {
	case n.device != nil:
		ev, err = n.device.Quote(bind, n.pcrs)
	case n.token != "":
		ev, err = jointoken.Attest(n.token, bind)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []node.Evidence{ev}, nil
}

func (n *nodeSource) close() {
	if n.device != nil {
		n.device.Close()
	}
}

// digestOf returns an artifact's digest: of a file, or as given.
func digestOf(artifact string) (string, error) {
	if strings.HasPrefix(artifact, "sha256:") || strings.HasPrefix(artifact, "sha512:") {
		return artifact, nil
	}
	f, err := os.Open(artifact)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// readInput reads a small file, or stdin for "-".
func readInput(in io.Reader, path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(in, 1<<20))
	}
	return os.ReadFile(path)
}

// ownSVID loads an SVID to show to a gate; nil where dir is "".
func ownSVID(dir string) (*tls.Certificate, error) {
	if dir == "" {
		return nil, nil
	}
	return svid.Load(dir)
}
