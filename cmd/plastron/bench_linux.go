package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadCPU is the processor time of this thread so far.
func threadCPU() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
