package provenance

import (
	"crypto/x509"
	"errors"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// diagnose finds the code for a refusal of sigstore-go, whose errors do not say
// which check failed: it asks the same questions one by one, in sigstore-go's
// order. It runs only after the verdict and can only name it, not change it. It
// returns nil when all cryptography holds and the statement is to blame.
func (t *trial) diagnose() error {
	times, err := verify.VerifyTlogEntry(t.ev, t, len(t.ev.logged), true)
	if err != nil {
		return refuse(CodeLog, "%w", err)
	}
	stamps, failed, err := verify.VerifySignedTimestamp(t.ev, t)
	if err != nil {
		return refuse(CodeTime, "%w", err)
	}
	for _, s := range stamps {
		times = append(times, *s)
	}
	if len(times) == 0 {
		return refuse(CodeTime, "no verified time of signing: %w", errors.Join(failed...))
	}
	// The signature was checked before anything else.
	return t.diagnoseCertificate(t.ev.leaf, times)
}

func (t *trial) diagnoseCertificate(leaf *x509.Certificate, times []root.Timestamp) error {
	chains, err := verify.VerifyLeafCertificate(leaf.NotBefore, leaf, t)
	if err != nil {
		return refuse(CodeCertificate, "certificate is not by an authority of the trust root: %w", err)
	}
	for _, at := range times {
		if _, err := verify.VerifyLeafCertificate(at.Time, leaf, t); err != nil {
			return refuse(CodeTime, "signed at %s, outside the validity of the certificate or its authority", stamp(at.Time))
		}
	}
	if err := verify.VerifySignedCertificateTimestamp(chains, 1, t); err != nil {
		return refuse(CodeCertificate, "%w", err)
	}
	return nil
}
