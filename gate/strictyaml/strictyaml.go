// Package strictyaml reads configuration files, and refuses what it does not
// know.
//
// What comes in is text that its owner wrote by hand. What goes out is a Go
// value, in which each thing stands exactly as the file says it. Nobody is
// trusted with a second guess: an unknown key, a wrong type, a duplicate, a
// null, a number where a string is wanted (YAML would read 0123 as 83) are
// errors, and each says where it is, shows the line, and proposes the key that
// was probably meant:
//
//	policy.yaml:4:3: unknown field "tokn", did you mean "token"?
//	   3 | - name: shop-api
//	>  4 |   tokn: {issuer: cluster}
//	         ^
//
// The language is the part of YAML 1.2 that needs no second reading: block and
// flow mappings and sequences, plain, quoted and block scalars, comments. Anchors,
// aliases, merge keys, tags, directives, complex keys (`? `) and a second
// document are refused. A file is UTF-8 without control characters, at most
// [MaxSize] long; nesting, items of one collection, blank lines in a row and the
// length of a line are bounded before the parser, whose time and memory grow with
// the square of each, sees it.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	yaml "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxSize is how long a file may be, in bytes.
const MaxSize = 256 << 10

// A Document is a file that is well-formed YAML of the strict kind.
type Document struct {
	name  string
	lines []string
	body  ast.Node
}

// Unmarshal decodes text, the content of the file called name, into what v
// points to. Errors are *[Error].
func Unmarshal(name string, text []byte, v any) error {
	d, err := Parse(name, text)
	if err != nil {
		return err
	}
	return d.Decode(v)
}

// Parse reads text, the content of the file called name. Errors are *[Error].
func Parse(name string, text []byte) (*Document, error) {
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	d := &Document{name: name, lines: strings.Split(string(text), "\n")}
	if len(text) > MaxSize {
		d.lines = nil
		return nil, d.Errorf(Pos{1, 1}, "file of %d bytes, want at most %d", len(text), MaxSize)
	}
	if err := d.checkText(); err != nil {
		return nil, err
	}
	tokens := lexer.Tokenize(string(text))
	if err := d.checkTokens(tokens); err != nil {
		return nil, err
	}
	return d, d.parse(tokens)
}

// checkText refuses bytes that an editor would not show, and shapes that make
// the lexer slow.
func (d *Document) checkText() error {
	blank := 0
	for i, line := range d.lines {
		if len(line) > maxLine {
			d.lines[i] = ""
			return d.Errorf(Pos{i + 1, 1}, "line of %d bytes, want at most %d", len(line), maxLine)
		}
		if strings.TrimSpace(line) != "" {
			blank = 0
		} else if blank++; blank > maxBlank && i < len(d.lines)-1 {
			return d.Errorf(Pos{i + 1, 1}, "more than %d blank lines in a row", maxBlank)
		}
		column := 0
		for _, r := range line {
			if column++; r == utf8.RuneError || unicode.IsControl(r) && r != '\t' || r == '\ufeff' {
				return d.Errorf(Pos{i + 1, column}, "%s: want UTF-8 text without control characters", quoteRune(r))
			}
		}
	}
	return nil
}

func quoteRune(r rune) string {
	if r == utf8.RuneError {
		return "not UTF-8"
	}
	return fmt.Sprintf("control character %U", r)
}

// parse builds the tree. The parser's panics, should it have any, are errors of
// the file.
func (d *Document) parse(tokens token.Tokens) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = d.Errorf(Pos{1, 1}, "not YAML that can be read")
		}
	}()
	file, err := parser.Parse(tokens, 0)
	var syntax yaml.Error
	switch {
	case errors.As(err, &syntax):
		return d.Errorf(position(syntax.GetToken()), "%s", syntax.GetMessage())
	case err != nil:
		return d.Errorf(Pos{1, 1}, "not YAML: %v", err)
	case len(file.Docs) != 1 || file.Docs[0].Body == nil:
		return d.Errorf(Pos{1, 1}, "nothing in it")
	}
	d.body = file.Docs[0].Body
	return nil
}
