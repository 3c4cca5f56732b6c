package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"plastron/log/proof"
)

// A Monitor follows one log: it verifies what the log adds, holds the log to
// what its witnesses have cosigned, and tells which entries are of interest.
//
// It is told nothing that it believes. A checkpoint counts once it meets the
// policy and extends the one before; entries, once the root over them is one
// that the newest checkpoint was proven to extend. Only then are their conditions
// checked and are they compared with the rules.
//
// What was read is in State, so that a restart goes on where it was: no match is
// left out, and none is delivered twice, but for the at most hundred of one
// delivery under way when the process was killed. Receivers know these by origin
// and index.
type Monitor struct {
	Log       *Reader
	Policy    *proof.Policy
	Witnesses []Holder // who is asked what the log has had cosigned
	Interests []Interest
	State     string        // file
	Every     time.Duration // between two looks
	Within    time.Duration // how long the log may not serve what was cosigned

	// Deliver is told matches in the order of the log, at most a hundred at
	// once. After an error it is told them again, at the next look.
	Deliver func(context.Context, []Match) error

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default none

	seen *watched // nil: to be read from State
}

// A Holder shows a checkpoint of the log that its witness cosigned
// ([plastron/log/witness.Client]). Its note is verified; that there is none, it
// says by fs.ErrNotExist.
type Holder interface {
	Witness() proof.Witness
	Latest(context.Context) (size uint64, note []byte, err error)
}

// ErrNotYet says that the log shows less than it has signed, and may do so for a
// while longer.
var ErrNotYet = errors.New("the log does not show yet what it has signed")

// Run looks at the log until ctx ends, or until the log misbehaves. Whatever
// else fails is logged, and tried again.
func (m *Monitor) Run(ctx context.Context) error {
	for {
		_, err := m.Look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrMisbehaved):
			return err
		case err != nil:
			m.logger().Warn("the log could not be followed; trying again", "err", err, "after", m.Every)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(m.Every):
		}
	}
}

// Look asks witnesses and log once, verifies what is new and delivers what
// matches. It returns how many did.
func (m *Monitor) Look(ctx context.Context) (matches int, err error) {
	if m.seen == nil {
		if m.seen, err = loadWatched(m.State, m.Policy); err != nil {
			return 0, err
		}
	}
	// After an error half a step may be in memory: what is on disk is whole.
	defer func() {
		if err != nil {
			m.seen = nil
		}
	}()
	// Witnesses first: what they show, the log has shown before, or soon will.
	m.hear(ctx)
	note, err := m.Log.Checkpoint(ctx)
	if err != nil {
		return 0, err
	}
	c, err := m.Policy.OpenPublished(note)
	if err != nil {
		return 0, misbehaved("checkpoint: %w", err)
	}
	if err := m.hold(ctx, c); err != nil {
		return 0, err
	}
	return m.follow(ctx, c)
}

// hear asks each witness for the newest checkpoint that it cosigned, unless an
// older one of it is still to be served.
func (m *Monitor) hear(ctx context.Context) {
	for _, h := range m.Witnesses {
		name := h.Witness().Name
		if slices.ContainsFunc(m.seen.Claims, func(c shownBy) bool { return c.Witness == name }) {
			continue
		}
		_, note, err := h.Latest(ctx)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			m.logger().Warn("a witness does not show what it cosigned", "witness", name, "err", err)
		default:
			m.seen.Claims = append(m.seen.Claims, shownBy{name, string(note), m.now()})
		}
	}
}

// hold holds the log to every checkpoint that anybody has of it: the one it
// shows must extend them, or be about to.
func (m *Monitor) hold(ctx context.Context, c *proof.Cosigned) error {
	own := shownBy{"", m.seen.Checkpoint, m.seen.Behind}
	if own.Since.IsZero() {
		own.Since = m.now()
	}
	var left []shownBy
	for _, claim := range m.seen.Claims {
		served, err := m.served(ctx, claim, c)
		if err != nil {
			return err
		}
		if !served {
			left = append(left, claim)
		}
	}
	served := true
	if own.Note != "" {
		var err error
		if served, err = m.served(ctx, own, c); err != nil {
			return err
		}
	}
	changed := len(left) != len(m.seen.Claims) || len(left) > 0 || !served
	m.seen.Claims, m.seen.Behind = left, time.Time{}
	if !served {
		m.seen.Behind = own.Since
	}
	if m.seen.Checkpoint == "" {
		m.seen.Checkpoint = string(c.Note())
	}
	if changed {
		// From here a restart knows since when the log owes them.
		if err := m.seen.save(m.State); err != nil {
			return err
		}
	}
	if !served {
		return fmt.Errorf("%w: it shows size %d, less than before", ErrNotYet, c.Checkpoint().Size)
	}
	return nil
}

// served says whether the log's checkpoint extends one that somebody has; false
// if it is too short to, and the time for that is not over.
func (m *Monitor) served(ctx context.Context, claim shownBy, c *proof.Cosigned) (bool, error) {
	was, err := m.Policy.OpenSigned([]byte(claim.Note))
	if err != nil {
		return false, err
	}
	holder := "witness " + claim.Witness
	if claim.Witness == "" {
		holder = "this monitor"
	}
	now := c.Checkpoint()
	if was.Size <= now.Size {
		if err := extends(ctx, m.Log, was, now); err != nil {
			return false, convict(ctx, m.Log, m.Policy, []byte(claim.Note), c.Note(), fmt.Errorf("%s holds another history: %w", holder, err))
		}
		return true, nil
	}
	if owed := m.now().Sub(claim.Since); owed >= m.Within {
		finding := misbehaved("%s holds its signature over size %d, but for %s it has shown no more than size %d", holder, was.Size, owed.Round(time.Second), now.Size)
		return false, convict(ctx, m.Log, m.Policy, []byte(claim.Note), c.Note(), finding)
	}
	m.logger().Warn("the log is behind what it signed", "holder", holder, "size", was.Size, "shown", now.Size)
	return false, nil
}

// follow reads the entries up to a checkpoint that extends all that was seen.
func (m *Monitor) follow(ctx context.Context, c *proof.Cosigned) (matches int, err error) {
	m.seen.Checkpoint = string(c.Note())
	tiles := proof.NewCache(m.Log, 0)
	for m.seen.Size < c.Checkpoint().Size {
		n, err := m.step(ctx, c.Checkpoint(), tiles)
		matches += n
		if err != nil {
			return matches, err
		}
	}
	return matches, nil
}

// stepSize is how many entries are verified, and held in memory, at once.
const stepSize = 16 * 256

// step reads the next entries, proves that the tree over them is the beginning
// of the checkpoint's, audits them, and delivers those of interest.
func (m *Monitor) step(ctx context.Context, now proof.Checkpoint, tiles *proof.Cache) (int, error) {
	from := m.seen.Size
	to := min(now.Size, (from/stepSize+1)*stepSize)
	tree, err := proof.OpenRange(from, m.seen.tree.Hashes())
	if err != nil {
		return 0, err
	}
	entries, err := readRange(ctx, m.Log, from, to)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		tree.Append(e.leaf, nil)
	}
	hashes, err := proof.Consistency(ctx, tiles, to, now.Size)
	if err != nil {
		return 0, err
	}
	if err := proof.VerifyConsistency(to, now.Size, hashes, tree.Root(), now.Root); err != nil {
		return 0, misbehaved("entries %d to %d are not those that it signed: %w", from, to-1, err)
	}
	var found []Match
	for i, e := range entries {
		index := from + uint64(i)
		if err := m.seen.entry(index, e); err != nil {
			return 0, misbehaved("entry %d: %w", index, err)
		}
		if x, ok := match(now.Origin, index, e, m.Interests); ok && index >= m.seen.Delivered {
			found = append(found, x)
		}
	}
	if err := m.deliver(ctx, found); err != nil {
		return 0, err
	}
	return len(found), m.seen.commit(m.State, tree)
}

// readRange reads the entries [from, to); to is a whole number of bundles, or
// the size of the log.
func readRange(ctx context.Context, r *Reader, from, to uint64) (entries []entry, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	skip := from % 256
	for b := range readAhead(ctx, r, from/256, to) {
		read := <-b
		if read.err != nil {
			return nil, read.err
		}
		entries = append(entries, read.entries[skip:]...)
		skip = 0
	}
	return entries, ctx.Err()
}

// deliver hands matches on, and remembers after each delivery that it was made.
func (m *Monitor) deliver(ctx context.Context, found []Match) error {
	for some := range slices.Chunk(found, 100) {
		if err := m.Deliver(ctx, some); err != nil {
			return fmt.Errorf("deliver matches from entry %d on: %w", some[0].Index, err)
		}
		m.seen.Delivered = some[len(some)-1].Index + 1
		if err := m.seen.save(m.State); err != nil {
			return err
		}
	}
	return nil
}

// Size returns how many entries were verified so far.
func (m *Monitor) Size() uint64 {
	if m.seen == nil {
		return 0
	}
	return m.seen.Size
}

func (m *Monitor) now() time.Time {
	if m.Now == nil {
		return time.Now()
	}
	return m.Now()
}

func (m *Monitor) logger() *slog.Logger {
	if m.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.Logger
}
