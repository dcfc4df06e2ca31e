package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/principal/verify"
)

// watchEvery is how often the files are looked at. A change counts when it has stayed for one such time, so that a
// certificate and its key, or a file that is being written, are not read halfway.
const watchEvery = time.Second

// retryEvery is how often a change that was not taken is tried again: what it lacked, a keyset or an issuer, may be there.
const retryEvery = time.Minute

// live serves with what was built last. A request is served to its end by what it began with.
type live struct {
	file  string
	log   *slog.Logger
	now   atomic.Pointer[built]
	stale atomic.Bool // the files say something that is not in use
}

func newLive(file string, b *built, log *slog.Logger) *live {
	l := &live{file: file, log: log}
	l.now.Store(b)
	return l
}

// ServeHTTP implements [http.Handler].
func (l *live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.now.Load().handler.ServeHTTP(w, r)
}

// Status is that of the keys in use.
func (l *live) Status() []keys.KeysetStatus { return l.now.Load().keys.Status() }

// issuers says how it stands with the keys of the issuers in use.
func (l *live) issuers() []verify.IssuerStatus { return l.now.Load().verifier.Status() }

func (l *live) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return l.now.Load().config.certificate, nil
}

// reload takes the files as they are now. What is wrong with them is an error, and everything stays as it was.
func (l *live) reload(ctx context.Context) error {
	old := l.now.Load()
	c, err := loadConfig(l.file)
	if err == nil {
		err = c.canReplace(old.config)
	}
	var next *built
	if err == nil {
		next, err = old.rebuild(ctx, c, l.log)
	}
	l.stale.Store(err != nil)
	if err != nil {
		return err
	}
	l.now.Store(next)
	if next.keys != old.keys {
		old.keys.close()
	}
	return nil
}

// canReplace: what the process holds from its start on needs another start.
func (c *loaded) canReplace(old *loaded) error {
	const restart = "this change needs a restart of the server"
	switch {
	case c.Listen != old.Listen:
		return errors.New("listen: " + restart)
	case (c.certificate == nil) != (old.certificate == nil) || c.InsecureAllowPlaintextHTTP != old.InsecureAllowPlaintextHTTP:
		return errors.New("tls: turning it on or off: " + restart)
	case c.Metrics != old.Metrics:
		return errors.New("metrics: " + restart)
	case c.Traces.Endpoint != old.Traces.Endpoint || c.Traces.fraction() != old.Traces.fraction():
		return errors.New("traces: " + restart)
	case c.Audit != old.Audit:
		return errors.New("audit: " + restart)
	}
	return nil
}

// watch reloads at each hangup and when a file has changed, also since the first configuration was read, and tries again
// while a change is not taken, until ctx ends.
func (l *live) watch(ctx context.Context, hangup <-chan os.Signal, retry time.Duration) {
	look, again := time.NewTicker(watchEvery), time.NewTicker(retry)
	defer look.Stop()
	defer again.Stop()
	applied, reloads := l.now.Load().config.seen, l.now.Load().metrics.reloads
	last := applied
	for {
		why := "SIGHUP"
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		case <-again.C:
			if !l.stale.Load() {
				continue
			}
			why = "trying again"
		case <-look.C:
			was := last
			if last = l.now.Load().config.fingerprint(l.file); last == applied || last != was {
				continue
			}
			why = "a file changed"
		}
		applied = l.now.Load().config.fingerprint(l.file)
		if err := l.reload(ctx); err != nil {
			reloads.WithLabelValues("error").Inc()
			l.log.ErrorContext(ctx, "configuration not reloaded: the one before stays in use", "why", why, "error", err)
		} else {
			reloads.WithLabelValues("ok").Inc()
			applied = l.now.Load().config.seen
			l.log.InfoContext(ctx, "configuration reloaded", "why", why, "namespaces", len(l.now.Load().config.Namespaces))
		}
		last = applied
	}
}

type fingerprint [sha256.Size]byte

// fingerprint is a hash of all that the configuration is read from. A file that cannot be read is part of it, too.
func (c *loaded) fingerprint(file string) fingerprint {
	files := []string{file, c.Policy.File, c.TLS.Cert, c.TLS.Key, c.Machines.Certificates.CA, c.Login.ClientSecretFile}
	for _, i := range c.Issuers {
		files = append(files, i.CACert)
	}
	all := sha256.New()
	for _, file := range slices.DeleteFunc(files, func(f string) bool { return f == "" }) {
		data, err := os.ReadFile(file)
		fmt.Fprintf(all, "%q %v %x\n", file, err != nil, sha256.Sum256(data))
	}
	return fingerprint(all.Sum(nil))
}
