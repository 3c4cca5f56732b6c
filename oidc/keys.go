package oidc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// How keys age, by the clock given to [New].
const (
	// KeysRefresh is the age from which a set of keys is fetched again by the
	// way: a busy gate never waits for an issuer.
	KeysRefresh = 5 * time.Minute
	// KeysTTL is the age from which a token waits for keys to be fetched again:
	// a key that its issuer withdrew is accepted no longer than this, as long as
	// the issuer can be asked.
	KeysTTL = 10 * time.Minute
	// KeysEnd is the age from which keys are not believed, even if the issuer
	// cannot be reached.
	KeysEnd = time.Hour
	// KeysCoolDown is the time between two fetches of one issuer, whatever
	// tokens come.
	KeysCoolDown = 30 * time.Second
	// FetchTimeout bounds one fetch, discovery and keys together.
	FetchTimeout = 5 * time.Second
)

// A keySet holds the keys of one issuer: those of a file, for ever, or those
// that fetch returns, as long as they are young. The last good set is kept when
// a fetch fails.
type keySet struct {
	fetch func(context.Context) ([]*key, error) // nil: the keys are of a file
	now   func() time.Time

	mu      sync.Mutex // guards what follows; never held over the network
	keys    []*key
	fetched time.Time // when the fetch that brought keys began
	tried   time.Time // when the last fetch began
	failed  error     // why the last fetch brought nothing; nil if it did
	flight  chan struct{}
}

// find returns the key that a token must be signed by. The error is an *Error.
func (s *keySet) find(ctx context.Context, kid, alg string) (*key, error) {
	asked, err := s.refresh(ctx)
	if err != nil {
		return nil, err
	}
	k, err := s.match(kid, alg)
	if k == nil && err == nil && !asked {
		// The issuer may have a new key. We ask it once in a cool-down, for all
		// tokens together: a stranger invents kids faster than anyone can fetch.
		if asked, err = wait(ctx, s.start()); err != nil {
			return nil, err
		}
		k, err = s.match(kid, alg)
	}
	if k == nil && err == nil {
		err = s.unknown(kid, alg, asked)
	}
	return k, err
}

// refresh sees to it that the set is young enough to be matched. It reports
// whether a fetch ended meanwhile.
func (s *keySet) refresh(ctx context.Context) (bool, error) {
	switch age, ok := s.age(); {
	case s.fetch == nil:
		return true, nil
	case ok && age < KeysRefresh:
		return false, nil
	case ok && age < KeysTTL:
		s.start()
		return false, nil
	}
	return wait(ctx, s.start())
}

// ready reports why no token can be verified, after a fetch if one is due.
func (s *keySet) ready(ctx context.Context) error {
	if _, err := s.refresh(ctx); err != nil {
		return err
	}
	_, err := s.match("", "")
	return err
}

// age returns the age of the set; false if there is none, or if the clock went
// back behind it, when nothing can be said of its age.
func (s *keySet) age() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := s.now().Sub(s.fetched)
	return age, s.keys != nil && age >= 0
}

// match looks for a key in the set, if the set may still be believed: the one
// named kid or, for a token that names none, the only one of its algorithm.
func (s *keySet) match(kid, alg string) (*key, error) {
	age, ok := s.age()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetch != nil && (!ok || age >= KeysEnd) {
		if s.failed == nil {
			return nil, refuse(Keys, "keys fetched %v ago, refused after %v", age, KeysEnd)
		}
		return nil, refuse(Keys, "no keys younger than %v: %w", KeysEnd, s.failed)
	}
	var found []*key
	for _, k := range s.keys {
		fits := slices.Contains(k.algs, alg)
		if kid != "" && kid == k.kid && !fits {
			return nil, refuse(Signature, "the issuer's key %s is not for %s but for %v", show(kid), alg, k.algs)
		}
		if fits && (kid == "" || kid == k.kid) {
			found = append(found, k)
		}
	}
	if len(found) > 1 {
		return nil, refuse(Signature, "the token names no key, and its issuer has %d for %s", len(found), alg)
	}
	if len(found) == 0 {
		return nil, nil
	}
	return found[0], nil
}

// unknown says that no key fits: for certain if the issuer was asked for this
// very token, or only until it may be asked again.
func (s *keySet) unknown(kid, alg string, asked bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	what := fmt.Sprintf("the issuer has no key %s for %s", show(kid), alg)
	switch {
	case s.failed != nil:
		return refuse(Keys, "%s in its last good set: %w", what, s.failed)
	case asked:
		return refuse(Signature, "%s", what)
	}
	return refuse(Keys, "%s; it was asked %v ago and is asked again after %v", what, s.now().Sub(s.tried).Round(time.Second), KeysCoolDown)
}

// start begins a fetch, or joins the one under way. It returns a channel that is
// closed at its end, or nil when the last one began less than a cool-down ago.
func (s *keySet) start() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil || s.fetch == nil {
		return s.flight
	}
	now := s.now()
	if since := now.Sub(s.tried); !s.tried.IsZero() && since >= 0 && since < KeysCoolDown {
		return nil
	}
	s.tried, s.flight = now, make(chan struct{})
	go s.run(now) // ends by itself, within FetchTimeout
	return s.flight
}

// run fetches. It belongs to no token: the one that began it may be gone, and
// others may wait for it.
func (s *keySet) run(began time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), FetchTimeout)
	defer cancel()
	keys, err := s.ask(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed = err; err == nil {
		s.keys, s.fetched = keys, began
	}
	close(s.flight)
	s.flight = nil
}

// ask survives a parser's panic: what an issuer publishes must not end a gate
// that has other issuers.
func (s *keySet) ask(ctx context.Context) (keys []*key, err error) {
	defer func() {
		if recover() != nil {
			keys, err = nil, errors.New("the issuer's answer could not be parsed")
		}
	}()
	return s.fetch(ctx)
}

// wait waits for a fetch to end, and reports whether there was one.
func wait(ctx context.Context, flight <-chan struct{}) (bool, error) {
	if flight == nil {
		return false, nil
	}
	select {
	case <-flight:
		return true, nil
	case <-ctx.Done():
		return false, refuse(Keys, "the issuer's keys were not fetched in time: %w", ctx.Err())
	}
}
