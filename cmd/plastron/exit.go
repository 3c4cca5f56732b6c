package main

import (
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"plastron/gate/api"
	"plastron/gate/audit"
	"plastron/log"
	"plastron/oidc"
	"plastron/provenance"
	"plastron/svid"
)

// The exit codes of the package comment.
const (
	exitInternal    = 1
	exitUsage       = 2
	exitRefused     = 3
	exitEvidence    = 4
	exitLog         = 5
	exitNotFound    = 6
	exitUnreachable = 7
	exitNotYet      = 8
)

// A failure is an error that knows its exit code.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usagef(format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...)}
}

func failf(code int, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

// exitCode says how the process ends for err.
func exitCode(err error) int {
	var (
		f *failure
		r *api.Refusal
		o *oidc.Error
		p *provenance.Error
		n net.Error
	)
	switch {
	case errors.As(err, &f):
		return f.code
	case errors.As(err, &r):
		return refusalExit(r.Code)
	case errors.As(err, &o), errors.As(err, &p), errors.Is(err, svid.ErrRefused):
		return exitEvidence
	case errors.Is(err, audit.ErrMisbehaved), errors.Is(err, log.ErrForked):
		return exitLog
	case errors.Is(err, log.ErrNotLogged):
		return exitEvidence
	case errors.Is(err, api.ErrUnreachable):
		return exitUnreachable
	case errors.Is(err, fs.ErrNotExist): // a system call's error is a net.Error, too
		return exitNotFound
	case errors.Is(err, fs.ErrPermission):
		return exitRefused
	case errors.As(err, &n), errors.Is(err, context.DeadlineExceeded):
		return exitUnreachable
	case strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	}
	return exitInternal
}

// refusalExit maps a refusal code to an exit code: 3 for the policy's no, 4 for
// evidence that does not hold, 7 for what a retry may mend.
func refusalExit(code string) int {
	switch code {
	case "policy_no_match", "policy_refused", "banned":
		return exitRefused
	case "log_unavailable", "log_quorum", "limit_exceeded", "oidc_keys":
		return exitUnreachable
	case "internal":
		return exitInternal
	}
	return exitEvidence
}

// A result is what a verb prints: itself as JSON, or text.
type result interface{ text(w io.Writer) }

// print writes a result to stdout in the format of -o.
func print(cmd *cobra.Command, r result) error {
	if o, _ := cmd.Flags().GetString("output"); o == "json" {
		b, err := json.Marshal(r, json.Deterministic(true))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", b)
		return err
	}
	r.text(cmd.OutOrStdout())
	return nil
}

// clean escapes control characters: what comes from a log, a token or a server
// must not drive the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || !unicode.IsControl(r) && r != '\u202e' && r != '\u2066' && r != '\u2067' {
			return r
		}
		return '\ufffd'
	}, s)
}
