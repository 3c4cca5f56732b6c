// Package proof is what a relying party needs to know of a log: entries,
// checkpoints, log policies and proofs, and how each is checked.
//
// A log is an append-only list of entries. Its checkpoint names the list's
// length and the root of the Merkle tree over it; the log signs it, and
// witnesses cosign it who saw that it extends the one before. A proof leads
// from an entry to a checkpoint.
//
// Unverified come in entries, signed notes, proofs, tiles, bundles and paths,
// from anybody. Verified goes out [Cosigned]: a checkpoint whose log and whose
// quorum of witnesses signed it, in which [Proof.Verify] found the leaf. Trusted
// is a [Policy], which names the keys, and nothing else: not the log's storage,
// not its server, not whoever hands the proof over. Whoever has the log's key
// but no quorum of witnesses, or a quorum but not the log's key, can make
// nothing that is believed; with both, a second tree.
//
// # Tree
//
// RFC 6962, section 2.1, with SHA-256: a leaf is H(0x00 || entry), a node
// H(0x01 || left || right), the empty tree's root H(""). An entry is
//
//	version (1 byte, 1) || kind (1 byte) || body
//
// of at most 65,535 bytes: [Frame], [Unframe].
//
// # Checkpoint
//
// A signed note (C2SP signed-note) whose text is three lines (C2SP
// tlog-checkpoint), [Checkpoint.Text]:
//
//	example.com/behind-the-sofa
//	20852163
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
//
// An empty line ends the text; each line after it is an em dash, a space, the
// signer's key name, a space, and base64 of key id (4 bytes) || signature. The
// key id is the beginning of SHA-256(name || 0x0A || type || public key). We
// know three types:
//
//	0x01  Ed25519 over the text: the log's; its key name is the origin
//	0x04  Ed25519 cosignature: time (8 bytes) || signature over
//	      "cosignature/v1\ntime <unix seconds>\n" || text
//	0x06  ML-DSA-44 cosignature (FIPS 204, no context): time || signature over
//	      a cosigned_message (C2SP tlog-cosignature): "subtree/v1\n\0", u8 length
//	      and name of the cosigner, time u64, u8 length and origin, 0 u64, size
//	      u64, root. Witnesses make it, and logs beside their own of type 0x01
//
// A key travels as <name>+<key id in hex>+base64(type || public key), its
// verifier key. Numbers and base64 have one spelling here, and the note one
// line a known key; lines of unknown keys are ignored.
//
// # Log policy
//
// Text, one line a fact (C2SP tlog-policy), [ParsePolicy]:
//
//	log <vkey> [<url>]                   type 0x01, and once more for type 0x06
//	witness <name> <vkey> [<url>]        type 0x04 or 0x06
//	group <name> all|any|<k> <name>...
//	quorum <name>|none
//
// # Proof
//
// As text for people and tools (C2SP tlog-proof), [ParseProof]: the index of the
// leaf, the hashes of its inclusion proof, its sibling first, an empty line, and
// the signed note. After the first line there may be one that says "extra " and
// base64, which nobody signed.
//
//	c2sp.org/tlog-proof@v1
//	index 20852161
//	Qpg3HktR7chRYe9WHdHAGBcaVXuBtCJfjmbzC0qxRvQ=
//	…
//
//	example.com/behind-the-sofa
//	20852163
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	— example.com/behind-the-sofa Az3grlgtzPIC…
//
// In an SVID it is in the compact form that [Proof.Compact] describes; both say
// the same and turn into each other with the policy at hand. A second reader of
// both, of 160 lines of Python, is testdata/verify_proof.py.
//
// # Fork proof
//
// What convinces anybody that a log signed two histories, [ForkProof]: two signed
// notes and, where their sizes differ, the root of the newer tree's beginning and
// the consistency proof from it.
//
// # Tiles and bundles
//
// The tree is read in tiles of 256 hashes, the entries in bundles of 256 (C2SP
// tlog-tiles): [TilePath], [ParseBundle]. [Inclusion] and [Consistency] build
// proofs from tiles.
package proof
