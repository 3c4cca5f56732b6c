package svid

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	idLogProof  = contents(OIDLogProof)
	idDecision  = contents(OIDDecision)
	idKeyUsage  = contents(asn1.ObjectIdentifier{2, 5, 29, 15})
	idAltName   = contents(asn1.ObjectIdentifier{2, 5, 29, 17})
	idBasic     = contents(asn1.ObjectIdentifier{2, 5, 29, 19})
	idAuthority = contents(asn1.ObjectIdentifier{2, 5, 29, 35})
	idExtUsage  = contents(asn1.ObjectIdentifier{2, 5, 29, 37})
)

// The values of three extensions, which are the same in every SVID.
var (
	digitalSignature = []byte{0x03, 0x02, 0x07, 0x80}
	notCA            = []byte{0x30, 0x00}
	serverAndClient  = []byte{
		0x30, 0x14,
		0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01,
		0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02,
	}
)

// readExtensions reads the list and refuses a certificate that lacks one, has
// one twice, or has one that is not of the profile.
func (t *TBS) readExtensions(list cryptobyte.String) error {
	seen := make(map[string]bool)
	var build []pkix.Extension
	for !list.Empty() {
		x, err := readExtension(&list)
		if err != nil {
			return err
		}
		if seen[x.id] {
			return errors.New("an extension is there twice")
		}
		seen[x.id] = true
		if id, ok := buildIDs[x.id]; ok {
			if x.critical {
				return fmt.Errorf("build extension %v is critical", id)
			}
			build = append(build, pkix.Extension{Id: id, Value: x.value})
			continue
		}
		if err := t.readExtension(x); err != nil {
			return err
		}
	}
	for _, id := range []string{idKeyUsage, idExtUsage, idBasic, idAuthority, idAltName, idDecision} {
		if !seen[id] {
			return fmt.Errorf("extension %s is missing", name(id))
		}
	}
	var err error
	t.Build, err = parseBuild(build)
	return err
}

func (t *TBS) readExtension(x extension) (err error) {
	critical := x.id == idKeyUsage || x.id == idBasic || x.id == idAltName
	switch x.id {
	case idKeyUsage:
		if !bytes.Equal(x.value, digitalSignature) {
			err = errors.New("key usage is not digitalSignature alone")
		}
	case idExtUsage:
		if !bytes.Equal(x.value, serverAndClient) {
			err = errors.New("extended key usage is not server and client authentication")
		}
	case idBasic:
		if !bytes.Equal(x.value, notCA) {
			err = errors.New("basic constraints are not those of a leaf")
		}
	case idAuthority:
		t.AuthorityKeyID, err = readAuthorityKeyID(x.value)
	case idAltName:
		err = t.readNames(x.value)
	case idDecision:
		t.Decision, err = ParseDecision(x.value)
	case idLogProof:
		err = errors.New("a log-proof extension is inside")
	default:
		err = fmt.Errorf("extension %s is not of the profile", name(x.id))
	}
	if err == nil && x.critical != critical {
		err = fmt.Errorf("extension %s: critical is %t, want %t", name(x.id), x.critical, critical)
	}
	return err
}

// name returns the dotted form of an identifier's contents octets.
func name(id string) string {
	var b cryptobyte.Builder
	b.AddASN1(der.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(id)) })
	s := cryptobyte.String(b.BytesOrPanic())
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1ObjectIdentifier(&oid) {
		return fmt.Sprintf("%x", id)
	}
	return oid.String()
}

func readAuthorityKeyID(value []byte) ([]byte, error) {
	s := cryptobyte.String(value)
	var body, id cryptobyte.String
	if !s.ReadASN1(&body, der.SEQUENCE) || !s.Empty() ||
		!body.ReadASN1(&id, der.Tag(0).ContextSpecific()) || !body.Empty() || len(id) != keyIDSize {
		return nil, fmt.Errorf("authority key id is not one key identifier of %d bytes", keyIDSize)
	}
	return bytes.Clone(id), nil
}
