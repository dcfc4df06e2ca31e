package census

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signet-temporal/signet/keys"
)

// format of a saved census.
const format = 1

// Result is a census: as far as it has got, or complete when Next is nil. Its JSON is what is saved to go on later. It
// holds key ids, counts and up to five workflow ids a key, and nothing that was sealed.
type Result struct {
	Format      int           `json:"format"`
	Namespace   string        `json:"namespace"`
	NamespaceID string        `json:"namespaceId"`
	Retention   keys.Duration `json:"retention"` // of the namespace, when the census began
	Archived    bool          `json:"archived"`  // the namespace archives histories, which a census does not see
	Began       time.Time     `json:"began"`
	Finished    time.Time     `json:"finished,omitzero"`
	Next        *Position     `json:"next,omitempty"`
	Tally
}

// check reports why a census cannot be gone on with.
func (r *Result) check(namespace string) error {
	switch {
	case r.Format != format:
		return fmt.Errorf("census: it was saved in format %d, this version knows format %d: begin anew", r.Format, format)
	case r.Namespace != namespace:
		return fmt.Errorf("census: it was begun for namespace %q, not %q: begin anew", r.Namespace, namespace)
	case r.Began.IsZero():
		return errors.New("census: it does not say when it began: begin anew")
	}
	return nil
}

// Add adds what was counted of one page, behind which next stands; nil after the last page of all. Pages are added in
// their order. maxKeys is that of [Options].
func (r *Result) Add(t Tally, next *Position, maxKeys int, now time.Time) {
	r.merge(t, maxKeys)
	if r.Next = next; next == nil {
		r.Finished = now.UTC()
	}
}

// Complete reports whether the whole namespace was walked.
func (r *Result) Complete() bool { return r.Next == nil && !r.Finished.IsZero() }

// Until says how long a key is needed for what was found. holders name what has no end by itself: "3 open workflows",
// "1 schedule". With none of them, until is when Temporal has removed the last of what is closed; it takes up to an hour
// longer to do so. A key that was not met gives nothing and a zero time.
func (r *Result) Until(key string) (until time.Time, holders []string) {
	k := r.Keys[key]
	if k == nil {
		return time.Time{}, nil
	}
	for _, h := range []struct {
		n         int64
		one, many string
	}{
		{k.Open, "open workflow", "open workflows"}, {k.Schedules, "schedule", "schedules"},
		{k.Alone, "open standalone activity or operation", "open standalone activities and operations"},
	} {
		switch {
		case h.n == 1:
			holders = append(holders, "1 "+h.one)
		case h.n > 1:
			holders = append(holders, fmt.Sprintf("%d %s", h.n, h.many))
		}
	}
	if len(holders) > 0 {
		return time.Time{}, holders
	}
	return k.LastClose.Add(time.Duration(r.Retention)), nil
}

// Errors of [Unused].
var (
	// ErrInUse: payloads under the key were found.
	ErrInUse = errors.New("the key is in use")
	// ErrUnproven: nothing was found, and there might be something all the same.
	ErrUnproven = errors.New("it is not proven that the key is unused")
)

// Question is what [Unused] answers.
type Question struct {
	// Key is the key's id with its keyset, such as "ns/payments/1f2e3d4c".
	Key string
	// SealedUntil is from when on no process seals with the key any more: when another key was promoted, and the
	// propagation delay of the keyset on top, with some room for clocks that differ. A zero time means that the key may
	// seal still.
	SealedUntil time.Time
	// Namespaces are all in which payloads under the key may be.
	Namespaces []string
}

// Unused returns nil if the censuses prove that no payload under the key is left in its namespaces. Otherwise it returns
// an error that says why not, and matches [ErrInUse] or [ErrUnproven]. One complete census of each namespace is needed
// that began when the key did not seal any more; see the package's comment for what even that cannot see.
func Unused(q Question, censuses ...*Result) error {
	if err := checkKeyID(q.Key); err != nil {
		return err
	}
	if q.SealedUntil.IsZero() {
		return fmt.Errorf("%w: it may seal still: promote another key first", ErrUnproven)
	}
	if len(q.Namespaces) == 0 {
		return fmt.Errorf("%w: no namespace was named: name every namespace whose workflows use the keyset", ErrUnproven)
	}
	for _, namespace := range q.Namespaces {
		var err error = fmt.Errorf("%w: there is no census of namespace %s", ErrUnproven, namespace)
		for _, r := range censuses {
			if r.Namespace != namespace {
				continue
			}
			if err = r.unused(q); err == nil || errors.Is(err, ErrInUse) {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unused answers q for one namespace.
func (r *Result) unused(q Question) error {
	unproven := func(text string, args ...any) error {
		return fmt.Errorf("%w: the census of namespace %s %s", ErrUnproven, r.Namespace, fmt.Sprintf(text, args...))
	}
	if k := r.Keys[q.Key]; k != nil {
		until, holders := r.Until(q.Key)
		wait := "removes the last of it at " + until.UTC().Format(time.RFC3339)
		if len(holders) > 0 {
			wait = "keeps it for " + strings.Join(holders, ", ")
		}
		return fmt.Errorf("%w: namespace %s had %d payloads under it, and %s", ErrInUse, r.Namespace, k.Total(), wait)
	}
	switch {
	case !r.Complete():
		return unproven("is not complete: let it go on to its end")
	case !r.Began.After(q.SealedUntil):
		return unproven("began at %s, and the key may have sealed until %s: take another", r.Began.Format(time.RFC3339), q.SealedUntil.UTC().Format(time.RFC3339))
	case r.Finished.Sub(r.Began) >= time.Duration(r.Retention):
		return unproven("took longer than the retention of %s: what was removed meanwhile may have handed payloads on", time.Duration(r.Retention))
	case r.Archived:
		return unproven("does not see archived histories, and the namespace archives: turn to them first")
	case r.Overflow > 0:
		return unproven("met more keys than it had room for: take it with more")
	case r.Later > 0:
		return unproven("met %d payloads of a later format: upgrade signet", r.Later)
	case r.References > 0:
		return unproven("met %d references to payloads in external storage, whose keys it cannot see", r.References)
	}
	return nil
}
