package witness

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"plastron/log/proof"
)

// packTimeout bounds how long one package of entries may take to arrive.
const packTimeout = 10 * time.Second

func (s *Server) addEntries(w http.ResponseWriter, r *http.Request) {
	u := &uploading{server: s, http: http.NewResponseController(w)}
	lines, err := u.run(r)
	s.answerUpload(w, u, lines, err)
}

// uploading is one add-entries request.
type uploading struct {
	server *Server
	http   *http.ResponseController
	mirror *mirror
	head   upload
	saved  bool // a package, at least
}

// run takes what the body holds, package by package, and answers with
// signatures once nothing is missing.
func (u *uploading) run(r *http.Request) (lines []byte, err error) {
	if err := u.server.enter(); err != nil {
		return nil, err
	}
	defer u.server.leave()
	u.patient()
	body, err := u.body(r)
	if err != nil {
		return nil, err
	}
	if u.head, err = readUpload(body); err != nil {
		return nil, malformed(err)
	}
	st := u.server.logs[u.head.origin]
	if st == nil {
		u.head.origin = ""
		return nil, &refusal{status: http.StatusNotFound, err: errors.New("unknown log")}
	}
	u.mirror = st.mirror
	select {
	case u.mirror.uploads <- struct{}{}:
		defer func() { <-u.mirror.uploads }()
	default:
		return nil, &refusal{status: http.StatusServiceUnavailable, err: errors.New("too many uploads of this log")}
	}
	up, ok := u.mirror.find(u.head.end)
	if next := u.mirror.next.Load(); !ok || u.head.start > next || u.head.start+maxBehind < min(next, u.head.end) {
		return nil, &refusal{status: http.StatusConflict, err: errors.New("no such upload is taken")}
	}
	if err := u.packs(body, up); err != nil {
		return nil, err
	}
	u.patient()
	lines, ok, err = u.mirror.commit(up, u.server.sign)
	if err == nil && !ok {
		err = &refusal{status: http.StatusConflict, err: errors.New("the mirror is past that checkpoint")}
	}
	return lines, err
}

// patient gives the next package its time.
func (u *uploading) patient() {
	deadline := time.Now().Add(packTimeout)
	// Where they cannot be set, as in a test's recorder, nobody is slow.
	_ = u.http.SetReadDeadline(deadline)
	_ = u.http.SetWriteDeadline(deadline.Add(uploadTimeout))
}

// body returns the request's body, uncompressed as it is read.
func (u *uploading) body(r *http.Request) (*bufio.Reader, error) {
	if t := r.Header.Get("Content-Type"); t != "application/octet-stream" {
		return nil, malformed(fmt.Errorf("content type %.40q, want application/octet-stream", t))
	}
	switch e := r.Header.Get("Content-Encoding"); e {
	case "":
		return bufio.NewReader(r.Body), nil
	case "gzip":
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, malformed(err)
		}
		return bufio.NewReader(z), nil
	default:
		return nil, &refusal{status: http.StatusUnsupportedMediaType, err: fmt.Errorf("content encoding %.40q, want gzip or none", e)}
	}
}

// packs takes the packages that follow, and refuses if not all did.
func (u *uploading) packs(body *bufio.Reader, up pending) error {
	for first := u.head.start; first < u.head.end; {
		u.patient()
		p, err := readPack(body, first, u.head.packEnd(first))
		if err != nil {
			return u.short(err)
		}
		if err := u.mirror.verify(p, up); err != nil {
			var no *unproven
			if errors.As(err, &no) {
				return &refusal{status: http.StatusUnprocessableEntity, err: no}
			}
			return err
		}
		if err := u.mirror.save(p); err != nil {
			return err
		}
		u.saved = true
		u.server.metrics.mirrored(u.head.origin, p.end()-p.first)
		first = p.end()
	}
	return nil
}

// short answers a body that ended before all was there.
func (u *uploading) short(err error) error {
	if !u.saved || errors.Is(err, errMalformed) {
		return malformed(err)
	}
	return &refusal{status: http.StatusAccepted, err: errors.New("send the rest")}
}

func malformed(err error) error { return &refusal{status: http.StatusBadRequest, err: err} }

// answerUpload says what came of an upload, and counts it.
func (s *Server) answerUpload(w http.ResponseWriter, u *uploading, lines []byte, err error) {
	a := answered{endpoint: "add-entries", log: u.head.origin}
	var r *refusal
	if u.mirror == nil || !errors.As(err, &r) || r.status != http.StatusConflict && r.status != http.StatusAccepted {
		s.answer(w, a, lines, err)
		return
	}
	a.status = r.status
	w.Header().Set("Content-Type", infoType)
	w.WriteHeader(r.status)
	w.Write(u.mirror.stands(u.head.end).marshal())
	s.metrics.answer(a, s.now().Unix())
}

// serveCheckpoint shows the mirror checkpoint.
func (m *mirror) serveCheckpoint(w http.ResponseWriter, _ *http.Request) {
	if s := m.shown.Load(); s != nil {
		serveNote(w, &s.note)
		return
	}
	serveNote(w, nil)
}

// serveTile serves a tile or bundle of the tree of the mirror checkpoint, of any
// width that some checkpoint may have had.
func (m *mirror) serveTile(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path[strings.LastIndex(r.URL.Path, "/tile/")+1:]
	level, index, width, err := proof.ParseTilePath(path)
	if err != nil || r.URL.RawPath != "" {
		http.Error(w, "malformed tile path", http.StatusBadRequest)
		return
	}
	if width > proof.WidthAt(level, index, m.size()) {
		http.NotFound(w, r)
		return
	}
	b, err := m.read(level, index, width)
	if err != nil {
		http.Error(w, "the tile is damaged", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}
