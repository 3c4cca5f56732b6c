package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plastron/gate/config"
	"plastron/log/proof"
	"plastron/log/witness"
	"plastron/svid"
)

func witnessCmd() *cobra.Command {
	return group("witness", "Run a witness of logs", witnessInitCmd(), witnessRunCmd())
}

func witnessInitCmd() *cobra.Command {
	var dir, name, listen string
	var pq bool
	c := &cobra.Command{
		Use:   "init --dir DIR --name NAME --listen HOST:PORT",
		Short: "Make a witness's key, and the policy file that names it",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" || name == "" {
				return usagef("--dir and --name are needed")
			}
			r, err := makeWitness(dir, name, listen, pq)
			if err != nil {
				return usagef("%w", err)
			}
			return print(cmd, *r)
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "dir", "", "folder of the witness")
	f.StringVar(&name, "name", "", "its name, such as witness.acme.example")
	f.StringVar(&listen, "listen", "127.0.0.1:8444", "where it will listen")
	f.BoolVar(&pq, "mldsa", false, "give it an ML-DSA-44 key too; its cosignatures are published and are not in SVIDs")
	return c
}

// makeWitness makes a witness's keys and the policy file that names them.
func makeWitness(dir, name, listen string, pq bool) (*witnessMade, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	if err := config.WriteKey(filepath.Join(dir, "witness.key"), key); err != nil {
		return nil, fmt.Errorf("witness key: %w", err)
	}
	s, err := proof.NewCosigner(name, key)
	if err != nil {
		return nil, fmt.Errorf("witness name: %w", err)
	}
	m := &witnessMade{Policy: filepath.Join(dir, "witness.policy"), VKey: s.VKey(), dir: dir, listen: listen}
	text := fmt.Sprintf("witness w1 %s http://%s\n", s.VKey(), listen)
	if pq {
		if m.MLDSA, err = makeMLDSAKey(dir, name); err != nil {
			return nil, err
		}
		text += fmt.Sprintf("witness w1-mldsa %s http://%s\n", m.MLDSA, listen)
	}
	text += "quorum w1\n"
	return m, os.WriteFile(m.Policy, []byte(text), 0o644)
}

// makeMLDSAKey makes a witness's second key and returns its verifier key.
func makeMLDSAKey(dir, name string) (string, error) {
	key, err := mldsa.GenerateKey(mldsa.MLDSA44())
	if err != nil {
		return "", err
	}
	if err := config.WriteKey(filepath.Join(dir, mldsaKeyFile), key); err != nil {
		return "", fmt.Errorf("witness key: %w", err)
	}
	s, err := proof.NewCosigner(name, key)
	if err != nil {
		return "", err
	}
	return s.VKey(), nil
}

const mldsaKeyFile = "witness-mldsa.key"

type witnessMade struct {
	Policy      string `json:"policy"` // for init's --witnesses
	VKey        string `json:"vkey"`
	MLDSA       string `json:"mldsa_vkey,omitempty"`
	dir, listen string
}

func (m witnessMade) text(w io.Writer) {
	fmt.Fprintf(w, "made a witness: %s\n\n  %s\tgive it to `plastron init --witnesses`\n\n", m.VKey, m.Policy)
	fmt.Fprintf(w, "next, once the log is made: plastron witness run --dir %s --listen %s --log-policy LOG.POLICY\n", m.dir, m.listen)
}

func witnessRunCmd() *cobra.Command {
	var dir, listen, metrics string
	var mirror bool
	var policies []string
	var stopAfter time.Duration
	c := &cobra.Command{
		Use:   "run --dir DIR --listen HOST:PORT --log-policy FILE…",
		Short: "Cosign checkpoints of logs that never go back on themselves",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := within(cmd.Context(), stopAfter)
			defer cancel()
			var logs []witness.LogKey
			for _, path := range policies {
				p, err := readPolicy(path)
				if err != nil {
					return err
				}
				logs = append(logs, witness.LogKey{Origin: p.Origin(), VKey: p.LogVKey()})
			}
			if len(logs) == 0 {
				return usagef("--log-policy is needed: it names the log and its key")
			}
			key, name, err := witnessKey(dir)
			if err != nil {
				return usagef("%w; make one with `plastron witness init`", err)
			}
			c := witness.Config{Dir: filepath.Join(dir, "state"), Key: key, Name: name, Logs: logs, Mirror: mirror, Logger: logger(cmd)}
			if c.MLDSA, err = svid.LoadKey(filepath.Join(dir, mldsaKeyFile)); errors.Is(err, fs.ErrNotExist) {
				c.MLDSA = nil
			} else if err != nil {
				return usagef("%w", err)
			}
			s, err := witness.NewServer(c)
			if err != nil {
				return usagef("%w", err)
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return errors.Join(usagef("listen: %w", err), s.Close())
			}
			err = serveWitness(ctx, cmd.ErrOrStderr(), l, s, metrics)
			return errors.Join(err, s.Close())
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "dir", "", "folder of the witness")
	f.StringVar(&listen, "listen", "127.0.0.1:8444", "where to listen")
	f.StringArrayVar(&policies, "log-policy", nil, "log.policy of a log to witness (repeatable)")
	f.BoolVar(&mirror, "mirror", false, "keep and serve the logs' entries, and cosign nothing else: what is cosigned is published here too")
	f.StringVar(&metrics, "metrics", "", "loopback HOST:PORT to serve /metrics at, for Prometheus (default none)")
	f.DurationVar(&stopAfter, "stop-after", 0, "stop by itself after this time (0: never)")
	return c
}

// serveWitness serves a witness on l, and its metrics where they are asked for,
// until ctx ends or one of the two fails.
func serveWitness(ctx context.Context, w io.Writer, l net.Listener, s *witness.Server, metrics string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	if metrics == "" {
		ended <- nil
	} else {
		ml, err := listenLoopback(metrics)
		if err != nil {
			return errors.Join(usagef("--metrics: %w", err), l.Close())
		}
		fmt.Fprintf(w, "metrics at http://%s/metrics\n", ml.Addr())
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", s.Metrics())
		go func() { // ended by ctx
			defer cancel()
			ended <- serve(ctx, ml, mux)
		}()
	}
	fmt.Fprintf(w, "witness ready at http://%s\n", l.Addr())
	err := serve(ctx, l, s.Handler())
	cancel()
	return errors.Join(err, <-ended)
}

// listenLoopback listens where no other machine reaches.
func listenLoopback(hostport string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s is not on loopback: metrics tell which logs are witnessed; listen at 127.0.0.1 and have a proxy decide who reads them", hostport)
	}
	return net.Listen("tcp", hostport)
}

// witnessKey reads the key that init made, and the name beside it.
func witnessKey(dir string) (crypto.Signer, string, error) {
	key, err := svid.LoadKey(filepath.Join(dir, "witness.key"))
	if err != nil {
		return nil, "", err
	}
	policy, err := os.ReadFile(filepath.Join(dir, "witness.policy"))
	if err != nil {
		return nil, "", err
	}
	fields := strings.Fields(string(policy))
	if len(fields) < 3 || fields[0] != "witness" {
		return nil, "", errors.New("witness.policy: does not begin with a witness line")
	}
	name, _, _ := strings.Cut(fields[2], "+")
	return key, name, nil
}

// readPolicy reads a log policy file.
func readPolicy(path string) (*proof.Policy, error) {
	if path == "" {
		return nil, usagef("--log-policy FILE is needed: it names the log's key and its witnesses")
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("--log-policy: %w", err)
	}
	if err != nil {
		return nil, err
	}
	p, err := proof.ParsePolicy(text)
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return p, nil
}

// serve serves plain HTTP on l until ctx ends.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: 32 << 10,
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }() // ended by Shutdown below
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownAfter)
	defer cancel()
	err := srv.Shutdown(ctx)
	<-done
	return err
}
