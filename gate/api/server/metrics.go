package server

import (
	"errors"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"plastron/gate"
)

// Metrics count what a gate answered. Labels are bounded: codes come from a
// closed list, rules from the operator's policies. None of them is a word of a
// request.
type Metrics struct {
	registry  *prometheus.Registry
	refusals  *prometheus.CounterVec
	issuances *prometheus.CounterVec
	seconds   prometheus.Histogram
}

// NewMetrics returns metrics in which nothing has happened.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plastron_gate_refusals_total", Help: "Requests refused, by code.",
		}, []string{"code"}),
		issuances: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "plastron_gate_issuances_total", Help: "SVIDs returned, by rule.",
		}, []string{"rule"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "plastron_gate_issue_seconds", Help: "How long Issue took, whatever it answered.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
	}
	for _, c := range gate.Codes {
		m.refusals.WithLabelValues(string(c)) // each is there from the start, at zero
	}
	m.registry.MustRegister(m.refusals, m.issuances, m.seconds)
	return m
}

// Issued counts an SVID by the rule that granted it. It is the gate's
// [gate.Config.Issued].
func (m *Metrics) Issued(rule string) { m.issuances.WithLabelValues(rule).Inc() }

// watch adds what is asked of the gate itself when the metrics are read.
func (m *Metrics) watch(g *gate.Gate) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "plastron_log_size", Help: "Durable entries of the log.",
	}, func() float64 { return float64(g.Log().Size()) }))
}

// refused counts a refusal. A code outside of the closed list is `internal`.
func (m *Metrics) refused(c gate.Code) {
	if !slices.Contains(gate.Codes, c) {
		c = gate.Internal
	}
	m.refusals.WithLabelValues(string(c)).Inc()
}

// no counts an error of the gate by its code and returns it for the client.
func (m *Metrics) no(err error) error {
	code := gate.Internal
	var r *gate.Refusal
	if errors.As(err, &r) {
		code = r.Code
	}
	m.refused(code)
	return wire(err)
}

// issuing measures until the function that it returns is called.
func (m *Metrics) issuing() func() {
	t := prometheus.NewTimer(m.seconds)
	return func() { t.ObserveDuration() }
}
