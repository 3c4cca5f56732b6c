package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"

	"plastron/log/proof"
)

// version is PRAGMA user_version of a file that this code understands. An index
// of another version is made anew.
const version = 1

const schema = `
CREATE TABLE state (size INTEGER NOT NULL, roots BLOB NOT NULL, time INTEGER NOT NULL, withheld INTEGER NOT NULL) STRICT;
INSERT INTO state VALUES (0, x'', 0, 0);
CREATE TABLE entry (
	idx     INTEGER PRIMARY KEY,
	leaf    BLOB NOT NULL,
	kind    TEXT NOT NULL,
	time    INTEGER NOT NULL, -- Unix seconds; 0: nothing has said any yet
	id      TEXT NOT NULL,
	serial  TEXT NOT NULL,
	summary TEXT NOT NULL
) STRICT;
CREATE INDEX entry_leaf ON entry (leaf);
CREATE INDEX entry_kind ON entry (kind);
CREATE INDEX entry_time ON entry (time);
CREATE INDEX entry_serial ON entry (serial) WHERE serial <> '';
CREATE TABLE fact (
	name  TEXT NOT NULL,
	value TEXT NOT NULL,
	entry INTEGER NOT NULL,
	PRIMARY KEY (name, value, entry)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;`

// An Index is an open index file. It is safe for concurrent use, also by several
// processes.
type Index struct {
	db   *sql.DB
	path string
}

// Open opens the index in a file, which is made if it isn't there, with the
// folder above it.
func Open(ctx context.Context, path string) (*Index, error) {
	x, err := open(ctx, path)
	if err == nil {
		return x, nil
	}
	if !errors.Is(err, errOther) {
		return nil, err
	}
	if err := Remove(path); err != nil {
		return nil, err
	}
	return open(ctx, path)
}

// Remove deletes an index. One that isn't there is no error.
func Remove(path string) error {
	var errs []error
	for _, suffix := range []string{"", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// ErrDamaged is a file that is no index, or no whole one.
var ErrDamaged = errors.New("the index is damaged; `plastron index rebuild` makes it anew")

// errOther is an index of another version.
var errOther = errors.New("the index is of another version")

func open(ctx context.Context, path string) (*Index, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// What entries say may be for auditors only.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()
	u := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(20000)&_pragma=synchronous(normal)&_pragma=cache_size(-65536)&_txlock=immediate"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	x := &Index{db, path}
	if err := x.prepare(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return x, nil
}

// prepare makes the tables of a new index.
func (x *Index) prepare(ctx context.Context) error {
	return x.change(ctx, func(tx *sql.Tx) error {
		var has int
		switch err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&has); {
		case err != nil:
			return err
		case has == version:
			return nil
		case has != 0:
			return errOther
		}
		_, err := tx.ExecContext(ctx, schema)
		return err
	})
}

// Close closes the file.
func (x *Index) Close() error { return x.db.Close() }

// change runs f in a transaction that nobody else writes beside.
func (x *Index) change(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return x.explain(err)
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return x.explain(err)
	}
	return x.explain(tx.Commit())
}

// explain says what mends a damaged file.
func (x *Index) explain(err error) error {
	var s *sqlite.Error
	if !errors.As(err, &s) {
		return err
	}
	const corrupt, notADatabase = 11, 26 // SQLITE_CORRUPT, SQLITE_NOTADB
	if code := s.Code() & 0xff; code == corrupt || code == notADatabase {
		return fmt.Errorf("%s: %w: %w", x.path, ErrDamaged, err)
	}
	return fmt.Errorf("index %s: %w", x.path, err)
}

// Find returns the index of the entry with a leaf hash, or of the SVID with a
// serial number, either in lower-case hex. There being none is [fs.ErrNotExist].
func (x *Index) Find(ctx context.Context, hex string) (uint64, error) {
	query, arg := "SELECT idx FROM entry WHERE serial = ? AND serial <> ''", any(strings.TrimLeft(hex, "0"))
	var leaf proof.Hash
	if leaf.UnmarshalText([]byte(hex)) == nil {
		query, arg = "SELECT idx FROM entry WHERE leaf = ?", leaf[:]
	}
	var index uint64
	err := x.db.QueryRowContext(ctx, query+" ORDER BY idx LIMIT 1", arg).Scan(&index)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("no entry has the leaf hash or serial number %s: %w", hex, fs.ErrNotExist)
	}
	return index, x.explain(err)
}
