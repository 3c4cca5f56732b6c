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
// witnesses did, and an auditor can see so for ever. The gate keeps no list of
// beacons: one is ours if its line verifies.
const (
	// MaxBeaconAge is how old a beacon's line may be when the request arrives.
	MaxBeaconAge = 120 * time.Second
	// beaconSkew is how far in the future it may be, should our clock step back.
	beaconSkew = 5 * time.Second
	// beaconEvery is how long one beacon is handed out.
	beaconEvery = 10 * time.Second
	// maxBeacon bounds the bytes that are hashed for one.
	maxBeacon = 16 << 10
)

type beacons struct {
	log    *log.Log
	signer *proof.Signer
	now    func() time.Time

	mu   sync.Mutex // guards note, base and made
	note []byte
	base []byte // the checkpoint under note
	made time.Time
}

// newest returns a beacon at most beaconEvery old over the newest checkpoint.
func (b *beacons) newest(context.Context) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, base := b.now(), b.log.Checkpoint()
	if len(base) == 0 {
		return nil, &Refusal{Code: LogQuorum, Fact: "the log has no cosigned checkpoint yet"}
	}
	if bytes.Equal(base, b.base) && now.Sub(b.made) < beaconEvery && !now.Before(b.made) {
		return b.note, nil
	}
	line, err := b.signer.Cosign(base, now)
	if err != nil {
		return nil, fmt.Errorf("sign beacon: %w", err)
	}
	b.base, b.note, b.made = base, append(bytes.Clone(base), line...), now
	return b.note, nil
}

// open checks that note is a beacon of ours and fresh, and returns its hash.
func (b *beacons) open(note []byte, now time.Time) (beacon [32]byte, err error) {
	if len(note) == 0 || len(note) > maxBeacon {
		return beacon, refuse(BeaconRefused, "beacon of %d bytes, want 1 to %d: ask the gate for one first", len(note), maxBeacon)
	}
	t, err := b.time(note)
	if err != nil {
		return beacon, refuse(BeaconRefused, "beacon is not this gate's: %w", err)
	}
	if age := now.Sub(t); age > MaxBeaconAge || age < -beaconSkew {
		return beacon, refuse(BeaconRefused, "beacon is %s old, want at most %s: ask the gate for a new one and check both clocks", age.Round(time.Second), MaxBeaconAge)
	}
	return sha256.Sum256(note), nil
}

// time returns when a beacon of ours was made. The one that is handed out right
// now is known by its bytes.
func (b *beacons) time(note []byte) (time.Time, error) {
	b.mu.Lock()
	newest, made := b.note, b.made
	b.mu.Unlock()
	if bytes.Equal(note, newest) {
		return made, nil
	}
	return proof.OpenBeacon(note, b.signer.VKey())
}
