package gate

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"time"

	"plastron/gate/policy"
	"plastron/log/proof"
	"plastron/node"
	"plastron/provenance"
)

// Bounds on a request, in bytes, checked before anything is parsed.
const (
	maxCSR      = 16 << 10
	maxToken    = 16 << 10
	maxBundle   = 1 << 20
	maxEvidence = 1 << 20
	// maxStored bounds what one issuance may add to the log's evidence.
	maxStored = 256 << 10
)

// A Request is what a workload presents. Nothing in it is verified.
type Request struct {
	CSR      []byte          // DER PKCS #10; only its public key is used
	Beacon   []byte          // the note that Beacon returned, at most MaxBeaconAge ago
	Token    string          // JWS compact; "" where a rule asks for none
	Renewal  *Renewal        // an SVID in place of the token; nil for none
	Bundle   []byte          // Sigstore bundle, JSON; nil where a rule asks for none
	Artifact string          // "sha256:…" or "sha512:…"; needed with a bundle
	Evidence []node.Evidence // over the bind of this request; at most one
}

// facts are what a request proved: the verified values and what policy reads of
// them. Only appraise makes one.
type facts struct {
	spki   []byte     // SubjectPublicKeyInfo of the CSR, DER
	key    proof.Hash // SHA-256 of spki
	public any        // the same, parsed
	bind   [32]byte
	now    time.Time

	who   *requester        // nil: neither token nor SVID
	what  *provenance.Build // nil: no bundle
	where *node.Host        // nil: no node evidence

	policy policy.Facts
}

// appraise turns a request into facts, cheapest check first: what no rule can
// match costs one token verification and no more.
func (g *Gate) appraise(ctx context.Context, req *Request) (*facts, func(), error) {
	f := &facts{now: g.c.Now()}
	if err := f.readCSR(req.CSR); err != nil {
		return nil, nil, err
	}
	beacon, err := g.beacons.open(req.Beacon, f.now)
	if err != nil {
		return nil, nil, err
	}
	f.bind = node.Bind(beacon, f.spki)
	if err := g.appraiseWho(ctx, f, req); err != nil {
		return nil, nil, err
	}
	leave, err := g.limits.enter(owner(f.tokenFacts()))
	if err != nil {
		return nil, nil, err
	}
	if err := g.appraiseBundle(ctx, f, req); err != nil {
		leave()
		return nil, nil, err
	}
	if err := g.appraiseNode(ctx, f, req.Evidence); err != nil {
		leave()
		return nil, nil, err
	}
	f.policy = policyFacts(f)
	return f, leave, nil
}

// readCSR takes the public key out of the request, once it has signed for
// itself. Names, extensions and attributes are not looked at.
func (f *facts) readCSR(der []byte) error {
	if len(der) == 0 || len(der) > maxCSR {
		return refuse(KeyRefused, "CSR of %d bytes, want 1 to %d", len(der), maxCSR)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return refuse(KeyRefused, "CSR is not DER PKCS #10: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return refuse(KeyRefused, "CSR is not signed by its own key: %w", err)
	}
	f.spki, f.public, f.key = csr.RawSubjectPublicKeyInfo, csr.PublicKey, sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	return nil
}

func (g *Gate) appraiseBundle(ctx context.Context, f *facts, req *Request) (err error) {
	switch {
	case req.Bundle == nil && req.Artifact == "":
		return nil
	case req.Bundle == nil:
		return refuse("provenance_malformed", "an artifact is named, but no bundle that speaks of it was sent")
	case len(req.Bundle) > maxBundle:
		return refuse("provenance_malformed", "bundle of %d bytes, want at most %d", len(req.Bundle), maxBundle)
	case g.c.Builds == nil:
		return refuse("provenance_certificate", "this gate trusts no Sigstore root: configure one under `sigstore`")
	}
	artifact, err := provenance.ParseDigest(req.Artifact)
	if err != nil {
		return refuse("provenance_subject", "artifact: %w", err)
	}
	f.what, err = g.c.Builds.Verify(ctx, req.Bundle, artifact)
	return err
}

func (g *Gate) appraiseNode(ctx context.Context, f *facts, evidence []node.Evidence) error {
	switch {
	case len(evidence) == 0:
		return nil
	case len(evidence) > 1:
		return refuse("node_malformed", "%d pieces of node evidence, want at most one", len(evidence))
	case len(evidence[0].Data) > maxEvidence:
		return refuse("node_malformed", "node evidence of %d bytes, want at most %d", len(evidence[0].Data), maxEvidence)
	}
	h, err := g.verifyNode(ctx, evidence[0], f.bind, f.now)
	f.where = h
	return err
}

// verifyNode asks each configured source of the evidence's kind that knows the
// node, in order. The first that accepts it has spoken; if none does, the error
// of the one that came furthest is returned.
func (g *Gate) verifyNode(ctx context.Context, ev node.Evidence, bind [32]byte, now time.Time) (*node.Host, error) {
	var last error = refuse(NotEnrolled, "no node source of kind %q is configured", ev.Kind)
	for _, v := range g.c.Nodes {
		if v.Kind() != ev.Kind {
			continue
		}
		key, err := v.EnrolmentKey(ev)
		if err != nil {
			return nil, err
		}
		var e *node.Enrolment
		if key != "" {
			if e = g.state.enrolment(enrolmentID{ev.Kind, v.Name(), key}); e == nil {
				last = refuse(NotEnrolled, "no entry of the log enrols %s %s in %q: enrol it first, or create a join token", ev.Kind, key, v.Name())
				continue
			}
		}
		h, err := v.Verify(ctx, ev, bind, e, now)
		if err == nil {
			return h, nil
		}
		last = err
	}
	return nil, last
}
