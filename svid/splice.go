package svid

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// splice appends the log-proof extension to the extensions of a
// TBSCertificate. Of the bytes that were logged only three length fields
// change: those of the certificate, of [3], and of the list.
func splice(tbs, proof []byte) ([]byte, error) {
	head, list, err := halves(tbs)
	if err != nil {
		return nil, err
	}
	var last cryptobyte.Builder
	var value cryptobyte.Builder
	value.AddASN1OctetString(proof)
	addExtension(&last, OIDLogProof, false, value.BytesOrPanic())
	return whole(head, list, last.BytesOrPanic()), nil
}

// cut takes the log-proof extension off again. It must be the last extension
// and not critical; tbs is then, byte for byte, what was logged. That no other
// log-proof extension is inside is for ParseTBS to say, which reads the rest.
func cut(signed []byte) (tbs, proof []byte, err error) {
	head, list, err := halves(signed)
	if err != nil {
		return nil, nil, err
	}
	var x extension
	var before cryptobyte.String
	for rest := list; !rest.Empty(); {
		before = list[:len(list)-len(rest)]
		if x, err = readExtension(&rest); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case x.id != idLogProof:
		return nil, nil, errors.New("log-proof extension is not the last one")
	case x.critical:
		return nil, nil, errors.New("log-proof extension is critical")
	case len(before) == 0:
		return nil, nil, errors.New("log-proof extension is the only one")
	}
	value := cryptobyte.String(x.value)
	var octets cryptobyte.String
	if !value.ReadASN1(&octets, der.OCTET_STRING) || !value.Empty() {
		return nil, nil, errors.New("log-proof extension is not one OCTET STRING")
	}
	return whole(head, before, nil), octets, nil
}

// halves takes a TBSCertificate apart: all before its extensions, and the list
// of them.
func halves(tbs []byte) (head, list cryptobyte.String, err error) {
	if len(tbs) > MaxCertificate {
		return nil, nil, fmt.Errorf("TBSCertificate has %d bytes, want at most %d", len(tbs), MaxCertificate)
	}
	s := cryptobyte.String(tbs)
	var body, tagged cryptobyte.String
	if !s.ReadASN1(&body, der.SEQUENCE) || !s.Empty() {
		return nil, nil, errNotDER
	}
	head = body
	for !body.PeekASN1Tag(tagExtensions) {
		var any cryptobyte.String
		var tag der.Tag
		if !body.ReadAnyASN1Element(&any, &tag) {
			return nil, nil, errors.New("TBSCertificate has no extensions")
		}
	}
	head = head[:len(head)-len(body)]
	if !body.ReadASN1(&tagged, tagExtensions) || !body.Empty() ||
		!tagged.ReadASN1(&list, der.SEQUENCE) || !tagged.Empty() {
		return nil, nil, errNotDER
	}
	return head, list, nil
}

// whole is the inverse of halves. last is appended to the list.
func whole(head, list, last []byte) []byte {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(head)+len(list)+len(last)+16))
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(head)
		b.AddASN1(tagExtensions, func(b *cryptobyte.Builder) {
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(list)
				b.AddBytes(last)
			})
		})
	})
	return b.BytesOrPanic()
}
