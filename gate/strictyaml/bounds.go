package strictyaml

import "github.com/goccy/go-yaml/token"

// Bounds on a file's shape. Hand-written files stay far below them.
const (
	maxLine  = 4096 // bytes
	maxBlank = 64   // lines in a row
	maxDepth = 32   // collections inside each other
	maxItems = 4096 // entries of one collection
)

// refused are the parts of YAML that say in two places what a file means.
var refused = map[token.Type]string{
	token.AnchorType:      "anchors (&name) are refused: write the value where it is meant",
	token.AliasType:       "aliases (*name) are refused: write the value where it is meant; quote a pattern that begins with *",
	token.MergeKeyType:    "merge keys (<<) are refused: write the keys where they are meant",
	token.TagType:         "tags (!name) are refused",
	token.DirectiveType:   "directives (%name) are refused",
	token.MappingKeyType:  "complex keys (? key) are refused",
	token.DocumentEndType: "a document end (...) is refused: a file is one document",
	token.InvalidType:     "not YAML",
}

// checkTokens refuses what the language leaves out, and nesting and numbers of
// items that make the parser slow.
func (d *Document) checkTokens(tokens token.Tokens) error {
	var b blocks
	var before *token.Token
	for i, t := range tokens {
		if why, no := refused[t.Type]; no {
			if t.Type == token.InvalidType && t.Error != "" {
				why = t.Error
			}
			return d.Errorf(position(t), "%s", why)
		}
		if t.Type == token.DocumentHeaderType && i > 0 && !onlyComments(tokens[:i]) {
			return d.Errorf(position(t), "a second document is refused: a file is one document")
		}
		if why := b.see(t, before); why != "" {
			return d.Errorf(position(t), "%s", why)
		}
		before = t
	}
	return nil
}

func onlyComments(tokens token.Tokens) bool {
	for _, t := range tokens {
		if t.Type != token.CommentType {
			return false
		}
	}
	return true
}

// blocks are the collections that are open at a token: those that indentation
// opens, and inside them those of brackets.
type blocks struct {
	columns []int // of the open block collections, rising
	items   []int // of each block collection
	flow    []int // items of each open bracket
}

// see takes the next token and says what is wrong with it, or "".
func (b *blocks) see(t, before *token.Token) string {
	switch t.Type {
	case token.CommentType:
		return ""
	case token.SequenceStartType, token.MappingStartType:
		b.flow = append(b.flow, 0)
	case token.SequenceEndType, token.MappingEndType:
		b.flow = b.flow[:max(0, len(b.flow)-1)]
	case token.CollectEntryType:
		if n := len(b.flow); n > 0 {
			b.flow[n-1]++
		}
	default:
		first := before == nil || before.Position.Line < t.Position.Line || before.Type == token.SequenceEntryType
		if len(b.flow) == 0 && first {
			b.item(t.Position.Column)
		}
	}
	switch {
	case len(b.columns)+len(b.flow) > maxDepth:
		return "nested too deeply"
	case over(b.flow) || over(b.items):
		return "too many items in one collection"
	}
	return ""
}

// item counts an item of the block collection at a column, which closes those
// further right.
func (b *blocks) item(column int) {
	n := len(b.columns)
	for n > 0 && b.columns[n-1] > column {
		n--
	}
	b.columns, b.items = b.columns[:n], b.items[:n]
	if n == 0 || b.columns[n-1] < column {
		b.columns, b.items = append(b.columns, column), append(b.items, 0)
	}
	b.items[len(b.items)-1]++
}

// over says whether the innermost collection has too many items. The others
// were asked when they were innermost.
func over(items []int) bool {
	return len(items) > 0 && items[len(items)-1] > maxItems
}
