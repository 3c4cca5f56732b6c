package policy

import (
	"fmt"
	"slices"
)

// Warnings returns what is legal and probably not meant, in words.
func (p *Policy) Warnings() []string { return p.warnings }

func (p *Policy) warn() (w []string) {
	for _, e := range p.refuse {
		for _, noun := range e.exprs.unguarded {
			for _, r := range p.rules {
				if !slices.Contains(r.reads, noun) {
					w = append(w, fmt.Sprintf("refuse entry %s reads %s, which requests for rule %s need not have: they are refused without; guard it with has(%s.%s) &&",
						e.name, noun, r.name, noun, names(noun)[0]))
				}
			}
		}
	}
	for i, r := range p.rules {
		for _, o := range p.rules[:i] {
			if o.id.covers(r.id) && !o.id.equal(r.id) {
				w = append(w, fmt.Sprintf("rules %s and %s can give the same id: who fulfils one can be taken for the other", o.name, r.name))
			}
		}
	}
	return w
}
