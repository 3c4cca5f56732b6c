// Package provenance answers WHAT: from the bytes of a Sigstore bundle to a
// verified [Build].
//
// In comes, unverified, a bundle that anyone may have made and a digest that
// someone says they run. Out goes a [Build], which only [Verifier.Verify] makes:
// that artifact was built by that workflow from that commit, and this was
// public when it was signed. Trusted are the Sigstore roots the operator
// configured ([Root]), each by itself: a bundle holds under one root or not at
// all. Nothing is fetched; nothing in a bundle is followed.
//
// # The bundle
//
// JSON of protobuf dev.sigstore.bundle.v1.Bundle, at most [MaxBundle] bytes, media
// type version 0.1, 0.2 or 0.3, by its lower-camel-case names, no name twice or
// unknown, bytes in padded standard base64:
//
//	mediaType
//	dsseEnvelope          payload, payloadType, signatures[1]{sig}
//	verificationMaterial
//	  certificate         rawBytes: the leaf, X.509 DER (until 0.2: x509CertificateChain)
//	  tlogEntries[1..4]   logIndex, logId, kindVersion, integratedTime, inclusionPromise,
//	                      inclusionProof{logIndex, rootHash, treeSize, hashes, checkpoint},
//	                      canonicalizedBody
//	  timestampVerificationData  rfc3161Timestamps[0..4]: DER TimeStampResp
//
// The signature covers the DSSE pre-authentication encoding
//
//	"DSSEv1 " + len(type) + " " + type + " " + len(payload) + " " + payload
//
// with lengths in decimal and type "application/vnd.in-toto+json". Its SHA-256
// is the evidence's identity whatever the JSON around it ([Build.EvidenceID]).
//
// # The order of checks
//
// Cheap before dear, and each with its own [Code]:
//
//  1. Size, shape, media type, one signature, a certificate and not a bare key.
//     provenance_malformed, provenance_certificate
//
//  2. Every log entry has an inclusion proof and a checkpoint: a promise alone
//     (SignedEntryTimestamp) is not inclusion. provenance_log
//
//  3. Someone vouches for the time. provenance_time
//
//  4. The certificate is a code-signing leaf with one subject alternative name
//     and one issuer. provenance_certificate, provenance_identity
//
//  5. Its key signed the payload. provenance_signature
//
//  6. For each entry, by Rekor's own code: the proof leads to the root in the
//     checkpoint, the checkpoint is by the key the trust root pins for that log
//     and under that log's name, a Rekor v1 promise holds, and the entry is about
//     this payload, this signature and this certificate. provenance_log
//
//  7. All of it again by sigstore-go, with an SCT, a log entry, an observed time
//     and the artifact's digest required and no unsafe option: chain to Fulcio's
//     root at the time of signing, certificate in a CT log. What it refuses is
//     asked once more step by step, only to name it.
//
//  8. Every timestamp held, none was skipped; the log's key was trusted then.
//     provenance_time
//
//  9. The payload, now verified, is decoded for the first and only time: an
//     in-toto Statement v0.1 or v1. One subject has the artifact's full SHA-256
//     or SHA-512, and no subject that shares it differs in another digest.
//     provenance_subject
//
//  10. The predicate is SLSA provenance v0.2 or v1 and wherever it and the
//     certificate both name a fact - builder, repository, ids, ref, commit,
//     workflow, event, runner, run - they agree. provenance_predicate
//
//  11. No log that the bundle rests on is known to show two faces, or shows one
//     now. provenance_log
//
// # Memory of logs
//
// Of every checkpoint under which a bundle held, the size and root are
// remembered, for each key and origin. A smaller size than before is normal:
// bundles carry the checkpoint of their signing day. Another root for a size
// that is known is a fork: the log is refused from then on, for of two signed
// roots nobody can tell which is true. At most 4096 sizes of a tree are
// remembered; beyond that one is forgotten by chance, those proven by tiles
// first and never the largest, so that whoever floods the memory cannot choose
// what goes. A key has at most
// 64 trees. [Verifier.Watch] keeps the memory in a file; without it, it lasts as
// long as the Verifier. A log that is forked stays refused until the operator
// takes it out of the trust root, or its lines out of the file.
//
// Sizes are compared with each other through the log's tiles where [TileLog]
// names them: each remembered root must be the root of that prefix of the tree
// under the log's newest signed checkpoint. Tiles are not signed: those that do
// not lead to that checkpoint prove nothing and are only reported. Rekor v1
// serves no tiles, and its sizes are only remembered.
//
// # What is strict here that need not be
//
// sigstore-go skips what it cannot verify and counts the rest. A gate's evidence
// is kept and shown for years, so nothing unverified may ride along in it: every
// log entry must be by a known log and hold, every timestamp too, certificates
// beside the leaf must be the root's own, key ids must be empty, and each of the
// doubled fields (indexes, sizes, roots) must say the same twice. Rekor v1
// entries need their promise, which alone signs the time and index; Rekor v2
// entries must not have one. Ed25519 leaves are refused: envelope and log would
// hold different signatures. The signature lines of witnesses under a Rekor v2
// checkpoint are not counted and so not checked.
//
// In the predicate alone unknown names are let through, as SLSA demands; two
// spellings of one name are not.
//
// # Identity
//
// Who may sign is policy's to say: it reads [Build.Issuer], [Build.Signer] and
// the facts as exact values, never through a pattern that might match a part.
// Facts are the certificate's; the statement is the signer's word and can only
// agree. The other profile, with cosign's manners and for people at a terminal,
// is another package, [plastron/provenance/cosign]: nothing is shared that
// could be loosened there.
//
// # Builders
//
// A predicate is the signer's word; what makes it worth reading is that Fulcio
// read the same in the build's own token. By builder, what is compared
// ([Build.Confirmed] says which of it a build had, [Build.Claimed] what the
// certificate was silent about):
//
//	GitHub attestations   v1    builder = signing workflow; workflow, ref, repository, ids, event,
//	                            runner, commit, run
//	npm on GitHub         v0.2, the same but the builder, which is GitHub's runner of the
//	                      v1    certificate's class
//	npm on GitLab         v0.2  repository, commit, project, job, run
//	slsa-github-generator v0.2, builder = the called workflow of the generator; workflow, ref,
//	                      v1    repository, ids, event, commit, run of the calling one
//	GitLab, its runner    v1    project, commit, job; ids, ref, event where variables are told
//	BuildKit              v0.2, builder = the run, as docker/build-push-action sets it; the
//	                      v1    context's repository, ref and commit, the checkout's commit
//
// Not compared, for no certificate says it: GitLab's runner number and job name;
// what a build was made of beside its source; parameters; BuildKit's frontend,
// platform and reference of the build; times.
//
// Refused: BuildKit without a builder id, or of a changed checkout. Google Cloud
// Build, which signs with keys and, keyless, gets certificates that name no
// build. PyPI's publish attestations (PEP 740), which say who uploaded a file;
// SLSA provenance that PyPI holds is read once [plastron/provenance/cosign] has
// made a bundle of it.
//
// # Cost
//
// A verdict that held is remembered by bundle and artifact for an hour, in at
// most 4096 places. A Verifier is one generation of roots: a new root is a new
// Verifier that remembers nothing.
package provenance
