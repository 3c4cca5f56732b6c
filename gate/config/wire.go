package config

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate"
	"plastron/gate/policy"
	"plastron/log"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/node"
	"plastron/node/jointoken"
	"plastron/node/tpm"
	"plastron/oidc"
	"plastron/provenance"
	"plastron/svid"
)

// Runtime is what does not come from the file.
type Runtime struct {
	Now    func() time.Time  // default time.Now
	Logger *slog.Logger      // default slog.Default
	Build  string            // version, for records
	Issued func(rule string) // see gate.Config; nil for nothing
}

// Open wires the gate that the file describes and opens it.
func (f *File) Open(ctx context.Context, r Runtime) (*gate.Gate, error) {
	if r.Now == nil {
		r.Now = time.Now
	}
	c, err := f.wire(r)
	if err != nil {
		return nil, err
	}
	return gate.Open(ctx, *c)
}

// Check wires the gate without opening it: whatever Open would refuse of the
// file and of what it names is refused here.
func (f *File) Check() error {
	_, err := f.wire(Runtime{Now: time.Now})
	return err
}

// CheckPolicy loads the policy against the sources that the file names, which
// runs its tests. Keys, roots and inventories are not read.
func (f *File) CheckPolicy() error {
	w := &wiring{File: f, env: policy.Env{Issuers: map[string]policy.IssuerInfo{}, Roots: map[string]bool{}, Nodes: map[string]bool{}}}
	var err error
	if w.env.TrustDomain, err = spiffeid.TrustDomainFromString(f.TrustDomain); err != nil {
		return fmt.Errorf("trust_domain: %w", err)
	}
	for _, i := range f.Issuers {
		w.env.Issuers[i.Name] = policy.IssuerInfo{URL: i.URL, Shared: i.Shared}
	}
	for _, s := range f.Sigstore {
		w.env.Roots[s.Name] = true
	}
	for _, n := range f.Nodes {
		w.env.Nodes[n.Name] = true
	}
	return w.policy(&gate.Config{})
}

// wire turns the file into the parts of a gate, and writes down for the trust
// entry what each is trusted on.
func (f *File) wire(r Runtime) (*gate.Config, error) {
	w := &wiring{File: f, env: policy.Env{Issuers: map[string]policy.IssuerInfo{}, Roots: map[string]bool{}, Nodes: map[string]bool{}}}
	c := &gate.Config{Now: r.Now, Logger: r.Logger, Build: r.Build, Issued: r.Issued}
	for _, step := range []func(*gate.Config) error{w.log, w.authority, w.issuers, w.sigstore, w.nodes, w.policy, w.names} {
		if err := step(c); err != nil {
			return nil, err
		}
	}
	c.Trust = w.trust
	return c, nil
}

// wiring is the state of wire: what the steps collect.
type wiring struct {
	*File
	trust statement.Trust
	env   policy.Env
}

func (w *wiring) log(c *gate.Config) error {
	text, err := readFile(w.path(w.File.Log.Policy))
	if err != nil {
		return fmt.Errorf("log.policy: %w", err)
	}
	p, err := proof.ParsePolicy(text)
	if err != nil {
		return fmt.Errorf("log.policy: %s: %w", w.File.Log.Policy, err)
	}
	key, err := w.openEd25519(w.Keys.Log)
	if err != nil {
		return fmt.Errorf("keys.log: %w", err)
	}
	signer, err := proof.NewLogSigner(w.File.Log.Origin, key)
	if err != nil {
		return fmt.Errorf("keys.log: %w", err)
	}
	if signer.VKey() != p.LogVKey() {
		return fmt.Errorf("log.policy: its log line is %s, but keys.log is %s", p.LogVKey(), signer.VKey())
	}
	if p.Unwitnessed() != w.File.Log.InsecureNoWitnesses {
		return errors.New("log: `quorum none` in log.policy and `insecure_no_witnesses: true` go together: without witnesses nobody sees a fork")
	}
	if key, err = w.openEd25519(w.Keys.Beacon); err != nil {
		return fmt.Errorf("keys.beacon: %w", err)
	}
	if c.Beacon, err = proof.NewCosigner(w.File.Log.Origin+"/beacon", key); err != nil {
		return fmt.Errorf("keys.beacon: %w", err)
	}
	c.Log = log.Options{Dir: w.path(w.Data), Lock: w.path(w.Lock), Signer: signer, Policy: p, Mirrors: w.File.Log.Mirrors}
	for _, name := range c.Log.Mirrors {
		if !slices.ContainsFunc(p.Witnesses(), func(k proof.Witness) bool { return k.Name == name }) {
			return fmt.Errorf("log.mirrors: log.policy has no witness %q", name)
		}
	}
	if c.Log.MLDSA, err = w.mldsa(p); err != nil {
		return err
	}
	w.trust.Origin, w.trust.LogPolicy, w.trust.Beacon = p.Origin(), string(text), c.Beacon.VKey()
	if p.Unwitnessed() {
		w.trust.Insecure = append(w.trust.Insecure, "insecure_no_witnesses")
	}
	return nil
}

// mldsa returns the log's second signer, nil if there is none.
func (w *wiring) mldsa(p *proof.Policy) (*proof.Signer, error) {
	if (w.Keys.LogMLDSA == "") != (p.LogMLDSA() == "") {
		return nil, errors.New("keys.log_mldsa and a log line with an ML-DSA key in log.policy go together: without the line nobody asks for the signature, and without the key nobody gives it")
	}
	if w.Keys.LogMLDSA == "" {
		return nil, nil
	}
	key, err := w.openMLDSA(w.Keys.LogMLDSA)
	if err != nil {
		return nil, fmt.Errorf("keys.log_mldsa: %w", err)
	}
	s, err := proof.NewCosigner(w.File.Log.Origin, key)
	if err != nil {
		return nil, fmt.Errorf("keys.log_mldsa: %w", err)
	}
	if s.VKey() != p.LogMLDSA() {
		return nil, fmt.Errorf("log.policy: its ML-DSA log line is %.60s…, but keys.log_mldsa is %.60s…", p.LogMLDSA(), s.VKey())
	}
	return s, nil
}

func (w *wiring) authority(c *gate.Config) (err error) {
	if c.TrustDomain, err = spiffeid.TrustDomainFromString(w.TrustDomain); err != nil {
		return fmt.Errorf("trust_domain: %w", err)
	}
	w.trust.TrustDomain, w.env.TrustDomain = w.TrustDomain, c.TrustDomain
	key, err := w.openP256(w.Keys.CA)
	if err != nil {
		return fmt.Errorf("keys.ca: %w", err)
	}
	certs, err := w.certificates([]string{w.CACertificate})
	if err != nil {
		return fmt.Errorf("ca_certificate: %w", err)
	}
	if len(certs) != 1 {
		return fmt.Errorf("ca_certificate: %d certificates, want one", len(certs))
	}
	w.trust.Certificates = [][]byte{certs[0].Raw}
	c.Authority, err = svid.NewAuthority(svid.Config{
		TrustDomain: c.TrustDomain, Certificate: certs[0], Key: key, Policy: c.Log.Policy, Now: c.Now,
	})
	return err
}

func (w *wiring) issuers(c *gate.Config) error {
	var issuers []oidc.Issuer
	for _, i := range w.Issuers {
		o := oidc.Issuer{
			Name: i.Name, URL: i.URL, Audience: i.Audience, Shared: i.Shared, JWKS: w.fileOrURL(i.JWKS), CA: w.optional(i.CA),
			Algorithms: i.Algorithms, MaxLifetime: i.MaxLifetime, KeyHosts: i.KeyHosts, TokenFile: w.optional(i.TokenFile),
			PrivateNetwork: i.PrivateNet, InsecureHTTP: i.InsecureHTTP, InsecureOtherAudiences: i.InsecureAud,
			Claims: oidc.Claims{ArtifactDigest: i.Claims.ArtifactDigest, RepositoryID: i.Claims.RepositoryID, Commit: i.Claims.Commit},
		}
		issuers = append(issuers, o)
		w.env.Issuers[i.Name] = policy.IssuerInfo{URL: i.URL, Shared: i.Shared}
		a := statement.Anchor{Name: i.Name, URL: i.URL, Shared: i.Shared, Floor: string(node.Institution)}
		if i.JWKS != "" && !strings.Contains(i.JWKS, "://") {
			text, err := readFile(o.JWKS)
			if err != nil {
				return fmt.Errorf("issuer %q: jwks: %w", i.Name, err)
			}
			a.SHA256 = sha256.Sum256(text)
		}
		if i.InsecureHTTP {
			w.trust.Insecure = append(w.trust.Insecure, "issuer "+i.Name+": insecure_http")
		}
		if i.InsecureAud {
			w.trust.Insecure = append(w.trust.Insecure, "issuer "+i.Name+": insecure_other_audiences")
		}
		w.trust.Issuers = append(w.trust.Issuers, a)
	}
	var err error
	c.Tokens, err = oidc.New(issuers, w.File.Log.Origin, c.Now)
	return err
}

func (w *wiring) sigstore(c *gate.Config) (err error) {
	var roots []provenance.Root
	for _, s := range w.Sigstore {
		text, err := readFile(w.path(s.TrustedRoot))
		if err != nil {
			return fmt.Errorf("sigstore %q: %w", s.Name, err)
		}
		roots = append(roots, provenance.Root{Name: s.Name, TrustedRoot: text, Tiles: w.tiles(s)})
		w.env.Roots[s.Name] = true
		w.trust.Sigstore = append(w.trust.Sigstore, statement.Anchor{Name: s.Name, SHA256: sha256.Sum256(text), Floor: string(node.Institution)})
	}
	if len(roots) > 0 {
		c.Builds, err = provenance.New(roots)
		c.Watch.File = w.path(w.memory())
	}
	return err
}

// memory is where the gate remembers the checkpoints of Sigstore's logs, as
// gate.yaml would name it.
func (f *File) memory() string { return filepath.Join(f.Data, "sigstore-checkpoints") }

func (w *wiring) tiles(s Sigstore) (out []provenance.TileLog) {
	for _, t := range s.Tiles {
		out = append(out, provenance.TileLog{Origin: t.Origin, URL: t.URL, InsecureHTTP: t.InsecureHTTP})
		if t.InsecureHTTP {
			w.trust.Insecure = append(w.trust.Insecure, "sigstore "+s.Name+": tiles of "+t.Origin+": insecure_http")
		}
	}
	return out
}

func (w *wiring) nodes(c *gate.Config) error {
	for _, n := range w.Nodes {
		v, a, err := w.node(n)
		if err != nil {
			return fmt.Errorf("node %q: %w", n.Name, err)
		}
		c.Nodes = append(c.Nodes, v)
		w.env.Nodes[n.Name] = true
		w.trust.Nodes = append(w.trust.Nodes, *a)
	}
	return nil
}

func (w *wiring) node(n Node) (node.Verifier, *statement.Anchor, error) {
	if n.Kind == "join-token" {
		return jointoken.New(n.Name), &statement.Anchor{Name: n.Name, Kind: n.Kind, Floor: string(node.Human)}, nil
	}
	roots, err := w.certificates(n.EKRoots)
	if err != nil {
		return nil, nil, fmt.Errorf("ek_roots: %w", err)
	}
	cloud, err := w.certificates(n.InstitutionEKRoots)
	if err != nil {
		return nil, nil, fmt.Errorf("institution_ek_roots: %w", err)
	}
	soft, err := w.certificates(n.InsecureSoftwareEKs)
	if err != nil {
		return nil, nil, fmt.Errorf("insecure_software_ek_roots: %w", err)
	}
	if n.Enrol.Inventory == "" {
		return nil, nil, errors.New("enrol.inventory is missing: a vendor's root proves a genuine TPM, not that it is yours")
	}
	text, err := readFile(w.path(n.Enrol.Inventory))
	if err != nil {
		return nil, nil, fmt.Errorf("enrol.inventory: %w", err)
	}
	inventory, err := tpm.ParseInventory(text)
	if err != nil {
		return nil, nil, fmt.Errorf("enrol.inventory: %s: %w", n.Enrol.Inventory, err)
	}
	v, err := tpm.New(tpm.Config{Name: n.Name, EKRoots: roots, InstitutionEKRoots: cloud, InsecureSoftwareEKRoots: soft, Inventory: inventory, PCRs: n.PCRs})
	if err != nil {
		return nil, nil, err
	}
	h := sha256.New()
	for _, c := range slices.Concat(roots, cloud, soft) {
		h.Write(c.Raw)
	}
	h.Write(text)
	a := &statement.Anchor{Name: n.Name, Kind: n.Kind, SHA256: proof.Hash(h.Sum(nil)), Floor: string(node.Hardware)}
	if len(cloud) > 0 {
		a.Floor = string(node.Institution)
	}
	if len(soft) > 0 {
		a.Floor = string(node.Human)
		w.trust.Insecure = append(w.trust.Insecure, "node "+n.Name+": insecure_software_ek_roots")
	}
	return v, a, nil
}

func (w *wiring) policy(c *gate.Config) error {
	path := w.path(w.Policy)
	text, err := readFile(path)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	w.env.FS = os.DirFS(filepath.Dir(path))
	c.Env = w.env
	c.Policy = gate.PolicyText(filepath.Base(path), text, "")
	_, err = policy.Load(c.Policy.Name, text, c.Env)
	return err
}

func (w *wiring) names(c *gate.Config) error {
	for _, n := range w.Names {
		if ip := net.ParseIP(n); ip != nil {
			c.IPs = append(c.IPs, ip)
		} else {
			c.DNSNames = append(c.DNSNames, n)
		}
	}
	return nil
}

// certificates reads the certificates of PEM files; a name may be a pattern.
func (f *File) certificates(patterns []string) (certs []*x509.Certificate, err error) {
	for _, pattern := range patterns {
		paths, err := filepath.Glob(f.path(pattern))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pattern, err)
		}
		if len(paths) == 0 {
			return nil, fmt.Errorf("%s: %w", pattern, fs.ErrNotExist)
		}
		for _, path := range paths {
			text, err := readFile(path)
			if err != nil {
				return nil, err
			}
			more, err := svid.ParseCertificates(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			certs = append(certs, more...)
		}
	}
	return certs, nil
}

// fileOrURL leaves URLs alone and resolves paths.
func (f *File) fileOrURL(s string) string {
	if strings.Contains(s, "://") {
		return s
	}
	return f.optional(s)
}

func (f *File) optional(p string) string {
	if p == "" {
		return ""
	}
	return f.path(p)
}
