// Package metricstest keeps the metrics that the SDK and its plugins emit, for tests to read.
package metricstest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
)

// Handler is a client.MetricsHandler that keeps every value it is told. It is safe for concurrent use.
type Handler struct {
	all  *series
	tags map[string]string // never changed
}

// series are the values so far, by name and tags as [Key] writes them.
type series struct {
	mu     sync.Mutex
	values map[string]*value
	made   int
}

type value struct {
	mu sync.Mutex
	n  float64
}

// New returns a handler that has been told nothing.
func New() *Handler { return &Handler{all: &series{values: map[string]*value{}}} }

// Key writes a metric as Prometheus does: name{tag="value",…}, tags sorted by name.
func Key(name string, tags map[string]string) string {
	if len(tags) == 0 {
		return name
	}
	var pairs []string
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		pairs = append(pairs, fmt.Sprintf("%s=%q", tag, tags[tag]))
	}
	return name + "{" + strings.Join(pairs, ",") + "}"
}

// Value returns what a counter has counted or a gauge was last set to; ok is false if there is no such metric. A timer is
// two: its name and "_count", its name and "_sum" in seconds.
func (h *Handler) Value(key string) (n float64, ok bool) {
	h.all.mu.Lock()
	v := h.all.values[key]
	h.all.mu.Unlock()
	if v == nil {
		return 0, false
	}
	return v.get(), true
}

// All returns every value whose key begins with prefix.
func (h *Handler) All(prefix string) map[string]float64 {
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	out := map[string]float64{}
	for key, v := range h.all.values {
		if strings.HasPrefix(key, prefix) {
			out[key] = v.get()
		}
	}
	return out
}

// Made returns how often a metric or a handler with tags was asked for.
func (h *Handler) Made() int {
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	return h.all.made
}

// WithTags implements client.MetricsHandler, as do the methods below.
func (h *Handler) WithTags(tags map[string]string) client.MetricsHandler {
	h.all.mu.Lock()
	h.all.made++
	h.all.mu.Unlock()
	n := &Handler{all: h.all, tags: maps.Clone(h.tags)}
	if n.tags == nil {
		n.tags = map[string]string{}
	}
	maps.Copy(n.tags, tags)
	return n
}

func (h *Handler) Counter(name string) client.MetricsCounter { return counter{h.value(name)} }
func (h *Handler) Gauge(name string) client.MetricsGauge     { return gauge{h.value(name)} }
func (h *Handler) Timer(name string) client.MetricsTimer {
	return timer{h.value(name + "_count"), h.value(name + "_sum")}
}

func (h *Handler) value(name string) *value {
	key := Key(name, h.tags)
	h.all.mu.Lock()
	defer h.all.mu.Unlock()
	h.all.made++
	if h.all.values[key] == nil {
		h.all.values[key] = new(value)
	}
	return h.all.values[key]
}

func (v *value) get() float64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.n
}

func (v *value) add(n float64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.n += n
}

type (
	counter struct{ v *value }
	gauge   struct{ v *value }
	timer   struct{ count, sum *value }
)

func (c counter) Inc(n int64) { c.v.add(float64(n)) }

func (g gauge) Update(n float64) {
	g.v.mu.Lock()
	defer g.v.mu.Unlock()
	g.v.n = n
}

func (t timer) Record(took time.Duration) {
	t.count.add(1)
	t.sum.add(took.Seconds())
}
