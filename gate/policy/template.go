package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate/strictyaml"
)

// maxID is how long a SPIFFE ID may be, in bytes (SPIFFE-ID 2.3).
const maxID = 2048

// reserved is the first path segment that belongs to the gate itself.
const reserved = "plastron"

// An idTemplate is a SPIFFE ID with holes: each segment of its path is either
// literal or one placeholder, `{{ build.repository_name }}`, that a verified
// fact fills. A fact fills exactly its segment: it must be a path segment of the
// SPIFFE grammar by itself, so it can't climb, split or extend the path.
type idTemplate struct {
	text     string // as written
	prefix   string // "spiffe://trust.domain"
	domain   spiffeid.TrustDomain
	segments []segment
}

type segment struct {
	literal string
	hole    *hole
}

// A hole is where a fact goes.
type hole struct {
	name string
	noun string
	read func(*Facts) string // "" is absent
}

// parseTemplate compiles the id of a rule. What a hole holds is checked when it
// is filled; everything else is checked here.
func parseTemplate(s string, td spiffeid.TrustDomain) (*idTemplate, error) {
	t := &idTemplate{text: s, prefix: td.IDString(), domain: td}
	path, ok := strings.CutPrefix(s, t.prefix+"/")
	if !ok {
		return nil, fmt.Errorf("an id begins with %s/", t.prefix)
	}
	for part := range splitSegments(path) {
		seg, err := parseSegment(part)
		if err != nil {
			return nil, err
		}
		t.segments = append(t.segments, seg)
	}
	switch {
	case len(s) > maxID:
		return nil, fmt.Errorf("an id of more than %d bytes", maxID)
	case t.segments[0].literal == reserved:
		return nil, errors.New("ids under /plastron/ are the gate's own")
	}
	return t, nil
}

// splitSegments yields the parts between slashes outside of placeholders.
func splitSegments(path string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for start, i := 0, 0; ; i++ {
			switch {
			case i == len(path):
				yield(path[start:])
				return
			case strings.HasPrefix(path[i:], "{{"):
				if n := strings.Index(path[i:], "}}"); n > 0 {
					i += n + 1
				}
			case path[i] == '/':
				if !yield(path[start:i]) {
					return
				}
				start = i + 1
			}
		}
	}
}

func parseSegment(part string) (segment, error) {
	if inner, ok := strings.CutPrefix(part, "{{"); ok {
		if inner, ok = strings.CutSuffix(inner, "}}"); ok && !strings.ContainsAny(inner, "{}") {
			h, err := parseHole(strings.TrimSpace(inner))
			return segment{hole: h}, err
		}
	}
	if strings.Contains(part, "{{") {
		return segment{}, fmt.Errorf("%s: a placeholder fills a whole path segment", quote(part))
	}
	return segment{literal: part}, checkSegment(part)
}

// parseHole reads "noun.fact", or "token.claims.NAME" and "node.facts.NAME".
func parseHole(s string) (*hole, error) {
	noun, name, _ := strings.Cut(s, ".")
	if err := knownFact(noun, name); err == nil {
		v := vocabulary[noun][name]
		if v.text == nil {
			return nil, fmt.Errorf("%s is not a string, so it can't be a path segment", v)
		}
		return &hole{s, noun, v.string}, nil
	} else if claim, ok := strings.CutPrefix(s, "token.claims."); ok && claim != "" {
		return &hole{s, noun, func(f *Facts) string {
			if f.Token == nil {
				return ""
			}
			return f.Token.Claims[claim]
		}}, nil
	} else if key, ok := strings.CutPrefix(s, "node.facts."); ok && key != "" {
		return &hole{s, noun, func(f *Facts) string {
			if f.Node == nil {
				return ""
			}
			return f.Node.Facts[key]
		}}, nil
	} else {
		return nil, err
	}
}

// knownFact returns nil if the language has the fact, and else what was
// probably meant.
func knownFact(noun, name string) error {
	facts, ok := vocabulary[noun]
	if !ok {
		return fmt.Errorf("unknown fact %s%s", quote(noun), strictyaml.DidYouMean(noun, names("")))
	}
	if facts[name] == nil {
		return fmt.Errorf("unknown fact %s of %s%s", quote(name), noun, strictyaml.DidYouMean(name, names(noun)))
	}
	return nil
}

// checkSegment applies the grammar of a path segment (SPIFFE-ID 2.2): letters,
// digits, ".", "-" and "_"; not empty; neither "." nor "..".
func checkSegment(s string) error {
	switch s {
	case "":
		return errors.New("an empty path segment")
	case ".", "..":
		return fmt.Errorf("the path segment %q", s)
	}
	for _, r := range s {
		if r >= 0x80 || !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_", r) {
			return fmt.Errorf("%s is not one path segment of letters, digits, \".\", \"-\" and \"_\"", quote(s))
		}
	}
	return nil
}

// nouns returns the nouns that the holes read.
func (t *idTemplate) nouns() (nouns []string) {
	for _, s := range t.segments {
		if s.hole != nil && !slices.Contains(nouns, s.hole.noun) {
			nouns = append(nouns, s.hole.noun)
		}
	}
	return nouns
}

// expand fills the holes. The error is the fact that doesn't fit.
func (t *idTemplate) expand(f *Facts) (spiffeid.ID, error) {
	path := make([]byte, 0, 128)
	for i, s := range t.segments {
		text := s.literal
		if s.hole != nil {
			text = s.hole.read(f)
			if text == "" {
				return spiffeid.ID{}, fmt.Errorf("%s is absent", s.hole.name)
			}
			if err := checkSegment(text); err != nil {
				return spiffeid.ID{}, fmt.Errorf("%s: %w", s.hole.name, err)
			}
		}
		if i == 0 && text == reserved {
			return spiffeid.ID{}, errors.New("ids under /plastron/ are the gate's own")
		}
		path = append(append(path, '/'), text...)
	}
	if n := len(t.prefix) + len(path); n > maxID {
		return spiffeid.ID{}, fmt.Errorf("an id of %d bytes, want at most %d", n, maxID)
	}
	return spiffeid.FromPath(t.domain, string(path))
}

// covers says whether t can become an ID that o can become too.
func (t *idTemplate) covers(o *idTemplate) bool {
	if len(t.segments) != len(o.segments) {
		return false
	}
	for i, s := range t.segments {
		if q := o.segments[i]; s.hole == nil && q.hole == nil && s.literal != q.literal {
			return false
		}
	}
	return true
}

// equal says whether two templates are written alike.
func (t *idTemplate) equal(o *idTemplate) bool {
	return slices.EqualFunc(t.segments, o.segments, func(a, b segment) bool {
		return a.literal == b.literal && (a.hole == nil) == (b.hole == nil) && (a.hole == nil || a.hole.name == b.hole.name)
	})
}
