package provenancetest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	tilespb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	tilesnote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/hashedrekord"
	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/encoding/protojson"

	"plastron/log/proof"
)

// seeded is how many entries the log starts with, so that proofs have hashes.
const seeded = 1000

// A rekor is a transparency log in memory.
type rekor struct {
	origin       string
	key, foreign *ecdsa.PrivateKey
	id           []byte // SHA-256 of the SubjectPublicKeyInfo
	algorithms   *signature.AlgorithmRegistryConfig

	mu      sync.Mutex // guards what follows
	entries [][]byte   // canonical JSON
	hashes  stored     // of the whole tree
	other   stored     // of a tree of the same size with other entries
}

// stored are hashes in the order of x/mod's tlog.
type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if at < 0 || at >= int64(len(s)) {
			return nil, fmt.Errorf("no hash %d of %d", at, len(s))
		}
		out[i] = s[at]
	}
	return out, nil
}

func (s *stored) append(index int64, entry []byte) error {
	more, err := tlog.StoredHashes(index, entry, *s)
	*s = append(*s, more...)
	return err
}

func newRekor(origin string) (*rekor, error) {
	r := &rekor{origin: origin}
	var err error
	if r.key, err = newKey(); err != nil {
		return nil, err
	}
	if r.foreign, err = newKey(); err != nil {
		return nil, err
	}
	if _, r.id, err = tilesnote.KeyHash(origin, r.key.Public()); err != nil {
		return nil, err
	}
	r.algorithms, err = signature.NewAlgorithmRegistryConfig([]commonv1.PublicKeyDetails{
		commonv1.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256,
	})
	if err != nil {
		return nil, err
	}
	for i := range seeded {
		if _, err := r.add([]byte(`{"seed":` + strconv.Itoa(i) + `}`)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// add appends an entry and gives its index.
func (r *rekor) add(entry []byte) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.append(entry)
}

// append is add; mu is held.
func (r *rekor) append(entry []byte) (int64, error) {
	index := int64(len(r.entries))
	if err := r.hashes.append(index, entry); err != nil {
		return 0, err
	}
	if err := r.other.append(index, append([]byte("not "), entry...)); err != nil {
		return 0, err
	}
	r.entries = append(r.entries, entry)
	return index, nil
}

// Fork has the log go on as if it had never had more than size entries, and one
// of those had been another: the same sizes get other roots from now on, and
// tiles and checkpoints are those of the new tree.
func (s *Sigstore) Fork(size int) error {
	r := s.rekor
	r.mu.Lock()
	defer r.mu.Unlock()
	if size < 1 || size > len(r.entries) {
		return fmt.Errorf("fork at %d of %d entries", size, len(r.entries))
	}
	was := append([][]byte(nil), r.entries[:size]...)
	was[size/2] = []byte(`{"seed":"another"}`)
	r.entries, r.hashes, r.other = nil, nil, nil
	for _, e := range was {
		if _, err := r.append(e); err != nil {
			return err
		}
	}
	return nil
}

// Grow logs n entries that are about nothing.
func (s *Sigstore) Grow(n int) error {
	for range n {
		if _, err := s.rekor.add([]byte(`{"seed":"more"}`)); err != nil {
			return err
		}
	}
	return nil
}

// Size is how many entries the log has.
func (s *Sigstore) Size() int {
	s.rekor.mu.Lock()
	defer s.rekor.mu.Unlock()
	return len(s.rekor.entries)
}

// prove gives the newest checkpoint and the proof of an entry under it.
func (r *rekor) prove(index int64, other, foreign bool) (*rekorv1.InclusionProof, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	tree, size := r.hashes, int64(len(r.entries))
	if other {
		tree = r.other
	}
	root, err := tlog.TreeHash(size, tree)
	if err != nil {
		return nil, err
	}
	path, err := tlog.ProveRecord(size, index, tree)
	if err != nil {
		return nil, err
	}
	signed, err := r.sign(size, root, foreign)
	if err != nil {
		return nil, err
	}
	p := &rekorv1.InclusionProof{
		LogIndex: index, TreeSize: size, RootHash: root[:],
		Checkpoint: &rekorv1.Checkpoint{Envelope: signed},
	}
	for _, h := range path {
		p.Hashes = append(p.Hashes, h[:])
	}
	return p, nil
}

// sign writes a C2SP checkpoint. A foreign signature claims the log's key.
func (r *rekor) sign(size int64, root tlog.Hash, foreign bool) (string, error) {
	key := r.key
	if foreign {
		key = r.foreign
	}
	signer, err := signature.LoadECDSASigner(key, crypto.SHA256)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", r.origin, size, root)
	if !foreign {
		by, err := tilesnote.NewNoteSigner(context.Background(), r.origin, signer)
		if err != nil {
			return "", err
		}
		signed, err := note.Sign(&note.Note{Text: text}, by)
		return string(signed), err
	}
	sig, err := signer.SignMessage(strings.NewReader(text))
	if err != nil {
		return "", err
	}
	line := base64.StdEncoding.EncodeToString(append(r.id[:4:4], sig...))
	return text + "\n— " + r.origin + " " + line + "\n", nil
}

// addEntry checks the signature over the digest, as Rekor does, and logs it.
func (s *Sigstore) addEntry(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var req tilespb.CreateEntryRequest
	if err := protojson.Unmarshal(body, &req); err != nil || req.GetHashedRekordRequestV002() == nil {
		http.Error(w, "want a hashedRekordRequestV002", http.StatusBadRequest)
		return
	}
	entry, err := hashedrekord.ToLogEntry(req.GetHashedRekordRequestV002(), s.rekor.algorithms)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	logged, err := s.logEntry(entry)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	w.Write(logged)
}

func (s *Sigstore) logEntry(entry *tilespb.Entry) ([]byte, error) {
	text, err := protojson.Marshal(entry)
	if err != nil {
		return nil, err
	}
	canonical, err := jsoncanonicalizer.Transform(text)
	if err != nil {
		return nil, err
	}
	index, err := s.rekor.add(canonical)
	if err != nil {
		return nil, err
	}
	p, err := s.rekor.prove(index, s.does(OtherTree), s.does(ForeignCheckpoint))
	if err != nil {
		return nil, err
	}
	return protojson.Marshal(&rekorv1.TransparencyLogEntry{
		LogIndex:          index,
		LogId:             &commonv1.LogId{KeyId: s.rekor.id},
		KindVersion:       &rekorv1.KindVersion{Kind: entry.Kind, Version: entry.ApiVersion},
		InclusionProof:    p,
		CanonicalizedBody: canonical,
	})
}

func (s *Sigstore) checkpoint(w http.ResponseWriter, _ *http.Request) {
	p, err := s.rekor.prove(0, false, false)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, p.Checkpoint.Envelope)
}

// tile serves C2SP tlog-tiles: hashes by level, and bundles of entries.
func (s *Sigstore) tile(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/api/v2"), "/")
	level, index, width, err := proof.ParseTilePath(path)
	if err != nil || index >= 1<<32 {
		http.NotFound(w, r)
		return
	}
	data, err := s.rekor.tile(level, index, width)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	io.Copy(w, bytes.NewReader(data))
}

func (r *rekor) tile(level int, index uint64, width int) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if level != proof.Entries {
		return tlog.ReadTileData(tlog.Tile{H: 8, L: level, N: int64(index), W: width}, r.hashes)
	}
	from := index * 256
	if from+uint64(width) > uint64(len(r.entries)) {
		return nil, fmt.Errorf("no entries %d to %d", from, from+uint64(width))
	}
	var out []byte
	for _, e := range r.entries[from : from+uint64(width)] {
		out = binary.BigEndian.AppendUint16(out, uint16(len(e)))
		out = append(out, e...)
	}
	return out, nil
}
