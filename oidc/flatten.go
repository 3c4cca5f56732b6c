package oidc

import (
	"bytes"
	"encoding/json/jsontext"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// parseClaims decodes a payload. It is the only place that does: go-oidc
// decodes it too, but nothing reads what it makes of it.
func parseClaims(payload []byte) (*claims, error) {
	r := &claimReader{dec: jsontext.NewDecoder(bytes.NewBuffer(payload)), c: &claims{flat: make(map[string]claim, 32)}}
	if r.dec.PeekKind() != jsontext.KindBeginObject {
		return nil, refuse(Malformed, "the payload is not a JSON object")
	}
	if err := r.object("", 1); err != nil {
		return nil, err
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, refuse(Malformed, "payload: something follows the JSON object, at byte %d", r.dec.InputOffset())
	}
	return r.c, r.c.require()
}

// claimReader flattens one JSON object in one pass.
type claimReader struct {
	dec *jsontext.Decoder
	c   *claims
}

func (r *claimReader) token() (jsontext.Token, error) {
	t, err := r.dec.ReadToken()
	if err != nil {
		return t, refuse(Malformed, "payload: %w", jsonFault(err))
	}
	return t, nil
}

func (r *claimReader) value(path string, depth int) error {
	switch r.dec.PeekKind() {
	case jsontext.KindBeginObject:
		return r.object(path, depth+1)
	case jsontext.KindBeginArray:
		return r.array(path, depth+1)
	}
	t, err := r.token()
	if err != nil || t.Kind() == jsontext.KindNull {
		return err
	}
	return r.keep(path, claim{t.Kind(), t.String()})
}

// object reads the members of an object. That no name occurs twice is the
// decoder's work; that none differs from another only in case is ours, for
// readers exist that fold case, go-oidc's among them.
func (r *claimReader) object(path string, depth int) error {
	if err := r.open(path, depth); err != nil {
		return err
	}
	names := map[string]bool{}
	for r.dec.PeekKind() != jsontext.KindEndObject {
		t, err := r.token()
		if err != nil {
			return err
		}
		name := t.String()
		if err := plain(name, maxPath); err != nil {
			return refuse(BadClaims, "name of a claim: %w", err)
		}
		folded := fold(name)
		if path == "" {
			if err := topName(name, folded); err != nil {
				return err
			}
		}
		if names[folded] {
			return refuse(Malformed, "payload: another name differs from %s only in case", show(name))
		}
		names[folded] = true
		if path == "" && name == "aud" {
			err = r.readAudience()
		} else {
			err = r.value(join(path, name), depth)
		}
		if err != nil {
			return err
		}
	}
	_, err := r.token()
	return err
}

// topName refuses what would make two readers see two tokens, or is the mark of
// a token that was made for something else.
func topName(name, folded string) error {
	switch folded {
	case "iss", "sub", "aud", "exp", "iat", "nbf":
		if name != folded {
			return refuse(Malformed, "payload: %s differs from %s only in case", show(name), folded)
		}
	case "nonce", "at_hash", "c_hash", "s_hash", "auth_time":
		return refuse(Malformed, "claim %s: the token of a person's login, want one of a workload", show(name))
	case "events":
		return refuse(Malformed, "claim %s: a logout token or a security event (RFC 8417) is no identity", show(name))
	}
	return nil
}

func (r *claimReader) array(path string, depth int) error {
	if err := r.open(path, depth); err != nil {
		return err
	}
	for i := 0; r.dec.PeekKind() != jsontext.KindEndArray; i++ {
		if err := r.value(join(path, strconv.Itoa(i)), depth); err != nil {
			return err
		}
	}
	_, err := r.token()
	return err
}

func (r *claimReader) open(path string, depth int) error {
	if depth > maxDepth {
		return refuse(BadClaims, "claim %s: more than %d values within one another", show(path), maxDepth)
	}
	_, err := r.token()
	return err
}

// readAudience reads `aud`, a string or a list of strings (RFC 7519, 4.1.3). It
// is read here and not out of the flat form, where a claim named "aud.0" would
// pass for it.
func (r *claimReader) readAudience() error {
	one := r.dec.PeekKind() != jsontext.KindBeginArray
	if !one {
		if _, err := r.token(); err != nil {
			return err
		}
	}
	for one || r.dec.PeekKind() != jsontext.KindEndArray {
		t, err := r.token()
		if err != nil {
			return err
		}
		if t.Kind() != jsontext.KindString {
			return refuse(BadClaims, "aud holds a JSON %s, want strings", t.Kind())
		}
		path := "aud"
		if !one {
			path = join("aud", strconv.Itoa(len(r.c.audience)))
		}
		if r.c.audience = append(r.c.audience, t.String()); len(r.c.audience) > maxAudience {
			return refuse(BadClaims, "aud names more than %d parties", maxAudience)
		}
		if err := r.keep(path, claim{t.Kind(), t.String()}); err != nil || one {
			return err
		}
	}
	_, err := r.token()
	return err
}

// keep stores a claim under its path. Two claims of one path ("a.b" and b
// within a) have no single reading.
func (r *claimReader) keep(path string, c claim) error {
	if len(path) > maxPath {
		return refuse(BadClaims, "path of a claim of %d bytes, want at most %d", len(path), maxPath)
	}
	if len(c.text) > maxText {
		return refuse(BadClaims, "claim %s: %d bytes, want at most %d", show(path), len(c.text), maxText)
	}
	if _, ok := r.c.flat[path]; ok {
		return refuse(BadClaims, "two claims are read as %s", show(path))
	}
	if r.c.flat[path] = c; len(r.c.flat) > maxClaims {
		return refuse(BadClaims, "more than %d claims", maxClaims)
	}
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// fold maps names that differ only in case to one, as encoding/json does: by
// the case orbit of each rune ("ſub" folds like "sub"). What is ASCII and lower
// case, as most names are, stays itself and costs nothing.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		for r >= 0x80 {
			next := unicode.SimpleFold(r)
			if next <= r {
				r = next
				break
			}
			r = next
		}
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, name)
}
