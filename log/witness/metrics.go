package witness

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// metrics count what the server answers, for a Prometheus to read.
type metrics struct {
	mu      sync.Mutex // guards all below
	answers map[answered]uint64
	taken   map[string]int64 // by origin: Unix seconds of the last checkpoint taken
	entries map[string]uint64
	writes  uint64
	seconds float64 // that all writes took
}

// answered says which answers are counted together.
type answered struct {
	endpoint string
	log      string // origin; "" if no log of ours was named
	status   int
}

func newMetrics() *metrics {
	return &metrics{answers: map[answered]uint64{}, taken: map[string]int64{}, entries: map[string]uint64{}}
}

// answer counts an answer; now is the time in Unix seconds.
func (m *metrics) answer(a answered, now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers[a]++
	if a.status == http.StatusOK && a.log != "" {
		m.taken[a.log] = now
	}
}

// mirrored counts entries that were verified and are durable.
func (m *metrics) mirrored(origin string, n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries[origin] += n
}

// wrote counts a durable write of a state.
func (m *metrics) wrote(seconds float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	m.seconds += seconds
}

// Metrics serves counts and sizes in the Prometheus text format, version 0.0.4.
// Whoever reads them learns which logs are witnessed and how busy they are, so
// they belong on a listener of their own, on loopback.
func (s *Server) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Write(s.exposition())
	})
}

func (s *Server) exposition() []byte {
	var b bytes.Buffer
	family := func(name, kind, help string) { fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind) }
	m := s.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	family("plastron_witness_requests_total", "counter", "Answers given, by endpoint, log and HTTP status.")
	lines := make([]string, 0, len(m.answers))
	for a, n := range m.answers {
		lines = append(lines, fmt.Sprintf("plastron_witness_requests_total{endpoint=%s,log=%s,code=\"%d\"} %d\n", label(a.endpoint), label(a.log), a.status, n))
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, ""))
	family("plastron_witness_requests_in_flight", "gauge", "Requests in hand.")
	fmt.Fprintf(&b, "plastron_witness_requests_in_flight %d\n", len(s.slots))
	family("plastron_witness_write_seconds", "summary", "Durable writes of a log's state, and how long they took.")
	fmt.Fprintf(&b, "plastron_witness_write_seconds_sum %g\nplastron_witness_write_seconds_count %d\n", m.seconds, m.writes)
	origins := slices.Sorted(maps.Keys(s.logs))
	gauge := func(name, help string, value func(st *state, origin string) (any, bool)) {
		family(name, "gauge", help)
		for _, o := range origins {
			if v, ok := value(s.logs[o], o); ok {
				fmt.Fprintf(&b, "%s{log=%s} %d\n", name, label(o), v)
			}
		}
	}
	gauge("plastron_witness_size", "Size of the checkpoint taken last.", func(st *state, _ string) (any, bool) { return st.size.Load(), true })
	gauge("plastron_witness_taken_timestamp_seconds", "When a checkpoint was taken last, since the server started.", func(_ *state, o string) (any, bool) {
		t, ok := m.taken[o]
		return t, ok
	})
	gauge("plastron_witness_stopped", "1 if nothing is cosigned any more: the disk failed, start the witness again.", func(st *state, _ string) (any, bool) {
		if st.stopped.Load() || st.mirror != nil && st.mirror.stopped.Load() {
			return 1, true
		}
		return 0, true
	})
	gauge("plastron_witness_mirror_size", "Size of the checkpoint that the mirror signed last.", func(st *state, _ string) (any, bool) {
		if st.mirror == nil {
			return nil, false
		}
		return st.mirror.size(), true
	})
	gauge("plastron_witness_mirror_next", "First entry that the mirror lacks.", func(st *state, _ string) (any, bool) {
		if st.mirror == nil {
			return nil, false
		}
		return st.mirror.next.Load(), true
	})
	family("plastron_witness_mirror_entries_total", "counter", "Entries that were verified and are durable, those had before counted again.")
	for _, o := range origins {
		if n, ok := m.entries[o]; ok {
			fmt.Fprintf(&b, "plastron_witness_mirror_entries_total{log=%s} %d\n", label(o), n)
		}
	}
	return b.Bytes()
}

// label returns a label value in quotes.
func label(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
