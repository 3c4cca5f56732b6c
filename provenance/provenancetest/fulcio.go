package provenancetest

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json/v2"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sigstore/fulcio/pkg/certificate"
)

// leafLife is how long a signing certificate lives.
const leafLife = 10 * time.Minute

// A fulcio turns OIDC tokens into certificates.
type fulcio struct {
	tokens      *tokens
	ca, foreign *authority
	ct          *ctLog
}

func newFulcio(o Options, ct *ctLog, now time.Time) (*fulcio, error) {
	ca, err := newAuthority("sigstore", x509.ExtKeyUsageCodeSigning, now)
	if err != nil {
		return nil, err
	}
	foreign, err := newAuthority("sigstore", x509.ExtKeyUsageCodeSigning, now)
	return &fulcio{tokens: newTokens(o), ca: ca, foreign: foreign, ct: ct}, err
}

// signingRequest is the body of POST /api/v2/signingCert.
type signingRequest struct {
	Credentials struct {
		OIDCToken string `json:"oidcIdentityToken"`
	} `json:"credentials"`
	PublicKeyRequest struct {
		PublicKey struct {
			Algorithm string `json:"algorithm"`
			Content   string `json:"content"` // PEM
		} `json:"publicKey"`
		ProofOfPossession []byte `json:"proofOfPossession"` // over the token's sub
	} `json:"publicKeyRequest"`
}

type chain struct {
	Certificates []string `json:"certificates"` // PEM, leaf first
}

func (s *Sigstore) signingCert(w http.ResponseWriter, r *http.Request) {
	var req signingRequest
	if err := json.UnmarshalRead(r.Body, &req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	token := req.Credentials.OIDCToken
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		token = bearer
	}
	c, err := s.fulcio.tokens.verify(r.Context(), token)
	if err != nil {
		http.Error(w, "token: "+err.Error(), http.StatusUnauthorized)
		return
	}
	key, err := possessed(&req, c.Subject)
	if err != nil {
		http.Error(w, "proof of possession: "+err.Error(), http.StatusBadRequest)
		return
	}
	leaf, ca, err := s.issue(c, key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var answer struct {
		Signed struct {
			Chain chain `json:"chain"`
		} `json:"signedCertificateEmbeddedSct"`
	}
	answer.Signed.Chain.Certificates = []string{encode(leaf), encode(ca.intermediate.Raw), encode(ca.root.Raw)}
	respond(w, http.StatusOK, answer)
}

func (s *Sigstore) trustBundle(w http.ResponseWriter, _ *http.Request) {
	ca := s.fulcio.ca
	respond(w, http.StatusOK, map[string][]chain{"chains": {{[]string{encode(ca.intermediate.Raw), encode(ca.root.Raw)}}}})
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.MarshalWrite(w, body) // the client may be gone
}

func encode(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// possessed gives the requested key if it signed the token's subject.
func possessed(req *signingRequest, subject string) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(req.PublicKeyRequest.PublicKey.Content))
	if block == nil {
		return nil, errors.New("public key is not PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("public key is a %T, want ECDSA", parsed)
	}
	digest := sha256.Sum256([]byte(subject))
	if !ecdsa.VerifyASN1(key, digest[:], req.PublicKeyRequest.ProofOfPossession) {
		return nil, errors.New("signature over the token's subject does not verify")
	}
	return key, nil
}

// issue signs a precertificate, has it timestamped, and signs the certificate:
// the same but for the last extension, so that it can be taken back to what the
// CT log saw.
func (s *Sigstore) issue(c *claims, key *ecdsa.PublicKey) ([]byte, *authority, error) {
	ca := s.fulcio.ca
	if s.does(ForeignCA) {
		ca = s.fulcio.foreign
	}
	template, err := s.leaf(c)
	if err != nil {
		return nil, nil, err
	}
	rest := template.ExtraExtensions
	if !s.does(NoSCT) {
		template.ExtraExtensions = append(rest[:len(rest):len(rest)], poison)
		precertificate, err := signDER(template, ca.intermediate, key, ca.key)
		if err != nil {
			return nil, nil, err
		}
		parsed, err := x509.ParseCertificate(precertificate)
		if err != nil {
			return nil, nil, err
		}
		template.SerialNumber = parsed.SerialNumber
		sct, err := s.ct.embed(precertificate, ca.intermediate.Raw, s.does(ForeignSCT))
		if err != nil {
			return nil, nil, err
		}
		template.ExtraExtensions = append(rest[:len(rest):len(rest)], sct)
	}
	leaf, err := signDER(template, ca.intermediate, key, ca.key)
	return leaf, ca, err
}

// leaf is the certificate for a token's claims, as Fulcio writes it for GitHub.
func (s *Sigstore) leaf(c *claims) (*x509.Certificate, error) {
	san, err := url.Parse(c.signer())
	if err != nil {
		return nil, err
	}
	from := time.Now().Truncate(time.Second)
	if s.does(ExpiredLeaf) {
		from = from.Add(-time.Hour - leafLife)
	}
	t := &x509.Certificate{
		URIs:      []*url.URL{san},
		NotBefore: from, NotAfter: from.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if s.does(CALeaf) {
		t.BasicConstraintsValid, t.IsCA, t.KeyUsage = true, true, t.KeyUsage|x509.KeyUsageCertSign
	}
	t.ExtraExtensions, err = c.extensions().Render()
	if s.does(NoIssuer) {
		kept := t.ExtraExtensions[:0]
		for _, e := range t.ExtraExtensions {
			if !e.Id.Equal(certificate.OIDIssuerV2) {
				kept = append(kept, e)
			}
		}
		t.ExtraExtensions = kept
	}
	return t, err
}
