package gate

import (
	"context"
	"errors"
	"time"

	"plastron/log"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/node"
)

// maxEnrol bounds the request and the answer of an enrolment, in bytes.
const maxEnrol = 64 << 10

// Challenge returns what the node must answer to be enrolled. Nothing is kept:
// the same request under the same beacon and key has the same answer.
func (g *Gate) Challenge(ctx context.Context, kind string, request, beacon, spki []byte) ([]byte, error) {
	var challenge []byte
	err := g.eachEnroller(kind, request, beacon, spki, func(e node.Enroller, bind [32]byte, now time.Time) (err error) {
		challenge, err = e.Challenge(ctx, request, bind, now)
		return err
	})
	if err != nil {
		return nil, asRefusal(err)
	}
	return challenge, nil
}

// Enrol appends the enrolment of a node that has answered its challenge and
// that its source lets in, and returns the entry's index. A node that is
// enrolled already gets the index of that entry.
func (g *Gate) Enrol(ctx context.Context, kind string, request, answer, beacon, spki []byte) (index uint64, err error) {
	if len(answer) > maxEnrol {
		return 0, refuse(LimitExceeded, "answer of %d bytes, want at most %d", len(answer), maxEnrol)
	}
	err = g.eachEnroller(kind, request, beacon, spki, func(e node.Enroller, bind [32]byte, now time.Time) error {
		fact, err := e.Enrol(ctx, request, answer, bind, now)
		if err != nil {
			return err
		}
		index, err = g.enrol(ctx, e, fact, now)
		return err
	})
	if err != nil {
		return 0, asRefusal(err)
	}
	return index, nil
}

// eachEnroller asks the node sources of a kind in turn until one accepts.
func (g *Gate) eachEnroller(kind string, request, beacon, spki []byte, ask func(node.Enroller, [32]byte, time.Time) error) error {
	if len(request) > maxEnrol || len(spki) > maxCSR {
		return refuse(LimitExceeded, "enrolment of %d bytes, want at most %d", len(request), maxEnrol)
	}
	now := g.c.Now()
	hash, err := g.beacons.open(beacon, now)
	if err != nil {
		return err
	}
	leave, err := g.limits.enter("enrol")
	if err != nil {
		return err
	}
	defer leave()
	var last error = refuse(NotEnrolled, "no node source of kind %q is configured that enrols", kind)
	for _, v := range g.c.Nodes {
		e, ok := v.(node.Enroller)
		if !ok || v.Kind() != kind {
			continue
		}
		if last = ask(e, node.Bind(hash, spki), now); last == nil {
			return nil
		}
	}
	return last
}

func (g *Gate) enrol(ctx context.Context, e node.Enroller, fact *node.EnrolmentFact, now time.Time) (uint64, error) {
	spent := SpentKey("enrolment", []byte(e.Kind()+":"+e.Name()), []byte(fact.Key))
	for range tries {
		index, err := g.enrolOnce(ctx, e, fact, now, spent)
		var taken *log.SpentError
		switch {
		case errors.As(err, &taken):
			_, err := g.log.Receipt(ctx, taken.Index)
			return taken.Index, err
		case moved(err):
			continue
		}
		return index, err
	}
	return 0, refuse(LogUnavailable, "policy or bans kept changing; try again")
}

func (g *Gate) enrolOnce(ctx context.Context, e node.Enroller, fact *node.EnrolmentFact, now time.Time, spent proof.Hash) (uint64, error) {
	v := g.state.look(banEnrolment(e.Kind(), fact))
	if v.banned != nil {
		b := v.banned.statement
		return 0, refuse(Banned, "%s %q is banned since entry %d: %s", b.Kind, b.Value, v.banned.index, b.Reason)
	}
	s := &statement.Enrolment{
		Node: e.Name(), Kind: e.Kind(), Key: fact.Key, Data: fact.Data, Authority: fact.Authority,
		Decided: v.decided, Spent: []proof.Hash{spent}, Time: now.UTC().Truncate(time.Second),
	}
	for _, a := range fact.Anchors {
		s.Anchors = append(s.Anchors, anchorText(a))
	}
	return g.say(ctx, s, log.Conditions{Decided: v.decided, Spent: s.Spent})
}
