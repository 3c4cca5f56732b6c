package svid

import (
	"fmt"

	"plastron/log/proof"
)

// Entry takes a certificate apart: into the log entry that it was minted from and
// the log proof that it carries, in the compact form of [proof.Proof.Compact].
// Nothing is verified: for whoever looks at the proof itself, or turns it into
// text. [Verifier.Verify] checks it.
func Entry(certificate []byte) (entry, compact []byte, err error) {
	signed, _, err := split(certificate)
	if err != nil {
		return nil, nil, fmt.Errorf("svid: %w", err)
	}
	tbs, compact, err := cut(signed)
	if err != nil {
		return nil, nil, fmt.Errorf("svid: %w", err)
	}
	if entry, err = proof.Frame(proof.X509SVID, tbs); err != nil {
		return nil, nil, fmt.Errorf("svid: %w", err)
	}
	return entry, compact, nil
}
