// Package server is the gate's front: it turns HTTP into calls of
// [plastron/gate.Gate] and the gate's no into an error with a stable code.
//
// What comes in is the network: every byte is unverified, and stays so; the
// package decides nothing about a request but that it is small enough, well
// formed and that its sender may read what it asks for. What goes out of it is
// what the gate returned. What is trusted: the gate, and for the admin socket
// the kernel's word for who is at the other end.
//
// # What is served where
//
//	API        TLS with the gate's own SVID  GateService, and by GET the log, records, evidence
//	Admin      Unix socket, mode 0600        AdminService, and the same by GET
//	PublicLog  plain HTTP, optional          the log alone, where log.read is open: it authenticates itself
//	Metrics    plain HTTP, loopback          /livez, /readyz, /metrics
//
// GateService speaks gRPC, gRPC-Web and connect's protocol, in protobuf and in
// JSON, on one port. An unknown field is an error in all of them: a field that
// is silently ignored is one that its sender believes in.
//
// # Before cryptography
//
// A request is at most 4 MiB, a message in it at most 3 MiB, and neither may be
// compressed. One peer address has at most 256 requests under way, all peers
// together 1024, and each at most 45 s. Only POST reaches a service and only GET
// the log; a path that is not in its plainest form is 404. A panic is the
// refusal `internal`.
//
// # Who may read
//
//	checkpoint, tile/…   log.read open: everybody; auditors: the SVIDs that log.auditors lists
//	record/<sha256>      listed SVIDs, and the SVID that the record is about
//	evidence/<sha256>    listed SVIDs; Sigstore bundles and beacons: everybody
//
// The admin socket reads all of it. Tokens are served to nobody, expired or not:
// what they are worth elsewhere is not ours to know. An SVID is shown in the TLS
// handshake and checked as any relying party checks it: CA, log proof, quorum,
// time.
package server
