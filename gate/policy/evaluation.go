package policy

import (
	"errors"
	"fmt"
	"slices"

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// An evaluation is the input of one expression. It is also what the nouns stand
// for, and it remembers the first error: in CEL `error || true` is true, so that
// an error could otherwise pass unseen.
type evaluation struct {
	facts *Facts
	err   error
}

var _ interpreter.Activation = (*evaluation)(nil)

// itself is a name that no expression can write.
const itself = "#evaluation"

func (e *evaluation) ResolveName(name string) (any, bool) {
	switch name {
	case "token", "build", "node", "artifact", itself:
		return e, true
	case "now":
		return e.facts.Now, true
	}
	return nil, false
}

func (e *evaluation) Parent() interpreter.Activation { return nil }

func (e *evaluation) fail(err error) error {
	if e.err == nil {
		e.err = err
	}
	return err
}

// holds evaluates the expression. An error anywhere in it, even one whose value
// would not have mattered, is an error.
func (x *expr) holds(f *Facts) (bool, error) {
	e := evaluation{facts: f}
	v, _, err := x.program.Eval(&e)
	switch {
	case e.err != nil:
		return false, e.err
	case err != nil:
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fmt.Errorf("a value of type %s, want bool", v.Type())
	}
	return bool(b), nil
}

// provider tells CEL of the nouns and their facts.
type provider struct{ *types.Registry }

func (p provider) FindStructType(name string) (*types.Type, bool) {
	if vocabulary[name] != nil {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Registry.FindStructType(name)
}

func (p provider) FindStructFieldNames(name string) ([]string, bool) {
	if vocabulary[name] != nil {
		return names(name), true
	}
	return p.Registry.FindStructFieldNames(name)
}

func (p provider) FindStructFieldType(noun, name string) (*types.FieldType, bool) {
	v := vocabulary[noun][name]
	if v == nil {
		return p.Registry.FindStructFieldType(noun, name)
	}
	return &types.FieldType{
		Type: v.kind,
		IsSet: func(target any) bool {
			e, ok := target.(*evaluation)
			if !ok {
				return false
			}
			_, present := v.read(e.facts)
			return present
		},
		GetFrom: func(target any) (any, error) {
			e, ok := target.(*evaluation)
			if !ok {
				return nil, errors.New("not a noun")
			}
			x, present := v.read(e.facts)
			if !present {
				return nil, e.fail(fmt.Errorf("%s is absent", v))
			}
			return x, nil
		},
	}, true
}

// positions are the ids of expressions whose error an operator around them may
// absorb: operands of ||, && and what macros make of them.
type positions map[int64]bool

func absorbed(e celast.Expr) positions {
	p := positions{}
	celast.PreOrderVisit(e, celast.NewExprVisitor(func(e celast.Expr) {
		if e.Kind() != celast.CallKind {
			return
		}
		c := e.AsCall()
		if slices.Contains([]string{operators.LogicalOr, operators.LogicalAnd, operators.NotStrictlyFalse}, c.FunctionName()) {
			for _, a := range c.Args() {
				p[a.ID()] = true
			}
		}
	}))
	return p
}

// watch makes the program remember errors at these positions.
func (p positions) watch(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	if p[i.ID()] {
		if _, done := i.(watched); !done {
			return watched{i}, nil
		}
	}
	return i, nil
}

type watched struct{ interpreter.InterpretableV2 }

func (w watched) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return note(f, w.InterpretableV2.Exec(f))
}

func (w watched) Eval(a interpreter.Activation) ref.Val {
	return note(a, w.InterpretableV2.Eval(a))
}

func note(a interpreter.Activation, v ref.Val) ref.Val {
	if err, bad := v.(*types.Err); bad {
		if e, ok := a.ResolveName(itself); ok {
			e.(*evaluation).fail(err)
		}
	}
	return v
}
