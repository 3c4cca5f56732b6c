package gate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"plastron/log"
	"plastron/log/statement"
	"plastron/node"
)

// MaxJoinTokenLife is the longest that a join token may wait for its use.
const MaxJoinTokenLife = time.Hour

// What follows changes what the gate decides, and does so only through entries.
// Whoever calls it has authenticated the caller and put who it was into Author.

// CreateToken appends a join token's public key and what it is for. The seed
// never reaches the gate.
func (g *Gate) CreateToken(ctx context.Context, t statement.JoinToken) (index uint64, err error) {
	known := func(v node.Verifier) bool { return v.Kind() == "join-token" && v.Name() == t.Node }
	if !slices.ContainsFunc(g.c.Nodes, known) {
		return 0, refuse(NotEnrolled, "no node source %q of kind join-token is configured: add it under `nodes`", t.Node)
	}
	if life := t.Expires.Sub(g.c.Now()); life <= 0 || life > MaxJoinTokenLife {
		return 0, refuse("node_malformed", "join token would live %s, want more than nothing and at most %s", life.Round(time.Second), MaxJoinTokenLife)
	}
	index, err = g.say(ctx, &t, log.Conditions{Decided: log.Unconditional})
	if err != nil {
		return 0, asRefusal(err)
	}
	return index, nil
}

// Ban appends a ban. From its index on no request that rests on the fact is
// granted.
func (g *Gate) Ban(ctx context.Context, b statement.Ban) (index uint64, err error) {
	if index, err = g.say(ctx, &b, barrier); err != nil {
		return 0, asRefusal(err)
	}
	return index, nil
}

// Unban appends the end of a ban.
func (g *Gate) Unban(ctx context.Context, u statement.Unban) (index uint64, err error) {
	at := g.state.look([]fact{{u.Kind, u.Value}}).banned
	if at == nil {
		return 0, refuse(NoMatch, "%s %q is not banned: `plastron ban list` shows what is", u.Kind, u.Value)
	}
	u.Ban = at.index
	if index, err = g.say(ctx, &u, barrier); err != nil {
		return 0, asRefusal(err)
	}
	return index, nil
}

// A StandingBan is a ban in force and the index of its entry.
type StandingBan struct {
	Index uint64
	statement.Ban
}

// Bans returns the bans in force, oldest first.
func (g *Gate) Bans() []StandingBan {
	var out []StandingBan
	for _, b := range g.state.banList() {
		out = append(out, StandingBan{b.index, *b.statement})
	}
	slices.SortFunc(out, func(a, b StandingBan) int { return cmp.Compare(a.Index, b.Index) })
	return out
}

// PolicyText is the statement that puts a policy text in force.
func PolicyText(name string, text []byte, author string) statement.Policy {
	return statement.Policy{Name: name, Text: string(text), SHA256: sha256.Sum256(text), Author: author}
}

// UsePolicy loads a policy text, which runs its tests, and makes it the one in
// force by appending it. On any failure the old one stays.
func (g *Gate) UsePolicy(ctx context.Context, name string, text []byte, author string) (index uint64, err error) {
	p := PolicyText(name, text, author)
	if err := g.loadPolicy(&p); err != nil {
		return 0, err
	}
	if at := g.state.look(nil).policy; at.statement.SHA256 == p.SHA256 {
		return at.index, nil
	}
	if index, err = g.appendPolicy(ctx, p); err != nil {
		return 0, fmt.Errorf("log policy: %w", err)
	}
	return index, nil
}
