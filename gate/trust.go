package gate

import (
	"context"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"reflect"

	"plastron/gate/policy"
	"plastron/log"
	"plastron/log/proof"
	"plastron/log/statement"
)

// barrier are the conditions of what an operator changes: nothing makes it
// stale, and it makes every decision before it stale.
var barrier = log.Conditions{Decided: log.Unconditional, Barrier: true}

// say appends a statement and returns its index once it is durable. A missing
// witness quorum does not undo an operator's act: it is in force from its entry
// on, and the error says that it has not been witnessed yet.
func (g *Gate) say(ctx context.Context, p statement.Predicate, c log.Conditions, blobs ...[]byte) (uint64, error) {
	body, err := statement.Marshal(p)
	if err != nil {
		return 0, err
	}
	entry, err := proof.Frame(proof.Statement, body)
	if err != nil {
		return 0, err
	}
	r, err := g.log.Append(ctx, entry, c, blobs...)
	if err != nil {
		return 0, err
	}
	return r.Index(), nil
}

// logTrust appends the configured trust unless the newest trust entry says the
// same. On an empty log it is the genesis.
func (g *Gate) logTrust(ctx context.Context) error {
	g.state.mu.RLock()
	last := g.state.trust
	g.state.mu.RUnlock()
	if last != nil && reflect.DeepEqual(normal(last.statement), normal(&g.c.Trust)) {
		return nil
	}
	index, err := g.say(ctx, &g.c.Trust, barrier)
	if err != nil {
		return fmt.Errorf("log trust: %w", err)
	}
	g.c.Logger.Info("trust logged", "log_index", index)
	return nil
}

// normal returns t as it comes back from the log, so that nil and empty lists
// compare equal.
func normal(t *statement.Trust) *statement.Trust {
	b, err := statement.Marshal(t)
	if err != nil {
		return t
	}
	p, err := statement.Parse(b)
	if err != nil {
		return t
	}
	return p.(*statement.Trust)
}

// loadPolicy loads a policy text, which runs its tests, and remembers it by
// its hash.
func (g *Gate) loadPolicy(p *statement.Policy) error {
	loaded, err := policy.Load(p.Name, []byte(p.Text), g.c.Env)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.policies[p.SHA256] = loaded
	return nil
}

// logPolicy appends the configured policy unless it is the newest policy entry.
func (g *Gate) logPolicy(ctx context.Context) error {
	if last := g.state.look(nil).policy; last != nil && last.statement.SHA256 == g.c.Policy.SHA256 {
		return nil
	}
	index, err := g.appendPolicy(ctx, g.c.Policy)
	if err != nil {
		return fmt.Errorf("log policy: %w", err)
	}
	g.c.Logger.Info("policy logged", "log_index", index, "sha256", g.c.Policy.SHA256.String())
	return nil
}

// appendPolicy appends a loaded policy. A text too long for an entry is stored
// beside it, by its hash.
func (g *Gate) appendPolicy(ctx context.Context, p statement.Policy) (uint64, error) {
	var blobs [][]byte
	if len(p.Text) > statement.MaxText {
		blobs, p.Text = [][]byte{[]byte(p.Text)}, ""
	}
	return g.say(ctx, &p, barrier, blobs...)
}

// loaded returns the program of the policy in force. A policy entry that this
// process did not load decides nothing: refuse.
func (g *Gate) loaded(p *policyAt) (*policy.Policy, error) {
	if p == nil {
		return nil, refuse(Internal, "no policy is in force")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.policies[p.statement.SHA256]; l != nil {
		return l, nil
	}
	return nil, refuse(Internal, "the policy of entry %d is not loaded", p.index)
}

// A Bundle is what a client needs to believe this gate's SVIDs.
type Bundle struct {
	Certificates [][]byte // DER, CA certificates
	Checkpoint   []byte   // newest cosigned checkpoint, a signed note
	Trust        Proven   // newest trust entry
	Genesis      Proven   // entry 0
}

// Proven is an entry with its proof.
type Proven struct {
	Entry []byte
	Proof proof.Proof
}

// Trust returns the newest trust statement. It is shared: do not change it.
func (g *Gate) Trust() *statement.Trust {
	g.state.mu.RLock()
	defer g.state.mu.RUnlock()
	return g.state.trust.statement
}

// Bundle returns the CA bundle and the trust entries that say so, with proofs.
func (g *Gate) Bundle(ctx context.Context) (*Bundle, error) {
	g.state.mu.RLock()
	newest := g.state.trust
	g.state.mu.RUnlock()
	genesis, err := g.proven(ctx, 0)
	if err != nil {
		return nil, asRefusal(err)
	}
	trust := genesis
	if newest.index > 0 {
		if trust, err = g.proven(ctx, newest.index); err != nil {
			return nil, asRefusal(err)
		}
	}
	return &Bundle{newest.statement.Certificates, g.log.Checkpoint(), *trust, *genesis}, nil
}

func (g *Gate) proven(ctx context.Context, index uint64) (*Proven, error) {
	r, err := g.log.Receipt(ctx, index)
	if err != nil {
		return nil, err
	}
	e, err := g.log.Entry(index)
	if err != nil {
		return nil, err
	}
	return &Proven{e.Entry, r.Proof()}, nil
}

// predicate returns the predicate's own JSON, as the log shows it.
func predicate(p statement.Predicate) (jsontext.Value, error) {
	return json.Marshal(p, json.Deterministic(true))
}
