package log_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"plastron/log"
)

// TestKill kills a process that appends, at any moment, again and again. What
// it had acknowledged by then must be in the log, and all it had signed must be
// consistent.
func TestKill(t *testing.T) {
	if c := asChild(t); c != nil {
		c.appendForEver(t)
		return
	}
	t.Parallel()
	c := newChild(t.TempDir())
	for round := range 8 {
		cmd := c.command(t, "TestKill")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		c.listen(t, out, func(n int) {
			if n == 20+round*17 {
				time.AfterFunc(time.Duration(round)*777*time.Microsecond, func() { cmd.Process.Kill() })
			}
		})
		if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Fatalf("child: %v", err)
		}
		c.reopen(t, 64<<10)
	}
	t.Logf("%d acknowledged", len(c.acked))
}

// appendForEver appends, from many goroutines, until the process is killed.
func (c *child) appendForEver(t *testing.T) {
	o := c.options(t, 64<<10)
	l, err := log.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for client := range 4 {
		go func() {
			for i := 0; ; i++ {
				entry := fmt.Sprintf("%d.%d.%d.%s", os.Getpid(), client, i, strings.Repeat("x", i%900))
				r, err := l.Append(t.Context(), []byte(entry), free, []byte(entry+" evidence"))
				if err != nil {
					return
				}
				fmt.Println(said(o.Policy, entry, r))
			}
		}()
	}
	time.Sleep(time.Minute)
}
