package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate/api"
	"plastron/gate/policy"
	"plastron/node"
	"plastron/provenance/sign"
)

func benchIssueCmd() *cobra.Command {
	var length time.Duration
	var clients int
	c := &cobra.Command{
		Use:   "issue",
		Short: "Whole issuances through the API: token, quote, bundle, policy, log, witness, mint",
		Long: "Issue runs a gate as a process of its own, with a witness, and asks it for SVIDs from many\n" +
			"clients: fresh token, fresh ECDSA quote, known bundle (warm) or a new one (cold). Its cpu is\n" +
			"that of the gate's process alone; the floor is that of a CSR check and\n" +
			"x509.CreateCertificate, now and again while the load is on.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "plastron-bench-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			b := &issueBench{demo: demo{dir: dir, errs: cmd.ErrOrStderr()}, clients: clients, length: length}
			out, err := b.run(cmd.Context())
			if err != nil {
				return err
			}
			return print(cmd, out)
		},
	}
	c.Flags().DurationVar(&length, "time", 10*time.Second, "how long each load lasts")
	c.Flags().IntVar(&clients, "clients", 16, "requests under way at once")
	return c
}

// issueBench is the demo's stage with the gate in a process of its own.
type issueBench struct {
	demo
	clients int
	length  time.Duration
	gate    *exec.Cmd

	tpm    sync.Mutex // guards device: a TPM does one thing at a time
	device *nodeSource
}

func (b *issueBench) run(ctx context.Context) (out figures, err error) {
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	for _, l := range []struct {
		name   string
		bundle func(context.Context) ([]byte, error)
	}{
		{"issue.warm", func(context.Context) ([]byte, error) { return b.bundle, nil }},
		{"issue.cold", b.sign},
	} {
		f, err := b.load(ctx, l.name, l.bundle)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	f, err := benchPolicy()
	if err != nil {
		return nil, err
	}
	return append(out, f), nil
}

// prepare starts the neighbours and the witness here and the gate apart, and
// enrols the TPM by a first request.
func (b *issueBench) prepare(ctx context.Context) error {
	if err := b.startWorld(ctx); err != nil {
		return err
	}
	if err := b.startChild(ctx); err != nil {
		return err
	}
	if _, err := b.buildAndSign(ctx); err != nil {
		return err
	}
	token := b.near.issuer.Token(ciClaims(b.made.Origin))
	if _, err := b.requester(filepath.Join(b.dir, "first"), token).request(ctx); err != nil {
		return err
	}
	var err error
	b.device, err = openNode("tpm:unix:" + filepath.Join(b.near.dir, devTPM))
	if err != nil {
		return err
	}
	b.ends = append(b.ends, func() error { b.device.close(); return nil })
	return nil
}

// startChild runs `plastron gate run` and waits for its line that says where.
func (b *issueBench) startChild(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.gate = exec.CommandContext(ctx, self, "gate", "run", "--config", b.made.Config, "--stop-after", "10m")
	b.gate.Cancel = func() error { return b.gate.Process.Signal(os.Interrupt) }
	b.gate.WaitDelay = 5 * time.Second
	errs, err := b.gate.StderrPipe()
	if err != nil {
		return err
	}
	if err := b.gate.Start(); err != nil {
		return err
	}
	b.ends = append(b.ends, func() error {
		b.gate.Process.Signal(os.Interrupt)
		return b.gate.Wait()
	})
	lines := bufio.NewScanner(errs)
	for lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), "gate ready at "); ok {
			b.url = at
			go io.Copy(io.Discard, errs) // ended by the end of the gate
			return b.readTrust()
		}
	}
	return fmt.Errorf("the gate did not start: %w", lines.Err())
}

func (b *issueBench) load(ctx context.Context, name string, bundle func(context.Context) ([]byte, error)) (figure, error) {
	c, err := api.NewClient(b.url, b.trust)
	if err != nil {
		return figure{}, err
	}
	defer c.Close()
	floor, err := startIssueFloor()
	if err != nil {
		return figure{}, err
	}
	before, err := childCPU(b.gate.Process.Pid)
	if err != nil {
		return figure{}, err
	}
	r := load(b.clients, b.length, func(int) error { return b.one(ctx, c, bundle) })
	after, err := childCPU(b.gate.Process.Pid)
	if err != nil {
		return figure{}, err
	}
	f, err := r.figure(name, b.clients, after-before)
	if err != nil {
		return figure{}, err
	}
	f.Floor, err = floor()
	f.Ratio = f.CPU / f.Floor
	return f, err
}

// one asks for one SVID with everything fresh but the bundle.
func (b *issueBench) one(ctx context.Context, c *api.Client, bundle func(context.Context) ([]byte, error)) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	csr, spki, err := asked(key)
	if err != nil {
		return err
	}
	what, err := bundle(ctx)
	if err != nil {
		return err
	}
	beacon, err := c.Beacon(ctx)
	if err != nil {
		return err
	}
	b.tpm.Lock()
	quote, err := b.device.attest(node.Bind(sha256.Sum256(beacon), spki))
	b.tpm.Unlock()
	if err != nil {
		return err
	}
	_, err = c.Issue(ctx, &api.Request{
		CSR: csr, Beacon: beacon, Token: b.near.issuer.Token(ciClaims(b.made.Origin)), Bundle: what, Artifact: b.digest, Evidence: quote,
	})
	return err
}

// sign makes a bundle that the gate has not seen.
func (b *issueBench) sign(ctx context.Context) ([]byte, error) {
	subject, err := sign.FileSubject(b.app)
	if err != nil {
		return nil, err
	}
	return sign.Sign(ctx, sign.Options{
		Subjects: []sign.Subject{subject}, FulcioURL: b.near.sigstore.FulcioURL(), RekorURL: b.near.sigstore.RekorURL(),
		TimestampURL: b.near.sigstore.TimestampURL(), TrustedRoot: b.near.sigstore.TrustedRoot(),
		IdentityToken: b.near.issuer.Token(ciClaims("sigstore")),
	})
}

// startIssueFloor does now and again what any issuer does: it checks a CSR and
// makes a certificate. The function it returns ends that, and returns the median
// of the processor time it took, in milliseconds: beside a load, because a core
// does less while the other one is busy.
func startIssueFloor() (stop func() (float64, error), err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, _, err := asked(key)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{{Scheme: "spiffe", Host: "bench.example", Path: "/x"}},
	}
	one := func() error {
		r, err := x509.ParseCertificateRequest(csr)
		if err != nil {
			return err
		}
		if err := r.CheckSignature(); err != nil {
			return err
		}
		_, err = x509.CreateCertificate(rand.Reader, template, template, r.PublicKey, key)
		return err
	}
	enough, done := make(chan struct{}), make(chan struct{})
	var took []time.Duration
	var failed error
	go func() { // ended by stop
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for failed == nil {
			began := threadCPU()
			failed = one()
			took = append(took, threadCPU()-began)
			select {
			case <-enough:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() (float64, error) {
		close(enough)
		<-done
		slices.Sort(took)
		return ms(took[len(took)/2]), failed
	}, nil
}

// benchPolicy is one decision among 100 rules, the last of which holds.
func benchPolicy() (figure, error) {
	text := "rules:\n"
	for i := range 100 {
		text += fmt.Sprintf("  - {name: r%d, id: \"spiffe://bench.example/r%d\", ttl: 1h, token: {issuer: ci, namespace: n%d}, node: {any: [fleet], bound: key}}\n", i, i, i)
	}
	p, err := policy.Load("policy.yaml", []byte(text), policy.Env{
		TrustDomain: spiffeid.RequireTrustDomainFromString("bench.example"),
		Issuers:     map[string]policy.IssuerInfo{"ci": {URL: "https://ci.example"}}, Nodes: map[string]bool{"fleet": true},
	})
	if err != nil {
		return figure{}, err
	}
	f := &policy.Facts{
		Now:   time.Now(),
		Token: &policy.Token{Issuer: "ci", Subject: "s", Claims: map[string]string{"kubernetes.io.namespace": "n99"}},
		Node:  &policy.Node{Name: "fleet", Kind: "tpm", ID: "tpm:00", Floor: "hardware", Bound: "key"},
	}
	cpu := ownCPU()
	r := load(1, time.Second, func(int) error {
		if _, no := p.Decide(f); no != nil {
			return fmt.Errorf("%s: %s", no.Code, no.Fact)
		}
		return nil
	})
	out, err := r.figure("policy.100", 1, ownCPU()-cpu)
	out.Floor, out.Ratio = 0.020, out.P50/0.020 // the budget: 20 µs
	return out, err
}

// childCPU is the user and system time of a process, from /proc: fields 14 and
// 15 of stat, in clock ticks of 10 ms.
func childCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("the gate's CPU time (needs Linux): %w", err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("the gate's CPU time: /proc/PID/stat is short")
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}
