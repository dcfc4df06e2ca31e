package codecclient_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signet-temporal/signet/internal/codecclient"
)

// server is a codec server that turns "x" into "opened x" and refuses a request in which a payload begins with a status.
type server struct {
	mu       sync.Mutex
	sizes    []int // payloads of each request
	most     int   // requests under way at a time
	underWay int
	headers  http.Header
	before   func(w http.ResponseWriter, request int) bool // true: it has answered
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	var in commonpb.Payloads
	if err := protojson.Unmarshal(text, &in); err != nil {
		panic(err)
	}
	s.mu.Lock()
	s.sizes = append(s.sizes, len(in.GetPayloads()))
	s.headers = r.Header.Clone()
	s.underWay++
	s.most = max(s.most, s.underWay)
	n := len(s.sizes)
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.underWay--; s.mu.Unlock() }()
	if s.before != nil && s.before(w, n) {
		return
	}
	for _, p := range in.GetPayloads() {
		var status int
		if _, err := fmt.Sscanf(string(p.GetData()), "%d ", &status); err == nil {
			w.WriteHeader(status)
			return
		}
		p.Data = append([]byte("opened "), p.GetData()...)
	}
	out, _ := protojson.Marshal(&in)
	_, _ = w.Write(out)
}

func payloads(texts ...string) (all []*commonpb.Payload) {
	for _, text := range texts {
		all = append(all, &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/encrypted")}, Data: []byte(text)})
	}
	return all
}

func numbered(n int) (texts []string) {
	for i := range n {
		texts = append(texts, fmt.Sprintf("p%d", i))
	}
	return texts
}

func start(t *testing.T, s http.Handler, o codecclient.Options) *codecclient.Client {
	t.Helper()
	at := httptest.NewServer(s)
	t.Cleanup(at.Close)
	o.Endpoint, o.Namespace = at.URL+"/of/{namespace}/", "pay ments"
	c, err := codecclient.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestALongHistoryIsDecodedInBatchesAndInOrder(t *testing.T) {
	s := &server{before: func(http.ResponseWriter, int) bool { time.Sleep(20 * time.Millisecond); return false }}
	c := start(t, s, codecclient.Options{Authorization: "Bearer t", Header: http.Header{"X-Extra": {"e"}}, Batch: 30, Parallel: 3})
	results, err := c.Decode(t.Context(), payloads(numbered(1000)...))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if want := fmt.Sprintf("opened p%d", i); r.Refused != 0 || string(r.Payload.GetData()) != want {
			t.Fatalf("payload %d: %d %q, want %q", i, r.Refused, r.Payload.GetData(), want)
		}
	}
	if len(s.sizes) != 34 || s.most < 2 || s.most > 3 {
		t.Errorf("%d requests, %d at a time", len(s.sizes), s.most)
	}
	if h := s.headers; h.Get("Authorization") != "Bearer t" || h.Get("X-Extra") != "e" || h.Get("X-Namespace") != "pay ments" || h.Get("Content-Type") != "application/json" || h.Get("Signet-Accept") != "masks" {
		t.Errorf("headers %v", h)
	}
}

func TestLargePayloadsGoInSmallerRequests(t *testing.T) {
	s := &server{}
	c := start(t, s, codecclient.Options{})
	large := strings.Repeat("x", 1<<20)
	if _, err := c.Decode(t.Context(), payloads(large, large, large, large+large+large, "small")); err != nil {
		t.Fatal(err)
	}
	if len(s.sizes) != 5 {
		t.Errorf("requests of %v payloads", s.sizes)
	}
}

func TestARefusedPayloadDoesNotHideTheOthers(t *testing.T) {
	s := &server{}
	c := start(t, s, codecclient.Options{Parallel: 1})
	texts := numbered(100)
	texts[7], texts[50], texts[99] = "403 ", "422 ", "500 "
	results, err := c.Decode(t.Context(), payloads(texts...))
	if err != nil {
		t.Fatal(err)
	}
	refused := map[int]int{}
	for i, r := range results {
		if r.Refused != 0 {
			refused[i] = r.Refused
		} else if string(r.Payload.GetData()) != "opened "+texts[i] {
			t.Errorf("payload %d is %q", i, r.Payload.GetData())
		}
	}
	if len(refused) != 3 || refused[7] != 403 || refused[50] != 422 || refused[99] != 500 || string(results[7].Payload.GetData()) != "403 " {
		t.Errorf("refused %v", refused)
	}
}

func TestWhoMaySeeNothingIsNotAskedForEachPayload(t *testing.T) {
	s := &server{}
	c := start(t, s, codecclient.Options{Parallel: 1})
	texts := numbered(1000)
	for i := range texts {
		texts[i] = "403 "
	}
	results, err := c.Decode(t.Context(), payloads(texts...))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Refused != 403 {
			t.Fatalf("payload %d was not refused", i)
		}
	}
	if len(s.sizes) > 60 {
		t.Errorf("%d requests for 1000 payloads that may not be seen", len(s.sizes))
	}
}

func TestABusyServerIsAskedAgainWhenItSays(t *testing.T) {
	for _, status := range []int{429, 502, 503, 504} {
		synctest.Test(t, func(t *testing.T) {
			var tries atomic.Int32
			began := time.Now()
			c := inBubble(t, codecclient.Options{}, func(*http.Request) *http.Response {
				if tries.Add(1) <= 2 {
					return answer(status, http.Header{"Retry-After": {"20"}}, `{"error":"busy"}`)
				}
				return answer(200, nil, `{"payloads":[{"metadata":{},"data":""}]}`)
			})
			if _, err := c.Decode(t.Context(), payloads("x")); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took < 40*time.Second || tries.Load() != 3 {
				t.Errorf("%d: %d tries in %s", status, tries.Load(), took)
			}
		})
	}
}

func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c := inBubble(t, codecclient.Options{Patience: time.Minute}, func(*http.Request) *http.Response {
			return answer(503, http.Header{"X-Request-Id": {"R1"}}, `{}`)
		})
		_, err := c.Decode(t.Context(), payloads("x"))
		if !errors.Is(err, codecclient.ErrUnavailable) || !strings.Contains(err.Error(), "503 (request R1)") || time.Since(began) > time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // an address at which nobody has ever answered
		began := time.Now()
		c := inBubble(t, codecclient.Options{Patience: time.Minute}, func(*http.Request) *http.Response { return nil })
		_, err := c.Decode(t.Context(), payloads("x"))
		if !errors.Is(err, codecclient.ErrUnavailable) || time.Since(began) > 10*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// What speaks about the request as a whole is said at once, and nothing that the server wrote is repeated.
func TestWhatEndsEverything(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   string
		auth   string
	}{
		{401, `{"requestId":"R2","error":"planted"}`, `does not accept the login (request R2): log in again with "signet login --again"`, "Bearer x"},
		{401, `{"requestId":"R2\u001b[2J"}`, "does not accept the login: log in again", "Bearer x"},
		{401, `{"requestId":"R2"}`, "does not accept the login (request R2): there is none for ", ""},
		{404, `planted`, "has no /decode there (status 404): check the address", ""},
		{302, `planted`, "status 302: check the address, and whether a login page", ""},
		{200, `<html>planted</html>`, "does not answer as a codec server does", ""},
		{200, `{"payloads":[]}`, "answered with 0 payloads for 1", ""},
	} {
		tries := 0
		client := inBubble(t, codecclient.Options{Authorization: c.auth}, func(*http.Request) *http.Response {
			tries++
			return answer(c.status, http.Header{"Location": {"https://elsewhere.example.com"}}, c.body)
		})
		results, err := client.Decode(t.Context(), payloads("x"))
		if results != nil || err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "planted") || tries != 1 {
			t.Errorf("%d %s: %v after %d tries, want %q", c.status, c.body, err, tries, c.want)
		}
	}
}

func TestAnAddressThatWouldGiveTheTokenAwayIsRefused(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"https://codec.example.com": true, "https://codec.example.com/a/{namespace}": true, "http://127.0.0.1:8234": true, "http://localhost:1": true, "http://[::1]:1": true,
		"http://codec.example.com": false, "codec.example.com": false, "ftp://codec.example.com": false, "https://a:b@codec.example.com": false, "https://codec.example.com?a=b": false, "": false,
	} {
		c, err := codecclient.New(codecclient.Options{Endpoint: endpoint, Namespace: "n", Authorization: "Bearer planted"})
		if (err == nil) != ok || (c != nil) != ok || err != nil && strings.Contains(err.Error(), "planted") {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

type transport func(*http.Request) *http.Response

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if res := f(r); res != nil {
		return res, nil
	}
	return nil, errors.New("connection refused")
}

func answer(status int, h http.Header, body string) *http.Response {
	if h == nil {
		h = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func inBubble(t *testing.T, o codecclient.Options, f transport) *codecclient.Client {
	t.Helper()
	o.Endpoint, o.Namespace, o.HTTP = "https://codec.example.com", "payments", &http.Client{Transport: f}
	c, err := codecclient.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
