package census_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	activitypb "go.temporal.io/api/activity/v1"
	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	protocolpb "go.temporal.io/api/protocol/v1"
	schedulepb "go.temporal.io/api/schedule/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/signet-temporal/signet/keys/census"
)

// full is a namespace with something in every place that payloads stand in.
func full(t *testing.T) *namespace {
	t.Helper()
	n := &namespace{retention: 72 * time.Hour}
	closed := n.add("closed", day, day.Add(time.Hour), sealed(t, old), sealed(t, old))
	closed.events = append(closed.events, &historypb.HistoryEvent{
		EventTime: timestamppb.New(day.Add(time.Hour)),
		Attributes: &historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes{WorkflowExecutionFailedEventAttributes: &historypb.WorkflowExecutionFailedEventAttributes{
			Failure: &failurepb.Failure{EncodedAttributes: sealed(t, old), Cause: &failurepb.Failure{EncodedAttributes: sealed(t, fresh)}},
		}},
	})
	open := n.add("open", day.Add(2*time.Hour), time.Time{}, sealed(t, fresh))
	open.memo = &commonpb.Memo{Fields: map[string]*commonpb.Payload{"m": sealed(t, old)}}
	started := open.events[0].GetWorkflowExecutionStartedEventAttributes()
	started.Header = &commonpb.Header{Fields: map[string]*commonpb.Payload{
		"principal": {Metadata: map[string][]byte{"encoding": []byte("binary/principal-v1"), "encryption-key-id": []byte(tenant)}},
		"tracer":    {Metadata: map[string][]byte{"encoding": []byte("json/plain")}},
	}}
	started.SearchAttributes = &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{"a": {Metadata: map[string][]byte{"encoding": []byte("json/plain")}}}}
	open.pending = []*workflowpb.PendingActivityInfo{{
		HeartbeatDetails: payloads(sealed(t, old)), LastFailure: &failurepb.Failure{EncodedAttributes: sealed(t, fresh)}, LastHeartbeatTime: timestamppb.New(day.Add(5 * time.Hour)),
	}}
	action := &workflowpb.NewWorkflowExecutionInfo{Input: payloads(sealed(t, tenant)), Header: &commonpb.Header{Fields: map[string]*commonpb.Payload{"h": sealed(t, tenant)}},
		UserMetadata: &sdkpb.UserMetadata{Summary: sealed(t, tenant)}}
	n.schedules = []*workflowservice.DescribeScheduleResponse{{
		Schedule: &schedulepb.Schedule{Action: &schedulepb.ScheduleAction{Action: &schedulepb.ScheduleAction_StartWorkflow{StartWorkflow: action}}},
		Memo:     &commonpb.Memo{Fields: map[string]*commonpb.Payload{"m": sealed(t, tenant)}},
		Info:     &schedulepb.ScheduleInfo{CreateTime: timestamppb.New(day)},
	}}
	n.activities = []*workflowservice.DescribeActivityExecutionResponse{{
		Input:   payloads(sealed(t, fresh)),
		Outcome: &activitypb.ActivityExecutionOutcome{Value: &activitypb.ActivityExecutionOutcome_Result{Result: payloads(sealed(t, fresh))}},
	}}
	n.operations = []*workflowservice.DescribeNexusOperationExecutionResponse{{Input: sealed(t, fresh)}}
	return n
}

func TestACensusCountsEveryPayloadWhereItStands(t *testing.T) {
	r := take(t, full(t), census.Options{})
	want := map[string]map[census.Place]int64{
		old:    {census.InHistory: 3, census.InMemo: 1, census.InPending: 1},
		fresh:  {census.InHistory: 2, census.InPending: 1, census.InActivity: 2, census.InOperation: 1},
		tenant: {census.InHeader: 2, census.InSchedule: 3},
	}
	if len(r.Keys) != len(want) {
		t.Errorf("keys %v", r.Keys)
	}
	for key, places := range want {
		if got := r.Keys[key].Payloads; !maps.Equal(got, places) {
			t.Errorf("%s: %v, want %v", key, got, places)
		}
	}
	k := r.Keys[old]
	if k.Open != 1 || k.Closed != 1 || k.Schedules != 0 || fmt.Sprint(k.WorkflowIDs) != "[open closed]" {
		t.Errorf("%s is in %d open and %d closed workflows, %d schedules; ids %s", old, k.Open, k.Closed, k.Schedules, k.WorkflowIDs)
	}
	if !k.Oldest.Equal(day) || !k.Newest.Equal(day.Add(5*time.Hour)) || !k.LastClose.Equal(day.Add(time.Hour)) {
		t.Errorf("%s was used from %s to %s, last closed %s", old, k.Oldest, k.Newest, k.LastClose)
	}
	if k := r.Keys[fresh]; k.Alone != 2 || k.Open != 1 || k.Closed != 1 {
		t.Errorf("%s: %+v", fresh, k)
	}
	if k := r.Keys[tenant]; k.Schedules != 1 || k.Open != 1 || fmt.Sprint(k.ScheduleIDs) != "[0]" {
		t.Errorf("%s: %+v", tenant, k)
	}
	if r.Open != 1 || r.Closed != 1 || r.Schedules != 1 || r.Activities != 1 || r.Operations != 1 || r.Events != 3 || r.Unsealed != 1 || r.ClosedMeanwhile != 0 {
		t.Errorf("counted %+v", r.Tally)
	}
}

func TestWhatCannotBeToldIsCountedAndNeverShown(t *testing.T) {
	const canary = "CANARY"
	broken := sealed(t, old)
	broken.Metadata["encryption-key-id"] = []byte(canary + "/1")
	later := sealed(t, old)
	later.Metadata["encryption-context"] = []byte(`{"v":2,"` + canary + `":1}`)
	forged := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/principal-v1"), "encryption-key-id": []byte(canary)}}
	clear := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(canary)}
	foreign := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/encrypted"), "encryption-key-id": []byte(old)}}
	stored := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/protobuf"), "messageType": []byte("temporal.api.sdk.v1.ExternalStorageReference")}}
	inner, err := proto.Marshal(&commonpb.Payloads{Payloads: []*commonpb.Payload{sealed(t, fresh)}})
	if err != nil {
		t.Fatal(err)
	}
	envelope := &commonpb.Payload{Data: inner, Metadata: map[string][]byte{"encoding": []byte("binary/protobuf"),
		"messageType": []byte("temporal.api.common.v1.Payloads"), "__temporal_system_payload": []byte("true")}}
	n := &namespace{}
	n.add("w", day, day, broken, later, forged, clear, foreign, stored, envelope)
	r := take(t, n, census.Options{})
	if r.Malformed != 2 || r.Later != 1 || r.Unsealed != 2 || r.References != 1 || len(r.Keys) != 1 || r.Keys[fresh].Total() != 1 {
		t.Errorf("counted %+v", r.Tally)
	}
	if strings.Contains(text(t, r), canary) {
		t.Errorf("the census shows what it could not read: %s", text(t, r))
	}
}

// An interrupted census goes on from what it has saved. However often and wherever it is interrupted, the result is that
// of one that was not.
func TestACensusThatIsInterruptedAnywhereComesToTheSameResult(t *testing.T) {
	n := full(t)
	for i := range 23 {
		closed := time.Time{}
		if i%3 > 0 {
			closed = day.Add(time.Duration(i) * time.Minute)
		}
		n.add(fmt.Sprintf("w%d", i), day, closed, sealed(t, []string{old, fresh}[i%2]))
	}
	want := text(t, take(t, n, census.Options{PageSize: 3}))
	whole := n.calls
	for every := 15; every < whole; every += 7 { // a page of three takes at most ten calls
		n.calls = 0
		n.before = func(call int, _ any) error {
			if call%every == 0 {
				return serviceerror.NewPermissionDenied("killed", "")
			}
			return nil
		}
		var saved []byte
		for runs := 1; ; runs++ {
			o := census.Options{Namespace: "payments", PageSize: 3, Rate: 1e6, Save: func(r *census.Result) (err error) {
				saved, err = json.Marshal(r)
				return err
			}}
			if saved != nil {
				if err := json.Unmarshal(saved, &o.From); err != nil {
					t.Fatal(err)
				}
			}
			r, err := census.Run(t.Context(), n, o)
			if err == nil {
				if got := text(t, r); got != want {
					t.Errorf("interrupted every %d calls, in %d runs: %s\nwant %s", every, runs, got, want)
				}
				break
			}
			if runs > 100 {
				t.Fatal(err)
			}
		}
	}
}

// A chain of runs hands its memo on, and may do so in the middle of the walk. The census sees it in one run or the other.
func TestWhatIsHandedOnWhileTheNamespaceIsWalkedIsNotMissed(t *testing.T) {
	for when := range 20 {
		n := &namespace{}
		for i := range 6 {
			n.add(fmt.Sprintf("w%d", i), day.Add(time.Duration(i+1)*time.Minute), time.Time{}, sealed(t, fresh))
		}
		first := n.add("chain", day, time.Time{}, sealed(t, fresh))
		first.memo = &commonpb.Memo{Fields: map[string]*commonpb.Payload{"m": sealed(t, old)}}
		n.before = func(call int, _ any) error {
			if call == when+1 {
				n.mu.Lock()
				first.closed = time.Now()
				n.mu.Unlock()
				n.add("chain", time.Now(), time.Time{}, sealed(t, fresh)).memo = first.memo
			}
			return nil
		}
		if r := take(t, n, census.Options{PageSize: 2, Parallel: 1}); r.Keys[old] == nil {
			t.Errorf("continued as new at call %d: the key of its memo is not found", when+1)
		} else if twice := r.Keys[old].Total() > 1; twice && r.ClosedMeanwhile == 0 {
			t.Errorf("continued as new at call %d: counted twice, and the census does not say that this may be", when+1)
		}
	}
}

func TestWhatIsRemovedMeanwhileIsCountedAsGone(t *testing.T) {
	n := &namespace{}
	n.add("gone", day, day, sealed(t, old)).removed = true
	n.add("here", day, day, sealed(t, fresh))
	if r := take(t, n, census.Options{}); r.Gone != 1 || r.Closed != 1 || r.Keys[old] != nil {
		t.Errorf("counted %+v", r.Tally)
	}
}

// An open run that is deleted between being listed and looked at has handed its payloads on to a run that was not listed.
func TestTheRunThatADeletedOneContinuedAsIsLookedAt(t *testing.T) {
	n := &namespace{}
	first := n.add("chain", day, time.Time{}, sealed(t, fresh))
	n.before = func(_ int, req any) error {
		if _, ok := req.(*workflowservice.DescribeWorkflowExecutionRequest); ok && !first.removed {
			first.removed = true
			n.add("chain", time.Now(), time.Time{}, sealed(t, old))
		}
		return nil
	}
	if r := take(t, n, census.Options{}); r.Keys[old] == nil || r.Gone != 0 || r.Open != 1 {
		t.Errorf("counted %+v", r.Tally)
	}
}

// Whoever can write to Temporal can make up key ids. They do not fill the memory, and hide nothing.
func TestKeysThatAreMadeUpHaveABound(t *testing.T) {
	n := &namespace{retention: time.Hour}
	for i := range 50 {
		n.add(fmt.Sprint(i), day, day, sealed(t, fmt.Sprintf("ns/payments/%08x", i+1)))
	}
	r := take(t, n, census.Options{MaxKeys: 10, PageSize: 7})
	if len(r.Keys) != 10 || r.Overflow != 40 {
		t.Errorf("%d keys and an overflow of %d, want 10 and 40", len(r.Keys), r.Overflow)
	}
	if err := census.Unused(census.Question{Key: tenant, SealedUntil: day, Namespaces: []string{"payments"}}, r); !errors.Is(err, census.ErrUnproven) {
		t.Errorf("a key that might have been dropped is unused: %v", err)
	}
}

func TestABusyTemporalIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := full(t)
		want := text(t, take(t, n, census.Options{}))
		n.calls = 0
		n.before = func(call int, _ any) error {
			if call%2 == 1 {
				return serviceerror.NewResourceExhausted(0, "busy")
			}
			return nil
		}
		if got := text(t, take(t, n, census.Options{})); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		n.before = func(int, any) error { return serviceerror.NewUnavailable("away") }
		start := time.Now()
		_, err := census.Run(t.Context(), n, census.Options{Namespace: "payments"})
		if took := time.Since(start); err == nil || took < time.Minute || took > 3*time.Minute {
			t.Errorf("Temporal that stays away: %v after %s", err, took)
		}
	})
}

func TestTheRateHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &namespace{}
		for i := range 100 {
			n.add(fmt.Sprint(i), day, day)
		}
		start := time.Now()
		take(t, n, census.Options{Rate: 2})
		if took, least := time.Since(start), time.Duration(n.calls-2)*time.Second/2; took < least {
			t.Errorf("%d calls in %s, want at least %s", n.calls, took, least)
		}
	})
}

func TestACensusEndsWithItsContext(t *testing.T) {
	n := full(t)
	ctx, cancel := context.WithCancel(t.Context())
	n.before = func(call int, _ any) error {
		if call == 5 {
			cancel()
		}
		return nil
	}
	if r, err := census.Run(ctx, n, census.Options{Namespace: "payments", Rate: 1e6}); r != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled census gives %v, %v", r, err)
	}
}

func TestACensusGoesOnOnlyWithItsOwnKind(t *testing.T) {
	for _, from := range []*census.Result{
		{Format: 2, Namespace: "payments", Began: day},
		{Format: 1, Namespace: "orders", Began: day},
		{Format: 1, Namespace: "payments"},
		{Format: 1, Namespace: "payments", NamespaceID: "another", Began: day, Next: &census.Position{Stage: "schedules"}},
		{Format: 1, Namespace: "payments", NamespaceID: "id of payments", Began: day, Next: &census.Position{Stage: "attic"}},
	} {
		_, err := census.Run(t.Context(), full(t), census.Options{Namespace: "payments", From: from})
		if err == nil || !strings.Contains(err.Error(), "begin anew") {
			t.Errorf("going on with %+v: %v", from, err)
		}
	}
	for _, o := range []census.Options{{}, {Namespace: "a", Rate: -1}, {Namespace: "a", PageSize: 1001}} {
		if _, err := census.New(full(t), o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// Whoever can write to Temporal can claim that a payload is a message of Temporal's own. Whatever it then holds, the
// census goes on.
func TestNoEnvelopeStopsACensus(t *testing.T) {
	unknown, err := proto.Marshal(&protocolpb.Message{Body: &anypb.Any{TypeUrl: "type.googleapis.com/no.such.Type", Value: []byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := anypb.New(&commonpb.Payloads{Payloads: []*commonpb.Payload{sealed(t, old)}})
	if err != nil {
		t.Fatal(err)
	}
	known, err := proto.Marshal(&protocolpb.Message{Body: inner})
	if err != nil {
		t.Fatal(err)
	}
	envelope := func(kind string, data []byte) *commonpb.Payload {
		return &commonpb.Payload{Data: data, Metadata: map[string][]byte{"encoding": []byte("binary/protobuf"), "messageType": []byte(kind), "__temporal_system_payload": []byte("true")}}
	}
	deep := envelope("temporal.api.protocol.v1.Message", known)
	for range 100 {
		data, err := proto.Marshal(payloads(deep))
		if err != nil {
			t.Fatal(err)
		}
		deep = envelope("temporal.api.common.v1.Payloads", data)
	}
	all := []*commonpb.Payload{deep, envelope("temporal.api.no.such.Type", nil)}
	protoregistry.GlobalTypes.RangeMessages(func(kind protoreflect.MessageType) bool {
		if name := string(kind.Descriptor().FullName()); strings.HasPrefix(name, "temporal.api.") {
			all = append(all, envelope(name, nil), envelope(name, unknown), envelope(name, known), envelope(name, []byte("\x0a\x03abc")))
		}
		return true
	})
	if len(all) < 1000 {
		t.Fatalf("only %d envelopes: that is not all of the API", len(all))
	}
	n := &namespace{}
	bare, err := proto.Marshal(sealed(t, tenant))
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, envelope("temporal.api.common.v1.Payload", bare))
	n.add("w", day, day, all...)
	if r := take(t, n, census.Options{}); r.Keys[old] == nil || r.Keys[tenant] == nil || r.Closed != 1 || r.Later < 2 {
		t.Errorf("counted %+v", r.Tally)
	}
}
