package audit_test

import (
	"bytes"
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plastron/gate/audit"
	"plastron/gate/policy"
	"plastron/log"
	"plastron/log/logtest"
	"plastron/log/proof"
	"plastron/svid"
)

// A stage is what a log has served at different times, of which one is now.
type stage struct {
	log *logtest.Log
	at  string // what the monitor reads
}

func newStage(t *testing.T, l *logtest.Log) *stage {
	return &stage{l, filepath.Join(t.TempDir(), "now")}
}

// show has the monitor see a directory from now on.
func (s *stage) show(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(s.at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, s.at); err != nil {
		t.Fatal(err)
	}
}

// monitor returns one that collects matches, and what it collects.
func (s *stage) monitor(t *testing.T, state string, interests ...audit.Interest) (*audit.Monitor, *[]audit.Match) {
	t.Helper()
	found := new([]audit.Match)
	return &audit.Monitor{
		Log: readDir(t, s.at), Policy: s.log.Policy, Interests: interests, State: state, Every: 10 * time.Second, Within: time.Minute,
		Deliver: func(_ context.Context, ms []audit.Match) error { *found = append(*found, ms...); return nil },
	}, found
}

// bans appends bans of so many digests at once.
func bans(t *testing.T, l *logtest.Log, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { add(t, l, ban(fmt.Sprint(i)), free) })
	}
	wg.Wait()
}

func everyBan() audit.Interest { return audit.Interest{Name: "bans", Kinds: []string{"ban"}} }

func watch(t *testing.T, m *audit.Monitor, want int) {
	t.Helper()
	if n, err := m.Look(t.Context()); err != nil || n != want {
		t.Fatalf("%d matches, %v; want %d", n, err, want)
	}
}

// TestMonitor follows a log over several steps, through a webhook that fails and
// a restart after each failure: no match is left out, and none comes twice.
func TestMonitor(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	add(t, l, genesis(l), free)
	bans(t, l, 300)
	s := newStage(t, l)
	s.show(t, copyLog(t, l))
	state := filepath.Join(t.TempDir(), "state")
	m, found := s.monitor(t, state, everyBan())
	watch(t, m, 300)
	watch(t, m, 0)
	bans(t, l, 5000)
	s.show(t, copyLog(t, l))
	for tries := 0; ; tries++ {
		m, again := s.monitor(t, state, everyBan())
		deliver, n := m.Deliver, 0
		m.Deliver = func(ctx context.Context, ms []audit.Match) error {
			if n++; n > 13 {
				return errors.New("nobody listens")
			}
			return deliver(ctx, ms)
		}
		_, err := m.Look(t.Context())
		*found = append(*found, *again...)
		if err == nil {
			if m.Size() != 5301 || tries < 3 {
				t.Errorf("size %d after %d restarts", m.Size(), tries)
			}
			break
		}
		if errors.Is(err, audit.ErrMisbehaved) || tries > 10 {
			t.Fatal(err)
		}
	}
	if len(*found) != 5300 {
		t.Errorf("%d matches, want 5300", len(*found))
	}
	for i, x := range *found {
		if x.Index != uint64(i+1) {
			t.Fatalf("match %d is entry %d", i, x.Index)
		}
	}
}

// TestMonitorPublished shows a checkpoint without the signature of the log's
// ML-DSA key, which who forges Ed25519 would leave out.
func TestMonitorPublished(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed(), logtest.MLDSA())
	add(t, l, genesis(l), free)
	s := newStage(t, l)
	dir := copyLog(t, l)
	s.show(t, dir)
	m, _ := s.monitor(t, filepath.Join(t.TempDir(), "state"), everyBan())
	watch(t, m, 0)
	path := filepath.Join(dir, "checkpoint")
	note, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var bare []byte
	for line := range bytes.Lines(note) {
		if len(line) < 1000 {
			bare = append(bare, line...)
		}
	}
	if _, err := l.Policy.OpenCheckpoint(bare); err != nil || len(bare) == len(note) {
		t.Fatalf("the checkpoint without that line: %v", err)
	}
	if err := os.WriteFile(path, bare, 0o644); err != nil {
		t.Fatal(err)
	}
	s.show(t, dir)
	if _, err := m.Look(t.Context()); !errors.Is(err, audit.ErrMisbehaved) {
		t.Errorf("%v, want ErrMisbehaved", err)
	}
}

// TestMonitorInterests has a row for each condition of a rule.
func TestMonitorInterests(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	a := begin(t, l)
	addSVID(t, l, a, svid.Decision{Policy: 1, Decided: 2, Artifact: "sha256:" + strings.Repeat("a", 64), Tie: svid.Token, Insecure: []string{"x"}})
	add(t, l, ban("sha256:"+strings.Repeat("a", 64)), free)
	add(t, l, enrolment(1, 4), free)
	s := newStage(t, l)
	s.show(t, copyLog(t, l))
	glob := func(text string) []policy.Glob {
		g, err := policy.ParseGlob(text)
		if err != nil {
			t.Fatal(err)
		}
		return []policy.Glob{g}
	}
	want := map[string][]uint64{}
	var rules []audit.Interest
	rule := func(i audit.Interest, entries ...uint64) {
		i.Name = fmt.Sprint(len(rules))
		rules, want[i.Name] = append(rules, i), entries
	}
	rule(audit.Interest{Kinds: []string{"policy", "trust"}}, 0, 1)
	rule(audit.Interest{Kinds: []string{"x509-svid"}}, 2)
	rule(audit.Interest{Kinds: []string{"enrolment"}}, 4)
	rule(audit.Interest{Identity: glob("spiffe://acme.example/*")}, 2)
	rule(audit.Interest{Identity: glob("spiffe://acme.example/b")})
	rule(audit.Interest{Artifact: []string{"sha256:" + strings.Repeat("a", 64)}}, 2, 3)
	rule(audit.Interest{Artifact: []string{"sha256:" + strings.Repeat("a", 64)}, Kinds: []string{"ban"}}, 3)
	rule(audit.Interest{Source: glob("github.com/*/*")})
	rule(audit.Interest{Issuer: glob("https://**")})
	rule(audit.Interest{Insecure: true}, 2)
	rule(audit.Interest{Weakest: "human"})
	m, found := s.monitor(t, filepath.Join(t.TempDir(), "state"), rules...)
	watch(t, m, 5)
	got := map[string][]uint64{}
	for _, x := range *found {
		for _, r := range x.Rules {
			got[r] = append(got[r], x.Index)
		}
	}
	for name, entries := range want {
		if !slices.Equal(got[name], entries) {
			t.Errorf("rule %s fits %v, want %v", name, got[name], entries)
		}
	}
}

// A holder is a witness that shows a note.
type holder struct {
	note []byte
	err  error
}

func (h *holder) Witness() proof.Witness { return proof.Witness{Name: "w1"} }

func (h *holder) Latest(context.Context) (uint64, []byte, error) { return 0, h.note, h.err }

// TestMonitorWitness has a witness hold what the log does not serve: for a
// while, for too long, and never.
func TestMonitorWitness(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	add(t, l, genesis(l), free)
	short := copyLog(t, l)
	bans(t, l, 20)
	long := copyLog(t, l)
	newest := l.Checkpoint()
	// run returns how the monitor ends when the witness shows note, and when.
	run := func(t *testing.T, h *holder, during func(s *stage)) (after time.Duration, err error) {
		s := newStage(t, l)
		s.show(t, short)
		synctest.Test(t, func(t *testing.T) {
			m, _ := s.monitor(t, filepath.Join(t.TempDir(), "state"))
			m.Witnesses = []audit.Holder{h}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			start := time.Now()
			if during != nil {
				go during(s)
			}
			err = m.Run(ctx)
			after = time.Since(start)
		})
		return after, err
	}
	t.Run("in time", func(t *testing.T) {
		_, err := run(t, &holder{note: newest}, func(s *stage) {
			time.Sleep(45 * time.Second)
			s.show(t, long)
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("too late", func(t *testing.T) {
		after, err := run(t, &holder{note: newest}, nil)
		if !errors.Is(err, audit.ErrMisbehaved) || after != time.Minute {
			t.Errorf("%v after %s, want %v after a minute", err, after, audit.ErrMisbehaved)
		}
	})
	t.Run("another tree", func(t *testing.T) {
		after, err := run(t, &holder{note: anotherTree(t, l, 1)}, nil)
		wantFork(t, err, l, 1, 1)
		if after != 0 {
			t.Errorf("found after %s, want at once", after)
		}
	})
	t.Run("another tree, later", func(t *testing.T) {
		_, err := run(t, &holder{note: anotherTree(t, l, 9)}, func(s *stage) {
			time.Sleep(30 * time.Second)
			s.show(t, long)
		})
		wantFork(t, err, l, 9, 21)
	})
	t.Run("nothing, or no answer", func(t *testing.T) {
		for _, h := range []*holder{{err: fs.ErrNotExist}, {err: errors.New("down")}} {
			if _, err := run(t, h, nil); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestMonitorOwes has a monitor that looks once, as cron does, remember since
// when the log owes what a witness has.
func TestMonitorOwes(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	add(t, l, genesis(l), free)
	s := newStage(t, l)
	s.show(t, copyLog(t, l))
	bans(t, l, 1)
	newest := l.Checkpoint()
	synctest.Test(t, func(t *testing.T) {
		state := filepath.Join(t.TempDir(), "state")
		for range 2 {
			m, _ := s.monitor(t, state)
			m.Witnesses = []audit.Holder{&holder{note: newest}}
			watch(t, m, 0)
			time.Sleep(30 * time.Second)
		}
		m, _ := s.monitor(t, state)
		if _, err := m.Look(t.Context()); !errors.Is(err, audit.ErrMisbehaved) {
			t.Errorf("got %v, want %v", err, audit.ErrMisbehaved)
		}
	})
}

// TestMonitorHistory has the log itself change its mind.
func TestMonitorHistory(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	add(t, l, genesis(l), free)
	closeLog(t, l)
	other := *l
	other.Options.Dir, other.Options.Lock = t.TempDir()+"/data", t.TempDir()+"/lock"
	for to, from := range map[string]string{other.Options.Dir: l.Options.Dir, other.Options.Lock: l.Options.Lock} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	other.Open(t)
	bans(t, &other, 20)
	forked := copyLog(t, &other)
	l.Open(t)
	short := copyLog(t, l)
	bans(t, l, 10)
	long := copyLog(t, l)

	t.Run("gone back", func(t *testing.T) {
		s := newStage(t, l)
		s.show(t, long)
		synctest.Test(t, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "state")
			m, _ := s.monitor(t, state)
			watch(t, m, 0)
			s.show(t, short)
			for range 6 {
				m, _ = s.monitor(t, state)
				if _, err := m.Look(t.Context()); !errors.Is(err, audit.ErrNotYet) {
					t.Fatalf("got %v, want %v", err, audit.ErrNotYet)
				}
				time.Sleep(10 * time.Second)
			}
			if _, err := m.Look(t.Context()); !errors.Is(err, audit.ErrMisbehaved) {
				t.Errorf("got %v, want %v", err, audit.ErrMisbehaved)
			}
			s.show(t, long)
			m, _ = s.monitor(t, state)
			watch(t, m, 0)
			s.show(t, short)
			if _, err := m.Look(t.Context()); !errors.Is(err, audit.ErrNotYet) {
				t.Errorf("gone back once more: got %v, want %v", err, audit.ErrNotYet)
			}
		})
	})
	t.Run("another one", func(t *testing.T) {
		s := newStage(t, l)
		s.show(t, long)
		m, found := s.monitor(t, filepath.Join(t.TempDir(), "state"), everyBan())
		watch(t, m, 10)
		s.show(t, forked)
		_, err := m.Look(t.Context())
		wantFork(t, err, l, 11, 21)
		if len(*found) != 10 {
			t.Errorf("%d matches, want none of the other history", len(*found)-10)
		}
	})
	t.Run("entries of another root", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(long)); err != nil {
			t.Fatal(err)
		}
		swap(t, filepath.Join(dir, filepath.FromSlash(proof.BundlePath(0, 11))))
		s := newStage(t, l)
		s.show(t, dir)
		m, found := s.monitor(t, filepath.Join(t.TempDir(), "state"), everyBan())
		if _, err := m.Look(t.Context()); !errors.Is(err, audit.ErrMisbehaved) || len(*found) > 0 {
			t.Errorf("%v and %d matches, want %v and none", err, len(*found), audit.ErrMisbehaved)
		}
	})
}

// swap changes the reason of a ban in a bundle.
func swap(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(b), `"bad"`, `"dab"`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func closeLog(t *testing.T, l *logtest.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMonitorConditions has a log spend a key twice, renew an SVID twice and
// ignore a barrier, with a restart of the monitor between the two entries.
func TestMonitorConditions(t *testing.T) {
	t.Parallel()
	for promise, entries := range map[string][2]func(t *testing.T, l *logtest.Log, a *svid.Authority){
		"spent once": {
			func(t *testing.T, l *logtest.Log, _ *svid.Authority) { add(t, l, enrolment(1, 2), free) },
			func(t *testing.T, l *logtest.Log, _ *svid.Authority) { add(t, l, enrolment(1, 3), free) },
		},
		"renewed once": {
			func(t *testing.T, l *logtest.Log, a *svid.Authority) {
				first := addSVID(t, l, a, svid.Decision{Policy: 1, Decided: 2})
				addSVID(t, l, a, svid.Decision{Policy: 1, Decided: 3, Renews: &first})
			},
			func(t *testing.T, l *logtest.Log, a *svid.Authority) {
				addSVID(t, l, a, svid.Decision{Policy: 1, Decided: 4, Renews: new(uint64(2))})
			},
		},
		"an SVID is renewed": {
			func(t *testing.T, l *logtest.Log, a *svid.Authority) {
				addSVID(t, l, a, svid.Decision{Policy: 1, Decided: 2})
			},
			func(t *testing.T, l *logtest.Log, a *svid.Authority) {
				addSVID(t, l, a, svid.Decision{Policy: 1, Decided: 3, Renews: new(uint64(1))})
			},
		},
		"barriers hold": {
			func(t *testing.T, l *logtest.Log, _ *svid.Authority) { add(t, l, ban("x"), free) },
			func(t *testing.T, l *logtest.Log, _ *svid.Authority) { add(t, l, enrolment(1, 2), free) },
		},
		"policy in force": {
			func(t *testing.T, l *logtest.Log, _ *svid.Authority) {},
			func(t *testing.T, l *logtest.Log, a *svid.Authority) {
				addSVID(t, l, a, svid.Decision{Policy: 0, Decided: 2})
			},
		},
	} {
		t.Run(promise, func(t *testing.T) {
			t.Parallel()
			l := logtest.New(t, logtest.Unwitnessed())
			a := begin(t, l)
			entries[0](t, l, a)
			s := newStage(t, l)
			s.show(t, copyLog(t, l))
			state := filepath.Join(t.TempDir(), "state")
			m, _ := s.monitor(t, state)
			watch(t, m, 0)
			entries[1](t, l, a)
			s.show(t, copyLog(t, l))
			m, _ = s.monitor(t, state)
			if _, err := m.Look(t.Context()); !errors.Is(err, audit.ErrMisbehaved) {
				t.Errorf("got %v, want %v", err, audit.ErrMisbehaved)
			}
		})
	}
}

// TestMonitorState spoils the state in every way that must not be taken for a
// state, nor for none.
func TestMonitorState(t *testing.T) {
	t.Parallel()
	l := logtest.New(t, logtest.Unwitnessed())
	begin(t, l)
	add(t, l, enrolment(1, 2), log.Conditions{Decided: log.Unconditional})
	s := newStage(t, l)
	s.show(t, copyLog(t, l))
	whole := filepath.Join(t.TempDir(), "state")
	m, _ := s.monitor(t, whole)
	watch(t, m, 0)
	text, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := os.ReadFile(whole + ".journal")
	if err != nil || len(journal) != 41 {
		t.Fatalf("journal of %d bytes, %v", len(journal), err)
	}
	edit := func(from, to string) string {
		if !strings.Contains(string(text), from) {
			t.Fatalf("%s has no %q", text, from)
		}
		return strings.Replace(string(text), from, to, 1)
	}
	stranger := logtest.New(t, logtest.Unwitnessed())
	for name, files := range map[string][2]string{
		"no JSON":                           {"{", string(journal)},
		"cut":                               {string(text[:len(text)-1]), string(journal)},
		"another version":                   {edit(`"version":1`, `"version":2`), string(journal)},
		"an unknown member":                 {edit(`"version":1`, `"version":1,"x":1`), string(journal)},
		"a member twice":                    {edit(`"version":1`, `"version":1,"version":1`), string(journal)},
		"another log":                       {edit(l.Signer.VKey(), stranger.Signer.VKey()), string(journal)},
		"a larger size":                     {edit(`"size":3`, `"size":7`), string(journal)},
		"another size":                      {edit(`"size":3`, `"size":2`), string(journal)},
		"a longer journal":                  {edit(`"journal":41`, `"journal":82`), string(journal)},
		"a negative journal":                {edit(`"journal":41`, `"journal":-41`), string(journal)},
		"a journal too long for any memory": {edit(`"journal":41`, `"journal":4100000000000000`), string(journal)},
		"half a change":                     {edit(`"journal":41`, `"journal":40`), string(journal)},
		"no journal":                        {string(text), ""},
		"an unknown change":                 {string(text), "\x09" + string(journal[1:])},
		"a checkpoint unsigned":             {edit(`— log.example/test`, `— log.example/tost`), string(journal)},
	} {
		t.Run(name, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "state")
			for path, b := range map[string]string{state: files[0], state + ".journal": files[1]} {
				if b != "" {
					if err := os.WriteFile(path, []byte(b), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			m, _ := s.monitor(t, state)
			if n, err := m.Look(t.Context()); err == nil || errors.Is(err, audit.ErrMisbehaved) {
				t.Errorf("%d matches, %v; want an error that blames nobody", n, err)
			}
		})
	}
}

// hook answers with one status after the other, the last for ever.
type hook struct {
	statuses []int
	bodies   []string
	times    []time.Time
}

func (h *hook) RoundTrip(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	h.bodies, h.times = append(h.bodies, string(b)), append(h.times, time.Now())
	status := h.statuses[min(len(h.bodies), len(h.statuses))-1]
	if status == 0 {
		return nil, errors.New("nobody listens")
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: http.NoBody, Header: http.Header{"Location": {"http://elsewhere.example/"}}}, err
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		statuses []int
		tries    int
		took     time.Duration
		ok       bool
	}{
		{"at once", []int{200}, 1, 0, true},
		{"after a while", []int{503, 0, 429, 204}, 4, 7 * time.Second, true},
		{"never", []int{500}, 5, 15 * time.Second, false},
		{"refused", []int{403, 200}, 1, 0, false},
		{"sent elsewhere", []int{307, 200}, 1, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hook{statuses: c.statuses}
				w := &audit.Webhook{URL: "http://127.0.0.1:1/", Client: &http.Client{Transport: h}}
				start := time.Now()
				err := w.Post(t.Context(), map[string]string{"a": "b"})
				if (err == nil) != c.ok || len(h.bodies) != c.tries || time.Since(start) != c.took || h.bodies[0] != `{"a":"b"}` {
					t.Errorf("%v after %d tries and %s: %q", err, len(h.bodies), time.Since(start), h.bodies)
				}
			})
		})
	}
}

// TestWebhookLoopback posts to a real server.
func TestWebhookLoopback(t *testing.T) {
	t.Parallel()
	var got http.Header
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer s.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &audit.Webhook{URL: s.URL, TokenFile: token}
	if err := w.Post(t.Context(), []audit.Match{{Index: 7}}); err != nil || got.Get("Authorization") != "Bearer secret" || got.Get("Content-Type") != "application/json" {
		t.Errorf("%v, %v", err, got)
	}
}

const monitorYAML = `log: https://127.0.0.1:8443
log_policy: log.policy
state: monitor.state
every: 10s
webhook: {url: "http://127.0.0.1:9/x", token_file: hook.token}
rules:
  - {name: production, identity: "spiffe://acme.example/prod/**", kind: x509-svid}
  - {name: shop, source: ["github.com/acme/shop", "github.com/acme/*-api"], weakest: human}
  - {name: image, artifact: "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
  - {name: github, issuer: "https://token.actions.githubusercontent.com"}
  - {name: rules, kind: [policy, trust, ban, unban, join-token]}
  - {name: weak, insecure: true}
`

func loadMonitor(t *testing.T, text string) (*audit.MonitorFile, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "monitor.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return audit.LoadMonitorFile(path)
}

func TestMonitorFile(t *testing.T) {
	t.Parallel()
	f, err := loadMonitor(t, monitorYAML)
	if err != nil {
		t.Fatal(err)
	}
	if f.Every != 10*time.Second || f.Within != time.Minute || len(f.Rules) != 6 || !filepath.IsAbs(f.State) || !f.Rules[1].Source[1].Match("github.com/acme/x-api") {
		t.Errorf("%+v", f)
	}
	for says, edit := range map[string][2]string{
		"log, log_policy and state":  {"state: monitor.state\n", ""},
		"monitor.yaml:4:1":           {"every:", "evry:"},
		"at least 1s":                {"10s", "10ms"},
		"this machine only":          {"http://127.0.0.1:9/x", "http://hooks.example/x"},
		"an http or https URL":       {"http://127.0.0.1:9/x", "file:///x"},
		"an http or https URL ":      {"http://127.0.0.1:9/x", "https://user:password@hooks.example/x"},
		`did you mean "x509-svid"`:   {"kind: x509-svid", "kind: x509-svi"},
		`two rules named "shop"`:     {"name: production", "name: shop"},
		"has no condition":           {", insecure: true", ""},
		"a rule without name":        {"name: weak, ", ""},
		"want hardware, institution": {"weakest: human", "weakest: people"},
		"want a whole digest":        {"sha256:aaaa", "sha256:AAAA"},
		"stars alone":                {`"https://token.actions.githubusercontent.com"`, `"**"`},
		"a string: quote it":         {"name: weak", "name: 7"},
		"already defined":            {"every: 10s\n", "every: 10s\nevery: 10s\n"},
	} {
		_, err := loadMonitor(t, strings.Replace(monitorYAML, edit[0], edit[1], 1))
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(says)) {
			t.Errorf("%s -> %s: %v; want %q in it", edit[0], edit[1], err, says)
		}
	}
}

// What is in a file has one meaning, and no file makes it crash.
func FuzzMonitorFile(f *testing.F) {
	f.Add(monitorYAML)
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "monitor.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := audit.LoadMonitorFile(path)
		if err != nil {
			return
		}
		names := map[string]bool{}
		for _, r := range m.Rules {
			names[r.Name] = true
		}
		if len(names) != len(m.Rules) || names[""] || m.Every < time.Second {
			t.Errorf("%q loads as %+v", text, m)
		}
	})
}

// FuzzMonitorState reads states that nobody wrote.
func FuzzMonitorState(f *testing.F) {
	l := logtest.New(f, logtest.Unwitnessed())
	note, err := l.Signer.Sign(proof.Checkpoint{Origin: l.Policy.Origin(), Root: proof.EmptyRoot()})
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"version": 1, "origin": l.Policy.Origin(), "vkey": l.Policy.LogVKey(), "size": 0, "hashes": []string{}, "checkpoint": string(note), "claims": []any{},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, []byte{})
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "checkpoint"), note, 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, state, journal []byte) {
		path := filepath.Join(t.TempDir(), "state")
		for name, b := range map[string][]byte{path: state, path + ".journal": journal} {
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r, err := audit.Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		m := &audit.Monitor{Log: r, Policy: l.Policy, State: path, Within: time.Minute}
		if _, err := m.Look(t.Context()); errors.Is(err, audit.ErrMisbehaved) && m.Size() > 0 {
			t.Errorf("%q: %v", state, err)
		}
	})
}
