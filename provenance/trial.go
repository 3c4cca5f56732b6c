package provenance

import (
	"crypto/x509"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// A trial is one bundle before one trust root. It is the trusted material that
// sigstore-go sees: the root's, and it writes down which anchors answered.
type trial struct {
	root.BaseTrustedMaterial // and so no bare keys
	*trustRoot
	ev     *evidence
	chain  []*x509.Certificate // the leaf's, once built
	issued *authority          // that built it
	stamps []*timestampAuthority
}

var _ root.TrustedMaterial = (*trial)(nil)

func (t *trial) RekorLogs() map[string]*root.TransparencyLog { return t.material.RekorLogs() }

func (t *trial) CTLogs() map[string]*root.TransparencyLog { return t.material.CTLogs() }

func (t *trial) FulcioCertificateAuthorities() []root.CertificateAuthority {
	out := make([]root.CertificateAuthority, len(t.authorities))
	for i, a := range t.authorities {
		out[i] = triedAuthority{t, a}
	}
	return out
}

func (t *trial) TimestampingAuthorities() []root.TimestampingAuthority {
	out := make([]root.TimestampingAuthority, len(t.timestamps))
	for i, a := range t.timestamps {
		out[i] = triedTimestamp{t, a}
	}
	return out
}

// triedAuthority builds the leaf's chain once per trial, and at every further
// time checks the times of the same chain.
type triedAuthority struct {
	t *trial
	a *authority
}

func (c triedAuthority) Verify(leaf *x509.Certificate, at time.Time) ([][]*x509.Certificate, error) {
	if c.t.issued == c.a && c.t.chain[0] == leaf {
		if err := c.a.again(c.t.chain, at); err != nil {
			return nil, err
		}
		return [][]*x509.Certificate{c.t.chain}, nil
	}
	chains, err := c.a.Verify(leaf, at)
	if err != nil {
		return nil, err
	}
	c.t.issued, c.t.chain = c.a, chains[0]
	return chains, nil
}

// triedTimestamp notes the authorities whose timestamps held.
type triedTimestamp struct {
	t *trial
	a *timestampAuthority
}

func (c triedTimestamp) Verify(response, signature []byte) (*root.Timestamp, error) {
	ts, err := c.a.Verify(response, signature)
	if err == nil && !slices.Contains(c.t.stamps, c.a) {
		c.t.stamps = append(c.t.stamps, c.a)
	}
	return ts, err
}
