// Package gate decides who gets an SVID, writes the decision into the log, and
// only then has it minted.
//
// What comes in is a [Request]: a CSR, a beacon, a token, a bundle, node
// evidence; nothing in it is verified. What goes out is an SVID that carries
// the proof of its own log entry, or a [Refusal] with a code from a closed
// list. In between each piece is turned, by the package that owns it, into the
// one value that the rest reads: *oidc.Identity, *provenance.Build, *node.Host.
// The policy, the log, the record and the explanation all read that value.
//
// # The order
//
//  1. appraise: CSR and beacon, then the token, then only for a token that some
//     rule can match the bundle and the node evidence; ties; policy; bans.
//  2. draft: the bytes to be signed, and the record of why.
//  3. append: the log takes the entry if nothing it spends is spent and nothing
//     it was decided on has changed since (see below).
//  4. durable: the batch is on disk, then the lock.
//  5. witness: the quorum has cosigned a checkpoint that covers the entry.
//  6. mint: the CA key signs the bytes that the receipt proves, with the proof
//     inside.
//  7. return.
//
// A crash before 4 leaves nothing. A crash between 4 and 7 leaves an entry
// without an SVID: harmless, visible to auditors, and minted when the same
// requester asks again with the same token and key, after policy and bans are
// asked again. There is no order in which a crash leaves an SVID without an
// entry.
//
// # Races
//
// A decision names the number of entries it rests on, `decided`. Policy, trust,
// bans and unbans are barriers: the log refuses an append whose `decided` lies
// before a barrier, and the gate decides again. So no ban is ever overtaken by
// a grant that had not seen it. What a request spends (see [SpentKey]) is
// checked by the log where it assigns the index: of a thousand uses of one
// token, one is logged.
//
// # A token is spent on a key
//
// The first entry of a token binds it to the SVID key in the CSR. The same
// token with the same key and artifact leads to the same entry until half of
// that SVID's life is over, so a lost reply costs nothing; after that to a new
// entry that names the one it follows. With another key it is oidc_replayed.
//
// # Renewal by SVID
//
// Where a rule says renew_for, an unexpired SVID of ours stands in for the token
// until the token that its chain began with is that old. Its key signs the bind
// of the request, and with it the new key. Who it is comes from the record of
// the chain's first entry and is matched against the rules and bans of now; build
// and node are judged anew. An SVID is renewed once, and only the newest of its
// chain.
//
// # What is trusted
//
// The configuration: each issuer, Sigstore root, node root and witness in it is
// also in the log's newest trust entry. The clock. Whoever can write the
// process's memory can misuse the CA key, but an SVID that is not in the log is
// refused by every relying party that pins the log policy.
package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"plastron/gate/policy"
	"plastron/log"
	"plastron/log/proof"
	"plastron/log/statement"
	"plastron/node"
	"plastron/oidc"
	"plastron/provenance"
	"plastron/svid"
)

// Config is what a gate is made of. Every field without a default is needed.
type Config struct {
	TrustDomain spiffeid.TrustDomain
	Authority   *svid.Authority
	Tokens      *oidc.Verifier
	Builds      *provenance.Verifier // nil: bundles are refused
	Watch       provenance.Watch     // how Builds remembers Sigstore's logs; the clock and logger are the gate's
	Nodes       []node.Verifier      // in the order of the configuration
	Beacon      *proof.Signer        // Ed25519 cosigner; never counted in a quorum
	Log         log.Options          // Apply is the gate's own

	Policy statement.Policy // name and text; Open logs it if it is not the newest
	Env    policy.Env       // what a policy may name
	Trust  statement.Trust  // what Open logs if it is not the newest trust

	DNSNames []string // in the gate's own SVID
	IPs      []net.IP

	Issued   func(rule string) // called once for each SVID that Issue returns; nil for nothing
	PerOwner int               // requests under way for one (issuer, owner); default 32
	Now      func() time.Time  // default time.Now
	Logger   *slog.Logger      // default slog.Default
	Build    string            // version of the gate, for records
}

// A Gate issues SVIDs. Its methods may be called at once by any number of
// goroutines.
type Gate struct {
	c       Config
	state   *state
	log     *log.Log
	beacons *beacons
	limits  *limits
	self    atomic.Pointer[tls.Certificate] // the gate's own SVID

	mu       sync.Mutex                    // guards policies
	policies map[proof.Hash]*policy.Policy // loaded texts, by SHA-256

	stop    context.CancelFunc // ends the goroutine that renews self
	done    chan struct{}      // closed when it has ended
	unwatch func() error       // ends what Builds does in the background
}

// Open opens the log, rebuilds the gate's state from its entries, logs trust
// and policy where they changed, and issues the gate its own SVID. The first
// Open appends entry 0, trust (the genesis), and entry 1, policy.
func Open(ctx context.Context, c Config) (*Gate, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.PerOwner == 0 {
		c.PerOwner = 32
	}
	if c.Authority == nil || c.Tokens == nil || c.Beacon == nil || c.TrustDomain.IsZero() {
		return nil, errors.New("open gate: trust domain, authority, tokens and beacon are needed")
	}
	g := &Gate{c: c, state: newState(c.Now), limits: newLimits(c.PerOwner), policies: map[proof.Hash]*policy.Policy{}}
	if err := g.loadPolicy(&c.Policy); err != nil {
		return nil, err
	}
	c.Log.Apply, c.Log.Now, c.Log.Logger = g.state.apply, c.Now, c.Logger
	var err error
	if g.log, err = log.Open(ctx, c.Log); err != nil {
		return nil, err
	}
	g.beacons = &beacons{log: g.log, signer: c.Beacon, now: c.Now}
	if err := g.start(ctx); err != nil {
		return nil, errors.Join(err, g.log.Close())
	}
	return g, nil
}

// start brings the log up to the configuration.
func (g *Gate) start(ctx context.Context) error {
	if err := g.logTrust(ctx); err != nil {
		return err
	}
	if err := g.logPolicy(ctx); err != nil {
		return err
	}
	if err := g.renewSelf(ctx); err != nil {
		return fmt.Errorf("issue the gate's own SVID: %w", err)
	}
	if err := g.watch(); err != nil {
		return err
	}
	ctx, g.stop = context.WithCancel(context.Background())
	g.done = make(chan struct{})
	go g.keepSelf(ctx) // ended by Close
	return nil
}

// watch has Builds remember what Sigstore's logs signed. The log's lock, which
// this process holds by now, keeps others from the file.
func (g *Gate) watch() (err error) {
	g.unwatch = func() error { return nil }
	if g.c.Builds != nil {
		w := g.c.Watch
		w.Now, w.Logger = g.c.Now, g.c.Logger
		g.unwatch, err = g.c.Builds.Watch(w)
	}
	return err
}

// Close stops issuing and closes the log. Requests under way are refused.
func (g *Gate) Close() error {
	g.stop()
	<-g.done
	return errors.Join(g.unwatch(), g.log.Close())
}

// Log returns the gate's log, for readers.
func (g *Gate) Log() *log.Log { return g.log }

// Beacon returns the note that a request's evidence must be made over: the
// newest cosigned checkpoint and a line by the beacon key, at most 10 s old.
func (g *Gate) Beacon(ctx context.Context) ([]byte, error) {
	note, err := g.beacons.newest(ctx)
	if err != nil {
		return nil, asRefusal(err)
	}
	return note, nil
}

// Policy returns the policy in force and the index of its entry.
func (g *Gate) Policy() (uint64, *statement.Policy) {
	p := g.state.look(nil).policy
	return p.index, p.statement
}
