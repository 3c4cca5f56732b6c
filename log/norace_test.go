//go:build !race

package log_test

const slow = false
