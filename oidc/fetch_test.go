package oidc_test

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"plastron/oidc"
	"plastron/oidc/oidctest"
)

// What an issuer can do wrong when asked for its keys. In every row the token
// is good; no row says more than oidc_keys, nor repeats what the issuer sent.
func TestIssuerMisbehaves(t *testing.T) {
	t.Parallel()
	elsewhere := oidctest.New(t)
	const secret = "TOPSECRET"
	for name, c := range map[string]struct {
		conduct  oidctest.Misbehaviour
		requests int
	}{
		"status 500":                       {oidctest.Misbehaviour{Status: 500, Body: []byte(secret)}, 1},
		"status 204":                       {oidctest.Misbehaviour{Status: 204}, 1},
		"body not JSON":                    {oidctest.Misbehaviour{Status: 200, Body: []byte(secret)}, 1},
		"discovery with a name twice":      {oidctest.Misbehaviour{Status: 200, Body: []byte(`{"` + secret + `":1,"` + secret + `":1}`)}, 1},
		"discovery without issuer":         {oidctest.Misbehaviour{Status: 200, Body: []byte(`{"jwks_uri":"` + elsewhere.URL() + `"}`)}, 1},
		"O8 issuer is another":             {oidctest.Misbehaviour{Issuer: "https://" + secret + ".example"}, 1},
		"jwks_uri at another host":         {oidctest.Misbehaviour{JWKSURI: elsewhere.URL() + "/keys"}, 1},
		"jwks_uri in the cloud's metadata": {oidctest.Misbehaviour{JWKSURI: "http://169.254.169.254/" + secret}, 1},
		"jwks_uri a file":                  {oidctest.Misbehaviour{JWKSURI: "file:///etc/" + secret}, 1},
		"jwks_uri relative":                {oidctest.Misbehaviour{JWKSURI: "/keys"}, 1},
		"redirect to another host":         {oidctest.Misbehaviour{Redirect: elsewhere.URL() + "/keys"}, 2},
		"redirect to itself":               {oidctest.Misbehaviour{Redirect: oidctest.JWKSPath}, 2},
		"O9 endless keys":                  {oidctest.Misbehaviour{Endless: true}, 2},
		"O9 100,000 keys":                  {oidctest.Misbehaviour{JWKS: []byte(`{"keys":[{}` + strings.Repeat(",{}", 100_000) + `]}`)}, 2},
		"no keys":                          {oidctest.Misbehaviour{JWKS: []byte(`{"keys":[]}`)}, 2},
		"keys not JSON":                    {oidctest.Misbehaviour{JWKS: []byte(secret)}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t)
			s.issuer.Misbehave(c.conduct)
			id, err := s.verify(s.token(nil))
			refused(t, id, err, oidc.Keys)
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error repeats the issuer: %v", err)
			}
			if n := s.issuer.Requests(""); n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
			if err := s.Ready(context.Background()); err == nil || !strings.Contains(err.Error(), `issuer "ci"`) {
				t.Errorf("ready: %v", err)
			}
			if n := elsewhere.Requests(""); n != 0 {
				t.Errorf("%d requests went elsewhere", n)
			}
		})
	}
}

// Good documents, sent as good documents are not.
func TestGoodKeysBadlySent(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*oidctest.Issuer) oidctest.Misbehaviour{
		"O9 a set of 1 MiB and a byte": func(i *oidctest.Issuer) oidctest.Misbehaviour {
			return oidctest.Misbehaviour{JWKS: append(i.JWKS(), strings.Repeat(" ", 1<<20+1-len(i.JWKS()))...)}
		},
		"status 203": func(i *oidctest.Issuer) oidctest.Misbehaviour {
			return oidctest.Misbehaviour{Status: 203, Body: []byte(`{"issuer":"` + i.URL() + `","jwks_uri":"` + i.URL() + `/keys","keys":[` + strings.TrimPrefix(string(i.JWKS()), `{"keys":[`))}
		},
	} {
		s := set(t)
		s.issuer.Misbehave(spoil(s.issuer))
		id, err := s.verify(s.token(nil))
		refused(t, id, err, oidc.Keys)
		// One step back it is let in: a set of 1 MiB, status 200.
		s = set(t)
		m := spoil(s.issuer)
		if m.Status != 0 {
			m.Status = 200
		} else {
			m.JWKS = append(s.issuer.JWKS(), strings.Repeat(" ", 1<<20-len(s.issuer.JWKS()))...)
		}
		s.issuer.Misbehave(m)
		if _, err := s.verify(s.token(nil)); err != nil {
			t.Errorf("%s, one step back: %v", name, err)
		}
	}
}

// Every issuer that is not ready is told, in the order of names.
func TestReadyTellsAll(t *testing.T) {
	t.Parallel()
	var issuers []oidc.Issuer
	for _, name := range []string{"b", "ok", "a"} {
		i := oidctest.New(t)
		if name != "ok" {
			i.Misbehave(oidctest.Misbehaviour{Status: 500})
		}
		issuers = append(issuers, oidc.Issuer{Name: name, URL: i.URL(), InsecureHTTP: true})
	}
	v, err := oidc.New(issuers, audience, clock)
	if err != nil {
		t.Fatal(err)
	}
	err = v.Ready(context.Background())
	if err == nil || strings.Contains(err.Error(), `"ok"`) || strings.Index(err.Error(), `"a"`) > strings.Index(err.Error(), `"b"`) || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("ready: %v", err)
	}
}

// O8: byte for byte, as in the token.
func TestDiscoveryIssuerIsExact(t *testing.T) {
	t.Parallel()
	for _, change := range []func(string) string{
		func(s string) string { return s + "/" }, strings.ToUpper, func(s string) string { return s + " " },
		func(s string) string { return strings.Replace(s, "127.0.0.1", "localhost", 1) },
	} {
		s := set(t)
		s.issuer.Misbehave(oidctest.Misbehaviour{Issuer: change(s.issuer.URL())})
		id, err := s.verify(s.token(nil))
		refused(t, id, err, oidc.Keys)
	}
}

// A slow issuer costs a request no more than the request's own time.
func TestSlowIssuer(t *testing.T) {
	t.Parallel()
	s := set(t)
	s.issuer.Misbehave(oidctest.Misbehaviour{Drip: true})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	id, err := s.Verify(ctx, s.token(nil), bind, noon)
	refused(t, id, err, oidc.Keys)
}

// A gate starts while its issuer is down, and recovers with it.
func TestStartWhileIssuerIsDown(t *testing.T) {
	t.Parallel()
	now := noon
	i := oidctest.New(t)
	i.SetNow(clock)
	i.Misbehave(oidctest.Misbehaviour{Status: 503})
	v, err := oidc.New([]oidc.Issuer{{Name: "ci", URL: i.URL(), InsecureHTTP: true}}, audience, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	token := i.Token(map[string]any{"aud": audience})
	id, err := v.Verify(context.Background(), token, bind, noon)
	refused(t, id, err, oidc.Keys)
	i.Misbehave(oidctest.Misbehaviour{})
	now = now.Add(oidc.KeysCoolDown)
	if err := v.Ready(context.Background()); err != nil {
		t.Errorf("ready: %v", err)
	}
	if _, err := v.Verify(context.Background(), token, bind, noon); err != nil {
		t.Error(err)
	}
}

// O11: the issuer rotates, over its real endpoints.
func TestRotation(t *testing.T) {
	t.Parallel()
	now := noon
	i := oidctest.New(t)
	i.SetNow(clock)
	v, err := oidc.New([]oidc.Issuer{{Name: "ci", URL: i.URL(), InsecureHTTP: true}}, audience, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	verify := func(token string) error {
		_, err := v.Verify(context.Background(), token, bind, noon)
		return err
	}
	old := i.Token(map[string]any{"aud": audience})
	if err := verify(old); err != nil {
		t.Fatal(err)
	}
	i.KeepOld(false)
	i.Rotate()
	now = now.Add(oidc.KeysCoolDown)
	if err := verify(i.Token(map[string]any{"aud": audience})); err != nil {
		t.Fatalf("new key: %v", err)
	}
	now = now.Add(oidc.KeysCoolDown)
	_, err = v.Verify(context.Background(), old, bind, noon)
	refused(t, nil, err, oidc.Signature)
	i.Misbehave(oidctest.Misbehaviour{JWKS: []byte(`{"keys":[]}`)})
	now = now.Add(oidc.KeysTTL)
	if err := verify(i.Token(map[string]any{"aud": audience})); err != nil {
		t.Errorf("the last good set was not kept: %v", err)
	}
}

// O6, O10: 1,000 tokens that name keys nobody has, and none that leads anywhere.
func TestThousandUnknownKids(t *testing.T) {
	t.Parallel()
	s := set(t)
	if _, err := s.verify(s.token(nil)); err != nil {
		t.Fatal(err)
	}
	before := s.issuer.Requests(oidctest.JWKSPath)
	payload := []byte(`{"iss":"` + s.issuer.URL() + `","sub":"x","aud":"` + audience + `","iat":1,"exp":2}`)
	for n := range 1000 {
		kid := string(rune('a'+n%26)) + strings.Repeat("k", n/26)
		_, err := s.verify(s.issuer.Sign([]byte(`{"alg":"ES256","kid":"`+kid+`"}`), payload))
		refused(t, nil, err, oidc.Keys)
	}
	if n := s.issuer.Requests(oidctest.JWKSPath) - before; n > 1 {
		t.Errorf("%d fetches in a cool-down", n)
	}
}

// secure is an issuer's keys over HTTPS at a loopback address, as a cluster's
// API server has them: for bearers only.
func secure(t *testing.T, issuer *oidctest.Issuer) (server *httptest.Server, ca, bearer string) {
	t.Helper()
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer b3arer" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write(issuer.JWKS())
	}))
	server.Config.ErrorLog = nil
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca, bearer = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for path, text := range map[string][]byte{ca: block, bearer: []byte("b3arer\n")} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return server, ca, bearer
}

func TestKeysOverHTTPS(t *testing.T) {
	t.Parallel()
	issuer := oidctest.New(t)
	issuer.SetNow(clock)
	server, ca, bearer := secure(t, issuer)
	const url = "https://kubernetes.default.svc"
	good := oidc.Issuer{Name: "cluster", URL: url, JWKS: server.URL + "/openid/v1/jwks", CA: ca, TokenFile: bearer, PrivateNetwork: true}
	for name, c := range map[string]struct {
		change func(*oidc.Issuer)
		ok     bool
	}{
		"CA, bearer and private network": {func(*oidc.Issuer) {}, true},
		"without its CA":                 {func(i *oidc.Issuer) { i.CA = "" }, false},
		"without a bearer token":         {func(i *oidc.Issuer) { i.TokenFile = "" }, false},
		"not on a private network":       {func(i *oidc.Issuer) { i.PrivateNetwork = false }, false},
		"bearer token missing":           {func(i *oidc.Issuer) { i.TokenFile = bearer + ".gone" }, false},
		"a name that its CA does not":    {func(i *oidc.Issuer) { i.JWKS = strings.Replace(i.JWKS, "127.0.0.1", "localhost", 1) }, false},
	} {
		i := good
		c.change(&i)
		v, err := oidc.New([]oidc.Issuer{i}, audience, clock)
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(context.Background(), issuer.Token(map[string]any{"iss": url, "aud": audience}), bind, noon)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			refused(t, nil, err, oidc.Keys)
		}
	}
}

// The bearer token goes to the issuer's host and to no other, though keys may
// be fetched there.
func TestBearerStaysWithTheIssuer(t *testing.T) {
	t.Parallel()
	var got []string
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(keys.Close)
	_, _, bearer := secure(t, oidctest.New(t))
	s := set(t, func(i *oidc.Issuer) {
		i.TokenFile, i.KeyHosts = bearer, []string{strings.TrimPrefix(keys.URL, "http://")}
	})
	s.issuer.Misbehave(oidctest.Misbehaviour{JWKSURI: keys.URL})
	id, err := s.verify(s.token(nil))
	refused(t, id, err, oidc.Keys)
	if len(got) != 1 || got[0] != "" {
		t.Errorf("the key host saw %q", got)
	}
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	padded := func(size int) string {
		path, keys := filepath.Join(dir, strconv.Itoa(size)), oidctest.New(t).JWKS()
		writeFile(t, path, append(keys, strings.Repeat(" ", size-len(keys))...))
		return path
	}
	good := oidc.Issuer{Name: "ci", URL: "https://ci.example"}
	for name, change := range map[string]func(*oidc.Issuer){
		"name empty":                    func(i *oidc.Issuer) { i.Name = "" },
		"url empty":                     func(i *oidc.Issuer) { i.URL = "" },
		"url without scheme":            func(i *oidc.Issuer) { i.URL = "accounts.google.com" },
		"url http":                      func(i *oidc.Issuer) { i.URL = "http://127.0.0.1" },
		"url http, insecure, elsewhere": func(i *oidc.Issuer) { i.URL, i.InsecureHTTP = "http://ci.example", true },
		"url http, insecure, private":   func(i *oidc.Issuer) { i.URL, i.InsecureHTTP = "http://10.0.0.1", true },
		"url ftp":                       func(i *oidc.Issuer) { i.URL, i.InsecureHTTP = "ftp://127.0.0.1", true },
		"url with user":                 func(i *oidc.Issuer) { i.URL = "https://a@ci.example" },
		"url with query":                func(i *oidc.Issuer) { i.URL = "https://ci.example?a" },
		"url with empty query":          func(i *oidc.Issuer) { i.URL = "https://ci.example?" },
		"url with fragment":             func(i *oidc.Issuer) { i.URL = "https://ci.example#" },
		"url without host":              func(i *oidc.Issuer) { i.URL = "https:///x" },
		"audience with control":         func(i *oidc.Issuer) { i.Audience = "a\n" },
		"algorithm none":                func(i *oidc.Issuer) { i.Algorithms = []string{"none"} },
		"algorithm HS256":               func(i *oidc.Issuer) { i.Algorithms = []string{"RS256", "HS256"} },
		"lifetime negative":             func(i *oidc.Issuer) { i.MaxLifetime = -1 },
		"key host a URL":                func(i *oidc.Issuer) { i.KeyHosts = []string{"https://keys.example"} },
		"key host with path":            func(i *oidc.Issuer) { i.KeyHosts = []string{"keys.example/x"} },
		"key host empty":                func(i *oidc.Issuer) { i.KeyHosts = []string{""} },
		"jwks http":                     func(i *oidc.Issuer) { i.JWKS = "http://ci.example/keys" },
		"jwks ftp":                      func(i *oidc.Issuer) { i.JWKS = "ftp://ci.example/keys" },
		"jwks file missing":             func(i *oidc.Issuer) { i.JWKS = filepath.Join(dir, "missing") },
		"jwks file of 1 MiB and a byte": func(i *oidc.Issuer) { i.JWKS = padded(1<<20 + 1) },
		"jwks file empty":               func(i *oidc.Issuer) { i.JWKS = empty },
		"ca missing":                    func(i *oidc.Issuer) { i.CA = filepath.Join(dir, "missing") },
		"ca empty":                      func(i *oidc.Issuer) { i.CA = empty },
	} {
		i := good
		change(&i)
		if _, err := oidc.New([]oidc.Issuer{i}, audience, clock); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := oidc.New([]oidc.Issuer{good}, audience, clock); err != nil {
		t.Fatalf("good: %v", err)
	}
	if _, err := oidc.New([]oidc.Issuer{{Name: "ci", URL: "https://ci.example", JWKS: padded(1 << 20)}}, audience, clock); err != nil {
		t.Errorf("a file of 1 MiB: %v", err)
	}
	if _, err := oidc.New([]oidc.Issuer{good}, "", clock); err == nil {
		t.Error("an issuer without an audience was taken")
	}
	for _, two := range []oidc.Issuer{{Name: "ci", URL: "https://other.example"}, {Name: "other", URL: good.URL}} {
		if _, err := oidc.New([]oidc.Issuer{good, two}, audience, clock); err == nil {
			t.Errorf("two issuers %v were taken", two)
		}
	}
}
