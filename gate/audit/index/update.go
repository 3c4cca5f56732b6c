package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"plastron/gate/audit"
	"plastron/log/proof"
	"plastron/log/statement"
)

// Bounds of one transaction.
const (
	batchEntries = 8192
	batchBytes   = 8 << 20 // of entries
	batchRecords = 8       // read at once
	factRows     = 256     // in one INSERT
)

// Records returns the decision record of an SVID's entry; nil where it may not
// be read. An error ends the update.
type Records func(context.Context, *audit.Entry) (*statement.Record, error)

// A Report says what an index holds.
type Report struct {
	Size     uint64 `json:"size"`     // entries
	Added    uint64 `json:"added"`    // by this update
	Withheld uint64 `json:"withheld"` // SVIDs whose decision record could not be read: token, node and evidence are not searchable
}

// state is what the index has seen of the log.
type state struct {
	size     uint64
	roots    []proof.Hash // of the perfect subtrees, as proof.OpenRange wants them
	time     int64
	withheld uint64
}

// Update indexes the entries of a view that are not in the index yet. The view
// must extend what is indexed: if it does not, the error is
// [audit.ErrMisbehaved], and nothing is changed. records and progress may be nil.
//
// It is done batch by batch; a batch is in the index or it is not.
func (x *Index) Update(ctx context.Context, v *audit.View, records Records, progress func(done, total uint64)) (*Report, error) {
	s, err := x.state(ctx)
	if err != nil {
		return nil, err
	}
	tree, err := proof.OpenRange(s.size, s.roots)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", x.path, ErrDamaged, err)
	}
	if s.size > 0 {
		if err := v.Extends(ctx, proof.Checkpoint{Origin: v.Checkpoint().Origin, Size: s.size, Root: tree.Root()}); err != nil {
			return nil, fmt.Errorf("the log no longer extends what was indexed of it: %w", err)
		}
	}
	before := s.size
	for s.size < v.Size() {
		b, err := collect(ctx, v, s, records)
		if err != nil {
			return nil, err
		}
		if s, err = x.add(ctx, s, b); err != nil {
			return nil, err
		}
		if progress != nil {
			progress(s.size, v.Size())
		}
	}
	return &Report{s.size, s.size - before, s.withheld}, nil
}

func (x *Index) state(ctx context.Context) (s state, err error) {
	return s, x.explain(s.read(x.db.QueryRowContext(ctx, "SELECT size, roots, time, withheld FROM state")))
}

func (s *state) read(row *sql.Row) error {
	var roots []byte
	if err := row.Scan(&s.size, &roots, &s.time, &s.withheld); err != nil {
		return err
	}
	for len(roots) >= proof.HashSize {
		s.roots, roots = append(s.roots, proof.Hash(roots)), roots[proof.HashSize:]
	}
	return nil
}

func (s *state) write(ctx context.Context, tx *sql.Tx) error {
	var roots []byte
	for _, h := range s.roots {
		roots = append(roots, h[:]...)
	}
	if roots == nil {
		roots = []byte{}
	}
	_, err := tx.ExecContext(ctx, "UPDATE state SET size = ?, roots = ?, time = ?, withheld = ?", s.size, roots, s.time, s.withheld)
	return err
}

// A batch are entries that follow each other, and their records.
type batch struct {
	entries []*audit.Entry
	records []*statement.Record
}

var errFull = errors.New("the batch is full")

// collect reads the next batch.
func collect(ctx context.Context, v *audit.View, s state, records Records) (*batch, error) {
	b, bytes := &batch{}, 0
	err := v.Walk(ctx, s.size, min(v.Size(), s.size+batchEntries-s.size%256), func(index uint64, entry []byte) error {
		if bytes += len(entry); bytes > batchBytes && len(b.entries) > 0 {
			return errFull
		}
		b.entries = append(b.entries, audit.ParseEntry(index, entry))
		return nil
	})
	if err != nil && !errors.Is(err, errFull) {
		return nil, err
	}
	b.records = make([]*statement.Record, len(b.entries))
	if records == nil {
		return b, nil
	}
	return b, b.read(ctx, records)
}

// read gets the records, some at once.
func (b *batch) read(ctx context.Context, records Records) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range batchRecords {
		wg.Go(func() { // ends when next is closed
			for i := range next {
				r, err := records(ctx, b.entries[i])
				if err != nil {
					stop(err)
				}
				b.records[i] = r
			}
		})
	}
	for i, e := range b.entries {
		if e.SVID != nil && ctx.Err() == nil {
			next <- i
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// add writes a batch that begins where s ends, and returns the state after it.
// If another process has indexed further meanwhile, the batch is dropped.
func (x *Index) add(ctx context.Context, s state, b *batch) (after state, err error) {
	err = x.change(ctx, func(tx *sql.Tx) error {
		if err := after.read(tx.QueryRowContext(ctx, "SELECT size, roots, time, withheld FROM state")); err != nil {
			return err
		}
		if after.size != s.size {
			return nil
		}
		facts, err := after.addEntries(ctx, tx, b)
		if err != nil {
			return err
		}
		if err := addFacts(ctx, tx, facts); err != nil {
			return err
		}
		return after.write(ctx, tx)
	})
	return after, err
}

type factRow struct {
	audit.Fact
	entry uint64
}

func (s *state) addEntries(ctx context.Context, tx *sql.Tx, b *batch) (facts []factRow, err error) {
	tree, err := proof.OpenRange(s.size, s.roots)
	if err != nil {
		return nil, err
	}
	insert, err := tx.PrepareContext(ctx, "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)")
	if err != nil {
		return nil, err
	}
	defer insert.Close()
	for i, e := range b.entries {
		if at := e.Time(); !at.IsZero() {
			s.time = max(s.time, at.Unix())
		}
		id, serial := "", ""
		if e.SVID != nil {
			id, serial = e.SVID.SPIFFEID, e.SVID.Serial
			if b.records[i] == nil {
				s.withheld++
			}
		}
		at := s.time
		if own := e.Time(); !own.IsZero() {
			at = own.Unix()
		}
		if _, err := insert.ExecContext(ctx, e.Index, e.Leaf[:], e.Kind, at, id, serial, e.Summary()); err != nil {
			return nil, err
		}
		for _, f := range e.Facts(b.records[i]) {
			facts = append(facts, factRow{f, e.Index})
		}
		tree.Append(e.Leaf, nil)
	}
	s.size, s.roots = tree.Size(), tree.Hashes()
	return facts, nil
}

// addFacts writes facts in the order of their table, in which pages are touched
// once.
func addFacts(ctx context.Context, tx *sql.Tx, facts []factRow) error {
	slices.SortFunc(facts, func(a, b factRow) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Value, b.Value)
	})
	rows := func(n int) string {
		return "INSERT INTO fact VALUES " + strings.Repeat("(?, ?, ?), ", n-1) + "(?, ?, ?)"
	}
	full, err := tx.PrepareContext(ctx, rows(factRows))
	if err != nil {
		return err
	}
	defer full.Close()
	args := make([]any, 0, 3*factRows)
	for chunk := range slices.Chunk(facts, factRows) {
		args = args[:0]
		for _, f := range chunk {
			args = append(args, f.Name, f.Value, f.entry)
		}
		if len(chunk) == factRows {
			_, err = full.ExecContext(ctx, args...)
		} else {
			_, err = tx.ExecContext(ctx, rows(len(chunk)), args...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unix returns a time as the index has it.
func unix(s int64) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
