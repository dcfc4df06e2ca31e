package keys

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Tenants are keysets that a [Ring] does not load when it starts but each at its first use, because they are many and
// their names are not known beforehand: one for each tenant of an application. The zero value: there are none.
//
// Whoever uses a keyset first waits for it, at most [RingOptions.KeyWait], and all who want it meanwhile share one reading
// of the store. A keyset that does not exist is asked for again after five seconds, one that could not be loaded after
// [RingOptions.MinRefreshGap]; until then the answer is known. While the store hangs only the first of many keysets is
// waited for, so that workflow code which needs several does not run into the deadlock detector. [Ring.Preload] loads
// keysets before they are used.
//
// What is held is refreshed at [RingOptions.RefreshInterval] by few goroutines, and survives an outage like every other
// keyset. But a keyset that the store is sure not to have is dropped at once, with its keys: a tenant that is erased is
// erased here, and nothing more is sealed under keys that no document holds.
type Tenants struct {
	// Under is what the names of tenants' keysets begin with, up to a slash: "tenant/". Nothing else is fetched beside
	// [RingOptions.Keysets], whatever a payload names.
	Under string
	// AlsoUnder are other beginnings, for a process that serves several namespaces with tenants. Only with Under.
	AlsoUnder []string
	// Max is how many are held at the same time; 0 means 10,000. One more drops the one that was not used for longest.
	Max int
	// Idle is how long one is held without being used, give or take an eighth; 0 means one hour. Nothing is dropped while
	// the store is away.
	Idle time.Duration
}

// Defaults and bounds of [Tenants].
const (
	defaultMaxTenants = 10_000
	defaultIdle       = time.Hour

	absence    = 5 * time.Second // until a keyset that does not exist is asked for again
	maxLoading = 1024            // keysets that are loaded at their first use, at the same time
	maxRefused = 1024            // keysets known not to be there
)

func (t Tenants) check() error {
	switch {
	case t.Under == "" && (len(t.AlsoUnder) > 0 || t.Max != 0 || t.Idle != 0):
		return errors.New("key ring: Tenants.Under is empty: say what the names of tenants' keysets begin with, such as \"tenant/\"")
	case t.Under != "" && (!strings.HasSuffix(t.Under, "/") || CheckName(t.Under+"x") != nil):
		return fmt.Errorf("key ring: Tenants.Under is %q: use the beginning of a keyset's name up to a slash, such as \"tenant/\"", t.Under)
	case t.Max < 0 || t.Idle < 0:
		return errors.New("key ring: Tenants has a negative bound: use 0 for the default")
	}
	for _, under := range t.AlsoUnder {
		if !strings.HasSuffix(under, "/") || CheckName(under+"x") != nil {
			return fmt.Errorf("key ring: Tenants.AlsoUnder has %q: use the beginning of a keyset's name up to a slash, such as \"tenant/\"", under)
		}
	}
	return nil
}

// holds reports whether a name is one of tenants' keysets.
func (t Tenants) holds(name string) bool {
	return CheckName(name) == nil && (strings.HasPrefix(name, t.Under) || slices.ContainsFunc(t.AlsoUnder, func(under string) bool { return strings.HasPrefix(name, under) }))
}

func (t Tenants) withDefaults() Tenants {
	setDefault(&t.Idle, defaultIdle)
	if t.Max == 0 {
		t.Max = defaultMaxTenants
	}
	return t
}

// pool holds the keysets of tenants. Finding one takes no lock; everything else is done by few goroutines.
type pool struct {
	store  Fetcher
	kek    Unwrapper
	o      RingOptions
	watch  *watchers
	closed <-chan struct{}

	held    *directory // written under mu
	epoch   atomic.Uint64
	work    chan func(context.Context) // first uses, and unknown key ids
	failing atomic.Int64               // refreshes that failed in a row, whosever

	mu      sync.Mutex // guards what follows; nobody does I/O under it
	count   int        // held
	loading map[string]*load
	refused map[string]refusal
	ended   time.Time // when the latest load did
	said    time.Time // when the latest warning was logged
	marks   []uint64  // the epochs of the latest sweeps, oldest first
}

// tenant is one keyset of a pool.
type tenant struct {
	*member
	used atomic.Uint64 // the pool's epoch at the latest use

	complaining sync.Mutex
	due         time.Time // of the next refresh; the loop's own, as are the failures
	failures    int
}

// load is the first use of a keyset, for all who want it.
type load struct {
	deadline time.Time // nobody waits longer
	done     chan struct{}
	tenant   *tenant // once done: this or err
	err      error
}

// refusal is why a keyset is not asked for until some time.
type refusal struct {
	until time.Time
	err   error
}

func newPool(store Fetcher, kek Unwrapper, o RingOptions, watch *watchers, closed <-chan struct{}) *pool {
	return &pool{
		store: store, kek: kek, o: o, watch: watch, closed: closed,
		held: newDirectory(), work: make(chan func(context.Context), 2*maxLoading),
		loading: make(map[string]*load), refused: make(map[string]refusal),
	}
}

// member returns the keyset of that name, from its first use on.
func (r *Ring) member(keyset string) (*member, error) {
	if m := r.members[keyset]; m != nil {
		return m, nil
	}
	if r.pool == nil {
		return nil, notHeld(keyset)
	}
	if t := r.pool.held.get(keyset); t != nil {
		r.pool.touch(t)
		return t.member, nil
	}
	return r.pool.first(keyset)
}

// touch remembers that t is in use. Epochs pass only when tenants come or are swept, so that almost no use writes.
func (p *pool) touch(t *tenant) {
	if now := p.epoch.Load(); t.used.Load() != now {
		t.used.Store(now)
	}
}

// first waits for a keyset that is not held.
func (p *pool) first(name string) (*member, error) {
	if !p.o.Tenants.holds(name) {
		return nil, notHeld(name)
	}
	l, err := p.join(name)
	if err != nil {
		return nil, err
	}
	wait := time.NewTimer(time.Until(l.deadline))
	defer wait.Stop()
	select {
	case <-l.done:
	case <-wait.C:
	case <-p.closed:
	}
	select {
	case <-l.done:
		if l.err != nil {
			return nil, l.err
		}
		return l.tenant.member, nil
	default:
		return nil, &ringError{fmt.Sprintf("keyset %q is still being loaded: retry", name), ErrUnavailable}
	}
}

// join returns the load of a keyset that is under way, or begins one.
func (p *pool) join(name string) (*load, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.loading[name]; l != nil {
		return l, nil
	}
	l := &load{done: make(chan struct{})}
	if l.tenant = p.held.get(name); l.tenant != nil { // it has just come
		close(l.done)
		return l, nil
	}
	now := time.Now()
	if r, ok := p.refused[name]; ok && now.Before(r.until) {
		return nil, r.err
	}
	l.deadline = now.Add(p.o.KeyWait)
	if p.hangs(now) { // whoever waits, waits once
		l.deadline = now
	}
	if len(p.loading) >= maxLoading || !p.ask(func(ctx context.Context) { p.load(ctx, name, l) }) {
		return nil, &ringError{fmt.Sprintf("keyset %q waits for its turn: %d are being loaded: retry", name, maxLoading), ErrUnavailable}
	}
	p.loading[name] = l
	return l, nil
}

// hangs reports whether a load is overdue and none has ended for as long. Under mu.
func (p *pool) hangs(now time.Time) bool {
	if now.Sub(p.ended) < p.o.KeyWait {
		return false
	}
	for _, l := range p.loading {
		if !now.Before(l.deadline) {
			return true
		}
	}
	return false
}

// ask has a goroutine of the pool do something. It never waits: false means that too much is to be done already.
func (p *pool) ask(do func(context.Context)) bool {
	select {
	case p.work <- do:
		return true
	default:
		return false
	}
}

// load reads a keyset once and ends the waiting for it.
func (p *pool) load(ctx context.Context, name string, l *load) {
	m := newMember(name, p.store, p.kek, p.o, p.watch)
	bounded, cancel := context.WithTimeout(ctx, refreshTimeout)
	err := m.apply(bounded)
	cancel()
	loaded := err == nil || m.status().Keys > 0 // a key that did not open is tried again soon
	if loaded {
		m.note(ctx, err)
		m.watch.tell(m.status())
		p.failing.Store(0)
	}
	p.mu.Lock()
	delete(p.loading, name)
	p.ended = time.Now()
	switch {
	case loaded:
		l.tenant = p.admit(m)
	case ctx.Err() != nil:
		l.err = &ringError{"key ring: closed, it loads no more keysets", ErrUnavailable}
	default:
		p.warn("a tenant's keyset could not be loaded", "keyset", name, "error", err)
		l.err = p.refuse(name, err)
	}
	p.mu.Unlock()
	close(l.done)
}

// admit takes a loaded keyset in, and lets the one go that was not used for longest if there are too many. Under mu.
func (p *pool) admit(m *member) *tenant {
	if t := p.held.get(m.name); t != nil { // somebody else loaded it as well
		return t
	}
	if p.count >= p.o.Tenants.Max {
		p.warn("more tenants are in use than Tenants.Max: their keysets are loaded again and again", "max", p.o.Tenants.Max)
		p.drop(p.oldest())
	}
	t := &tenant{member: m, due: time.Now().Add(rand.N(p.o.RefreshInterval) + 1)} // spread, however they came
	if m.status().Error != "" {                                                   // a key of it did not open
		t.failures = 1
		t.due = time.Now().Add(t.delay(t.failures))
	}
	m.wake = func() { p.ask(func(ctx context.Context) { _ = p.refresh(ctx, t) }) }
	t.used.Store(p.epoch.Add(1))
	p.held.put(t)
	p.count++
	delete(p.refused, m.name)
	return t
}

// drop lets a keyset go, if it is still there. Under mu.
func (p *pool) drop(t *tenant) {
	if p.held.get(t.name) == t {
		p.held.delete(t.name)
		p.count--
	}
}

func (p *pool) oldest() (oldest *tenant) {
	for t := range p.held.all {
		if oldest == nil || t.used.Load() < oldest.used.Load() {
			oldest = t
		}
	}
	return oldest
}

// refuse remembers why a keyset is not there, and returns it as an error. Under mu.
func (p *pool) refuse(name string, cause error) error {
	r := refusal{time.Now().Add(p.o.MinRefreshGap), &ringError{fmt.Sprintf("keyset %q could not be loaded: %v: retry", name, cause), ErrUnavailable}}
	if errors.Is(cause, ErrNotFound) {
		r = refusal{time.Now().Add(absence), &ringError{fmt.Sprintf("there is no keyset %q: create it with \"signet keyset create %[1]s\"", name), errors.Join(ErrUnavailable, ErrNotFound)}}
	}
	if len(p.refused) >= maxRefused {
		for other := range p.refused { // any: they are short-lived
			delete(p.refused, other)
			break
		}
	}
	p.refused[name] = r
	return r.err
}

// warn logs a warning, and at most one in a second: made-up names must not fill the log. Under mu.
func (p *pool) warn(message string, args ...any) {
	if now := time.Now(); now.Sub(p.said) >= time.Second {
		p.said = now
		p.o.Logger.Warn(message, args...)
	}
}
