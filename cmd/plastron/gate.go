package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"plastron/gate/api/server"
	"plastron/gate/config"
	"plastron/log"
)

// Timeouts of the gate's listeners: a peer that is slow, idle or half-open
// costs a bounded time.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 120 * time.Second
	shutdownAfter = 10 * time.Second
)

func gateCmd() *cobra.Command {
	return group("gate", "Run the gate", gateRunCmd())
}

func gateRunCmd() *cobra.Command {
	var path string
	var stopAfter time.Duration
	c := &cobra.Command{
		Use:   "run --config gate.yaml",
		Short: "Serve the gate until it is told to stop",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := within(cmd.Context(), stopAfter)
			defer cancel()
			f, err := config.Load(path)
			if err != nil {
				return usagef("%w", err)
			}
			return serveGate(ctx, f, logger(cmd), func(s *gateServer) {
				fmt.Fprintf(cmd.ErrOrStderr(), "gate ready at https://%s\n", s.addr)
			})
		},
	}
	c.Flags().StringVar(&path, "config", "gate.yaml", "the gate's configuration")
	c.Flags().DurationVar(&stopAfter, "stop-after", 0, "stop by itself after this time (0: never)")
	return c
}

// within is ctx until a time is over; 0 is for ever.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// logger writes one line an event to stderr.
func logger(cmd *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
}

// A gateServer is a gate and its listeners: the API over TLS, the admin socket,
// and, where configured, the log and the metrics over plain HTTP.
type gateServer struct {
	addr    string // host:port of the API, as bound
	servers []*http.Server
}

// serveGate runs the gate of a configuration until ctx ends. ready is called
// once every listener takes connections.
func serveGate(ctx context.Context, f *config.File, l *slog.Logger, ready func(*gateServer)) error {
	m := server.NewMetrics()
	g, err := f.Open(ctx, config.Runtime{Logger: l, Build: version(), Issued: m.Issued})
	if err != nil {
		return asConfigError(err)
	}
	s := &gateServer{}
	h := server.New(g, server.Config{Logger: l, OpenLog: f.Log.Read == "open", Auditors: f.Log.Auditors, Metrics: m})
	failed := make(chan error, 4)
	tlsConfig := &tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: g.Certificate, SessionTicketsDisabled: true,
		ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2", "http/1.1"},
	}
	listeners := []struct {
		network, addr string
		handler       http.Handler
		tls           *tls.Config
	}{
		{"tcp", f.Listen, h.API(), tlsConfig},
		{"unix", f.AdminSocket(), h.Admin(), nil},
		{"tcp", f.Log.HTTP, h.PublicLog(), nil},
		{"tcp", f.Metrics, h.Metrics(), nil},
	}
	for _, x := range listeners {
		if x.addr == "" {
			continue
		}
		if err = s.listen(x.network, x.addr, x.handler, x.tls, failed, h.ConnContext); err != nil {
			break
		}
	}
	if err == nil {
		ready(s)
		select {
		case <-ctx.Done():
		case err = <-failed:
		case <-g.Log().Poisoned():
			err = fmt.Errorf("stopping: %w", g.Log().Err())
		}
	}
	return errors.Join(err, s.close(), g.Close())
}

func (s *gateServer) listen(network, addr string, h http.Handler, tc *tls.Config, failed chan<- error, conn func(context.Context, net.Conn) context.Context) error {
	if network == "unix" {
		// A socket left by a gate that died is in the way; one that answers is not ours.
		if c, err := net.Dial(network, addr); err == nil {
			c.Close()
			return failf(exitUsage, "another gate answers on %s", addr)
		}
		if err := os.Remove(addr); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		return usagef("listen: %w", err)
	}
	if network == "unix" {
		if err := os.Chmod(addr, 0o600); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	if tc != nil {
		s.addr = l.Addr().String()
		l = tls.NewListener(l, tc)
	}
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug), ConnContext: conn,
	}
	s.servers = append(s.servers, srv)
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return nil
}

// close lets requests under way finish, for shutdownAfter at most.
func (s *gateServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownAfter)
	defer cancel()
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.Shutdown(ctx))
	}
	return errors.Join(errs...)
}

// asConfigError marks what a person must mend before the gate starts, but for a
// log that would go back on itself, which no configuration mends.
func asConfigError(err error) error {
	if errors.Is(err, log.ErrForked) {
		return fmt.Errorf("open gate: %w", err)
	}
	return &failure{exitUsage, fmt.Errorf("open gate: %w", err)}
}

func configCmd() *cobra.Command {
	var path string
	check := &cobra.Command{
		Use:   "check --config gate.yaml",
		Short: "Load the configuration and everything that it names, without starting",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := config.Load(path)
			if err != nil {
				return usagef("%w", err)
			}
			if err := f.Check(); err != nil {
				return usagef("%s: %w", path, err)
			}
			return print(cmd, checked{path})
		},
	}
	check.Flags().StringVar(&path, "config", "gate.yaml", "the gate's configuration")
	return group("config", "Check the configuration", check)
}

type checked struct {
	OK string `json:"ok"` // path of what loads
}

func (c checked) text(w io.Writer) { fmt.Fprintf(w, "%s loads, and so does all that it names\n", c.OK) }
