package codecserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signet-temporal/signet/codecserver/policy"
)

// download answers references to external storage with the payloads that they name, opened. A reference says nothing
// that is authenticated, not even a namespace. So the caller has to be somebody who may download something of the
// namespace in X-Namespace before anything is fetched; what is fetched has to be sealed, or the server would lend its
// access to the store to whoever asks; and then the sealed namespace decides, as for every other payload.
//
// It is all or nothing, for people as well: what the Web UI gets here it saves as a file.
func (h *Handler) download(q *request) {
	items, err := h.readPayloads(q, min(h.limits.MaxBody, strangerBody))
	if err == nil && len(items) > h.limits.MaxReferences {
		err = &problem{status: http.StatusRequestEntityTooLarge, code: "too-many-payloads", detail: "more references than limits.maxReferences"}
	}
	references := make([]Reference, len(items))
	for i := 0; err == nil && i < len(items); i++ {
		if references[i], err = referenceOf(items[i].payload); err != nil {
			err = badRequest(err.Error())
		}
	}
	if err != nil {
		h.fail(q, err)
		return
	}
	if h.mayFetch(q, items); worstOf(items) == nil {
		if !h.downloads.take(q.Context()) {
			q.retryAfter = slotWait
			h.fail(q, &problem{status: http.StatusTooManyRequests, code: "busy", detail: "limits.maxDownloads requests are under way"})
			return
		}
		defer h.downloads.give()
		h.fetch(q, items, references)
	}
	if h.limitRate(q, items); worstOf(items) == nil {
		h.open(q, items)
	}
	h.finish(q, items)
}

// mayFetch closes everything for who may download nothing of the namespace. Every reference leaves a record.
func (h *Handler) mayFetch(q *request, items []*item) {
	ns := h.byName[q.namespace]
	var d policy.Decision
	if ns != nil {
		d = h.policy.Decide(policy.Request{
			Caller: *q.caller, Action: q.action, Namespace: ns.Name, BreakGlass: q.breakGlass, Time: q.start, Anywhere: true,
		})
	}
	for _, it := range items {
		it.sealed = true // whatever comes of it, it is on record
		switch {
		case ns == nil:
			it.close(unknownNamespace, "X-Namespace names none of the namespaces")
		case !d.Allowed:
			it.rule = d.Rule
			it.close(reasonOfDenial(d.Reason), fmt.Sprintf("download in namespace %q: %s", ns.Name, d.Reason))
		}
	}
}

// fetchTime is how long a request waits for the store.
const fetchTime = 20 * time.Second

// leastFetch is what a reference costs the caller at least, in bytes: a store works for what it does not find, too.
const leastFetch = 64 << 10

// fetch puts what is stored in the place of each reference, and judges that. It stops at the first that fails.
func (h *Handler) fetch(q *request, items []*item, references []Reference) {
	ctx, cancel := context.WithTimeout(q.Context(), fetchTime)
	defer cancel()
	left := h.limits.MaxDownload
	for i, it := range items {
		has := h.bytes.left(q.caller, time.Now())
		if has < leastFetch {
			q.retryAfter = h.bytes.until(leastFetch - has)
			it.close(rateLimited, "the caller has used up limits.downloadBurst")
			return
		}
		p, read, err := h.storage.Fetch(ctx, references[i], min(left, has))
		h.bytes.spend(q.caller, max(read, leastFetch), time.Now())
		left -= read
		if err == nil && p == nil {
			err = errors.New("the storage returned nothing")
		}
		if err != nil {
			why := reasonOfStorage(err)
			if why == tooLarge && has < left {
				why, q.retryAfter = rateLimited, h.bytes.until(h.limits.MaxDownload-has)
			}
			it.close(why, fmt.Sprintf("driver %.100q: %s", references[i].Driver, err))
			return
		}
		it.payload, it.sealed = p, false
		if h.judge(q, it); !it.sealed {
			it.sealed = true
			it.close(notSealed, "what is stored there is not sealed")
		}
		if it.reason != none {
			return
		}
	}
}

// reasonOfStorage classifies an error of a [Storage].
func reasonOfStorage(err error) reason {
	var known interface{ Reason() string }
	if errors.As(err, &known) {
		switch r := reason(known.Reason()); r {
		case referenceRefused, notStored, tooLarge:
			return r
		}
	}
	return storageUnavailable
}
