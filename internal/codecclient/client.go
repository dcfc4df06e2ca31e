package codecclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"golang.org/x/sync/errgroup"

	"github.com/signet-temporal/signet/internal/loopback"
)

// Options of a [Client].
type Options struct {
	// Endpoint is the address of the codec server, without /decode. "{namespace}" in it is replaced. Required.
	Endpoint string
	// Namespace goes into X-Namespace. Required.
	Namespace string
	// Authorization is the whole value of that header, such as "Bearer …". Empty: no such header.
	Authorization string
	// Authorize gives that value instead, for each request: a login that is renewed. Nil: Authorization.
	Authorize func(context.Context) (string, error)
	// Header is sent with every request, and may replace X-Namespace.
	Header http.Header
	// HTTP sends the requests; its CheckRedirect is replaced. Nil: a client with the system's authorities.
	HTTP *http.Client
	// Batch is how many payloads go into a request, at most; 0 means 100.
	Batch int
	// Parallel is how many requests are under way at a time, at most; 0 means 4.
	Parallel int
	// Patience is how long one batch is tried while the server is busy or away; 0 means two minutes.
	Patience time.Duration
}

// maxBatchBytes bounds the payloads of a request. In base64 it stays below the smallest limit that is known of a codec
// server, 4 MiB.
const maxBatchBytes = 2 << 20

// Client decodes payloads. It is safe for concurrent use.
type Client struct {
	o         Options
	url, host string
	http      *http.Client

	reached         atomic.Bool  // the server has answered something
	opened, refused atomic.Int64 // payloads that came back changed, and single ones that were refused
}

// New checks the options. It sends nothing. The error is a sentence for whoever typed them.
func New(o Options) (*Client, error) {
	o.Batch, o.Parallel, o.Patience = cmp.Or(o.Batch, 100), cmp.Or(o.Parallel, 4), cmp.Or(o.Patience, 2*time.Minute)
	if o.Batch < 0 || o.Parallel < 0 || o.Patience < 0 {
		return nil, errors.New("batch, parallel and patience must be more than 0")
	}
	endpoint := strings.TrimSuffix(strings.ReplaceAll(o.Endpoint, "{namespace}", url.PathEscape(o.Namespace)), "/")
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the codec server's address must be such as https://codec.example.com: without user, query and fragment")
	}
	secret := o.Authorization != "" || o.Authorize != nil || len(o.Header) > 0
	if secret && u.Scheme != "https" && !loopback.Is(u.Hostname()) {
		return nil, fmt.Errorf("a token would cross the network to %s as it is: use an address that begins with https", u.Host)
	}
	c := &Client{o: o, url: endpoint + "/decode", host: u.Host, http: &http.Client{}}
	if o.HTTP != nil {
		*c.http = *o.HTTP
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Result is what became of one payload.
type Result struct {
	Payload *commonpb.Payload // what the server answered; the payload itself where it was refused
	Refused int               // the status with which it was refused, else 0
}

// Decode returns a result for each payload, in order. An error means that nothing is known of them all: the server stayed
// away, knows nobody of that name, or does not speak the protocol. What is in them may be masked: package mask finds that out.
func (c *Client) Decode(ctx context.Context, payloads []*commonpb.Payload) ([]Result, error) {
	results := make([]Result, len(payloads))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.o.Parallel)
	for from := 0; from < len(payloads); {
		to := c.batchEnd(payloads, from)
		batch, into := payloads[from:to], results[from:to]
		group.Go(func() error { return c.decode(ctx, batch, into) })
		from = to
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return results, nil
}

func (c *Client) batchEnd(payloads []*commonpb.Payload, from int) int {
	size, to := 0, from
	for to < len(payloads) && to-from < c.o.Batch {
		size += sizeOf(payloads[to])
		if size > maxBatchBytes && to > from {
			break
		}
		to++
	}
	return to
}

func sizeOf(p *commonpb.Payload) int {
	n := len(p.GetData())
	for name, value := range p.GetMetadata() {
		n += len(name) + len(value)
	}
	return n
}

// hopeless is how many single payloads are refused, with none decoded before, until the rest is not asked for one by one:
// somebody who may see nothing of a long history would leave two records of each payload in the server's audit log.
const hopeless = 4

// decode fills into, which is as long as batch.
func (c *Client) decode(ctx context.Context, batch []*commonpb.Payload, into []Result) error {
	answer, err := c.ask(ctx, batch)
	var refused *refusal
	switch {
	case err == nil:
		for i, p := range answer {
			into[i].Payload = p
		}
		c.opened.Add(int64(len(answer)))
		return nil
	case !errors.As(err, &refused):
		return err
	case len(batch) == 1 || c.opened.Load() == 0 && c.refused.Load() >= hopeless && refused.status == http.StatusForbidden:
		for i, p := range batch {
			into[i] = Result{Payload: p, Refused: refused.status}
		}
		c.refused.Add(1)
		return nil
	}
	half := len(batch) / 2
	if err := c.decode(ctx, batch[:half], into[:half]); err != nil {
		return err
	}
	return c.decode(ctx, batch[half:], into[half:])
}
