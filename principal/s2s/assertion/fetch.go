package assertion

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/jwt"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/signet-temporal/signet/internal/loopback"
)

const (
	keysLife     = 10 * time.Minute // how old keys get before they are fetched again
	keysGrace    = time.Hour        // how old they get where that fails
	fetchGap     = 30 * time.Second // between two fetches, whatever asks for them
	fetchTimeout = 10 * time.Second
	maxKeys      = 64 << 10 // bytes of a JWK set
)

// Fetch returns the keys that a service publishes with [Handler] at an https URL (http for loopback alone), fetched when
// they are needed and again every ten minutes. rootCAs may certify the server; nil: those of the system. While they
// cannot be fetched, those of before are used, for an hour.
func Fetch(at string, rootCAs *x509.CertPool) (Keys, error) {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname())) {
		return nil, errors.New("assertion.Fetch: it needs an https URL, where the forwarding service serves assertion.Handler")
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: rootCAs}
	return &published{at: at, turn: make(chan struct{}, 1), client: &http.Client{
		Transport: base, Timeout: fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// published are the keys at a URL.
type published struct {
	at     string
	client *http.Client
	turn   chan struct{} // held while they are fetched: a mutex that a context can give up on

	mu    sync.Mutex
	held  *keyset.Handle
	got   time.Time // when held was fetched
	tried time.Time // the last time that somebody tried
	err   error     // what came of that
}

// Public implements [Keys].
func (p *published) Public(ctx context.Context, more bool) (*keyset.Handle, error) {
	held, final, err := p.now(more)
	if final {
		return held, err
	}
	if held != nil && !more {
		select {
		case p.turn <- struct{}{}:
		default:
			return held, nil // somebody else fetches them
		}
	} else {
		select {
		case p.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the forwarding service's keys: %w", ctx.Err())
		}
	}
	defer func() { <-p.turn }()
	if held, final, err := p.now(more); final {
		return held, err // somebody else has just fetched them
	}
	// Not with the request's context: a caller that goes away would stop the fetch for everybody.
	fresh, err := p.fetch(context.WithoutCancel(ctx))
	return p.keep(fresh, err)
}

// keep takes down what came of a fetch and returns the keys to use.
func (p *published) keep(fresh *keyset.Handle, err error) (*keyset.Handle, error) {
	p.mu.Lock()
	p.tried, p.err = time.Now(), err
	if err == nil {
		p.held, p.got = fresh, p.tried
	}
	p.mu.Unlock()
	held, _, err := p.now(false)
	return held, err
}

// now returns the keys that are good, if there are any; not final when it is time to fetch.
func (p *published) now(more bool) (held *keyset.Handle, final bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	age := time.Since(p.got)
	final = time.Since(p.tried) < fetchGap || !more && p.held != nil && age < keysLife
	if p.held == nil || age >= keysGrace {
		return nil, final, p.err
	}
	return p.held, final, nil
}

func (p *published) fetch(ctx context.Context) (*keyset.Handle, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.at, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetching the forwarding service's keys: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetching the forwarding service's keys: %s answers %d", p.at, resp.StatusCode)
	}
	set, err := io.ReadAll(io.LimitReader(resp.Body, maxKeys))
	if err != nil {
		return nil, fmt.Errorf("fetching the forwarding service's keys: %w", err)
	}
	held, err := jwt.JWKSetToPublicKeysetHandle(set)
	if err != nil {
		return nil, fmt.Errorf("fetching the forwarding service's keys: %s does not answer with a JWK set: %w", p.at, err)
	}
	if _, err := jwt.NewVerifier(held); err != nil {
		return nil, fmt.Errorf("fetching the forwarding service's keys: those of %s do not verify: %w", p.at, err)
	}
	return held, nil
}
