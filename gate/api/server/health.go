package server

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"plastron/log/proof"
)

// staleAfter is how old the newest quorum may be before the gate says that it is
// not ready. An idle log is cosigned again every minute.
const staleAfter = 5 * time.Minute

// Metrics returns the handler for the operator's own listener:
//
//	/livez            200 while the process serves
//	/readyz[?verbose] 200 if the gate could issue now; 503 with what is wrong
//	/metrics          Prometheus text
func (h *Handler) Metrics() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.metrics.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return h.bounded(mux)
}

func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	checks := []struct {
		name  string
		check func() error
	}{
		{"log", h.gate.Log().Err},
		{"quorum", h.quorum},
		{"certificate", h.certificate},
	}
	status, text := http.StatusOK, ""
	for _, c := range checks {
		if err := c.check(); err != nil {
			status = http.StatusServiceUnavailable
			text += fmt.Sprintf("FAIL %s: %v\n", c.name, err)
		} else if r.URL.Query().Has("verbose") {
			text += fmt.Sprintf("ok   %s\n", c.name)
		}
	}
	if text == "" {
		text = "ok\n"
	}
	w.WriteHeader(status)
	fmt.Fprint(w, text)
}

// quorum checks that the witnesses have cosigned lately.
func (h *Handler) quorum() error {
	policy, err := proof.ParsePolicy([]byte(h.gate.Trust().LogPolicy))
	if err != nil {
		return err
	}
	c, err := policy.OpenCheckpoint(h.gate.Log().Checkpoint())
	if err != nil {
		return err
	}
	if policy.Unwitnessed() {
		return nil
	}
	var newest time.Time
	for _, t := range c.Times() {
		if t.After(newest) {
			newest = t
		}
	}
	if age := h.now().Sub(newest); age > staleAfter {
		return fmt.Errorf("newest cosignature is %s old, want at most %s: are the witnesses up?", age.Round(time.Second), staleAfter)
	}
	return nil
}

// certificate checks that the gate can show who it is.
func (h *Handler) certificate() error {
	c, err := h.gate.Certificate(nil)
	switch {
	case err != nil:
		return err
	case c == nil || c.Leaf == nil:
		return errors.New("the gate has no SVID of its own")
	case h.now().After(c.Leaf.NotAfter):
		return fmt.Errorf("the gate's own SVID ended %s", c.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}
