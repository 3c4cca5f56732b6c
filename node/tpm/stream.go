package tpm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// maxFrame is the longest TPM command or response, in bytes.
const maxFrame = 4096

// commandTimeout is how long a TPM on a socket may take for one command. Making
// an RSA key takes a slow chip half a minute.
const commandTimeout = 2 * time.Minute

// A stream speaks raw TPM commands: each frame begins with a tag of 2 bytes and
// its own length of 4, big-endian. The kernel's device files hand out a response
// by one read; the buffer is large enough for it.
type stream struct {
	rwc io.ReadWriteCloser
	in  *bufio.Reader
}

// dial opens "/dev/…", "unix:PATH" or "tcp:HOST:PORT".
func dial(address string) (*stream, error) {
	rwc, err := dialRaw(address)
	if err != nil {
		return nil, fmt.Errorf("open TPM %q: %w", address, err)
	}
	return &stream{rwc, bufio.NewReaderSize(rwc, maxFrame)}, nil
}

func dialRaw(address string) (io.ReadWriteCloser, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return net.Dial("unix", path)
	}
	if hostport, ok := strings.CutPrefix(address, "tcp:"); ok {
		return net.Dial("tcp", hostport)
	}
	// A command written into a plain file would overwrite it.
	if info, err := os.Stat(address); err != nil {
		return nil, err
	} else if info.Mode()&os.ModeDevice == 0 {
		return nil, fmt.Errorf("not a device (%v): want /dev/tpmrm0, unix:PATH or tcp:HOST:PORT", info.Mode())
	}
	return os.OpenFile(address, os.O_RDWR, 0)
}

// Send sends a command and returns the TPM's response. After an error nothing
// more is sent: a response that comes late would be taken for the next one's.
func (s *stream) Send(command []byte) ([]byte, error) {
	response, err := s.exchange(command)
	if err != nil {
		s.rwc.Close()
		return nil, fmt.Errorf("TPM command: %w", err)
	}
	return response, nil
}

func (s *stream) exchange(command []byte) ([]byte, error) {
	if c, ok := s.rwc.(net.Conn); ok {
		if err := c.SetDeadline(time.Now().Add(commandTimeout)); err != nil {
			return nil, err
		}
	}
	if _, err := s.rwc.Write(command); err != nil {
		return nil, err
	}
	return readFrame(s.in)
}

func (s *stream) Close() error { return s.rwc.Close() }

// readFrame reads one response.
func readFrame(r io.Reader) ([]byte, error) {
	var header [10]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	n := binary.BigEndian.Uint32(header[2:])
	if n < uint32(len(header)) || n > maxFrame {
		return nil, fmt.Errorf("response of %d bytes, want %d to %d", n, len(header), maxFrame)
	}
	frame := append(make([]byte, 0, n), header[:]...)[:n]
	if _, err := io.ReadFull(r, frame[len(header):]); err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	return frame, nil
}
