package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	parallelRefreshes = 4  // of tenants' keysets, at the same time
	outageAfter       = 8  // refreshes that fail in a row: no keyset's own trouble any more
	steps             = 32 // of a refresh interval: what has become due is refreshed at each
	sweeps            = 8  // of the idle time
)

// start begins to load and refresh, until ctx, the life of the ring, is done.
func (p *pool) start(ctx context.Context, loops *sync.WaitGroup) {
	for range parallelLoads {
		loops.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case do := <-p.work:
					do(ctx)
				}
			}
		})
	}
	loops.Go(func() { p.run(ctx) })
	loops.Go(func() { p.sweep(ctx) })
}

// run refreshes what is due, step by step. While nothing can be refreshed it tries one keyset at a time, more and more
// rarely: thousands of tenants must not greet a store that returns.
func (p *pool) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	wasAway := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		p.round(ctx)
		failing := p.failing.Load()
		if away := failing >= outageAfter; away != wasAway && ctx.Err() == nil {
			wasAway = away
			if away {
				p.o.Logger.WarnContext(ctx, "tenants' keysets cannot be refreshed, keeping the last good keys")
			} else {
				p.o.Logger.InfoContext(ctx, "tenants' keysets are refreshed again")
			}
		}
		wait := p.o.RefreshInterval/steps + 1
		if failing >= outageAfter {
			wait = retryDelay(int(failing-outageAfter)+1, p.o.RefreshInterval)
		}
		timer.Reset(wait)
	}
}

// round refreshes what is due, longest first.
func (p *pool) round(ctx context.Context) {
	now := time.Now()
	var due []*tenant
	for t := range p.held.all {
		if !t.due.After(now) {
			due = append(due, t)
		}
	}
	slices.SortFunc(due, func(a, b *tenant) int { return a.due.Compare(b.due) })
	var refreshing errgroup.Group
	refreshing.SetLimit(parallelRefreshes)
	for i, t := range due {
		if ctx.Err() != nil || i > 0 && p.failing.Load() >= outageAfter {
			break
		}
		refreshing.Go(func() error {
			if err := p.refresh(ctx, t); err != nil && !t.gone(err) {
				t.failures++
				p.failing.Add(1)
			} else {
				t.failures = 0
				p.failing.Store(0)
			}
			t.due = time.Now().Add(t.delay(t.failures))
			return nil
		})
	}
	_ = refreshing.Wait() // nothing in it returns an error
}

// refresh reads one keyset again, for whoever asks and because it is time. A keyset that is gone is dropped.
func (p *pool) refresh(ctx context.Context, t *tenant) error {
	var asked *round
	select {
	case asked = <-t.asks:
	default:
	}
	err := t.member.refresh(ctx)
	if t.gone(err) {
		p.o.Logger.WarnContext(ctx, "a tenant's keyset is gone from the key store: its keys are dropped, nothing of the tenant opens here", "keyset", t.name)
		p.mu.Lock()
		p.drop(t)
		_ = p.refuse(t.name, err) // for whoever comes next
		p.mu.Unlock()
	}
	t.answer(asked)
	if t.complaining.TryLock() { // one is enough
		defer t.complaining.Unlock()
		for {
			select {
			case id := <-t.troubles:
				t.complain(ctx, id)
				continue
			default:
			}
			break
		}
	}
	return err
}

// gone reports whether a refresh found that there is no such keyset any more. One that was named when the ring was made
// stays all the same.
func (m *member) gone(err error) bool { return m.wake != nil && errors.Is(err, ErrNotFound) }

// sweep lets go, from time to time, what was not used for [Tenants.Idle].
func (p *pool) sweep(ctx context.Context) {
	every := time.NewTicker(p.o.Tenants.Idle/sweeps + 1)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		p.mu.Lock()
		now := time.Now()
		for name, r := range p.refused {
			if now.After(r.until) {
				delete(p.refused, name)
			}
		}
		if p.marks = append(p.marks, p.epoch.Add(1)); len(p.marks) > sweeps {
			for t := range p.held.all {
				if t.used.Load() < p.marks[0] && p.failing.Load() == 0 {
					p.drop(t)
				}
			}
			p.marks = p.marks[1:]
		}
		p.mu.Unlock()
	}
}

// refreshes returns what refreshes each keyset that is held. No pool holds none.
func (p *pool) refreshes() (all []func(context.Context) error) {
	if p == nil {
		return nil
	}
	for t := range p.held.all {
		all = append(all, func(ctx context.Context) error { return p.refresh(ctx, t) })
	}
	return all
}

func (p *pool) status() (all []KeysetStatus) {
	if p == nil {
		return nil
	}
	for t := range p.held.all {
		all = append(all, t.member.status())
	}
	slices.SortFunc(all, func(a, b KeysetStatus) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Preload loads tenants' keysets before they are used, so that their first use waits for nobody: in the order given, some
// at the same time. It retries as [NewRing] does, until ctx is done or, if ctx has no deadline, for 30 seconds; a keyset
// that does not exist is an error at once, matching [ErrNotFound], and does not keep the others from being loaded. The
// error joins all there are. A preloaded keyset is dropped like any other, see [Tenants]. On a closed ring it is an error.
func (r *Ring) Preload(ctx context.Context, names ...string) error {
	select {
	case <-r.closed:
		return errors.New("key ring: closed, it loads no more keysets")
	default:
	}
	var all []func(context.Context) error
	for _, name := range names {
		switch {
		case r.members[name] != nil:
		case r.pool == nil || !r.pool.o.Tenants.holds(name):
			return notHeld(name)
		default:
			all = append(all, func(ctx context.Context) error { return r.pool.preload(ctx, name) })
		}
	}
	if r.pool != nil && len(all) > r.pool.o.Tenants.Max {
		return fmt.Errorf("key ring: %d keysets are to be preloaded and at most %d are held: raise Tenants.Max", len(all), r.pool.o.Tenants.Max)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, startTimeout)
		defer cancel()
	}
	return together(ctx, all)
}

func (p *pool) preload(ctx context.Context, name string) error {
	if p.held.get(name) != nil {
		return nil
	}
	m := newMember(name, p.store, p.kek, p.o, p.watch)
	if err := m.load(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.admit(m)
	return nil
}
