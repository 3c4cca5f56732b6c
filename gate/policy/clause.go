package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A clause is one condition of a rule. Clauses of several rules that ask the
// very same share a slot, so that a decision asks once.
type clause struct {
	key   string // what it asks, in full; "" shares with nobody
	slot  int    // of its answer in a decision
	words string // the condition, for records and refusals
	wants string // its right-hand side
	line  int    // in the policy
	holds func(*Facts) bool
	seen  func(*Facts) string // what was seen instead, "build.ref is \"…\""
	costs bool                // an expression: tried only where every typed clause holds
}

// is returns the clause that a fact matches one of some patterns.
func is(name string, read func(*Facts) string, wanted []*glob, line int) clause {
	return clause{
		key: key(name, wanted), words: name + " is " + words(wanted), wants: words(wanted), line: line,
		holds: func(f *Facts) bool {
			s := read(f) // no glob matches "", which is an absent fact
			return slices.ContainsFunc(wanted, func(g *glob) bool { return g.match(s) })
		},
		seen: func(f *Facts) string { return saw(name, read(f)) },
	}
}

// key is the whole of what is asked; words are cut where they grow long.
func key(name string, wanted []*glob) string {
	k := name
	for _, g := range wanted {
		k += " " + strconv.Quote(g.text)
	}
	return k
}

func saw(name, value string) string {
	if value == "" {
		return name + " is absent"
	}
	return name + " is " + quote(value)
}

// words says what is wanted: "a", or like "a*", or one of "a", "b".
func words(wanted []*glob) string {
	var list []string
	for _, g := range wanted {
		if g.exact() {
			list = append(list, quote(g.text))
		} else {
			list = append(list, "like "+quote(g.text))
		}
	}
	if len(list) == 1 {
		return list[0]
	}
	return "one of " + strings.Join(list, ", ")
}

// nodeFact returns the clause that a fact of the node's kind has one of some
// values.
func nodeFact(key string, wanted []*glob, line int) clause {
	return is("node.facts["+strconv.Quote(key)+"]", func(f *Facts) string {
		if f.Node == nil {
			return ""
		}
		return f.Node.Facts[key]
	}, wanted, line)
}

// tokenClaim returns the clause that a claim has one of some values.
func tokenClaim(name string, wanted []*glob, line int) clause {
	return is("token.claims["+strconv.Quote(name)+"]", func(f *Facts) string {
		if f.Token == nil {
			return ""
		}
		return f.Token.Claims[name]
	}, wanted, line)
}

// skew is how far in the future a build's times may lie.
const skew = time.Minute

// minAge returns the clause that a build is known to the world for some time:
// bad builds are found by their owners in the meantime.
func minAge(want time.Duration, line int) clause {
	return age("min_age", want, line, func(b *Build, now time.Time) bool {
		newest := b.SignedAt
		if b.LoggedAt.After(newest) {
			newest = b.LoggedAt
		}
		return now.Sub(newest) >= want
	})
}

// maxAge returns the clause that a build is not older than some time.
func maxAge(want time.Duration, line int) clause {
	return age("max_age", want, line, func(b *Build, now time.Time) bool {
		oldest := b.SignedAt
		if !b.LoggedAt.IsZero() && b.LoggedAt.Before(oldest) {
			oldest = b.LoggedAt
		}
		return now.Sub(oldest) <= want && now.Sub(b.SignedAt) >= -skew
	})
}

func age(name string, want time.Duration, line int, ok func(*Build, time.Time) bool) clause {
	return clause{
		key: name + want.String(), words: "build." + name + " is " + want.String(), wants: "a " + name + " of " + want.String(), line: line,
		holds: func(f *Facts) bool { return f.Build != nil && !f.Build.SignedAt.IsZero() && ok(f.Build, f.Now) },
		seen: func(f *Facts) string {
			if f.Build == nil || f.Build.SignedAt.IsZero() {
				return "build.signed_at is absent"
			}
			s := "build was signed at " + stamp(f.Build.SignedAt)
			if !f.Build.LoggedAt.IsZero() {
				s += ", logged at " + stamp(f.Build.LoggedAt)
			}
			return s + ", and now it is " + stamp(f.Now)
		},
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// floors are where a chain of trust can end, the strongest first.
var floors = []string{"hardware", "institution", "human"}

// onFloor returns the clause that a node stands on a floor at least as strong.
func onFloor(want string, line int) clause {
	allowed := floors[:slices.Index(floors, want)+1]
	return clause{
		key: "floor " + want, words: fmt.Sprintf("node.floor is at least %q", want), wants: fmt.Sprintf("at least %q", want), line: line,
		holds: func(f *Facts) bool { return f.Node != nil && slices.Contains(allowed, f.Node.Floor) },
		seen:  func(f *Facts) string { return saw("node.floor", vocabulary["node"]["floor"].string(f)) },
	}
}

// bindings are how evidence may be bound to the requester's key, the strongest
// first, as a rule says it; the facts say "none" where there is no binding.
var bindings = []string{"key", "audience", "any"}

// boundBy returns the clause that node evidence is bound at least as strongly.
func boundBy(want string, line int) clause {
	allowed := bindings[:slices.Index(bindings, want)+1]
	return clause{
		key: "bound " + want, words: fmt.Sprintf("node.bound is at least %q", want), wants: fmt.Sprintf("at least %q", want), line: line,
		holds: func(f *Facts) bool {
			return f.Node != nil && (want == "any" || slices.Contains(allowed, f.Node.Bound))
		},
		seen: func(f *Facts) string { return saw("node.bound", vocabulary["node"]["bound"].string(f)) },
	}
}

// ties are what may tie an artifact to its requester, the strongest first.
var ties = []string{"measured", "token", "claimed"}

// isBound returns the clause that the token's audience carried the request's
// bind.
func isBound(line int) clause {
	return clause{
		key: "token.bound", words: "token.bound is true", wants: "true", line: line,
		holds: func(f *Facts) bool { return f.Token != nil && f.Token.Bound },
		seen:  func(*Facts) string { return "token.bound is false" },
	}
}

// holding returns the clause that an expression is true.
func holding(x expr) clause {
	return clause{
		words: x.words, wants: "true", line: x.pos.Line, costs: true,
		holds: func(f *Facts) bool {
			ok, err := x.holds(f)
			return err == nil && ok
		},
		seen: func(f *Facts) string {
			if _, err := x.holds(f); err != nil {
				return fmt.Sprintf("%s: %s", x.words, printable(err.Error()))
			}
			return x.words + " is false"
		},
	}
}

// maxQuote is how much of a value a refusal shows, in bytes.
const maxQuote = 128

// quote shows a value that came with a request: quoted, bounded, and without
// characters that a terminal would obey.
func quote(s string) string {
	q := strconv.Quote(cut(s, maxQuote))
	if len(s) > maxQuote {
		q += "…"
	}
	return q
}

// cut returns at most n bytes of s, whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for end := n; end > n-utf8.UTFMax; end-- {
		if utf8.RuneStart(s[end]) {
			return s[:end]
		}
	}
	return s[:n]
}

// printable bounds a message and takes out what is not printable.
func printable(s string) string {
	q := strconv.Quote(cut(s, maxQuote))
	return q[1 : len(q)-1]
}
