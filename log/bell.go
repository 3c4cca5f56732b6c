package log

import "sync"

// A bell wakes all who wait for something to change. Who waits takes the
// channel, looks whether it has changed already, and only then waits.
type bell struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

// next returns a channel that the next ring closes.
func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
