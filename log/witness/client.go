package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"plastron/log/proof"
)

// Timeout is how long a client waits for one answer of a witness.
const Timeout = 5 * time.Second

// maxAnswer bounds the answer to add-checkpoint in bytes: it holds four
// ML-DSA-44 cosignatures.
const maxAnswer = 1 << 14

// ErrFaulty is what a witness is refused with that answers against the
// protocol, or claims of our log what it cannot show. Its word counts for
// nothing; the log may go on without it.
var ErrFaulty = errors.New("faulty witness")

// An AheadError says that a witness showed a checkpoint, signed by our log's
// key, that the one we asked it to cosign does not extend: we were rolled back
// or forked. Nothing may be signed from here.
type AheadError struct {
	Witness string // its name in the policy
	Size    uint64 // of the witness's checkpoint
	Note    []byte // signed by our log, verified
}

func (e *AheadError) Error() string {
	return fmt.Sprintf("witness %s holds our checkpoint of size %d, which ours does not extend: this log was rolled back or forked", e.Witness, e.Size)
}

// A Client asks one witness to cosign one log's checkpoints. A witness may have
// several keys, each a line of the log policy with the same URL: one answer has
// the cosignatures of all. The client has one request in flight and remembers
// the size the witness cosigned last. It is safe for concurrent use.
type Client struct {
	policy  *proof.Policy
	witness proof.Witness
	keys    []proof.Witness // the policy's lines with that URL
	names   []string        // of keys
	http    *http.Client

	turn  chan struct{} // holds one token; whoever has it may use what follows
	size  uint64        // the witness cosigned last, as far as we heard
	heard bool          // size is the witness's word, not the caller's guess
	sent  uint64        // largest size this client asked for

	source   *Source // nil: the witness is no mirror; otherwise what it is fed from
	mirrored uint64  // the first entry the mirror lacks, by its word
	asked    bool    // mirrored is its word
}

// NewClient returns a client of the policy's log for a witness of the policy
// that has a URL, and for all others of that URL. If hc is nil it makes a client that keeps connections alive;
// of hc it uses a copy that follows no redirects.
func NewClient(p *proof.Policy, w proof.Witness, hc *http.Client) (*Client, error) {
	if p == nil || p.Origin() == "" {
		return nil, errors.New("witness client: zero log policy")
	}
	if !slices.Contains(p.Witnesses(), w) || w.URL == "" {
		return nil, fmt.Errorf("witness client: the log policy has no witness %q with a URL", w.Name)
	}
	at := strings.TrimRight(w.URL, "/")
	c := &Client{policy: p, witness: w, turn: make(chan struct{}, 1)}
	c.witness.URL = at
	for _, k := range p.Witnesses() {
		if strings.TrimRight(k.URL, "/") == at {
			k.URL = at
			c.keys, c.names = append(c.keys, k), append(c.names, k.Name)
		}
	}
	if hc == nil {
		hc = &http.Client{Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			MaxConnsPerHost:        2,
			IdleConnTimeout:        2 * time.Minute,
			MaxResponseHeaderBytes: maxAnswer,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
		}}
	}
	own := *hc
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &own
	c.turn <- struct{}{}
	return c, nil
}

// Witness returns the witness the client was made for.
func (c *Client) Witness() proof.Witness { return c.witness }

// Witnesses returns the lines of the log policy that the client asks for: those
// of its witness's URL.
func (c *Client) Witnesses() []proof.Witness { return slices.Clone(c.keys) }

// Cosign asks for cosignatures of a signed note of our log and returns what came
// once it has verified it: at least one, at most one for each of Witnesses. old is the size the witness cosigned last as
// far as the caller knows, 0 if it does not; the client goes by what it heard
// from the witness itself. consistency returns the proof between two sizes.
//
// A mirror ([Client.Mirror]) is pushed what it lacks in between.
//
// A witness behind what we thought is given a proof from where it is, once. A
// witness ahead of us makes an [*AheadError] if it shows the checkpoint with
// our signature, and [ErrFaulty] otherwise. A checkpoint smaller than one this
// client sent before is an error of the caller, and not sent.
func (c *Client) Cosign(ctx context.Context, old uint64, consistency func(from, to uint64) ([]proof.Hash, error), signed []byte) (lines []proof.Cosignature, err error) {
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, c.fail(ctx.Err())
	}
	s := submission{consistency: consistency}
	if s.checkpoint, s.note, err = c.policy.Bare(signed); err != nil {
		return nil, c.fail(err)
	}
	// A request that got no answer may have been taken, too.
	if s.checkpoint.Size < c.sent {
		return nil, c.fail(fmt.Errorf("checkpoint of size %d after one of size %d", s.checkpoint.Size, c.sent))
	}
	c.sent = s.checkpoint.Size
	if c.heard {
		old = c.size
	}
	if lines, err = c.submit(ctx, s, old); err != nil {
		return nil, c.fail(err)
	}
	c.size, c.heard = s.checkpoint.Size, true
	if c.source == nil {
		return lines, nil
	}
	if lines, err = c.push(ctx, s); err != nil {
		return nil, c.fail(err)
	}
	return lines, nil
}

func (c *Client) fail(err error) error { return fmt.Errorf("witness %s: %w", c.witness.Name, err) }

// A submission is what the client wants cosigned.
type submission struct {
	checkpoint  proof.Checkpoint
	note        []byte // with the log's signature only
	consistency func(from, to uint64) ([]proof.Hash, error)
}

// submit asks at most twice.
func (c *Client) submit(ctx context.Context, s submission, old uint64) ([]proof.Cosignature, error) {
	ours := s.checkpoint.Size
	lines, theirs, err := c.post(ctx, s, min(old, ours))
	if lines != nil || err != nil {
		return lines, err
	}
	c.size, c.heard = theirs, true
	if theirs > ours {
		return nil, c.judge(ctx, s)
	}
	lines, again, err := c.post(ctx, s, theirs)
	if lines != nil || err != nil {
		return lines, err
	}
	return nil, fmt.Errorf("%w: cosigned size %d last by its word, then size %d", ErrFaulty, theirs, again)
}

// post sends the checkpoint with a proof from old. It returns verified lines,
// or the size the witness says it cosigned last instead of old.
func (c *Client) post(ctx context.Context, s submission, old uint64) (lines []proof.Cosignature, theirs uint64, err error) {
	hashes, err := s.consistency(old, s.checkpoint.Size)
	if err != nil {
		return nil, 0, fmt.Errorf("consistency proof from %d to %d: %w", old, s.checkpoint.Size, err)
	}
	status, contentType, answer, err := c.do(ctx, Timeout, http.MethodPost, "add-checkpoint", request{old, hashes, s.note}.marshal(), maxAnswer)
	if err != nil {
		return nil, 0, err
	}
	switch status {
	case http.StatusOK:
		if c.source != nil { // its key signs when it has the entries
			return []proof.Cosignature{}, 0, nil
		}
		lines, err := c.policy.OpenCosignatures(s.checkpoint, answer, c.names...)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %w", ErrFaulty, err)
		}
		return lines, 0, nil
	case http.StatusConflict:
		theirs, err := parseSize(strings.TrimSuffix(string(answer), "\n"))
		if err != nil || contentType != sizeType || !bytes.HasSuffix(answer, []byte("\n")) || theirs == old {
			return nil, 0, fmt.Errorf("%w: conflict with old size %d: %q, %.30q", ErrFaulty, old, contentType, answer)
		}
		return nil, theirs, nil
	case http.StatusUnprocessableEntity:
		return nil, 0, c.judge(ctx, s)
	}
	return nil, 0, fmt.Errorf("add-checkpoint: status %d: %.200q", status, answer)
}

// judge answers a witness that will not cosign because of what it holds: is it
// a checkpoint of ours, and does ours not extend it?
func (c *Client) judge(ctx context.Context, s submission) error {
	held, note, err := c.held(ctx)
	if err != nil {
		return fmt.Errorf("%w: will not cosign size %d and does not show why: %w", ErrFaulty, s.checkpoint.Size, err)
	}
	ahead := &AheadError{c.witness.Name, held.Size, note}
	if held.Size > s.checkpoint.Size {
		return ahead
	}
	hashes, err := s.consistency(held.Size, s.checkpoint.Size)
	if err != nil {
		return fmt.Errorf("consistency proof from %d to %d: %w", held.Size, s.checkpoint.Size, err)
	}
	if proof.VerifyConsistency(held.Size, s.checkpoint.Size, hashes, held.Root, s.checkpoint.Root) != nil {
		return ahead
	}
	return fmt.Errorf("%w: will not cosign size %d, which extends the size %d it shows", ErrFaulty, s.checkpoint.Size, held.Size)
}

// Latest returns the checkpoint of our log that the witness cosigned last, or as
// a mirror was given last, by its own word: its size, and the note, which bears our log's signature and is
// verified. It is an error that is [fs.ErrNotExist] if the witness has none.
func (c *Client) Latest(ctx context.Context) (size uint64, note []byte, err error) {
	held, note, err := c.held(ctx)
	if err != nil {
		return 0, nil, c.fail(err)
	}
	return held.Size, note, nil
}

func (c *Client) get(ctx context.Context, path string) (proof.Checkpoint, []byte, error) {
	status, _, note, err := c.do(ctx, Timeout, http.MethodGet, path, nil, proof.MaxNote)
	switch {
	case err != nil:
		return proof.Checkpoint{}, nil, err
	case status == http.StatusNotFound:
		return proof.Checkpoint{}, nil, fmt.Errorf("latest checkpoint: %w", fs.ErrNotExist)
	case status != http.StatusOK:
		return proof.Checkpoint{}, nil, fmt.Errorf("latest checkpoint: status %d", status)
	}
	held, err := c.policy.OpenSigned(note)
	return held, note, err
}

// do sends one request and reads the whole of an answer of at most limit
// bytes, so that the connection can be used again.
func (c *Client) do(ctx context.Context, most time.Duration, method, path string, body []byte, limit int) (status int, contentType string, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	zipped := path == "add-entries" && len(body) > minGzip
	if zipped {
		body = compress(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.witness.URL+"/"+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	if path == "add-entries" {
		req.Header.Set("Content-Type", "application/octet-stream")
		if zipped {
			req.Header.Set("Content-Encoding", "gzip")
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if err == nil && len(answer) > limit {
		err = fmt.Errorf("%w: answer longer than %d bytes", ErrFaulty, limit)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), answer, err
}
