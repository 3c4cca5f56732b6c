package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json/v2"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"plastron/gate/api"
	"plastron/node"
	"plastron/node/tpm"
	"plastron/node/tpm/tpmtest"
	"plastron/svid"
)

// attacks tries what must not work. Each must be refused, with the code that
// says why, and must leave the log as it was.
func (d *demo) attacks(ctx context.Context) ([]string, error) {
	before, err := d.checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	tries := []struct {
		title, want string
		try         func(context.Context) error
	}{
		{"a bundle with one byte of its payload changed", "provenance_signature", d.tamperedBundle},
		{"the workload's own token, on the thief's key", "oidc_replayed", d.stolenToken},
		{"a genuine quote, made for another key", "node_binding", d.quoteForAnotherKey},
		{"the genuine stranger enrols: a real TPM of the same vendor, not ours", "node_not_enrolled", d.strangerEnrols},
		{"the genuine stranger asks: own repository, our public bundle", "policy_no_match", d.strangerAsks},
		{"an SVID signed by the stolen CA key, with another SVID's proof", "not logged", d.neverLogged},
	}
	for _, t := range tries {
		began := time.Now()
		a := attack{Title: t.title}
		a.Code, a.Said = refusedBy(t.try(ctx))
		if a.Took = ms(time.Since(began)); a.Code != t.want {
			return nil, fmt.Errorf("%s: %q (%s), want %q", t.title, a.Code, a.Said, t.want)
		}
		d.told.Attacks = append(d.told.Attacks, a)
		d.say("   no  %s\n       %s\n", a.Title, strings.TrimSuffix(a.Code+": "+clean(a.Said), ": "))
	}
	after, err := d.checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	a, err := d.policy.OpenCheckpoint(before)
	if err != nil {
		return nil, err
	}
	b, err := d.policy.OpenCheckpoint(after)
	if err != nil {
		return nil, err
	}
	if a.Checkpoint() != b.Checkpoint() {
		return nil, fmt.Errorf("the attacks moved the log from size %d to %d", a.Checkpoint().Size, b.Checkpoint().Size)
	}
	return []string{fmt.Sprintf("%d of %d refused; the log is as it was, %d entries", len(tries), len(tries), b.Checkpoint().Size)}, nil
}

// errAccepted means that an attack got through.
var errAccepted = errors.New("accepted")

// refusedBy says what refused an attack.
func refusedBy(err error) (code, said string) {
	var r *api.Refusal
	switch {
	case err == nil || errors.Is(err, errAccepted):
		return "ACCEPTED", ""
	case errors.As(err, &r):
		return r.Code, r.Fact
	case errors.Is(err, svid.ErrRefused):
		return "not logged", err.Error()
	}
	return "error", err.Error()
}

func (d *demo) thief(name, token string) *requester {
	return d.requester(filepath.Join(d.dir, "thief", name), token)
}

func (d *demo) tamperedBundle(ctx context.Context) error {
	var b map[string]any
	if err := json.Unmarshal(d.bundle, &b); err != nil {
		return err
	}
	envelope := b["dsseEnvelope"].(map[string]any)
	payload := []byte(envelope["payload"].(string))
	i := len(payload) / 2
	if payload[i] == 'A' {
		payload[i] = 'B'
	} else {
		payload[i] = 'A'
	}
	envelope["payload"] = string(payload)
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	r := d.thief("bundle", d.near.issuer.Token(ciClaims(d.made.Origin)))
	r.bundle = text
	_, err = r.request(ctx)
	return err
}

func (d *demo) stolenToken(ctx context.Context) error {
	_, err := d.thief("token", d.token).request(ctx)
	return err
}

// quoteForAnotherKey relays: the quote is over the honest key, the CSR is not.
func (d *demo) quoteForAnotherKey(ctx context.Context) error {
	c, err := api.NewClient(d.url, d.trust)
	if err != nil {
		return err
	}
	defer c.Close()
	honest, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	_, spki, err := asked(honest)
	if err != nil {
		return err
	}
	beacon, err := c.Beacon(ctx)
	if err != nil {
		return err
	}
	n, err := openNode("tpm:unix:" + filepath.Join(d.near.dir, devTPM))
	if err != nil {
		return err
	}
	defer n.close()
	quote, err := n.attest(node.Bind(sha256.Sum256(beacon), spki))
	if err != nil {
		return err
	}
	csr, _, err := asked(mine)
	if err != nil {
		return err
	}
	_, err = c.Issue(ctx, &api.Request{
		CSR: csr, Beacon: beacon, Token: d.near.issuer.Token(ciClaims(d.made.Origin)), Bundle: d.bundle, Artifact: d.digest, Evidence: quote,
	})
	return err
}

// strangerClaims are a genuine token of somebody else's repository.
func (d *demo) strangerClaims() map[string]any {
	c := ciClaims(d.made.Origin)
	c["sub"], c["repository"], c["repository_id"] = "repo:stranger/shop:ref:refs/tags/v1.4.2", "stranger/shop", "777777"
	c["repository_owner"], c["repository_owner_id"] = "stranger", "666666"
	return c
}

func (d *demo) strangerEnrols(ctx context.Context) error {
	t, err := tpmtest.New(tpmtest.Options{CA: d.near.vendor})
	if err != nil {
		return err
	}
	path := filepath.Join(d.dir, "stranger.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer l.Close()
	go t.Serve(l) // ended by the close of l
	device, err := tpm.Open("unix:" + path)
	if err != nil {
		return err
	}
	defer device.Close()
	c, err := api.NewClient(d.url, d.trust)
	if err != nil {
		return err
	}
	defer c.Close()
	beacon, err := c.Beacon(ctx)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	_, spki, err := asked(key)
	if err != nil {
		return err
	}
	_, err = enrol(ctx, c, device, beacon, spki)
	return err
}

func (d *demo) strangerAsks(ctx context.Context) error {
	r := d.thief("stranger", d.near.issuer.Token(d.strangerClaims()))
	r.node = ""
	_, err := r.request(ctx)
	return err
}

// neverLogged makes an SVID with the stolen CA key and puts a real SVID's proof
// into it. Plain SPIFFE validation accepts it; the log proof does not.
func (d *demo) neverLogged(context.Context) error {
	text, err := os.ReadFile(filepath.Join(d.got.Dir, svid.ChainFile))
	if err != nil {
		return err
	}
	real, err := svid.ParseCertificates(text)
	if err != nil {
		return err
	}
	forged, err := d.forge(real[0])
	if err != nil {
		return err
	}
	if _, _, err := x509svid.Verify([]*x509.Certificate{forged}, d.trust.Bundle); err != nil {
		return fmt.Errorf("the forgery is not even a SPIFFE SVID: %w", err)
	}
	v := &svid.Verifier{Bundle: d.trust.Bundle, Policy: d.policy, AllowClaimed: true}
	if _, err := v.Verify([]*x509.Certificate{forged}); err != nil {
		return err
	}
	return errAccepted
}

// forge signs a copy of an SVID on another key.
func (d *demo) forge(real *x509.Certificate) (*x509.Certificate, error) {
	ca, err := svid.LoadKey(filepath.Join(filepath.Dir(d.made.Config), "ca.key"))
	if err != nil {
		return nil, err
	}
	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: real.NotBefore, NotAfter: real.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: real.ExtKeyUsage, BasicConstraintsValid: true, URIs: []*url.URL{real.URIs[0]},
	}
	for _, x := range real.Extensions {
		if bytes.HasPrefix([]byte(x.Id.String()), []byte("1.3.6.1.4.1.")) {
			template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: x.Id, Value: x.Value})
		}
	}
	parent := d.trust.Bundle.X509Authorities()[0]
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &mine.PublicKey, ca)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
