package tpm

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"plastron/node"
)

// InsecureSoftware is what a Host's Insecure says of a software TPM.
const InsecureSoftware = "insecure_software_tpm"

// roots are the CA certificates that EK certificates are checked against. Any
// certificate of a vendor's chain can be one: what it issued is believed, what
// is above it is not asked.
type roots struct {
	pool  *x509.CertPool
	known map[[32]byte]root // by SHA-256 of the DER
}

type root struct {
	anchor node.Anchor
	floor  node.Floor
}

func newRoots(c Config) (*roots, error) {
	r := &roots{x509.NewCertPool(), map[[32]byte]root{}}
	for _, set := range []struct {
		floor        node.Floor
		certificates []*x509.Certificate
	}{
		{node.Hardware, c.EKRoots},
		{node.Institution, c.InstitutionEKRoots},
		{node.Human, c.InsecureSoftwareEKRoots},
	} {
		for _, cert := range set.certificates {
			if err := r.add(cert, set.floor); err != nil {
				return nil, err
			}
		}
	}
	if len(r.known) == 0 {
		return nil, errors.New("no root for EK certificates")
	}
	return r, nil
}

func (r *roots) add(c *x509.Certificate, floor node.Floor) error {
	hash := sha256.Sum256(c.Raw)
	if !c.IsCA {
		return fmt.Errorf("EK root %q is not a CA certificate", c.Subject)
	}
	if _, ok := r.known[hash]; ok {
		return fmt.Errorf("EK root %q is configured twice", c.Subject)
	}
	r.pool.AddCert(c)
	r.known[hash] = root{node.Anchor{Name: c.Subject.String(), SHA256: hash}, floor}
	return nil
}

// verify returns the root that an EK certificate chains to at a time.
func (r *roots) verify(c *x509.Certificate, now time.Time) (root, error) {
	if err := checkPurpose(c); err != nil {
		return root{}, err
	}
	chains, err := withoutSAN(c).Verify(x509.VerifyOptions{
		Roots:         r.pool,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return root{}, fmt.Errorf("EK certificate of issuer %q: %w", c.Issuer, err)
	}
	// Where two roots issued it, the weaker floor is the one that is certain.
	best := r.of(chains[0])
	for _, chain := range chains[1:] {
		if o := r.of(chain); rank[o.floor] < rank[best.floor] {
			best = o
		}
	}
	return best, nil
}

func (r *roots) of(chain []*x509.Certificate) root {
	return r.known[sha256.Sum256(chain[len(chain)-1].Raw)]
}

var rank = map[node.Floor]int{node.Human: 0, node.Institution: 1, node.Hardware: 2}

// insecure is what the root weakens.
func (r root) insecure() []string {
	if r.floor == node.Human {
		return []string{InsecureSoftware}
	}
	return nil
}
