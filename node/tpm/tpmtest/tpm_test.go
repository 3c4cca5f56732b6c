package tpmtest_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"plastron/node/tpm"
	"plastron/node/tpm/tpmtest"
)

func newTPM(t testing.TB) *tpmtest.TPM {
	t.Helper()
	ca, err := tpmtest.NewCA("Demo TPM vendor")
	if err != nil {
		t.Fatal(err)
	}
	chip, err := tpmtest.New(tpmtest.Options{CA: ca, ECC: true})
	if err != nil {
		t.Fatal(err)
	}
	return chip
}

// The state file is the TPM: the same EK, certificate and AKs over restarts, one
// reset more each time.
func TestState(t *testing.T) {
	t.Parallel()
	ca, err := tpmtest.NewCA("Demo TPM vendor")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tpm.json")
	var certificates [][]byte
	var names []string
	var requests [][]byte
	for i, o := range []tpmtest.Options{{CA: ca, State: path}, {State: path}, {CA: ca, State: path, ECC: true}} {
		chip, err := tpmtest.New(o)
		if err != nil {
			t.Fatal(err)
		}
		d, err := tpm.NewDevice(chip, tpm.ECDSA)
		if err != nil {
			t.Fatal(err)
		}
		r, err := d.EnrolRequest()
		if err != nil {
			t.Fatalf("start %d: %v", i, err)
		}
		certificates, names, requests = append(certificates, chip.EKCertificate()), append(names, d.AKName()), append(requests, r)
		chip.Extend(0, [32]byte{1})
	}
	for i := range names {
		if names[i] != names[0] || !bytes.Equal(certificates[i], certificates[0]) || !bytes.Equal(requests[i], requests[0]) {
			t.Errorf("start %d is another TPM", i)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state file: %v, %v, want one that only its owner reads", info, err)
	}
}

func TestStateRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.json")
	if err := os.WriteFile(broken, []byte(`{"keys":{}}{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]tpmtest.Options{
		"neither CA nor state": {},
		"no CA for a new TPM":  {State: filepath.Join(dir, "absent.json")},
		"broken state":         {State: broken},
		"state is a directory": {State: dir},
	} {
		if _, err := tpmtest.New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestReboot(t *testing.T) {
	t.Parallel()
	chip := newTPM(t)
	d, err := tpm.NewDevice(chip, tpm.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	chip.Extend(7, [32]byte{1})
	if err := chip.Reboot(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Quote([32]byte{}, nil); !errors.Is(err, tpm2.TPMRCHandle) {
		t.Errorf("quote by a key of before the reboot: %v, want TPM_RC_HANDLE", err)
	}
	r, err := tpm2.PCRRead{PCRSelectionIn: selection(tpm2.TPMAlgSHA256, 7, 17, 23)}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	zeros, ones := make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)
	for i, want := range [][]byte{zeros, ones, zeros} {
		if got := r.PCRValues.Digests[i].Buffer; !bytes.Equal(got, want) {
			t.Errorf("register %d of 7, 17, 23 is %x, want %x", i, got, want)
		}
	}
}

// Each connection has slots of its own, which are free again when it hangs up.
func TestServe(t *testing.T) {
	t.Parallel()
	chip := newTPM(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- chip.Serve(l) }()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range 3 {
		for range 2 {
			c := dial()
			for range 3 {
				if _, err := tpm.NewDevice(transport.FromReadWriter(c), tpm.ECDSA); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := tpm.NewDevice(transport.FromReadWriter(c), tpm.ECDSA); !errors.Is(err, tpm2.TPMRCObjectMemory) {
				t.Errorf("a fourth key: %v, want TPM_RC_OBJECT_MEMORY", err)
			}
			defer c.Close()
		}
	}
	liar := dial()
	liar.Write([]byte{0x80, 0x01, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	if _, err := liar.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a frame of 4 GiB: %v, want it to hang up", err)
	}
	idle := dial()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("Serve returned and a connection is open")
	}
}

func selection(bank tpm2.TPMAlgID, pcrs ...uint) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: bank, PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs...)}}}
}

func TestPCRs(t *testing.T) {
	t.Parallel()
	chip := newTPM(t)
	r, err := tpm2.PCRRead{PCRSelectionIn: selection(tpm2.TPMAlgSHA256, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)}.Execute(chip)
	if err != nil || len(r.PCRValues.Digests) != 8 || !bytes.Equal(r.PCRSelectionOut.PCRSelections[0].PCRSelect, []byte{0xff, 0, 0}) {
		t.Errorf("read of ten registers: %+v, %v, want the first eight", r, err)
	}
	r, err = tpm2.PCRRead{PCRSelectionIn: selection(tpm2.TPMAlgSHA1, 0)}.Execute(chip)
	if err != nil || len(r.PCRValues.Digests) != 0 {
		t.Errorf("read of the SHA-1 bank: %+v, %v, want nothing", r, err)
	}
	before := r.PCRUpdateCounter
	chip.Extend(0, [32]byte{})
	if r, err = (tpm2.PCRRead{PCRSelectionIn: selection(tpm2.TPMAlgSHA256, 0)}).Execute(chip); err != nil || r.PCRUpdateCounter != before+1 {
		t.Errorf("update counter %d after %d, %v", r.PCRUpdateCounter, before, err)
	}
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	chip := newTPM(t)
	for name, tt := range map[string]struct {
		edit func(*tpm2.TPMTPublic)
		want tpm2.TPMRC
	}{
		"name by SHA-384":           {func(p *tpm2.TPMTPublic) { p.NameAlg = tpm2.TPMAlgSHA384 }, tpm2.TPMRCHash},
		"signs and decrypts":        {func(p *tpm2.TPMTPublic) { p.ObjectAttributes.SignEncrypt = true }, tpm2.TPMRCAttributes},
		"neither":                   {func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Decrypt = false }, tpm2.TPMRCAttributes},
		"decrypts, unrestricted":    {func(p *tpm2.TPMTPublic) { p.ObjectAttributes.Restricted = false }, tpm2.TPMRCAttributes},
		"leaves the TPM":            {func(p *tpm2.TPMTPublic) { p.ObjectAttributes.FixedTPM = false }, tpm2.TPMRCAttributes},
		"signs with a storage key":  {func(p *tpm2.TPMTPublic) { p.ObjectAttributes.SignEncrypt, p.ObjectAttributes.Decrypt = true, false }, tpm2.TPMRCSymmetric},
		"P-384":                     {eccParms(func(p *tpm2.TPMSECCParms) { p.CurveID = tpm2.TPMECCNistP384 }), tpm2.TPMRCCurve},
		"RSA-3072":                  {rsaParms(func(p *tpm2.TPMSRSAParms) { p.KeyBits = 3072 }), tpm2.TPMRCValue},
		"RSA exponent 3":            {rsaParms(func(p *tpm2.TPMSRSAParms) { p.Exponent = 3 }), tpm2.TPMRCRange},
		"storage key with a scheme": {rsaParms(func(p *tpm2.TPMSRSAParms) { p.Scheme = oaep() }), tpm2.TPMRCScheme},
	} {
		template := tpm2.ECCEKTemplate
		tt.edit(&template)
		_, err := tpm2.CreatePrimary{
			PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
			InPublic:      tpm2.New2B(template),
		}.Execute(chip)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func eccParms(edit func(*tpm2.TPMSECCParms)) func(*tpm2.TPMTPublic) {
	return func(p *tpm2.TPMTPublic) {
		parms, _ := p.Parameters.ECCDetail()
		own := *parms
		edit(&own)
		p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &own)
	}
}

func rsaParms(edit func(*tpm2.TPMSRSAParms)) func(*tpm2.TPMTPublic) {
	return func(p *tpm2.TPMTPublic) {
		*p = tpm2.RSAEKTemplate
		parms, _ := p.Parameters.RSADetail()
		own := *parms
		edit(&own)
		p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &own)
	}
}

func oaep() tpm2.TPMTRSAScheme {
	return tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgOAEP, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgOAEP, &tpm2.TPMSEncSchemeOAEP{HashAlg: tpm2.TPMAlgSHA256})}
}

// An EK is used through its policy only, and policies are used up.
func TestAuthorization(t *testing.T) {
	t.Parallel()
	chip := newTPM(t)
	ek, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		InPublic:      tpm2.New2B(tpm2.ECCEKTemplate),
	}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	activate := func(auth tpm2.Session) error {
		_, err := tpm2.ActivateCredential{
			ActivateHandle: tpm2.AuthHandle{Handle: ek.ObjectHandle, Name: ek.Name, Auth: auth},
			KeyHandle:      tpm2.AuthHandle{Handle: ek.ObjectHandle, Name: ek.Name, Auth: auth},
		}.Execute(chip)
		return err
	}
	if err := activate(tpm2.PasswordAuth(nil)); !errors.Is(err, tpm2.TPMRCAuthUnavailable) {
		t.Errorf("EK by password: %v, want TPM_RC_AUTH_UNAVAILABLE", err)
	}
	empty := func(transport.TPM, tpm2.TPMISHPolicy, tpm2.TPM2BNonce) error { return nil }
	if err := activate(tpm2.Policy(tpm2.TPMAlgSHA256, 16, empty)); !errors.Is(err, tpm2.TPMRCPolicyFail) {
		t.Errorf("EK by an empty policy: %v, want TPM_RC_POLICY_FAIL", err)
	}
	_, err = tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: 0, Auth: tpm2.PasswordAuth([]byte("guess"))},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}},
	}.Execute(chip)
	if !errors.Is(err, tpm2.TPMRCAuthFail) {
		t.Errorf("a wrong password: %v, want TPM_RC_AUTH_FAIL", err)
	}
	_, err = tpm2.StartAuthSession{
		TPMKey: tpm2.TPMRHNull, Bind: tpm2.TPMRHNull, NonceCaller: tpm2.TPM2BNonce{Buffer: make([]byte, 16)},
		SessionType: tpm2.TPMSEHMAC, Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull}, AuthHash: tpm2.TPMAlgSHA256,
	}.Execute(chip)
	if !errors.Is(err, tpm2.TPMRCValue) {
		t.Errorf("HMAC session: %v, want TPM_RC_VALUE", err)
	}
	for range 10 { // sessions that failed are gone
		if err := activate(tpm2.Policy(tpm2.TPMAlgSHA256, 16, empty)); errors.Is(err, tpm2.TPMRCSessionMemory) {
			t.Fatal("sessions leak")
		}
	}
}

func TestCommandsRefused(t *testing.T) {
	t.Parallel()
	chip := newTPM(t)
	for name, tt := range map[string]struct {
		command []byte
		want    tpm2.TPMRC
	}{
		"nothing":               {nil, tpm2.TPMRCCommandSize},
		"half a header":         {[]byte{0x80, 0x01, 0, 0}, tpm2.TPMRCCommandSize},
		"size too large":        {frame(0x8001, 0x144, 0, 0)[:11], tpm2.TPMRCCommandSize},
		"longer than a command": {frame(0x8001, 0x144, make([]byte, 5000)...), tpm2.TPMRCCommandSize},
		"bad tag":               {frame(0x8003, 0x144, 0, 0), 0x01e},
		"unknown command":       {frame(0x8001, 0x17b, 0, 8), tpm2.TPMRCCommandCode},
		"startup again":         {frame(0x8001, 0x144, 0, 0), tpm2.TPMRCInitialize},
		"no handle":             {frame(0x8001, 0x173), tpm2.TPMRCInsufficient},
		"key that is not there": {frame(0x8001, 0x173, 0x80, 0, 0, 9), tpm2.TPMRCHandle},
		"no authorization":      {frame(0x8001, 0x158, 0x80, 0, 0, 0), tpm2.TPMRCAuthMissing},
		"authorization cut":     {frame(0x8002, 0x182, 0, 0, 0, 0, 0, 0, 0, 9, 0x40), tpm2.TPMRCAuthSize},
		"no authorization area": {frame(0x8002, 0x182, 0, 0, 0, 0, 0, 0, 0, 0), tpm2.TPMRCAuthMissing},
		"surplus parameter":     {frame(0x8001, 0x17e, 0, 0, 0, 0, 0), tpm2.TPMRCSize},
		"NV that is not there":  {frame(0x8001, 0x169, 1, 0xc0, 0, 99), tpm2.TPMRCHandle},
		"flush of nothing":      {frame(0x8001, 0x165, 0x80, 0, 0, 7), tpm2.TPMRCHandle},
		"capability algorithms": {frame(0x8001, 0x17a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), tpm2.TPMRCValue},
	} {
		answer, err := chip.Send(tt.command)
		if err != nil || len(answer) != 10 {
			t.Fatalf("%s: %x, %v", name, answer, err)
		}
		if rc := tpm2.TPMRC(binary.BigEndian.Uint32(answer[6:])); !errors.Is(rc, tt.want) {
			t.Errorf("%s: %v (%#x), want %v", name, rc, uint32(rc), tt.want)
		}
	}
}

func frame(tag uint16, code uint32, rest ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, tag)
	b = binary.BigEndian.AppendUint32(b, uint32(10+len(rest)))
	return append(binary.BigEndian.AppendUint32(b, code), rest...)
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	chip := newTPM(t)
	r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: 0x105, PropertyCount: 1}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.CapabilityData.Data.TPMProperties()
	if err != nil || len(p.TPMProperty) != 1 || p.TPMProperty[0].Value != 0x504c5354 {
		t.Errorf("manufacturer %+v, %v, want PLST", p, err)
	}
	r, err = tpm2.GetCapability{Capability: tpm2.TPMCapPCRs, PropertyCount: 1}.Execute(chip)
	if err != nil {
		t.Fatal(err)
	}
	banks, err := r.CapabilityData.Data.AssignedPCR()
	if err != nil || len(banks.PCRSelections) != 1 || banks.PCRSelections[0].Hash != tpm2.TPMAlgSHA256 {
		t.Errorf("banks %+v, %v, want SHA-256", banks, err)
	}
}

// No bytes make the TPM panic, and every answer is a frame.
func FuzzCommand(f *testing.F) {
	chip := newTPM(f)
	f.Add(frame(0x8001, 0x17e, 0, 0, 0, 1, 0, 0x0b, 3, 0xff, 0, 0))
	f.Add(frame(0x8002, 0x182, 0, 0, 0, 0, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 1, 0, 0))
	f.Add(frame(0x8002, 0x14e, 1, 0xc0, 0, 10, 1, 0xc0, 0, 10, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 1, 0, 0, 0, 16, 0, 0))
	f.Add(frame(0x8001, 0x176, 0x40, 0, 0, 7, 0x40, 0, 0, 7, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 0, 0, 1, 0, 0x10, 0, 0x0b))
	f.Fuzz(func(t *testing.T, command []byte) {
		answer, err := chip.Send(command)
		if err != nil || len(answer) < 10 || int(binary.BigEndian.Uint32(answer[2:])) != len(answer) {
			t.Fatalf("%x, %v", answer, err)
		}
	})
}
