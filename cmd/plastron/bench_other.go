//go:build !linux

package main

import "time"

var start = time.Now()

// threadCPU is the time so far: threads are not asked for theirs here.
func threadCPU() time.Duration { return time.Since(start) }
