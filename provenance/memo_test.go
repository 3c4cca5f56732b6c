package provenance

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestMemo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemo(2, time.Hour)
		key := func(n byte) memoKey { return memoKey{bundle: [32]byte{n}} }
		a, b, c := &Build{root: "a"}, &Build{root: "b"}, &Build{root: "c"}
		if m.get(key(1)) != nil {
			t.Error("remembers what it never saw")
		}
		m.put(key(1), a)
		m.put(key(2), b)
		m.get(key(1)) // so that 2 is the older
		m.put(key(3), c)
		if m.get(key(1)) != a || m.get(key(2)) != nil || m.get(key(3)) != c || m.used.Len() != 2 || len(m.byID) != 2 {
			t.Errorf("after three in two places: %v %v %v", m.get(key(1)), m.get(key(2)), m.get(key(3)))
		}
		if m.get(memoKey{bundle: [32]byte{1}, artifact: Digest{"sha256", "00"}}) != nil {
			t.Error("answers for another artifact")
		}
		time.Sleep(time.Hour - time.Nanosecond)
		if m.get(key(1)) != a {
			t.Error("forgets before its time")
		}
		time.Sleep(time.Nanosecond)
		if m.get(key(1)) != nil || m.get(key(3)) != nil || m.used.Len() != 0 || len(m.byID) != 0 {
			t.Error("remembers after its time")
		}
		m.put(key(1), a)
		m.put(key(1), b)
		if m.get(key(1)) != b || m.used.Len() != 1 {
			t.Error("one key twice")
		}
	})
}
