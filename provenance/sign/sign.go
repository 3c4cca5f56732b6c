// Package sign makes provenance: it is the CI side of what package provenance
// verifies, with nothing secret to keep. It is apart from the verifier so that
// who only verifies links no clients.
//
// In comes a job's OIDC token and what it wants to say: artifacts by digest, and
// a predicate or none. Out goes a Sigstore bundle v0.3 with an in-toto Statement
// v1 in a DSSE envelope, signed by a key that exists for this one signature.
// The steps, each with sigstore-go's client:
//
//  1. Fulcio binds the new key to the token's claims in a 10-minute certificate.
//  2. Without a predicate, SLSA provenance v1 is written from the facts in that
//     certificate, so that the two cannot disagree whatever the CI system.
//  3. The key signs; a timestamp authority (RFC 3161) signs the time of that;
//     Rekor logs it and proves so.
//  4. The bundle is verified offline under the caller's trusted root, in the
//     gate's profile if it is SLSA provenance. What would be refused later is an
//     error now.
//
// Trusted are the caller's trusted root and nothing that the servers say.
package sign

import (
	"context"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"plastron/provenance"
	"plastron/provenance/cosign"
)

// Options says what to sign and with whose help. All is required that is not
// called optional.
type Options struct {
	Subjects      []Subject
	Predicate     []byte // a JSON object; optional: SLSA provenance v1 from the certificate
	PredicateType string // URI of the predicate's type; "" exactly when Predicate is nil
	BuildType     string // of the SLSA provenance; optional where the certificate is of a GitHub workflow

	FulcioURL     string // base URL
	RekorURL      string // base URL of a Rekor v2 log
	TimestampURL  string // URL of the RFC 3161 endpoint itself
	IdentityToken string // OIDC token with the audience that Fulcio asks for; see AmbientToken
	TrustedRoot   []byte // trusted_root.json under which the bundle must verify
}

// Sign makes a bundle and verifies it before it returns it.
func Sign(ctx context.Context, o Options) (bundle []byte, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	verifier, err := provenance.New([]provenance.Root{{Name: "signing", TrustedRoot: o.TrustedRoot}})
	if err != nil {
		return nil, err
	}
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, err
	}
	certificate, err := o.certify(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("certificate from %s: %w", o.FulcioURL, err)
	}
	statement, err := o.statement(certificate)
	if err != nil {
		return nil, err
	}
	content := &sign.DSSEData{Data: statement, PayloadType: "application/vnd.in-toto+json"}
	signed, err := sign.Bundle(content, key, sign.BundleOptions{
		Context:             ctx,
		CertificateProvider: issued(certificate.Raw),
		TimestampAuthorities: []*sign.TimestampAuthority{
			sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: o.TimestampURL, Retries: 2}),
		},
		TransparencyLogs: []sign.Transparency{sign.NewRekor(&sign.RekorOptions{BaseURL: o.RekorURL, Version: 2})},
	})
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if bundle, err = protojson.Marshal(signed); err != nil {
		return nil, err
	}
	if err := o.verify(ctx, verifier, bundle, certificate); err != nil {
		return nil, fmt.Errorf("the new bundle does not verify under the trusted root: %w", err)
	}
	return bundle, nil
}

func (o *Options) check() error {
	switch {
	case len(o.Subjects) == 0:
		return errors.New("nothing to sign: no subject")
	case (o.Predicate == nil) != (o.PredicateType == ""):
		return errors.New("a predicate and its type go together")
	case o.IdentityToken == "":
		return errors.New("no identity token")
	case o.FulcioURL == "" || o.RekorURL == "" || o.TimestampURL == "":
		return errors.New("the URLs of Fulcio, Rekor and the timestamp authority are required")
	case len(o.TrustedRoot) == 0:
		return errors.New("no trusted root to verify the new bundle under")
	}
	for _, s := range o.Subjects {
		if err := s.check(); err != nil {
			return fmt.Errorf("subject %q: %w", s.Name, err)
		}
	}
	return nil
}

// verify asks about every subject what a relying party will ask.
func (o *Options) verify(ctx context.Context, v *provenance.Verifier, bundle []byte, c *certificate) error {
	wide, err := cosign.New(cosign.Options{Roots: []provenance.Root{{Name: "configured", TrustedRoot: o.TrustedRoot}}})
	if err != nil {
		return err
	}
	slsa := o.Predicate == nil || o.PredicateType == provenance.TypeSLSAv1 || o.PredicateType == provenance.TypeSLSAv02
	for _, s := range o.Subjects {
		for _, d := range s.Digests {
			var err error
			if slsa {
				_, err = v.Verify(ctx, bundle, d)
			} else {
				_, err = wide.Verify(ctx, bundle, cosign.Artifact{Digest: d}, cosign.Expectation{Identity: c.signer, Issuer: c.facts.Issuer})
			}
			if err != nil {
				return fmt.Errorf("subject %q, %s: %w", s.Name, d, err)
			}
		}
	}
	return nil
}
