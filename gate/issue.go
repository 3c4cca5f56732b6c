package gate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate/policy"
	"plastron/log"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/svid"
)

// Backdate is how far before the decision an SVID begins, for relying parties
// whose clocks are behind.
const Backdate = 10 * time.Second

// maxBehind is how far the clock may be behind the latest decision in the log. A
// clock that goes back further would stretch what has expired.
const maxBehind = 2 * time.Minute

// tries is how often a decision is made again because the log moved under it.
const tries = 3

// A grant is a decision to issue. Only decide and the self rule make one.
type grant struct {
	id       spiffeid.ID
	rule     string
	public   any
	key      proof.Hash
	ttl      time.Duration
	now      time.Time
	record   statement.Record
	evidence [][]byte
	spent    []proof.Hash
	draft    svid.Draft
	again    *issuance // not nil: this entry is minted again instead
}

// Issue appraises the request, logs the issuance, and only then mints. The
// error is always a *Refusal.
func (g *Gate) Issue(ctx context.Context, req *Request) (s *svid.SVID, err error) {
	defer func() {
		if p := recover(); p != nil {
			s, err = nil, &Refusal{Code: Internal, Fact: "the gate failed; its own log says more", Err: fmt.Errorf("panic: %v", p)}
		}
		g.account(s, err)
	}()
	f, leave, err := g.appraise(ctx, req)
	if err != nil {
		return nil, asRefusal(err)
	}
	defer leave()
	for range tries {
		if s, err = g.decideAndLog(ctx, req, f); !moved(err) {
			break
		}
	}
	if err != nil {
		return nil, asRefusal(err)
	}
	return s, nil
}

// errAgain says that another request with the same token won the race, and that
// its entry is now in the state.
var errAgain = errors.New("the token was spent while this request was decided")

func moved(err error) bool {
	var stale *log.StaleError
	return errors.As(err, &stale) || errors.Is(err, errAgain)
}

// decideAndLog is one try: a decision on the state of now, its entry, its SVID.
func (g *Gate) decideAndLog(ctx context.Context, req *Request, f *facts) (*svid.SVID, error) {
	gr, err := g.decide(req, f)
	if err != nil {
		return nil, err
	}
	mint := g.record
	if gr.again != nil {
		mint = g.mintAgain
	}
	s, err := mint(ctx, gr)
	if err == nil && g.c.Issued != nil {
		g.c.Issued(gr.rule)
	}
	var spent *log.SpentError
	if errors.As(err, &spent) && len(gr.spent) > 0 && spent.Key == gr.spent[0] {
		// The chain's key was taken between our look and the append. The log
		// says so once that entry is applied: decide again on what it says.
		return nil, errAgain
	}
	return s, err
}

// decide asks policy, bans and the chain. It is a function of the facts and the
// state; it changes nothing.
func (g *Gate) decide(req *Request, f *facts) (*grant, error) {
	v := g.state.look(banFacts(f))
	if behind := v.latest.Sub(f.now); behind > maxBehind {
		return nil, refuse(LogUnavailable, "the gate's clock is %s behind its own log: whoever runs it has to mend the clock", behind.Round(time.Second))
	}
	p, err := g.loaded(v.policy)
	if err != nil {
		return nil, err
	}
	granted, no := p.Decide(&f.policy)
	if no != nil {
		return nil, fromPolicy(no)
	}
	if err := joinTokenAllows(f.where, granted); err != nil {
		return nil, err
	}
	if f.who != nil && f.who.renewal != nil {
		if err := f.who.renewal.allowed(f.who.facts, granted, f.now); err != nil {
			return nil, err
		}
	}
	if v.banned != nil {
		b := v.banned.statement
		return nil, refuse(Banned, "%s %q is banned since entry %d: %s", b.Kind, b.Value, v.banned.index, b.Reason)
	}
	if b := g.state.look([]fact{{"spiffe-id", granted.ID.String()}}); b.banned != nil {
		return nil, refuse(Banned, "%s is banned since entry %d: %s", granted.ID, b.banned.index, b.banned.statement.Reason)
	}
	return g.grant(req, f, v, granted)
}

// grant writes a policy's yes down: what is spent, what is recorded, what the
// certificate will say.
func (g *Gate) grant(req *Request, f *facts, v view, yes *policy.Grant) (*grant, error) {
	gr := &grant{id: yes.ID, rule: yes.Rule, public: f.public, key: f.key, ttl: yes.TTL, now: f.now.UTC().Truncate(time.Second)}
	renews, err := g.spend(gr, f)
	if err != nil || gr.again != nil {
		return gr, err
	}
	if err := gr.recordOf(req, f, v, yes, g.c.Build); err != nil {
		return nil, err
	}
	gr.record.Renews = renews
	gr.draft = svid.Draft{
		Decision: svid.Decision{
			Policy: v.policy.index, Decided: v.decided, Artifact: gr.record.Verdict.Artifact,
			Tie: svid.Tie(gr.record.Verdict.Tie), Insecure: gr.record.Insecure, Renews: renews,
		},
	}
	if f.what != nil {
		x := f.what.Extensions()
		gr.draft.Build = &x
	}
	return gr, nil
}

// record drafts the SVID, appends it with its record and evidence, and mints
// from the receipt. From the append's return on a crash loses nothing: the
// entry is durable and cosigned, and the same request mints it again.
func (g *Gate) record(ctx context.Context, gr *grant) (*svid.SVID, error) {
	text, err := statement.Marshal(&gr.record)
	if err != nil {
		return nil, err
	}
	d := gr.draft
	d.ID, d.Key, d.NotBefore, d.NotAfter = gr.id, gr.public, gr.now.Add(-Backdate), gr.now.Add(gr.ttl)
	if ca := g.c.Authority.NotAfter(); d.NotAfter.After(ca) {
		d.NotAfter = ca
	}
	d.Decision.Record = sha256.Sum256(text)
	for _, k := range gr.spent {
		d.Decision.Spent = append(d.Decision.Spent, k)
	}
	for _, fl := range gr.record.Verdict.Floors {
		d.Decision.Floors = append(d.Decision.Floors, fl.Fact+":"+fl.Floor)
	}
	d.Decision.Floors = slices.Compact(d.Decision.Floors) // a fact may stand on several anchors
	tbs, err := g.c.Authority.Draft(d)
	if err != nil {
		return nil, refuse(KeyRefused, "%w", err)
	}
	entry, err := proof.Frame(proof.X509SVID, tbs)
	if err != nil {
		return nil, err
	}
	receipt, err := g.log.Append(ctx, entry,
		log.Conditions{Decided: gr.record.Verdict.Decided, Spent: gr.spent}, append([][]byte{text}, gr.evidence...)...)
	if err != nil {
		return nil, err
	}
	return g.c.Authority.Mint(receipt)
}

// mintAgain mints an entry that is already in the log.
func (g *Gate) mintAgain(ctx context.Context, gr *grant) (*svid.SVID, error) {
	r, err := g.log.Receipt(ctx, gr.again.index)
	if err != nil {
		return nil, err
	}
	return g.c.Authority.Mint(r)
}

// spend says what a request uses up. The first key is the chain's: that of the
// token, or of the join token where there is none. If it is spent already, by
// this SVID key and artifact, the chain's newest entry is minted again, or
// after half of its life followed by a new one.
func (g *Gate) spend(gr *grant, f *facts) (renews *uint64, err error) {
	if f.who != nil {
		gr.spent = append(gr.spent, f.who.spends)
	}
	if f.where != nil {
		gr.spent = append(gr.spent, hostKeys(f.where)...)
	}
	if len(gr.spent) == 0 {
		return nil, refuse(Internal, "the rule rests on nothing that can be spent")
	}
	chain := gr.spent[0]
	index, taken := g.log.Spent(chain)
	if !taken {
		return g.renews(gr, f)
	}
	replayed := NodeReplayed
	if f.who != nil {
		replayed = f.who.replayed
	}
	first, newest := g.state.chain(index)
	switch {
	case newest == nil:
		return nil, refuse(replayed, "it was used for entry %d, whose SVID is long over: get a new one", index)
	case newest.key != gr.key:
		return nil, refuse(replayed, "it was used for entry %d with another key: what speaks for you is spent on the first key it comes with", index)
	case newest.artifact != artifact(f):
		return nil, refuse(replayed, "it was used for entry %d with another artifact", index)
	case newest.id != gr.id.String():
		return nil, refuse(replayed, "it was used for entry %d, which is another identity", index)
	case gr.now.Before(newest.notBefore.Add(newest.notAfter.Sub(newest.notBefore) / 2)):
		gr.again = newest
		return nil, nil
	}
	gr.spent = append([]proof.Hash{reissueKey(chain, newest.index)}, g.unspentBy(first, gr.spent[1:])...)
	return &newest.index, nil
}

// renews returns the entry that a renewal follows. Only the newest of its chain
// can be renewed: a chain does not branch.
func (g *Gate) renews(gr *grant, f *facts) (*uint64, error) {
	if f.who == nil || f.who.renewal == nil {
		return nil, nil
	}
	index := f.who.renewal.index
	first, newest := g.state.chain(index)
	if newest == nil || newest.index != index {
		return nil, refuse(RenewalRefused, "entry %d is not the newest of its chain: renew the newest, or bring a token", index)
	}
	gr.spent = append(gr.spent[:1], g.unspentBy(first, gr.spent[1:])...)
	return &index, nil
}

// unspentBy drops what the first entry of a chain has spent for the whole of it:
// a join token.
func (g *Gate) unspentBy(first *issuance, spent []proof.Hash) (out []proof.Hash) {
	for _, k := range spent {
		if index, taken := g.log.Spent(k); !taken || index != first.index {
			out = append(out, k)
		}
	}
	return out
}

// account writes one line and one count for each request.
func (g *Gate) account(s *svid.SVID, err error) {
	var r *Refusal
	switch {
	case errors.As(err, &r):
		g.c.Logger.Warn("refused", "code", string(r.Code), "rule", r.Rule, "err", r.Err)
	case s != nil:
		g.c.Logger.Info("issued", "spiffe_id", s.ID().String(), "log_index", s.Index())
	}
}
