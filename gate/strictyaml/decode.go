package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Decode stores the document in what v points to: a struct whose fields carry
// `yaml:"name"` or else `json:"name"` tags, or a map. Within it may stand
// strings, booleans, whole numbers, [time.Duration] ("90s"), types that
// implement [encoding.TextUnmarshaler] (from strings), [At], [Strings],
// pointers, slices, structs, and maps keyed by strings or whole numbers.
// Anything else is a mistake of the program and panics.
func (d *Document) Decode(v any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		panic("strictyaml: internal error: decode into what is not a pointer")
	}
	if err := d.decode(d.body, p.Elem()); err != nil {
		return err
	}
	return nil
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	stringsType  = reflect.TypeFor[Strings]()
)

func (d *Document) decode(n ast.Node, v reflect.Value) *Error {
	if _, null := n.(*ast.NullNode); n == nil || null {
		return d.Errorf(place(n), "no value: write one, or leave the key out")
	}
	if at, ok := v.Addr().Interface().(interface{ locate(Pos) any }); ok {
		return d.decode(n, reflect.ValueOf(at.locate(place(n))).Elem())
	}
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return d.decodeText(n, t)
	}
	switch {
	case v.Type() == stringsType:
		return d.decodeStrings(n, v)
	case v.Type() == durationType:
		return d.decodeDuration(n, v)
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.decode(n, v.Elem())
	case reflect.String:
		s, err := d.text(n)
		v.SetString(s)
		return err
	case reflect.Bool:
		return d.decodeBool(n, v)
	case reflect.Int, reflect.Int64, reflect.Int32:
		return d.decodeInt(n, v)
	case reflect.Slice:
		return d.decodeSlice(n, v)
	case reflect.Map:
		return d.decodeMap(n, v)
	case reflect.Struct:
		return d.decodeStruct(n, v)
	}
	panic(fmt.Sprintf("strictyaml: internal error: cannot decode into %s", v.Type()))
}

func (d *Document) want(n ast.Node, what string) *Error {
	return d.Errorf(place(n), "%s, want %s", kind(n), what)
}

// text returns a string scalar. Other scalars are not turned into strings: what
// the author sees and what YAML makes of it may differ.
func (d *Document) text(n ast.Node) (string, *Error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case ast.ScalarNode:
		return "", d.want(n, "a string: quote it")
	}
	return "", d.want(n, "a string")
}

func (d *Document) decodeText(n ast.Node, v encoding.TextUnmarshaler) *Error {
	s, err := d.text(n)
	if err != nil {
		return err
	}
	if err := v.UnmarshalText([]byte(s)); err != nil {
		return d.Errorf(place(n), "%v", err)
	}
	return nil
}

func (d *Document) decodeStrings(n ast.Node, v reflect.Value) *Error {
	var list []At[string]
	if _, many := n.(*ast.SequenceNode); many {
		if err := d.decode(n, reflect.ValueOf(&list).Elem()); err != nil {
			return err
		}
	} else {
		s, err := d.text(n)
		if err != nil {
			return err
		}
		list = []At[string]{{s, place(n)}}
	}
	v.Set(reflect.ValueOf(Strings(list)))
	return nil
}

func (d *Document) decodeDuration(n ast.Node, v reflect.Value) *Error {
	s, ok := n.(*ast.StringNode)
	if !ok {
		return d.want(n, `a duration such as "90s", "10m" or "24h"`)
	}
	t, err := time.ParseDuration(s.Value)
	if err != nil {
		return d.Errorf(place(n), `%s is not a duration such as "90s", "10m" or "24h"`, strconv.Quote(s.Value))
	}
	v.SetInt(int64(t))
	return nil
}

func (d *Document) decodeBool(n ast.Node, v reflect.Value) *Error {
	b, ok := n.(*ast.BoolNode)
	if !ok || b.Token.Value != "true" && b.Token.Value != "false" {
		return d.want(n, "true or false")
	}
	v.SetBool(b.Value)
	return nil
}

func (d *Document) decodeInt(n ast.Node, v reflect.Value) *Error {
	number, ok := n.(*ast.IntegerNode)
	if !ok {
		return d.want(n, "a whole number")
	}
	i, err := strconv.ParseInt(number.Token.Value, 10, v.Type().Bits())
	if err != nil || strconv.FormatInt(i, 10) != number.Token.Value {
		return d.Errorf(place(n), "%s: want a whole number in decimal digits", number.Token.Value)
	}
	v.SetInt(i)
	return nil
}

func (d *Document) decodeSlice(n ast.Node, v reflect.Value) *Error {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return d.want(n, "a list")
	}
	s := reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values))
	for i, item := range list.Values {
		if err := d.decode(item, s.Index(i)); err != nil {
			return err
		}
	}
	v.Set(s)
	return nil
}

func (d *Document) decodeMap(n ast.Node, v reflect.Value) *Error {
	m := reflect.MakeMap(v.Type())
	err := d.entries(n, func(key ast.Node, value ast.Node) *Error {
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		if err := d.decode(key, k); err != nil {
			return err
		}
		if m.MapIndex(k).IsValid() {
			return d.Errorf(place(key), "duplicate key %v", k)
		}
		if err := d.decode(value, e); err != nil {
			return err
		}
		m.SetMapIndex(k, e)
		return nil
	})
	v.Set(m)
	return err
}

func (d *Document) decodeStruct(n ast.Node, v reflect.Value) *Error {
	fields, names := fieldsOf(v.Type())
	seen := map[string]bool{}
	return d.entries(n, func(key, value ast.Node) *Error {
		name, err := d.text(key)
		if err != nil {
			return err
		}
		i, known := fields[name]
		switch {
		case !known:
			return d.Errorf(place(key), "unknown field %s%s", strconv.Quote(name), DidYouMean(name, names))
		case seen[name]:
			return d.Errorf(place(key), "duplicate field %q", name)
		}
		seen[name] = true
		return d.decode(value, v.Field(i))
	})
}

// entries calls f for each entry of a mapping, in the order of the file.
func (d *Document) entries(n ast.Node, f func(key, value ast.Node) *Error) *Error {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		return d.want(n, "a mapping (key: value)")
	}
	for _, e := range values {
		if _, null := e.Value.(*ast.NullNode); null || e.Value == nil {
			return d.Errorf(place(e.Key), "%s has no value: write one, or leave it out", strconv.Quote(e.Key.GetToken().Value))
		}
		if err := f(e.Key, e.Value); err != nil {
			return err
		}
	}
	return nil
}

// fieldsOf returns the index of each field of a struct by its name in files,
// and the names in order.
func fieldsOf(t reflect.Type) (index map[string]int, names []string) {
	index = map[string]int{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("yaml")
		if !ok {
			tag = f.Tag.Get("json")
		}
		name, _, _ := strings.Cut(tag, ",")
		if !f.IsExported() || name == "-" || name == "" {
			continue
		}
		index[name] = i
		names = append(names, name)
	}
	return index, names
}

// kind names what stands in the file.
func kind(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return n.Token.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + n.GetToken().Value
	case *ast.StringNode, *ast.LiteralNode:
		return "a string"
	}
	return "something else"
}

// place returns where a node begins. A mapping's own token is the colon of its
// first entry: go to the key.
func place(n ast.Node) Pos {
	var t *token.Token
	switch n := n.(type) {
	case nil:
	case *ast.MappingNode:
		if t = n.GetToken(); t.Type != token.MappingStartType && len(n.Values) > 0 {
			return place(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return place(n.Key)
	default:
		t = n.GetToken()
	}
	return position(t)
}
