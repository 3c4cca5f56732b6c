package audit

import (
	"encoding/binary"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"plastron/log/proof"
)

// A watched is what a monitor knows of its log. It is in two files: the state, one
// JSON object that is replaced whole, and its journal, the conditions of all
// entries so far, which is only appended to. The journal is durable before the
// state that says how long it is, so that after a crash the two agree.
//
// A change in the journal, 41 bytes, integers big-endian:
//
//	0  1  1: key is spent by the entry at index; 2: the entry is an SVID;
//	      3: the SVID at index was renewed
//	1 32  key; zeros unless spent
//	33 8  index
type watched struct {
	watchedText
	tree *proof.Range
	*auditor
	changes []byte // of the journal, not written yet
}

type watchedText struct {
	Version    int          `json:"version"`
	Origin     string       `json:"origin"`
	VKey       string       `json:"vkey"`
	Size       uint64       `json:"size"`       // entries read, verified and audited
	Hashes     []proof.Hash `json:"hashes"`     // the tree over them (proof.Range)
	Checkpoint string       `json:"checkpoint"` // signed note, the newest verified; of Size entries or more
	Behind     time.Time    `json:"behind"`     // since when the log shows less than Checkpoint; zero: it does not
	Delivered  uint64       `json:"delivered"`  // matches below this index were delivered
	Barrier    uint64       `json:"barrier"`
	Policy     uint64       `json:"policy"`
	Journal    int64        `json:"journal"` // bytes of the journal that count
	Claims     []shownBy    `json:"claims"`
}

// A shownBy is a checkpoint that a witness cosigned and the log did not serve
// yet.
type shownBy struct {
	Witness string    `json:"witness"` // name in the policy
	Note    string    `json:"note"`
	Since   time.Time `json:"since"`
}

const (
	watchedVersion = 1
	changeSize     = 41
	maxWatched     = 4 << 20 // bytes of the state file
	maxClaims      = 64
)

func journalFile(path string) string { return path + ".journal" }

// loadWatched reads what was seen of a log. A missing file is a log never seen.
func loadWatched(path string, p *proof.Policy) (*watched, error) {
	w := &watched{
		watchedText: watchedText{Version: watchedVersion, Origin: p.Origin(), VKey: p.LogVKey()},
		tree:        proof.NewRange(), auditor: newAuditor(),
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = w.read(text, p)
	}
	if err == nil {
		err = w.readJournal(path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("state %s: %w", path, err)
	}
	w.journal = w.record
	return w, nil
}

func (w *watched) read(text []byte, p *proof.Policy) error {
	if len(text) > maxWatched {
		return fmt.Errorf("%d bytes, want at most %d", len(text), maxWatched)
	}
	var t watchedText
	if err := json.Unmarshal(text, &t, json.RejectUnknownMembers(true)); err != nil {
		return err
	}
	switch {
	case t.Version != watchedVersion:
		return fmt.Errorf("version %d, want %d", t.Version, watchedVersion)
	case t.Origin != p.Origin() || t.VKey != p.LogVKey():
		return fmt.Errorf("it is of log %q with key %s, the log policy names %q with %s: give each log a state of its own", t.Origin, t.VKey, p.Origin(), p.LogVKey())
	case t.Journal < 0 || t.Journal%changeSize != 0 || len(t.Claims) > maxClaims:
		return errors.New("a number in it is impossible")
	}
	c, err := p.OpenSigned([]byte(t.Checkpoint))
	if err != nil {
		return err
	}
	tree, err := proof.OpenRange(t.Size, t.Hashes)
	if err != nil {
		return err
	}
	if t.Size > c.Size || t.Size == c.Size && tree.Root() != c.Root {
		return fmt.Errorf("its %d entries are not those of its checkpoint", t.Size)
	}
	w.watchedText, w.tree = t, tree
	w.barrier, w.policy = t.Barrier, t.Policy
	return nil
}

func (w *watched) readJournal(path string) error {
	if w.Journal == 0 {
		return nil
	}
	f, err := os.Open(journalFile(path))
	if err != nil {
		return fmt.Errorf("%v: without its journal the state is worth nothing; remove both to read the log anew", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < w.Journal {
		return fmt.Errorf("journal of %d bytes, want %d: it is not of this state", info.Size(), w.Journal)
	}
	b := make([]byte, w.Journal)
	if _, err := f.ReadAt(b, 0); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for ; len(b) > 0; b = b[changeSize:] {
		if b[0] < changeSpent || b[0] > changeRenewed {
			return fmt.Errorf("journal: change %d is unknown", b[0])
		}
		w.apply(change{b[0], proof.Hash(b[1:33]), binary.BigEndian.Uint64(b[33:])})
	}
	return nil
}

// record keeps a change until save.
func (w *watched) record(c change) {
	w.changes = append(append(w.changes, c.kind), c.key[:]...)
	w.changes = binary.BigEndian.AppendUint64(w.changes, c.index)
}

// commit moves the state past a tree whose entries were audited.
func (w *watched) commit(path string, tree *proof.Range) error {
	w.tree, w.Size, w.Hashes = tree, tree.Size(), tree.Hashes()
	w.Barrier, w.Policy = w.barrier, w.policy
	if len(w.changes) > 0 {
		f, err := os.OpenFile(journalFile(path), os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(w.changes, w.Journal)
		if err == nil {
			err = f.Sync()
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		w.Journal += int64(len(w.changes))
		w.changes = nil
	}
	return w.save(path)
}

// save replaces the state file. What the auditor knows beyond Size is not in it.
func (w *watched) save(path string) error {
	text, err := json.Marshal(w.watchedText, json.Deterministic(true))
	if err != nil {
		return err
	}
	return replaceFile(path, text)
}

// replaceFile puts b in the place of a file: after a crash it is the old one or
// the new one, whole.
func replaceFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
