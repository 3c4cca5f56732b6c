package provenance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/verify"
)

// A Verifier turns bundles into builds under one generation of trust roots: new
// roots are a new Verifier. It is safe for concurrent use.
type Verifier struct {
	roots []*trustRoot
	seen  *memo
	logs  *logMemory
}

// New reads the trust roots. Their names must differ and not be empty; each must
// hold at least a certificate authority, a CT log and a transparency log.
func New(roots []Root) (*Verifier, error) {
	if len(roots) == 0 {
		return nil, errors.New("no Sigstore trust root")
	}
	v := &Verifier{seen: newMemo(memoSize, memoLife), logs: newLogMemory()}
	for i, r := range roots {
		if r.Name == "" {
			return nil, fmt.Errorf("trust root %d has no name", i)
		}
		if slices.ContainsFunc(v.roots, func(t *trustRoot) bool { return t.name == r.Name }) {
			return nil, fmt.Errorf("two trust roots are named %q", r.Name)
		}
		t, err := newTrustRoot(r)
		if err != nil {
			return nil, fmt.Errorf("trust root %q: %w", r.Name, err)
		}
		v.roots = append(v.roots, t)
	}
	return v, nil
}

// Verify checks a bundle about an artifact in the gate's profile, the strict
// one of the package comment. The error is always an [*Error].
//
// A bundle is tried under one root at a time, so that no verdict mixes one
// root's authority with another's log. A context that ends refuses as
// provenance_malformed and wraps its error.
func (v *Verifier) Verify(ctx context.Context, bundle []byte, artifact Digest) (*Build, error) {
	if v == nil || len(v.roots) == 0 {
		return nil, refuse(CodeLog, "no trust root")
	}
	if err := artifact.check(); err != nil {
		return nil, refuse(CodeSubject, "artifact: %w", err)
	}
	if len(bundle) > MaxBundle {
		return nil, refuse(CodeMalformed, "bundle of %d bytes, want at most %d", len(bundle), MaxBundle)
	}
	key := memoKey{sha256.Sum256(bundle), artifact}
	if b := v.seen.get(key); b != nil {
		if err := v.logs.refused(b.trees); err != nil {
			return nil, refuse(CodeLog, "%w", err)
		}
		return b, nil
	}
	ev, err := parse(bundle)
	if err != nil {
		return nil, err
	}
	err = refuse(CodeLog, "a log entry is by a log that no trust root knows")
	for _, r := range v.roots {
		if !r.knows(ev) {
			continue
		}
		t := &trial{trustRoot: r, ev: ev}
		var b *Build
		if b, err = t.verify(ctx, artifact); err != nil {
			continue
		}
		met := t.checkpoints()
		if err = v.logs.meet(met); err != nil {
			err = refuse(CodeLog, "%w", err)
			continue
		}
		b.bundle, b.trees = key.bundle, treesOf(met)
		v.seen.put(key, b)
		return b, nil
	}
	return nil, err
}

// verify is the whole order of checks that need a trust root. Ours come first,
// so that a refusal has the right code; sigstore-go's Verifier then decides on
// everything again.
func (t *trial) verify(ctx context.Context, artifact Digest) (*Build, error) {
	for i := range t.ev.shape.Material.Entries {
		e := &t.ev.shape.Material.Entries[i]
		if err := ctx.Err(); err != nil {
			return nil, refuse(CodeMalformed, "verification stopped: %w", err)
		}
		if err := t.log(e).verify(ctx, e, t.ev); err != nil {
			return nil, refuse(CodeLog, "log entry %d of %s: %w", i, t.log(e).BaseURL, err)
		}
		if err := t.ev.inTime(e); err != nil {
			return nil, refuse(CodeTime, "log entry %d: %w", i, err)
		}
	}
	for i, ts := range t.ev.shape.Material.Times.RFC3161 {
		if err := t.checkFrame(ts.Response); err != nil {
			return nil, refuse(CodeTime, "timestamp %d: %w", i, err)
		}
	}
	if err := t.knowsChain(); err != nil {
		return nil, err
	}
	published, err := t.knownSCTs()
	if err != nil {
		return nil, refuse(CodeCertificate, "certificate: %w", err)
	}
	result, err := t.sigstore(artifact, len(published))
	if err != nil {
		return nil, t.why(err, artifact)
	}
	times, err := t.times(result)
	if err != nil {
		return nil, refuse(CodeTime, "%w", err)
	}
	b := t.build(times, published)
	// From here on the payload is verified: decode it, once.
	if err := b.state(t.ev.payload, artifact); err != nil {
		return nil, err
	}
	return b, nil
}

// sigstore asks sigstore-go with every check on. Who may sign is policy's to
// say, from the exact values in the certificate; what is asked here is that the
// certificate names someone at all, in the very words that policy will read.
// (The alternative is called WithoutIdentitiesUnsafe for a reason.)
func (t *trial) sigstore(artifact Digest, scts int) (*verify.VerificationResult, error) {
	v, err := verify.NewVerifier(t,
		verify.WithSignedCertificateTimestamps(scts),
		verify.WithTransparencyLog(len(t.ev.logged)),
		verify.WithObserverTimestamps(1),
		verify.WithoutStatementPredicate(), // decoded by us, strictly
	)
	if err != nil {
		return nil, err
	}
	who, err := verify.NewShortCertificateIdentity(t.ev.who.extensions.Issuer, "", t.ev.who.name, "")
	if err != nil {
		return nil, err
	}
	return v.Verify(t.ev, verify.NewPolicy(
		verify.WithArtifactDigest(artifact.Algorithm, artifact.bytes()),
		verify.WithCertificateIdentity(who),
	))
}

// why puts a code to sigstore-go's refusal.
func (t *trial) why(cause error, artifact Digest) error {
	if err := t.diagnose(); err != nil {
		return err
	}
	b := &Build{signer: t.ev.who.name, extensions: t.ev.who.extensions}
	if err := b.state(t.ev.payload, artifact); err != nil {
		return err // sigstore-go missed the artifact among the subjects
	}
	return refuse(CodeMalformed, "%w", cause)
}

// knowsChain refuses certificates beside the leaf that are not the root's own:
// bundles v0.1 and v0.2 may carry them, and nothing checks them.
func (t *trial) knowsChain() error {
	m := &t.ev.shape.Material
	if m.Chain == nil {
		return nil
	}
	for i, c := range m.Chain.Certificates[1:] {
		known := slices.ContainsFunc(t.authorities, func(a *authority) bool { return a.has(c.DER) })
		if !known {
			return refuse(CodeCertificate, "certificate %d of the chain is not the trust root's", i+1)
		}
	}
	return nil
}

// knownSCTs gives the CT logs of this root whose timestamps the certificate
// carries. sigstore-go must then verify as many; one by an unknown log is not
// counted, and one log counts once.
func (t *trial) knownSCTs() ([]string, error) {
	ids, err := sctLogs(t.ev.leaf)
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	known := slices.DeleteFunc(ids, func(id string) bool { _, ok := t.ctKeys[id]; return !ok })
	if len(known) == 0 {
		return nil, errors.New("no signed certificate timestamp by a CT log of the trust root")
	}
	return known, nil
}

// times gives the verified times of signing, earliest first. Every timestamp in
// the bundle must be among them: what cannot be verified is not let through
// beside what can.
func (t *trial) times(result *verify.VerificationResult) ([]time.Time, error) {
	var all []time.Time
	stamped := 0
	for _, ts := range result.VerifiedTimestamps {
		if ts.Type == "TimestampAuthority" {
			stamped++
		}
		all = append(all, ts.Timestamp.UTC())
	}
	if want := len(t.ev.shape.Material.Times.RFC3161); stamped != want {
		return nil, fmt.Errorf("%d of %d timestamps are by distinct authorities of the trust root", stamped, want)
	}
	slices.SortFunc(all, time.Time.Compare)
	for i := range t.ev.shape.Material.Entries {
		// sigstore-go asks this of Rekor v1 alone, where the log gives a time.
		l := t.log(&t.ev.shape.Material.Entries[i])
		for _, at := range all {
			if at.Before(l.ValidityPeriodStart) || !l.ValidityPeriodEnd.IsZero() && at.After(l.ValidityPeriodEnd) {
				return nil, fmt.Errorf("the trust root does not trust the key of %s at %s", l.BaseURL, stamp(at))
			}
		}
	}
	return all, nil
}

// build puts together what is known before the statement is read.
func (t *trial) build(times []time.Time, published []string) *Build {
	first := &t.ev.shape.Material.Entries[0]
	b := &Build{
		root:       t.name,
		signer:     t.ev.who.name,
		extensions: t.ev.who.extensions,
		signedAt:   times[0],
		loggedAt:   first.integrated(),
		log:        t.log(first).BaseURL,
		logIndex:   uint64(first.LogIndex),
		statement:  sha256.Sum256(t.ev.payload),
		evidence:   t.ev.id(),
	}
	anchor := func(role string, h [32]byte) { b.anchors = append(b.anchors, role+":"+hex.EncodeToString(h[:])) }
	anchor("fulcio-ca", t.issued.root)
	for _, id := range published {
		anchor("ct-key", t.ctKeys[id])
	}
	for i := range t.ev.shape.Material.Entries {
		anchor("rekor-key", t.log(&t.ev.shape.Material.Entries[i]).key)
	}
	for _, a := range t.stamps {
		anchor("tsa-ca", a.root)
	}
	slices.Sort(b.anchors)
	return b
}
