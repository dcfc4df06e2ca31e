package keys_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/rotate"
)

// slowStore takes a while for every answer, and can lose keysets.
type slowStore struct {
	*keystest.Store

	mu         sync.Mutex
	takes      time.Duration
	lost       map[string]bool
	busy, most int // calls for tenants under way, now and at most
}

func (s *slowStore) slow(takes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes, s.most = takes, 0
}

func (s *slowStore) atOnce() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// enter counts n calls more, and returns how long one takes.
func (s *slowStore) enter(n int) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy += n
	s.most = max(s.most, s.busy)
	return s.takes
}

func (s *slowStore) lose(name string, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == nil {
		s.lost = map[string]bool{}
	}
	s.lost[name] = yes
}

func (s *slowStore) Fetch(ctx context.Context, name string) (*keys.Keyset, keys.Version, error) {
	n := 0
	if strings.HasPrefix(name, "tenant/") {
		n = 1
	}
	time.Sleep(s.enter(n))
	s.enter(-n)
	s.mu.Lock()
	lost := s.lost[name]
	s.mu.Unlock()
	if lost {
		return nil, "", fmt.Errorf("keyset %q: %w", name, keys.ErrNotFound)
	}
	return s.Store.Fetch(ctx, name)
}

// tenancy is a store with keysets of tenants and a ring over it, inside a synctest bubble.
type tenancy struct {
	*testing.T
	store *slowStore
	kek   *keystest.KEK
	ring  *keys.Ring
	log   *logged
}

func tenantName(n int) string { return fmt.Sprintf("tenant/t%d", n) }

// withTenants runs test on fake time with a ring that holds name, and may hold the n keysets of tenants that exist.
func withTenants(t *testing.T, n int, o keys.RingOptions, test func(f *tenancy)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &tenancy{T: t, store: &slowStore{Store: new(keystest.Store)}, kek: keystest.NewKEK(t), log: new(logged)}
		keystest.NewKeyset(t, f.store, f.kek, name, keys.XAES256GCM)
		for i := range n {
			keystest.NewKeyset(t, f.store, f.kek, tenantName(i), keys.XAES256GCM)
		}
		o.Keysets, o.Tenants.Under, o.Logger = []string{name}, "tenant/", slog.New(slog.NewTextHandler(f.log, nil))
		var err error
		if f.ring, err = keys.NewRing(t.Context(), f.store, f.kek, o); err != nil {
			t.Fatal(err)
		}
		defer f.ring.Close()
		test(f)
	})
}

// use seals and opens with one tenant's keyset and returns the error of that.
func (f *tenancy) use(name string) error {
	id, aead, err := f.ring.Primary(name)
	if err != nil {
		if aead != nil || id != 0 {
			f.Errorf("a key came beside %v", err)
		}
		return err
	}
	sealed, err := aead.Encrypt([]byte("x"), []byte(name))
	if err != nil {
		return err
	}
	opener, err := f.ring.Lookup(name, id)
	if err != nil {
		return err
	}
	_, err = opener.Decrypt(sealed, []byte(name))
	return err
}

func (f *tenancy) wantUse(names ...string) {
	f.Helper()
	for _, name := range names {
		if err := f.use(name); err != nil {
			f.Fatalf("using %s: %v", name, err)
		}
	}
}

func (f *tenancy) wantUnavailable(name string, texts ...string) error {
	f.Helper()
	err := f.use(name)
	checkError(f.T, nil, err, keys.ErrUnavailable, texts...)
	return err
}

// fetches returns how often the store was read since the last call.
func (f *tenancy) fetches(last *int) int {
	now := f.store.Calls().Fetch
	n := now - *last
	*last = now
	return n
}

// held returns the names of the tenants' keysets that are held.
func (f *tenancy) held() (names []string) {
	for _, s := range f.ring.Status()[1:] {
		names = append(names, s.Name)
	}
	return names
}

func TestAColdBurstOnOneTenantReadsTheStoreOnce(t *testing.T) {
	withTenants(t, 2, keys.RingOptions{}, func(f *tenancy) {
		f.store.slow(20 * time.Millisecond)
		var calls int
		f.fetches(&calls)
		unwraps, begun := f.kek.Unwraps(), time.Now()
		var burst sync.WaitGroup
		for range 64 {
			burst.Go(func() {
				if err := f.use(tenantName(1)); err != nil {
					f.Error(err)
				}
			})
		}
		burst.Wait()
		if got := f.fetches(&calls); got != 1 {
			f.Errorf("64 goroutines read the store %d times, want once", got)
		}
		if got := f.kek.Unwraps() - unwraps; got != 1 {
			f.Errorf("64 goroutines had %d keys unwrapped, want 1", got)
		}
		if took := time.Since(begun); took != 20*time.Millisecond {
			f.Errorf("they waited %s, want what the store takes", took)
		}
		if got := fmt.Sprint(f.held()); got != "[tenant/t1]" {
			f.Errorf("held are %s", got)
		}
	})
}

func TestOnlyNamesUnderTheTenantsAreFetched(t *testing.T) {
	withTenants(t, 1, keys.RingOptions{}, func(f *tenancy) {
		keystest.NewKeyset(f, f.store, f.kek, "ns/secret", keys.XAES256GCM)
		var calls int
		f.fetches(&calls)
		for _, name := range []string{"ns/secret", "tenant", "tenant/", "tenant/../ns/secret", "tenants/x", "tenant//x", "tenant/x y", "tenant/" + strings.Repeat("x", 200)} {
			f.wantUnavailable(name, "not held")
			if err := f.ring.Preload(f.Context(), name); err == nil {
				f.Errorf("Preload(%q): no error", name)
			}
		}
		if got := f.fetches(&calls); got != 0 {
			f.Errorf("the store was read %d times", got)
		}
	})
}

func TestTenantsMayHaveSeveralBeginnings(t *testing.T) {
	withTenants(t, 1, keys.RingOptions{Tenants: keys.Tenants{AlsoUnder: []string{"ns/a/tenants/"}}}, func(f *tenancy) {
		for _, other := range []string{"ns/a/tenants/acme", "ns/b/tenants/acme"} {
			keystest.NewKeyset(f, f.store, f.kek, other, keys.XAES256GCM)
		}
		f.wantUse(tenantName(0), "ns/a/tenants/acme")
		f.wantUnavailable("ns/b/tenants/acme", "not held")
		if err := f.ring.Preload(f.Context(), "ns/a/tenants/acme"); err != nil {
			f.Error(err)
		}
	})
}

func TestAKeysetThatDoesNotExistIsKnownNotToForAMoment(t *testing.T) {
	withTenants(t, 0, keys.RingOptions{}, func(f *tenancy) {
		var calls int
		f.fetches(&calls)
		for range 100 {
			err := f.wantUnavailable("tenant/new", `create it with "signet keyset create tenant/new"`)
			if !errors.Is(err, keys.ErrNotFound) {
				f.Errorf("%v does not match ErrNotFound", err)
			}
			time.Sleep(49 * time.Millisecond)
		}
		if got := f.fetches(&calls); got != 1 {
			f.Errorf("100 uses in five seconds read the store %d times, want once", got)
		}
		keystest.NewKeyset(f, f.store, f.kek, "tenant/new", keys.XAES256GCM)
		time.Sleep(101 * time.Millisecond)
		f.wantUse("tenant/new")
		if got := strings.Count(f.log.String(), "could not be loaded"); got != 1 {
			f.Errorf("%d complaints are in the log: %s", got, f.log)
		}
	})
}

func TestWhileTheStoreHangsManyTenantsWaitOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, kek := new(keystest.Store), keystest.NewKEK(t)
		for n := range 20 {
			keystest.NewKeyset(t, store, kek, tenantName(n), keys.XAES256GCM)
		}
		slow := &hanging{Store: store}
		ring, err := keys.NewRing(t.Context(), slow, kek, keys.RingOptions{Tenants: keys.Tenants{Under: "tenant/"}})
		if err != nil {
			t.Fatal(err)
		}
		defer ring.Close()
		if _, _, err := ring.Primary(tenantName(0)); err != nil {
			t.Fatal(err)
		}
		slow.hang(true)
		begun := time.Now()
		for n := range 20 {
			_, _, err := ring.Primary(tenantName(n))
			if n > 0 {
				checkError(t, nil, err, keys.ErrUnavailable, tenantName(n), "still being loaded")
			} else if err != nil {
				t.Errorf("what is held needs no store: %v", err)
			}
		}
		if took := time.Since(begun); took != 250*time.Millisecond {
			t.Errorf("19 tenants in a row cost %s, want 250ms: workflow code has one second", took)
		}
		slow.hang(false)
		time.Sleep(30 * time.Second) // eight loads at a time give up after 10 s each
		for n := range 20 {
			if _, _, err := ring.Primary(tenantName(n)); err != nil {
				t.Errorf("after the store is back: %v", err)
			}
		}
	})
}

func TestAnOutageKeepsWhatIsHeldAndAnswersTheRestAtOnce(t *testing.T) {
	const n = 500
	withTenants(t, n, keys.RingOptions{Tenants: keys.Tenants{Idle: 30 * time.Minute}}, func(f *tenancy) {
		for i := range n - 1 {
			f.wantUse(tenantName(i))
		}
		f.store.SetError(errors.New("vault is sealed"))
		var calls int
		f.fetches(&calls)
		begun := time.Now()
		f.wantUnavailable(tenantName(n-1), "vault is sealed", "retry")
		f.wantUnavailable(tenantName(n-1), "vault is sealed")
		if took := time.Since(begun); took != 0 || f.fetches(&calls) != 1 {
			f.Errorf("a keyset that is not held cost %s and %d calls, want one call", took, calls)
		}
		time.Sleep(2 * time.Hour) // unused, far beyond Idle
		if got := f.fetches(&calls); got > 400 {
			f.Errorf("in two hours the store was asked %d times for %d tenants, want a try in a minute or so", got, n)
		}
		for i := range n - 1 {
			f.wantUse(tenantName(i))
		}
		if log := f.log.String(); strings.Count(log, "tenants' keysets cannot be refreshed") != 1 {
			f.Errorf("the log does not say once that there is an outage: %s", log)
		}
		f.store.SetError(nil)
		time.Sleep(2 * time.Minute)
		f.wantUse(tenantName(n - 1))
		for _, s := range f.ring.Status() {
			if s.Error != "" || time.Since(s.Fresh) > 2*time.Minute {
				f.Errorf("two minutes after the outage: %+v", s)
			}
		}
		if !strings.Contains(f.log.String(), "refreshed again") {
			f.Error("the log does not say that the outage is over")
		}
	})
}

func TestTheLeastRecentlyUsedTenantGoesFirst(t *testing.T) {
	withTenants(t, 5, keys.RingOptions{Tenants: keys.Tenants{Max: 3}}, func(f *tenancy) {
		f.wantUse(tenantName(0), tenantName(1), tenantName(2))
		f.wantUse(tenantName(0), tenantName(3)) // 1 was not used for longest
		if got := fmt.Sprint(f.held()); got != "[tenant/t0 tenant/t2 tenant/t3]" {
			f.Errorf("held are %s", got)
		}
		f.wantUse(tenantName(2), tenantName(4))
		if got := fmt.Sprint(f.held()); got != "[tenant/t2 tenant/t3 tenant/t4]" {
			f.Errorf("held are %s", got)
		}
		f.wantUse(tenantName(0), tenantName(1), name)
		if !strings.Contains(f.log.String(), "more tenants are in use than Tenants.Max") {
			f.Errorf("the log does not say that Max is too small: %s", f.log)
		}
	})
}

func TestATenantThatIsNotUsedIsLetGo(t *testing.T) {
	withTenants(t, 2, keys.RingOptions{Tenants: keys.Tenants{Idle: time.Hour}}, func(f *tenancy) {
		f.wantUse(tenantName(0), tenantName(1))
		for range 5 {
			time.Sleep(59 * time.Minute)
			f.wantUse(tenantName(1))
		}
		if got := fmt.Sprint(f.held()); got != "[tenant/t1]" {
			f.Errorf("held are %s, want the one in use", got)
		}
		time.Sleep(59 * time.Minute)
		if len(f.held()) != 1 {
			f.Error("dropped before its time")
		}
		time.Sleep(10 * time.Minute)
		if got := f.held(); len(got) != 0 {
			f.Errorf("held are %s after 69 minutes without use", got)
		}
		f.wantUse(tenantName(0), tenantName(1))
	})
}

func TestTenantsAreRefreshedEvenlyByFewGoroutines(t *testing.T) {
	const n = 1000
	withTenants(t, n, keys.RingOptions{}, func(f *tenancy) {
		before := runtime.NumGoroutine()
		var names []string
		for i := range n {
			names = append(names, tenantName(i))
		}
		if err := f.ring.Preload(f.Context(), names...); err != nil {
			f.Fatal(err)
		}
		if more := runtime.NumGoroutine() - before; more > 10 {
			f.Errorf("%d tenants brought %d goroutines", n, more)
		}
		var calls int
		f.fetches(&calls)
		for second := range 120 {
			time.Sleep(time.Second)
			if got := f.fetches(&calls); got > n/10 {
				f.Errorf("second %d: %d reads at once for %d tenants", second, got, n)
			}
		}
		f.store.slow(100 * time.Millisecond)
		before = f.store.Calls().Fetch
		time.Sleep(10 * time.Minute)
		if got := f.store.atOnce(); got != 4 {
			f.Errorf("%d keysets were refreshed at the same time, want 4 under load", got)
		}
		if got := f.store.Calls().Fetch - before; got < 9*n || got > 12*n {
			f.Errorf("in ten minutes %d tenants were read %d times, want once a minute", n, got)
		}
		if _, err := rotate.Add(f.Context(), f.store, f.kek, tenantName(7)); err != nil {
			f.Fatal(err)
		}
		id, err := rotate.Promote(f.Context(), f.store, tenantName(7), rotate.PromoteOptions{Force: true})
		if err != nil {
			f.Fatal(err)
		}
		time.Sleep(70 * time.Second)
		if got, _, err := f.ring.Primary(tenantName(7)); err != nil || keys.ID(got) != id {
			f.Errorf("a minute after the promotion it seals with %s, %v, want %s", keys.ID(got), err, id)
		}
	})
}

func TestAnUnknownKeyOfATenantIsFetchedAtOnce(t *testing.T) {
	withTenants(t, 1, keys.RingOptions{}, func(f *tenancy) {
		f.wantUse(tenantName(0))
		id, err := rotate.Add(f.Context(), f.store, f.kek, tenantName(0))
		if err != nil {
			f.Fatal(err)
		}
		var seen []string
		f.ring.OnRefresh(func(s keys.KeysetStatus) { seen = append(seen, fmt.Sprint(s.Name, " ", s.Keys)) })
		if _, err := f.ring.Lookup(tenantName(0), uint32(id)); err != nil {
			f.Errorf("a key added since: %v", err)
		}
		if got := fmt.Sprint(seen); got != "[ns/payments 1 tenant/t0 1 tenant/t0 2]" {
			f.Errorf("OnRefresh told %s", got)
		}
		aead, err := f.ring.Lookup(tenantName(0), uint32(id)+1)
		checkError(f.T, aead, err, keys.ErrUnavailable, "not known here")
		if f.ring.Status()[1].Waits == 0 {
			f.Error("nobody has waited")
		}
	})
}

// TestATenantsKeyThatDoesNotOpenHidesNotTheOthers: and is tried again soon, not at the next refresh.
func TestATenantsKeyThatDoesNotOpenHidesNotTheOthers(t *testing.T) {
	withTenants(t, 1, keys.RingOptions{RefreshInterval: time.Hour}, func(f *tenancy) {
		id, err := rotate.Add(f.Context(), f.store, f.kek, tenantName(0))
		if err != nil {
			f.Fatal(err)
		}
		wrap := func(good []byte) (was []byte) {
			k, v, err := f.store.Fetch(f.Context(), tenantName(0))
			if err != nil {
				f.Fatal(err)
			}
			was, k.Key(id).Wrapped = k.Key(id).Wrapped, good
			if _, err := f.store.Replace(f.Context(), k, v); err != nil {
				f.Fatal(err)
			}
			return was
		}
		good := wrap([]byte("damaged"))
		f.wantUse(tenantName(0))
		aead, err := f.ring.Lookup(tenantName(0), uint32(id))
		checkError(f.T, aead, err, keys.ErrUnavailable, "could not be unwrapped")
		wrap(good)
		time.Sleep(time.Hour / 32 * 2) // the ring looks for what is due in steps of an interval
		before := f.store.Calls().Fetch
		if _, err := f.ring.Lookup(tenantName(0), uint32(id)); err != nil || f.store.Calls().Fetch != before {
			f.Errorf("mended, and not asked for meanwhile: %v, %d reads", err, f.store.Calls().Fetch-before)
		}
	})
}

func TestAKeysetThatIsDeletedTakesItsTenantAlone(t *testing.T) {
	withTenants(t, 2, keys.RingOptions{}, func(f *tenancy) {
		id, aead, err := f.ring.Primary(tenantName(0))
		if err != nil {
			f.Fatal(err)
		}
		f.wantUse(tenantName(1))
		f.store.lose(tenantName(0), true)
		f.store.lose(name, true)
		time.Sleep(67 * time.Second)
		checkAbsent := func() {
			f.Helper()
			opener, err := f.ring.Lookup(tenantName(0), id)
			checkError(f.T, opener, err, keys.ErrUnavailable, "there is no keyset")
		}
		checkAbsent()
		f.wantUse(tenantName(1), name) // what was named when the ring was made stays
		if log := f.log.String(); !strings.Contains(log, "is gone from the key store") || strings.Contains(log, `keeping the last good keys" keyset=tenant/t0`) {
			f.Errorf("the log does not say what happened: %s", log)
		}
		time.Sleep(time.Hour)
		checkAbsent()
		f.store.lose(tenantName(0), false) // restored from a backup
		time.Sleep(5 * time.Second)
		sealed, err := aead.Encrypt([]byte("x"), nil)
		if err != nil {
			f.Fatal(err)
		}
		opener, err := f.ring.Lookup(tenantName(0), id)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := opener.Decrypt(sealed, nil); err != nil {
			f.Error(err)
		}
	})
}

func TestPreloadNamesWhatIsMissingAndLoadsTheRest(t *testing.T) {
	withTenants(t, 3, keys.RingOptions{Tenants: keys.Tenants{Max: 4}}, func(f *tenancy) {
		err := f.ring.Preload(f.Context(), name, tenantName(0), "tenant/missing", tenantName(1))
		if !errors.Is(err, keys.ErrNotFound) || !strings.Contains(err.Error(), "tenant/missing") {
			f.Errorf("Preload = %v", err)
		}
		if got := fmt.Sprint(f.held()); got != "[tenant/t0 tenant/t1]" {
			f.Errorf("held are %s", got)
		}
		var calls int
		f.fetches(&calls)
		f.wantUse(tenantName(0), tenantName(1))
		if err := f.ring.Preload(f.Context(), tenantName(0), tenantName(1)); err != nil || f.fetches(&calls) != 0 {
			f.Errorf("what was preloaded was read again: %v", err)
		}
		if err := f.ring.Preload(f.Context(), "tenant/a", "tenant/b", "tenant/c", "tenant/d", "tenant/e"); err == nil || !strings.Contains(err.Error(), "raise Tenants.Max") {
			f.Errorf("more than Max: %v", err)
		}
		f.store.SetError(errors.New("away"))
		time.AfterFunc(10*time.Second, func() { f.store.SetError(nil) })
		if err := f.ring.Preload(f.Context(), tenantName(2)); err != nil {
			f.Errorf("through a short outage: %v", err)
		}
	})
}

func TestAClosedRingKeepsItsTenantsAndLoadsNoMore(t *testing.T) {
	withTenants(t, 2, keys.RingOptions{}, func(f *tenancy) {
		f.wantUse(tenantName(0))
		_ = f.ring.Close()
		var calls int
		f.fetches(&calls)
		f.wantUse(tenantName(0))
		begun := time.Now()
		f.wantUnavailable(tenantName(1))
		if err := f.ring.Preload(f.Context(), tenantName(1)); err == nil {
			f.Error("Preload after Close: no error")
		}
		time.Sleep(time.Hour)
		if got := f.fetches(&calls); got != 0 || time.Since(begun) != time.Hour {
			f.Errorf("%d reads after Close", got)
		}
	})
}

func TestUnusableTenantsAreRefused(t *testing.T) {
	for want, tenants := range map[string]keys.Tenants{
		"Under is empty": {Max: 3}, "up to a slash": {Under: "tenant"}, "negative": {Under: "tenant/", Idle: -1},
		"AlsoUnder has": {Under: "tenant/", AlsoUnder: []string{"x"}}, "Tenants.Under is empty": {AlsoUnder: []string{"x/"}},
	} {
		_, err := keys.NewRing(t.Context(), new(keystest.Store), keystest.NewKEK(t), keys.RingOptions{Keysets: []string{name}, Tenants: tenants})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", tenants, err)
		}
	}
}

// In real time and with real parallelism, for the race detector.
func TestTenantsAreSafeWhileEverythingHappens(t *testing.T) {
	store, kek := &slowStore{Store: new(keystest.Store)}, keystest.NewKEK(t)
	const n = 20
	for i := range n {
		keystest.NewKeyset(t, store, kek, tenantName(i), keys.XAES256GCM)
	}
	ring, err := keys.NewRing(t.Context(), store, kek, keys.RingOptions{
		RefreshInterval: time.Millisecond, KeyWait: 100 * time.Millisecond, MinRefreshGap: time.Millisecond,
		Tenants: keys.Tenants{Under: "tenant/", Max: n / 2, Idle: 10 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	f := &tenancy{T: t, ring: ring}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 300 {
				which := (g*7 + i) % n
				if err := f.use(tenantName(which)); err != nil && which != 3 && !errors.Is(err, keys.ErrUnavailable) {
					t.Error(err)
				}
				_, _ = ring.Lookup(tenantName(which), uint32(i))
				store.lose(tenantName(3), i%2 == 0)
			}
		})
	}
	for range 20 {
		_ = ring.Refresh(t.Context())
		_ = ring.Status()
		time.Sleep(time.Millisecond)
	}
	all.Wait()
	_ = ring.Close()
}
