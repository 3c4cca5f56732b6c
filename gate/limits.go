package gate

import "sync"

// limits bounds how many requests of one owner are under way at once, so that
// one tenant of a shared issuer cannot take the gate from the others.
type limits struct {
	most int

	mu    sync.Mutex // guards under
	under map[string]int
}

func newLimits(most int) *limits { return &limits{most: most, under: map[string]int{}} }

// enter takes a place for owner, or refuses. The place is given back by leave.
func (l *limits) enter(owner string) (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.under[owner] >= l.most {
		return nil, refuse(LimitExceeded, "%d requests of this issuer and owner are under way; wait for them", l.most)
	}
	l.under[owner]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.under[owner]--; l.under[owner] == 0 {
			delete(l.under, owner)
		}
	}, nil
}
