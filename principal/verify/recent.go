package verify

import (
	"container/list"
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/signet-temporal/signet/principal"
)

const (
	recentFor = time.Minute // at most; never beyond the token's own end
	maxRecent = 1024        // tokens
)

// recent remembers what the tokens that verified within the last minute say: a page of the Web UI asks two hundred times
// with the same one, and a signature costs more than the rest of such a request. A token counts as the same if every byte
// of it is, in the same place of the request. What is remembered is as good as judging it again: it is of the keys that
// are in use now (a fetch of keys makes it void, whatever it brings), ends when the token does, and goes with the
// verifier, so with each change of the issuers' configuration. Refusals are not remembered. Nor are tokens: their hashes are.
//
// Strangers cannot push anybody out, because what does not verify does not come in. The zero value is ready for use, and
// safe for concurrent use.
type recent struct {
	mu    sync.Mutex
	byKey map[[sha256.Size]byte]*list.Element
	order list.List // of *judged, the oldest first: all live equally long
}

// judged is what was found in a token.
type judged struct {
	key        [sha256.Size]byte
	issuer     *issuer
	claims     *Claims
	caller     *principal.Caller
	noCaller   error     // it proves nobody, though its claims are true; such a token is not remembered
	generation uint64    // of the keys when the judging began
	since      time.Time // when that was
}

// keyOf keeps the kinds apart in the hash: no text before the token could, for it may be part of what somebody sends.
func keyOf(token string, k kind) [sha256.Size]byte {
	sum := sha256.Sum256([]byte(token))
	if k == idToken {
		sum[0] ^= 1
	}
	return sum
}

// isTrue says whether judging the token again would find the same. An issuer that is away too long makes it false.
func (j *judged) isTrue(ctx context.Context, now time.Time) bool {
	if now.Sub(j.since) >= recentFor || now.After(j.claims.ends) {
		return false
	}
	generation, err := j.issuer.keys.Current(ctx)
	return err == nil && generation == j.generation
}

// find returns what is remembered of a token and still true, or nil.
func (r *recent) find(ctx context.Context, token string, k kind) *judged {
	if len(token) > maxToken {
		return nil
	}
	key := keyOf(token, k)
	r.mu.Lock()
	element := r.byKey[key]
	r.mu.Unlock()
	if element == nil {
		return nil
	}
	j := element.Value.(*judged)
	if j.isTrue(ctx, time.Now()) { // it may wait for the issuer: others do not wait for that
		return j
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKey[key] == element {
		r.remove(element)
	}
	return nil
}

// add remembers j, in the place of the oldest if there is no other, and forgets what is over.
func (r *recent) add(j *judged) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKey == nil {
		r.byKey = map[[sha256.Size]byte]*list.Element{}
	}
	if old := r.byKey[j.key]; old != nil {
		r.remove(old)
	}
	for oldest := r.order.Front(); oldest != nil; oldest = r.order.Front() {
		if len(r.byKey) < maxRecent && j.since.Sub(oldest.Value.(*judged).since) < recentFor {
			break
		}
		r.remove(oldest)
	}
	r.byKey[j.key] = r.order.PushBack(j)
}

func (r *recent) remove(element *list.Element) {
	delete(r.byKey, element.Value.(*judged).key)
	r.order.Remove(element)
}

// copyOfCaller is for those who may change what they get.
func (j *judged) copyOfCaller() *principal.Caller {
	c := *j.caller
	c.Groups = slices.Clone(c.Groups)
	c.Claims = maps.Clone(c.Claims)
	for name, texts := range c.Claims {
		c.Claims[name] = slices.Clone(texts)
	}
	return &c
}

func (j *judged) copyOfClaims() *Claims {
	c := *j.claims // what it holds beside its own fields is only read
	return &c
}
