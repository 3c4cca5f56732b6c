package server

import (
	"context"
	"net"
)

// peerKey is the context key of a connection's peer uid, a uint32.
type peerKey struct{}

// ConnContext asks the kernel who is at the other end of a Unix socket. It is
// the ConnContext of the http.Server that serves [Handler.Admin], and does
// nothing for other connections. Where the kernel does not tell, it leaves the
// context as it is, and the handler refuses: a uid of zero would read as root.
func (h *Handler) ConnContext(ctx context.Context, c net.Conn) context.Context {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	uid, err := socketUID(u)
	if err != nil {
		h.logger.Error("peer of the admin socket", "err", err)
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

func peerUID(ctx context.Context) (uint32, bool) {
	uid, ok := ctx.Value(peerKey{}).(uint32)
	return uid, ok
}
