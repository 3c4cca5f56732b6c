// Package witness asks witnesses for cosignatures, and is one.
//
// A witness sees every checkpoint of a log and signs only those that extend
// the one it signed before. Where a quorum of witnesses must have signed, a log
// cannot show two faces.
//
// Unverified, a [Client] takes a witness's answers, and a [Server] whatever
// anybody posts. Verified, Client.Cosign returns a cosignature of the very
// checkpoint it was given; Server cosigns a checkpoint that bears its log's
// signature and a proof that it extends the last one. Trusted are the keys of
// the log policy and, by the server, its directory: whoever can put an old
// directory in place of the new can have two trees cosigned.
//
// # Protocol
//
// C2SP tlog-witness. To add a checkpoint, POST to <prefix>/add-checkpoint:
//
//	old 20852014
//	PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
//	jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
//
//	example.com/behind-the-sofa
//	20852163
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	— example.com/behind-the-sofa Az3grlgtzPICa5OS…
//
// that is: the size the witness cosigned last (0: none), at most 63 hashes of
// the consistency proof from there, an empty line, the signed note. Answers, in
// the order they are decided:
//
//	413  longer than [MaxRequest] (ours)
//	400  malformed
//	404  no such log
//	403  not signed by the log's key, or a known key's signature is wrong
//	400  old is larger than the checkpoint
//	409  old is not what was cosigned last; the body is that size, of
//	     Content-Type text/x.tlog.size
//	422  size 0 with another root than the empty tree's; old is the size and
//	     the roots differ; the proof does not verify
//	200  the cosignatures: one signature line a key of the witness, all of one
//	     time (Ed25519, and ML-DSA-44 if it has such a key)
//
// 500 and 503 say nothing about the checkpoint: more than 64 requests are in hand,
// or more than 8 about that log, or one waited too long. GET
// <prefix>/<hex SHA-256 of the origin>/checkpoint returns the note cosigned
// last. Both paths are below one prefix, the witness's URL in the log policy.
//
// # What is durable when
//
// The server answers 200 after the note is in a file, the file synced, renamed
// over the old one and the directory synced. A crash before the rename leaves
// the old state: the log asks again. A crash after it leaves a state ahead of
// the log's knowledge: the log asks, hears 409, and asks from there. After a
// failed write or sync nobody knows what the disk holds, so the server cosigns
// nothing more until it is started again and reads it.
package witness

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"plastron/log/proof"
)

// MaxRequest is the longest add-checkpoint request in bytes.
const MaxRequest = proof.MaxNote + maxHashes*45 + 32

const (
	maxHashes = 63
	sizeType  = "text/x.tlog.size"
)

// logPath returns the path of a log's newest checkpoint below a witness's
// prefix.
func logPath(origin string) string { return originHash(origin) + "/checkpoint" }

// originHash returns the name under which a log is served and kept.
func originHash(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}

// A request is the body of an add-checkpoint call.
type request struct {
	old    uint64
	hashes []proof.Hash
	note   []byte
}

func (r request) marshal() []byte {
	b := fmt.Appendf(nil, "old %d\n", r.old)
	for _, h := range r.hashes {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(append(b, '\n'), r.note...)
}

func parseRequest(b []byte) (r request, err error) {
	if len(b) > MaxRequest {
		return r, fmt.Errorf("%d bytes: longer than %d", len(b), MaxRequest)
	}
	head, note, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok {
		return r, errors.New("no empty line before the checkpoint")
	}
	lines := bytes.Split(head, []byte("\n"))
	old, ok := bytes.CutPrefix(lines[0], []byte("old "))
	if !ok {
		return r, errors.New("first line is not the old size")
	}
	if r.old, err = parseSize(string(old)); err != nil {
		return r, fmt.Errorf("old size: %w", err)
	}
	if lines = lines[1:]; len(lines) > maxHashes {
		return r, fmt.Errorf("%d hashes: more than %d", len(lines), maxHashes)
	}
	for _, l := range lines {
		h, err := base64.StdEncoding.DecodeString(string(l))
		if err != nil || len(h) != proof.HashSize || base64.StdEncoding.EncodeToString(h) != string(l) {
			return r, fmt.Errorf("%.60q is not a hash in canonical base64", l)
		}
		r.hashes = append(r.hashes, proof.Hash(h))
	}
	r.note = note
	return r, nil
}

// parseSize reads a decimal without leading zeros.
func parseSize(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("%.30q is not a canonical size", s)
	}
	return n, nil
}
