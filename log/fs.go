package log

import "io"

// FS is what the log asks of a file system. Names are paths. What is written is
// durable only after the Sync that covers it returned nil; an error of any
// method but those that read ends the log (see the package comment), so an
// implementation retries nothing.
type FS interface {
	// Open opens a file for reading and writing. With create it and the
	// directories above it are made if absent. Otherwise a missing file is
	// fs.ErrNotExist.
	Open(name string, create bool) (File, error)
	// Rename moves a file, replacing one that has the new name.
	Rename(from, to string) error
	// Remove deletes a file, or an empty directory; a missing one is no error.
	Remove(name string) error
	// List returns the names in a directory, sorted; none if it is missing.
	List(dir string) ([]string, error)
	// SyncDir makes the names in a directory durable, and its own name. It
	// makes the directory and those above it if absent.
	SyncDir(dir string) error
	// SyncAll makes everything durable that was done below a directory.
	SyncAll(dir string) error
	// Lock takes a file for this process alone, until it is closed. A file
	// that another process or another Lock holds is refused.
	Lock(name string) (io.Closer, error)
}

// A File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error // the bytes and the size, not the name
}
