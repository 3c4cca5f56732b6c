package tpm

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// A Device is the node's side: a TPM with an attestation key in it. It is not
// safe for concurrent use. Whoever opens one closes it, which gives the TPM's
// few slots for keys back.
type Device struct {
	tpm    transport.TPM
	closer io.Closer // nil: the caller's own TPM
	ak     *object
}

// An AK is a kind of attestation key.
type AK int

// The kinds. ECDSA is what [Open] makes: a TPM signs with it about ten times
// faster than with RSA.
const (
	ECDSA  AK = iota // P-256, SHA-256
	RSASSA           // 2048 bits, SHA-256
	RSAPSS           // 2048 bits, SHA-256
)

// Open opens the TPM at an address - "/dev/tpmrm0", "unix:PATH" or
// "tcp:HOST:PORT", the latter two with raw commands as swtpm's socket speaks
// them - and makes its ECDSA attestation key.
func Open(address string) (*Device, error) {
	s, err := dial(address)
	if err != nil {
		return nil, err
	}
	d, err := NewDevice(s, ECDSA)
	if err != nil {
		s.Close()
		return nil, err
	}
	d.closer = s
	return d, nil
}

// NewDevice makes the attestation key of a TPM that the caller keeps open. The
// key is a primary key of the endorsement hierarchy: a TPM makes the same one
// each time, nothing is stored, and its quotes show the clock as it is. The
// hierarchy's authorization has to be empty, as TPMs are delivered.
func NewDevice(t transport.TPM, kind AK) (*Device, error) {
	template, err := kind.template()
	if err != nil {
		return nil, err
	}
	ak, err := createPrimary(t, template)
	if err != nil {
		return nil, fmt.Errorf("create AK: %w", err)
	}
	return &Device{tpm: t, ak: ak}, nil
}

// AKName is the lower-case hex of the AK's name: how the log will name the node.
func (d *Device) AKName() string { return hex.EncodeToString(d.ak.public.name) }

// Close removes the AK from the TPM's memory, and closes what Open opened.
func (d *Device) Close() error {
	err := d.ak.flush(d.tpm)
	if d.closer != nil {
		err = errors.Join(err, d.closer.Close())
	}
	return err
}

func (k AK) template() (tpm2.TPMTPublic, error) {
	switch k {
	case ECDSA:
		return akTemplate(tpm2.TPMAlgECC, tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme: tpm2.TPMTECCScheme{
				Scheme:  tpm2.TPMAlgECDSA,
				Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}),
			},
			CurveID: tpm2.TPMECCNistP256,
		})), nil
	case RSASSA:
		return rsaTemplate(tpm2.TPMAlgRSASSA, tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})), nil
	case RSAPSS:
		return rsaTemplate(tpm2.TPMAlgRSAPSS, tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSAPSS, &tpm2.TPMSSigSchemeRSAPSS{HashAlg: tpm2.TPMAlgSHA256})), nil
	}
	return tpm2.TPMTPublic{}, fmt.Errorf("unknown kind %d of attestation key", k)
}

func rsaTemplate(scheme tpm2.TPMAlgID, details tpm2.TPMUAsymScheme) tpm2.TPMTPublic {
	return akTemplate(tpm2.TPMAlgRSA, tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
		Scheme:  tpm2.TPMTRSAScheme{Scheme: scheme, Details: details},
		KeyBits: 2048,
	}))
}

func akTemplate(kind tpm2.TPMAlgID, parms tpm2.TPMUPublicParms) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type:    kind,
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true,
			NoDA: true, Restricted: true, SignEncrypt: true,
		},
		Parameters: parms,
	}
}

// An object is a key in the TPM's memory.
type object struct {
	handle tpm2.NamedHandle
	public *public
}

func createPrimary(t transport.TPM, template tpm2.TPMTPublic) (*object, error) {
	r, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		InPublic:      tpm2.New2B(template),
	}.Execute(t)
	if err != nil {
		return nil, err
	}
	o := &object{handle: tpm2.NamedHandle{Handle: r.ObjectHandle, Name: r.Name}}
	if o.public, err = parsePublic(r.OutPublic.Bytes()); err == nil && !o.public.named(r.Name.Buffer) {
		err = errors.New("the TPM names the key otherwise than its public area does")
	}
	if err != nil {
		return nil, errors.Join(err, o.flush(t))
	}
	return o, nil
}

func (o *object) flush(t transport.TPM) error {
	_, err := tpm2.FlushContext{FlushHandle: o.handle.Handle}.Execute(t)
	return err
}

func (o *object) auth(s tpm2.Session) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: o.handle.Handle, Name: o.handle.Name, Auth: s}
}
