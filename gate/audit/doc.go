// Package audit reads a log as an outsider does: it verifies it whole, follows
// it, and explains what one SVID stands on.
//
// What comes in is what a log serves, over HTTP or from a directory, and
// nothing of it is believed: checkpoints are opened with a pinned log policy,
// tiles and entries are hashed up to them, records by the hash that an SVID
// names. What goes out is a [Report] of what was found true, the [Match]es of a
// [Monitor], an [Explanation], or an error; [ErrMisbehaved] says that the log
// broke a promise and is never folded into a network error. Where others can be
// convinced of it, it is a [ForkError] and carries what convinces them.
//
// Trusted are the log policy (whose keys sign, which witnesses make a quorum),
// the clock and, by a monitor, its own state file. An auditor needs only public
// bytes and pinned keys.
package audit
