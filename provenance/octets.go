package provenance

import (
	"bytes"
	"encoding/base64"
	"encoding/json/jsontext"
	"errors"
	"strconv"
	"strings"
)

// octets are bytes that JSON carries in padded standard base64. There is one
// spelling for any bytes: no line breaks, no other alphabet, no stray bits in
// the last digit. So a bundle cannot be varied without varying what it says.
type octets []byte

var errBase64 = errors.New("want padded standard base64 in its one spelling")

func (o *octets) UnmarshalJSON(raw []byte) error {
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil || bytes.ContainsAny(text, "\r\n") { // which encoding/base64 skips
		return errBase64
	}
	b, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil {
		return errBase64
	}
	*o = b
	return nil
}

// integer is a non-negative int64 that JSON carries as a number or, as protobuf
// prefers, as a string of digits.
type integer int64

var errInteger = errors.New("want a non-negative 64-bit integer without leading zeros")

func (n *integer) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if strings.HasPrefix(text, `"`) {
		unquoted, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return errInteger
		}
		text = string(unquoted)
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 || strconv.FormatInt(v, 10) != text {
		return errInteger
	}
	*n = integer(v)
	return nil
}
