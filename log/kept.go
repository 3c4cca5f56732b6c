package log

import "sync"

// kept is the bytes of files that never change and were asked for lately: up to
// most bytes in each of two generations.
type kept[K comparable] struct {
	most int

	mu         sync.Mutex // guards all below
	young, old map[K][]byte
	size       int // bytes in young
}

// find returns what was kept under a key, which then stays for longer.
func (k *kept[K]) find(key K) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if b := k.young[key]; b != nil {
		return b
	}
	b := k.old[key]
	if b != nil {
		k.add(key, b)
	}
	return b
}

// keep keeps bytes, which nobody may change.
func (k *kept[K]) keep(key K, b []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.add(key, b)
}

func (k *kept[K]) add(key K, b []byte) {
	if k.young[key] != nil {
		return
	}
	if k.young == nil || k.size+len(b) > k.most {
		k.young, k.old, k.size = map[K][]byte{}, k.young, 0
	}
	k.young[key] = b
	k.size += len(b)
}
