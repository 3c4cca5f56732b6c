package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Disk returns the operating system's file system. Files and directories it
// makes are the owner's alone: segments hold tokens and other evidence that
// whoever reads it can use.
func Disk() FS { return disk{} }

type disk struct{}

func (disk) Open(name string, create bool) (File, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(name, flags, 0o600)
	if create && errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return nil, err
		}
		f, err = os.OpenFile(name, flags, 0o600)
	}
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (disk) Rename(from, to string) error { return os.Rename(from, to) }

func (disk) Remove(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (disk) List(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// SyncDir syncs dir, its parent, and whatever it had to make above.
func (disk) SyncDir(dir string) error {
	made := filepath.Dir(dir)
	for made != filepath.Dir(made) {
		if _, err := os.Stat(made); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = filepath.Dir(made)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for {
		if err := syncOne(dir); err != nil {
			return err
		}
		if dir == made {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

func syncOne(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// SyncAll asks for syncfs(2), which since Linux 5.8 reports failed writes.
func (disk) SyncAll(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = unix.Syncfs(int(d.Fd()))
	return errors.Join(os.NewSyscallError("syncfs", err), d.Close())
}

// Lock takes an open-file-description lock: unlike flock(2) it works over NFS,
// and unlike fcntl's other locks it is not lost when the process closes some
// other descriptor of the file.
func (disk) Lock(name string) (io.Closer, error) {
	f, err := disk{}.Open(name, true)
	if err != nil {
		return nil, err
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err = unix.FcntlFlock(f.(diskFile).Fd(), unix.F_OFD_SETLK, &whole)
	if err != nil {
		err = fmt.Errorf("%s is held by another process: %w", name, err)
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// A diskFile syncs with fdatasync(2): the size is synced too, the times are not.
type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f diskFile) Sync() error {
	return os.NewSyscallError("fdatasync", unix.Fdatasync(int(f.Fd())))
}
