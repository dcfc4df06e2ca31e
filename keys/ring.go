package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"
	"golang.org/x/sync/errgroup"
)

// Errors of [Ring.Primary] and [Ring.Lookup]. The text of what they return names keyset and key and says what to do.
var (
	// ErrUnavailable: the key cannot be used now but may be later: its id is not known here yet, it is disabled, the
	// keyset has no primary key, or this process does not hold the keyset. Retry.
	ErrUnavailable = errors.New("key unavailable")
	// ErrDestroyed: the key is gone for good and nothing that it sealed will open again. It has a method
	// Permanent() bool that returns true, for packages that classify errors and do not import this one.
	ErrDestroyed error = destroyedError{}
)

type destroyedError struct{}

func (destroyedError) Error() string   { return "key destroyed" }
func (destroyedError) Permanent() bool { return true }

// ringError is one line for a person, and a class for errors.Is and errors.As.
type ringError struct {
	text  string
	class error
}

func (e *ringError) Error() string { return e.text }
func (e *ringError) Unwrap() error { return e.class }

// Fetcher is what a Ring needs of a [Store].
type Fetcher interface {
	Fetch(ctx context.Context, name string) (*Keyset, Version, error)
}

// DefaultRefreshInterval is how often a [Ring] reads its keysets when [RingOptions] do not say.
const DefaultRefreshInterval = time.Minute

// Defaults and bounds of [RingOptions].
const (
	defaultKeyWait       = 250 * time.Millisecond
	maxKeyWait           = 500 * time.Millisecond // Temporal's deadlock detector fires after one second
	defaultMinRefreshGap = time.Second

	startTimeout   = 30 * time.Second // of NewRing under a context without a deadline
	refreshTimeout = 10 * time.Second // of one refresh of one keyset
	firstRetry     = time.Second      // after a failed refresh; doubles up to the refresh interval

	longestStartRetry = 5 * time.Second // between two attempts of NewRing
	parallelLoads     = 8               // keysets loaded at the same time by NewRing and Refresh
)

// RingOptions says what a [Ring] holds and how it keeps it fresh.
type RingOptions struct {
	// Keysets are the names of all keysets this process seals or opens with; at least one, unless there are Tenants. No
	// other is ever fetched, whatever a payload names.
	Keysets []string
	// Tenants are keysets beside those, each held from its first use on.
	Tenants Tenants
	// RefreshInterval is how often each keyset is read again, give or take 10 %; 0 means one minute. Keep it well
	// below the keysets' propagation delay, which is what a rotation waits for.
	RefreshInterval time.Duration
	// KeyWait is how long Lookup waits for a refresh when it meets an unknown key id; 0 means 250 ms, at most 500 ms.
	// It runs on workflow goroutines, which Temporal's deadlock detector gives one second.
	KeyWait time.Duration
	// MinRefreshGap is the least time between two refreshes of one keyset that unknown key ids ask for, so that
	// made-up ids cannot turn into load on the store; 0 means one second.
	MinRefreshGap time.Duration
	// Logger gets one line for each change of a keyset, each failed refresh, and all trouble with keys that somebody may
	// have to act on: the table is in docs/operations.md. Nil discards them.
	Logger *slog.Logger
}

func (o RingOptions) withDefaults() (RingOptions, error) {
	if err := o.Tenants.check(); err != nil {
		return o, err
	}
	if len(o.Keysets) == 0 && o.Tenants.Under == "" {
		return o, errors.New("key ring: no keyset is named: name at least one, such as ns/payments")
	}
	for _, name := range o.Keysets {
		if err := CheckName(name); err != nil {
			return o, fmt.Errorf("key ring: %w", err)
		}
	}
	if o.RefreshInterval < 0 || o.KeyWait < 0 || o.MinRefreshGap < 0 {
		return o, errors.New("key ring: a negative duration: use 0 for the default")
	}
	if o.KeyWait > maxKeyWait {
		return o, fmt.Errorf("key ring: a key wait of %s is too long for workflow code: use at most %s", o.KeyWait, maxKeyWait)
	}
	setDefault(&o.RefreshInterval, DefaultRefreshInterval)
	setDefault(&o.KeyWait, defaultKeyWait)
	setDefault(&o.MinRefreshGap, defaultMinRefreshGap)
	o.Tenants = o.Tenants.withDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// Ring holds the unwrapped keys of some keysets in memory. Its methods are safe for concurrent use.
//
// Primary and Lookup read an atomic snapshot: they take no lock, make no call and allocate nothing while the key is
// there. Behind them one goroutine per keyset ([Tenants] share a few) reads the document again, unwraps the keys that are new or wrapped anew,
// and swaps the snapshot. Whatever fails there (the store or the key-encryption key is away, the document is malformed
// or was deleted) leaves the last good keys in use and is tried again, sooner than usual at first. What a document
// forbids holds at the next refresh: a disabled or destroyed key no longer opens, even when another key of the same
// document cannot be unwrapped.
type Ring struct {
	members map[string]*member // by name; never changed after NewRing
	order   []*member
	pool    *pool // of tenants' keysets; nil if there are none
	watch   *watchers
	closed  <-chan struct{}
	close   context.CancelFunc
	loops   sync.WaitGroup
}

// NewRing loads every keyset that o names and returns when each key that may open is unwrapped. A missing keyset is an
// error at once, matching [ErrNotFound], and so is a misconfigured store; any other failure is retried until ctx is done, or for 30 seconds if ctx has
// no deadline, and then returned. ctx bounds only the loading; [Ring.Close] ends the ring.
func NewRing(ctx context.Context, store Fetcher, kek Unwrapper, o RingOptions) (*Ring, error) {
	if store == nil || kek == nil {
		return nil, errors.New("key ring: it needs a key store and a key-encryption key")
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	r := &Ring{members: make(map[string]*member), watch: new(watchers), closed: life.Done(), close: end}
	for _, name := range o.Keysets {
		if r.members[name] == nil {
			m := newMember(name, store, kek, o, r.watch)
			r.members[name] = m
			r.order = append(r.order, m)
		}
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, startTimeout)
		defer cancel()
	}
	loading, ctx := errgroup.WithContext(ctx)
	loading.SetLimit(parallelLoads)
	for _, m := range r.order {
		loading.Go(func() error { return m.load(ctx) })
	}
	if err := loading.Wait(); err != nil {
		end()
		return nil, err
	}
	for _, m := range r.order {
		r.loops.Go(func() { m.run(life) })
	}
	if o.Tenants.Under != "" {
		r.pool = newPool(store, kek, o, r.watch, r.closed)
		r.pool.start(life, &r.loops)
	}
	return r, nil
}

// Primary returns the key that seals in the keyset, and its id. The error matches [ErrUnavailable].
func (r *Ring) Primary(keyset string) (id uint32, aead tink.AEAD, err error) {
	m, err := r.member(keyset)
	if err != nil {
		return 0, nil, err
	}
	now := m.now.Load()
	if now.sealer == nil {
		return 0, nil, m.noPrimary(now)
	}
	return uint32(now.primary), now.sealer, nil
}

// Lookup returns the key with that id if it may open payloads. For an id that the keyset does not have here, it asks
// for a refresh and waits for at most [RingOptions.KeyWait]; all who ask at the same time share one refresh, and those
// who ask within [RingOptions.MinRefreshGap] of the last one are answered at once. The error matches [ErrUnavailable]
// or [ErrDestroyed].
func (r *Ring) Lookup(keyset string, id uint32) (tink.AEAD, error) {
	m, err := r.member(keyset)
	if err != nil {
		return nil, err
	}
	now := m.now.Load()
	if k := now.keys[ID(id)]; k != nil && k.aead != nil && !k.legacy {
		return k.aead, nil
	}
	if now.searches {
		return nil, m.sealsNothing()
	}
	return m.find(ID(id), r.closed)
}

// Refresh reads every keyset again now, whatever the rate limit says, and returns when that is done. The error joins
// those of all keysets that failed; they keep their last good keys. On a closed ring it is an error.
func (r *Ring) Refresh(ctx context.Context) error {
	select {
	case <-r.closed:
		return errors.New("key ring: closed, it refreshes no more")
	default:
	}
	refresh := make([]func(context.Context) error, 0, len(r.order))
	for _, m := range r.order {
		refresh = append(refresh, m.refresh)
	}
	return together(ctx, append(refresh, r.pool.refreshes()...))
}

// together calls all, some at the same time, and joins their errors: one must not hide the others.
func together(ctx context.Context, all []func(context.Context) error) error {
	errs := make([]error, len(all))
	var group errgroup.Group
	group.SetLimit(parallelLoads)
	for i, do := range all {
		group.Go(func() error {
			errs[i] = do(ctx)
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(errs...)
}

// Close stops refreshing and waits until that has stopped. The keys stay usable in memory. It may be called again and
// always returns nil.
func (r *Ring) Close() error {
	r.close()
	r.loops.Wait()
	return nil
}

// snapshot is one state of a keyset, unwrapped. It is never changed once stored.
type snapshot struct {
	version  Version
	complete bool // every key that may open is unwrapped
	primary  ID
	since    time.Time     // when primary was promoted
	delay    time.Duration // the keyset's propagation delay
	sealer   tink.AEAD     // of the primary key; nil while there is none to seal with
	searches bool          // the keys make search tokens: there is no sealer, and no key has an aead
	tokens   *prf.Set      // of all keys that open, if they do; nil while there is no primary key
	keys     map[ID]*held
	legacy   []LegacyKey // those of keys that open what other codecs sealed

	shredAfter, shredded time.Time // of the keyset; with one of them no key has an aead
}

// held is one key. aead and prf are nil when the key must not open, or could not be unwrapped yet; one of them is otherwise.
type held struct {
	state       State
	promoted    time.Time
	destroyed   time.Time
	compromised bool
	legacy      bool // opens what another codec sealed, and nothing else
	wrapped     []byte
	aead        tink.AEAD
	prf         prf.PRF
}

func (k *held) opens() bool { return k != nil && (k.aead != nil || k.prf != nil) }

// member is one keyset of a ring.
type member struct {
	name  string
	store Fetcher
	kek   Unwrapper
	o     RingOptions

	now  atomic.Pointer[snapshot]
	busy chan struct{} // holds one token: one refresh at a time
	asks chan *round   // from Lookup to the loop; at most one is under way
	wake func()        // tells the pool that somebody asks; nil for a keyset that has a loop of its own

	watch     *watchers
	troubles  chan ID // from Lookup to the loop, which logs them
	complains complaints
	waits     atomic.Uint64

	mu      sync.Mutex // guards what follows
	asked   time.Time  // when the latest round began
	round   *round     // under way, or nil
	fresh   time.Time
	outage  outage
	failure string
}

// round is one refresh that an unknown key id asked for.
type round struct {
	deadline time.Time // nobody waits longer
	done     chan struct{}
}

func newMember(name string, store Fetcher, kek Unwrapper, o RingOptions, watch *watchers) *member {
	m := &member{
		name: name, store: store, kek: kek, o: o, watch: watch,
		busy: make(chan struct{}, 1), asks: make(chan *round, 1), troubles: make(chan ID, 16),
	}
	m.now.Store(&snapshot{})
	return m
}
