package proof

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// ParsePolicy reads a C2SP tlog-policy. Beyond the specification's rules it
// wants exactly one log, by its Ed25519 key, beside which there may be a line
// with an ML-DSA-44 key of the same name; it refuses a log's key as a witness's, two keys of
// one key id (which the compact proof tells keys apart by), unterminated last
// lines, numbers with leading zeros, and more than 64 witnesses or groups.
// Errors name the line.
func ParsePolicy(text []byte) (*Policy, error) {
	if len(text) > MaxPolicy {
		return nil, fmt.Errorf("log policy of %d bytes: longer than %d", len(text), MaxPolicy)
	}
	body, ok := strings.CutSuffix(string(text), "\n")
	if !ok {
		return nil, errors.New("log policy: last line is not terminated")
	}
	r := policyReader{
		policy: &Policy{text: bytes.Clone(text), ring: keyring{}},
		names:  map[string]*member{},
		keys:   map[string]bool{},
		ids:    map[uint32]bool{},
	}
	for i, line := range strings.Split(body, "\n") {
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("log policy line %d: %w", i+1, err)
		}
	}
	switch {
	case r.policy.log == nil:
		return nil, errors.New("log policy: no log line with an Ed25519 key")
	case !r.decided:
		return nil, errors.New("log policy: no quorum line")
	}
	return r.policy, nil
}

// none is the name of the quorum that asks for nobody.
const none = "none"

type policyReader struct {
	policy  *Policy
	names   map[string]*member // witnesses and groups so far
	keys    map[string]bool    // public keys so far
	ids     map[uint32]bool    // key ids so far
	groups  int
	decided bool // the quorum line was read
}

func (r *policyReader) line(line string) error {
	for _, c := range []byte(line) {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return fmt.Errorf("control character %#02x", c)
		}
	}
	// Only space and tab divide: a name may hold any other octet.
	fields := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' })
	if len(fields) == 0 || fields[0][0] == '#' {
		return nil
	}
	switch args := fields[1:]; fields[0] {
	case "log":
		return r.log(args)
	case "witness":
		return r.witness(args)
	case "group":
		return r.group(args)
	case "quorum":
		return r.quorum(args)
	default:
		return fmt.Errorf("unknown keyword %q", clip(fields[0]))
	}
}

// log reads: log <vkey> [<url>], and the same once more for an ML-DSA-44 key.
func (r *policyReader) log(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("want log <vkey> [<url>]")
	}
	if len(args) == 2 {
		if err := checkURL(args[1]); err != nil {
			return err
		}
	}
	k, err := r.key(args[0], algEd25519, algMLDSA44)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	other, place := r.policy.logPQ, &r.policy.log
	if k.alg == algMLDSA44 {
		other, place = r.policy.log, &r.policy.logPQ
	}
	if *place != nil || other != nil && other.name != k.name {
		return errors.New("second log line: one policy, one log, with one Ed25519 key and at most one ML-DSA-44 key beside it")
	}
	*place = k
	return nil
}

// witness reads: witness <name> <vkey> [<url>]
func (r *policyReader) witness(args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return errors.New("want witness <name> <vkey> [<url>]")
	}
	if len(r.policy.witnesses) == maxWitnesses {
		return fmt.Errorf("more than %d witnesses", maxWitnesses)
	}
	m := &member{name: args[0]}
	if len(args) == 3 {
		if err := checkURL(args[2]); err != nil {
			return err
		}
		m.url = args[2]
	}
	var err error
	if m.key, err = r.key(args[1], algCosigner, algMLDSA44); err != nil {
		return fmt.Errorf("witness %q: %w", m.name, err)
	}
	r.policy.witnesses = append(r.policy.witnesses, m)
	return r.define(m)
}

// group reads: group <name> all|any|<k> <name>...
func (r *policyReader) group(args []string) error {
	if len(args) < 3 {
		return errors.New("want group <name> all|any|<k> and one name or more")
	}
	if r.groups++; r.groups > maxGroups {
		return fmt.Errorf("more than %d groups", maxGroups)
	}
	m := &member{name: args[0]}
	for _, name := range args[2:] {
		sub, ok := r.names[name]
		switch {
		case !ok:
			return fmt.Errorf("group %q: %q is not defined above", m.name, name)
		case sub.grouped:
			return fmt.Errorf("group %q: %q is a member already", m.name, name)
		}
		sub.grouped = true
		m.members = append(m.members, sub)
	}
	switch args[1] {
	case "any":
		m.threshold = 1
	case "all":
		m.threshold = len(m.members)
	default:
		k, err := parseDecimal(args[1], uint64(len(m.members)))
		if err == nil && k == 0 {
			err = errors.New("0 would ask for nobody")
		}
		if err != nil {
			return fmt.Errorf("group %q: threshold: %w", m.name, err)
		}
		m.threshold = int(k)
	}
	return r.define(m)
}

// quorum reads: quorum <name>|none
func (r *policyReader) quorum(args []string) error {
	if len(args) != 1 {
		return errors.New("want quorum <name>|none")
	}
	if r.decided {
		return errors.New("second quorum line")
	}
	r.decided = true
	if args[0] == none {
		return nil
	}
	m, ok := r.names[args[0]]
	if !ok {
		return fmt.Errorf("quorum: %q is not defined above", args[0])
	}
	m.markQuorum()
	r.policy.quorum = m
	return nil
}

func (r *policyReader) define(m *member) error {
	if m.name == none {
		return errors.New(`the name "none" is taken`)
	}
	if r.names[m.name] != nil {
		return fmt.Errorf("%q is defined twice", m.name)
	}
	r.names[m.name] = m
	return nil
}

// key reads a verifier key of one of the types and adds it to the ring. Two
// names for one public key would let one signer count as two.
func (r *policyReader) key(vkey string, types ...byte) (*key, error) {
	k, err := parseVKey(vkey)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(types, []byte{k.alg}) {
		return nil, fmt.Errorf("verifier key %q: type %#02x, want one of % x", clip(vkey), k.alg, types)
	}
	if r.keys[string(k.pub)] {
		return nil, fmt.Errorf("verifier key %q: its public key is in the policy already", clip(vkey))
	}
	if r.ids[k.id] {
		return nil, fmt.Errorf("verifier key %q: its key id is in the policy already", clip(vkey))
	}
	r.keys[string(k.pub)], r.ids[k.id] = true, true
	r.policy.ring[k.signer()] = k
	return k, nil
}

// checkURL wants an absolute http or https URL that is no more than a prefix.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("url: %w", err)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("url %q: want https or http", s)
	case u.Host == "" || u.Opaque != "":
		return fmt.Errorf("url %q: no host", s)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return fmt.Errorf("url %q: user, query or fragment in a prefix", s)
	}
	return nil
}
