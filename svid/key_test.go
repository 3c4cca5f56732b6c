package svid

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The CA key signs on one line of this package, in Mint. The CA's signature on
// itself is made in ca.go, before there is an Authority.
func TestOneSignature(t *testing.T) {
	t.Parallel()
	signs := regexp.MustCompile(`^(Sign(ASN1|Message|PSS|PKCS1v15)?|Create(Certificate|CertificateRequest|RevocationList|CRL))$`)
	var uses, calls []string
	fset := token.NewFileSet()
	for _, file := range must(filepath.Glob("*.go"))(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f := must(parser.ParseFile(fset, file, nil, parser.SkipObjectResolution))(t)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if n.Sel.Name == "signer" {
					uses = append(uses, file)
				}
			case *ast.CallExpr: // a signature needs something to sign; the Sign of a number does not
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && signs.MatchString(s.Sel.Name) && len(n.Args) > 0 {
					calls = append(calls, file+" "+s.Sel.Name)
				}
			}
			return true
		})
	}
	slices.Sort(calls)
	if want := []string{"mint.go"}; !slices.Equal(uses, want) {
		t.Errorf("the CA's signer is used in %q, want %q", uses, want)
	}
	if want := []string{"ca.go CreateCertificate", "mint.go Sign"}; !slices.Equal(calls, want) {
		t.Errorf("signatures are made by %q, want %q", calls, want)
	}
}

// What must not be possible does not compile. Each program in testdata/forge
// says with a comment what the compiler is to answer; the one in honest, of the
// same shape, compiles.
func TestForgeriesDoNotCompile(t *testing.T) {
	t.Parallel()
	want := regexp.MustCompile(`(?m)// want (.*)$`)
	for _, dir := range must(filepath.Glob("testdata/forge/*"))(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			source := must(os.ReadFile(filepath.Join(dir, "main.go")))(t)
			out, err := exec.Command("go", "build", "-gcflags=-e", "-o", os.DevNull, "./"+dir).CombinedOutput()
			answers := want.FindAllSubmatch(source, -1)
			if (err != nil) != (len(answers) > 0) {
				t.Fatalf("go build: %v\n%s", err, out)
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			if len(answers) > 0 && len(lines) != len(answers)+1 { // the first line names the package
				t.Errorf("%d errors, want %d:\n%s", len(lines)-1, len(answers), out)
			}
			for _, a := range answers {
				if !strings.Contains(string(out), string(a[1])) {
					t.Errorf("go build does not say %q:\n%s", a[1], out)
				}
			}
		})
	}
}

// A relying party links this package, and with it no policy engine, database,
// cloud SDK, or Sigstore client.
func TestVerifierIsLight(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed := regexp.MustCompile(`^(` + strings.Join([]string{
		`plastron/(svid|log|log/proof|log/witness)`,
		`github\.com/spiffe/go-spiffe/v2/(bundle/x509bundle|spiffeid|internal/.*)`,
		`github\.com/sigstore/fulcio/pkg/certificate`,
		`github\.com/transparency-dev/(merkle|formats)(/.*)?`,
		`golang\.org/x/(crypto|mod|sync|sys)/.*`,
		`filippo\.io/(mldsa|edwards25519)(/.*)?`, // of formats/note: ML-DSA cosignatures
	}, "|") + `)$`)
	for dep := range strings.FieldsSeq(string(out)) {
		first, _, _ := strings.Cut(dep, "/")
		if (strings.Contains(first, ".") || first == "plastron") && !allowed.MatchString(dep) {
			t.Errorf("svid links %s", dep)
		}
	}
}
