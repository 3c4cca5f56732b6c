package oidctest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// Paths that the issuer serves.
const (
	DiscoveryPath = "/.well-known/openid-configuration"
	JWKSPath      = "/keys"
	TokenPath     = "/token" // see ServeTokens
)

// Misbehaviour is what an issuer does wrong; the zero value is nothing.
type Misbehaviour struct {
	Status   int           // answer everything with this status
	Body     []byte        // and this body, if Status is set
	Delay    time.Duration // wait before each answer
	Redirect string        // answer requests for keys with a redirect to this URL
	Issuer   string        // call itself this in the discovery document
	JWKSURI  string        // say that its keys are there
	JWKS     []byte        // publish this instead of its keys
	Endless  bool          // publish keys without end
	Drip     bool          // publish one byte, and no second one
}

// Misbehave makes the issuer misbehave from now on.
func (i *Issuer) Misbehave(m Misbehaviour) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.conduct = m
}

// ServeTokens serves tokens at /token to whoever asks, for development:
//
//	curl 'http://127.0.0.1:8080/token?aud=log.example/gate&sub=api&repository_id=7'
//	curl --json '{"aud":"log.example/gate","kubernetes.io":{"namespace":"shop"}}' http://127.0.0.1:8080/token
//
// Each parameter of a GET is a claim of type string (audience means aud, as in
// GitHub's runner); the body of a POST is the claims. The answer is the token
// and a line break, or {"value": token} to those that accept application/json.
func (i *Issuer) ServeTokens() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tokens = true
}

func (i *Issuer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+DiscoveryPath, i.discovery)
	mux.HandleFunc("GET "+JWKSPath, i.jwks)
	mux.HandleFunc("GET "+TokenPath, i.token)
	mux.HandleFunc("POST "+TokenPath, i.token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.requests[r.URL.Path]++
		m := i.conduct
		i.mu.Unlock()
		if !i.pause(r, m.Delay) {
			return
		}
		if m.Status != 0 {
			w.WriteHeader(m.Status)
			_, _ = w.Write(m.Body)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// pause waits, unless the client or the issuer goes away.
func (i *Issuer) pause(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-i.closed:
	}
	return false
}

func (i *Issuer) misbehaviour() Misbehaviour {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.conduct
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	m := i.misbehaviour()
	doc := map[string]any{
		"issuer": i.url, "jwks_uri": i.url + JWKSPath,
		"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
	}
	if m.Issuer != "" {
		doc["issuer"] = m.Issuer
	}
	if m.JWKSURI != "" {
		doc["jwks_uri"] = m.JWKSURI
	}
	answer(w, doc)
}

func (i *Issuer) jwks(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch m := i.misbehaviour(); {
	case m.Redirect != "":
		http.Redirect(w, r, m.Redirect, http.StatusFound)
	case m.Endless:
		_, _ = io.WriteString(w, `{"keys":[`)
		for spaces := []byte(strings.Repeat(" ", 64<<10)); ; {
			if _, err := w.Write(spaces); err != nil {
				return
			}
		}
	case m.Drip:
		_, _ = io.WriteString(w, `{`)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-i.closed:
		}
	case m.JWKS != nil:
		_, _ = w.Write(m.JWKS)
	default:
		_, _ = w.Write(i.JWKS())
	}
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	serve := i.tokens
	i.mu.Unlock()
	if !serve {
		http.NotFound(w, r)
		return
	}
	claims := map[string]any{}
	if r.Method == http.MethodPost {
		body := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
		body.UseNumber()
		if err := body.Decode(&claims); err != nil {
			http.Error(w, "the body is not a JSON object of claims: "+err.Error(), http.StatusBadRequest)
			return
		}
	}
	for name, values := range r.URL.Query() {
		if name == "audience" {
			name = "aud"
		}
		claims[name] = values[0]
	}
	token := i.Token(claims)
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		answer(w, map[string]any{"value": token})
		return
	}
	w.Header().Set("Content-Type", "application/jwt")
	_, _ = io.WriteString(w, token+"\n")
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}
