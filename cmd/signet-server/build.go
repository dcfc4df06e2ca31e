package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/codecserver/audit/forward"
	"github.com/signet-temporal/signet/codecserver/login"
	"github.com/signet-temporal/signet/codecserver/selftest"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/legacykeys"
	"github.com/signet-temporal/signet/principal/verify"
)

// built is everything the server runs on, wired. It is not changed once it is built: a reload builds another one.
type built struct {
	config    *loaded
	handler   http.Handler
	audit     *audit.Log
	verifier  *verify.Verifier
	keys      *heldKeys
	login     *login.Login // nil: nobody logs in
	metrics   *metrics
	traces    *traces
	forwarder *forward.Forwarder // nil: nothing is sent on
}

// heldKeys is a ring, and the store behind it.
type heldKeys struct {
	*keys.Ring
	store interface{ Close() }
}

// close stops refreshing. Requests under way can still use the keys.
func (k *heldKeys) close() {
	_ = k.Close() // always nil
	k.store.Close()
}

// build opens the audit log, reaches the issuers and loads the keys. What it cannot do stops the start, with one line
// that says what to do; on an error everything is closed again.
func build(ctx context.Context, c *loaded, stdout io.Writer, log *slog.Logger) (*built, error) {
	l, err := openAudit(c.Audit, stdout, log)
	if err != nil {
		return nil, err
	}
	f, err := openForwarder(c.Audit, log)
	var t *traces
	if err == nil {
		t, err = openTraces(ctx, c.Traces, log)
	}
	if err == nil {
		var b *built
		if b, err = (&built{config: &loaded{}, audit: l, forwarder: f, metrics: newMetrics(), traces: t}).rebuild(ctx, c, log); err == nil {
			return b, nil
		}
	}
	_ = l.Close() // nothing was written
	return nil, err
}

// rebuild wires what c says, and takes along of b what c has not changed: keys and issuers where they can be, audit log,
// metrics and traces always. On an error b is as it was.
func (b *built) rebuild(ctx context.Context, c *loaded, log *slog.Logger) (_ *built, err error) {
	next := &built{config: c, audit: b.audit, forwarder: b.forwarder, verifier: b.verifier, keys: b.keys, metrics: b.metrics, traces: b.traces}
	if next.verifier == nil || !sameIssuers(c.issuers, b.config.issuers) {
		if next.verifier, err = newVerifier(ctx, c.issuers); err != nil {
			return nil, err
		}
	}
	if next.keys == nil || !reflect.DeepEqual(c.Keys, b.config.Keys) || !slices.Equal(c.keysets(), b.config.keysets()) || !slices.Equal(c.tenants(), b.config.tenants()) || c.refresh != b.config.refresh {
		if next.keys, err = loadKeys(ctx, c, log); err != nil {
			return nil, err
		}
	}
	if next.login, err = next.newLogin(ctx, b, log); err == nil {
		next.handler, err = next.wire(log)
	}
	if err != nil {
		if next.keys != b.keys {
			next.keys.close()
		}
		return nil, err
	}
	c.warnOfTokens(log, time.Now())
	return next, nil
}

// newVerifier knows no issuer, and refuses every token of one, where there are none: where machines alone are served.
func newVerifier(ctx context.Context, issuers []verify.Issuer) (*verify.Verifier, error) {
	if len(issuers) == 0 {
		return &verify.Verifier{}, nil
	}
	return verify.New(ctx, issuers...)
}

func sameIssuers(a, b []verify.Issuer) bool {
	return slices.EqualFunc(a, b, func(x, y verify.Issuer) bool {
		same := x.RootCAs.Equal(y.RootCAs)
		x.RootCAs, y.RootCAs = nil, nil
		return same && reflect.DeepEqual(x, y)
	})
}

func (b *built) wire(log *slog.Logger) (http.Handler, error) {
	c, err := b.handlerConfig(log)
	if err != nil {
		return nil, err
	}
	codec, err := codecserver.New(c)
	if err != nil {
		return nil, err
	}
	scopes := map[string]string{}
	for _, n := range b.config.Namespaces {
		scopes[n.Name] = n.Scope
	}
	return site{codec, b.login, selftest.New(codec, selftest.Options{LoginPage: c.Login, Scopes: scopes})}, nil
}

func (b *built) handlerConfig(log *slog.Logger) (codecserver.Config, error) {
	c := b.config
	namespaces, err := c.codecs(b.keys.Ring)
	if err != nil {
		return codecserver.Config{}, err
	}
	search, err := c.searches(b.keys.Ring)
	if err != nil {
		return codecserver.Config{}, err
	}
	page := ""
	if b.login != nil {
		page = b.login.Page()
	}
	return codecserver.Config{
		Namespaces:    namespaces,
		Authenticator: b.traces.authenticator(callers{members{b.verifier, c.cloud}, b.login, c.machines}),
		Policy:        c.rules,
		Audit:         b.traces.audit(b.metrics.audit(b.audit, c.Namespaces)),
		CORS:          codecserver.CORS{AllowedOrigins: c.CORS.Origins, AllowCredentials: c.CORS.AllowCredentials},
		Mode:          c.mode,
		Contact:       c.Contact,
		Login:         page,
		Limits:        c.Limits.limits(),
		Search:        search,
		Storage:       c.storage,
		Logger:        log,
	}, nil
}

func (l limitsConfig) limits() codecserver.Limits {
	all := codecserver.Limits{
		MaxBody: l.MaxBodyBytes, MaxPayloads: l.MaxPayloads, MaxOpened: l.MaxOpenedBytes,
		MaxConcurrent: l.MaxConcurrent, PayloadBurst: l.PayloadBurst, PayloadsPerSecond: l.PayloadsPerSecond,
	}
	l.addTo(&all)
	return all
}

func (b *built) close(log *slog.Logger) {
	b.keys.close()
	b.traces.flush(log)
	_ = b.audit.Close() // every record is fsynced already
	if b.config.Audit.File != "" {
		logHead(log, "closed", b.config.Audit.File, b.audit.Head())
	}
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

// keysets to hold.
func (c *loaded) keysets() []string {
	names := c.payloadKeysets()
	if c.login != nil {
		names = append(names, c.login.Keyset)
	}
	return names
}

func (c *loaded) payloadKeysets() []string {
	var names []string
	for _, n := range c.Namespaces {
		names = append(append(names, n.Keyset), n.AcceptKeysets...)
		if n.Search.Keyset != "" {
			names = append(names, n.Search.Keyset)
		}
	}
	return names
}

// tenants are the beginnings of tenants' keysets, each once.
func (c *loaded) tenants() []string {
	var all []string
	for _, n := range c.Namespaces {
		for _, under := range []string{n.Tenants.Under, n.searchesUnder()} {
			if under != "" && !slices.Contains(all, under) {
				all = append(all, under)
			}
		}
	}
	return all
}

func loadKeys(ctx context.Context, c *loaded, log *slog.Logger) (*heldKeys, error) {
	store, err := c.Keys.Open(ctx, log)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	o := keys.RingOptions{Keysets: c.keysets(), RefreshInterval: c.refresh, Logger: log}
	if under := c.tenants(); len(under) > 0 {
		o.Tenants = keys.Tenants{Under: under[0], AlsoUnder: under[1:]}
	}
	ring, err := keys.NewRing(ctx, store.Store, store.KEK, o)
	if err != nil {
		store.Close()
		return nil, fmt.Errorf("keys: %s: %w", store, err)
	}
	return &heldKeys{ring, store}, nil
}

func (c *loaded) codecs(ring *keys.Ring) ([]codecserver.Namespace, error) {
	var all []codecserver.Namespace
	for i, n := range c.Namespaces {
		o := converter.CodecOptions{Keyset: n.Keyset, AcceptKeysets: n.AcceptKeysets, Scope: n.Scope}
		if n.Tenants.Under != "" {
			o.Tenants = converter.Tenants{Under: n.Tenants.Under, OpenOnly: true}
		}
		ns := codecserver.Namespace{Name: n.Name, Scope: n.Scope, TenantsUnder: n.Tenants.Under}
		if n.LegacyKeys {
			legacy, err := legacykeys.New(ring, append([]string{n.Keyset}, n.AcceptKeysets...)...)
			if err != nil {
				return nil, fmt.Errorf("namespaces[%d].legacyKeys: %w", i, err)
			}
			o.Legacy, ns.Legacy = []converter.Legacy{legacy}, legacy
		}
		codec, err := converter.NewCodec(ring, o)
		if err != nil {
			return nil, fmt.Errorf("namespaces[%d]: %w", i, err)
		}
		ns.Codec = codec
		all = append(all, ns)
	}
	return all, nil
}
