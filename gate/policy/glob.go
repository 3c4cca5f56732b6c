package policy

import (
	"errors"
	"regexp"
	"strings"
)

// A glob is a pattern for a whole string, never for a part of it: `*` stands
// for any characters but "/", `**` for any characters at all; every other
// character stands for itself. "refs/tags/v*" is like refs/tags/v1.4.2, and not
// like refs/tags/v1/x, nor like a string that merely contains a tag.
type glob struct {
	text           string
	prefix, suffix string         // before the first star, after the last
	stars          int            // runs of them
	deep           bool           // the first one crosses "/"
	whole          *regexp.Regexp // where there are several
}

// Bounds on a glob.
const (
	maxGlob  = 512 // bytes
	maxStars = 8
)

// parseGlob compiles a pattern. One that would match every string is refused.
func parseGlob(s string) (*glob, error) {
	switch {
	case s == "":
		return nil, errors.New("an empty string is no condition: an absent fact never matches")
	case len(s) > maxGlob || strings.Count(s, "*") > maxStars:
		return nil, errors.New("a pattern of more than 512 bytes or 8 stars")
	case strings.Contains(s, "***"):
		return nil, errors.New("*** means nothing: write * (within a segment) or ** (across)")
	case strings.Trim(s, "*") == "":
		return nil, errors.New("a pattern of stars alone is no condition")
	}
	g := &glob{text: s, prefix: s}
	if g.stars = strings.Count(strings.ReplaceAll(s, "**", "*"), "*"); g.stars == 0 {
		return g, nil
	}
	first, last := strings.Index(s, "*"), strings.LastIndex(s, "*")
	g.prefix, g.suffix, g.deep = s[:first], s[last+1:], strings.HasPrefix(s[first:], "**")
	if g.stars == 1 {
		return g, nil
	}
	expr := regexp.QuoteMeta(s)
	expr = strings.ReplaceAll(expr, `\*\*`, `.*`)
	expr = strings.ReplaceAll(expr, `\*`, `[^/]*`)
	var err error
	g.whole, err = regexp.Compile(`(?s)\A` + expr + `\z`)
	return g, err
}

// exact says whether the glob is one string.
func (g *glob) exact() bool { return g.stars == 0 }

// match says whether the whole of s is like g.
func (g *glob) match(s string) bool {
	if g.stars == 0 {
		return s == g.text
	}
	if len(s) < len(g.prefix)+len(g.suffix) || !strings.HasPrefix(s, g.prefix) || !strings.HasSuffix(s, g.suffix) {
		return false
	}
	if g.stars == 1 {
		return g.deep || strings.IndexByte(s[len(g.prefix):len(s)-len(g.suffix)], '/') < 0
	}
	return g.whole.MatchString(s)
}

// A Glob is a pattern for a whole string, as clauses of a policy know it: `*`
// stands for any characters but "/", `**` for any characters at all. It comes
// from [ParseGlob]; the zero Glob matches nothing.
type Glob struct{ g *glob }

// ParseGlob reads a pattern. One that would match every string is refused.
func ParseGlob(s string) (Glob, error) {
	g, err := parseGlob(s)
	return Glob{g}, err
}

// Match says whether the whole of s is like the pattern.
func (g Glob) Match(s string) bool { return g.g != nil && g.g.match(s) }
