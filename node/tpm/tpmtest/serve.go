package tpmtest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
)

// Serve answers raw TPM commands on connections to l, as swtpm's socket does and
// with slots of its own for each, as /dev/tpmrm0 does: what a client leaves
// loaded is gone when it hangs up. It returns after l is closed, nil then, and
// hangs up on everybody first.
func (t *TPM) Serve(l net.Listener) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards open
		open = map[net.Conn]bool{}
	)
	for {
		conn, err := l.Accept()
		if err != nil {
			mu.Lock()
			for c := range open {
				c.Close()
			}
			mu.Unlock()
			wg.Wait()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		mu.Lock()
		open[conn] = true
		mu.Unlock()
		wg.Go(func() { // ends when the client or Serve hangs up
			newClient(t).serve(conn)
			mu.Lock()
			delete(open, conn)
			mu.Unlock()
		})
	}
}

func (c *client) serve(conn net.Conn) {
	defer conn.Close()
	for {
		command, err := readCommand(conn)
		if err != nil {
			return
		}
		if _, err := conn.Write(c.send(command)); err != nil {
			return
		}
	}
}

// readCommand reads a frame: tag u16, its own length u32, and the rest.
func readCommand(r io.Reader) ([]byte, error) {
	b := make([]byte, 10, maxCommand)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(b[2:])
	if n < 10 || n > maxCommand {
		return nil, errors.New("tpmtest: frame of impossible length")
	}
	b = b[:n]
	_, err := io.ReadFull(r, b[10:])
	return b, err
}
