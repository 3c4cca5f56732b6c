package policy

import (
	"slices"

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"plastron/gate/strictyaml"
)

// A walk looks through an expression before CEL checks it, for what CEL would
// allow, and for what it says less well.
type walk struct {
	doc   *strictyaml.Document
	text  strictyaml.At[string]
	ast   *celast.AST
	lang  *language
	nouns []string
	asked []string // nouns in has()
	err   error
}

func (w *walk) run() error {
	w.visit(w.ast.Expr())
	return w.err
}

func (w *walk) visit(e celast.Expr) {
	if w.err != nil {
		return
	}
	switch e.Kind() {
	case celast.IdentKind:
		w.ident(e)
	case celast.SelectKind:
		if w.fact(e) {
			return // its operand is a noun in its place
		}
	case celast.CallKind:
		w.call(e)
	}
	for _, child := range children(e) {
		w.visit(child)
	}
}

func (w *walk) fact(e celast.Expr) bool {
	s := e.AsSelect()
	if s.Operand().Kind() != celast.IdentKind {
		return false
	}
	noun := s.Operand().AsIdent()
	if vocabulary[noun] == nil {
		return false
	}
	if err := knownFact(noun, s.FieldName()); err != nil {
		w.fail(e, "%v", err)
	}
	add(&w.nouns, noun)
	if s.IsTestOnly() {
		add(&w.asked, noun)
	}
	return true
}

func (w *walk) ident(e celast.Expr) {
	if name := e.AsIdent(); vocabulary[name] != nil {
		w.fail(e, "%s is not a value: name one of its facts (%s.%s ...)", name, name, names(name)[0])
	}
}

func (w *walk) call(e celast.Expr) {
	c := e.AsCall()
	switch c.FunctionName() {
	case "matches":
		w.fail(e, `matches() finds its pattern anywhere in a string: use like("refs/tags/v*"), which is the whole string`)
	case "like":
		args := c.Args()
		if len(args) != 1 || args[0].Kind() != celast.LiteralKind {
			w.fail(e, `like() takes its pattern from the policy: x.like("refs/tags/v*")`)
			return
		}
		text, ok := args[0].AsLiteral().(types.String)
		if !ok {
			w.fail(e, `like() takes a pattern: x.like("refs/tags/v*")`)
			return
		}
		g, err := parseGlob(string(text))
		if err != nil {
			w.fail(args[0], "%v", err)
			return
		}
		w.lang.globs[g.text] = g
	}
}

// unguarded returns the nouns that are read and never asked for by has().
func (w *walk) unguarded() (out []string) {
	for _, n := range w.nouns {
		if !slices.Contains(w.asked, n) {
			out = append(out, n)
		}
	}
	return out
}

func (w *walk) pos(e celast.Expr) strictyaml.Pos {
	at := w.ast.SourceInfo().GetStartLocation(e.ID())
	return w.doc.Inside(w.text, at.Line(), at.Column()+1)
}

func (w *walk) errorf(e celast.Expr, format string, args ...any) error {
	return w.doc.Errorf(w.pos(e), format, args...)
}

func (w *walk) fail(e celast.Expr, format string, args ...any) {
	if w.err == nil {
		w.err = w.errorf(e, format, args...)
	}
}

func add(list *[]string, s string) {
	if !slices.Contains(*list, s) {
		*list = append(*list, s)
	}
}

// children returns the expressions right inside of e.
func children(e celast.Expr) (out []celast.Expr) {
	switch e.Kind() {
	case celast.SelectKind:
		out = append(out, e.AsSelect().Operand())
	case celast.CallKind:
		if c := e.AsCall(); c.IsMemberFunction() {
			out = append(out, c.Target())
		}
		out = append(out, e.AsCall().Args()...)
	case celast.ListKind:
		out = append(out, e.AsList().Elements()...)
	case celast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			out = append(out, entry.AsMapEntry().Key(), entry.AsMapEntry().Value())
		}
	case celast.StructKind:
		for _, field := range e.AsStruct().Fields() {
			out = append(out, field.AsStructField().Value())
		}
	case celast.ComprehensionKind:
		c := e.AsComprehension()
		out = append(out, c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result())
	}
	return out
}
