package witness

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"time"

	"plastron/log/proof"
)

// Pace of a push.
const (
	// PushTimeout is how long a client takes over one checkpoint with a mirror,
	// which may lack entries. What has been pushed by then stays pushed.
	PushTimeout = 10 * time.Minute
	// uploadTimeout bounds one upload.
	uploadTimeout = time.Minute
	// An upload has at most 32 packages (C2SP tlog-mirror), and ends after the
	// one with which it is so long. Above minGzip it is compressed.
	maxPacks    = 32
	uploadBytes = 8 << 20
	minGzip     = 64 << 10
)

// A Source is where a client that pushes to a mirror takes the log from.
type Source struct {
	Entries func(ctx context.Context, from, to uint64) iter.Seq2[[]byte, error] // [from, to), in order
	Subtree func(start, end, size uint64) ([]proof.Hash, error)                 // as [proof.Subtree] builds it
}

// Mirror says that the witness is a mirror: it cosigns a checkpoint once it has
// the entries, which the client pushes from src. It is for whoever made the
// client to call, before it is used.
func (c *Client) Mirror(src Source) { c.source = &src }

// Patience returns how long Cosign may usefully take.
func (c *Client) Patience() time.Duration {
	if c.source != nil {
		return PushTimeout
	}
	return Timeout
}

// push uploads what the mirror lacks of the tree of s, which is pending there,
// until it cosigns. Every request moves it forward, or is one of the last.
func (c *Client) push(ctx context.Context, s submission) ([]proof.Cosignature, error) {
	u := upload{origin: s.checkpoint.Origin, end: s.checkpoint.Size}
	if !c.asked { // an upload of nothing tells where it is
		at, _, _, err := c.upload(ctx, s, upload{origin: u.origin})
		if err != nil {
			return nil, err
		}
		c.mirrored, c.asked = at.next, true
	}
	u.start = min(c.mirrored, u.end)
	for conflicts := 0; conflicts < 3; {
		at, conflict, lines, err := c.upload(ctx, s, u)
		if err != nil {
			return nil, err
		}
		if lines != nil {
			c.mirrored = max(c.mirrored, u.end)
			return lines, nil
		}
		c.mirrored = at.next
		switch {
		case at.size > u.end:
			return nil, fmt.Errorf("mirror is past size %d: it takes entries up to %d", u.end, at.size)
		case at.size < u.end:
			return nil, fmt.Errorf("%w: takes entries up to %d, after it was given the checkpoint of size %d", ErrFaulty, at.size, u.end)
		case conflict:
			conflicts++
		case at.next <= u.start:
			return nil, fmt.Errorf("%w: took entries from %d on, and still lacks entry %d", ErrFaulty, u.start, at.next)
		}
		u.start, u.ticket = min(at.next, u.end), at.ticket
	}
	return nil, fmt.Errorf("%w: conflict after conflict, the last over entry %d", ErrFaulty, u.start)
}

// upload sends one add-entries request. It returns cosignatures, or where the
// mirror is, and whether that was in conflict with the request.
func (c *Client) upload(ctx context.Context, s submission, u upload) (at info, conflict bool, lines []proof.Cosignature, err error) {
	body, err := c.pack(ctx, u)
	if err != nil {
		return at, false, nil, err
	}
	status, contentType, answer, err := c.do(ctx, uploadTimeout, http.MethodPost, "add-entries", body, maxInfo)
	switch {
	case err != nil:
		return at, false, nil, err
	case status == http.StatusOK && u.end == s.checkpoint.Size:
		if lines, err = c.policy.OpenCosignatures(s.checkpoint, answer, c.names...); err != nil {
			err = fmt.Errorf("%w: %w", ErrFaulty, err)
		}
		return at, false, lines, err
	case status == http.StatusConflict, status == http.StatusAccepted:
		if at, err = parseInfo(answer); err != nil || contentType != infoType {
			err = fmt.Errorf("%w: add-entries: status %d, %q, %.60q", ErrFaulty, status, contentType, answer)
		}
		return at, status == http.StatusConflict, nil, err
	}
	return at, false, nil, fmt.Errorf("add-entries: status %d: %.200q", status, answer)
}

// pack returns the body of an upload: the first packages of it.
func (c *Client) pack(ctx context.Context, u upload) ([]byte, error) {
	b := u.marshal()
	next, stop := iter.Pull2(c.source.Entries(ctx, u.start, min(u.end, u.start+maxPacks*proof.TileWidth)))
	defer stop()
	for n, first := 0, u.start; first < u.end && n < maxPacks && len(b) < uploadBytes; n++ {
		p := pack{first: first}
		for p.end() < u.packEnd(first) {
			e, err, ok := next()
			if !ok {
				err = errors.New("there are no more")
			}
			if err != nil {
				return nil, fmt.Errorf("entry %d for the mirror: %w", p.end(), err)
			}
			p.entries = append(p.entries, bytes.Clone(e))
		}
		var err error
		if p.hashes, err = c.source.Subtree(p.base(), p.end(), u.end); err != nil {
			return nil, err
		}
		b, first = p.append(b), p.end()
	}
	return b, nil
}

func compress(b []byte) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		panic("witness: internal error: " + err.Error())
	}
	z.Write(b) // to memory
	z.Close()
	return out.Bytes()
}

// held asks a mirror for the newest checkpoint it was given, and one that does
// not tell, being no plastron, for the newest it cosigned.
func (c *Client) held(ctx context.Context) (proof.Checkpoint, []byte, error) {
	if c.source != nil {
		p, note, err := c.get(ctx, pendingPath(c.policy.Origin()))
		if !errors.Is(err, fs.ErrNotExist) {
			return p, note, err
		}
	}
	return c.get(ctx, logPath(c.policy.Origin()))
}
