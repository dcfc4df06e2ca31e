package codecserver_test

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/principal"
)

// The Web UI asks for each field by itself: some 200 requests for a page of a history, and 30,000 to download a history of
// 10,000 activities, one after the other, 36 in a second at 20 ms each.
func TestPagesAreNeverLimitedAndABulkExportIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		one := body(t, w.sealed("payments"))
		for page := range 10 { // as fast as somebody can click
			for range 200 {
				if p := w.send(fromUI("ann", "decode", one)).payloads(1)[0]; p.Metadata["signet-explanation"] != nil {
					t.Fatalf("page %d is limited: %s", page, p.Data)
				}
			}
			time.Sleep(2 * time.Second)
		}
		time.Sleep(10 * time.Minute)
		at := slices.IndexFunc(make([]struct{}, 30_000), func(struct{}) bool {
			time.Sleep(time.Second / 36)
			return w.send(fromMachine("ann", "decode", one)).StatusCode != http.StatusOK
		})
		if at < 3000 || at > 6000 {
			t.Errorf("an export of 30,000 payloads was stopped after %d, want some thousand", at)
		}
		w.audited()

		r := w.send(fromMachine("ann", "decode", body(t, slices.Repeat([]*commonpb.Payload{w.sealed("payments")}, 100)...))).want(http.StatusTooManyRequests)
		seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
		if err != nil || seconds < 9 || seconds > 12 || !strings.Contains(r.text, `"rate-limited"`) {
			t.Errorf("Retry-After %q, %s; want 10 s for 100 payloads", r.Header.Get("Retry-After"), r.text)
		}
		if short, _ := w.audited(); len(short) != 100 || short[0] != "deny rate-limited payments-oncall (payments/order-17)" {
			t.Errorf("records %d, %q", len(short), short[0])
		}
		out := w.send(fromUI("ann", "decode", body(t, w.sealed("payments"), w.sealed("payments"), plain("1")))).payloads(3)
		if e := explained(t, out[0], "rate-limited"); !strings.HasPrefix(e.Message, "Wait a minute") || string(out[2].Data) != "1" {
			t.Errorf("a person got %q and %s", e.Message, out[2].Data)
		}
		time.Sleep(time.Duration(seconds) * time.Second)
		w.send(fromMachine("ann", "decode", one)).payloads(1)
	})
}

func TestTheLimitIsThatOfACallerAndNotOfATokenOrOfOthers(t *testing.T) {
	w := newWorld(t, func(c *codecserver.Config) {
		c.Limits.PayloadBurst, c.Limits.PayloadsPerSecond = 2, 0.001
		c.Authenticator.(tokens)["ann-again"] = c.Authenticator.(tokens)["ann"]
		c.Authenticator.(tokens)["eve"] = &principal.Caller{Issuer: "https://idp", Subject: "u-eve", Groups: []string{"oncall"}}
	})
	three := body(t, w.sealed("payments"), w.sealed("payments"), w.sealed("payments"))
	w.send(fromMachine("ann", "decode", three)).payloads(3) // more than a bucket holds takes a full one: it must be possible
	w.send(fromMachine("ann", "decode", body(t, w.sealed("payments")))).want(http.StatusTooManyRequests)
	w.send(fromMachine("ann-again", "decode", body(t, w.sealed("payments")))).want(http.StatusTooManyRequests)
	w.send(fromMachine("ann", "encode", body(t, plain("1")), "X-Namespace", "payments")).want(http.StatusTooManyRequests)
	w.send(fromMachine("ann", "decode", body(t, plain("1"), plain("2")))).payloads(2) // not ours, not counted
	w.send(fromMachine("ann", "decode", body(t, w.sealed("orders-v1")))).want(http.StatusForbidden)
	w.send(fromMachine("eve", "decode", body(t, w.sealed("payments")))).payloads(1)
}

func TestABulkGrantIsNotLimited(t *testing.T) {
	w := newWorld(t, func(c *codecserver.Config) { c.Limits.PayloadBurst, c.Limits.PayloadsPerSecond = 2, 0.001 }, withPolicy(t, `
grants:
  - {name: worker, issuer: "https://idp", groups: [oncall], namespaces: [payments], actions: [decode], bulk: true}
  - {name: orders, issuer: "https://idp", groups: [oncall], namespaces: [orders], actions: [decode]}
`))
	for range 10 {
		w.send(fromMachine("ann", "decode", body(t, w.sealed("payments")))).payloads(1)
	}
	w.send(fromMachine("ann", "decode", body(t, w.sealed("orders-v1"), w.sealed("orders-v1")))).payloads(2)
	w.send(fromMachine("ann", "decode", body(t, w.sealed("orders-v1")))).want(http.StatusTooManyRequests)
}

// slowBody blocks until it is let go.
type slowBody struct{ began, goOn chan struct{} }

func (b slowBody) Read([]byte) (int, error) {
	b.began <- struct{}{}
	<-b.goOn
	return 0, io.ErrUnexpectedEOF
}

func TestRequestsBeyondTheLimitOfConcurrencyWaitForASecondAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *codecserver.Config) { c.Limits.MaxConcurrent = 2 })
		slow := slowBody{make(chan struct{}), make(chan struct{})}
		var wg sync.WaitGroup
		for range 2 {
			r := httptestRequest(t, fromMachine("ann", "decode", ""))
			r.Body = io.NopCloser(slow)
			wg.Go(func() { w.do(r) })
			<-slow.began
		}
		begin := time.Now()
		r := w.send(fromMachine("ann", "decode", body(t, w.sealed("payments")))).want(http.StatusTooManyRequests)
		if time.Since(begin) != time.Second || r.Header.Get("Retry-After") == "" || !strings.Contains(r.text, `"busy"`) {
			t.Errorf("refused after %v, Retry-After %q, %s", time.Since(begin), r.Header.Get("Retry-After"), r.text)
		}
		w.send(fromMachine("", "decode", "")).want(http.StatusUnauthorized) // who is not known takes no slot, and gets none
		wg.Go(func() { w.send(fromMachine("ann", "decode", body(t, w.sealed("payments")))).payloads(1) })
		synctest.Wait()
		close(slow.goOn)
		wg.Wait()
	})
}
