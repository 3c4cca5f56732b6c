// Package svid drafts and mints X509-SVIDs, and checks them as a relying party
// does. An SVID is minted only from a log receipt, and carries the proof.
//
// # What comes in, what goes out, what is trusted
//
// The gate's side is an [Authority], the only holder of the CA keys.
//
//	Draft --tbs--> [log] --*log.Receipt--> Mint --> *SVID
//
// [Authority.Draft] turns a grant into the exact bytes that will be signed, a
// DER TBSCertificate, without a key. The log makes them an entry. [Authority.Mint]
// opens the receipt of that entry (log signature, witness quorum, inclusion),
// reads the bytes out of it, lints them again from the DER, appends the log
// proof, and signs. There is no other way from this package to a signature on an
// SVID: a receipt has no constructor, the zero receipt opens to log.ErrNotLogged,
// and Mint takes nothing else. Mint believes the receipt that the entry is
// logged, and nobody that its contents are lawful: the profile below is checked
// before each signature. Minted again, an SVID has the same serial number, key,
// names and times; proof and signature may differ.
//
// The relying party's side is a [Verifier]. A chain comes in unverified; a
// [*Peer] goes out, whose fields are private and whose only maker is
// [Verifier.Verify]. It trusts the CA certificates of the trust bundle and the
// keys of its log policy, and needs both to say yes: a stolen CA key makes no
// SVID without the log, nor a stolen log key without the CA. It calls nobody.
// [VerifyLogged] asks the log alone, for a client that has nothing but a log
// policy. A program that imports this package to verify links no policy engine,
// database or cloud SDK.
//
// # The certificate
//
// An SVID is X.509 v3 and DER throughout: whatever has two encodings is refused.
// It has these fields and no others.
//
//	version       3
//	serialNumber  16 octets, 126 of their bits random, positive
//	signature     ECDSA with SHA-256, by a P-256 CA
//	issuer        the CA's subject
//	validity      UTCTime to 2049, then GeneralizedTime; within the CA's
//	subject       empty
//	public key    ECDSA P-256 or P-384, Ed25519, RSA 2048 to 4096 with e = 65537
//
//	extension                           critical  value
//	2.5.29.15 keyUsage                  yes       digitalSignature
//	2.5.29.37 extKeyUsage               no        serverAuth, clientAuth
//	2.5.29.19 basicConstraints          yes       empty: not a CA
//	2.5.29.35 authorityKeyIdentifier    no        keyIdentifier, 20 bytes
//	2.5.29.17 subjectAltName            yes       DNS names, IP addresses, one SPIFFE ID
//	1.3.6.1.4.1.57264.1.8 to .24        no        Fulcio's build facts, UTF8String, those that are known
//	1.3.6.1.4.1.32473.2 decision        no        see ParseDecision
//	1.3.6.1.4.1.32473.1 log proof       no        see below
//
// The SPIFFE ID has at most 2048 bytes, a trust domain of at most 255, and a
// path. Build facts are in ascending order, and .8, the issuer of the build's
// identity, is there if any is. All but the log proof is the body of the entry:
//
//	entry = 0x01 || 0x01 || TBSCertificate without the log-proof extension
//	leaf  = SHA-256(0x00 || entry)
//
// The leaf hash identifies an SVID.
//
// # The log-proof extension
//
// It is the last extension. Its extnValue holds, in DER, one OCTET STRING, which
// holds the compact proof of log/proof (see proof.Proof.Compact): index, tree size, inclusion hashes, the signatures of log
// and witnesses on the checkpoint. A reader takes it off by dropping the last
// element of the extension list and writing the three lengths around it anew:
// those of the list, of [3], and of the TBSCertificate. No other byte changes,
// and DER has one way to write a length, so what remains is what was logged.
//
// The root is computed from leaf and path; origin and keys come from the
// reader's log policy. A quorum of the policy must have cosigned within
//
//	[notBefore - 60 s, min(notAfter, now + 60 s)]
//
// which says that the entry was logged while the SVID was valid, and not in the
// future. With `quorum none` there are no such times. The entry's index is not
// below the number of entries it was decided on.
//
// # The CA
//
// A CA's certificate is signed by itself, once, at init or rotation ([NewCA]),
// and logged as a trust statement. It is P-256, cA with path length 0,
// keyCertSign alone, and its SPIFFE ID is the trust domain's. Mint finds the CA
// by the entry's authority key id, so that a retired CA still mints the entries
// that were drafted for it; a tainted one mints nothing.
package svid
