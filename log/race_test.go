//go:build race

package log_test

// slow says that a test may try less: the race detector is on.
const slow = true
