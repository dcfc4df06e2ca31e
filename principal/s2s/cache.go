package s2s

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	defaultMaxAudiences = 64
	defaultTimeout      = 10 * time.Second

	maxMargin    = 15 * time.Second // before its expiry, a token is no longer served: the call has to arrive and be checked
	firstPause   = time.Second      // after a failed call of the source; doubles up to longestPause
	longestPause = 15 * time.Second
	minDropAge   = 10 * time.Second // a younger token is not dropped: if that is refused, the next one is as well
)

// CacheOptions says how a [Cache] works. The zero value is good.
type CacheOptions struct {
	// MaxAudiences is for how many audiences it keeps tokens; 0 means 64. More are refused, because audiences come from
	// the configuration of a service and not from its requests.
	MaxAudiences int
	// Timeout is of one call of the source, whoever waits for it; 0 means 10 s.
	Timeout time.Duration
	// Logger gets a line when the source fails and when it is well again. Nil discards them.
	Logger *slog.Logger
}

// Cache keeps the tokens of a source, one for each audience. It is safe for concurrent use, needs no closing, and runs
// nothing while nobody asks.
//
// While there is a token, Token takes no lock and makes no call. The first to ask after 80 % of the token's lifetime gets
// it all the same, and the source is asked in the background. If the source fails, the old token is served until 15
// seconds before its expiry (a quarter of its lifetime, where that is less) and the source is asked again after one
// second, two, four, up to fifteen, give or take a half. However many wait for a token, the source is asked once.
type Cache struct {
	source  TokenSource
	o       CacheOptions
	flights singleflight.Group
	adding  sync.Mutex                        // held while entries is replaced
	entries atomic.Pointer[map[string]*entry] // by audience; the map is never changed
}

// entry is one audience.
type entry struct {
	state  atomic.Pointer[state]
	asking atomic.Bool // the source is asked in the background
}

// state is what the cache knows for one audience. It is never changed, only replaced.
type state struct {
	token    Token
	got      time.Time
	until    time.Time // the token is served until then; zero when there is none
	next     time.Time // the source is not asked before
	failures int
	err      error // why the last call of the source failed
}

// NewCache returns a cache in front of source.
func NewCache(source TokenSource, o CacheOptions) (*Cache, error) {
	if source == nil {
		return nil, errors.New("s2s.NewCache: no token source: give one, such as a *vaulttoken.Source")
	}
	if o.MaxAudiences < 0 || o.Timeout < 0 {
		return nil, errors.New("s2s.NewCache: an option is negative: use 0 for the default")
	}
	if o.MaxAudiences == 0 {
		o.MaxAudiences = defaultMaxAudiences
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Cache{source: source, o: o}
	c.entries.Store(&map[string]*entry{})
	return c, nil
}

// Token implements [TokenSource].
func (c *Cache) Token(ctx context.Context, audience string) (Token, error) {
	e, err := c.entry(audience)
	if err != nil {
		return Token{}, err
	}
	seen, now := e.state.Load(), time.Now()
	switch {
	case now.Before(seen.until):
		if !now.Before(seen.next) {
			c.refresh(e, audience)
		}
		return seen.token, nil
	case now.Before(seen.next):
		return Token{}, seen.err
	}
	answer := c.flights.DoChan(audience, func() (any, error) { return c.ask(e, audience) })
	select {
	case got := <-answer:
		if got.Err != nil {
			return Token{}, got.Err
		}
		return got.Val.(Token), nil
	case <-ctx.Done():
		return Token{}, &sourceError{audience, ctx.Err()}
	}
}

// Drop forgets bad, which a service has refused, and reports whether the next call of Token gets another. A token that is
// younger than ten seconds is kept: where that is refused, the next one would be as well, and a service that refuses
// everything is no reason to flood the source.
func (c *Cache) Drop(audience string, bad Token) bool {
	e := (*c.entries.Load())[audience]
	if e == nil {
		return false
	}
	seen := e.state.Load()
	if seen.token.Reveal() != bad.Reveal() {
		return true // replaced already
	}
	return time.Since(seen.got) >= minDropAge && e.state.CompareAndSwap(seen, &state{})
}

func (c *Cache) entry(audience string) (*entry, error) {
	if e := (*c.entries.Load())[audience]; e != nil {
		return e, nil
	}
	c.adding.Lock()
	defer c.adding.Unlock()
	entries := *c.entries.Load()
	if e := entries[audience]; e != nil {
		return e, nil
	}
	if len(entries) >= c.o.MaxAudiences {
		return nil, fmt.Errorf("s2s: no token for %.100q: the cache holds those of %d audiences already: set MaxAudiences if it is to hold more", audience, len(entries))
	}
	more := maps.Clone(entries)
	e := new(entry)
	e.state.Store(&state{})
	more[audience] = e
	c.entries.Store(&more)
	return e, nil
}

// refresh asks the source in the background, unless it is being asked.
func (c *Cache) refresh(e *entry, audience string) {
	if !e.asking.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer e.asking.Store(false)
		_, _, _ = c.flights.Do(audience, func() (any, error) { return c.ask(e, audience) })
	}()
}

// ask asks the source once and publishes what came of it. Nobody's context ends it, because others wait as well.
func (c *Cache) ask(e *entry, audience string) (Token, error) {
	old, asked := e.state.Load(), time.Now()
	if asked.Before(old.until) && asked.Before(old.next) {
		return old.token, nil // another flight has just landed
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.o.Timeout)
	defer cancel()
	token, err := c.source.Token(ctx, audience)
	if err == nil {
		err = usable(token)
	}
	if err != nil {
		err = &sourceError{audience, err}
		failed := &state{token: old.token, got: old.got, until: old.until, failures: old.failures + 1, err: err}
		pause := jitter(min(firstPause<<min(old.failures, 10), longestPause))
		failed.next = time.Now().Add(pause)
		e.state.CompareAndSwap(old, failed) // not when old was dropped meanwhile
		c.o.Logger.Warn("no new service token, trying again", "audience", audience, "error", err, "in", pause.Round(time.Millisecond),
			"serving", time.Now().Before(old.until))
		return Token{}, err
	}
	if old.failures > 0 {
		c.o.Logger.Info("service tokens are to be had again", "audience", audience, "failures", old.failures)
	}
	until, next := plan(token, asked)
	e.state.Store(&state{token: token, got: asked, until: until, next: next})
	return token, nil
}

// plan says until when a token is served that was got at now, and when the source is asked for the next.
func plan(t Token, now time.Time) (until, next time.Time) {
	life := t.Expiry.Sub(now)
	usable := life - min(maxMargin, life/4)
	until = now.Add(usable)
	next = now.Add(min(life*4/5, usable*9/10))
	if !t.Refresh.IsZero() && t.Refresh.Before(next) {
		next = later(t.Refresh, now.Add(firstPause))
	}
	if next.After(until) { // nothing would be served in between, and no error told
		next = until
	}
	return until, next
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func usable(t Token) error {
	switch {
	case t.Reveal() == "":
		return errors.New("the source returned an empty token")
	case t.Expiry.IsZero():
		return errors.New("the source does not say when its token expires")
	case !time.Now().Before(t.Expiry):
		return errors.New("the source returned a token that has expired: compare the clocks")
	}
	return nil
}

func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// sourceError is one line about a token that is not to be had. It is no refusal: a later try may succeed.
type sourceError struct {
	audience string
	cause    error
}

func (e *sourceError) Error() string {
	return fmt.Sprintf("s2s: no service token for %.100q: %s", e.audience, strings.Join(strings.Fields(e.cause.Error()), " "))
}

func (e *sourceError) Unwrap() error { return e.cause }
