package policy

import (
	"strings"
	"time"

	"plastron/gate/strictyaml"
)

// clauses collects typed clauses on the facts of one noun.
type clauses struct {
	*loader
	noun string
	at   strictyaml.Pos
	list []clause
	err  error
}

func (l *loader) clauses(noun string, at strictyaml.Pos) *clauses {
	return &clauses{loader: l, noun: noun, at: at}
}

// add compiles patterns and makes a clause of them. nil: the rule has none.
func (b *clauses) add(wanted texts, makes func([]*glob, int) clause) {
	if wanted == nil || b.err != nil {
		return
	}
	var globs []*glob
	for _, w := range wanted {
		g, err := parseGlob(w.Value)
		if err != nil {
			b.err = b.Errorf(w.Pos, "%v", err)
			return
		}
		globs = append(globs, g)
	}
	if len(globs) == 0 {
		b.err = b.Errorf(b.at, "an empty list in the %s clause is no condition", b.noun)
		return
	}
	b.list = append(b.list, makes(globs, wanted[0].Pos.Line))
}

// like adds a clause on a string fact; patterns may have stars.
func (b *clauses) like(name string, wanted texts) {
	v := vocabulary[b.noun][name]
	b.add(wanted, func(w []*glob, line int) clause { return is(v.String(), v.string, w, line) })
}

// exactly adds a clause on a string fact whose values are written out.
func (b *clauses) exactly(name string, wanted texts) {
	for _, w := range wanted {
		if strings.Contains(w.Value, "*") && b.err == nil {
			b.err = b.Errorf(w.Pos, "%s.%s is %s: want the whole value, without stars", b.noun, name, quote(w.Value))
		}
	}
	b.like(name, wanted)
}

func (b *clauses) age(d duration, makes func(time.Duration, int) clause) {
	switch {
	case d.Pos.Line == 0 || b.err != nil:
	case d.Value <= 0:
		b.err = b.Errorf(d.Pos, "an age of %v, want more than 0", d.Value)
	default:
		b.list = append(b.list, makes(d.Value, d.Pos.Line))
	}
}
