package keys

import (
	"sync"
	"time"
)

// KeysetStatus is what a Ring knows about one keyset, for readiness and metrics.
type KeysetStatus struct {
	Name    string
	Version Version   // of the document in use
	Primary ID        // of the key that seals here; 0 while none does
	Since   time.Time // when that key was made primary; zero while none is
	Keys    int       // keys that open here
	Fresh   time.Time // when the document was last read and applied in full
	Waits   uint64    // how often a Lookup has waited for a key id that was not known here
	Error   string    // why the last refresh failed; empty after a good one
}

// Status returns one entry per keyset, in the order of [RingOptions.Keysets], and then one for each tenant's keyset that
// is held, by name.
func (r *Ring) Status() []KeysetStatus {
	all := make([]KeysetStatus, len(r.order))
	for i, m := range r.order {
		all[i] = m.status()
	}
	return append(all, r.pool.status()...)
}

func (m *member) status() KeysetStatus {
	now := m.now.Load()
	s := KeysetStatus{Name: m.name, Version: now.version, Primary: now.primary, Since: now.since, Waits: m.waits.Load()}
	for _, k := range now.keys {
		if k.opens() {
			s.Keys++
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Fresh, s.Error = m.fresh, m.failure
	return s
}

// OnRefresh has report called with the status of each keyset: now, when a tenant's is loaded, and after every try to refresh it, whether it
// succeeded or not, for as long as the ring refreshes. It is meant for gauges: while a store is away, tries go on at the
// refresh interval at least. report runs where the refreshing is done and holds it up, so it must be quick, and it must be
// safe for concurrent use.
func (r *Ring) OnRefresh(report func(KeysetStatus)) {
	r.watch.mu.Lock()
	r.watch.reports = append(r.watch.reports, report)
	r.watch.mu.Unlock()
	for _, s := range r.Status() {
		report(s)
	}
}

// watchers are all who wait for refreshes of a ring.
type watchers struct {
	mu      sync.Mutex
	reports []func(KeysetStatus)
}

func (w *watchers) tell(s KeysetStatus) {
	w.mu.Lock()
	reports := w.reports // only ever appended to
	w.mu.Unlock()
	for _, report := range reports {
		report(s)
	}
}
