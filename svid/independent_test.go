package svid

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"plastron/log/proof"
)

// A second reader is ../testdata/verify_proof.py: Python, and no code of ours. It
// answers a line to each line.
type secondReader struct {
	ask    io.Writer
	answer *bufio.Reader
}

func newSecondReader(t *testing.T, policy []byte) *secondReader {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not there")
	}
	c := exec.Command("python3", filepath.Join("..", "testdata", "verify_proof.py"), write(t, "log.policy", policy), "-")
	c.Stderr = os.Stderr
	in := must(c.StdinPipe())(t)
	out := must(c.StdoutPipe())(t)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // its input ends, and so does it
		in.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &secondReader{in, bufio.NewReader(out)}
}

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// refuses returns what the script refuses its input for; "" for nothing.
func (r *secondReader) refuses(t *testing.T, args ...string) string {
	t.Helper()
	fmt.Fprintln(r.ask, strings.Join(args, " "))
	says, err := r.answer.ReadString('\n')
	switch {
	case err == nil && strings.HasPrefix(says, "verified: "):
		return ""
	case err != nil || !strings.HasPrefix(says, "refused: "):
		t.Fatalf("it says %q, %v", says, err)
	}
	return says
}

func (r *secondReader) certificate(t *testing.T, c []byte) string {
	t.Helper()
	return r.refuses(t, "svid", write(t, "svid.pem", EncodeCertificates(c)))
}

func (r *secondReader) text(t *testing.T, text, entry []byte) string {
	t.Helper()
	return r.refuses(t, "text", write(t, "x.tlog-proof", text), write(t, "entry", entry))
}

// TestSecondReader: what we mint is understood by a reader that knows nothing but
// the package comments, in the compact form and as text, at several places of
// trees of several shapes; and both forms say the same.
func TestSecondReader(t *testing.T) {
	t.Parallel()
	for _, quorum := range []string{"all", "any", "none"} {
		w := newWorldWith(t, quorum, "wit1", "wit2", "wit3")
		r := newSecondReader(t, w.policy.Text())
		for range 3 {
			c := w.certify(t, must(w.a.Draft(w.draft(t)))(t))
			if says := r.certificate(t, c.Raw); says != "" {
				t.Errorf("quorum %s: %s", quorum, says)
			}
			entry, compact, err := Entry(c.Raw)
			if err != nil {
				t.Fatal(err)
			}
			p := must(proof.ParseCompact(compact, w.policy, proof.LeafHash(entry)))(t)
			text := must(p.MarshalText())(t)
			if says := r.text(t, text, entry); says != "" {
				t.Errorf("quorum %s: %s", quorum, says)
			}
			again := must(must(proof.ParseProof(text))(t).Compact(w.policy))(t)
			if !bytes.Equal(again, compact) {
				t.Errorf("compact, as text, and compact again it is\n%x, it was\n%x", again, compact)
			}
			for range 40 {
				w.tree.AppendData([]byte("one more"))
			}
		}
	}
}

// TestSecondReaderAlone runs the script as testdata/README.md tells a reader to.
func TestSecondReaderAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	newSecondReader(t, w.policy.Text()) // or skip
	c := w.certify(t, must(w.a.Draft(w.draft(t)))(t))
	script, policy := filepath.Join("..", "testdata", "verify_proof.py"), write(t, "log.policy", w.policy.Text())
	out, err := exec.Command("python3", script, policy, "svid", write(t, "svid.pem", EncodeCertificates(c.Raw))).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "verified: entry 5 of log.acme.example/gate") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = exec.Command("python3", script, policy, "svid", write(t, "ca.pem", EncodeCertificates(w.ca.Raw))).CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "refused: ") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestSecondReaderRefuses spoils each field of either form. The first reader
// refuses the same.
func TestSecondReaderRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newSecondReader(t, w.policy.Text())
	tbs := must(w.a.Draft(w.draft(t)))(t)
	compact := w.compact(t, tbs, w.now)
	origin, hashes := int(compact[1]), int(compact[2+int(compact[1])+16])
	path := 2 + origin + 17
	log := path + 32*hashes
	wit1, wit2 := log+69, log+69+76
	if len(compact) != wit2+76 {
		t.Fatal("the test's offsets are wrong")
	}
	flip := func(at int) []byte { b := bytes.Clone(compact); b[at] ^= 1; return b }
	rows := map[string][]byte{
		"version": flip(0), "origin's length": flip(1), "origin": flip(2), "index": flip(2 + origin + 7), "size": flip(2 + origin + 15),
		"size, far": flip(2 + origin + 8), "number of hashes": flip(path - 1), "first hash": flip(path), "last hash": flip(log - 1),
		"log's key id": flip(log), "log's signature, R": flip(log + 4), "log's signature, S": flip(log + 4 + 32), "number of cosignatures": flip(wit1 - 1),
		"key id": flip(wit1), "time": flip(wit1 + 11), "cosignature, R": flip(wit1 + 12), "cosignature, S": flip(wit1 + 12 + 32),
		"second key id": flip(wit2 + 3), "second time": flip(wit2 + 11), "second cosignature": flip(wit2 + 75),
		"a cosignature fewer":     slices.Concat(compact[:wit1-1], []byte{1}, compact[wit1:wit2]),
		"cosignatures swapped":    slices.Concat(compact[:wit1], compact[wit2:], compact[wit1:wit2]),
		"a cosignature twice":     slices.Concat(compact[:wit2], compact[wit1:wit2]),
		"a trailing byte":         append(bytes.Clone(compact), 0),
		"a missing byte":          compact[:len(compact)-1],
		"a surplus hash":          slices.Concat(compact[:path-1], []byte{byte(hashes + 1)}, make([]byte, 32), compact[path:]),
		"nothing":                 nil,
		"the log in a wit's role": slices.Concat(compact[:wit1], compact[log:log+4], compact[wit1+4:]),
	}
	entry := must(proof.Frame(proof.X509SVID, tbs))(t)
	for name, b := range rows {
		t.Run("compact "+name, func(t *testing.T) {
			p, err := proof.ParseCompact(b, w.policy, proof.LeafHash(entry))
			if err == nil {
				_, err = p.Verify(w.policy, proof.LeafHash(entry))
			}
			if says := r.certificate(t, w.sign(t, must(splice(tbs, b))(t))); says == "" || err == nil {
				t.Errorf("accepted: the first reader says %v, the second %q", err, says)
			}
		})
	}
	t.Run("one byte of what was logged", func(t *testing.T) {
		b := bytes.Clone(tbs)
		b[20] ^= 1 // in the serial number
		if says := r.certificate(t, w.sign(t, must(splice(b, compact))(t))); says == "" {
			t.Error("accepted")
		}
	})
	t.Run("an SVID without a proof", func(t *testing.T) {
		if says := r.certificate(t, w.sign(t, tbs)); says == "" {
			t.Error("accepted")
		}
	})
	t.Run("another log's policy", func(t *testing.T) {
		other := newSecondReader(t, newWorld(t).policy.Text())
		if says := other.certificate(t, w.sign(t, must(splice(tbs, compact))(t))); says == "" {
			t.Error("accepted")
		}
	})
	p := must(proof.ParseCompact(compact, w.policy, proof.LeafHash(entry)))(t)
	spoilText(t, r, w, must(p.MarshalText())(t), entry)
}

// spoilText has a row for each line of a text proof, and one for each way to
// write the same differently.
func spoilText(t *testing.T, r *secondReader, w *world, text, entry []byte) {
	lines := strings.SplitAfter(string(text), "\n")
	rows := map[string]string{
		"extra that is no base64": strings.Replace(string(text), "index", "extra ?\nindex", 1),
		"index with a zero":       strings.Replace(string(text), "index ", "index 0", 1),
		"no last line break":      strings.TrimSuffix(string(text), "\n"),
		"a second empty line":     strings.Replace(string(text), "\n\n", "\n\n\n", 1),
		"a cosignature twice":     string(text) + lines[len(lines)-2],
		"no cosignatures":         strings.Join(lines[:len(lines)-3], ""),
	}
	for i, line := range lines {
		if line = strings.TrimSuffix(line, "\n"); line == "" {
			continue
		}
		at := len(line) / 2
		c := byte('A')
		if line[at] == c {
			c = 'B'
		}
		spoilt := slices.Clone(lines)
		spoilt[i] = line[:at] + string(c) + line[at+1:] + "\n"
		rows[fmt.Sprintf("line %d, %.9s", i+1, line)] = strings.Join(spoilt, "")
	}
	for name, spoilt := range rows {
		t.Run("text "+name, func(t *testing.T) {
			p, err := proof.ParseProof([]byte(spoilt))
			if err == nil {
				_, err = p.Verify(w.policy, proof.LeafHash(entry))
			}
			if says := r.text(t, []byte(spoilt), entry); says == "" || err == nil {
				t.Errorf("accepted: the first reader says %v, the second %q", err, says)
			}
		})
	}
	if says := r.text(t, text, append(bytes.Clone(entry), 0)); says == "" {
		t.Error("another entry: accepted")
	}
}
