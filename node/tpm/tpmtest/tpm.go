package tpmtest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// Options say what TPM to make.
type Options struct {
	CA    *CA    // certifies the EK of a new TPM; not asked when State is there
	State string // file of the TPM's keys and counters, made if absent; "" for memory only
	ECC   bool   // P-256 EK; else RSA-2048
}

// NV indices of EK certificates (TCG EK Credential Profile 2.2.1.4).
const (
	nvRSA = 0x01c00002
	nvECC = 0x01c0000a
)

const numPCRs = 24

// A TPM is safe for concurrent use. It has to be made by New.
type TPM struct {
	path  string
	local *client // of Send

	mu    sync.Mutex // guards all below, and every client's state
	state state
	keys  map[string]*primary // by hierarchy and template
	pcrs  [numPCRs][sha256.Size]byte
	moved uint32 // pcrUpdateCounter
	boot  time.Time
}

var _ transport.TPM = (*TPM)(nil)

// New makes a TPM, or takes one out of its state file, and starts it.
func New(o Options) (*TPM, error) {
	t := &TPM{path: o.State, keys: map[string]*primary{}}
	t.local = newClient(t)
	found, err := t.load()
	if err != nil {
		return nil, fmt.Errorf("tpmtest: state: %w", err)
	}
	if !found {
		if err := t.manufacture(o); err != nil {
			return nil, fmt.Errorf("tpmtest: %w", err)
		}
	}
	return t, t.start()
}

// manufacture makes an EK and writes its certificate into NV.
func (t *TPM) manufacture(o Options) error {
	if o.CA == nil {
		return errors.New("a new TPM needs a CA for its EK")
	}
	index, template := uint32(nvRSA), tpm2.RSAEKTemplate
	if o.ECC {
		index, template = nvECC, tpm2.ECCEKTemplate
	}
	ek, err := t.primary(tpm2.TPMRHEndorsement, tpm2.Marshal(template))
	if err != nil {
		return err
	}
	der, err := o.CA.Certify(ek.key.Public(), nil)
	if err != nil {
		return err
	}
	t.state.NV = map[uint32][]byte{index: der}
	return nil
}

// EKCertificate is the DER that is in NV.
func (t *TPM) EKCertificate() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, index := range []uint32{nvRSA, nvECC} {
		if der, ok := t.state.NV[index]; ok {
			return der
		}
	}
	return nil
}

// WriteNV puts bytes into an NV index, such as another EK certificate than the
// vendor's; nil removes it.
func (t *TPM) WriteNV(index uint32, b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state.NV[index] = b; b == nil {
		delete(t.state.NV, index)
	}
}

// Extend extends a register, as firmware does before anything else runs.
func (t *TPM) Extend(pcr int, digest [sha256.Size]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.extend(pcr, digest)
}

func (t *TPM) extend(pcr int, digest [sha256.Size]byte) {
	t.pcrs[pcr] = sha256.Sum256(append(t.pcrs[pcr][:], digest[:]...))
	t.moved++
}

// Reboot is a reset of the platform: registers and loaded keys are gone, the
// reset count is one more.
func (t *TPM) Reboot() error { return t.start() }

func (t *TPM) start() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state.Clock = t.clock()
	t.boot = time.Now()
	t.state.ResetCount++
	t.pcrs = [numPCRs][sha256.Size]byte{}
	for i := 17; i <= 22; i++ { // the dynamic root's, until one starts
		for j := range t.pcrs[i] {
			t.pcrs[i][j] = 0xff
		}
	}
	t.local.reset()
	return t.save()
}

// clock is in milliseconds that the TPM was powered.
func (t *TPM) clock() uint64 {
	if t.boot.IsZero() {
		return t.state.Clock
	}
	return t.state.Clock + uint64(time.Since(t.boot).Milliseconds())
}

// Send runs one command.
func (t *TPM) Send(command []byte) ([]byte, error) { return t.local.send(command), nil }
