package tpm_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json/v2"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"plastron/node"
	"plastron/node/tpm"
)

// TestNodeSide runs the whole story, and what a TPM itself refuses, against
// every chip there is.
func TestNodeSide(t *testing.T) {
	for _, c := range chips {
		t.Run(c.name, func(t *testing.T) {
			chip := c.open(t)
			for name, kind := range map[string]tpm.AK{"ECDSA": tpm.ECDSA, "RSASSA": tpm.RSASSA, "RSAPSS": tpm.RSAPSS} {
				t.Run("enrol and quote by "+name, func(t *testing.T) { enrolAndQuote(t, chip, kind) })
			}
			t.Run("open by address", func(t *testing.T) { openByAddress(t, chip) })
			t.Run("credential for an AK with one attribute altered", func(t *testing.T) { otherName(t, chip) })
			t.Run("credential altered", func(t *testing.T) { alteredCredential(t, chip) })
			t.Run("PCR moves while it is quoted", func(t *testing.T) { moves(t, chip) })
			t.Run("unrestricted AK", func(t *testing.T) { unrestricted(t, chip) })
		})
	}
}

func enrolAndQuote(t *testing.T, c *chip, kind tpm.AK) {
	d, err := tpm.NewDevice(c, kind)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, d)
	certificate, err := d.EKCertificate()
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, tpm.Config{EKRoots: c.roots}, certificate)
	bind := node.Bind([32]byte{1}, []byte("key"))
	e := enrol(t, v, d, bind)
	for _, pcrs := range [][]int{nil, {7}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}} {
		v := verifier(t, tpm.Config{EKRoots: c.roots, PCRs: pcrs}, certificate)
		ev, err := d.Quote(bind, pcrs)
		if err != nil {
			t.Fatal(err)
		}
		h, err := v.Verify(t.Context(), ev, bind, e, time.Now())
		if err != nil {
			t.Fatalf("quote of %v: %v", pcrs, err)
		}
		if h.ID() != "tpm:"+d.AKName() || h.Facts()["pcr.7"] == "" || h.Facts()["reset_count"] == "" {
			t.Errorf("host %s with %v", h.ID(), h.Facts())
		}
	}
}

func openByAddress(t *testing.T, c *chip) {
	var names []string
	for range 2 {
		d, err := tpm.Open(c.address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Quote([32]byte{1}, nil); err != nil {
			t.Error(err)
		}
		names = append(names, d.AKName())
		shut(t, d)
	}
	if names[0] != names[1] {
		t.Errorf("the TPM made the AKs %v of one template", names)
	}
}

// The name of a key is the hash of all that is said of it: a credential for
// another name does not open, even for the same key.
func otherName(t *testing.T, c *chip) {
	d, err := tpm.NewDevice(c, tpm.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, d)
	certificate, err := d.EKCertificate()
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, tpm.Config{EKRoots: c.roots}, certificate)
	request := message(t, request(t, d), "ak_public", func(b []byte) []byte {
		b[6] ^= 0x04 // noDA
		return b
	})
	challenge, err := v.Challenge(t.Context(), request, [32]byte{1}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Activate(challenge); !errors.Is(err, tpm2.TPMRCIntegrity) {
		t.Errorf("Activate: %v, want TPM_RC_INTEGRITY", err)
	}
}

func alteredCredential(t *testing.T, c *chip) {
	d, err := tpm.NewDevice(c, tpm.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, d)
	certificate, err := d.EKCertificate()
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, tpm.Config{EKRoots: c.roots}, certificate)
	challenge, err := v.Challenge(t.Context(), request(t, d), [32]byte{1}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{"credential", "secret"} {
		spoiled := message(t, challenge, member, func(b []byte) []byte {
			b[len(b)-1] ^= 1
			return b
		})
		var rc tpm2.TPMRC
		if _, err := d.Activate(spoiled); !errors.As(err, &rc) {
			t.Errorf("%s altered: %v, want the TPM to refuse", member, err)
		}
	}
	if answer, err := d.Activate(challenge); err != nil || len(answer) == 0 {
		t.Errorf("the TPM is out of slots or the challenge was spoiled: %v", err)
	}
}

// mover extends PCR 10 whenever registers were read, n times.
type mover struct {
	transport.TPM
	n int
}

func (m *mover) Send(command []byte) ([]byte, error) {
	out, err := m.TPM.Send(command)
	if binary.BigEndian.Uint32(command[6:]) != uint32(tpm2.TPMCCPCRRead) || m.n == 0 {
		return out, err
	}
	m.n--
	digest := sha256.Sum256(nil)
	_, err = tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: 10, Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: digest[:]}}},
	}.Execute(m.TPM)
	return out, err
}

func moves(t *testing.T, c *chip) {
	m := &mover{TPM: c}
	d, err := tpm.NewDevice(m, tpm.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, d)
	m.n = 2
	if _, err := d.Quote([32]byte{1}, []int{7, 10}); err != nil {
		t.Errorf("PCR 10 moved twice: %v", err)
	}
	m.n = 100
	if _, err := d.Quote([32]byte{1}, []int{7, 10}); err == nil || !strings.Contains(err.Error(), "[7 10]") {
		t.Errorf("PCR 10 moves always: %v, want an error that names the registers", err)
	}
	if _, err := d.Quote([32]byte{1}, []int{7}); err != nil {
		t.Errorf("PCR 10 moves always, PCR 7 is quoted: %v", err)
	}
}

// A TPM makes unrestricted keys as readily, and a credential opens for them: only
// the gate can refuse one.
func unrestricted(t *testing.T, c *chip) {
	d, err := tpm.NewDevice(c, tpm.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, d)
	certificate, err := d.EKCertificate()
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		AKPublic []byte `json:"ak_public"`
	}
	if err := json.Unmarshal(request(t, d), &r); err != nil {
		t.Fatal(err)
	}
	template, err := tpm2.Unmarshal[tpm2.TPMTPublic](r.AKPublic)
	if err != nil {
		t.Fatal(err)
	}
	template.ObjectAttributes.Restricted = false
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{})
	key, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		InPublic:      tpm2.New2B(*template),
	}.Execute(c)
	if err != nil {
		t.Fatal(err)
	}
	defer tpm2.FlushContext{FlushHandle: key.ObjectHandle}.Execute(c)
	request := message(t, request(t, d), "ak_public", func([]byte) []byte { return key.OutPublic.Bytes() })
	_, err = verifier(t, tpm.Config{EKRoots: c.roots}, certificate).Challenge(t.Context(), request, [32]byte{1}, time.Now())
	wants(t, err, node.BadAnchor, "restricted")
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"", file, file + ".absent", "unix:" + file, "tcp:127.0.0.1:0", "/dev/null"} {
		if d, err := tpm.Open(address); err == nil {
			t.Errorf("Open(%q) = %v", address, d)
		}
	}
	if b, err := os.ReadFile(file); err != nil || !bytes.Equal(b, []byte("precious")) {
		t.Errorf("the file is now %q", b)
	}
}

// lame answers with fixed bytes.
type lame []byte

func (l lame) Send([]byte) ([]byte, error) { return l, nil }

func TestNewDeviceRefusesBrokenTPM(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]lame{
		"nothing":        nil,
		"half a header":  {0x80, 0x01, 0},
		"success, empty": {0x80, 0x02, 0, 0, 0, 10, 0, 0, 0, 0},
		"failure":        {0x80, 0x01, 0, 0, 0, 10, 0, 0, 1, 1},
	} {
		if _, err := tpm.NewDevice(answer, tpm.ECDSA); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// A TPM behind a socket that lies about lengths, or hangs up, is refused, and is
// not asked again on the same connection.
func TestOpenRefusesBrokenStream(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string][]byte{
		"hangs up":            nil,
		"half a header":       {0x80, 0x01, 0, 0},
		"response of 4 GiB":   {0x80, 0x01, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		"response of 4,097":   {0x80, 0x01, 0, 0, 0x10, 0x01, 0, 0, 0, 0},
		"response of 9 bytes": {0x80, 0x01, 0, 0, 0, 9, 0, 0, 0, 0},
		"response cut short":  {0x80, 0x01, 0, 0, 0, 12, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			asked := make(chan int)
			go func() { // ends when the client hangs up
				c, err := l.Accept()
				if err != nil {
					asked <- -1
					return
				}
				c.Read(make([]byte, 4096))
				c.Write(answer)
				c.(*net.TCPConn).CloseWrite()
				n, _ := io.Copy(io.Discard, c)
				c.Close()
				asked <- int(n)
			}()
			if _, err := tpm.Open("tcp:" + l.Addr().String()); err == nil {
				t.Error("taken")
			}
			if n := <-asked; n != 0 {
				t.Errorf("%d bytes more were sent, want none", n)
			}
			l.Close()
		})
	}
}
