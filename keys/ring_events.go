package keys

import (
	"context"
	"time"
)

// What a ring logs is for whoever is on call: one line for each thing that happened, with attributes, and nothing that
// was sealed or could open it. It is logged where the refreshing is done, never where a payload is converted.

// outage is a run of failed refreshes.
type outage struct {
	begun    time.Time // zero while there is none
	failures int
	stale    bool // it has been said that the keyset is stale
}

// staleIntervals is how many refresh intervals may pass without a good refresh before a keyset is stale, if its
// propagation delay is not longer than that.
const staleIntervals = 3

// note remembers how a refresh went and logs it. A keyset is stale once a key can be promoted that this process has not
// read: it then meets payloads it cannot open.
func (m *member) note(ctx context.Context, err error) {
	now := time.Now()
	m.mu.Lock()
	fresh, o := m.fresh, m.outage
	wasStale := o.stale
	if err == nil {
		m.fresh, m.failure, m.outage = now, "", outage{}
	} else {
		if o.failures == 0 {
			o.begun = now
		}
		o.failures++
		limit := max(m.now.Load().delay, staleIntervals*m.o.RefreshInterval)
		o.stale = !fresh.IsZero() && now.Sub(fresh) > limit
		m.failure, m.outage = err.Error(), o
	}
	m.mu.Unlock()
	switch {
	case err == nil && o.failures > 0:
		m.o.Logger.InfoContext(ctx, "keyset refresh works again", "keyset", m.name, "failures", o.failures, "outage", now.Sub(o.begun).Round(time.Second))
	case err != nil && !m.gone(err):
		m.o.Logger.WarnContext(ctx, "keyset refresh failed, keeping the last good keys", "keyset", m.name, "error", err)
	}
	if o.stale && !wasStale {
		m.o.Logger.ErrorContext(ctx, "keyset is stale: a key promoted meanwhile is unknown here", "keyset", m.name, "fresh", fresh.UTC())
	}
}

// announce logs what the new document changed, and loudly what no custodian's step does.
func (m *member) announce(ctx context.Context, old, next *snapshot) {
	for id, was := range old.keys {
		switch is := next.keys[id]; {
		case is == nil:
			m.o.Logger.WarnContext(ctx, "a key vanished from its keyset: was the key store rolled back?", "keyset", m.name, "key", id.String(), "state", was.state)
		case was.state == Destroyed && is.state != Destroyed:
			m.o.Logger.WarnContext(ctx, "a destroyed key came back: was the key store rolled back?", "keyset", m.name, "key", id.String(), "state", is.state)
		}
	}
	if next.version == old.version && next.complete == old.complete {
		return
	}
	m.o.Logger.InfoContext(ctx, "keyset changed", "keyset", m.name, "version", string(next.version), "primary", next.primary.String(), "keys", len(next.keys))
	m.announceIdle(ctx, old, next)
	if next.primary == 0 && m.idle(next) == nil {
		m.o.Logger.WarnContext(ctx, "keyset has no primary key here: nothing can be sealed under it", "keyset", m.name)
	}
}

// announceIdle logs that a keyset is, or is to be, shredded, and that it is not to be any more.
func (m *member) announceIdle(ctx context.Context, old, next *snapshot) {
	switch {
	case !next.shredded.IsZero() && old.shredded.IsZero():
		m.o.Logger.WarnContext(ctx, "keyset was shredded: nothing of it seals or opens any more", "keyset", m.name, "shredded", next.shredded.UTC())
	case !next.shredAfter.IsZero() && !next.shredAfter.Equal(old.shredAfter):
		m.o.Logger.WarnContext(ctx, "keyset is to be shredded: it neither seals nor opens until that is called off", "keyset", m.name, "shredAfter", next.shredAfter.UTC())
	case next.shredAfter.IsZero() && next.shredded.IsZero() && !old.shredAfter.IsZero():
		m.o.Logger.InfoContext(ctx, "keyset is not to be shredded any more: it seals and opens again", "keyset", m.name)
	case next.shredded.IsZero() && !old.shredded.IsZero():
		m.o.Logger.WarnContext(ctx, "a shredded keyset came back: was the key store rolled back?", "keyset", m.name)
	}
}

// complaints are the keys whose want has been logged, for one version of the keyset's document. Made-up ids must not
// fill log or memory.
type complaints struct {
	version Version
	keys    map[ID]bool
}

const maxComplaints = 100 // for one version of a document

// trouble asks the loop to log that a payload needs a key which does not open here. It never waits: when the loop is
// behind, one line less is logged.
func (m *member) trouble(id ID) {
	select {
	case m.troubles <- id:
	default:
	}
}

// complain logs it, once for each key and version of the document.
func (m *member) complain(ctx context.Context, id ID) {
	now, c := m.now.Load(), &m.complains
	if c.keys == nil || c.version != now.version {
		*c = complaints{now.version, map[ID]bool{}}
	}
	k := now.keys[id]
	if k != nil && k.aead != nil || c.keys[id] || len(c.keys) >= maxComplaints {
		return
	}
	c.keys[id] = true
	state := State("unknown")
	if k != nil {
		state = k.state
	}
	m.o.Logger.WarnContext(ctx, "a payload needs a key that does not open here", "keyset", m.name, "key", id.String(), "state", state)
}
