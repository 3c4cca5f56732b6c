package cosign

import (
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"io"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"plastron/provenance"
)

func sum512(r io.Reader) (string, error) {
	h := sha512.New()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

// why puts a code to sigstore-go's refusal, whose errors do not say which check
// failed: it asks the same questions one by one. It runs only after the verdict
// and can only name it.
func (t *trial) why(who *verify.CertificateIdentity, cause error) error {
	times, err := t.whyTime()
	if err != nil {
		return err
	}
	content, err := t.b.VerificationContent()
	if err != nil {
		return refuse(provenance.CodeCertificate, "%w", err)
	}
	leaf := content.Certificate()
	if leaf != nil {
		if err := t.whyCertificate(leaf, times); err != nil {
			return err
		}
	}
	signature, err := t.b.SignatureContent()
	if err != nil {
		return refuse(provenance.CodeMalformed, "%w", err)
	}
	if signature.EnvelopeContent() != nil { // a plain signature is checked together with the artifact
		if err := verify.VerifySignature(signature, content, t.material()); err != nil {
			return refuse(provenance.CodeSignature, "%w", err)
		}
	}
	if leaf != nil {
		if err := whyIdentity(leaf, who); err != nil {
			return err
		}
	}
	return refuse(provenance.CodeSubject, "%w", cause)
}

// whyTime checks log entries and times.
func (t *trial) whyTime() (times []root.Timestamp, err error) {
	if !t.o.InsecureIgnoreTlog {
		if times, err = verify.VerifyTlogEntry(t.b, t.material(), 1, true); err != nil {
			return nil, refuse(provenance.CodeLog, "%w", err)
		}
	}
	if t.stamped() {
		stamps, err := verify.VerifySignedTimestampWithThreshold(t.b, t.material(), 1)
		if err != nil {
			return nil, refuse(provenance.CodeTime, "%w", err)
		}
		for _, s := range stamps {
			times = append(times, *s)
		}
	}
	if len(times) == 0 && t.key == nil {
		return nil, refuse(provenance.CodeTime, "no verified time of signing")
	}
	return times, nil
}

func (t *trial) whyCertificate(leaf *x509.Certificate, times []root.Timestamp) error {
	chains, err := verify.VerifyLeafCertificate(leaf.NotBefore, leaf, t.material())
	if err != nil {
		return refuse(provenance.CodeCertificate, "certificate is not by an authority of the trusted root: %w", err)
	}
	for _, at := range times {
		if _, err := verify.VerifyLeafCertificate(at.Time, leaf, t.material()); err != nil {
			return refuse(provenance.CodeTime, "signed at %s, outside the validity of the certificate or its authority", at.Time.UTC().Format(time.RFC3339))
		}
	}
	if t.o.InsecureIgnoreSCT {
		return nil
	}
	if err := verify.VerifySignedCertificateTimestamp(chains, 1, t.material()); err != nil {
		return refuse(provenance.CodeCertificate, "%w", err)
	}
	return nil
}

func whyIdentity(leaf *x509.Certificate, who *verify.CertificateIdentity) error {
	named, err := certificate.SummarizeCertificate(leaf)
	if err != nil {
		return refuse(provenance.CodeIdentity, "certificate: %w", err)
	}
	if err := who.Verify(named); err != nil {
		return refuse(provenance.CodeIdentity, "signed by %q of issuer %q: %w", named.SubjectAlternativeName, named.Issuer, err)
	}
	return nil
}
