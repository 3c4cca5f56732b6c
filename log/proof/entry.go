package proof

import "fmt"

// A Kind says what the body of a log entry is.
type Kind byte

const (
	X509SVID  Kind = 1 // DER TBSCertificate, whole, but for the log-proof extension
	JWTSVID   Kind = 2 // reserved
	Statement Kind = 3 // in-toto Statement v1, JSON
)

// String returns the kind's name in errors and listings.
func (k Kind) String() string {
	switch k {
	case X509SVID:
		return "x509-svid"
	case JWTSVID:
		return "jwt-svid"
	case Statement:
		return "statement"
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// MaxEntry is the longest log entry in bytes, framing included: an entry
// bundle counts an entry's bytes in 16 bits (C2SP tlog-tiles).
const MaxEntry = 65535

const (
	entryVersion = 1
	framing      = 2 // version, kind
)

// Frame returns the log entry for a body: version (1) || kind || body.
// It refuses kinds it does not know, an empty body, and a body that makes the
// entry longer than [MaxEntry].
func Frame(k Kind, body []byte) ([]byte, error) {
	entry := make([]byte, 0, framing+len(body))
	entry = append(append(entry, entryVersion, byte(k)), body...)
	if _, _, err := Unframe(entry); err != nil {
		return nil, err
	}
	return entry, nil
}

// Unframe splits a log entry into its kind and its body, which shares memory
// with entry. It refuses whatever [Frame] would not have written.
func Unframe(entry []byte) (Kind, []byte, error) {
	if len(entry) > MaxEntry {
		return 0, nil, fmt.Errorf("log entry of %d bytes: longer than %d", len(entry), MaxEntry)
	}
	if len(entry) <= framing {
		return 0, nil, fmt.Errorf("log entry of %d bytes: no body", len(entry))
	}
	if entry[0] != entryVersion {
		return 0, nil, fmt.Errorf("log entry: version %d, want %d", entry[0], entryVersion)
	}
	switch k := Kind(entry[1]); k {
	case X509SVID, JWTSVID, Statement:
		return k, entry[framing:], nil
	default:
		return 0, nil, fmt.Errorf("log entry: unknown %v", k)
	}
}
