package codecclient_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-temporal/signet/internal/codecclient"
)

// TestAnythingThatIsSentAlongMayBeASecret: headers and renewed logins as well as an Authorization.
func TestAnythingThatIsSentAlongMayBeASecret(t *testing.T) {
	for what, o := range map[string]codecclient.Options{
		"a header": {Header: http.Header{"Cookie": {"planted"}}},
		"a login":  {Authorize: func(context.Context) (string, error) { return "Bearer planted", nil }},
	} {
		o.Endpoint, o.Namespace = "http://codec.example.com", "n"
		if _, err := codecclient.New(o); err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := codecclient.New(codecclient.Options{Endpoint: "https://codec.example.com/#x", Namespace: "n"}); err == nil {
		t.Error("a fragment is taken")
	}
	// A namespace leads to no other host.
	for _, namespace := range []string{"u:p@evil.example/", "evil.example/", "evil.example#", "evil.example?", `evil.example\`, "evil.example:443/"} {
		_, err := codecclient.New(codecclient.Options{Endpoint: "https://{namespace}.codec.example.com", Namespace: namespace, Authorization: "Bearer planted"})
		if err == nil {
			t.Errorf("namespace %q names a host", namespace)
		}
	}
}

// TestAServerThatLies about how much there is, or how long it takes.
func TestAServerThatLies(t *testing.T) {
	one := func(text string) func(*http.Request) *http.Response {
		return func(*http.Request) *http.Response { return answer(200, nil, text) }
	}
	for what, c := range map[string]struct {
		answer func(*http.Request) *http.Response
		want   string
	}{
		"more payloads than asked for": {one(`{"payloads":[{},{}]}`), "answered with 2 payloads for 1"},
		"no payload":                   {one(`{"payloads":[null]}`), "does not answer as a codec server does"},
		"a member twice":               {one(`{"payloads":[{"data":"YQ=="}],"payloads":[{"data":"Yg=="}]}`), "does not answer as a codec server does"},
		"deep":                         {one(strings.Repeat(`{"x":[`, 100_000)), "does not answer as a codec server does"},
	} {
		results, err := inBubble(t, codecclient.Options{}, c.answer).Decode(t.Context(), payloads("x"))
		if results != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	// An answer without an end is not kept in memory: it counts as one that is too large.
	read := int64(0)
	endless := &endlessBody{read: &read}
	results, err := inBubble(t, codecclient.Options{}, func(*http.Request) *http.Response {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: endless}
	}).Decode(t.Context(), payloads("x"))
	if err != nil || results[0].Refused != http.StatusRequestEntityTooLarge || string(results[0].Payload.GetData()) != "x" {
		t.Errorf("%v, %v", results, err)
	}
	if read > 300<<20 {
		t.Errorf("%d bytes of it were read", read)
	}
	// It may not send whoever asks to sleep, nor hold a request for ever.
	synctest.Test(t, func(t *testing.T) {
		began, tries := time.Now(), 0
		c := inBubble(t, codecclient.Options{}, func(*http.Request) *http.Response {
			if tries++; tries == 1 {
				return answer(503, http.Header{"Retry-After": {"1000000"}}, "")
			}
			return answer(200, nil, `{"payloads":[{}]}`)
		})
		if _, err := c.Decode(t.Context(), payloads("x")); err != nil || time.Since(began) > time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c := inBubble(t, codecclient.Options{Patience: time.Second}, func(r *http.Request) *http.Response {
			<-r.Context().Done()
			return nil
		})
		if _, err := c.Decode(t.Context(), payloads("x")); !errors.Is(err, codecclient.ErrUnavailable) || time.Since(began) > 5*time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
	_, err = inBubble(t, codecclient.Options{}, func(*http.Request) *http.Response {
		return answer(401, http.Header{"X-Request-Id": {strings.Repeat("R", 65)}}, "")
	}).Decode(t.Context(), payloads("x"))
	if !errors.Is(err, codecclient.ErrUnauthenticated) || strings.Contains(err.Error(), "RRR") {
		t.Errorf("%v", err)
	}
}

// TestALoginThatHasEndedIsNotTriedAgain, and nothing is sent without it.
func TestALoginThatHasEndedIsNotTriedAgain(t *testing.T) {
	asked, sent := 0, 0
	ended := errors.New("the login has ended")
	c := inBubble(t, codecclient.Options{Authorize: func(context.Context) (string, error) { asked++; return "", ended }}, func(*http.Request) *http.Response {
		sent++
		return answer(200, nil, `{"payloads":[{}]}`)
	})
	if _, err := c.Decode(t.Context(), payloads("x")); !errors.Is(err, codecclient.ErrUnauthenticated) || !errors.Is(err, ended) || asked != 1 || sent != 0 {
		t.Errorf("%v; asked %d times, sent %d", err, asked, sent)
	}
}

type endlessBody struct{ read *int64 }

func (b *endlessBody) Read(p []byte) (int, error) {
	if *b.read += int64(len(p)); *b.read > 1<<30 {
		return 0, io.EOF
	}
	return len(p), nil
}

func (b *endlessBody) Close() error { return nil }
