package proof

import (
	"cmp"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

const compactVersion = 1

// A seal is what the compact form keeps of one signature line.
type seal struct {
	id   uint32
	time uint64 // of a cosignature
	sig  []byte // 64 bytes
}

// Compact returns the proof in the form an SVID carries. All integers are
// big-endian.
//
//	version        u8        1
//	origin         u8 length (1-255), the bytes
//	index          u64
//	size           u64
//	hashes         u8 count, count × 32 bytes; the leaf's sibling first
//	log signature  u32 key id, 64 bytes
//	cosignatures   u8 count, count × (u32 key id, u64 time, 64 bytes);
//	               key ids ascending, none twice
//
// and nothing after them. There are at most 63 hashes, as many as index and size
// call for, and at most 64 cosignatures.
//
// The root is left out: leaf and hashes lead to it (RFC 9162, section 2.1.3.2).
// With origin and size it makes the checkpoint's text, which is what the log
// signed, as it is, and each witness under the two lines of its cosignature (see
// the package comment). So are the names of the keys left out: a policy tells
// them by id. The log's key is the policy's, and its name the origin; every
// cosignature is of a witness of the policy, and holds, or the proof does not.
// Cosignatures are those of the quorum's Ed25519 witnesses. The checkpoint must meet the policy, and do so without its
// post-quantum cosignatures, of which one would be larger than all the rest.
// One the policy has lately verified is not verified again.
func (p Proof) Compact(pol *Policy) ([]byte, error) {
	refuse := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("compact log proof: %w", err)
	}
	opened, err := pol.OpenCheckpoint(p.Checkpoint)
	if err != nil {
		return refuse(err)
	}
	c := opened.checkpoint
	if err := checkPath(p.Index, c.Size, len(p.Hashes)); err != nil {
		return refuse(err)
	}
	if len(c.Origin) > 255 {
		return refuse(fmt.Errorf("origin of %d bytes: longer than 255", len(c.Origin)))
	}
	log, cosigners := pol.seals(opened.lines)
	heard := map[string]bool{}
	for _, s := range cosigners {
		heard[pol.witness(pol.byID(s.id)).name] = true
	}
	if !pol.Satisfied(heard) {
		return refuse(fmt.Errorf("by Ed25519 cosignatures alone: %w", ErrQuorum))
	}
	return marshalCompact(p, c, log, cosigners)
}

// seals returns the log's signature and the cosignatures the compact form
// keeps, ascending by key id.
func (p *Policy) seals(lines []line) (log seal, cosigners []seal) {
	for _, l := range lines {
		m := p.witness(l.key)
		switch {
		case l.key == p.log:
			log = seal{id: l.key.id, sig: l.sig}
		case m != nil && m.quorum && l.key.alg == algCosigner:
			cosigners = append(cosigners, seal{l.key.id, binary.BigEndian.Uint64(l.sig), l.sig[timeSize:]})
		}
	}
	slices.SortFunc(cosigners, func(a, b seal) int { return cmp.Compare(a.id, b.id) })
	return log, cosigners
}

func (p *Policy) byID(id uint32) *key {
	for _, k := range p.ring {
		if k.id == id {
			return k
		}
	}
	return nil
}

func marshalCompact(p Proof, c Checkpoint, log seal, cosigners []seal) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint8(compactVersion)
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(c.Origin)) })
	b.AddUint64(p.Index)
	b.AddUint64(c.Size)
	b.AddUint8(uint8(len(p.Hashes)))
	for _, h := range p.Hashes {
		b.AddBytes(h[:])
	}
	b.AddUint32(log.id)
	b.AddBytes(log.sig)
	b.AddUint8(uint8(len(cosigners)))
	for _, s := range cosigners {
		b.AddUint32(s.id)
		b.AddUint64(s.time)
		b.AddBytes(s.sig)
	}
	return b.Bytes()
}

// A compactProof is the compact form, read and not yet believed.
type compactProof struct {
	origin    string
	index     uint64
	size      uint64
	hashes    []Hash
	log       seal
	cosigners []seal
}

// ParseCompact reads what [Proof.Compact] writes about the leaf with the hash
// leaf. It refuses another version, another origin than the policy's, a key the
// policy does not have in that role, a key twice, surplus or missing hashes,
// times out of range and trailing bytes. The proof it returns holds a note
// that names the root which leaf and hashes lead to; whether anybody signed
// that, [Proof.Verify] says.
//
// A witness must therefore be in the relying parties' policies before its
// cosignatures are in SVIDs.
func ParseCompact(b []byte, pol *Policy, leaf Hash) (Proof, error) {
	refuse := func(err error) (Proof, error) {
		return Proof{}, fmt.Errorf("compact log proof: %w", err)
	}
	if pol == nil || pol.log == nil {
		return refuse(errors.New("zero log policy"))
	}
	c, err := readCompact(b)
	if err != nil {
		return refuse(err)
	}
	if c.origin != pol.log.name {
		return refuse(fmt.Errorf("origin %q, want %q", clip(c.origin), pol.log.name))
	}
	if err := checkPath(c.index, c.size, len(c.hashes)); err != nil {
		return refuse(err)
	}
	root, err := rootOf(leaf, c.index, c.size, c.hashes)
	if err != nil {
		return refuse(err)
	}
	msg, err := c.note(pol, root)
	if err != nil {
		return refuse(err)
	}
	return Proof{c.index, c.hashes, msg}, nil
}

// note writes the signed note anew.
func (c *compactProof) note(pol *Policy, root Hash) ([]byte, error) {
	if c.log.id != pol.log.id {
		return nil, fmt.Errorf("log key %08x, want %08x", c.log.id, pol.log.id)
	}
	msg := []byte(Checkpoint{c.origin, c.size, root}.Text() + "\n")
	msg = append(msg, signatureLine(pol.log, c.log.sig)...)
	for i, s := range c.cosigners {
		k := pol.byID(s.id)
		switch {
		case k == nil || k.alg != algCosigner:
			return nil, fmt.Errorf("no Ed25519 witness has the key id %08x", s.id)
		case i > 0 && s.id <= c.cosigners[i-1].id:
			return nil, fmt.Errorf("key id %08x twice or out of order", s.id)
		}
		if err := checkTime(s.time); err != nil {
			return nil, err
		}
		msg = append(msg, signatureLine(k, append(binary.BigEndian.AppendUint64(nil, s.time), s.sig...))...)
	}
	return msg, nil
}

func readCompact(b []byte) (*compactProof, error) {
	s := cryptobyte.String(b)
	var version, n uint8
	var origin cryptobyte.String
	c := &compactProof{}
	if !s.ReadUint8(&version) || version != compactVersion {
		return nil, fmt.Errorf("version %d, want %d", version, compactVersion)
	}
	if !s.ReadUint8LengthPrefixed(&origin) || !s.ReadUint64(&c.index) || !s.ReadUint64(&c.size) || !s.ReadUint8(&n) {
		return nil, errors.New("ends early")
	}
	c.origin = string(origin)
	if n > maxHashes || len(s) < int(n)*HashSize {
		return nil, fmt.Errorf("%d hashes: more than %d, or ends early", n, maxHashes)
	}
	c.hashes = make([]Hash, n)
	for i := range c.hashes {
		s.CopyBytes(c.hashes[i][:])
	}
	if !s.ReadUint32(&c.log.id) || !s.ReadBytes(&c.log.sig, ed25519.SignatureSize) || !s.ReadUint8(&n) {
		return nil, errors.New("ends early")
	}
	if n > maxWitnesses {
		return nil, fmt.Errorf("%d cosignatures: more than %d", n, maxWitnesses)
	}
	for range n {
		var w seal
		if !s.ReadUint32(&w.id) || !s.ReadUint64(&w.time) || !s.ReadBytes(&w.sig, ed25519.SignatureSize) {
			return nil, errors.New("ends early")
		}
		c.cosigners = append(c.cosigners, w)
	}
	if !s.Empty() {
		return nil, fmt.Errorf("%d trailing bytes", len(s))
	}
	return c, nil
}
