package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/principal/verify"
)

// Timeouts of the server. A page of the Web UI sends 200 small requests; the largest request is 16 MiB.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	drainTimeout      = 10 * time.Second // for requests under way when the server is told to stop
	maxHeaderBytes    = 64 << 10         // two tokens of 8 KiB, and room
)

// serve answers until ctx ends, and then until the requests under way are done.
func serve(ctx context.Context, l *live, log *slog.Logger) error {
	c := l.now.Load().config
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen: %s is taken by another program: stop it, or choose another port", c.Listen)
	}
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if where := c.Metrics.Listen; where != "" {
		m, err := (&net.ListenConfig{}).Listen(ctx, "tcp", where)
		if err != nil {
			return errors.Join(fmt.Errorf("metrics.listen: %w: choose another address", err), listener.Close())
		}
		server := &http.Server{Handler: l.now.Load().metrics.handler(), ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout}
		go func() { _ = server.Serve(m) }() // ends with Close
		defer server.Close()
		log.Info("metrics", "url", "http://"+m.Addr().String()+"/metrics")
	}
	return serveOn(ctx, listener, l, log)
}

func serveOn(ctx context.Context, listener net.Listener, l *live, log *slog.Logger) error {
	c := l.now.Load().config
	l.now.Load().metrics.watch(l, l.now.Load().audit)
	front := &front{codec: l.now.Load().metrics.measure(l.now.Load().traces.requests(l)), ring: l, issuers: l.issuers, audit: l.now.Load().audit, stale: &l.stale, log: log}
	if f := l.now.Load().forwarder; f != nil {
		front.forwarded = &forwarding{f, front.audit}
	}
	server := &http.Server{
		Handler:           front,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	scheme := "http"
	if c.certificate != nil {
		scheme = "https"
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: l.certificate, GetConfigForClient: l.handshake}
	} else if c.InsecureAllowPlaintextHTTP {
		log.Warn("insecureAllowPlaintextHTTP: tokens and plaintext are not encrypted by this server")
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // before anybody can take the server for ready: it would end the process
	defer signal.Stop(hangup)
	ended := make(chan error, 1)
	go func() {
		if c.certificate != nil {
			ended <- server.ServeTLS(listener, "", "")
		} else {
			ended <- server.Serve(listener)
		}
	}()
	log.Info("listening", "addr", listener.Addr().String(), "url", scheme+"://"+listener.Addr().String(), "namespaces", len(c.Namespaces), "version", running())
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, cancelWatch := context.WithCancel(ctx)
	defer cancelWatch()
	watching.Go(func() { l.watch(ctx, hangup, retryEvery) })
	select {
	case err := <-ended:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	front.stopping.Store(true)
	delay := l.now.Load().config.stopDelay
	log.Info("stopping", "delay", delay, "drain", drainTimeout)
	time.Sleep(delay)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		log.Warn("stopped with requests under way", "error", err)
		return server.Close()
	}
	log.Info("stopped")
	return nil
}

// front puts the health checks beside the codec protocol. There is no ServeMux: it would redirect //decode.
type front struct {
	codec   http.Handler
	ring    interface{ Status() []keys.KeysetStatus }
	issuers func() []verify.IssuerStatus
	audit   *audit.Log
	log     *slog.Logger
	stale   *atomic.Bool // nil: never

	forwarded *forwarding // nil: the audit log is not sent on
	stopping  atomic.Bool
}

// ServeHTTP implements [http.Handler]. GET /healthz says that the process runs, GET /readyz whether it can decode.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case get && r.URL.Path == "/healthz":
		writeJSON(w, http.StatusOK, map[string]bool{"alive": true})
	case get && r.URL.Path == "/readyz":
		f.ready(w, r)
	default:
		f.serveCodec(w, r)
	}
}

// readiness is the body of /readyz. It names nothing that a stranger should not know.
type readiness struct {
	Ready    bool `json:"ready"`
	Stopping bool `json:"stopping,omitempty"`
	Audit    bool `json:"audit"`   // can be written
	Keysets  int  `json:"keysets"` // in memory; the server does not start without all of them
	// Stale: the files of the configuration hold something that is not in use, because it is wrong.
	Stale bool `json:"configurationStale,omitempty"`
	// OldestRefreshSeconds is the time since the least fresh keyset was read. Keys stay in use through an outage of the
	// key store, so its growth is an alarm and not a reason to send requests elsewhere.
	OldestRefreshSeconds int `json:"oldestRefreshSeconds"`
	// OldestIssuerKeysSeconds is the time since the least fresh keys of an issuer were fetched, of those that a token has
	// needed. An hour and more means that it cannot be reached.
	OldestIssuerKeysSeconds int `json:"oldestIssuerKeysSeconds"`
	// IssuersAway counts issuers whose keys have been too old for too long: nobody whom they vouch for gets in. Another
	// replica is no better off, so it is an alarm as well.
	IssuersAway int `json:"issuersAway,omitempty"`
	// AuditForwardLagSeconds is the time since every audit record was forwarded. The file has them all, so it is an alarm.
	AuditForwardLagSeconds int `json:"auditForwardLagSeconds,omitempty"`
}

func (f *front) ready(w http.ResponseWriter, r *http.Request) {
	state := readiness{Stopping: f.stopping.Load(), Audit: true, Stale: f.stale != nil && f.stale.Load()}
	if err := f.audit.Check(); err != nil {
		state.Audit = false
		f.log.WarnContext(r.Context(), "not ready: the audit log cannot be written", "error", err)
	}
	for _, k := range f.ring.Status() {
		state.Keysets++
		state.OldestRefreshSeconds = max(state.OldestRefreshSeconds, int(time.Since(k.Fresh).Seconds()))
	}
	now := time.Now()
	for _, i := range f.issuers() {
		if i.Fetched.IsZero() {
			continue
		}
		state.OldestIssuerKeysSeconds = max(state.OldestIssuerKeysSeconds, int(now.Sub(i.Fetched).Seconds()))
		if i.Error != "" && now.After(i.Usable) {
			state.IssuersAway++
		}
	}
	if f.forwarded != nil {
		s, _ := f.forwarded.status()
		state.AuditForwardLagSeconds = int(s.Lag.Seconds())
	}
	state.Ready = state.Audit && !state.Stopping
	status := http.StatusOK
	if !state.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, state)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone: nobody is left to tell
}
