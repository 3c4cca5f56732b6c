package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"

	gatev1 "plastron/gate/api/v1"
	"plastron/log/proof"
	"plastron/log/statement"
)

// An AdminClient speaks to a gate's admin socket. The socket's place and mode
// say that it is the gate: whoever can put a socket there is the gate's user.
type AdminClient struct {
	http  *http.Client
	admin gatev1.AdminServiceClient
}

// adminURL stands for the socket, which has no host.
const adminURL = "http://admin"

// NewAdminClient returns a client of the admin socket at a path. It does not
// connect yet.
func NewAdminClient(socket string) *AdminClient {
	hc := &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", socket)
			},
			ResponseHeaderTimeout:  callTimeout,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &AdminClient{hc, gatev1.NewAdminServiceClient(hc, adminURL, connect.WithReadMaxBytes(maxAnswer))}
}

// Close ends idle connections.
func (c *AdminClient) Close() { c.http.CloseIdleConnections() }

// HTTPClient returns a client whose every request, with the URL
// http://admin/…, goes to the socket. The log, records and evidence are there
// by GET as they are at the gate's address.
func (c *AdminClient) HTTPClient() (base string, hc *http.Client) { return adminURL, c.http }

// CreateToken logs a join token that expires ttl from now, at most an hour. The
// gate sets Expires and Author. It returns the index of the entry and when the
// token expires.
func (c *AdminClient) CreateToken(ctx context.Context, t statement.JoinToken, ttl time.Duration) (index uint64, expires time.Time, err error) {
	if ttl < time.Second || ttl > time.Hour {
		return 0, time.Time{}, fmt.Errorf("create join token: it would live %s, want a second to an hour", ttl)
	}
	res, err := call(ctx, "create join token", c.admin.CreateToken, &gatev1.CreateTokenRequest{
		Node: t.Node, PublicKey: t.PublicKey, SpiffeId: t.SPIFFEID, Rule: t.Rule, Reason: t.Reason, TtlSeconds: uint32(ttl / time.Second),
	})
	if err != nil {
		return 0, time.Time{}, err
	}
	if expires, err = time.Parse(time.RFC3339, res.GetExpires()); err != nil {
		return 0, time.Time{}, fmt.Errorf("create join token: %w", err)
	}
	return res.GetIndex(), expires, nil
}

// Ban bans a fact. The gate sets Author. It returns the index of the entry from
// which on the ban holds.
func (c *AdminClient) Ban(ctx context.Context, b statement.Ban) (index uint64, err error) {
	res, err := call(ctx, "ban", c.admin.Ban, &gatev1.BanRequest{Kind: b.Kind, Value: b.Value, Reason: b.Reason})
	return res.GetIndex(), err
}

// Unban ends a ban. The gate sets Ban and Author.
func (c *AdminClient) Unban(ctx context.Context, u statement.Unban) (index uint64, err error) {
	res, err := call(ctx, "unban", c.admin.Unban, &gatev1.UnbanRequest{Kind: u.Kind, Value: u.Value, Reason: u.Reason})
	return res.GetIndex(), err
}

// A StandingBan is a ban in force and the index of its entry.
type StandingBan struct {
	Index uint64
	statement.Ban
}

// Bans returns the bans in force, oldest first.
func (c *AdminClient) Bans(ctx context.Context) ([]StandingBan, error) {
	res, err := call(ctx, "list bans", c.admin.ListBans, &gatev1.ListBansRequest{})
	if err != nil {
		return nil, err
	}
	var out []StandingBan
	for _, b := range res.GetBans() {
		out = append(out, StandingBan{b.GetIndex(), statement.Ban{Kind: b.GetKind(), Value: b.GetValue(), Reason: b.GetReason(), Author: b.GetAuthor()}})
	}
	return out, nil
}

// A Status is what a gate stands on.
type Status struct {
	LogSize      uint64     // number of durable entries
	Checkpoint   []byte     // newest cosigned checkpoint, a signed note
	PolicyIndex  uint64     // of the entry of the policy in force
	PolicySHA256 proof.Hash // of its text
}

// Status asks what the gate stands on right now.
func (c *AdminClient) Status(ctx context.Context) (*Status, error) {
	res, err := call(ctx, "ask for the status", c.admin.Status, &gatev1.StatusRequest{})
	if err != nil {
		return nil, err
	}
	s := &Status{LogSize: res.GetLogSize(), Checkpoint: res.GetCheckpoint(), PolicyIndex: res.GetPolicyIndex()}
	if err := s.PolicySHA256.UnmarshalText([]byte(res.GetPolicySha256())); err != nil {
		return nil, fmt.Errorf("ask for the status: policy: %w", err)
	}
	return s, nil
}
