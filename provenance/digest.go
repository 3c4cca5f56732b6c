package provenance

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// A Digest names an artifact by the hash of its bytes. Only algorithms that
// nobody can find collisions for are known, and only at full length.
type Digest struct {
	Algorithm string // "sha256" or "sha512"
	Hex       string // lower case, 64 or 128 digits
}

// digestLen gives the length in hexadecimal digits of each algorithm that may
// name an artifact. SHA-1 and MD5 are absent on purpose.
var digestLen = map[string]int{"sha256": 64, "sha512": 128}

// ParseDigest reads "sha256:…" or "sha512:…" in lower-case hexadecimal at full
// length; anything else is refused.
func ParseDigest(s string) (Digest, error) {
	algorithm, digits, found := strings.Cut(s, ":")
	d := Digest{Algorithm: algorithm, Hex: digits}
	if !found {
		return Digest{}, fmt.Errorf("digest %.160q: want algorithm:hex, as in sha256:…", s)
	}
	if err := d.check(); err != nil {
		return Digest{}, err
	}
	return d, nil
}

// String is the form that ParseDigest reads. The zero Digest is "".
func (d Digest) String() string {
	if d == (Digest{}) {
		return ""
	}
	return d.Algorithm + ":" + d.Hex
}

// check refuses a digest that does not name one artifact: unknown or weak
// algorithm, shortened, upper case, not hexadecimal.
func (d Digest) check() error {
	want, known := digestLen[d.Algorithm]
	if !known {
		return fmt.Errorf("digest algorithm %.32q: want sha256 or sha512", d.Algorithm)
	}
	if len(d.Hex) != want {
		return fmt.Errorf("%s digest of %d digits, want %d", d.Algorithm, len(d.Hex), want)
	}
	if !isHex(d.Hex) {
		return fmt.Errorf("%s digest is not lower-case hexadecimal", d.Algorithm)
	}
	return nil
}

// bytes are the digest's bytes; d has passed check.
func (d Digest) bytes() []byte {
	b, err := hex.DecodeString(d.Hex)
	if err != nil {
		panic("provenance: internal error: unchecked digest")
	}
	return b
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
