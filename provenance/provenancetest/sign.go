package provenancetest

import (
	"context"

	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"
)

// Sign makes a bundle over an in-toto statement as a CI job holding token would,
// with sigstore-go's client. It verifies nothing, so that what a misbehaving
// instance gives can be put before verifiers.
func (s *Sigstore) Sign(ctx context.Context, token string, statement []byte) ([]byte, error) {
	return s.sign(ctx, token, &sign.DSSEData{Data: statement, PayloadType: "application/vnd.in-toto+json"})
}

// SignBlob makes a bundle with a plain signature over data.
func (s *Sigstore) SignBlob(ctx context.Context, token string, data []byte) ([]byte, error) {
	return s.sign(ctx, token, &sign.PlainData{Data: data})
}

// SignWithKey makes a bundle without a certificate: a statement, or if it is nil
// a plain signature over data, by a new key, which comes as PEM.
func (s *Sigstore) SignWithKey(ctx context.Context, statement, data []byte) (bundle []byte, publicKey string, err error) {
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, "", err
	}
	if publicKey, err = key.GetPublicKeyPem(); err != nil {
		return nil, "", err
	}
	content := sign.Content(&sign.PlainData{Data: data})
	if statement != nil {
		content = &sign.DSSEData{Data: statement, PayloadType: "application/vnd.in-toto+json"}
	}
	bundle, err = s.bundle(content, key, sign.BundleOptions{Context: ctx})
	return bundle, publicKey, err
}

func (s *Sigstore) sign(ctx context.Context, token string, content sign.Content) ([]byte, error) {
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, err
	}
	return s.bundle(content, key, sign.BundleOptions{
		Context:                    ctx,
		CertificateProvider:        sign.NewFulcio(&sign.FulcioOptions{BaseURL: s.FulcioURL()}),
		CertificateProviderOptions: &sign.CertificateProviderOptions{IDToken: token},
	})
}

// bundle signs, has the signature timestamped and logged.
func (s *Sigstore) bundle(content sign.Content, key sign.Keypair, o sign.BundleOptions) ([]byte, error) {
	if !s.does(NoTimestamp) {
		o.TimestampAuthorities = []*sign.TimestampAuthority{
			sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: s.TimestampURL()}),
		}
	}
	if !s.does(Unlogged) {
		o.TransparencyLogs = []sign.Transparency{sign.NewRekor(&sign.RekorOptions{BaseURL: s.RekorURL(), Version: 2})}
	}
	b, err := sign.Bundle(content, key, o)
	if err != nil {
		return nil, err
	}
	return protojson.Marshal(b)
}
