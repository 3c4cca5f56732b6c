package policy

import (
	"maps"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
)

// A fact is one word of the language: a value that clauses, templates and
// expressions read by the same name.
type fact struct {
	noun, name string
	kind       *cel.Type
	text       func(*Facts) string // of a string; "" is absent
	value      func(*Facts) any    // of any other kind; nil is absent
}

// String returns the fact's name, "build.ref".
func (v *fact) String() string { return v.noun + "." + v.name }

// read returns the fact, or false where it is absent.
func (v *fact) read(f *Facts) (any, bool) {
	if !f.has(v.noun) {
		return nil, false
	}
	if v.text != nil {
		s := v.text(f)
		return s, s != ""
	}
	x := v.value(f)
	return x, x != nil
}

// string returns a string fact, or "" where it is absent.
func (v *fact) string(f *Facts) string {
	if !f.has(v.noun) {
		return ""
	}
	return v.text(f)
}

// has says whether the request brought what the noun speaks of.
func (f *Facts) has(noun string) bool {
	switch noun {
	case "token":
		return f.Token != nil
	case "build":
		return f.Build != nil
	case "node":
		return f.Node != nil
	case "artifact":
		return f.Artifact != nil
	}
	return false
}

// vocabulary holds every fact, by noun and name.
var vocabulary = func() map[string]map[string]*fact {
	all := map[string]map[string]*fact{"token": {}, "build": {}, "node": {}, "artifact": {}}
	add := func(v fact) { all[v.noun][v.name] = &v }
	str := func(noun, name string, get func(*Facts) string) {
		add(fact{noun: noun, name: name, kind: cel.StringType, text: get})
	}
	other := func(noun, name string, kind *cel.Type, get func(*Facts) any) {
		add(fact{noun: noun, name: name, kind: kind, value: get})
	}
	texts := cel.MapType(cel.StringType, cel.StringType)

	str("token", "issuer", func(f *Facts) string { return f.Token.Issuer })
	str("token", "url", func(f *Facts) string { return f.Token.URL })
	str("token", "subject", func(f *Facts) string { return f.Token.Subject })
	str("token", "repository_name", func(f *Facts) string { return last(f.Token.claim(claimNames["repository"]), "/") })
	for name, claims := range claimNames {
		str("token", name, func(f *Facts) string { return f.Token.claim(claims) })
	}
	other("token", "issued_at", cel.TimestampType, func(f *Facts) any { return moment(f.Token.IssuedAt) })
	other("token", "expires_at", cel.TimestampType, func(f *Facts) any { return moment(f.Token.ExpiresAt) })
	other("token", "bound", cel.BoolType, func(f *Facts) any { return f.Token.Bound })
	other("token", "claims", texts, func(f *Facts) any { return f.Token.Claims })

	str("build", "root", func(f *Facts) string { return f.Build.Root })
	str("build", "issuer", func(f *Facts) string { return f.Build.Issuer })
	str("build", "signer", func(f *Facts) string { return f.Build.Signer })
	str("build", "builder", func(f *Facts) string { return f.Build.Builder })
	str("build", "build_type", func(f *Facts) string { return f.Build.BuildType })
	str("build", "predicate_type", func(f *Facts) string { return f.Build.PredicateType })
	str("build", "source", func(f *Facts) string { return f.Build.Source })
	str("build", "repository_name", func(f *Facts) string { return last(f.Build.Source, "/") })
	str("build", "repository_id", func(f *Facts) string { return f.Build.RepositoryID })
	str("build", "owner_id", func(f *Facts) string { return f.Build.OwnerID })
	str("build", "commit", func(f *Facts) string { return f.Build.Commit })
	str("build", "ref", func(f *Facts) string { return f.Build.Ref })
	str("build", "source_ref", func(f *Facts) string { return f.Build.Ref }) // Fulcio's name of ref
	str("build", "workflow", func(f *Facts) string { return f.Build.Workflow })
	str("build", "event", func(f *Facts) string { return f.Build.Event })
	str("build", "runner", func(f *Facts) string { return f.Build.Runner })
	str("build", "run", func(f *Facts) string { return f.Build.Run })
	str("build", "subject", func(f *Facts) string { return f.Build.Subject })
	str("build", "log", func(f *Facts) string { return f.Build.Log })
	other("build", "signed_at", cel.TimestampType, func(f *Facts) any { return moment(f.Build.SignedAt) })
	other("build", "logged_at", cel.TimestampType, func(f *Facts) any { return moment(f.Build.LoggedAt) })
	other("build", "age", cel.DurationType, func(f *Facts) any {
		if f.Build.SignedAt.IsZero() {
			return nil
		}
		return f.Now.Sub(f.Build.SignedAt)
	})
	other("build", "log_index", cel.IntType, func(f *Facts) any {
		if f.Build.LogIndex == nil {
			return nil
		}
		return *f.Build.LogIndex
	})

	str("node", "name", func(f *Facts) string { return f.Node.Name })
	str("node", "kind", func(f *Facts) string { return f.Node.Kind })
	str("node", "id", func(f *Facts) string { return f.Node.ID })
	str("node", "key", func(f *Facts) string { return last(f.Node.ID, ":") }) // id without its kind: fits a path segment
	str("node", "floor", func(f *Facts) string { return f.Node.Floor })
	str("node", "bound", func(f *Facts) string { return f.Node.Bound })
	other("node", "facts", texts, func(f *Facts) any { return f.Node.Facts })

	str("artifact", "digest", func(f *Facts) string { return f.Artifact.Digest })
	str("artifact", "tie", func(f *Facts) string { return f.Artifact.Tie })
	return all
}()

// moment returns a time, or nil where there is none: CEL would read the zero
// time as 1970.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// last returns what follows the last separator.
func last(s, separator string) string { return s[strings.LastIndex(s, separator)+1:] }

// names returns the facts of a noun, or the nouns for "", sorted.
func names(noun string) []string {
	if noun == "" {
		return slices.Sorted(maps.Keys(vocabulary))
	}
	return slices.Sorted(maps.Keys(vocabulary[noun]))
}
