package codecserver

import (
	"bytes"
	"io"
	"net/http"
)

// scratch is memory that requests use one after another: clearing megabytes anew for each would cost more than all that
// is done in them. Nothing that outlives the request may point into it. It is wiped before the next request has it, so
// that no mistake in here can show somebody another's plaintext. An answer is none of it: when a client resets its stream,
// net/http's HTTP/2 server returns from Write and may still be sending from what it was given (writeDataFromHandler).
type scratch struct {
	body   []byte // as it came
	values []byte // what was base64 in it
}

// keptScratch is how many bytes of each kind are kept: more than almost all requests need, and not so much that a few
// large ones make a server large for good.
const keptScratch = 8 << 20

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
	h.scratch.Put(s)
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
