package server

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"plastron/gate"
	gatev1 "plastron/gate/api/v1"
	"plastron/log/statement"
)

// An admin is AdminService. Who asks is what the kernel says, and goes into the
// entry as its author.
type admin struct {
	gate    *gate.Gate
	metrics *Metrics
	now     func() time.Time
}

func (a *admin) CreateToken(ctx context.Context, r *gatev1.CreateTokenRequest) (*gatev1.CreateTokenResponse, error) {
	t := statement.JoinToken{
		Node: r.GetNode(), PublicKey: r.GetPublicKey(), SPIFFEID: r.GetSpiffeId(), Rule: r.GetRule(), Reason: r.GetReason(),
		Expires: a.now().UTC().Truncate(time.Second).Add(time.Duration(r.GetTtlSeconds()) * time.Second), Author: author(ctx),
	}
	index, err := a.gate.CreateToken(ctx, t)
	if err != nil {
		return nil, a.metrics.no(err)
	}
	return &gatev1.CreateTokenResponse{Index: index, Expires: t.Expires.Format(time.RFC3339)}, nil
}

func (a *admin) Ban(ctx context.Context, r *gatev1.BanRequest) (*gatev1.BanResponse, error) {
	index, err := a.gate.Ban(ctx, statement.Ban{Kind: r.GetKind(), Value: r.GetValue(), Reason: r.GetReason(), Author: author(ctx)})
	if err != nil {
		return nil, a.metrics.no(err)
	}
	return &gatev1.BanResponse{Index: index}, nil
}

func (a *admin) Unban(ctx context.Context, r *gatev1.UnbanRequest) (*gatev1.UnbanResponse, error) {
	index, err := a.gate.Unban(ctx, statement.Unban{Kind: r.GetKind(), Value: r.GetValue(), Reason: r.GetReason(), Author: author(ctx)})
	if err != nil {
		return nil, a.metrics.no(err)
	}
	return &gatev1.UnbanResponse{Index: index}, nil
}

func (a *admin) ListBans(context.Context, *gatev1.ListBansRequest) (*gatev1.ListBansResponse, error) {
	res := &gatev1.ListBansResponse{}
	for _, b := range a.gate.Bans() {
		res.Bans = append(res.Bans, &gatev1.StandingBan{Index: b.Index, Kind: b.Kind, Value: b.Value, Reason: b.Reason, Author: b.Author})
	}
	return res, nil
}

func (a *admin) Status(context.Context, *gatev1.StatusRequest) (*gatev1.StatusResponse, error) {
	index, p := a.gate.Policy()
	return &gatev1.StatusResponse{
		LogSize: a.gate.Log().Size(), Checkpoint: a.gate.Log().Checkpoint(),
		PolicyIndex: index, PolicySha256: p.SHA256.String(),
	}, nil
}

// author names the caller in entries.
func author(ctx context.Context) string {
	if uid, ok := peerUID(ctx); ok {
		return fmt.Sprintf("uid %d on the admin socket", uid)
	}
	return ""
}

// isOperator says whether the peer of a request is the gate's own user or root.
// A connection of which the kernel told nothing is nobody's.
func isOperator(ctx context.Context) bool {
	uid, ok := peerUID(ctx)
	return ok && (uid == 0 || uid == uint32(os.Getuid()))
}

// operators refuses everybody else.
func operators(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isOperator(r.Context()) {
			http.Error(w, "the admin socket serves the gate's own user and root", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
