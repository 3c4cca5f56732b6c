package log

// LockNote returns the checkpoint in the bytes of a lock file.
func LockNote(b []byte) ([]byte, error) {
	s, err := newestSlot(b)
	return s.note, err
}
