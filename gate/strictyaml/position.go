package strictyaml

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/token"
)

// A Pos is a place in a file: line and column, from 1, the column in characters.
type Pos struct{ Line, Column int }

// At is a value that knows where it stands in the file. A field of this type is
// decoded as its Value is.
type At[T any] struct {
	Value T
	Pos   Pos
}

// locate is how the decoder fills an At without knowing its type parameter.
func (a *At[T]) locate(p Pos) any {
	a.Pos = p
	return &a.Value
}

// Strings are one string or a list of them, as the file's author likes.
type Strings []At[string]

// An Error is what is wrong with a file, and where.
type Error struct {
	Name    string // of the file
	Pos     Pos
	Problem string // what is wrong
	excerpt string
}

// Error returns "name:line:column: problem" and, on lines of their own, the
// place in the file.
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s%s", e.Name, e.Pos.Line, e.Pos.Column, e.Problem, e.excerpt)
}

// Errorf returns an error about the place p of the document.
func (d *Document) Errorf(p Pos, format string, args ...any) *Error {
	return &Error{Name: d.name, Pos: p, Problem: fmt.Sprintf(format, args...), excerpt: d.excerpt(p)}
}

// excerpt shows the line of p below the one before it, and a caret under p.
func (d *Document) excerpt(p Pos) string {
	if p.Line < 1 || p.Line > len(d.lines) {
		return ""
	}
	var b strings.Builder
	if p.Line > 1 {
		fmt.Fprintf(&b, "\n  %3d | %s", p.Line-1, shown(d.lines[p.Line-2]))
	}
	fmt.Fprintf(&b, "\n> %3d | %s", p.Line, shown(d.lines[p.Line-1]))
	if p.Column >= 1 && p.Column <= maxShown {
		b.WriteString("\n        " + strings.Repeat(" ", p.Column-1) + "^")
	}
	return b.String()
}

// maxShown is how much of a line an excerpt shows, in characters.
const maxShown = 120

// shown returns a line as a terminal may see it: no longer than a terminal is
// wide, control characters as blanks, so that columns stay true.
func shown(line string) string {
	var b strings.Builder
	n := 0
	for _, r := range line {
		if n++; n > maxShown {
			b.WriteString("…")
			break
		}
		if !strconv.IsPrint(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

func position(t *token.Token) Pos {
	if t == nil || t.Position == nil {
		return Pos{1, 1}
	}
	return Pos{max(1, t.Position.Line), max(1, t.Position.Column)}
}

// Inside returns the place of the given line and column (from 1) of the text s
// in the document, for texts that have a grammar of their own. Where the text is
// folded or escaped, it returns the place of s.
func (d *Document) Inside(s At[string], line, column int) Pos {
	texts := strings.Split(s.Value, "\n")
	if line < 1 || line > len(texts) || column < 1 {
		return s.Pos
	}
	text, source := texts[line-1], d.from(s.Pos)
	if strings.HasPrefix(source, "|") {
		at := Pos{s.Pos.Line + line, 1}
		if whole := d.from(at); strings.TrimLeft(whole, " ") == strings.TrimLeft(text, " ") && len(whole) >= len(text) {
			return Pos{at.Line, len(whole) - len(text) + column}
		}
		return s.Pos
	}
	quoted := strings.TrimLeft(source, `'"`)
	if line > 1 || !strings.HasPrefix(quoted, text) {
		return s.Pos
	}
	return Pos{s.Pos.Line, s.Pos.Column + len(source) - len(quoted) + column - 1}
}

// from returns the rest of the line that begins at p.
func (d *Document) from(p Pos) string {
	if p.Line < 1 || p.Line > len(d.lines) {
		return ""
	}
	r := []rune(d.lines[p.Line-1])
	return string(r[min(max(0, p.Column-1), len(r)):])
}
