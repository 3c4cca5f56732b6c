package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"plastron/log/proof"
	"plastron/log/witness"
)

// Pace of the witnesses.
const (
	// recosignEvery is how long the newest cosignatures of an idle log last.
	recosignEvery = 60 * time.Second
	// roundTimeout bounds one round; a witness that is no mirror has less
	// (witness.Timeout).
	roundTimeout = 6 * time.Second
	// roundRetry is how long to wait after a round without a quorum.
	roundRetry = time.Second
	// observeEvery is how often a witness outside the quorum is told.
	observeEvery = time.Second
)

// rounds ask the quorum's witnesses, one checkpoint after the other. Each
// witness has at most one question to answer; who is slow is asked again in
// the round that is then under way. A round ends when its quorum is met.
type rounds struct {
	clients []*witness.Client
	due     chan struct{}     // holds a token while there may be something to do
	demand  chan chan<- error // Recosign's questions
	answers chan answer       // one place for each client
	busy    map[*witness.Client]bool
	asking  atomic.Bool // a round is under way
	over    bell        // rung when it no longer is
}

// wait waits until no round is under way, or for as long as is given.
func (r *rounds) wait(most time.Duration, poisoned <-chan struct{}) {
	over := r.over.next()
	if !r.asking.Load() {
		return
	}
	enough := time.NewTimer(most)
	defer enough.Stop()
	select {
	case <-over:
	case <-enough.C:
	case <-poisoned:
	}
}

// An answer is what a witness said in a round.
type answer struct {
	client *witness.Client
	round  *round
	lines  []proof.Cosignature
	err    error
}

// A round is one checkpoint before the witnesses.
type round struct {
	size   uint64
	note   []byte          // with the log's signature only
	lines  []byte          // cosignatures that came
	heard  map[string]bool // cosigned
	failed map[string]error
}

func newRounds(clients []*witness.Client) rounds {
	return rounds{
		clients: clients,
		due:     make(chan struct{}, 1),
		demand:  make(chan chan<- error),
		answers: make(chan answer, len(clients)),
		busy:    make(map[*witness.Client]bool),
	}
}

// wake says that there is a new checkpoint.
func (r *rounds) wake() {
	select {
	case r.due <- struct{}{}:
	default:
	}
}

// witnessAll holds round after round until ctx ends: when there are entries no
// quorum has seen, when somebody asks, and when the log has been idle.
func (l *Log) witnessAll(ctx context.Context) {
	defer l.following.Done()
	idle := time.NewTimer(recosignEvery)
	defer idle.Stop()
	for {
		var asked chan<- error
		select {
		case <-l.rounds.due:
		case asked = <-l.rounds.demand:
		case <-idle.C:
		case a := <-l.rounds.answers:
			if l.late(a) != nil {
				return
			}
			continue
		case <-ctx.Done():
			return
		}
		err := l.hold(ctx)
		if asked != nil {
			asked <- err
		}
		idle.Reset(recosignEvery)
		if err != nil && err != errEmpty && !l.pause(ctx) {
			return
		}
	}
}

// pause waits before the next round after one that failed, and makes sure that
// there is a next one. It reports false if the log is at its end.
func (l *Log) pause(ctx context.Context) bool {
	select {
	case <-time.After(roundRetry):
		l.rounds.wake()
		return true
	case <-l.poisoned:
	case <-ctx.Done():
	}
	return false
}

var errEmpty = errors.New("the log is empty")

// hold holds one round over the newest checkpoint and releases what it
// covers. Without a quorum those who wait hear so, and later rounds cover
// their entries.
func (l *Log) hold(ctx context.Context) error {
	l.mu.Lock()
	note, size := l.newest, l.applied.Load()
	l.mu.Unlock()
	if size == 0 {
		return errEmpty
	}
	r := &round{size: size, note: note, heard: map[string]bool{}, failed: map[string]error{}}
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	l.rounds.asking.Store(true)
	c, err := l.ask(ctx, r)
	l.rounds.asking.Store(false)
	l.rounds.over.ring()
	switch {
	case err == nil:
		l.release(c)
	case l.life.Err() == nil: // else Close settles what is left
		l.o.Logger.Warn("no quorum of witnesses", "size", size, "err", err)
		l.settle(size, err)
	}
	return err
}

// ask returns the checkpoint of the round once its quorum is met.
func (l *Log) ask(ctx context.Context, r *round) (*proof.Cosigned, error) {
	for _, c := range l.rounds.clients {
		if !l.rounds.busy[c] {
			l.question(c, r)
		}
	}
	for l.possible(r) {
		select {
		case a := <-l.rounds.answers:
			if err := l.late(a); err != nil {
				return nil, err
			}
			if a.round != r {
				l.question(a.client, r) // it was busy with an earlier round
				continue
			}
			l.count(a)
			if l.o.Policy.Satisfied(r.heard) {
				return l.o.Policy.OpenCheckpoint(append(bytes.Clone(r.note), r.lines...))
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("%d witnesses cosigned size %d in time: %w", len(r.heard), r.size, ctx.Err())
		}
	}
	err := fmt.Errorf("%d witnesses cosigned size %d", len(r.heard), r.size)
	for _, failed := range r.failed {
		err = fmt.Errorf("%w; %w", err, failed)
	}
	return nil, err
}

// count takes an answer of this round: the cosignatures that came, and for each
// key that is waited for and has none, why.
func (l *Log) count(a answer) {
	r := a.round
	came := map[string]bool{}
	for _, c := range a.lines {
		came[c.Witness] = true
		r.lines = append(r.lines, c.Line...)
	}
	for _, w := range a.client.Witnesses() {
		switch {
		case !l.waitsFor(w):
		case came[w.Name]:
			r.heard[w.Name] = true
		case a.err != nil:
			r.failed[w.Name] = a.err
		default:
			r.failed[w.Name] = fmt.Errorf("witness %s: no cosignature by %s in its answer", a.client.Witness().Name, w.Name)
		}
	}
}

// possible reports whether the witnesses that have not failed would be a
// quorum.
func (l *Log) possible(r *round) bool {
	hope := map[string]bool{}
	for _, c := range l.rounds.clients {
		for _, w := range c.Witnesses() {
			hope[w.Name] = l.waitsFor(w) && r.failed[w.Name] == nil
		}
	}
	return l.o.Policy.Satisfied(hope)
}

// question asks a witness in a goroutine that ends with the client's patience.
// It outlives its round: a slow witness, or a mirror that has much to catch up
// with, holds nobody up.
func (l *Log) question(c *witness.Client, r *round) {
	l.rounds.busy[c] = true
	l.following.Go(func() {
		ctx, cancel := context.WithTimeout(l.life, c.Patience())
		defer cancel()
		lines, err := c.Cosign(ctx, 0, l.consistency, r.note)
		l.rounds.answers <- answer{c, r, lines, err}
	})
}

// late takes note of an answer. A witness that holds a checkpoint of ours that
// we do not extend ends the log, in or out of its round.
func (l *Log) late(a answer) error {
	l.rounds.busy[a.client] = false
	var ahead *witness.AheadError
	if errors.As(a.err, &ahead) {
		l.poison(a.err)
		return a.err
	}
	if errors.Is(a.err, witness.ErrFaulty) {
		l.o.Logger.Warn("faulty witness", "witness", a.client.Witness().Name, "err", a.err)
	}
	return nil
}

func (l *Log) consistency(from, to uint64) ([]proof.Hash, error) {
	return proof.Consistency(l.life, l.cache, from, to)
}

// Recosign has the newest checkpoint cosigned again now, so that its
// cosignature times are fresh. A log without witnesses has nothing to do.
func (l *Log) Recosign(ctx context.Context) error {
	if l.o.Policy.Unwitnessed() {
		return nil
	}
	asked := make(chan error, 1)
	select {
	case l.rounds.demand <- asked:
	case <-l.poisoned:
		return fmt.Errorf("recosign: %w", l.Err())
	case <-l.done:
		return fmt.Errorf("recosign: %w", ErrClosed)
	case <-ctx.Done():
		return fmt.Errorf("recosign: %w", ctx.Err())
	}
	select {
	case err := <-asked:
		if err != nil {
			return fmt.Errorf("recosign: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("recosign: %w", ctx.Err())
	}
}

// observe tells a witness outside the quorum of each new cosigned checkpoint,
// at most once in observeEvery, until ctx ends. Its line is published with the
// checkpoint if that is still the newest; it never counts.
func (l *Log) observe(ctx context.Context, c *witness.Client) {
	defer l.following.Done()
	var told uint64
	failing := false
	for {
		changed := l.changed.next()
		if l.covered() == told {
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
			continue
		}
		size, err := l.tell(ctx, c)
		var ahead *witness.AheadError
		switch {
		case errors.As(err, &ahead):
			l.poison(err)
			return
		case err == nil:
			told, failing = size, false
		case !failing && ctx.Err() == nil:
			failing = true
			l.o.Logger.Warn("witness outside the quorum", "witness", c.Witness().Name, "err", err)
		}
		select {
		case <-time.After(observeEvery):
		case <-ctx.Done():
			return
		}
	}
}

// tell has a witness outside the quorum cosign the newest cosigned checkpoint.
func (l *Log) tell(ctx context.Context, c *witness.Client) (size uint64, err error) {
	cosigned := l.cosigned.Load()
	lines, err := c.Cosign(ctx, 0, l.consistency, cosigned.Note())
	if err != nil {
		return 0, err
	}
	size = cosigned.Checkpoint().Size
	for _, cosignature := range lines {
		l.publisher.attach(size, cosignature.Line)
	}
	return size, nil
}
