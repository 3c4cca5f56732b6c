package oidc

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Bounds on a token, in bytes.
const (
	// MaxToken bounds the compact form. GitHub's tokens have about 1,500 bytes.
	MaxToken  = 16 << 10
	maxHeader = 1 << 10 // decoded
	maxKeyID  = 255
)

// A token is a JWS taken apart but not verified: nothing in it is true yet.
type token struct {
	raw     string
	alg     string
	kid     string // "" when the header has none
	payload []byte // decoded
	claims  *claims

	signingInput [32]byte // SHA-256 of header "." payload, as sent
}

// base64url refuses padding and non-zero trailing bits; that it would skip line
// breaks is taken care of by [compact].
var base64url = base64.RawURLEncoding.Strict()

// parse takes a token apart, strictly and once. What it returns is read by all
// that follows; the token's text is given to go-oidc only, and compared.
func parse(raw string) (*token, error) {
	parts, err := compact(raw)
	if err != nil {
		return nil, err
	}
	header, err := base64url.DecodeString(parts[0])
	if err != nil {
		return nil, refuse(Malformed, "the header is not canonical base64url without padding (RFC 7515, 2)")
	}
	payload, err := base64url.DecodeString(parts[1])
	if err != nil {
		return nil, refuse(Malformed, "the payload is not canonical base64url without padding (RFC 7515, 2)")
	}
	if _, err := base64url.DecodeString(parts[2]); err != nil {
		return nil, refuse(Malformed, "the signature is not canonical base64url without padding (RFC 7515, 2)")
	}
	t := &token{raw: raw, payload: payload}
	t.signingInput = sha256.Sum256([]byte(raw[:len(parts[0])+1+len(parts[1])]))
	if err := t.readHeader(header); err != nil {
		return nil, err
	}
	t.claims, err = parseClaims(payload)
	return t, err
}

// compact splits the compact serialisation (RFC 7515, 7.1). Of the JSON
// serialisation and of an encrypted token it says what they are.
func compact(raw string) ([]string, error) {
	switch {
	case raw == "":
		return nil, refuse(Malformed, "the token is empty")
	case len(raw) > MaxToken:
		return nil, refuse(Malformed, "token of %d bytes, want at most %d", len(raw), MaxToken)
	case raw[0] == '{':
		return nil, refuse(Malformed, "a JWS in JSON serialisation, want the compact one")
	}
	if i := strings.IndexFunc(raw, func(r rune) bool { return !isCompact(r) }); i >= 0 {
		return nil, refuse(Malformed, "byte %d is not of base64url nor a dot: a token has no space around it", i)
	}
	switch parts := strings.SplitN(raw, ".", 6); {
	case len(parts) == 5:
		return nil, refuse(Malformed, "five parts are an encrypted token (JWE), want a signed one of three")
	case len(parts) != 3:
		return nil, refuse(Malformed, "token of %d dots, want header.payload.signature", strings.Count(raw, "."))
	case parts[0] == "" || parts[1] == "":
		return nil, refuse(Malformed, "the header or the payload is empty")
	case parts[2] == "":
		return nil, refuse(Signature, "the token is not signed")
	default:
		return parts, nil
	}
}

func isCompact(r rune) bool {
	return 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.'
}

// readHeader reads the only members a workload's token needs. Whatever else a
// header can say changes which key counts (jku, x5u, jwk, x5c) or how the rest
// is to be read (crit, b64, cty, zip), and is refused rather than ignored. The
// certificate hashes that GitHub and Azure add choose nothing here.
func (t *token) readHeader(text []byte) error {
	if len(text) > maxHeader {
		return refuse(Malformed, "header of %d bytes, want at most %d", len(text), maxHeader)
	}
	var members map[string]jsontext.Value
	if err := json.Unmarshal(text, &members); err != nil {
		return refuse(Malformed, "header: %w", jsonFault(err))
	}
	header := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		switch name {
		case "alg", "kid", "typ", "x5t", "x5t#S256":
		default:
			return refuse(Malformed, "header has %s, want only alg, kid and typ", show(name))
		}
		if members[name].Kind() != jsontext.KindString {
			return refuse(Malformed, "header: %s is no string", name)
		}
		s, err := jsontext.AppendUnquote(nil, members[name])
		if err != nil {
			return refuse(Malformed, "header: %s: %w", name, jsonFault(err))
		}
		header[name] = string(s)
	}
	return t.setHeader(header)
}

func (t *token) setHeader(header map[string]string) error {
	if typ, ok := header["typ"]; ok && typ != "JWT" {
		return refuse(Malformed, "token of type %s, want JWT: an access token, a logout token or a security event is no identity", show(typ))
	}
	if header["alg"] == "" {
		return refuse(Malformed, "header: alg is missing")
	}
	if kid, ok := header["kid"]; ok {
		if err := plain(kid, maxKeyID); err != nil {
			return refuse(Malformed, "header: kid: %w", err)
		}
	}
	t.alg, t.kid = header["alg"], header["kid"]
	return nil
}

// plain refuses text that is empty, too long, or that could pass for another on
// a screen or in a log: control and format characters (bidirectional overrides,
// zero-width joiners) and line separators.
func plain(s string, most int) error {
	if s == "" || len(s) > most {
		return fmt.Errorf("%d bytes, want 1 to %d", len(s), most)
	}
	if i := strings.IndexFunc(s, isDeceptive); i >= 0 {
		return fmt.Errorf("a control or format character at byte %d of %s", i, show(s))
	}
	return nil
}

func isDeceptive(r rune) bool {
	if r < 0x80 {
		return r < ' ' || r == 0x7f
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar
}
