package witness

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"plastron/log/proof"
)

// infoType is the Content-Type of where a mirror stands.
const infoType = "text/x.tlog.mirror-info"

const (
	maxTicket = 1<<16 - 1
	maxInfo   = 256 + maxTicket*4/3
)

// An upload is the head of an add-entries request: the entries [start, end) of a
// log, or as many packages of them from the first on as follow.
type upload struct {
	origin     string
	start, end uint64
	ticket     []byte
}

func (u upload) marshal() []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(u.origin)))
	b = append(b, u.origin...)
	b = binary.BigEndian.AppendUint64(b, u.start)
	b = binary.BigEndian.AppendUint64(b, u.end)
	b = binary.BigEndian.AppendUint16(b, uint16(len(u.ticket)))
	return append(b, u.ticket...)
}

// readUpload reads the head. It allocates no more than arrives.
func readUpload(r *bufio.Reader) (u upload, err error) {
	origin, err := readShort(r)
	if err != nil {
		return u, fmt.Errorf("origin: %w", err)
	}
	u.origin = string(origin)
	for _, p := range []*uint64{&u.start, &u.end} {
		var b [8]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return u, fmt.Errorf("start and end: %w", err)
		}
		if *p = binary.BigEndian.Uint64(b[:]); *p > proof.MaxSize {
			return u, fmt.Errorf("index %d is more than %d", *p, uint64(proof.MaxSize))
		}
	}
	if u.start > u.end {
		return u, fmt.Errorf("start %d is after end %d", u.start, u.end)
	}
	if u.ticket, err = readShort(r); err != nil {
		return u, fmt.Errorf("ticket: %w", err)
	}
	return u, nil
}

// readShort reads what has its length in two bytes before it.
func readShort(r *bufio.Reader) ([]byte, error) {
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(n[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

// A pack is an entry package: entries [first, first+len) of one bundle, and the
// proof that the subtree from the bundle's first entry to their end is part of
// the checkpoint.
type pack struct {
	first   uint64
	entries [][]byte
	hashes  []proof.Hash
}

func (p pack) base() uint64 { return p.first &^ (proof.TileWidth - 1) }
func (p pack) end() uint64  { return p.first + uint64(len(p.entries)) }

// packEnd returns where the package that begins at first ends.
func (u upload) packEnd(first uint64) uint64 {
	return min(u.end, first&^(proof.TileWidth-1)+proof.TileWidth)
}

func (p pack) append(b []byte) []byte {
	for _, e := range p.entries {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(e))), e...)
	}
	b = append(b, byte(len(p.hashes)))
	for _, h := range p.hashes {
		b = append(b, h[:]...)
	}
	return b
}

// readPack reads the package of the entries [first, end).
func readPack(r *bufio.Reader, first, end uint64) (p pack, err error) {
	p.first = first
	for range end - first {
		e, err := readShort(r)
		if err != nil {
			return p, fmt.Errorf("entry %d: %w", p.end(), err)
		}
		p.entries = append(p.entries, e)
	}
	n, err := r.ReadByte()
	if err != nil {
		return p, fmt.Errorf("proof: %w", err)
	}
	if n > maxHashes {
		return p, fmt.Errorf("%w: %d hashes: more than %d", errMalformed, n, maxHashes)
	}
	p.hashes = make([]proof.Hash, n)
	for i := range p.hashes {
		if _, err := io.ReadFull(r, p.hashes[i][:]); err != nil {
			return p, fmt.Errorf("proof: %w", err)
		}
	}
	return p, nil
}

var errMalformed = errors.New("malformed package")

// info is where a mirror stands: the size of a checkpoint up to which it takes
// entries, the first entry it lacks, and a ticket to bring back.
type info struct {
	size, next uint64
	ticket     []byte
}

func (i info) marshal() []byte {
	return fmt.Appendf(nil, "%d\n%d\n%s\n", i.size, i.next, base64.StdEncoding.EncodeToString(i.ticket))
}

func parseInfo(b []byte) (i info, err error) {
	lines := bytes.Split(b, []byte("\n"))
	if len(lines) != 4 || len(lines[3]) > 0 || len(b) > maxInfo {
		return i, errors.New("want three lines: size, next entry, ticket")
	}
	if i.size, err = parseSize(string(lines[0])); err != nil {
		return i, err
	}
	if i.next, err = parseSize(string(lines[1])); err != nil {
		return i, err
	}
	i.ticket, err = base64.StdEncoding.DecodeString(string(lines[2]))
	if err != nil || len(i.ticket) > maxTicket || base64.StdEncoding.EncodeToString(i.ticket) != string(lines[2]) {
		return i, errors.New("ticket is not canonical base64, or too long")
	}
	return i, nil
}
