package forwarded

import (
	"io"
	"net/http"
)

// StripTrailers removes from r what passes for ours among the trailers that it announces, and at the end of the body among
// those that came: where one is announced, net/http takes others as well. r must be a copy of the request that the server
// made, for without an announcement the trailers are in that one alone.
func StripTrailers(r *http.Request) {
	if r.Trailer == nil {
		return
	}
	Strip(r.Trailer)
	r.Body = body{r.Body, r.Trailer}
}

type body struct {
	io.ReadCloser
	trailer http.Header
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		Strip(b.trailer)
	}
	return n, err
}

// Close may read to the end.
func (b body) Close() error {
	err := b.ReadCloser.Close()
	Strip(b.trailer)
	return err
}
