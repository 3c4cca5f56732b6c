package policy

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/parser"

	"plastron/gate/strictyaml"
)

// Bounds on an expression. CEL has no loops but those over lists and maps, so
// its cost can be estimated before it runs; it is counted again while it runs,
// because the estimate has to assume how long facts are.
const (
	maxExpr     = 4096   // characters
	maxCost     = 10_000 // CEL's cost units; 1.3 ms of nested loops, 1 to 50 for ordinary rules
	maxWords    = 256    // bytes of a conjunct in refusals and records
	assumedText = 512    // bytes of a string fact
	assumedMap  = 64     // entries of token.claims and node.facts
)

// An expr is one conjunct of a `when`: it holds, does not hold, or refuses.
type expr struct {
	words   string
	pos     strictyaml.Pos
	program cel.Program
}

// exprs is a compiled `when`, cut at its outermost `&&`.
type exprs struct {
	list      []expr
	nouns     []string // that it reads
	unguarded []string // nouns of which it reads a fact without asking for any by has()
}

// A language compiles expressions. It is made once for a load.
type language struct {
	env   *cel.Env
	globs map[string]*glob // patterns of like(), filled while expressions compile, read only after
}

func newLanguage() (*language, error) {
	l := &language{globs: map[string]*glob{}}
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	options := []cel.EnvOption{
		cel.CustomTypeAdapter(registry), cel.CustomTypeProvider(provider{registry}),
		cel.ParserRecursionLimit(64), cel.ParserExpressionSizeLimit(maxExpr), cel.ExpressionNodeLimit(2000),
		cel.Variable("now", cel.TimestampType),
		cel.Function("like", cel.MemberOverload("string_like_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(l.like))),
	}
	for _, noun := range names("") {
		options = append(options, cel.Variable(noun, cel.ObjectType(noun)))
	}
	l.env, err = cel.NewEnv(options...)
	return l, err
}

// like is the function of expressions for globs.
func (l *language) like(s, pattern ref.Val) ref.Val {
	text, ok1 := s.(types.String)
	p, ok2 := pattern.(types.String)
	g := l.globs[string(p)]
	if !ok1 || !ok2 || g == nil {
		return types.NewErr("like: a pattern that was not in the policy")
	}
	return types.Bool(g.match(string(text)))
}

// compile compiles the text of a `when`.
func (l *language) compile(d *strictyaml.Document, text strictyaml.At[string]) (*exprs, error) {
	parsed, issues := l.env.ParseSource(common.NewTextSource(text.Value))
	if issues.Err() != nil {
		return nil, celError(d, text, issues)
	}
	w := &walk{doc: d, text: text, ast: parsed.NativeRep(), lang: l}
	if err := w.run(); err != nil {
		return nil, err
	}
	checked, issues := l.env.Check(parsed)
	if issues.Err() != nil {
		return nil, celError(d, text, issues)
	}
	if checked.OutputType() != cel.BoolType {
		return nil, d.Errorf(text.Pos, "an expression of type %s, want bool", checked.OutputType())
	}
	estimate, err := l.env.EstimateCost(checked, sizes{})
	if err != nil {
		return nil, d.Errorf(text.Pos, "estimate cost: %v", err)
	}
	if estimate.Max > maxCost {
		return nil, d.Errorf(text.Pos, "an expression that may cost %d, want at most %d: loop over less", estimate.Max, maxCost)
	}
	return l.plan(w, checked.NativeRep())
}

// plan makes a program of each conjunct, so that a refusal can say which one
// did not hold.
func (l *language) plan(w *walk, whole *celast.AST) (*exprs, error) {
	out := &exprs{nouns: w.nouns, unguarded: w.unguarded()}
	absorbing := absorbed(whole.Expr())
	for _, e := range conjuncts(whole.Expr()) {
		part := celast.NewCheckedAST(celast.NewAST(e, whole.SourceInfo()), whole.TypeMap(), whole.ReferenceMap())
		program, err := l.env.PlanProgram(part,
			cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.CostTracking(sizes{}), cel.CustomDecoratorV2(absorbing.watch))
		if err != nil {
			return nil, w.errorf(e, "%v", err)
		}
		words, err := parser.Unparse(e, whole.SourceInfo(), parser.WrapOnColumn(maxExpr))
		if err != nil {
			words = w.text.Value
		}
		out.list = append(out.list, expr{cut(words, maxWords), w.pos(e), program})
	}
	return out, nil
}

// conjuncts cuts an expression at its outermost &&.
func conjuncts(e celast.Expr) []celast.Expr {
	if e.Kind() != celast.CallKind || e.AsCall().FunctionName() != operators.LogicalAnd {
		return []celast.Expr{e}
	}
	var out []celast.Expr
	for _, a := range e.AsCall().Args() {
		out = append(out, conjuncts(a)...)
	}
	return out
}

func celError(d *strictyaml.Document, text strictyaml.At[string], issues *cel.Issues) error {
	e := issues.Errors()[0]
	return d.Errorf(d.Inside(text, e.Location.Line(), e.Location.Column()+1), "%s", e.Message)
}

// sizes tells CEL how large facts may be, and what like costs.
type sizes struct{}

func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	switch n.Type().Kind() {
	case types.StringKind:
		return &cost.SizeEstimate{Min: 0, Max: assumedText}
	case types.MapKind:
		return &cost.SizeEstimate{Min: 0, Max: assumedMap}
	}
	return nil
}

func (sizes) EstimateCallCost(function, overload string, target *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	if function != "like" {
		return nil
	}
	return cost.NewCallEstimate(cost.Estimate{Min: 1, Max: assumedText}, nil)
}

func (sizes) CallCost(function, overload string, args []ref.Val, result ref.Val) *uint64 {
	if function != "like" || len(args) == 0 {
		return nil
	}
	n := uint64(1)
	if s, ok := args[0].(types.String); ok {
		n += uint64(len(s))
	}
	return &n
}
