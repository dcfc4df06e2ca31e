package codecserver

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/signet-temporal/signet/principal"
)

// maxBuckets is how many callers are remembered before those are forgotten whose bucket is full again.
const maxBuckets = 1024

// quota gives each caller a bucket of payloads. A caller is an issuer and a subject, so that a second token brings no
// second bucket.
type quota struct {
	perSecond rate.Limit
	burst     int

	mu      sync.Mutex
	buckets map[[2]string]*rate.Limiter
}

func newQuota(perSecond float64, burst int) *quota {
	return &quota{perSecond: rate.Limit(perSecond), burst: burst, buckets: map[[2]string]*rate.Limiter{}}
}

// take takes n payloads out of the caller's bucket, or none where it holds fewer, and says after what time it would hold
// them. A request for more than a bucket holds takes a full one.
func (q *quota) take(c *principal.Caller, n int, now time.Time) (ok bool, wait time.Duration) {
	n = min(n, q.burst)
	b := q.bucket([2]string{c.Issuer, c.Subject}, now)
	if b.AllowN(now, n) {
		return true, 0
	}
	missing := float64(n) - b.TokensAt(now)
	return false, time.Duration(missing / float64(q.perSecond) * float64(time.Second))
}

// left is what the caller's bucket holds.
func (q *quota) left(c *principal.Caller, now time.Time) int64 {
	return int64(q.bucket([2]string{c.Issuer, c.Subject}, now).TokensAt(now))
}

// spend takes n out of the caller's bucket, also where it holds less: it has been used.
func (q *quota) spend(c *principal.Caller, n int64, now time.Time) {
	q.bucket([2]string{c.Issuer, c.Subject}, now).ReserveN(now, int(min(n, int64(q.burst))))
}

// until is how long it takes for n to come back.
func (q *quota) until(n int64) time.Duration {
	return time.Duration(float64(n) / float64(q.perSecond) * float64(time.Second))
}

func (q *quota) bucket(who [2]string, now time.Time) *rate.Limiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.buckets[who]
	if b != nil {
		return b
	}
	if len(q.buckets) >= maxBuckets {
		for other, b := range q.buckets {
			if b.TokensAt(now) >= float64(q.burst) {
				delete(q.buckets, other)
			}
		}
	}
	b = rate.NewLimiter(q.perSecond, q.burst)
	q.buckets[who] = b
	return b
}

// slotWait is how long a request waits for others to end. What takes longer is not a peak.
const slotWait = time.Second

// slots bound how many requests are worked on at the same time.
type slots chan struct{}

// take waits for a slot, and reports whether there is one; give it back.
func (s slots) take(ctx context.Context) bool {
	select {
	case s <- struct{}{}:
		return true
	default:
	}
	wait := time.NewTimer(slotWait)
	defer wait.Stop()
	select {
	case s <- struct{}{}:
		return true
	case <-wait.C:
	case <-ctx.Done():
	}
	return false
}

func (s slots) give() { <-s }

// limitRate refuses what a caller's bucket does not hold. What the policy calls bulk is not counted.
func (h *Handler) limitRate(q *request, items []*item) {
	n := 0
	for _, it := range items {
		if it.sealed && it.reason == none && !it.bulk {
			n++
		}
	}
	if n == 0 {
		return
	}
	ok, wait := h.quota.take(q.caller, n, time.Now())
	if ok {
		return
	}
	q.retryAfter = wait
	for _, it := range items {
		if it.sealed && it.reason == none && !it.bulk {
			it.close(rateLimited, "the caller has used up limits.payloadBurst")
		}
	}
}
