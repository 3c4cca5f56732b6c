package gate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"plastron/log"
	"plastron/log/proof"
)

// A beacon is the newest checkpoint with its quorum, plus one timestamped line
// by the gate's beacon key. Whoever signs over its hash signed after those
// witnesses did, and an auditor can see so for ever. One is ours if its line
// verifies; those handed out lately are known by their hash, which saves that.
const (
	// MaxBeaconAge is how old a beacon's line may be when the request arrives.
	MaxBeaconAge = 120 * time.Second
	// beaconSkew is how far in the future it may be, should our clock step back.
	beaconSkew = 5 * time.Second
	// beaconEvery is how long one beacon is handed out on an idle log, and
	// beaconBusy while there are newer checkpoints: many a second under load.
	beaconEvery = 10 * time.Second
	beaconBusy  = time.Second
	// beaconsKnown is how many are known by their hash.
	beaconsKnown = int(MaxBeaconAge / beaconBusy)
	// maxBeacon bounds the bytes that are hashed for one.
	maxBeacon = 16 << 10
)

type beacons struct {
	log    *log.Log
	signer *proof.Signer
	now    func() time.Time

	mu    sync.Mutex // guards all below
	note  []byte
	base  []byte // the checkpoint under note
	made  time.Time
	known [beaconsKnown]handedOut // a ring
	next  int                     // in known
}

// handedOut is a beacon of ours and when it was made.
type handedOut struct {
	beacon [32]byte
	made   time.Time
}

// newest returns a beacon over the checkpoint that was newest at most
// beaconBusy ago.
func (b *beacons) newest(context.Context) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, base := b.now(), b.log.Checkpoint()
	if len(base) == 0 {
		return nil, &Refusal{Code: LogQuorum, Fact: "the log has no cosigned checkpoint yet"}
	}
	lasts := beaconBusy
	if bytes.Equal(base, b.base) {
		lasts = beaconEvery
	}
	if age := now.Sub(b.made); b.note != nil && 0 <= age && age < lasts {
		return b.note, nil
	}
	line, err := b.signer.Cosign(base, now)
	if err != nil {
		return nil, fmt.Errorf("sign beacon: %w", err)
	}
	b.base, b.note, b.made = base, append(bytes.Clone(base), line...), now
	b.known[b.next] = handedOut{sha256.Sum256(b.note), now}
	b.next = (b.next + 1) % len(b.known)
	return b.note, nil
}

// open checks that note is a beacon of ours and fresh, and returns its hash.
func (b *beacons) open(note []byte, now time.Time) (beacon [32]byte, err error) {
	if len(note) == 0 || len(note) > maxBeacon {
		return beacon, refuse(BeaconRefused, "beacon of %d bytes, want 1 to %d: ask the gate for one first", len(note), maxBeacon)
	}
	beacon = sha256.Sum256(note)
	t, err := b.time(beacon, note)
	if err != nil {
		return beacon, refuse(BeaconRefused, "beacon is not this gate's: %w", err)
	}
	if age := now.Sub(t); age > MaxBeaconAge || age < -beaconSkew {
		return beacon, refuse(BeaconRefused, "beacon is %s old, want at most %s: ask the gate for a new one and check both clocks", age.Round(time.Second), MaxBeaconAge)
	}
	return beacon, nil
}

// time returns when a beacon of ours was made.
func (b *beacons) time(beacon [32]byte, note []byte) (time.Time, error) {
	b.mu.Lock()
	known := b.known
	b.mu.Unlock()
	for _, k := range known {
		if k.beacon == beacon && !k.made.IsZero() {
			return k.made, nil
		}
	}
	return proof.OpenBeacon(note, b.signer.VKey())
}
