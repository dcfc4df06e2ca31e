package codecserver_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
	commonpb "go.temporal.io/api/common/v1"
	sdk "go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/principal"
)

const (
	ui     = "https://temporal.example.com"
	secret = "PLAINTEXT-4711"
)

// keyring holds one real key for each keyset. away and destroyed make Lookup fail as a ring does.
type keyring struct {
	mu              sync.Mutex
	ids             map[string]uint32
	aeads           map[string]tink.AEAD
	away, destroyed bool
}

type gone struct{}

func (gone) Error() string   { return "key destroyed" }
func (gone) Permanent() bool { return true }

func newKeyring(t testing.TB, names ...string) *keyring {
	t.Helper()
	k := &keyring{ids: map[string]uint32{}, aeads: map[string]tink.AEAD{}}
	for _, name := range names {
		handle, err := keyset.NewHandle(aead.XAES256GCM192BitNonceKeyTemplate())
		if err != nil {
			t.Fatal(err)
		}
		k.ids[name] = handle.KeysetInfo().GetPrimaryKeyId()
		if k.aeads[name], err = aead.New(handle); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func (k *keyring) Primary(name string) (uint32, tink.AEAD, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away {
		return 0, nil, errors.New("no primary key")
	}
	return k.ids[name], k.aeads[name], nil
}

func (k *keyring) Lookup(name string, id uint32) (tink.AEAD, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.destroyed:
		return nil, gone{}
	case k.away || k.aeads[name] == nil || k.ids[name] != id:
		return nil, errors.New("unknown key")
	}
	return k.aeads[name], nil
}

func (k *keyring) set(away, destroyed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away, k.destroyed = away, destroyed
}

// tokens is an authenticator that knows its callers by heart.
type tokens map[string]*principal.Caller

type reasonError string

func (e reasonError) Error() string  { return "token refused: " + string(e) }
func (e reasonError) Reason() string { return string(e) }

func (k tokens) Authenticate(r *http.Request) (*principal.Caller, error) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if c := k[token]; c != nil {
		return c, nil
	}
	if token == "" {
		return nil, reasonError("missing-token")
	}
	return nil, reasonError(token)
}

// counted counts what a codec was asked to do.
type counted struct {
	*converter.Codec
	opens, seals *int
}

func (c counted) Open(p *commonpb.Payload) (*commonpb.Payload, error) {
	*c.opens++
	return c.Codec.Open(p)
}

func (c counted) Seal(p *commonpb.Payload) (*commonpb.Payload, error) {
	*c.seals++
	return c.Codec.Seal(p)
}

// brokenSink is an audit log on a full disk.
type brokenSink struct{}

func (brokenSink) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// world is a handler with two namespaces, payments and orders (whose scope is "orders-v1"), and what stands around it.
// Ann may decode payments and encode both; Bob may do nothing.
type world struct {
	t            testing.TB
	config       codecserver.Config
	keys         *keyring
	codecs       map[string]*converter.Codec // by scope; one more than the server has: "elsewhere"
	records, log *bytes.Buffer
	opens, seals int
	http.Handler
}

func newWorld(t testing.TB, change ...func(*codecserver.Config)) *world {
	t.Helper()
	w := &world{t: t, keys: newKeyring(t, "ns/payments", "ns/orders", "ns/elsewhere"), codecs: map[string]*converter.Codec{}, records: new(bytes.Buffer), log: new(bytes.Buffer)}
	for scope, set := range map[string]string{"payments": "ns/payments", "orders-v1": "ns/orders", "elsewhere": "ns/elsewhere"} {
		codec, err := converter.NewCodec(w.keys, converter.CodecOptions{Keyset: set, Scope: scope})
		if err != nil {
			t.Fatal(err)
		}
		w.codecs[scope] = codec
	}
	rules, err := policy.Parse([]byte(`
grants:
  - {name: payments-oncall, issuer: "https://idp", groups: [oncall], namespaces: [payments], actions: [decode]}
  - {name: starters, issuer: "https://idp", groups: [oncall], namespaces: [payments, orders], actions: [encode]}
`))
	if err != nil {
		t.Fatal(err)
	}
	w.config = codecserver.Config{
		Namespaces: []codecserver.Namespace{
			{Name: "payments", Codec: counted{w.codecs["payments"], &w.opens, &w.seals}},
			{Name: "orders", Scope: "orders-v1", Codec: counted{w.codecs["orders-v1"], &w.opens, &w.seals}},
		},
		Authenticator: tokens{
			"ann": {Issuer: "https://idp", Subject: "u-ann", Email: "ann@example.com", Groups: []string{"oncall"}},
			"bob": {Issuer: "https://idp", Subject: "u-bob"},
			"nil": {},
		},
		Policy:  rules,
		Audit:   audit.New(w.records),
		CORS:    codecserver.CORS{AllowedOrigins: []string{ui}},
		Contact: "Ask #payments-oncall for access.",
		Logger:  slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&w.config)
	}
	if w.Handler, err = codecserver.New(w.config); err != nil {
		t.Fatal(err)
	}
	return w
}

func strict(c *codecserver.Config)      { c.Mode = codecserver.Strict }
func brokenAudit(c *codecserver.Config) { c.Audit = audit.New(brokenSink{}) }

// sealed returns a payload with the secret in it, sealed for workflow order-17 in the scope.
func (w *world) sealed(scope string) *commonpb.Payload {
	w.t.Helper()
	return w.sealedFor(scope, "order-17")
}

func (w *world) sealedFor(scope, workflow string) *commonpb.Payload {
	w.t.Helper()
	codec := w.codecs[scope].WithSerializationContext(sdk.WorkflowSerializationContext{Namespace: scope, WorkflowID: workflow})
	sealed, err := codec.Encode([]*commonpb.Payload{plain(`"` + secret + `"`)})
	if err != nil {
		w.t.Fatal(err)
	}
	return sealed[0]
}

func plain(text string) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(text)}
}

func body(t testing.TB, payloads ...*commonpb.Payload) string {
	t.Helper()
	text, err := protojson.Marshal(&commonpb.Payloads{Payloads: payloads})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ask is one request. Header values of "" remove a header.
type ask struct {
	method, path, body string
	header             map[string]string
}

// fromUI is what the Web UI sends from a page of namespace payments.
func fromUI(token, action, body string, more ...string) ask {
	h := map[string]string{"Origin": ui, "Sec-Fetch-Mode": "cors", "X-Namespace": "payments"}
	return asked(h, token, action, body, more)
}

// fromMachine is what an SDK's remote codec sends.
func fromMachine(token, action, body string, more ...string) ask {
	return asked(map[string]string{"User-Agent": "Go-http-client/1.1"}, token, action, body, more)
}

func asked(h map[string]string, token, action, body string, more []string) ask {
	h["Content-Type"] = "application/json"
	if token != "" {
		h["Authorization"] = "Bearer " + token
	}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return ask{http.MethodPost, "/" + action + "?preserveStorageRefs=true", body, h}
}

type reply struct {
	t testing.TB
	*http.Response
	text string
}

func (w *world) send(a ask) reply {
	w.t.Helper()
	return w.do(httptestRequest(w.t, a))
}

func httptestRequest(t testing.TB, a ask) *http.Request {
	t.Helper()
	r := httptest.NewRequest(a.method, a.path, strings.NewReader(a.body))
	for k, v := range a.header {
		if v != "" {
			r.Header.Set(k, v)
		}
	}
	return r
}

func (w *world) do(r *http.Request) reply {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	resp := rec.Result()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply{w.t, resp, string(text)}
}

func (r reply) want(status int) reply {
	r.t.Helper()
	if r.StatusCode != status {
		r.t.Fatalf("status %d, want %d: %s", r.StatusCode, status, r.text)
	}
	return r
}

// payloads parses the answer and checks how many there are.
func (r reply) payloads(n int) []*commonpb.Payload {
	r.t.Helper()
	r.want(http.StatusOK)
	var out commonpb.Payloads
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(r.text), &out); err != nil {
		r.t.Fatalf("%v: %s", err, r.text)
	}
	if len(out.Payloads) != n {
		r.t.Fatalf("%d payloads, want %d: %s", len(out.Payloads), n, r.text)
	}
	return out.Payloads
}

type explanation struct {
	Mark                                                   string `json:"signet-explanation"`
	Message, Reason, Namespace, Caller, Contact, RequestID string
}

func explained(t *testing.T, p *commonpb.Payload, reason string) explanation {
	t.Helper()
	if string(p.Metadata["encoding"]) != "json/plain" || string(p.Metadata["signet-explanation"]) != "v1" {
		t.Fatalf("not an explanation: %v", p)
	}
	var e explanation
	if err := json.Unmarshal(p.Data, &e); err != nil {
		t.Fatalf("%v: %s", err, p.Data)
	}
	if e.Mark != "v1" || e.Reason != reason || e.Message == "" || e.RequestID == "" {
		t.Errorf("explanation %+v, want reason %s", e, reason)
	}
	return e
}

type record struct {
	audit.Record
	raw string
}

// audited returns the records since the last call, each as "<decision> <reason> <rule> <namespace>/<workflow>", with the
// namespace and workflow in parentheses where they are only claimed.
func (w *world) audited() (short []string, records []record) {
	w.t.Helper()
	for line := range strings.Lines(w.records.String()) {
		var r record
		if err := json.Unmarshal([]byte(line), &r.Record); err != nil {
			w.t.Fatalf("%v: %s", err, line)
		}
		r.raw = line
		what := r.Namespace + "/" + r.Workflow
		if r.Claimed != nil {
			what = "(" + r.Claimed.Namespace + "/" + r.Claimed.Workflow + ")"
		}
		records = append(records, r)
		short = append(short, fmt.Sprintf("%s %s %s %s", r.Decision, or(r.Reason, "-"), or(r.Rule, "-"), what))
	}
	w.records.Reset()
	return short, records
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (w *world) wantAudit(want ...string) []record {
	w.t.Helper()
	got, records := w.audited()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.t.Errorf("audit records\n got %q\nwant %q", got, want)
	}
	return records
}

// nothingLeaks fails if the secret, in clear or in base64, stands in the answer, the log or the audit records.
func (w *world) nothingLeaks(r reply) {
	w.t.Helper()
	for where, text := range map[string]string{"answer": r.text, "log": w.log.String(), "audit": w.records.String()} {
		if strings.Contains(text, secret) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(`"` + secret + `"`))[:16]) {
			w.t.Errorf("the %s holds plaintext: %s", where, text)
		}
	}
}
