package policy

import (
	"bytes"
	_ "embed"
	"fmt"
	"regexp"
	"strconv"
	"text/template"
)

// An Example is a commented policy for a new gate. Its fields are names of the
// gate's configuration; rules on what is "" are left out. One of Issuer, TPM and
// Join is needed: without rules there is no policy.
type Example struct {
	TrustDomain string
	Issuer      string // OIDC issuer
	Shared      bool   // the issuer speaks for strangers too
	Root        string // Sigstore root
	TPM         string // node source of kind tpm
	Join        string // node source of kind join-token
}

//go:embed example.yaml.tmpl
var exampleText string

// The delimiters leave {{ }} to the ids.
var exampleTemplate = template.Must(template.New("policy.yaml").Delims("[[", "]]").Funcs(template.FuncMap{
	"name": scalar,
	"list": func(s string) string { return "[" + scalar(s) + "]" },
}).Parse(exampleText))

// Text returns the policy.yaml. It loads as it is, its tests included, if the
// configuration has a source of that name for each field.
func (e Example) Text() []byte {
	var b bytes.Buffer
	if err := exampleTemplate.Execute(&b, e); err != nil {
		panic(fmt.Sprintf("policy: internal error: example: %v", err)) // a template of ours, over strings
	}
	return b.Bytes()
}

var plain = regexp.MustCompile(`\A[a-z][a-z0-9._-]*\z`)

// scalar writes a name so that YAML reads it as a string.
func scalar(s string) string {
	if plain.MatchString(s) && s != "true" && s != "false" && s != "null" {
		return s
	}
	return strconv.Quote(s)
}
