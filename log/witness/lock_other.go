//go:build !unix

package witness

import (
	"errors"
	"os"
)

func lockDir(string) (*os.File, error) {
	return nil, errors.New("running a witness is supported on unix only")
}
