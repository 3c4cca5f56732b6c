package main

import (
	"context"
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"plastron/gate/api"
	"plastron/gate/audit"
	"plastron/gate/config"
	"plastron/log/proof"
	"plastron/log/witness"
	"plastron/provenance"
	"plastron/provenance/sign"
	"plastron/svid"
)

// public holds a genuine bundle and the genuine public-good trusted root;
// testdata/README.md says where they are from.
//
//go:embed public
var public embed.FS

// The public artifact: what npm serves as sigstore@2.0.0.
const (
	publicBundle = "public/sigstore.js@2.0.0-provenance.sigstore.json"
	publicRoot   = "public/public-good.json"
	publicDigest = "sha512:46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c"
)

// stage is what the demo's steps build up for each other.
type stage struct {
	near    *neighbours
	ends    []func() error // what to stop, last first
	made    *config.Made
	file    *config.File
	url     string // of the gate
	trust   api.Trust
	policy  *proof.Policy
	app     string // path of the built program
	digest  string
	bundle  []byte
	got     *requested
	token   string // the workload's
	earlier []byte // a checkpoint from before the attacks
}

// stop ends what the steps started, last first.
func (s *stage) stop() error {
	var errs []error
	for i := len(s.ends) - 1; i >= 0; i-- {
		errs = append(errs, s.ends[i]())
	}
	s.ends = nil
	return errors.Join(errs...)
}

// background runs f until stop, which waits for it.
func (s *stage) background(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }() // ended by cancel in stop
	s.ends = append(s.ends, func() error {
		cancel()
		return <-done
	})
}

func (d *demo) publicArtifact(ctx context.Context) ([]string, error) {
	root, err := public.ReadFile(publicRoot)
	if err != nil {
		return nil, err
	}
	bundle, err := public.ReadFile(publicBundle)
	if err != nil {
		return nil, err
	}
	v, err := provenance.New([]provenance.Root{{Name: "public-good", TrustedRoot: root}})
	if err != nil {
		return nil, err
	}
	artifact, err := provenance.ParseDigest(publicDigest)
	if err != nil {
		return nil, err
	}
	b, err := v.Verify(ctx, bundle, artifact)
	if err != nil {
		return nil, err
	}
	return []string{
		"offline, under the public-good root: certificate, SCT, signature, subject digest",
		fmt.Sprintf("in Rekor at index %d: inclusion proof up to a signed checkpoint, and the promise", b.LogIndex()),
		fmt.Sprintf("signed %s by %s", b.SignedAt().UTC().Format(time.DateTime), b.Signer()),
		fmt.Sprintf("built from %s at commit %.12s, and the predicate says what the certificate says", b.SourceRepository(), b.Commit()),
	}, nil
}

// startAll starts neighbours, witness and gate.
func (d *demo) startAll(ctx context.Context) ([]string, error) {
	if err := d.startWorld(ctx); err != nil {
		return nil, err
	}
	return d.startGate(ctx)
}

// startWorld starts neighbours and witness and makes a gate, as `dev`, `witness
// run` and `init` do.
func (d *demo) startWorld(ctx context.Context) (err error) {
	if d.near, err = startNeighbours(filepath.Join(d.dir, "dev")); err != nil {
		return err
	}
	d.ends = append(d.ends, func() error { d.near.close(); return nil })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	wdir := filepath.Join(d.dir, "witness")
	w, err := makeWitness(wdir, "witness.example/demo", l.Addr().String(), false)
	if err != nil {
		return err
	}
	witnesses, err := os.ReadFile(w.Policy)
	if err != nil {
		return err
	}
	near := func(name string) string { return filepath.Join("..", "dev", name) }
	d.made, err = config.Init{
		Dir: filepath.Join(d.dir, "gate"), TrustDomain: "acme.example", Listen: "127.0.0.1:0", Read: "open", Witnesses: witnesses,
		Issuers:  []config.Issuer{{Name: "ci", URL: d.near.issuer.URL(), InsecureHTTP: true}},
		Sigstore: []config.Sigstore{{Name: "local", TrustedRoot: near(devRoot)}},
		Nodes: []config.Node{
			{Name: "fleet", Kind: "tpm", InsecureSoftwareEKs: []string{near(devEKRoots)}, Enrol: config.Enrol{Inventory: near(devInventory)}},
			{Name: "join", Kind: "join-token"},
		},
	}.Write()
	if err != nil {
		return err
	}
	if d.policy, err = readPolicy(d.made.LogPolicy); err != nil {
		return err
	}
	key, name, err := witnessKey(wdir)
	if err != nil {
		return err
	}
	ws, err := witness.NewServer(witness.Config{
		Dir: filepath.Join(wdir, "state"), Key: key, Name: name, Logger: slog.New(slog.DiscardHandler),
		Logs: []witness.LogKey{{Origin: d.policy.Origin(), VKey: d.policy.LogVKey()}},
	})
	if err != nil {
		return err
	}
	d.background(func(ctx context.Context) error { return errors.Join(serve(ctx, l, ws.Handler()), ws.Close()) })
	return nil
}

// startGate runs the gate as `gate run` does.
func (d *demo) startGate(ctx context.Context) (_ []string, err error) {
	if d.file, err = config.Load(d.made.Config); err != nil {
		return nil, err
	}
	ready := make(chan *gateServer, 1)
	failed := make(chan error, 1)
	d.background(func(ctx context.Context) error {
		err := serveGate(ctx, d.file, slog.New(slog.DiscardHandler), func(s *gateServer) { ready <- s })
		failed <- err
		return err
	})
	select {
	case s := <-ready:
		d.url = "https://" + s.addr
	case err := <-failed:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := d.readTrust(); err != nil {
		return nil, err
	}
	return []string{
		"keys, gate.yaml, policy.yaml and log.policy made by init; the policy's own tests passed",
		"entry 0 of the log is its genesis, what the gate trusts; entry 1 is the policy",
		"the gate has an SVID of its own, through the same log: " + d.url,
	}, nil
}

func (d *demo) readTrust() error {
	bundle, err := readBundle(d.made.Bundle)
	d.trust = api.Trust{Bundle: bundle, Policy: d.policy}
	return err
}

// buildAndSign compiles a program and signs it keylessly, as a CI job does.
func (d *demo) buildAndSign(ctx context.Context) (_ []string, err error) {
	how, err := d.build(ctx)
	if err != nil {
		return nil, err
	}
	if d.digest, err = digestOf(d.app); err != nil {
		return nil, err
	}
	subject, err := sign.FileSubject(d.app)
	if err != nil {
		return nil, err
	}
	d.bundle, err = sign.Sign(ctx, sign.Options{
		Subjects: []sign.Subject{subject}, FulcioURL: d.near.sigstore.FulcioURL(), RekorURL: d.near.sigstore.RekorURL(),
		TimestampURL: d.near.sigstore.TimestampURL(), TrustedRoot: d.near.sigstore.TrustedRoot(),
		IdentityToken: d.near.issuer.Token(ciClaims("sigstore")),
	})
	if err != nil {
		return nil, err
	}
	return []string{
		how + ": " + d.digest[:19] + "…",
		"one-time key certified by Fulcio for the job's OIDC token, with an embedded SCT",
		"SLSA v1 provenance signed, logged in Rekor with an inclusion proof, timestamped, verified offline",
	}, nil
}

const program = `package main

func main() { println("hello, shop") }
`

// build compiles a small program, or takes this very one where there is no Go.
func (d *demo) build(ctx context.Context) (how string, err error) {
	d.app = filepath.Join(d.dir, "shop")
	if _, err := exec.LookPath("go"); err != nil {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		d.app = self
		return "no Go on this machine: plastron itself is the artifact", nil
	}
	src := filepath.Join(d.dir, "src")
	if err := os.MkdirAll(src, 0o700); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(src, "main.go"), []byte(program), 0o600); err != nil {
		return "", err
	}
	c := exec.CommandContext(ctx, "go", "build", "-o", d.app, "main.go")
	c.Dir = src
	// The Go that built plastron is there, and has its standard library compiled.
	c.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOTOOLCHAIN="+runtime.Version())
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return "compiled", nil
}

// requestSVID rotates the issuer's key, then asks like `plastron request`.
func (d *demo) requestSVID(ctx context.Context) (_ []string, err error) {
	d.near.issuer.Rotate()
	d.token = d.near.issuer.Token(ciClaims(d.made.Origin))
	r := d.requester(filepath.Join(d.dir, "svid"), d.token)
	if d.got, err = r.request(ctx); err != nil {
		return nil, err
	}
	if d.got.Enrolled == nil {
		return nil, errors.New("the TPM was known before it was enrolled")
	}
	if d.earlier, err = d.checkpoint(ctx); err != nil {
		return nil, err
	}
	return []string{
		fmt.Sprintf("entry %d enrols the TPM: EK in the inventory, and the AK lives beside it (credential activation)", *d.got.Enrolled),
		"token signed by the issuer's new key, for this gate, spent on this key",
		"provenance of the artifact: every check again; tied to the token by repository id and commit",
		"quote over the hash of the newest cosigned checkpoint and of the SVID's key",
		fmt.Sprintf("entry %d is durable and cosigned by the witness; then minted: %s", d.got.Index, d.got.SPIFFEID),
	}, nil
}

// requester asks with everything that the honest workload has.
func (d *demo) requester(out, token string) *requester {
	return &requester{
		gate: d.url, trust: d.trust, token: token, bundle: d.bundle, artifact: d.digest,
		node: "tpm:unix:" + filepath.Join(d.near.dir, devTPM), out: out,
	}
}

// checkpoint asks the gate for its newest cosigned checkpoint. The published
// one follows within a quarter of a second.
func (d *demo) checkpoint(ctx context.Context) ([]byte, error) {
	c, err := api.NewClient(d.url, d.trust)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	b, err := c.Bundle(ctx)
	if err != nil {
		return nil, err
	}
	return b.Checkpoint, nil
}

// handshake uses the SVID on both sides of a TLS connection made by go-spiffe;
// the client also checks the log proof.
func (d *demo) handshake(ctx context.Context) ([]string, error) {
	own, err := x509svid.Load(filepath.Join(d.got.Dir, svid.ChainFile), filepath.Join(d.got.Dir, svid.KeyFile))
	if err != nil {
		return nil, err
	}
	verifier := &svid.Verifier{Bundle: d.trust.Bundle, Policy: d.policy}
	said, err := d.greet(ctx, own, d.trust.Bundle, verifier)
	if err != nil {
		return nil, err
	}
	return []string{
		"go-spiffe made the connection and checked chain and SPIFFE ID on both sides",
		"VerifyConnection checked the log proof and the witness's cosignature, asking nobody",
		"over it came: " + said,
	}, nil
}

func (d *demo) greet(ctx context.Context, own *x509svid.SVID, bundle *x509bundle.Bundle, v *svid.Verifier) (string, error) {
	id, err := spiffeid.FromString(d.got.SPIFFEID)
	if err != nil {
		return "", err
	}
	server := tlsconfig.MTLSServerConfig(own, bundle, tlsconfig.AuthorizeID(id))
	server.SessionTicketsDisabled = true
	server.VerifyConnection = v.VerifyConnection
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return "", err
	}
	defer l.Close()
	go func() { // ended by the close of l
		if c, err := l.Accept(); err == nil {
			io.WriteString(c, "hello, shop\n")
			c.Close()
		}
	}()
	client := tlsconfig.MTLSClientConfig(own, bundle, tlsconfig.AuthorizeID(id))
	client.VerifyConnection = v.VerifyConnection
	c, err := (&tls.Dialer{Config: client}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(io.LimitReader(c, 64))
	return strings.TrimSpace(string(b)), err
}

func (d *demo) explain(ctx context.Context) ([]string, error) {
	t := trustFlags{bundle: d.made.Bundle, policy: d.made.LogPolicy}
	peer, policy, err := verifySVID(filepath.Join(d.got.Dir, svid.ChainFile), t, false)
	if err != nil {
		return nil, err
	}
	record, err := readRecord(ctx, peer, t, d.url, d.got.Dir, "")
	if err != nil {
		return nil, err
	}
	e, err := audit.Explain(policy, peer, record)
	if err != nil {
		return nil, err
	}
	d.told.Explain = explained{e}
	var tree strings.Builder
	e.Write(&tree, time.Now())
	d.say("%s", indent(tree.String(), "   "))
	return []string{"the record is the one whose hash the certificate carries, and the log holds"}, nil
}

// auditLog verifies the whole log, from the checkpoint before the attacks.
func (d *demo) auditLog(ctx context.Context) ([]string, error) {
	if _, err := d.requester(filepath.Join(d.dir, "second"), d.near.issuer.Token(ciClaims(d.made.Origin))).request(ctx); err != nil {
		return nil, fmt.Errorf("one more SVID: %w", err)
	}
	r, err := openLog(d.url, d.trust)
	if err != nil {
		return nil, err
	}
	rep, err := verifyLog(ctx, d.errs, r, d.policy, d.earlier)
	if err != nil {
		return nil, err
	}
	return []string{
		fmt.Sprintf("the checkpoint of size %d is a prefix of the one of size %d", rep.From, rep.Size),
		fmt.Sprintf("all %d entries hash to the signed root, cosigned by %s", rep.Size, strings.Join(rep.Witnesses, ", ")),
		"every entry kept its conditions: nothing spent twice, nothing decided on an older policy",
	}, nil
}
