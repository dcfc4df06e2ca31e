package codecclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// Errors of [Client.Decode] that whoever calls may want to tell apart.
var (
	// ErrUnauthenticated: the server does not know who asks.
	ErrUnauthenticated = errors.New("the codec server does not accept the login")
	// ErrUnavailable: the server was busy or away for all of Options.Patience.
	ErrUnavailable = errors.New("the codec server is not available")
)

// refusal is an answer that speaks about the payloads of a request.
type refusal struct{ status int }

func (r *refusal) Error() string { return fmt.Sprintf("refused with status %d", r.status) }

// again is a failure that passes by itself, after some time.
type again struct {
	cause string
	after time.Duration
}

func (a *again) Error() string { return a.cause }

// ask sends one batch, and sends it again while the server is busy or away.
func (c *Client) ask(ctx context.Context, batch []*commonpb.Payload) ([]*commonpb.Payload, error) {
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: batch})
	if err != nil {
		return nil, fmt.Errorf("writing payloads: %w", err)
	}
	start := time.Now()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		answer, err := c.send(ctx, body, len(batch))
		var later *again
		if !errors.As(err, &later) {
			return answer, err
		}
		wait := max(later.after, pause/2+rand.N(pause)) // #nosec G404 -- jitter
		patience := c.o.Patience
		if !c.reached.Load() {
			patience = min(patience, firstContact)
		}
		if time.Since(start)+wait > patience {
			return nil, fmt.Errorf("%w: %s: %s", ErrUnavailable, c.host, later.cause)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// firstContact is how long a server is looked for that never answered: the address may be wrong.
const firstContact = 5 * time.Second

// callTimeout is more than a server takes for the largest request, and bounds one that hangs.
const callTimeout = 60 * time.Second

// maxAnswer bounds what is read: payloads may be compressed and expand.
const maxAnswer = 256 << 20

func (c *Client) send(ctx context.Context, body []byte, n int) ([]*commonpb.Payload, error) {
	once, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(once, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("codec server %s: %w", c.host, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Signet-Accept", "masks") // it is asked for people, and says so in Decode
	req.Header.Set("X-Namespace", c.o.Namespace)
	for name, values := range c.o.Header {
		req.Header[name] = values
	}
	authorization := c.o.Authorization
	if c.o.Authorize != nil {
		if authorization, err = c.o.Authorize(once); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
		}
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) {
			return nil, fmt.Errorf("the certificate of %s is not trusted: %s: name the file with its authority", c.host, untrusted.Err)
		}
		return nil, &again{cause: withoutURL(err)}
	}
	c.reached.Store(true)
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &again{cause: "its answer broke off"}
	case len(text) > maxAnswer:
		return nil, &refusal{http.StatusRequestEntityTooLarge}
	case res.StatusCode != http.StatusOK:
		return nil, c.statusError(res, text, req.Header.Get("Authorization") != "")
	}
	var answer commonpb.Payloads
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%s does not answer as a codec server does: check the address, and whether a login page stands before it", c.host)
	}
	if len(answer.GetPayloads()) != n {
		return nil, fmt.Errorf("codec server %s answered with %d payloads for %d: nothing of it is used", c.host, len(answer.GetPayloads()), n)
	}
	return answer.GetPayloads(), nil
}

// statusError judges an answer that is not 200, to a request that said who asks or did not.
func (c *Client) statusError(res *http.Response, text []byte, said bool) error {
	switch s := res.StatusCode; {
	case s == http.StatusUnauthorized && !said:
		return fmt.Errorf("%w%s: there is none for %s: log in with \"signet login\"", ErrUnauthenticated, requestID(res, text), c.host)
	case s == http.StatusUnauthorized:
		return fmt.Errorf("%w%s: log in again with \"signet login --again\", or give another one", ErrUnauthenticated, requestID(res, text))
	case s == http.StatusNotFound || s == http.StatusMethodNotAllowed:
		return fmt.Errorf("%s has no /decode there (status %d): check the address", c.host, s)
	case s == http.StatusTooManyRequests, s == http.StatusBadGateway, s == http.StatusServiceUnavailable, s == http.StatusGatewayTimeout:
		return &again{cause: fmt.Sprintf("status %d%s", s, requestID(res, text)), after: retryAfter(res)}
	case s >= 400 && s <= 500:
		return &refusal{s}
	}
	return fmt.Errorf("codec server %s answers with status %d: check the address, and whether a login page stands before it", c.host, res.StatusCode)
}

// retryAfter reads the seconds; a date is not known of any codec server.
func retryAfter(res *http.Response) time.Duration {
	n, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || n < 0 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// requestID names what to look for in the server's log.
func requestID(res *http.Response, text []byte) string {
	id := res.Header.Get("X-Request-Id")
	if id == "" {
		var says struct {
			RequestID string `json:"requestId"`
		}
		_ = json.Unmarshal(text, &says) // another server's answer
		id = says.RequestID
	}
	strange := func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) || r == ' ' }
	if id == "" || len(id) > 64 || strings.ContainsFunc(id, strange) {
		return ""
	}
	return " (request " + id + ")"
}

// withoutURL is what went wrong, without the method and address that net/http puts before it.
func withoutURL(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return err.Error()
}
