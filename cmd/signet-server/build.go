package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/principal/verify"
)

// built is everything the server runs on, wired.
type built struct {
	handler http.Handler
	ring    *keys.Ring
	audit   *audit.Log
	closers []func()
}

func (b *built) close() {
	for i := len(b.closers) - 1; i >= 0; i-- {
		b.closers[i]()
	}
}

// build opens the audit log, reaches the issuers and loads the keys. What it cannot do stops the start, with one line
// that says what to do; on an error everything is closed again.
func build(ctx context.Context, c *loaded, stdout io.Writer, log *slog.Logger) (_ *built, err error) {
	b := &built{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.audit, err = openAudit(c.Audit, stdout, log); err != nil {
		return nil, err
	}
	b.closers = append(b.closers, func() {
		_ = b.audit.Close() // every record is fsynced already
		logHead(log, "closed", c.Audit.File, b.audit.Head())
	})
	verifier, err := verify.New(ctx, c.issuers...)
	if err != nil {
		return nil, err
	}
	if err := b.loadKeys(ctx, c, log); err != nil {
		return nil, err
	}
	namespaces, err := c.codecs(b.ring)
	if err != nil {
		return nil, err
	}
	b.handler, err = codecserver.New(codecserver.Config{
		Namespaces:    namespaces,
		Authenticator: verifier,
		Policy:        c.rules,
		Audit:         b.audit,
		CORS:          codecserver.CORS{AllowedOrigins: c.CORS.Origins, AllowCredentials: c.CORS.AllowCredentials},
		Mode:          c.mode,
		Contact:       c.Contact,
		Limits:        codecserver.Limits{MaxBody: c.Limits.MaxBodyBytes, MaxPayloads: c.Limits.MaxPayloads, MaxOpened: c.Limits.MaxOpenedBytes},
		Logger:        log,
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// defaultMaxFile is the size above which an audit file is rotated.
const defaultMaxFile = 100 << 20

// openAudit logs where the chain stands, so that a log that is kept elsewhere can tell whether its end was removed.
func openAudit(c auditConfig, stdout io.Writer, log *slog.Logger) (*audit.Log, error) {
	if c.Stdout {
		return audit.New(stdout), nil
	}
	o := audit.FileOptions{MaxSize: c.MaxFileBytes, OnRotate: func(file string, last audit.Head) {
		logHead(log, "rotated", file, last)
	}}
	if o.MaxSize == 0 {
		o.MaxSize = defaultMaxFile
	}
	l, err := audit.OpenFile(c.File, o)
	if err != nil {
		return nil, fmt.Errorf("audit.file: %w: its directory must exist and be writable", err)
	}
	logHead(log, "opened", c.File, l.Head())
	return l, nil
}

func logHead(log *slog.Logger, what, file string, head audit.Head) {
	log.Info("audit log", "event", what, "file", file, "seq", head.Seq, "hash", head.Hash)
}

func (b *built) loadKeys(ctx context.Context, c *loaded, log *slog.Logger) error {
	store, err := c.Keys.Open(ctx, log)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	b.closers = append(b.closers, store.Close)
	var names []string
	for _, n := range c.Namespaces {
		names = append(append(names, n.Keyset), n.AcceptKeysets...)
	}
	b.ring, err = keys.NewRing(ctx, store.Store, store.KEK, keys.RingOptions{Keysets: names, RefreshInterval: c.refresh, Logger: log})
	if err != nil {
		return fmt.Errorf("keys: %s: %w", store, err)
	}
	b.closers = append(b.closers, func() { _ = b.ring.Close() }) // always nil
	return nil
}

func (c *loaded) codecs(ring *keys.Ring) ([]codecserver.Namespace, error) {
	var all []codecserver.Namespace
	for i, n := range c.Namespaces {
		codec, err := converter.NewCodec(ring, converter.CodecOptions{Keyset: n.Keyset, AcceptKeysets: n.AcceptKeysets, Scope: n.Scope})
		if err != nil {
			return nil, fmt.Errorf("namespaces[%d]: %w", i, err)
		}
		all = append(all, codecserver.Namespace{Name: n.Name, Scope: n.Scope, Codec: codec})
	}
	return all, nil
}
