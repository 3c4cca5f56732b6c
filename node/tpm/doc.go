// Package tpm appraises TPM 2.0 quotes: evidence -> *[node.Host], floor hardware.
// The node's side, [Device], is here too.
//
// A TPM is believed in two steps. Once, it is enrolled: the gate learns an
// endorsement key (EK) that a vendor certified and that the operator's inventory
// lists, and an attestation key (AK) that shows to be in the same TPM; the pair
// becomes an entry of the log. Then, for every SVID, the AK signs a quote: the
// platform's registers and the bind of the request.
//
// # What comes in
//
// All messages are JSON, decoded strictly; bytes are base64 with padding. TPM
// structures are big-endian, as TPM 2.0 Part 2 defines them, without the size
// that a TPM2B puts in front.
//
//	enrolment request   {"ek_certificate": DER, "ek_public": TPMT_PUBLIC, "ak_public": TPMT_PUBLIC}
//	challenge           {"credential": TPMS_ID_OBJECT, "secret": encrypted seed}
//	answer              {"secret": 32 bytes}
//	evidence            {"ak_public": TPMT_PUBLIC, "attest": TPMS_ATTEST, "signature": TPMT_SIGNATURE,
//	                     "pcrs": {"0": 64 characters of lower-case hex, …}}
//
// Evidence is at most 8 KiB, other messages 16 KiB. The structures, field by
// field (u16+ is a u16 length and as many bytes):
//
//	TPMT_PUBLIC     type u16 | nameAlg u16 | attributes u32 | authPolicy u16+ | symmetric | scheme | key
//	  symmetric     0010, or 0006 (AES), bits u16 (0080 or 0100), 0043 (CFB)
//	  scheme        0010, or 0014 (RSASSA), 0016 (RSAPSS), 0018 (ECDSA) and its hash u16
//	  RSA, 0001     bits u16 | exponent u32 (0 is 65537) | modulus u16+
//	  ECC, 0023     curve u16 (0003 P-256, 0004 P-384) | 0010 | x u16+ | y u16+
//	TPMS_ATTEST     ff544347 | 8018 | qualifiedSigner u16+ | extraData u16+ | clock u64 | resetCount u32 |
//	                restartCount u32 | safe u8 | firmware u64 | count u32, 1 | bank u16, 000b |
//	                3 u8 | bitmap, PCR 8j+i in bit i of byte j | pcrDigest u16+
//	TPMT_SIGNATURE  0018 | hash u16 | r u16+ | s u16+, or 0014 or 0016 | hash u16 | signature u16+
//
// A key's name is nameAlg || hash of the TPMT_PUBLIC. Hashes are 000b, 000c and
// 000d, SHA-256 to SHA-512; SHA-1 is nowhere taken. They are read by hand, not by
// go-tpm's reflection, which takes twice as long and does not compare the magic.
//
// # What is checked at enrolment
//
// Inventory; AK and EK attributes; that the EK is the certified key; the
// certificate: not a CA's, extended key usage tcg-kp-EKCertificate or none, chain
// and validity up to a configured root. The subject alternative name has to be
// critical and holds a directoryName that crypto/x509 does not read: it, and no
// other critical extension, counts as handled. Then TPM2_MakeCredential wraps a
// secret so that only the TPM with this EK, holding an AK of exactly this name,
// gets at it. The secret is
//
//	HMAC-SHA-256(k, "plastron tpm activation v1\x00" || SHA-256(EK certificate) ||
//	             SHA-256(ek_public) || SHA-256(AK name) || bind)
//
// under a key k of this process: no challenge leaves state, and an answer is
// worth nothing for another TPM, key, bind or process.
//
// An EK that the inventory does not list is node_not_enrolled, however genuine:
// a vendor's root proves a TPM, not that it is yours.
//
// # What is checked at every quote
//
// In this order: the AK is enrolled here, its EK is still in the inventory and
// its root still configured; AK attributes again, since activation shows where a
// key is, not that it is restricted, and an unrestricted key signs a quote that no
// TPM made; signature, by the AK's own scheme and hash; magic; type; nothing after
// the structure; extraData is the bind; exactly one bank, SHA-256; exactly the
// configured registers, no fewer and no more; the digest over the values sent, by
// the hash of the signing scheme.
//
// # What goes out
//
// A Host of ID "tpm:" and the hex of the AK's name, bound by key, whose anchor is
// the root of the EK certificate. Its facts:
//
//	ek             "sha256:" and hex, see EKHash
//	ak             hex of the AK's name
//	pcr.0 …        lower-case hex of the register, for each that is configured
//	clock          milliseconds that the TPM was powered
//	clock_safe     "false" if the clock may have shown a later time before
//	reset_count    boots, and
//	restart_count  resumes since: two histories under one AK are a cloned TPM
//	firmware       16 hex digits, the vendor's
//
// It spends kind "tpm", the AK's name, and the TPMS_ATTEST: the bytes that were
// signed, since a second ECDSA signature over them is easily made from the first.
//
// # What is trusted
//
// That TPMs under a configured root are what the root's owner says: chips
// (hardware), a cloud's emulation (institution). A root of software TPMs can only
// be configured as insecure: its Hosts have the floor human and say
// insecure_software_tpm, which follows the SVID. And that the TPM measures this
// machine: a TPM reached over a network, a bus interposer and a reset of the chip
// without the platform cannot be seen from here.
package tpm
