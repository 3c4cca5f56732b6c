package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"plastron/gate/strictyaml"
)

// test runs one of the policy's own tests. A policy whose test fails does not
// load.
func (l *loader) test(p *Policy, t strictyaml.At[testText]) error {
	y := t.Value
	if y.Name.Value == "" {
		return l.Errorf(t.Pos, "a test without name")
	}
	f, err := l.testFacts(t)
	if err != nil {
		return err
	}
	want := y.Want.Value
	switch {
	case y.Want.Pos.Line == 0 || (want.Allow.Value == "") == (want.Refuse.Value == ""):
		return l.Errorf(t.Pos, "test %s: want is {allow: RULE} or {refuse: CODE or RULE}", quote(y.Name.Value))
	case want.ID.Value != "" && want.Allow.Value == "":
		return l.Errorf(want.ID.Pos, "test %s: an id where a refusal is wanted", quote(y.Name.Value))
	}
	if err := l.known(p, want); err != nil {
		return err
	}
	if got := want.check(p.Decide(f)); got != "" {
		return l.Errorf(t.Pos, "test %s: %s", quote(y.Name.Value), got)
	}
	return nil
}

// known refuses the name of a rule that is not there: such a test would pass,
// or fail, for no reason.
func (l *loader) known(p *Policy, want wantText) error {
	known := []string{NoMatch, Refused}
	if want.Allow.Value != "" {
		known = nil
	}
	for _, r := range p.rules {
		known = append(known, r.name)
	}
	for _, r := range p.refuse {
		if want.Allow.Value == "" {
			known = append(known, r.name)
		}
	}
	for _, w := range []text{want.Allow, want.Refuse} {
		if w.Value != "" && !slices.Contains(known, w.Value) {
			return l.Errorf(w.Pos, "no rule or code %s%s", quote(w.Value), strictyaml.DidYouMean(w.Value, known))
		}
	}
	return nil
}

// check compares a decision with what is wanted, and returns the difference.
func (w wantText) check(yes *Grant, no *Refusal) string {
	switch {
	case yes != nil && w.Allow.Value == "":
		return fmt.Sprintf("want a refusal (%s), got %s by rule %s", w.Refuse.Value, yes.ID, yes.Rule)
	case yes != nil && yes.Rule != w.Allow.Value:
		return fmt.Sprintf("want rule %s, got rule %s", w.Allow.Value, yes.Rule)
	case yes != nil && w.ID.Value != "" && yes.ID.String() != w.ID.Value:
		return fmt.Sprintf("want %s, got %s", w.ID.Value, yes.ID)
	case yes != nil:
		return ""
	case w.Allow.Value != "":
		return fmt.Sprintf("want rule %s, got %s", w.Allow.Value, no)
	case w.Refuse.Value != no.Code && w.Refuse.Value != no.Rule:
		return fmt.Sprintf("want a refusal (%s), got %s", w.Refuse.Value, no)
	}
	return ""
}

// String says a refusal in one line.
func (r *Refusal) String() string {
	s := r.Code
	if r.Rule != "" {
		s += " (" + r.Rule + ")"
	}
	if r.Fact != "" {
		s += ": " + r.Fact
	}
	return s
}

// testFacts returns the facts of a test: inline, or the file of a decision
// record's facts.
func (l *loader) testFacts(t strictyaml.At[testText]) (*Facts, error) {
	y := t.Value
	if (y.Facts == nil) == (y.Evidence.Value == "") {
		return nil, l.Errorf(t.Pos, "test %s: either facts or an evidence file", quote(y.Name.Value))
	}
	if y.Facts != nil {
		f := y.Facts.Value
		if err := f.check(); err != nil {
			return nil, l.Errorf(y.Facts.Pos, "facts: %v", err)
		}
		return &f, nil
	}
	content, err := readFile(l.env.FS, y.Evidence.Value)
	if err != nil {
		return nil, l.Errorf(y.Evidence.Pos, "evidence: %v", err)
	}
	f, err := ParseFacts(content)
	if err != nil {
		return nil, l.Errorf(y.Evidence.Pos, "%s: %v", y.Evidence.Value, err)
	}
	return f, nil
}

// readFile reads a file beside the policy, never one outside of its folder.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	switch {
	case fsys == nil:
		return nil, errors.New("this policy has no folder to read it from: write the facts inline")
	case !fs.ValidPath(name):
		return nil, fmt.Errorf("%s: want a path below the policy's folder", quote(name))
	}
	file, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, strictyaml.MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(content) > strictyaml.MaxSize {
		return nil, fmt.Errorf("%s: more than %d bytes", quote(name), strictyaml.MaxSize)
	}
	return content, nil
}
