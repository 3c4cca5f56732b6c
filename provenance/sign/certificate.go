package sign

import (
	"context"
	"crypto/x509"
	"errors"

	fulcio "github.com/sigstore/fulcio/pkg/certificate"
	"github.com/sigstore/sigstore-go/pkg/sign"
)

// A certificate is what Fulcio gave for the token. It is not verified yet: the
// bundle is, when it is whole.
type certificate struct {
	*x509.Certificate
	signer string
	facts  fulcio.Extensions
}

// certify has Fulcio bind key to the token.
func (o *Options) certify(ctx context.Context, key sign.Keypair) (*certificate, error) {
	authority := sign.NewFulcio(&sign.FulcioOptions{BaseURL: o.FulcioURL, Retries: 2})
	der, err := authority.GetCertificate(ctx, key, &sign.CertificateProviderOptions{IDToken: o.IdentityToken})
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	c := &certificate{Certificate: parsed}
	switch {
	case len(parsed.URIs) == 1 && len(parsed.EmailAddresses) == 0:
		c.signer = parsed.URIs[0].String()
	case len(parsed.URIs) == 0 && len(parsed.EmailAddresses) == 1:
		c.signer = parsed.EmailAddresses[0]
	default:
		return nil, errors.New("does not name one signer")
	}
	c.facts, err = fulcio.ParseExtensions(parsed.Extensions)
	return c, err
}

// issued hands sigstore-go the certificate it would otherwise ask for: the
// statement had to know it first.
type issued []byte

func (i issued) GetCertificate(context.Context, sign.Keypair, *sign.CertificateProviderOptions) ([]byte, error) {
	return i, nil
}
