// Package witness asks witnesses for cosignatures, and is one.
//
// A witness sees every checkpoint of a log and signs only those that extend
// the one it signed before. Where a quorum of witnesses must have signed, a log
// cannot show two faces.
//
// Unverified, a [Client] takes a witness's answers, and a [Server] whatever
// anybody posts. Verified, Client.Cosign returns cosignatures of the very
// checkpoint it was given; Server cosigns a checkpoint that bears its log's
// signature and a proof that it extends the last one, and as a mirror only what
// it holds every entry of, each proven to be in that tree. Trusted are the keys of
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
// 500 and 503 say nothing about the checkpoint: the disk failed; more than 64
// requests are in hand, or more than 8 about that log; or one waited too long. GET
// <prefix>/<hex SHA-256 of the origin>/checkpoint returns the note cosigned
// last. Both paths are below one prefix, the witness's URL in the log policy.
// There is no sign-subtree.
//
// # Mirror
//
// A witness that is a mirror (C2SP tlog-mirror) keeps the entries, and its key
// signs what it keeps: what is cosigned is also published. The checkpoint that
// add-checkpoint takes is pending only, and answered with 200 and nothing; the
// cosignatures are the answer to POST <prefix>/add-entries, of Content-Type
// application/octet-stream, gzipped or not. Integers are big-endian:
//
//	u16 length, origin
//	u64 start, u64 end: the entries [start, end) of the pending checkpoint of
//	    size end
//	u16 length, ticket: what the last answer said, or nothing
//	packages, one for each 256 entries, the first and the last perhaps shorter:
//	    for each entry u16 length, the entry
//	    u8 count, count × 32 bytes: the proof that the subtree from the last
//	    multiple of 256 to the end of the package is part of the checkpoint
//
// All packages, or the first few of them. Answers:
//
//	400  malformed, or no package was whole
//	404  no such log
//	415  another Content-Encoding than gzip (ours)
//	409  end is no pending checkpoint's (of which 16 are remembered), or is less
//	     than what was signed last; start is beyond the next entry that the
//	     mirror lacks, or 32 packages below it. The body is three lines, of
//	     Content-Type text/x.tlog.mirror-info: an end that would do, the next
//	     entry, a ticket in base64 (this server's are empty)
//	422  entries that the proof does not prove
//	202  not all packages: as 409, to go on from the next entry
//	200  the cosignatures
//
// Below <prefix>/<hex SHA-256 of the origin>/ the mirror serves the log as C2SP
// tlog-tiles (checkpoint, tile/…), up to the checkpoint it signed last, and, which
// is ours, at pending the checkpoint it was given last: a log that starts up must
// lead to that too. Of a log's records and evidence a mirror has nothing. On its
// checkpoint are the log's Ed25519 signature and its own, not the log's ML-DSA
// one, which the log adds to what it publishes itself.
//
// # What is durable when
//
// The server answers 200 after the note is in a file, the file synced, renamed
// over the old one and the directory synced. A crash before the rename leaves
// the old state: the log asks again. A crash after it leaves a state ahead of
// the log's knowledge: the log asks, hears 409, and asks from there. After a
// failed write or sync nobody knows what the disk holds, so the server cosigns
// nothing more until it is started again and reads it.
//
// Of a mirror, in this order, each synced before the next:
//
//  1. the pending checkpoint, before it is answered;
//
//  2. bundle by bundle the entries, once they are proven, before the next entry
//     is said to be another one. A crash: what is there in a row is there;
//
//  3. with the last entry the tiles, whose root must be the checkpoint's; partial
//     tiles are not synced, and made anew if they have another root at start-up;
//
//  4. the signed checkpoint, before anybody hears the signature.
//     A crash before: the old one is served, and the log asks again.
//
//     <dir>/lock                    held by the process
//     <dir>/<hex of origin>         note taken last (of a mirror: pending)
//     <dir>/mirror/<hex of origin>/ checkpoint, tile/…
//
// Files are replaced by renaming; of a bundle or tile the widest is kept, and
// narrower ones are cut from it. At start-up the tiles must have the root of the
// signed checkpoint. That every entry is still the one that was proven, whoever
// reads them finds out.
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

// pendingPath returns, of a mirror, the path of the checkpoint up to which it
// takes entries.
func pendingPath(origin string) string { return originHash(origin) + "/pending" }

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
