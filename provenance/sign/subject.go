package sign

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"

	"plastron/provenance"
)

// A Subject is one artifact that a statement speaks of.
type Subject struct {
	Name    string
	Digests []provenance.Digest // at least one, each algorithm once
}

// FileSubject hashes a file with SHA-256 and SHA-512 and names it by its base
// name.
func FileSubject(path string) (Subject, error) {
	f, err := os.Open(path)
	if err != nil {
		return Subject{}, err
	}
	defer f.Close()
	short, long := sha256.New(), sha512.New()
	if _, err := io.Copy(io.MultiWriter(short, long), f); err != nil {
		return Subject{}, err
	}
	return Subject{Name: filepath.Base(path), Digests: []provenance.Digest{
		{Algorithm: "sha256", Hex: hex.EncodeToString(short.Sum(nil))},
		{Algorithm: "sha512", Hex: hex.EncodeToString(long.Sum(nil))},
	}}, nil
}

func (s *Subject) check() error {
	if len(s.Digests) == 0 {
		return errors.New("no digest")
	}
	seen := make(map[string]bool)
	for _, d := range s.Digests {
		if _, err := provenance.ParseDigest(d.String()); err != nil {
			return err
		}
		if seen[d.Algorithm] {
			return errors.New("two " + d.Algorithm + " digests")
		}
		seen[d.Algorithm] = true
	}
	return nil
}
