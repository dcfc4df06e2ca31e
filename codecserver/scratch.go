package codecserver

import (
	"bytes"
	"io"
	"net/http"

	commonpb "go.temporal.io/api/common/v1"
)

// scratch is memory that requests use one after another: clearing megabytes anew for each would cost more than all that
// is done in them. Nothing that outlives the request may point into it. It is wiped before the next request has it, so
// that no mistake in here can show somebody another's plaintext. An answer is none of it: when a client resets its stream,
// net/http's HTTP/2 server returns from Write and may still be sending from what it was given (writeDataFromHandler).
type scratch struct {
	body   []byte // as it came
	values []byte // what was base64 in it

	slots []*slot
	items []*item // those of the slots
	used  int     // slots that hold something
}

// slot is an item and what it points to.
type slot struct {
	item
	in       commonpb.Payload
	metadata map[string][]byte // of in; empty between requests
}

// keptScratch is how many bytes of each kind are kept: more than almost all requests need, and not so much that a few
// large ones make a server large for good.
const keptScratch = 8 << 20

// keptSlots and keptNames bound the slots that are kept, and the names in the metadata of each.
const keptSlots, keptNames = 256, 8

// borrow gives q memory until giveBack.
func (h *Handler) borrow(q *request) {
	var ok bool
	if q.scratch, ok = h.scratch.Get().(*scratch); !ok {
		q.scratch = &scratch{}
	}
}

func (h *Handler) giveBack(q *request) {
	s := q.scratch
	q.scratch = nil
	for _, part := range []*[]byte{&s.body, &s.values} {
		if cap(*part) > keptScratch {
			*part = nil
		}
		clear(*part)
		*part = (*part)[:0]
	}
	s.wipeSlots()
	h.scratch.Put(s)
}

// slot takes one that is empty.
func (s *scratch) slot() *slot {
	if s.used == len(s.slots) {
		more := make([]slot, min(1+len(s.slots), 64)) // one, two, four, …: few of them, and none for nothing
		for i := range more {
			n := &more[i]
			n.payload, n.metadata = &n.in, make(map[string][]byte, 3)
			s.slots, s.items = append(s.slots, n), append(s.items, &n.item)
		}
	}
	s.used++
	return s.slots[s.used-1]
}

// wipeSlots: what was opened is held no longer, and nothing of what was in the slots is seen by who has them next.
func (s *scratch) wipeSlots() {
	for _, n := range s.slots[:s.used] {
		if len(n.metadata) > keptNames { // a map keeps the room for what it held
			n.metadata = make(map[string][]byte, 3)
		}
		clear(n.metadata)
		n.in.Reset()
		n.item = item{payload: &n.in}
	}
	s.used = 0
	if len(s.slots) > keptSlots {
		s.slots, s.items = nil, nil
	}
}

// onTrust is how much memory a body gets for a length that is only promised, until as many bytes have come.
const onTrust = 1 << 20

// read reads a body of at most maxBody bytes.
func (s *scratch) read(r *http.Request, w http.ResponseWriter, maxBody int64) error {
	promised := min(max(r.ContentLength, 0), maxBody)
	body, from := bytes.NewBuffer(s.body[:0]), http.MaxBytesReader(w, r.Body, maxBody)
	body.Grow(int(min(promised, onTrust)) + bytes.MinRead)
	if promised > onTrust {
		if _, err := io.CopyN(body, from, onTrust); err != nil {
			s.body = body.Bytes()
			return err
		}
		body.Grow(int(promised-onTrust) + bytes.MinRead)
	}
	_, err := body.ReadFrom(from)
	s.body = body.Bytes()
	return err
}

// valuesOf returns memory for all that is base64 in the body.
func (s *scratch) valuesOf() []byte {
	if cap(s.values) < len(s.body) {
		s.values = make([]byte, 0, len(s.body))
	}
	return s.values
}
