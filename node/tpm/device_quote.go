package tpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json/v2"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"plastron/node"
)

const (
	// quoteTries is how often a quote is made again because a register moved
	// between reading and quoting, as PCR 10 does under IMA.
	quoteTries = 5
	// pcrChunk is how many registers a TPM returns at once.
	pcrChunk = 8
)

// Quote makes evidence over bind that shows exactly the given registers of the
// SHA-256 bank; nil for [DefaultPCRs]. A gate that is configured to want others
// names them when it refuses.
func (d *Device) Quote(bind [32]byte, pcrs []int) (node.Evidence, error) {
	set, err := newPCRSet(pcrs)
	if err != nil {
		return node.Evidence{}, err
	}
	for range quoteTries {
		values, err := readPCRs(d.tpm, set)
		if err != nil {
			return node.Evidence{}, fmt.Errorf("read PCRs: %w", err)
		}
		attest, sig, err := d.quote(bind, set)
		if err != nil {
			return node.Evidence{}, fmt.Errorf("quote: %w", err)
		}
		if !d.covers(attest, values) {
			continue
		}
		data, err := json.Marshal(evidence{d.ak.public.raw, attest, sig, texts(set, values)}, json.Deterministic(true))
		if err != nil {
			return node.Evidence{}, err
		}
		return node.Evidence{Kind: Kind, Data: data}, nil
	}
	return node.Evidence{}, fmt.Errorf("quote: PCRs %v changed %d times while they were quoted", set, quoteTries)
}

func (d *Device) quote(bind [32]byte, set pcrSet) (attest, sig []byte, err error) {
	r, err := tpm2.Quote{
		SignHandle:     d.ak.auth(tpm2.PasswordAuth(nil)),
		QualifyingData: tpm2.TPM2BData{Buffer: bind[:]},
		InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		PCRSelect:      set.selection(),
	}.Execute(d.tpm)
	if err != nil {
		return nil, nil, err
	}
	return r.Quoted.Bytes(), tpm2.Marshal(r.Signature), nil
}

// covers reports whether the values that were read are those that were quoted.
func (d *Device) covers(attest []byte, values [][sha256.Size]byte) bool {
	a, err := parseAttest(attest)
	return err == nil && bytes.Equal(a.pcrDigest, digestOf(d.ak.public.hash, values))
}

func readPCRs(t transport.TPM, set pcrSet) ([][sha256.Size]byte, error) {
	var out [][sha256.Size]byte
	for len(set) > 0 {
		part := set[:min(len(set), pcrChunk)]
		r, err := tpm2.PCRRead{PCRSelectionIn: part.selection()}.Execute(t)
		if err != nil {
			return nil, err
		}
		if len(r.PCRValues.Digests) != len(part) {
			return nil, errors.New("the TPM has no SHA-256 bank with these registers: enable it in the firmware's settings")
		}
		for _, d := range r.PCRValues.Digests {
			if len(d.Buffer) != sha256.Size {
				return nil, fmt.Errorf("value of %d bytes, want %d", len(d.Buffer), sha256.Size)
			}
			out = append(out, [sha256.Size]byte(d.Buffer))
		}
		set = set[len(part):]
	}
	return out, nil
}

func (s pcrSet) selection() tpm2.TPMLPCRSelection {
	b := s.bitmap()
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: b[:]}}}
}

func texts(set pcrSet, values [][sha256.Size]byte) map[string]string {
	out := map[string]string{}
	for i, p := range set {
		out[strconv.Itoa(p)] = hex.EncodeToString(values[i][:])
	}
	return out
}
