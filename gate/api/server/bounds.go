package server

import (
	"context"
	"net"
	"net/http"
	"path"
	"runtime/debug"
	"sync"

	"connectrpc.com/connect"

	"plastron/gate"
)

// bounded limits what one request and one peer may cost, and refuses what no
// handler of ours should see.
func (h *Handler) bounded(next http.Handler) http.Handler {
	places := &places{under: map[string]int{}}
	write := connect.NewErrorWriter(h.options()...)
	next = http.MaxBytesHandler(next, maxRequest)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.URL.RawPath != "" || r.URL.Path != path.Clean(r.URL.Path) {
			http.NotFound(w, r)
			return
		}
		peer, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			peer = "" // a Unix socket: all of them are one peer
		}
		if !places.enter(peer) {
			h.metrics.refused(gate.LimitExceeded)
			_ = write.Write(w, r, wire(&gate.Refusal{Code: gate.LimitExceeded, Fact: "too many requests are under way; wait for them"}))
			return
		}
		defer places.leave(peer)
		defer h.recovered(w, r, write)
		ctx, cancel := context.WithTimeout(r.Context(), maxTime)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// recovered turns a panic into `internal`. No answer has begun by then: services
// return theirs whole.
func (h *Handler) recovered(w http.ResponseWriter, r *http.Request, write *connect.ErrorWriter) {
	p := recover()
	switch p {
	case nil:
		return
	case http.ErrAbortHandler:
		panic(p)
	}
	h.logger.Error("panic", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	h.metrics.refused(gate.Internal)
	_ = write.Write(w, r, wire(nil))
}

// places counts requests under way.
type places struct {
	mu    sync.Mutex // guards all below
	under map[string]int
	total int
}

func (p *places) enter(peer string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.total >= inTotal || p.under[peer] >= perPeer {
		return false
	}
	p.total++
	p.under[peer]++
	return true
}

func (p *places) leave(peer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total--
	if p.under[peer]--; p.under[peer] == 0 {
		delete(p.under, peer)
	}
}
