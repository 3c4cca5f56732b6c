package log

import (
	"errors"
	"fmt"

	"plastron/log/witness"
)

// ErrForked refuses what would make a log go back on itself: data older than a
// checkpoint that somebody holds, or of another history; a lock that another
// process has written to. Nothing was signed; starting again changes nothing
// until a person has found the data that goes on from what was signed last. A
// poisoned log may be one too.
var ErrForked = errors.New("this log was rolled back or forked")

// forkedError is an error that is ErrForked and says so in its own words.
type forkedError struct{ error }

func (forkedError) Is(target error) bool { return target == ErrForked }
func (e forkedError) Unwrap() error      { return e.error }

func forked(format string, args ...any) error { return forkedError{fmt.Errorf(format, args...)} }

// poisonedFork is an ErrForked that ended a running log: it is an ErrPoisoned,
// whose own words speak of failed writes.
type poisonedFork struct{ error }

func (poisonedFork) Is(target error) bool { return target == ErrPoisoned }
func (e poisonedFork) Unwrap() error      { return e.error }

// failureOf returns what a log says that err has poisoned.
func failureOf(err error) error {
	var ahead *witness.AheadError
	if errors.As(err, &ahead) {
		err = forked("%w: nothing more is signed here. Find the data that leads to that checkpoint, and start from it", err)
	}
	if errors.Is(err, ErrForked) {
		return poisonedFork{fmt.Errorf("log is stopped: %w", err)}
	}
	return fmt.Errorf("%w: %w", ErrPoisoned, err)
}
