package log_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
)

// Whoever decides on an entry that Apply was just told may append at once, also
// while the rest of its batch is still being applied.
func TestDecideDuringApply(t *testing.T) {
	t.Parallel()
	var (
		l    *logtest.Log
		late sync.WaitGroup
		mu   sync.Mutex // guards errs
		errs []error
	)
	opened := make(chan struct{})
	apply := func(s log.Stored) error {
		<-opened
		if s.Index >= 20 {
			return nil
		}
		late.Go(func() {
			_, err := l.Append(context.Background(), []byte("on it"), log.Conditions{Decided: s.Index + 1, Spent: []proof.Hash{{byte(s.Index)}}})
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
		time.Sleep(2 * time.Millisecond) // let it be sequenced before the batch is through
		return nil
	}
	l = logtest.New(t, logtest.Unwitnessed(), logtest.With(func(o *log.Options) { o.Apply = apply }))
	close(opened)
	var first sync.WaitGroup
	for range 20 {
		first.Go(func() {
			if _, err := l.Append(context.Background(), []byte("first"), log.Conditions{Decided: log.Unconditional}); err != nil {
				t.Error(err)
			}
		})
	}
	first.Wait()
	late.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}
