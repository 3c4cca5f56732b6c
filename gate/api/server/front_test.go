package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"plastron/gate"
	gatev1 "plastron/gate/api/v1"
)

// echo is a service that does what its request says, so that what is before the
// services can be tested without a gate.
type echo struct {
	gatev1.UnimplementedGateServiceHandler
	gatev1.UnimplementedAdminServiceHandler
	hold chan struct{} // Beacon waits for it
	held sync.WaitGroup
}

func (e *echo) Beacon(ctx context.Context, _ *gatev1.BeaconRequest) (*gatev1.BeaconResponse, error) {
	if e.hold != nil {
		e.held.Done()
		<-e.hold
	}
	_, bounded := ctx.Deadline()
	if !bounded {
		return nil, errors.New("no deadline")
	}
	return &gatev1.BeaconResponse{Beacon: []byte("note")}, nil
}

func (e *echo) Challenge(_ context.Context, r *gatev1.ChallengeRequest) (*gatev1.ChallengeResponse, error) {
	return &gatev1.ChallengeResponse{Challenge: r.GetRequest()}, nil
}

func (e *echo) Enrol(context.Context, *gatev1.EnrolRequest) (*gatev1.EnrolResponse, error) {
	return &gatev1.EnrolResponse{}, nil
}

func (e *echo) Issue(_ context.Context, r *gatev1.IssueRequest) (*gatev1.IssueResponse, error) {
	switch r.GetToken() {
	case "panic":
		panic("secret of the gate")
	case "refuse":
		return nil, wire(&gate.Refusal{Code: "oidc_audience", Fact: "aud is x, want y", Rule: "shop", Clause: "token", Err: errors.New("secret of the gate")})
	case "fail":
		return nil, wire(errors.New("secret of the gate"))
	}
	return &gatev1.IssueResponse{TlogProof: r.GetToken()}, nil
}

func (e *echo) CreateToken(_ context.Context, r *gatev1.CreateTokenRequest) (*gatev1.CreateTokenResponse, error) {
	return &gatev1.CreateTokenResponse{Expires: r.GetSpiffeId()}, nil
}

// front returns everything of a Handler but the gate behind it.
func front(e *echo) http.Handler {
	h := &Handler{metrics: NewMetrics(), now: time.Now, logger: slog.New(slog.DiscardHandler)}
	mux := http.NewServeMux()
	mux.Handle(gatev1.NewGateServiceHandler(e, h.options()...))
	mux.Handle(gatev1.NewAdminServiceHandler(e, h.options()...))
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("secret of the gate") })
	mux.HandleFunc("POST /length", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d %v", n, err)
	})
	return h.bounded(mux)
}

func serve(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(front(&echo{}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestJSONIsStrict(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const challenge, token = "/plastron.gate.v1.GateService/Challenge", "/plastron.gate.v1.AdminService/CreateToken"
	rows := []struct {
		name, path, contentType, body string
		status                        int
		want                          string // in the answer
	}{
		{"plain", challenge, "application/json", `{"kind":"tpm","request":"e30="}`, 200, `{"challenge":"e30="}`},
		{"charset", challenge, "application/json; charset=utf-8", `{"request":"e30="}`, 200, `{"challenge":"e30="}`},
		{"charset in capitals", challenge, `application/json;charset="UTF-8"`, `{"request":"e30="}`, 200, `{"challenge":"e30="}`},
		{"zero is in the answer", "/plastron.gate.v1.GateService/Enrol", "application/json", `{}`, 200, `{"index":"0"}`},
		{"names as in gate.proto", token, "application/json", `{"spiffe_id":"a"}`, 200, `"expires":"a"`},

		{"unknown field", challenge, "application/json", `{"knd":"tpm"}`, 400, "unknown field"},
		{"unknown field, charset", challenge, "application/json; charset=utf-8", `{"knd":"tpm"}`, 400, "unknown field"},
		{"unknown field, charset in capitals", challenge, "application/json; charset=UTF-8", `{"knd":"tpm"}`, 400, "unknown field"},
		{"unknown field, nested", "/plastron.gate.v1.GateService/Issue", "application/json", `{"evidence":[{"kind":"tpm","x":1}]}`, 400, "unknown field"},
		{"field in another case", challenge, "application/json", `{"Kind":"tpm"}`, 400, "unknown field"},
		{"field twice", challenge, "application/json", `{"kind":"tpm","kind":"iid"}`, 400, "duplicate field"},
		{"field under both its names", token, "application/json", `{"spiffe_id":"a","spiffeId":"b"}`, 400, "duplicate field"},
		{"wrong type", challenge, "application/json", `{"kind":1}`, 400, "invalid value"},
		{"not base64", challenge, "application/json", `{"request":"{}"}`, 400, "invalid value"},
		{"not UTF-8", challenge, "application/json", "{\"kind\":\"\xff\"}", 400, "invalid UTF-8"},
		{"trailing bytes", challenge, "application/json", `{} {}`, 400, "unexpected token"},
		{"empty", challenge, "application/json", ``, 400, "empty body"},
		{"null", challenge, "application/json", `null`, 400, "unexpected token"},
		{"array", challenge, "application/json", `[]`, 400, "unexpected token"},
		{"truncated", challenge, "application/json", `{"kind":"tpm"`, 400, "unexpected EOF"},
		{"another charset", challenge, "application/json; charset=iso-8859-1", `{}`, 415, ""},
		{"no content type", challenge, "", `{}`, 415, ""},
		{"form", challenge, "application/x-www-form-urlencoded", `{}`, 415, ""},
		{"unknown method", "/plastron.gate.v1.GateService/Mint", "application/json", `{}`, 404, ""},
		{"unknown service", "/plastron.gate.v2.GateService/Issue", "application/json", `{}`, 404, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			status, body := post(t, s, row.path, row.contentType, strings.NewReader(row.body))
			if plain := strings.ReplaceAll(body, " ", ""); status != row.status || !strings.Contains(plain, strings.ReplaceAll(row.want, " ", "")) {
				t.Errorf("%d %s, want %d and %q", status, body, row.status, row.want)
			}
		})
	}
}

func post(t *testing.T, s *httptest.Server, path, contentType string, body io.Reader) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return do(t, s, r)
}

func do(t *testing.T, s *httptest.Server, r *http.Request) (int, string) {
	t.Helper()
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("%s %s: X-Content-Type-Options is %q", r.Method, r.URL.Path, got)
	}
	return res.StatusCode, string(b)
}

// protocols are the ways in for generated clients.
var protocols = map[string][]connect.ClientOption{
	"connect":  nil,
	"json":     {connect.WithProtoJSON()},
	"grpc":     {connect.WithGRPC()},
	"grpc-web": {connect.WithGRPCWeb()},
}

func TestProtocols(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for name, options := range protocols {
		t.Run(name, func(t *testing.T) {
			c := gatev1.NewGateServiceClient(s.Client(), s.URL, options...)
			beacon, err := c.Beacon(t.Context(), &gatev1.BeaconRequest{})
			if err != nil || string(beacon.GetBeacon()) != "note" {
				t.Errorf("beacon %q, %v", beacon.GetBeacon(), err)
			}
			for token, want := range map[string]struct {
				code   connect.Code
				detail *gatev1.Refusal
			}{
				"refuse": {connect.CodeUnauthenticated, &gatev1.Refusal{Code: "oidc_audience", Fact: "aud is x, want y", Rule: "shop", Clause: "token"}},
				"fail":   {connect.CodeInternal, &gatev1.Refusal{Code: "internal", Fact: "the gate failed; its own log says more"}},
				"panic":  {connect.CodeInternal, &gatev1.Refusal{Code: "internal", Fact: "the gate failed; its own log says more"}},
			} {
				_, err := c.Issue(t.Context(), &gatev1.IssueRequest{Token: token})
				if connect.CodeOf(err) != want.code || !proto.Equal(detail(err), want.detail) {
					t.Errorf("%s: %v with %v, want %v with %v", token, err, detail(err), want.code, want.detail)
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("%s: our own error went to the client: %v", token, err)
				}
			}
		})
	}
}

func detail(err error) *gatev1.Refusal {
	var e *connect.Error
	if errors.As(err, &e) {
		for _, d := range e.Details() {
			if m, err := d.Value(); err == nil {
				if r, ok := m.(*gatev1.Refusal); ok {
					return r
				}
			}
		}
	}
	return nil
}

func TestProtobufIsStrict(t *testing.T) {
	t.Parallel()
	s := serve(t)
	unknown := protowire.AppendString(protowire.AppendTag(nil, 99, protowire.BytesType), "x")
	top, nested := &gatev1.IssueRequest{}, &gatev1.IssueRequest{Evidence: []*gatev1.Evidence{{}, {Kind: "tpm"}}}
	top.ProtoReflect().SetUnknown(unknown)
	nested.Evidence[1].ProtoReflect().SetUnknown(unknown)
	for name, options := range protocols {
		if name == "json" {
			continue // does not send them
		}
		c := gatev1.NewGateServiceClient(s.Client(), s.URL, options...)
		for row, req := range map[string]*gatev1.IssueRequest{"top": top, "nested": nested} {
			if _, err := c.Issue(t.Context(), req); connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "unknown field") {
				t.Errorf("%s, %s: %v, want it refused for an unknown field", name, row, err)
			}
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for name, options := range protocols {
		t.Run(name, func(t *testing.T) {
			c := gatev1.NewGateServiceClient(s.Client(), s.URL, options...)
			size := 2<<20 + 100<<10 // what the gate's own limits add up to
			if res, err := c.Challenge(t.Context(), &gatev1.ChallengeRequest{Request: make([]byte, size)}); err != nil || len(res.GetChallenge()) != size {
				t.Errorf("%d bytes: %v", size, err)
			}
			for _, size := range []int{maxMessage + 1, maxRequest + 1} {
				_, err := c.Challenge(t.Context(), &gatev1.ChallengeRequest{Request: make([]byte, size)})
				if code := connect.CodeOf(err); code != connect.CodeResourceExhausted {
					t.Errorf("%d bytes: %v, want resource_exhausted", size, err)
				}
			}
		})
	}
	t.Run("endless body", func(t *testing.T) {
		status, _ := post(t, s, "/plastron.gate.v1.GateService/Challenge", "application/json", io.LimitReader(spaces{}, 64<<20))
		if status != http.StatusTooManyRequests {
			t.Errorf("status %d, want %d", status, http.StatusTooManyRequests)
		}
		_, body := post(t, s, "/length", "", io.LimitReader(spaces{}, 64<<20))
		if want := fmt.Sprintf("%d http: request body too large", maxRequest); body != want {
			t.Errorf("a handler that reads on saw %s, want %s", body, want)
		}
	})
	t.Run("compressed", func(t *testing.T) {
		c := gatev1.NewGateServiceClient(s.Client(), s.URL, connect.WithSendGzip())
		if _, err := c.Beacon(t.Context(), &gatev1.BeaconRequest{}); connect.CodeOf(err) != connect.CodeUnimplemented {
			t.Errorf("%v, want unimplemented", err)
		}
	})
}

type spaces struct{}

func (spaces) Read(b []byte) (int, error) {
	copy(b, bytes.Repeat([]byte{' '}, len(b)))
	return len(b), nil
}

func TestPaths(t *testing.T) {
	t.Parallel()
	s := serve(t)
	rows := []struct {
		method, path string
		status       int
	}{
		{"GET", "/plastron.gate.v1.GateService/Beacon", 405},
		{"PUT", "/plastron.gate.v1.GateService/Beacon", 405},
		{"GET", "/", 404},
		{"GET", "//panic", 404},
		{"GET", "/x/../panic", 404},
		{"GET", "/x/%2e%2e/panic", 404},
		{"GET", "/%70anic%2f", 404},
		{"GET", "/panic/", 404},
		{"GET", "/debug/pprof/", 404},
		{"GET", "/panic", 500},
		{"GET", "/panic", 500}, // and it goes on
	}
	for _, row := range rows {
		r, err := http.NewRequest(row.method, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Opaque = "//" + r.URL.Host + row.path // as it stands
		status, body := do(t, s, r)
		if status != row.status || strings.Contains(body, "secret") {
			t.Errorf("%s %s: %d %s, want %d", row.method, row.path, status, body, row.status)
		}
	}
}

// One peer takes all its places; it is refused the next, and others are not.
func TestPeersHavePlaces(t *testing.T) {
	t.Parallel()
	e := &echo{hold: make(chan struct{})}
	e.held.Add(perPeer)
	h := front(e)
	ask := func(peer string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/plastron.gate.v1.GateService/Beacon", strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		r.RemoteAddr = peer
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	var done sync.WaitGroup
	for range perPeer {
		done.Go(func() {
			if w := ask("192.0.2.1:1000"); w.Code != 200 {
				t.Errorf("within the bound: %d %s", w.Code, w.Body)
			}
		})
	}
	e.held.Wait()
	if w := ask("192.0.2.1:2000"); w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), "limit_exceeded") {
		t.Errorf("one more of the same address: %d %s, want limit_exceeded", w.Code, w.Body)
	}
	e.held.Add(1)
	done.Go(func() {
		if w := ask("192.0.2.2:1000"); w.Code != 200 {
			t.Errorf("another address: %d %s", w.Code, w.Body)
		}
	})
	e.held.Wait()
	close(e.hold)
	done.Wait()
	e.held.Add(1)
	if w := ask("192.0.2.1:2000"); w.Code != 200 {
		t.Errorf("once they are done: %d %s", w.Code, w.Body)
	}
}

func TestPlacesInTotal(t *testing.T) {
	t.Parallel()
	p := &places{under: map[string]int{}}
	peer := func(i int) string { return string(rune('a' + i/perPeer)) }
	for i := range inTotal {
		if !p.enter(peer(i)) {
			t.Fatalf("place %d is refused", i)
		}
	}
	if p.enter("z") {
		t.Error("more requests are under way than inTotal")
	}
	for i := range inTotal {
		p.leave(peer(i))
	}
	if len(p.under) != 0 || p.total != 0 {
		t.Errorf("%d peers and %d places are left", len(p.under), p.total)
	}
}

// Every code of the closed list has a connect code of its own choosing: what
// falls through to internal is a hole in the table.
func TestEveryCodeIsMapped(t *testing.T) {
	t.Parallel()
	for _, c := range gate.Codes {
		if got := connectCode(c); (got == connect.CodeInternal) != (c == gate.Internal) {
			t.Errorf("%s is %v", c, got)
		}
	}
	for _, c := range []gate.Code{"", "made_up", "oidc"} {
		if got := connectCode(c); got != connect.CodeInternal {
			t.Errorf("unknown code %q is %v, want internal", c, got)
		}
	}
	if !slices.Contains(gate.Codes, gate.LimitExceeded) {
		t.Error("limit_exceeded is not counted")
	}
}
