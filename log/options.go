package log

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"time"

	"plastron/log/proof"
	"plastron/log/witness"
)

// A Policy says which log is believed, and on whose word: the log's key, its
// witnesses and how many of them are a quorum (C2SP tlog-policy).
type Policy = proof.Policy

// Options say where a log lives and who speaks for it. Dir, Lock, Signer and
// Policy are needed.
type Options struct {
	Dir    string        // data directory: segments, tiles, the low-water mark
	Lock   string        // directory of the lock: another device if there is one, never restored with Dir
	Signer *proof.Signer // the log's key; its name is the origin
	Policy *Policy       // names the same key; its witnesses are asked

	// MLDSA, if Policy names an ML-DSA-44 key of the log, is the signer with that
	// key: a cosigner of the origin's name. It signs what is published and
	// nothing else, when it is published, so that no append waits for it.
	MLDSA *proof.Signer

	// Witnesses are clients of Policy's witnesses. Nil: made from the URLs in
	// Policy; a witness of the quorum without one is then refused.
	Witnesses []*witness.Client

	// Mirrors are names of witnesses of Policy that are mirrors: they are pushed
	// the entries before they cosign (C2SP tlog-mirror). They may be in the quorum
	// or not.
	Mirrors []string

	// Apply is told every entry in the order of the log: during Open all that
	// are there, later each one once it is durable and before a witness hears
	// of it. What it is given is valid during the call only. An error poisons
	// the log: the program cannot read what it has logged.
	Apply func(Stored) error

	// MaxUnwitnessed is how many entries may wait for the witnesses before
	// Append refuses more with an [ErrQuorum]: without a quorum a log must not
	// be grown, and each costs 32 bytes of memory. Default 131,072.
	MaxUnwitnessed uint64

	Segment int64            // most bytes of a write-ahead segment, unless one record is longer; default 64 MiB
	Now     func() time.Time // default time.Now
	Logger  *slog.Logger     // default slog.Default
	FS      FS               // default: the operating system's
}

// Stored is an entry as the log keeps it.
type Stored struct {
	Index      uint64       // from 0
	Entry      []byte       // 1 to 65,535 bytes; the leaf is its RFC 6962 hash
	Conditions Conditions   // under which it was appended
	Blobs      []proof.Hash // SHA-256 of the records and evidence stored with it
}

// Conditions are what must hold at the index an entry is given. They are
// stored beside the entry, under the same checksum.
type Conditions struct {
	// Decided is the number of applied entries that the entry was decided on.
	// A barrier in [Decided, index) refuses the append. [Unconditional] is
	// never refused.
	Decided uint64
	// Spent are keys that no earlier entry may have spent; at most [MaxSpent].
	// What they stand for is the caller's business.
	Spent []proof.Hash
	// Barrier makes everything stale that was decided before this entry.
	Barrier bool
}

// Unconditional is the Decided of an entry that no barrier makes stale.
const Unconditional = math.MaxUint64

// Limits of one append.
const (
	MaxSpent     = 64       // spent keys
	MaxBlobs     = 256      // blobs
	MaxBlobBytes = 16 << 20 // bytes of all blobs together
)

// Errors that callers tell apart. ErrPoisoned and ErrClosed say that nothing
// more is appended by this process; what was under way may or may not be in
// the log when it is opened again.
var (
	ErrNotLogged = errors.New("not proven to be in the log")
	ErrQuorum    = proof.ErrQuorum
	ErrPoisoned  = errors.New("log is poisoned: a write failed, and what is on disk is unknown until the program is started again")
	ErrClosed    = errors.New("log is closed")
)

// A SpentError refuses an append: nothing was appended, and the entry that
// spent the key has been applied.
type SpentError struct {
	Key   proof.Hash
	Index uint64 // of the entry that spent it
}

func (e *SpentError) Error() string {
	return fmt.Sprintf("append: key %s is spent by entry %d", e.Key, e.Index)
}

// A StaleError refuses an append: nothing was appended, and the barrier has
// been applied, so that whoever decides again decides on it too.
type StaleError struct {
	Barrier uint64 // index of the newest barrier
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("append: decided before entry %d, which is a barrier", e.Barrier)
}

// A QuorumError says that an entry is durable but too few witnesses have
// cosigned it yet: it is in the log for good, and [Log.Receipt] has its receipt
// as soon as they answer. It is an [ErrQuorum].
type QuorumError struct {
	Index uint64 // of the entry
	Err   error  // what the witnesses said, or why nobody waited for them
}

func (e *QuorumError) Error() string {
	return fmt.Sprintf("entry %d is logged and not yet witnessed: %v", e.Index, e.Err)
}

func (e *QuorumError) Unwrap() []error { return []error{ErrQuorum, e.Err} }

func within(dir, of string) bool {
	return strings.HasPrefix(filepath.Clean(dir)+"/", filepath.Clean(of)+"/")
}

// defaults fills what was left out and refuses what cannot work.
func (o *Options) defaults() error {
	switch {
	case o.Dir == "" || o.Lock == "":
		return errors.New("a data directory and a lock directory are needed")
	case within(o.Lock, o.Dir) || within(o.Dir, o.Lock):
		return errors.New("neither of data and lock directory may be within the other: whoever restored the data would restore the lock with it")
	case o.Signer == nil || o.Policy == nil:
		return errors.New("a signer and a log policy are needed")
	case o.Signer.VKey() != o.Policy.LogVKey():
		return fmt.Errorf("the signer is %s, but the log line of the log policy is %s", o.Signer.VKey(), o.Policy.LogVKey())
	case o.MLDSA == nil && o.Policy.LogMLDSA() != "":
		return fmt.Errorf("the log policy names the log's ML-DSA key %.60s…, and there is no signer with it: nobody would believe what is published", o.Policy.LogMLDSA())
	case o.MLDSA != nil && o.MLDSA.VKey() != o.Policy.LogMLDSA():
		return fmt.Errorf("the ML-DSA signer is %.60s…, but the log policy names %.60q as the log's ML-DSA key", o.MLDSA.VKey(), o.Policy.LogMLDSA())
	case o.Segment < 0:
		return fmt.Errorf("segments of %d bytes", o.Segment)
	}
	if o.Segment == 0 {
		o.Segment = 64 << 20
	}
	if o.MaxUnwitnessed == 0 {
		o.MaxUnwitnessed = 1 << 17
	}
	if o.Apply == nil {
		o.Apply = func(Stored) error { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.FS == nil {
		o.FS = Disk()
	}
	return nil
}
