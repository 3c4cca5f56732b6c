package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"plastron": main})
}

// TestScripts runs the manual pages under testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"), Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "await": await},
	})
}

// exits CODE COMMAND… runs a command that must end with an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// await FILE TEXT waits until a file holds a text: a server's log that says it
// is ready.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE TEXT")
	}
	for range 300 {
		if strings.Contains(readIfThere(ts, args[0]), args[1]) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	ts.Fatalf("%s never said %q:\n%s", args[0], args[1], readIfThere(ts, args[0]))
}

func readIfThere(ts *testscript.TestScript, name string) string {
	b, err := os.ReadFile(ts.MkAbs(name))
	if err != nil {
		return ""
	}
	return string(b)
}

// setup gives each script a home of its own, and two free ports.
func setup(e *testscript.Env) error {
	e.Setenv("HOME", e.WorkDir)
	e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
	public, err := filepath.Abs("public")
	if err != nil {
		return err
	}
	e.Setenv("PUBLIC", public)
	e.Setenv("SIGSTORE_GO", sigstoreGo())
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	e.Setenv("GATE", ports[0])
	e.Setenv("WITNESS", ports[1])
	return nil
}

// sigstoreGo is the folder of sigstore-go in the module cache, whose examples
// are genuine bundles.
var sigstoreGo = sync.OnceValue(func() string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/sigstore/sigstore-go").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
})

// freePorts returns loopback addresses that nobody listens on right now, below
// the range that the kernel gives to whoever asks for any port.
func freePorts(n int) (out []string, err error) {
	for tries := 0; len(out) < n && tries < 100; tries++ {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))); err == nil {
			out = append(out, l.Addr().String())
			defer l.Close()
		}
	}
	if len(out) < n {
		return nil, err
	}
	return out, nil
}
