package provenance

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"github.com/sigstore/sigstore-go/pkg/root"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// A timestampAuthority is a TSA of a trust root.
type timestampAuthority struct {
	*root.SigstoreTimestampingAuthority
	root [32]byte // SHA-256 of the root certificate
}

// has tells whether der is one of the authority's certificates.
func (a *timestampAuthority) has(der []byte) bool {
	if a.Leaf != nil && bytes.Equal(a.Leaf.Raw, der) || bytes.Equal(a.Root.Raw, der) {
		return true
	}
	for _, c := range a.Intermediates {
		if bytes.Equal(c.Raw, der) {
			return true
		}
	}
	return false
}

var (
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
)

// checkFrame refuses a TimeStampResp (RFC 3161 §2.4.2) with anything around its
// signed parts that no signature covers: another status than granted, a status
// text, another content type or digest algorithm than the signed ones, unsigned
// attributes, or certificates that are not the trust root's. Libraries skip all
// that. What is signed is theirs to verify.
//
//	TimeStampResp  SEQUENCE { SEQUENCE { INTEGER 0 }, SEQUENCE { id-signedData, [0] SignedData } }
//	SignedData     SEQUENCE { INTEGER 3, SET { digest }, SEQUENCE { id-ct-TSTInfo, [0] OCTET STRING },
//	                          [0] certificates OPTIONAL, SET { SignerInfo } }
//	SignerInfo     SEQUENCE { INTEGER 1, SEQUENCE issuer and serial, digest, [0] signed attributes,
//	                          algorithm, OCTET STRING }
func (t *trustRoot) checkFrame(response []byte) error {
	if !isDER(response, maxDepth) {
		return errors.New("not DER")
	}
	in := cryptobyte.String(response)
	var resp, status, content, explicit, signed cryptobyte.String
	var granted int
	var kind asn1.ObjectIdentifier
	if !in.ReadASN1(&resp, cbasn1.SEQUENCE) || !in.Empty() ||
		!resp.ReadASN1(&status, cbasn1.SEQUENCE) || !status.ReadASN1Integer(&granted) || !status.Empty() || granted != 0 {
		return errors.New("not a granted TimeStampResp")
	}
	if !resp.ReadASN1(&content, cbasn1.SEQUENCE) || !resp.Empty() ||
		!content.ReadASN1ObjectIdentifier(&kind) || !kind.Equal(oidSignedData) ||
		!content.ReadASN1(&explicit, contextTag(0)) || !content.Empty() ||
		!explicit.ReadASN1(&signed, cbasn1.SEQUENCE) || !explicit.Empty() {
		return errors.New("not CMS signed data")
	}
	return t.checkSignedData(signed)
}

func (t *trustRoot) checkSignedData(signed cryptobyte.String) error {
	var digests, info, explicit, signers, signer cryptobyte.String
	var version int
	var kind, digest, signersDigest asn1.ObjectIdentifier
	if !signed.ReadASN1Integer(&version) || version != 3 ||
		!signed.ReadASN1(&digests, cbasn1.SET) || !readAlgorithm(&digests, &digest) || !digests.Empty() {
		return errors.New("CMS: want version 3 and one digest algorithm")
	}
	if !signed.ReadASN1(&info, cbasn1.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&kind) || !kind.Equal(oidTSTInfo) ||
		!info.ReadASN1(&explicit, contextTag(0)) || !info.Empty() || !explicit.SkipASN1(cbasn1.OCTET_STRING) || !explicit.Empty() {
		return errors.New("CMS: content is not a TSTInfo")
	}
	if err := t.checkCertificates(&signed); err != nil {
		return err
	}
	if !signed.ReadASN1(&signers, cbasn1.SET) || !signed.Empty() || !signers.ReadASN1(&signer, cbasn1.SEQUENCE) || !signers.Empty() {
		return errors.New("CMS: want exactly one signer")
	}
	if !signer.ReadASN1Integer(&version) || version != 1 || !signer.SkipASN1(cbasn1.SEQUENCE) ||
		!readAlgorithm(&signer, &signersDigest) || !signersDigest.Equal(digest) {
		return errors.New("CMS: signer of another version or digest algorithm")
	}
	if !signer.SkipASN1(contextTag(0)) || !signer.SkipASN1(cbasn1.SEQUENCE) || !signer.SkipASN1(cbasn1.OCTET_STRING) || !signer.Empty() {
		return errors.New("CMS: want a signer with signed attributes and no unsigned ones")
	}
	return nil
}

// checkCertificates reads past the optional certificates of signed data.
func (t *trustRoot) checkCertificates(signed *cryptobyte.String) error {
	var certificates, der cryptobyte.String
	var present bool
	if !signed.ReadOptionalASN1(&certificates, &present, contextTag(0)) {
		return errors.New("CMS: malformed certificates")
	}
	for !certificates.Empty() {
		if !certificates.ReadASN1Element(&der, cbasn1.SEQUENCE) {
			return errors.New("CMS: malformed certificate")
		}
		if !slices.ContainsFunc(t.timestamps, func(a *timestampAuthority) bool { return a.has(der) }) {
			return fmt.Errorf("CMS: carries a certificate that is not of a timestamp authority of the trust root")
		}
	}
	return nil
}

// readAlgorithm reads an AlgorithmIdentifier without parameters, or with NULL.
func readAlgorithm(in *cryptobyte.String, oid *asn1.ObjectIdentifier) bool {
	var algorithm cryptobyte.String
	if !in.ReadASN1(&algorithm, cbasn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(oid) {
		return false
	}
	return algorithm.Empty() || bytes.Equal(algorithm, asn1.NullBytes)
}

// maxDepth is deeper than a TimeStampResp nests.
const maxDepth = 32

// isDER tells whether s is a series of DER elements, and so are the contents of
// those that are constructed. CMS libraries take BER, which spells one thing in
// many ways.
func isDER(s cryptobyte.String, depth int) bool {
	for !s.Empty() {
		var element cryptobyte.String
		var tag cbasn1.Tag
		if depth == 0 || !s.ReadAnyASN1(&element, &tag) {
			return false
		}
		if tag&0x20 != 0 && !isDER(element, depth-1) {
			return false
		}
	}
	return true
}

func contextTag(n uint8) cbasn1.Tag { return cbasn1.Tag(n).Constructed().ContextSpecific() }
