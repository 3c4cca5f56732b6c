// Package api is the client of a gate.
//
// What comes in unverified is the network: whoever answers at the gate's
// address, and every byte of the answer. What goes out is what the gate said,
// once the gate is known: [Client] speaks TLS 1.3 and hangs up on whoever does
// not hold the SVID with the path [GatePath]. There is no trust on first use and
// no fallback to the web's certificate authorities.
//
// What is trusted is what the caller pins in [Trust]: the log policy, the trust
// bundle, or both.
//
//	pinned       the gate's SVID must
//	log policy   be in the log, cosigned by the quorum; no CA is asked
//	bundle       chain to a CA of the bundle (SPIFFE X509-SVID §5)
//	both         do both ([svid.Verifier])
//
// An SVID that [Client.Issue] returns has passed the same check, and certifies
// the key that the request asked for.
//
// A refusal arrives as [*Refusal]. Whoever could not be asked is
// [ErrUnreachable], which is worth a retry; whoever is not the gate is
// [ErrUntrusted], which is not.
//
// The messages on the wire are those of [plastron/gate/api/v1], spoken in
// connect's protocol, protobuf-encoded. The package links neither the gate nor
// a policy engine.
package api
