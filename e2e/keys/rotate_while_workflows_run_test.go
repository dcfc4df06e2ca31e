package keys_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

const rotationDelay = 3 * time.Second

// TestRotateAndPromoteWhileWorkflowsRun rotates twice under load, with the CLI and the custodian's token. Two workers
// with rings of their own read and write for each other, so that a key which one has and the other has not would show.
func TestRotateAndPromoteWhileWorkflowsRun(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments"}, WithoutOIDC: true, PropagationDelay: rotationDelay})
	var rings []*keys.Ring
	for range 2 {
		ring := s.Ring(t, keys.RingOptions{RefreshInterval: time.Second})
		rings = append(rings, ring)
		startWorker(t, s.ClientWith(t, "payments", s.Plugin(t, ring, signet.Options{})))
	}
	c := s.ClientWith(t, "payments", s.Plugin(t, rings[0], signet.Options{}))
	raw := s.ClientWith(t, "payments")
	spans := start(t, c, "spans-all-keys", true) // started under the first key, shipped under the third
	l := &load{client: c}
	l.run(t, 3)

	primaries := []string{rings[0].Status()[0].Primary.String()}
	for n := range 2 {
		time.Sleep(time.Second)
		pending := s.Rotate(t, "ns/payments")
		if early := s.SignetRun(t, "keyset", "promote", "ns/payments"); early.Code != 3 || !strings.Contains(early.Stderr, "too early") {
			t.Errorf("promote at once: exit code %d, %s", early.Code, early.Stderr)
		}
		before := l.done.Load()
		time.Sleep(rotationDelay)
		if promoted := s.Promote(t, "ns/payments"); promoted != pending {
			t.Errorf("promoted %s, rotated %s", promoted, pending)
		}
		primaries = append(primaries, pending)
		for _, ring := range rings {
			sealsWith(t, ring, "ns/payments", pending, 10*time.Second)
		}
		start(t, c, fmt.Sprintf("marker-%d", n), false)
		if l.done.Load() == before {
			t.Error("no workflow ended during the rotation: there was no load")
		}
	}
	time.Sleep(time.Second)
	count := l.end()
	ship(t, c, spans)

	r := &reader{raw: raw, used: map[string]int{}}
	all := l.ids()
	if int64(len(all)) != count {
		t.Fatalf("%d workflows ended, %d are known", count, len(all))
	}
	for _, id := range append(all, "spans-all-keys", "marker-0", "marker-1") {
		r.read(t, id)
	}
	t.Logf("%d workflows under load, payloads by key: %v, workflow tasks failed: %d", count, r.used, r.failed)
	if r.failed > 0 {
		t.Errorf("%d workflow tasks failed and were retried", r.failed)
	}
	for n, key := range primaries {
		if r.used[key] == 0 {
			t.Errorf("nothing was sealed with the primary key %d, %s", n, key)
		}
	}
	if len(r.used) != len(primaries) {
		t.Errorf("payloads have the keys %v, want %v", r.used, primaries)
	}
	for n, key := range primaries[1:] {
		input := r.histories[fmt.Sprintf("marker-%d", n)].GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetInput()
		if got := keyOf(t, input.GetPayloads()[0], "ns/payments"); got != key {
			t.Errorf("what was started after promotion %d is sealed with %s, want %s", n+1, got, key)
		}
	}
	r.opens(t, s, s.Ring(t, keys.RingOptions{})) // in a process that starts now
}

// reader looks at histories as the server has them.
type reader struct {
	raw       client.Client
	histories map[string]*historypb.History
	payloads  []*commonpb.Payload
	used      map[string]int // payloads by key
	failed    int            // workflow tasks
}

func (r *reader) read(t *testing.T, id string) {
	t.Helper()
	history := &historypb.History{}
	for events := r.raw.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		history.Events = append(history.Events, event)
		if event.GetWorkflowTaskFailedEventAttributes() != nil || event.GetWorkflowTaskTimedOutEventAttributes() != nil {
			r.failed++
		}
	}
	if r.histories == nil {
		r.histories = map[string]*historypb.History{}
	}
	r.histories[id] = history
	if err := proxy.VisitPayloads(t.Context(), history, proxy.VisitPayloadsOptions{SkipSearchAttributes: true,
		Visitor: func(_ *proxy.VisitPayloadsContext, ps []*commonpb.Payload) ([]*commonpb.Payload, error) {
			for _, p := range ps {
				r.payloads = append(r.payloads, p)
				r.used[keyOf(t, p, "ns/payments")]++
			}
			return ps, nil
		}}); err != nil {
		t.Fatal(err)
	}
}

// opens decodes every payload and replays every history with the keys of a ring.
func (r *reader) opens(t *testing.T, s *stack.Stack, ring *keys.Ring) {
	t.Helper()
	codec, err := converter.NewCodec(ring, converter.CodecOptions{Keyset: "ns/payments", Scope: "payments"})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := codec.Decode(r.payloads)
	if err != nil || len(opened) != len(r.payloads) {
		t.Fatalf("%d of %d payloads open: %v", len(opened), len(r.payloads), err)
	}
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Plugins: []worker.Plugin{s.Plugin(t, ring, signet.Options{Scope: "payments"})}})
	if err != nil {
		t.Fatal(err)
	}
	replayer.RegisterWorkflow(Order)
	replayer.RegisterWorkflow(Consign)
	for id, history := range r.histories {
		if err := replayer.ReplayWorkflowHistory(stack.Quiet, history); err != nil {
			t.Errorf("replay of %s: %v", id, err)
		}
	}
}
