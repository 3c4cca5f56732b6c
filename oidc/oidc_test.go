package oidc_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"plastron/oidc"
	"plastron/oidc/oidctest"
)

const audience = "log.example/gate"

// noon is when all tokens of these tests are made and verified.
var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

var bind = sha256.Sum256([]byte("a bind"))

func clock() time.Time { return noon }

// setting is one issuer and a verifier that trusts it.
type setting struct {
	issuer *oidctest.Issuer
	*oidc.Verifier
}

func set(t testing.TB, change ...func(*oidc.Issuer)) setting {
	t.Helper()
	i := oidctest.New(t)
	i.SetNow(clock)
	c := oidc.Issuer{Name: "ci", URL: i.URL(), InsecureHTTP: true}
	for _, f := range change {
		f(&c)
	}
	v, err := oidc.New([]oidc.Issuer{c}, audience, clock)
	if err != nil {
		t.Fatal(err)
	}
	return setting{i, v}
}

// token is a good one with changes; nil leaves a claim out.
func (s setting) token(changes map[string]any) string {
	claims := map[string]any{"aud": audience}
	for name, v := range changes {
		claims[name] = v
	}
	return s.issuer.Token(claims)
}

func (s setting) verify(token string) (*oidc.Identity, error) {
	return s.Verify(context.Background(), token, bind, noon)
}

// refused fails unless the token is refused with a code, by an *Error, with no
// identity.
func refused(t *testing.T, id *oidc.Identity, err error, want oidc.Code) {
	t.Helper()
	e, ok := err.(*oidc.Error)
	if !ok || e.Code != want || id != nil {
		t.Fatalf("identity %v, error %v; want none and %s", id, err, want)
	}
	if len(e.Error()) > 1024 {
		t.Errorf("error of %d bytes", len(e.Error()))
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	s := set(t, func(i *oidc.Issuer) {
		i.Shared = true
		i.Claims = oidc.Claims{ArtifactDigest: "image.digest", RepositoryID: "repository_id", Commit: "sha"}
	})
	token := s.token(map[string]any{
		"sub": "repo:acme/shop:ref:refs/heads/main", "repository_id": 512345, "sha": "c0ffee", "nbf": noon.Unix(),
		"image": map[string]any{"digest": "sha256:aa"}, "protected": true, "gone": nil,
		"kubernetes.io": map[string]any{"pod": map[string]any{"name": "api-0"}}, "groups": []string{"a", "b"},
	})
	id, err := s.verify(token)
	if err != nil {
		t.Fatal(err)
	}
	input := token[:strings.LastIndexByte(token, '.')]
	for name, ok := range map[string]bool{
		"issuer": id.Issuer() == "ci" && id.URL() == s.issuer.URL(), "shared": id.Shared(),
		"subject": id.Subject() == "repo:acme/shop:ref:refs/heads/main", "bound": !id.Bound(),
		"artifact": id.ArtifactDigest() == "sha256:aa", "repository": id.RepositoryID() == "512345", "commit": id.Commit() == "c0ffee",
		"issued": id.IssuedAt().Equal(noon), "expires": id.ExpiresAt().Equal(noon.Add(oidctest.Lifetime)),
		"digest": id.Digest() == sha256.Sum256([]byte(token)), "signing input": id.SigningInput() == sha256.Sum256([]byte(input)),
	} {
		if !ok {
			t.Errorf("%s is wrong", name)
		}
	}
	for path, want := range map[string]string{"kubernetes.io.pod.name": "api-0", "groups.1": "b", "protected": "true", "aud": audience, "repository_id": "512345"} {
		if got, ok := id.Claim(path); !ok || got != want || id.Claims()[path] != want {
			t.Errorf("claim %s = %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{"gone", "groups", "kubernetes.io", ""} {
		if got, ok := id.Claim(path); ok {
			t.Errorf("claim %s = %q, want none", path, got)
		}
	}
}

// The archived key verifies the token without its issuer, and is the key of the
// thumbprint.
func TestJWKVerifiesTokenLater(t *testing.T) {
	t.Parallel()
	s := set(t)
	token := s.token(nil)
	id, err := s.verify(token)
	if err != nil {
		t.Fatal(err)
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(id.JWK()); err != nil {
		t.Fatal(err)
	}
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil || [32]byte(sum) != id.Key() || k.KeyID != "key-1" || k.Algorithm != "ES256" || !k.IsPublic() {
		t.Errorf("JWK %s: thumbprint %x, want %x", id.JWK(), sum, id.Key())
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, []byte(`{"keys":[`+string(id.JWK())+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.issuer.Close()
	v, err := oidc.New([]oidc.Issuer{{Name: "ci", URL: s.issuer.URL(), InsecureHTTP: true, JWKS: file}}, audience, clock)
	if err != nil {
		t.Fatal(err)
	}
	again, err := v.Verify(context.Background(), token, bind, noon)
	if err != nil || again.Key() != id.Key() {
		t.Errorf("again: %v", err)
	}
}

func TestZeroValuesAreRefused(t *testing.T) {
	t.Parallel()
	s := set(t)
	id, err := new(oidc.Verifier).Verify(context.Background(), s.token(nil), bind, noon)
	refused(t, id, err, oidc.BadIssuer)
	id, err = s.verify("")
	refused(t, id, err, oidc.Malformed)
	var zero oidc.Identity
	if _, ok := zero.Claim("sub"); ok || zero.Issuer() != "" || zero.URL() != "" || zero.Subject() != "" || zero.Bound() || zero.Commit() != "" || len(zero.Claims()) != 0 {
		t.Error("the zero identity says something")
	}
	if _, err := oidc.New([]oidc.Issuer{{URL: "https://ci.example"}}, audience, clock); err == nil {
		t.Error("an issuer without a name was taken: the zero identity would be of it")
	}
}

// Rules on claims. Every row is signed by the issuer.
func TestClaims(t *testing.T) {
	t.Parallel()
	s := set(t)
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	for name, c := range map[string]struct {
		changes map[string]any
		want    oidc.Code
	}{
		"O14 sub absent":                       {map[string]any{"sub": nil}, oidc.BadClaims},
		"O14 sub empty":                        {map[string]any{"sub": ""}, oidc.BadClaims},
		"O14 sub of 1025 bytes":                {map[string]any{"sub": strings.Repeat("x", 1025)}, oidc.BadClaims},
		"O14 sub NUL":                          {map[string]any{"sub": "a\x00b"}, oidc.BadClaims},
		"O14 sub line break":                   {map[string]any{"sub": "a\nb"}, oidc.BadClaims},
		"O14 sub bidi override":                {map[string]any{"sub": "a\u202eb"}, oidc.BadClaims},
		"O14 sub bidi isolate":                 {map[string]any{"sub": "a\u2066b"}, oidc.BadClaims},
		"O14 sub zero width":                   {map[string]any{"sub": "a\u200bb"}, oidc.BadClaims},
		"O14 sub line separator":               {map[string]any{"sub": "a\u2028b"}, oidc.BadClaims},
		"O14 sub replacement character":        {map[string]any{"sub": "a\ufffdb"}, oidc.BadClaims},
		"O14 sub number":                       {map[string]any{"sub": 7}, oidc.BadClaims},
		"O14 sub array":                        {map[string]any{"sub": []string{"a"}}, oidc.BadClaims},
		"sub object":                           {map[string]any{"sub": map[string]any{"a": "b"}}, oidc.BadClaims},
		"iss absent":                           {map[string]any{"iss": nil}, oidc.BadClaims},
		"iss number":                           {map[string]any{"iss": 7}, oidc.BadClaims},
		"iss unknown":                          {map[string]any{"iss": "https://evil.example"}, oidc.BadIssuer},
		"iss trailing slash":                   {map[string]any{"iss": s.issuer.URL() + "/"}, oidc.BadIssuer},
		"iss case":                             {map[string]any{"iss": strings.ToUpper(s.issuer.URL())}, oidc.BadIssuer},
		"exp absent":                           {map[string]any{"exp": nil}, oidc.BadClaims},
		"exp string":                           {map[string]any{"exp": strconv.FormatInt(at(time.Minute), 10)}, oidc.BadClaims},
		"exp fraction":                         {map[string]any{"exp": json.Number("1790000000.5")}, oidc.BadClaims},
		"exp exponent":                         {map[string]any{"exp": json.Number("1.79e9")}, oidc.BadClaims},
		"exp negative":                         {map[string]any{"exp": -1}, oidc.BadClaims},
		"exp zero":                             {map[string]any{"exp": 0}, oidc.BadClaims},
		"exp beyond year 9999":                 {map[string]any{"exp": json.Number("253402300800")}, oidc.BadClaims},
		"exp beyond int64":                     {map[string]any{"exp": json.Number("9223372036854775808")}, oidc.BadClaims},
		"exp now":                              {map[string]any{"iat": at(-time.Hour), "exp": at(0)}, oidc.Expired},
		"exp a second ago":                     {map[string]any{"iat": at(-time.Hour), "exp": at(-time.Second)}, oidc.Expired},
		"exp not after iat":                    {map[string]any{"iat": at(time.Minute), "exp": at(time.Minute)}, oidc.BadClaims},
		"lifetime 24 h and a second":           {map[string]any{"iat": at(-time.Second), "exp": at(24 * time.Hour)}, oidc.BadClaims},
		"lifetime ten years":                   {map[string]any{"exp": at(10 * 365 * 24 * time.Hour)}, oidc.BadClaims},
		"iat absent":                           {map[string]any{"iat": nil}, oidc.BadClaims},
		"iat boolean":                          {map[string]any{"iat": true}, oidc.BadClaims},
		"iat 61 s ahead":                       {map[string]any{"iat": at(61 * time.Second)}, oidc.Expired},
		"nbf 61 s ahead":                       {map[string]any{"nbf": at(61 * time.Second)}, oidc.Expired},
		"nbf an hour ahead":                    {map[string]any{"nbf": at(time.Hour), "exp": at(2 * time.Hour)}, oidc.Expired},
		"nbf after exp":                        {map[string]any{"nbf": at(time.Hour)}, oidc.BadClaims},
		"nbf string":                           {map[string]any{"nbf": "0"}, oidc.BadClaims},
		"aud absent":                           {map[string]any{"aud": nil}, oidc.BadClaims},
		"aud empty array":                      {map[string]any{"aud": []string{}}, oidc.BadClaims},
		"aud number":                           {map[string]any{"aud": 1}, oidc.BadClaims},
		"aud array of number":                  {map[string]any{"aud": []any{audience, 1}}, oidc.BadClaims},
		"aud object":                           {map[string]any{"aud": map[string]any{"0": audience}}, oidc.BadClaims},
		"aud null":                             {map[string]any{"aud": json.RawMessage("null")}, oidc.BadClaims},
		"aud by a look-alike claim":            {map[string]any{"aud": nil, "aud.0": audience}, oidc.BadClaims},
		"aud nine parties":                     {map[string]any{"aud": []string{"1", "2", "3", "4", "5", "6", "7", "8", audience}}, oidc.BadClaims},
		"aud other":                            {map[string]any{"aud": "log.example/other"}, oidc.Audience},
		"aud empty string":                     {map[string]any{"aud": ""}, oidc.Audience},
		"aud trailing slash":                   {map[string]any{"aud": audience + "/"}, oidc.Audience},
		"aud prefix of ours":                   {map[string]any{"aud": audience[:5]}, oidc.Audience},
		"aud case":                             {map[string]any{"aud": strings.ToUpper(audience)}, oidc.Audience},
		"aud ours and another":                 {map[string]any{"aud": []string{audience, "other"}}, oidc.Audience},
		"aud ours twice":                       {map[string]any{"aud": []string{audience, audience}}, oidc.Audience},
		"O19 aud bound to another key":         {map[string]any{"aud": oidc.BoundAudience(audience, [32]byte{1})}, oidc.Audience},
		"O19 aud bound to nothing":             {map[string]any{"aud": audience + "/bind/"}, oidc.Audience},
		"O19 aud bound, padded":                {map[string]any{"aud": oidc.BoundAudience(audience, bind) + "="}, oidc.Audience},
		"O19 aud bound, cut":                   {map[string]any{"aud": oidc.BoundAudience(audience, bind)[:40]}, oidc.Audience},
		"O19 aud of another gate, our bind":    {map[string]any{"aud": oidc.BoundAudience("log.example/other", bind)}, oidc.Audience},
		"O15 login token nonce":                {map[string]any{"nonce": "n"}, oidc.Malformed},
		"O15 login token at_hash":              {map[string]any{"at_hash": "h"}, oidc.Malformed},
		"O15 login token c_hash":               {map[string]any{"c_hash": "h"}, oidc.Malformed},
		"O15 login token s_hash":               {map[string]any{"s_hash": "h"}, oidc.Malformed},
		"O15 login token auth_time":            {map[string]any{"auth_time": 1}, oidc.Malformed},
		"O15 logout token":                     {map[string]any{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}, oidc.Malformed},
		"O15 legacy service account secret":    {map[string]any{"iss": "kubernetes/serviceaccount", "exp": nil, "iat": nil, "aud": nil}, oidc.BadClaims},
		"two readings: case twin of sub":       {map[string]any{"Sub": "admin"}, oidc.Malformed},
		"two readings: EXP alone":              {map[string]any{"exp": nil, "EXP": at(time.Minute)}, oidc.Malformed},
		"two readings: long s":                 {map[string]any{"\u017fub": "admin"}, oidc.Malformed},
		"two readings: NBF alone":              {map[string]any{"NBF": 1}, oidc.Malformed},
		"case twins":                           {map[string]any{"repository": "a", "Repository": "b"}, oidc.Malformed},
		"case twins by the Kelvin sign":        {map[string]any{"k": "a", "\u212a": "b"}, oidc.Malformed},
		"case twins in depth":                  {map[string]any{"a": []any{map[string]any{"x": 1, "X": 2}}}, oidc.Malformed},
		"two claims of one path":               {map[string]any{"a.b": 1, "a": map[string]any{"b": 2}}, oidc.BadClaims},
		"two claims of one path, by an index":  {map[string]any{"a.0": 1, "a": []int{2}}, oidc.BadClaims},
		"name empty":                           {map[string]any{"": 1}, oidc.BadClaims},
		"name with a control character":        {map[string]any{"a\x07": 1}, oidc.BadClaims},
		"name of 256 bytes":                    {map[string]any{strings.Repeat("n", 256): 1}, oidc.BadClaims},
		"path of 256 bytes":                    {map[string]any{strings.Repeat("n", 200): map[string]any{strings.Repeat("n", 55): 1}}, oidc.BadClaims},
		"text of 4097 bytes":                   {map[string]any{"x": strings.Repeat("x", 4097)}, oidc.BadClaims},
		"513 claims":                           {map[string]any{"x": make([]int, 513-5+1)}, oidc.BadClaims},
		"nine levels":                          {map[string]any{"x": json.RawMessage("[[[[[[[[1]]]]]]]]")}, oidc.BadClaims},
		"what go-oidc alone cannot read":       {map[string]any{"_claim_names": "x"}, oidc.BadClaims},
		"distributed claims without their end": {map[string]any{"_claim_names": map[string]any{"groups": "src1"}}, oidc.BadClaims},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, err := s.verify(s.token(c.changes))
			refused(t, id, err, c.want)
		})
	}
}

// The nearest neighbours of refused tokens, which must be let in: else the rows
// above would prove nothing.
func TestClaimsAtTheirBounds(t *testing.T) {
	t.Parallel()
	s := set(t)
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	for name, changes := range map[string]map[string]any{
		"plain":              nil,
		"sub of 1024 bytes":  {"sub": strings.Repeat("x", 1024)},
		"sub in Greek":       {"sub": "χελώνη"},
		"exp in a second":    {"exp": at(time.Second)},
		"lifetime 24 h":      {"exp": at(24 * time.Hour)},
		"iat 60 s ahead":     {"iat": at(60 * time.Second)},
		"nbf 60 s ahead":     {"nbf": at(60 * time.Second)},
		"aud array of one":   {"aud": []string{audience}},
		"aud bound":          {"aud": oidc.BoundAudience(audience, bind)},
		"eight levels":       {"x": json.RawMessage("[[[[[[[1]]]]]]]")},
		"512 claims":         {"x": make([]int, 512-5)},
		"text of 4096 bytes": {"x": strings.Repeat("x", 4096)},
		"path of 255 bytes":  {strings.Repeat("n", 200): map[string]any{strings.Repeat("n", 54): 1}},
		"null":               {"nbf": json.RawMessage("null")},
		"empty":              {"x": map[string]any{}, "y": []int{}},
		"same name in two":   {"a": map[string]any{"x": 1}, "b": map[string]any{"X": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, err := s.verify(s.token(changes))
			if err != nil {
				t.Fatal(err)
			}
			if want := name == "aud bound"; id.Bound() != want {
				t.Errorf("bound %v, want %v", id.Bound(), want)
			}
		})
	}
}

func TestOtherAudiences(t *testing.T) {
	t.Parallel()
	s := set(t, func(i *oidc.Issuer) { i.InsecureOtherAudiences = true })
	for _, aud := range [][]string{{audience, "other"}, {"other", audience}} {
		if id, err := s.verify(s.token(map[string]any{"aud": aud})); err != nil || id.Bound() {
			t.Errorf("%v: %v", aud, err)
		}
	}
	if id, err := s.verify(s.token(map[string]any{"aud": []string{"other", oidc.BoundAudience(audience, bind)}})); err != nil || !id.Bound() {
		t.Errorf("bound: %v", err)
	}
	for _, aud := range [][]string{{"other", "another"}, {audience, oidc.BoundAudience(audience, [32]byte{1})}, {oidc.BoundAudience(audience, [32]byte{1}), audience}} {
		id, err := s.verify(s.token(map[string]any{"aud": aud}))
		refused(t, id, err, oidc.Audience)
	}
}

// O22: two tenants of one provider; each has its own keys.
func TestIssuersDoNotSpeakForEachOther(t *testing.T) {
	t.Parallel()
	one, two := set(t), oidctest.New(t)
	two.SetNow(clock)
	v, err := oidc.New([]oidc.Issuer{
		{Name: "one", URL: one.issuer.URL(), InsecureHTTP: true, Audience: "for-one"},
		{Name: "two", URL: two.URL(), InsecureHTTP: true},
	}, audience, clock)
	if err != nil {
		t.Fatal(err)
	}
	id, err := v.Verify(context.Background(), two.Token(map[string]any{"iss": one.issuer.URL(), "aud": "for-one"}), bind, noon)
	refused(t, id, err, oidc.Signature)
	id, err = v.Verify(context.Background(), two.Token(map[string]any{"aud": "for-one"}), bind, noon)
	refused(t, id, err, oidc.Audience)
	id, err = v.Verify(context.Background(), one.token(map[string]any{"aud": "for-one"}), bind, noon)
	if err != nil || id.Issuer() != "one" {
		t.Fatalf("one: %v", err)
	}
	// Keys are one's own, too: a kid of one is no kid of two.
	if two.Rotate(); two.Rotate() == "key-1" {
		t.Fatal("no new key")
	}
	id, err = v.Verify(context.Background(), two.Token(map[string]any{"iss": one.issuer.URL(), "aud": "for-one"}), bind, noon)
	if id != nil || err == nil {
		t.Fatalf("two spoke for one: %v", id)
	}
}

// Rules on the JWS, with the same good claims in each.
func TestJWS(t *testing.T) {
	t.Parallel()
	s := set(t)
	b64 := base64.RawURLEncoding.EncodeToString
	good := s.token(nil)
	parts := strings.Split(good, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	header := func(h string) string { return s.issuer.Sign([]byte(h), payload) }
	body := func(p string) string { return s.issuer.Sign(s.issuer.Header(), []byte(p)) }
	with := func(member string) string { return header(`{"alg":"ES256","kid":"key-1",` + member + `}`) }
	claims := strings.TrimSuffix(string(payload), "}")
	for name, c := range map[string]struct {
		token string
		want  oidc.Code
	}{
		"rfc8725 3.1 alg none":            {b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", oidc.Signature},
		"rfc8725 3.1 alg none, signed":    {header(`{"alg":"none","kid":"key-1"}`), oidc.Signature},
		"rfc8725 3.1 alg NonE":            {header(`{"alg":"NonE","kid":"key-1"}`), oidc.Signature},
		"alg HS256":                       {header(`{"alg":"HS256","kid":"key-1"}`), oidc.Signature},
		"alg ES384 on P-256":              {header(`{"alg":"ES384","kid":"key-1"}`), oidc.Signature},
		"alg RS256 on P-256":              {header(`{"alg":"RS256","kid":"key-1"}`), oidc.Signature},
		"alg missing":                     {header(`{"kid":"key-1"}`), oidc.Malformed},
		"alg empty":                       {header(`{"alg":"","kid":"key-1"}`), oidc.Malformed},
		"alg number":                      {header(`{"alg":256,"kid":"key-1"}`), oidc.Malformed},
		"alg twice":                       {with(`"alg":"none"`), oidc.Malformed},
		"alg in other letters":            {with(`"Alg":"none"`), oidc.Malformed},
		"kid unknown":                     {header(`{"alg":"ES256","kid":"key-2"}`), oidc.Keys},
		"kid empty":                       {header(`{"alg":"ES256","kid":""}`), oidc.Malformed},
		"kid of 256 bytes":                {header(`{"alg":"ES256","kid":"` + strings.Repeat("k", 256) + `"}`), oidc.Malformed},
		"kid with NUL":                    {header(`{"alg":"ES256","kid":"key-1\u0000"}`), oidc.Malformed},
		"O15 typ at+jwt":                  {with(`"typ":"at+jwt"`), oidc.Malformed},
		"O15 typ logout+jwt":              {with(`"typ":"logout+jwt"`), oidc.Malformed},
		"O15 typ wit+jwt":                 {with(`"typ":"wit+jwt"`), oidc.Malformed},
		"typ empty":                       {with(`"typ":""`), oidc.Malformed},
		"O6 jku":                          {with(`"jku":"` + s.issuer.URL() + `/jku"`), oidc.Malformed},
		"O6 x5u":                          {with(`"x5u":"` + s.issuer.URL() + `/x5u"`), oidc.Malformed},
		"O6 jwk":                          {with(`"jwk":{"kty":"oct","k":"AA"}`), oidc.Malformed},
		"O6 x5c":                          {with(`"x5c":[]`), oidc.Malformed},
		"O21 crit":                        {with(`"crit":["exp"]`), oidc.Malformed},
		"O21 b64 false":                   {with(`"b64":false,"crit":["b64"]`), oidc.Malformed},
		"O21 cty JWT":                     {with(`"cty":"JWT"`), oidc.Malformed},
		"O21 zip":                         {with(`"zip":"DEF"`), oidc.Malformed},
		"header nonce":                    {with(`"nonce":"x"`), oidc.Malformed},
		"O21 JSON serialisation":          {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, oidc.Malformed},
		"O21 nested JWE":                  {parts[0] + "..." + parts[1] + ".", oidc.Malformed},
		"O20 space before":                {" " + good, oidc.Malformed},
		"O20 line break after":            {good + "\n", oidc.Malformed},
		"O20 line break within":           {good[:20] + "\n" + good[20:], oidc.Malformed},
		"O20 carriage return in sig":      {good[:len(good)-5] + "\r" + good[len(good)-5:], oidc.Malformed},
		"O20 padding":                     {good + "==", oidc.Malformed},
		"O20 standard alphabet":           {parts[0] + "." + parts[1] + "." + "+" + parts[2][1:], oidc.Malformed},
		"O20 bits after the end":          {parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])-1] + string(parts[2][len(parts[2])-1]+1), oidc.Malformed},
		"O20 16 KiB and a byte":           {strings.Repeat("A", oidc.MaxToken+1), oidc.Malformed},
		"O20 only dots":                   {strings.Repeat(".", oidc.MaxToken), oidc.Malformed},
		"two parts":                       {parts[0] + "." + parts[1], oidc.Malformed},
		"four parts":                      {good + "." + parts[2], oidc.Malformed},
		"no signature":                    {parts[0] + "." + parts[1] + ".", oidc.Signature},
		"no payload (detached)":           {parts[0] + ".." + parts[2], oidc.Malformed},
		"signature of another payload":    {parts[0] + "." + strings.Split(s.token(map[string]any{"sub": "admin"}), ".")[1] + "." + parts[2], oidc.Signature},
		"signature cut":                   {good[:len(good)-2], oidc.Signature},
		"signature all zero":              {parts[0] + "." + parts[1] + "." + b64(make([]byte, 64)), oidc.Signature},
		"signature ASN.1":                 {parts[0] + "." + parts[1] + "." + b64([]byte{0x30, 6, 2, 1, 1, 2, 1, 1}), oidc.Signature},
		"header of 1 KiB and more":        {with(`"x5t":"` + strings.Repeat("x", 1024) + `"`), oidc.Malformed},
		"header not an object":            {header(`["ES256"]`), oidc.Malformed},
		"header not JSON":                 {header(`alg`), oidc.Malformed},
		"header trailing":                 {header(`{"alg":"ES256","kid":"key-1"}{}`), oidc.Malformed},
		"header not UTF-8":                {header("{\"alg\":\"ES256\",\"kid\":\"\xff\"}"), oidc.Malformed},
		"payload not an object":           {body(`[]`), oidc.Malformed},
		"payload not JSON":                {body(`x`), oidc.Malformed},
		"payload cut":                     {body(claims), oidc.Malformed},
		"payload trailing":                {body(claims + `}{}`), oidc.Malformed},
		"payload trailing comma":          {body(claims + `,}`), oidc.Malformed},
		"duplicate claim":                 {body(claims + `,"sub":"admin"}`), oidc.Malformed},
		"duplicate claim, escaped":        {body(claims + `,"s\u0075b":"admin"}`), oidc.Malformed},
		"duplicate claim in depth":        {body(claims + `,"a":[{"x":1,"x":1}]}`), oidc.Malformed},
		"O14 lone surrogate":              {body(claims + `,"x":"\ud800"}`), oidc.Malformed},
		"O14 lone low surrogate":          {body(claims + `,"x":"\udc00a"}`), oidc.Malformed},
		"O14 lone surrogate in a name":    {body(claims + `,"\ud800":1}`), oidc.Malformed},
		"not UTF-8":                       {body(claims + ",\"x\":\"\xc0\xaf\"}"), oidc.Malformed},
		"raw control character":           {body(claims + ",\"x\":\"\x01\"}"), oidc.Malformed},
		"number with a leading zero":      {body(claims + `,"x":01}`), oidc.Malformed},
		"NaN":                             {body(claims + `,"x":NaN}`), oidc.Malformed},
		"byte order mark":                 {body("\ufeff" + string(payload)), oidc.Malformed},
		"ten thousand levels":             {body(claims + `,"x":` + strings.Repeat("[", 10000) + `}`), oidc.BadClaims},
		"unconfigured issuer, no fetch":   {s.token(map[string]any{"iss": s.issuer.URL() + "/other"}), oidc.BadIssuer},
		"Google's other name":             {s.token(map[string]any{"iss": "accounts.google.com"}), oidc.BadIssuer},
		"O14 sub of 64 KiB, as a payload": {body(claims + `,"x":"` + strings.Repeat("x", 64<<10) + `"}`), oidc.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, err := s.verify(c.token)
			refused(t, id, err, c.want)
		})
	}
	t.Cleanup(func() { // runs after the rows
		if n := s.issuer.Requests(""); n > 2 {
			t.Errorf("%d requests went out, want discovery and keys once", n)
		}
	})
	if _, err := s.verify(good); err != nil {
		t.Fatalf("the unspoilt token: %v", err)
	}
	for name, h := range map[string]string{"typ absent": `{"alg":"ES256","kid":"key-1"}`, "kid absent": `{"alg":"ES256"}`, "as GitHub": `{"typ":"JWT","alg":"ES256","x5t":"aGk","kid":"key-1"}`} {
		if _, err := s.verify(header(h)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every bit of a token counts: no flip of one leaves it valid.
func TestEveryBitCounts(t *testing.T) {
	t.Parallel()
	s := set(t)
	good := s.token(nil)
	if _, err := s.verify(good); err != nil {
		t.Fatal(err)
	}
	for n := range len(good) * 8 {
		b := []byte(good)
		b[n/8] ^= 1 << (n % 8)
		if id, err := s.verify(string(b)); err == nil {
			t.Fatalf("bit %d flipped: %s", n, id.Subject())
		}
	}
	for n := range good {
		if _, err := s.verify(good[:n]); err == nil {
			t.Fatalf("cut to %d bytes", n)
		}
	}
}

func TestErrorsRepeatLittle(t *testing.T) {
	t.Parallel()
	s := set(t)
	long := strings.Repeat("\u202e", 300) + "\r\n"
	_, err := s.verify(s.token(map[string]any{"aud": long}))
	if e := new(oidc.Error); !errors.As(err, &e) || len(err.Error()) > 1200 || strings.ContainsAny(err.Error(), "\u202e\r\n") {
		t.Errorf("error: %v", err)
	}
}

// What was seen and what was wanted, in the words of whoever has to mend it.
func TestErrorsSayWhatWasSeen(t *testing.T) {
	t.Parallel()
	s := set(t)
	parts := strings.Split(s.token(nil), ".")
	for want, token := range map[string]string{
		"JSON serialisation":                                          "{}",
		"an encrypted token (JWE)":                                    "a.b.c.d.e",
		"the header or the payload is":                                ".." + parts[2],
		"the token is not signed":                                     parts[0] + "." + parts[1] + ".",
		"header: kid is no string":                                    s.issuer.Sign([]byte(`{"alg":"ES256","kid":7}`), []byte("{}")),
		`header has "jku", want only alg`:                             s.issuer.Sign([]byte(`{"alg":"ES256","jku":"x"}`), []byte("{}")),
		"payload is not a JSON object":                                s.issuer.Sign(s.issuer.Header(), []byte("7")),
		"occurs twice in one object":                                  s.issuer.Sign(s.issuer.Header(), []byte(`{"a":1,"a":1}`)),
		`want "log.example/gate" or "log.example/gate/bind/`:          s.token(map[string]any{"aud": "other"}),
		"expired at 2026-09-01T11:59:59Z, it is 2026-09-01T12:00:00Z": s.token(map[string]any{"iat": 1788263000, "exp": noon.Unix() - 1}),
		"valid for 48h0m0s, want at most 24h0m0s":                     s.token(map[string]any{"exp": noon.Unix() + 2*86400}),
		`iss is "https://evil.example"`:                               s.token(map[string]any{"iss": "https://evil.example"}),
	} {
		if _, err := s.verify(token); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}
