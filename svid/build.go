package svid

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/sigstore/fulcio/pkg/certificate"
	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// maxBuildText is the most bytes of one build fact: GitHub's longest, a workflow
// URI with its ref, has a few hundred.
const maxBuildText = 2048

// Of the extensions below Fulcio's arc an SVID carries 8 to 24 (Fulcio's
// docs/oid-info.md): the older ones are deprecated, and are not DER.
const (
	firstBuild = 8 // the issuer, which Fulcio never leaves out
	lastBuild  = 24
)

var fulcio = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1}

// buildIDs are the identifiers of the build extensions, by contents octets.
var buildIDs = func() map[string]asn1.ObjectIdentifier {
	ids := make(map[string]asn1.ObjectIdentifier)
	for n := firstBuild; n <= lastBuild; n++ {
		id := append(fulcio[:len(fulcio):len(fulcio)], n)
		ids[contents(id)] = id
	}
	return ids
}()

// renderBuild encodes build facts as Fulcio does, but for the extensions that
// Fulcio has deprecated.
func renderBuild(e *certificate.Extensions) ([]pkix.Extension, error) {
	all, err := e.Render()
	if err != nil {
		return nil, fmt.Errorf("build extensions: %w", err)
	}
	var list []pkix.Extension
	for _, x := range all {
		if n := x.Id[len(x.Id)-1]; n >= firstBuild && n <= lastBuild && x.Id[:len(fulcio)].Equal(fulcio) {
			list = append(list, x)
		}
	}
	return list, nil
}

// parseBuild reads the build extensions of a certificate, in its order. Only
// what renderBuild writes is accepted, so that facts have one encoding.
func parseBuild(list []pkix.Extension) (*certificate.Extensions, error) {
	if len(list) == 0 {
		return nil, nil
	}
	before := firstBuild - 1
	for i, x := range list {
		n := x.Id[len(x.Id)-1]
		if i == 0 && n != firstBuild {
			return nil, errors.New("build extensions: no issuer")
		}
		if n <= before {
			return nil, fmt.Errorf("build extension %v is out of order", x.Id)
		}
		if !isBuildText(x.Value) {
			return nil, fmt.Errorf("build extension %v is not a UTF8String of 1 to %d bytes of UTF-8", x.Id, maxBuildText)
		}
		before = n
	}
	e, err := certificate.ParseExtensions(list)
	if err != nil {
		return nil, fmt.Errorf("build extensions: %w", err)
	}
	return &e, nil
}

func isBuildText(value []byte) bool {
	s := cryptobyte.String(value)
	var text cryptobyte.String
	return s.ReadASN1(&text, der.UTF8String) && s.Empty() && len(text) > 0 && len(text) <= maxBuildText && utf8.Valid(text)
}
