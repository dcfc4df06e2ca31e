package keys

import (
	"hash/maphash"
	"maps"
	"sync/atomic"
)

// directory finds tenants by name without a lock and without an allocation. Writers take turns by a lock of their own and
// copy the part that they change, which is small: a map of everything would be copied for every new tenant.
type directory struct {
	seed  maphash.Seed
	parts [256]atomic.Pointer[map[string]*tenant]
}

func newDirectory() *directory { return &directory{seed: maphash.MakeSeed()} }

func (d *directory) part(name string) *atomic.Pointer[map[string]*tenant] {
	return &d.parts[maphash.String(d.seed, name)%uint64(len(d.parts))]
}

func (d *directory) get(name string) *tenant {
	if part := d.part(name).Load(); part != nil {
		return (*part)[name]
	}
	return nil
}

// put files t under its name, and delete takes the name out. One writer at a time.
func (d *directory) put(t *tenant) {
	d.change(t.name, func(part map[string]*tenant) { part[t.name] = t })
}

func (d *directory) delete(name string) {
	d.change(name, func(part map[string]*tenant) { delete(part, name) })
}

func (d *directory) change(name string, edit func(map[string]*tenant)) {
	at := d.part(name)
	next := make(map[string]*tenant)
	if part := at.Load(); part != nil {
		next = maps.Clone(*part)
	}
	edit(next)
	at.Store(&next)
}

// all calls yield for every tenant, in no order. It is an iterator.
func (d *directory) all(yield func(*tenant) bool) {
	for i := range d.parts {
		part := d.parts[i].Load()
		if part == nil {
			continue
		}
		for _, t := range *part {
			if !yield(t) {
				return
			}
		}
	}
}
