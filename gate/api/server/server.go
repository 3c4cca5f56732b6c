package server

import (
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"plastron/gate"
	gatev1 "plastron/gate/api/v1"
)

// Bounds on requests, applied before anything is parsed.
const (
	maxRequest = 4 << 20 // bytes of one HTTP request's body
	maxMessage = 3 << 20 // bytes of one message: the gate's own limits add up to 2.1 MiB, base64 makes 2.8 of them
	perPeer    = 256     // requests under way for one peer address
	inTotal    = 1024    // requests under way for all
	maxTime    = 45 * time.Second
)

// Config says who may read, and where to write.
type Config struct {
	OpenLog  bool             // log.read is open: everybody reads the log; false: auditors do
	Auditors []string         // SPIFFE IDs that read the log, records and evidence
	Metrics  *Metrics         // what the gate counts its issuances in; nil: they are not counted
	Now      func() time.Time // nil: time.Now
	Logger   *slog.Logger     // nil: slog.Default
}

// A Handler serves one gate.
type Handler struct {
	gate    *gate.Gate
	readers *readers
	metrics *Metrics
	now     func() time.Time
	logger  *slog.Logger
}

// New returns the handlers of a gate.
func New(g *gate.Gate, c Config) *Handler {
	h := &Handler{gate: g, metrics: c.Metrics, now: c.Now, logger: c.Logger}
	if h.metrics == nil {
		h.metrics = NewMetrics()
	}
	h.metrics.watch(g)
	if h.now == nil {
		h.now = time.Now
	}
	if h.logger == nil {
		h.logger = slog.Default()
	}
	h.readers = &readers{gate: g, open: c.OpenLog, auditors: c.Auditors, now: h.now}
	return h
}

// API returns the handler for workloads, relying parties and auditors. It wants
// TLS with the gate's own SVID that asks for, but does not verify, client
// certificates.
func (h *Handler) API() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(gatev1.NewGateServiceHandler(&service{h.gate, h.metrics}, h.options()...))
	h.readers.mount(mux, h.readers.peer)
	return h.bounded(mux)
}

// Admin returns the handler for the admin socket. It serves only connections
// that went through [Handler.ConnContext], from the gate's own user or root.
func (h *Handler) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(gatev1.NewAdminServiceHandler(&admin{h.gate, h.metrics, h.now}, h.options()...))
	h.readers.mount(mux, operator)
	return h.bounded(operators(mux))
}

// PublicLog returns the handler that serves the log alone, over plain HTTP. It
// refuses everything unless the log is open.
func (h *Handler) PublicLog() http.Handler {
	mux := http.NewServeMux()
	if h.readers.open {
		h.readers.mountLog(mux, h.readers.peer)
	}
	return h.bounded(mux)
}

// options are those of every connect handler.
func (h *Handler) options() []connect.HandlerOption {
	options := []connect.HandlerOption{
		connect.WithReadMaxBytes(maxMessage),
		connect.WithCompression("gzip", nil, nil), // nothing to inflate
	}
	for _, c := range codecs() {
		options = append(options, connect.WithCodec(c))
	}
	return options
}
