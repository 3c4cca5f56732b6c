package log_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
	"plastron/log/witness"
)

// TestSlowWitness has one of two witnesses never answer.
func TestSlowWitness(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Witnesses(2, 1))
	enough := make(chan struct{})
	l.Witnesses[1].Replace(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-enough }))
	defer close(enough)
	for i := range 20 {
		r := mustAppend(t, l, fmt.Sprint(i))
		if _, err := r.Open(l.Policy); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLyingWitness has one of two witnesses answer in every wrong way.
func TestLyingWitness(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Witnesses(2, 1))
	for _, c := range []struct {
		name string
		http.HandlerFunc
	}{
		{"nonsense", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("— w2 AAAA\n")) }},
		{"nothing", func(w http.ResponseWriter, r *http.Request) {}},
		{"conflict above us without a checkpoint", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/x.tlog.size")
			w.WriteHeader(http.StatusConflict)
			w.Write([]byte("1000000\n"))
		}},
		{"not consistent, without a checkpoint", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusUnprocessableEntity) }},
		{"error", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInternalServerError) }},
	} {
		l.Witnesses[1].Replace(c.HandlerFunc)
		r := mustAppend(t, l, c.name)
		if _, err := r.Open(l.Policy); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
	// A number that nobody signed stops no log, whenever its answer comes.
	if err := l.Recosign(t.Context()); err != nil || l.Err() != nil {
		t.Fatalf("%v, %v", err, l.Err())
	}
	// With only the liar there is no quorum.
	l.Witnesses[0].Down(true)
	var quorum *log.QuorumError
	if _, err := l.Append(t.Context(), []byte("alone"), free); !errors.As(err, &quorum) {
		t.Errorf("%v, want a QuorumError", err)
	}
}

// TestQuorumLost takes the witness away and brings it back.
func TestQuorumLost(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	mustAppend(t, l, "before")
	l.Witnesses[0].Down(true)
	before := l.Checkpoint()
	var quorum *log.QuorumError
	r, err := l.Append(t.Context(), []byte("meanwhile"), free)
	if r != nil || !errors.As(err, &quorum) || quorum.Index != 1 || !errors.Is(err, log.ErrQuorum) {
		t.Fatalf("%v, want a QuorumError for entry 1", err)
	}
	if l.Size() != 2 || string(l.Checkpoint()) != string(before) {
		t.Errorf("size %d, want 2, and the old checkpoint", l.Size())
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.Receipt(short, 1); !errors.As(err, &quorum) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("receipt without a quorum: %v, want a QuorumError", err)
	}
	if err := l.Recosign(t.Context()); !errors.Is(err, log.ErrPoisoned) && err == nil {
		t.Error("recosigned without a quorum")
	}
	l.Witnesses[0].Down(false)
	r, err = l.Receipt(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if entry, err := r.Open(l.Policy); err != nil || string(entry) != "meanwhile" {
		t.Errorf("%q, %v", entry, err)
	}
}

// TestUnwitnessedGrowth appends without a quorum for as long as it may.
func TestUnwitnessedGrowth(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.With(func(o *log.Options) { o.MaxUnwitnessed = 3 }))
	mustAppend(t, l, "before")
	l.Witnesses[0].Down(true)
	for i := range 5 {
		_, err := l.Append(t.Context(), fmt.Append(nil, i), free)
		var quorum *log.QuorumError
		if !errors.Is(err, log.ErrQuorum) || errors.As(err, &quorum) != (i < 3) {
			t.Errorf("append %d: %v", i, err)
		}
	}
	if l.Size() != 4 {
		t.Errorf("size %d, want 4", l.Size())
	}
	l.Witnesses[0].Down(false)
	if _, err := l.Receipt(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, "after")
}

// TestCancelled gives up waiting; the entry is in the log.
func TestCancelled(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	enough := make(chan struct{})
	defer close(enough)
	l.Witnesses[0].Replace(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-enough }))
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var quorum *log.QuorumError
	if _, err := l.Append(short, []byte("one"), free); !errors.As(err, &quorum) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want a QuorumError", err)
	}
	if e, err := l.Entry(0); err != nil || string(e.Entry) != "one" {
		t.Errorf("%q, %v", e.Entry, err)
	}
}

// TestWitnessAhead has the witness cosign, with our key, what this process has
// never signed: somebody runs a copy of this log.
func TestWitnessAhead(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	mustAppend(t, l, "one")
	tree := proof.NewRange()
	for _, e := range []string{"one", "two", "three"} {
		tree.Append(proof.LeafHash([]byte(e)), nil)
	}
	note, err := l.Signer.Sign(proof.Checkpoint{Origin: l.Signer.Name(), Size: 3, Root: tree.Root()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := witness.NewClient(l.Policy, l.Policy.Witnesses()[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	pair := proof.NewRange()
	pair.Append(proof.LeafHash([]byte("three")), nil)
	extend := func(from, to uint64) ([]proof.Hash, error) {
		if from == 0 {
			return nil, nil
		}
		return []proof.Hash{proof.LeafHash([]byte("two")), pair.Root()}, nil
	}
	if _, err := c.Cosign(t.Context(), 1, extend, note); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), []byte("another two"), free); err == nil {
		t.Fatal("appended")
	}
	<-l.Poisoned()
	if err := l.Err(); !errors.Is(err, log.ErrPoisoned) || !strings.Contains(err.Error(), "rolled back or forked") {
		t.Errorf("%v, want ErrPoisoned, rolled back or forked", err)
	}
	if _, err := l.Append(t.Context(), []byte("more"), free); !errors.Is(err, log.ErrPoisoned) {
		t.Errorf("afterwards: %v, want ErrPoisoned", err)
	}
}

// TestObserver publishes the line of a witness outside the quorum, which does
// not count.
func TestObserver(t *testing.T) {
	t.Parallel()
	var policy *proof.Policy
	l := logtest.New(t, logtest.Witnesses(2, 2), logtest.With(func(o *log.Options) {
		text, _, _ := strings.Cut(string(o.Policy.Text()), "group ")
		var err error
		if policy, err = proof.ParsePolicy([]byte(text + "quorum w1\n")); err != nil {
			t.Fatal(err)
		}
		o.Policy = policy
	}))
	mustAppend(t, l, "one")
	web := served(t, l, 1)
	for {
		_, _, note := get(t, web.URL+"/checkpoint")
		if strings.Contains(string(note), "— w2.example") {
			c, err := policy.OpenCheckpoint(note)
			if err != nil || len(c.Witnesses()) != 1 {
				t.Errorf("%v, %v", c, err)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestRecosign(t *testing.T) {
	t.Parallel()
	var seconds atomic.Int64
	seconds.Store(1_000_000)
	l := logtest.New(t, logtest.Clock(func() time.Time { return time.Unix(seconds.Load(), 0) }))
	if err := l.Recosign(t.Context()); err == nil {
		t.Error("recosigned an empty log")
	}
	mustAppend(t, l, "one")
	seconds.Add(100)
	if err := l.Recosign(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := l.Policy.OpenCheckpoint(l.Checkpoint())
	if err != nil || c.Times()[0].Unix() != 1_000_100 || c.Checkpoint().Size != 1 {
		t.Errorf("%v at %v, %v", c.Checkpoint(), c.Times(), err)
	}
}

// inProcess asks handlers without a network, for a bubble has none.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result(), nil
}

// bubbled is a log in a bubble, and what it was opened with.
type bubbled struct {
	*log.Log
	o log.Options
}

// inBubble opens a log on a simulated disk, with an entry in it and a witness
// that takes a while to answer.
func inBubble(t *testing.T, dir string, takes time.Duration) (bubbled, *memDisk) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer := logtest.Signer(t, "log.example/bubble")
	server, err := witness.NewServer(witness.Config{
		Dir: dir, Key: key, Name: "w.example",
		Logs: []witness.LogKey{{Origin: signer.Name(), VKey: signer.VKey()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	policy, err := proof.ParsePolicy(fmt.Appendf(nil, "log %s\nwitness w %s http://w.example\nquorum w\n", signer.VKey(), server.VKey()))
	if err != nil {
		t.Fatal(err)
	}
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(takes)
		server.Handler().ServeHTTP(w, r)
	})
	client, err := witness.NewClient(policy, policy.Witnesses()[0], &http.Client{Transport: inProcess{slow}})
	if err != nil {
		t.Fatal(err)
	}
	disk := newDisk()
	o := log.Options{
		Dir: "/data", Lock: "/lock", FS: disk, Segment: 1 << 20,
		Signer: signer, Policy: policy, Witnesses: []*witness.Client{client},
	}
	l, err := log.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if _, err := l.Append(t.Context(), []byte("one"), free); err != nil {
		t.Fatal(err)
	}
	return bubbled{l, o}, disk
}

// TestBatchOfARound appends one entry after the other while a witness is being
// asked: they are written as one, and not as late as the witness answers.
func TestBatchOfARound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, disk := inBubble(t, dir, 20*time.Millisecond)
		var wg sync.WaitGroup
		defer wg.Wait()
		add := func(i int) {
			wg.Go(func() {
				if _, err := l.Append(t.Context(), fmt.Append(nil, i), free); err != nil {
					t.Error(err)
				}
			})
		}
		add(0)
		time.Sleep(time.Millisecond)
		size, before := l.Size(), disk.syncs("/data/segments/00000000")
		for i := range 20 {
			add(1 + i)
			time.Sleep(100 * time.Microsecond)
		}
		if n := l.Size(); n != size {
			t.Errorf("%d entries were written while others came", n-size)
		}
		time.Sleep(10 * time.Millisecond)
		if n := l.Size(); n != size+20 {
			t.Errorf("%d entries are durable before the round is over, want 20", n-size)
		}
		if n := disk.syncs("/data/segments/00000000") - before; n != 1 {
			t.Errorf("%d records for 20 entries, want 1", n)
		}
	})
}

// TestObserverIsThrottled appends without pause while a witness outside the
// quorum is told once a second, and one in it each time.
func TestObserverIsThrottled(t *testing.T) {
	t.Parallel()
	dirs := []string{t.TempDir(), t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		signer := logtest.Signer(t, "log.example/bubble")
		var posts [2]atomic.Int64
		var servers [2]*witness.Server
		text := "log " + signer.VKey() + "\n"
		for i, dir := range dirs {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			servers[i], err = witness.NewServer(witness.Config{
				Dir: dir, Key: key, Name: fmt.Sprintf("w%d.example", i),
				Logs: []witness.LogKey{{Origin: signer.Name(), VKey: signer.VKey()}},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer servers[i].Close()
			text += fmt.Sprintf("witness w%d %s http://w%d.example\n", i, servers[i].VKey(), i)
		}
		policy, err := proof.ParsePolicy([]byte(text + "quorum w0\n"))
		if err != nil {
			t.Fatal(err)
		}
		o := log.Options{Dir: "/data", Lock: "/lock", FS: newDisk(), Segment: 1 << 20, Signer: signer, Policy: policy}
		for i, w := range policy.Witnesses() {
			h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					posts[i].Add(1)
				}
				servers[i].Handler().ServeHTTP(rw, r)
			})
			c, err := witness.NewClient(policy, w, &http.Client{Transport: inProcess{h}})
			if err != nil {
				t.Fatal(err)
			}
			o.Witnesses = append(o.Witnesses, c)
		}
		l, err := log.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for i := range 500 {
			if _, err := l.Append(t.Context(), fmt.Append(nil, i), free); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := posts[0].Load(); n < 500 {
			t.Errorf("the quorum's witness was asked %d times for 500 entries", n)
		}
		if n := posts[1].Load(); n < 4 || n > 8 {
			t.Errorf("the other was told %d times in 5 s, want about 5", n)
		}
	})
}

// TestIdle leaves a log alone for ten minutes.
func TestIdle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, _ := inBubble(t, dir, 0)
		for range 100 {
			time.Sleep(6 * time.Second)
			c, err := l.o.Policy.OpenCheckpoint(l.Checkpoint())
			if err != nil {
				t.Fatal(err)
			}
			if age := time.Since(c.Times()[0]); age > 62*time.Second {
				t.Fatalf("the newest cosignature is %s old", age)
			}
		}
	})
}
