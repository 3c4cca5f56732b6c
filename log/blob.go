package log

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"sync"

	"plastron/log/proof"
)

func sum(b []byte) proof.Hash { return proof.Hash(sha256.Sum256(b)) }

// A blobPlace is where a durable blob is.
type blobPlace struct {
	offset  int64
	segment uint32
	length  uint32
}

// blobs is the index of durable blobs: a projection of the segments of 48
// bytes a blob, made anew at each start.
type blobs struct {
	mu sync.RWMutex // guards at
	at map[proof.Hash]blobPlace
}

func (b *blobs) find(h proof.Hash) (blobPlace, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	p, ok := b.at[h]
	return p, ok
}

// add learns the blobs of a durable record. Those at the places in skip are
// damaged; they will be stored again when somebody brings them.
func (b *blobs) add(r *record, skip map[int]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	offset := r.offset + int64(r.head)
	for i, h := range r.blobs {
		if !skip[i] {
			b.at[h.hash] = blobPlace{offset, uint32(r.segment), h.length}
		}
		offset += int64(h.length)
	}
}

// Blob returns the record or evidence with the SHA-256 h: fs.ErrNotExist if no
// durable entry was stored with it, another error if its bytes were erased or
// are damaged.
func (l *Log) Blob(h proof.Hash) ([]byte, error) {
	p, ok := l.blobs.find(h)
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", h, fs.ErrNotExist)
	}
	b, err := l.segments.blob(p, h)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", h, err)
	}
	return b, nil
}
