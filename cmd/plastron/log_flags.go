package main

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"plastron/gate/audit"
	"plastron/log/proof"
)

// logFlags are those of a verb that reads a log.
type logFlags struct {
	trustFlags
	own string
}

func (l *logFlags) add(f *pflag.FlagSet) {
	l.trustFlags.add(f)
	f.StringVar(&l.own, "svid", "", "directory of the SVID to show, where only auditors may read")
}

// open returns a reader of the log at a URL or in a directory.
func (l *logFlags) open(at string) (*audit.Reader, *proof.Policy, error) {
	trust, err := l.trust()
	if err != nil {
		return nil, nil, err
	}
	if trust.Policy == nil {
		return nil, nil, usagef("--log-policy FILE is needed")
	}
	if trust.SVID, err = ownSVID(l.own); err != nil {
		return nil, nil, usagef("--svid: %w", err)
	}
	r, err := openLog(at, trust)
	return r, trust.Policy, err
}

// look returns the log as its newest checkpoint has it. That must extend the one
// seen last, and is remembered. The proof of a fork is kept.
func look(cmd *cobra.Command, r *audit.Reader, p *proof.Policy) (*audit.View, error) {
	memory := remembered(p)
	older, err := olderCheckpoint("", memory)
	if err != nil {
		return nil, err
	}
	v, err := audit.Look(cmd.Context(), r, p, older)
	if err != nil {
		return nil, keepFork(cmd, p, "", memory, err)
	}
	return v, remember(memory, v.Note())
}

// A loggedEntry is an entry, the log that has it, and the proof of that.
type loggedEntry struct {
	log    *audit.Reader
	policy *proof.Policy
	view   *audit.View
	bytes  []byte
	proof  proof.Proof
}

// entry reads the entry that an argument names, and proves it.
func (l *logFlags) entry(cmd *cobra.Command, at, name string) (*loggedEntry, error) {
	r, p, err := l.open(at)
	if err != nil {
		return nil, err
	}
	v, err := look(cmd, r, p)
	if err != nil {
		return nil, err
	}
	index, err := l.find(cmd, r, p, v, name)
	if err != nil {
		return nil, err
	}
	e := &loggedEntry{log: r, policy: p, view: v}
	e.bytes, e.proof, err = v.Entry(cmd.Context(), index)
	return e, err
}

// find returns the index of the entry that an argument names.
func (l *logFlags) find(cmd *cobra.Command, r *audit.Reader, p *proof.Policy, v *audit.View, name string) (uint64, error) {
	if index, err := strconv.ParseUint(name, 10, 64); err == nil {
		return index, nil
	}
	key := strings.ToLower(strings.ReplaceAll(name, ":", "")) // as openssl prints serial numbers
	if _, err := hex.DecodeString(key); err != nil || len(key) < 32 || len(key) > 64 {
		return 0, usagef("%q is no index, no serial number of at least 16 bytes and no leaf hash in hex", name)
	}
	x, _, err := l.index(cmd, r, p, v)
	if err != nil {
		return 0, err
	}
	defer x.Close()
	return x.Find(cmd.Context(), key)
}

// quorumOf says who cosigned.
func quorumOf(witnesses []string) string {
	if len(witnesses) == 0 {
		return "unwitnessed: the log policy asks for no quorum"
	}
	return "cosigned by " + strings.Join(witnesses, ", ")
}
