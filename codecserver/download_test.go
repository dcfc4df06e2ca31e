package codecserver_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	sdk "go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/codecserver"
	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/labels"
)

// bucket is a store that counts what it is asked for. Keys that begin with "!" are errors with that reason.
type bucket struct {
	objects map[string]*commonpb.Payload
	fetched int
	most    int64 // the largest bound of a fetch
}

type storageError string

func (e storageError) Error() string  { return "storage: " + string(e) }
func (e storageError) Reason() string { return string(e) }

func (b *bucket) Fetch(_ context.Context, r codecserver.Reference, maxBytes int64) (*commonpb.Payload, int64, error) {
	b.fetched++
	b.most = max(b.most, maxBytes)
	if reason, wrong := strings.CutPrefix(r.Claim["key"], "!"); wrong {
		return nil, 0, storageError(reason)
	}
	p, ok := b.objects[r.Claim["key"]]
	if !ok || r.Driver != "s3" {
		return nil, 0, errors.New("the network is down")
	}
	size := int64(proto.Size(p))
	if size > maxBytes {
		return nil, 0, storageError("too-large")
	}
	return p, size, nil
}

func reference(t *testing.T, key string) *commonpb.Payload {
	t.Helper()
	data, err := protojson.Marshal(&sdkpb.ExternalStorageReference{DriverName: "s3", ClaimData: map[string]string{"key": key}})
	if err != nil {
		t.Fatal(err)
	}
	return &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/protobuf"), "messageType": []byte("temporal.api.sdk.v1.ExternalStorageReference")}, Data: data,
		ExternalPayloads: []*commonpb.Payload_ExternalPayloadDetails{{SizeBytes: 1 << 20}}}
}

const downloaders = `
deny:
  - {name: sealed-ward, workflows: ["ward-*"], actions: [decode]}
grants:
  - {name: files, issuer: "https://idp", groups: [oncall], namespaces: [payments], workflows: ["order-*", "ward-*"], actions: [download], labels: [pii]}
  - {name: readers, issuer: "https://idp", subjects: [u-bob], namespaces: [payments], actions: [decode]}
`

// withBucket is a world in which Ann may download what order-* stored in payments, but for wards, and Bob may decode.
func withBucket(t *testing.T, change ...func(*codecserver.Config)) (*world, *bucket) {
	t.Helper()
	b := &bucket{objects: map[string]*commonpb.Payload{}}
	rules, err := policy.Parse([]byte(downloaders))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, append([]func(*codecserver.Config){func(c *codecserver.Config) { c.Storage, c.Policy = b, rules }}, change...)...)
	tampered := proto.CloneOf(w.sealed("payments"))
	tampered.Data[len(tampered.Data)-1] ^= 1
	for key, p := range map[string]*commonpb.Payload{
		"order": w.sealed("payments"), "ward": w.sealedFor("payments", "ward-1"), "visit": w.sealedFor("payments", "visit-1"),
		"orders": w.sealed("orders-v1"), "elsewhere": w.sealed("elsewhere"), "plain": plain(`"` + secret + `"`), "tampered": tampered,
		"nested": reference(t, "order"), "pii": labelled(t, w, "pii"), "phi": labelled(t, w, "phi"),
	} {
		b.objects[key] = p
	}
	return w, b
}

func labelled(t *testing.T, w *world, label string) *commonpb.Payload {
	t.Helper()
	value, err := labels.Labels{label: {""}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	p := plain(`"` + secret + `"`)
	p.Metadata[labels.Metadata] = value
	sealed, err := w.codecs["payments"].WithSerializationContext(sdk.WorkflowSerializationContext{Namespace: "payments", WorkflowID: "order-17"}).Encode([]*commonpb.Payload{p})
	if err != nil {
		t.Fatal(err)
	}
	return sealed[0]
}

func TestADownloadIsTheOpenedPayload(t *testing.T) {
	w, b := withBucket(t)
	legacy := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/external-storage-reference")}, Data: []byte(`{"driver_name":"s3","driver_claim":{"claim_data":{"key":"order"}}}`)}
	r := w.send(fromUI("ann", "download", body(t, reference(t, "order"), legacy, reference(t, "pii"))))
	for _, p := range r.payloads(3) {
		if string(p.Data) != `"`+secret+`"` || string(p.Metadata["encoding"]) != "json/plain" {
			t.Errorf("got %v", p)
		}
	}
	records := w.wantAudit("allow - files payments/order-17", "allow - files payments/order-17", "allow - files payments/order-17")
	if records[0].Action != "download" || records[0].Payloads != 3 || records[0].Key == "" || b.fetched != 3 {
		t.Errorf("%+v, %d fetched", records[0], b.fetched)
	}
	// /decode leaves references as they are, with the query and without.
	in := body(t, reference(t, "order"))
	if r := w.send(fromUI("bob", "decode", in)); !strings.Contains(r.want(200).text, "externalPayloads") || b.fetched != 3 {
		t.Errorf("decode: %s", r.text)
	}
}

// TestADownloadHasMasks where a decoded payload has them.
func TestADownloadHasMasks(t *testing.T) {
	w, _ := withBucket(t)
	r := w.send(fromUI("ann", "download", body(t, reference(t, "phi"))))
	if p := r.payloads(1)[0]; string(p.Data) != `"••• masked: phi"` {
		t.Errorf("got %v", p)
	}
	w.nothingLeaks(r)
	if recs := w.wantAudit("allow - files payments/order-17"); !slices.Equal(recs[0].LabelsMasked, []string{"phi"}) {
		t.Errorf("on record %+v", recs[0])
	}
	w.nothingLeaks(w.send(fromMachine("ann", "download", body(t, reference(t, "phi")), "X-Namespace", "payments")).want(403))
	w.wantAudit("deny would-be-masked files payments/order-17")
}

func TestDownloadsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		says, token, key, namespace string
		status                      int
		fetched                     int
		record                      string
	}{
		{"who may download nothing has nothing fetched", "bob", "order", "payments", 403, 0, "deny not-granted - /"},
		{"nor in a namespace without a grant", "ann", "orders", "orders", 403, 0, "deny not-granted - /"},
		{"nor without a namespace", "ann", "order", "", 403, 0, "deny unknown-namespace - /"},
		{"nor in one that is not there", "ann", "order", "other", 403, 0, "deny unknown-namespace - /"},
		{"nor somebody who is not known", "expired-token", "order", "payments", 401, 0, "deny expired-token - /"},
		{"the sealed workflow decides", "ann", "visit", "payments", 403, 1, "deny not-granted - (payments/visit-1)"},
		{"a denial of decode denies the download", "ann", "ward", "payments", 403, 1, "deny denied sealed-ward (payments/ward-1)"},
		{"the sealed namespace decides", "ann", "orders", "payments", 403, 1, "deny namespace-mismatch - (orders/order-17)"},
		{"also one that is not served", "ann", "elsewhere", "payments", 403, 1, "deny unknown-namespace - (elsewhere/order-17)"},
		{"what is not sealed stays in the store", "ann", "plain", "payments", 422, 1, "unreadable not-sealed - /"},
		{"a reference leads to no other", "ann", "nested", "payments", 422, 1, "unreadable not-sealed - /"},
		{"what was changed does not open", "ann", "tampered", "payments", 422, 1, "unreadable not-authentic files (payments/order-17)"},
		{"a reference that leads elsewhere", "ann", "!reference-refused", "payments", 422, 1, "unreadable reference-refused - /"},
		{"what is not there: 404 would say that there is no store", "ann", "!not-stored", "payments", 422, 1, "unreadable not-stored - /"},
		{"what is too large", "ann", "!too-large", "payments", 422, 1, "unreadable too-large - /"},
		{"a reason that nobody has", "ann", "!allow", "payments", 503, 1, "unreadable storage-unavailable - /"},
		{"a store that is away", "ann", "none", "payments", 503, 1, "unreadable storage-unavailable - /"},
	} {
		t.Run(c.says, func(t *testing.T) {
			w, b := withBucket(t)
			r := w.send(fromUI(c.token, "download", body(t, reference(t, c.key)), "X-Namespace", c.namespace)).want(c.status)
			if b.fetched != c.fetched || strings.Contains(r.text, "payloads") {
				t.Errorf("%d fetched: %s", b.fetched, r.text)
			}
			w.nothingLeaks(r)
			w.wantAudit(c.record)
		})
	}
}

func TestDownloadsAreAllOrNothing(t *testing.T) {
	w, b := withBucket(t)
	r := w.send(fromUI("ann", "download", body(t, reference(t, "order"), reference(t, "plain"), reference(t, "order")))).want(422)
	w.nothingLeaks(r)
	if b.fetched != 2 {
		t.Errorf("%d fetched", b.fetched)
	}
	w.wantAudit("deny request-refused files (payments/order-17)", "unreadable not-sealed - /", "deny request-refused - /")
	w, _ = withBucket(t, brokenAudit)
	w.nothingLeaks(w.send(fromUI("ann", "download", body(t, reference(t, "order")))).want(503))
}

func TestWhatIsNoDownload(t *testing.T) {
	w, b := withBucket(t)
	many := make([]*commonpb.Payload, 11)
	for i := range many {
		many[i] = reference(t, "order")
	}
	odd := func(data string) string {
		return body(t, &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/protobuf"), "messageType": []byte("temporal.api.sdk.v1.ExternalStorageReference")}, Data: []byte(data)})
	}
	var members []string
	for i := range 17 {
		members = append(members, fmt.Sprintf(`"k%d":"v"`, i))
	}
	for name, c := range map[string]struct {
		status int
		body   string
	}{
		"a payload that is no reference": {400, body(t, reference(t, "order"), plain(`1`))},
		"a sealed payload":               {400, body(t, w.sealed("payments"))},
		"no JSON":                        {400, odd("nonsense")},
		"no driver":                      {400, odd(`{"claimData":{"key":"order"}}`)},
		"a claim with too many members":  {400, odd(`{"driverName":"s3","claimData":{` + strings.Join(members, ",") + `}}`)},
		"a member that is too long":      {400, odd(`{"driverName":"s3","claimData":{"key":"` + strings.Repeat("a", 5000) + `"}}`)},
		"too many references":            {413, body(t, many...)},
		"too large a body":               {413, odd(strings.Repeat("a", 300<<10))},
	} {
		if r := w.send(fromUI("ann", "download", c.body)); r.StatusCode != c.status || b.fetched != 0 {
			t.Errorf("%s: status %d, want %d; %d fetched", name, r.StatusCode, c.status, b.fetched)
		}
	}
	// A server without a store has no such path: that is how the Web UI knows.
	w = newWorld(t)
	if r := w.send(fromUI("ann", "download", body(t, reference(t, "order")))).want(http.StatusNotFound); r.Header.Get("Access-Control-Allow-Origin") != ui {
		t.Errorf("%v", r.Header)
	}
}

func TestFetchesAreBounded(t *testing.T) {
	const kib = 1 << 10
	w, b := withBucket(t, func(c *codecserver.Config) {
		c.Limits.MaxDownload, c.Limits.DownloadBurst, c.Limits.DownloadPerSecond = 200*kib, 256*kib, 1
	})
	ask := fromUI("ann", "download", body(t, reference(t, "order")))
	for range 4 { // each costs 64 KiB at least
		w.send(ask).want(200)
	}
	r := w.send(ask).want(http.StatusTooManyRequests)
	if r.Header.Get("Retry-After") == "" || b.fetched != 4 || b.most != 200*kib {
		t.Errorf("Retry-After %q, %d fetched, %d bytes at most", r.Header.Get("Retry-After"), b.fetched, b.most)
	}
	w.audited()
	w.send(ask)
	w.wantAudit("deny rate-limited - /")

	// References that lead nowhere cost as much. A page of them ends with the first.
	w, b = withBucket(t, func(c *codecserver.Config) { c.Limits.DownloadBurst, c.Limits.DownloadPerSecond = 256*kib, 1 })
	page := body(t, reference(t, "!not-stored"), reference(t, "!not-stored"), reference(t, "order"))
	for range 20 {
		w.send(fromUI("ann", "download", page))
	}
	if b.fetched != 4 {
		t.Errorf("%d fetched", b.fetched)
	}
	// What is larger than what is left is no fault of the payload.
	w, b = withBucket(t, func(c *codecserver.Config) { c.Limits.DownloadBurst, c.Limits.DownloadPerSecond = 65*kib, 1 })
	b.objects["large"] = &commonpb.Payload{Data: make([]byte, 66*kib)}
	w.send(fromUI("ann", "download", body(t, reference(t, "large")))).want(http.StatusTooManyRequests)
	// One request gets no more than MaxDownload, whatever it is cut into.
	size := int64(proto.Size(b.objects["order"]))
	w, b = withBucket(t, func(c *codecserver.Config) { c.Limits.MaxDownload = 3*size - 3 })
	w.send(fromUI("ann", "download", body(t, reference(t, "order"), reference(t, "order"), reference(t, "order")))).want(422)
	if b.fetched != 3 || b.most != 3*size-3 {
		t.Errorf("%d fetched, %d bytes at most", b.fetched, b.most)
	}
	// What opens to more than MaxOpened is not answered.
	w, _ = withBucket(t, func(c *codecserver.Config) { c.Limits.MaxOpened = 10 })
	w.nothingLeaks(w.send(fromUI("ann", "download", body(t, reference(t, "order")))).want(422))
	for _, bad := range []codecserver.Limits{{MaxReferences: -1}, {PayloadsPerSecond: math.NaN()}, {DownloadPerSecond: math.NaN()}} {
		config := w.config
		config.Limits = bad
		if _, err := codecserver.New(config); err == nil {
			t.Errorf("a limit may be %+v", bad)
		}
	}
}
