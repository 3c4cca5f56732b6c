package server

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/svid"
)

// readers knows who may read the log, records and evidence.
type readers struct {
	gate     *gate.Gate
	open     bool
	auditors []string // SPIFFE IDs
	now      func() time.Time

	mu       sync.Mutex // guards the rest
	trust    *statement.Trust
	verifier *svid.Verifier // what trust says
}

// A reader is who asks. The zero reader is anybody.
type reader struct {
	auditor bool
	record  proof.Hash // of the SVID it showed; zero: none
}

// operator is who asks on the admin socket.
func operator(*http.Request) reader { return reader{auditor: true} }

// peer is who asks over TLS: what the client's SVID says, once it is checked.
func (rs *readers) peer(r *http.Request) reader {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return reader{}
	}
	v, err := rs.relyingParty()
	if err != nil {
		return reader{}
	}
	p, err := v.Verify(r.TLS.PeerCertificates)
	if err != nil {
		return reader{}
	}
	return reader{slices.Contains(rs.auditors, p.ID().String()), p.Decision().Record}
}

// relyingParty returns the verifier of this gate's own SVIDs, by the newest
// trust entry.
func (rs *readers) relyingParty() (*svid.Verifier, error) {
	newest := rs.gate.Trust()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.trust == newest {
		return rs.verifier, nil
	}
	td, err := spiffeid.TrustDomainFromString(newest.TrustDomain)
	if err != nil {
		return nil, err
	}
	policy, err := proof.ParsePolicy([]byte(newest.LogPolicy))
	if err != nil {
		return nil, err
	}
	cas, err := svid.ParseCertificates(svid.EncodeCertificates(newest.Certificates...))
	if err != nil {
		return nil, err
	}
	// What an auditor claims to run decides nothing here.
	rs.trust, rs.verifier = newest, &svid.Verifier{Bundle: x509bundle.FromX509Authorities(td, cas), Policy: policy, AllowClaimed: true, Now: rs.now}
	return rs.verifier, nil
}

// mount serves the log, records and evidence to whom who finds.
func (rs *readers) mount(mux *http.ServeMux, who func(*http.Request) reader) {
	rs.mountLog(mux, who)
	mux.HandleFunc("GET /record/{hash}", func(w http.ResponseWriter, r *http.Request) { rs.serveRecord(w, r, who(r)) })
	mux.HandleFunc("GET /evidence/{hash}", func(w http.ResponseWriter, r *http.Request) { rs.serveEvidence(w, r, who(r)) })
}

func (rs *readers) mountLog(mux *http.ServeMux, who func(*http.Request) reader) {
	files := rs.gate.Log().Handler()
	serve := func(w http.ResponseWriter, r *http.Request) {
		if !rs.open && !who(r).auditor {
			forbid(w, "this gate's log is for auditors: show an SVID that log.auditors lists")
			return
		}
		files.ServeHTTP(w, r)
	}
	mux.HandleFunc("GET /checkpoint", serve)
	mux.HandleFunc("GET /tile/", serve)
}

func (rs *readers) serveRecord(w http.ResponseWriter, r *http.Request, by reader) {
	h, ok := hash(r)
	switch {
	case !ok:
		http.NotFound(w, r)
	case !by.auditor && (by.record == proof.Hash{} || by.record != h):
		forbid(w, "a record is for auditors, and for the SVID that it is about")
	default:
		b, err := rs.gate.Record(h)
		blob(w, r, b, err)
	}
}

// public are the kinds of evidence that everybody has anyway, private those
// that auditors may read. Kinds in neither are served to nobody: a token, or a
// document without a slot for our bind, is worth something to who holds it.
var (
	public  = []string{"bundle", "beacon"}
	private = []string{"csr", "jwk", "node", "policy", "renewal"}
)

func (rs *readers) serveEvidence(w http.ResponseWriter, r *http.Request, by reader) {
	h, ok := hash(r)
	if !ok {
		http.NotFound(w, r)
		return
	}
	kind, b, err := rs.gate.Evidence(h)
	switch {
	case err == nil && slices.Contains(public, kind), by.auditor && (err != nil || slices.Contains(private, kind)):
		blob(w, r, b, err)
	case by.auditor:
		forbid(w, "evidence of this kind is kept, and served to nobody")
	default: // the same answer whether it is there or not
		forbid(w, "evidence is for auditors, but for Sigstore bundles and beacons")
	}
}

// hash reads the request's hash: 64 lower-case hex digits and nothing else.
func hash(r *http.Request) (h proof.Hash, ok bool) {
	text := r.PathValue("hash")
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(h) || hex.EncodeToString(b) != text {
		return h, false
	}
	return proof.Hash(b), true
}

// blob serves bytes that their name is the hash of: they never change, and no
// browser may think that they are a page.
func blob(w http.ResponseWriter, r *http.Request, b []byte, err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.NotFound(w, r)
	case err != nil:
		http.Error(w, "the gate could not read it", http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
		_, _ = w.Write(b)
	}
}

func forbid(w http.ResponseWriter, why string) { http.Error(w, why, http.StatusForbidden) }
