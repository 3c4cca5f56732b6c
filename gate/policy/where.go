package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"plastron/gate/strictyaml"
)

// node compiles the node clause: where it runs.
func (l *loader) node(r *rule, t strictyaml.At[ruleText]) error {
	if t.Value.Node == nil {
		return nil
	}
	at, y := t.Value.Node.Pos, t.Value.Node.Value
	if len(y.Any) == 0 {
		return l.Errorf(at, "a node clause without any: which sources of node evidence count?")
	}
	for _, n := range y.Any {
		if !l.env.Nodes[n.Value] {
			return l.Errorf(n.Pos, "unknown node source %s%s", quote(n.Value), didYouMean(n.Value, l.env.Nodes))
		}
	}
	r.reads = append(r.reads, "node")
	b := l.clauses("node", at)
	b.exactly("name", y.Any)
	bound := y.Bound
	if bound.Pos.Line == 0 {
		bound = text{Value: "key", Pos: at}
	}
	switch {
	case !slices.Contains(bindings, bound.Value):
		return l.Errorf(bound.Pos, "bound is %s, want key, audience or any", quote(bound.Value))
	case y.Floor.Pos.Line != 0 && !slices.Contains(floors, y.Floor.Value):
		return l.Errorf(y.Floor.Pos, "floor is %s, want hardware, institution or human", quote(y.Floor.Value))
	}
	b.list = append(b.list, boundBy(bound.Value, bound.Pos.Line))
	if y.Floor.Pos.Line != 0 {
		b.list = append(b.list, onFloor(y.Floor.Value, y.Floor.Pos.Line))
	}
	b.like("id", y.ID)
	b.pcrs(y.PCR)
	for _, key := range slices.Sorted(maps.Keys(y.Facts)) {
		b.add(y.Facts[key], func(w []*glob, line int) clause { return nodeFact(key, w, line) })
	}
	r.rest = append(r.rest, b.list...)
	return b.err
}

var pcrGrammar = regexp.MustCompile(`\A[0-9a-f]{64}\z`)

// pcrs adds clauses on platform configuration registers, SHA-256 bank.
func (b *clauses) pcrs(wanted map[int]texts) {
	for _, n := range slices.Sorted(maps.Keys(wanted)) {
		for _, w := range wanted[n] {
			if (!pcrGrammar.MatchString(w.Value) || n < 0 || n > 23) && b.err == nil {
				b.err = b.Errorf(w.Pos, "pcr %d is %s: want a register of 0 to 23 and 64 lower-case hex digits", n, quote(w.Value))
			}
		}
		b.add(wanted[n], func(w []*glob, line int) clause { return nodeFact(fmt.Sprintf("pcr.%d", n), w, line) })
	}
}
