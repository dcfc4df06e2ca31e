package main

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	schedulepb "go.temporal.io/api/schedule/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/internal/wire"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/keys/rotate"
)

// oneSchedule is a service with one schedule, which takes updates as Temporal does: it answers at once, carries them out
// a few calls later, and drops one whose token is not of the schedule as it is then, without a word.
type oneSchedule struct {
	scheduleService
	now     *schedulepb.Schedule
	version int
	late    int                                    // calls until an update is carried out
	waiting *workflowservice.UpdateScheduleRequest // with so many left
	left    int
	before  func(update int) // is called before each update is taken
	updates int
	busy    int // calls that are refused before one is answered
	refused int
}

// busyNow refuses calls as a Temporal does that has too many queries of the schedule to answer.
func (s *oneSchedule) busyNow() error {
	if s.refused++; s.refused <= s.busy {
		return serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW, "consistent query buffer is full")
	}
	s.refused = 0
	return nil
}

func (s *oneSchedule) tick() {
	if s.waiting == nil {
		return
	}
	if s.left--; s.left > 0 {
		return
	}
	if string(s.waiting.GetConflictToken()) == strconv.Itoa(s.version) {
		s.now = proto.CloneOf(s.waiting.GetSchedule())
		s.version++
	}
	s.waiting = nil
}

func (s *oneSchedule) DescribeSchedule(context.Context, *workflowservice.DescribeScheduleRequest, ...grpc.CallOption) (*workflowservice.DescribeScheduleResponse, error) {
	if err := s.busyNow(); err != nil {
		return nil, err
	}
	s.tick()
	return &workflowservice.DescribeScheduleResponse{Schedule: proto.CloneOf(s.now), ConflictToken: []byte(strconv.Itoa(s.version))}, nil
}

func (s *oneSchedule) UpdateSchedule(_ context.Context, req *workflowservice.UpdateScheduleRequest, _ ...grpc.CallOption) (*workflowservice.UpdateScheduleResponse, error) {
	if err := s.busyNow(); err != nil {
		return nil, err
	}
	s.updates++
	if s.before != nil {
		s.before(s.updates)
	}
	s.waiting, s.left = proto.CloneOf(req), s.late
	return &workflowservice.UpdateScheduleResponse{}, nil
}

// note is a change that somebody else makes.
func (s *oneSchedule) note(text string) {
	s.now.State = &schedulepb.ScheduleState{Notes: text}
	s.version++
}

// resealing returns a resealer whose keyset has been rotated since the service's schedule was made.
func resealing(t *testing.T, s *oneSchedule) resealer {
	t.Helper()
	store, kek := new(keystest.Store), keystest.NewKEK(t)
	keystest.NewKeyset(t, store, kek, "ns/a", keys.XAES256GCM)
	codec := func() (*converter.Codec, *keys.Ring) {
		ring, err := keys.NewRing(t.Context(), store, kek, keys.RingOptions{Keysets: []string{"ns/a"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ring.Close() }) // always nil
		c, err := converter.NewCodec(ring, converter.CodecOptions{Keyset: "ns/a", Scope: "a"})
		if err != nil {
			t.Fatal(err)
		}
		return c, ring
	}
	old, _ := codec()
	sealed, err := old.Seal(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"hello"`)})
	if err != nil {
		t.Fatal(err)
	}
	s.now = &schedulepb.Schedule{Action: &schedulepb.ScheduleAction{Action: &schedulepb.ScheduleAction_StartWorkflow{StartWorkflow: &workflowpb.NewWorkflowExecutionInfo{
		Input: &commonpb.Payloads{Payloads: []*commonpb.Payload{sealed}},
	}}}}
	if _, err := rotate.Add(t.Context(), store, kek, "ns/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := rotate.Promote(t.Context(), store, "ns/a", rotate.PromoteOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	fresh, ring := codec()
	id, _, err := ring.Primary("ns/a")
	if err != nil {
		t.Fatal(err)
	}
	return resealer{service: s, namespace: "a", codec: fresh, keyset: "ns/a", key: id}
}

func (s *oneSchedule) keyOf(t *testing.T) uint32 {
	t.Helper()
	p := s.now.GetAction().GetStartWorkflow().GetInput().GetPayloads()[0]
	outer, err := wire.Parse(p.GetMetadata(), p.GetData())
	if err != nil {
		t.Fatal(err)
	}
	return outer.KeyID
}

func TestAScheduleThatChangesMeanwhileKeepsTheChange(t *testing.T) {
	for _, late := range []int{1, 7, 30} {
		synctest.Test(t, func(t *testing.T) {
			s := &oneSchedule{late: late}
			r := resealing(t, s)
			s.before = func(update int) {
				if update <= 2 {
					s.note("changed " + strconv.Itoa(update))
				}
			}
			got, err := r.one(t.Context(), "nightly")
			if err != nil || got.State != stateResealed || got.Payloads != 1 || got.ID != "nightly" {
				t.Errorf("%+v, %v", got, err)
			}
			if s.keyOf(t) != r.key || s.now.GetState().GetNotes() != "changed 2" || s.updates != 3 {
				t.Errorf("after %d updates it is under key %08x and says %q", s.updates, s.keyOf(t), s.now.GetState().GetNotes())
			}
			if got, err := r.one(t.Context(), "nightly"); err != nil || got.State != stateCurrent || s.updates != 3 {
				t.Errorf("once more: %+v, %v", got, err)
			}
		})
	}
}

func TestAScheduleThatChangesAllTheTimeIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oneSchedule{late: 3}
		r := resealing(t, s)
		s.before = func(int) { s.note("again") }
		all, err := r.all(t.Context(), []string{"nightly"})
		if err != nil || len(all) != 1 || all[0].State != stateFailed || !strings.Contains(all[0].Problem, "somebody else changes it") || s.updates != resealTries {
			t.Errorf("%+v, %v, after %d updates", all, err, s.updates)
		}
	})
}

// Two of the command at once are enough for a schedule to be busy.
func TestABusyScheduleIsAskedAgain(t *testing.T) {
	for busy, want := range map[int]string{3: stateResealed, 1000: stateFailed} {
		synctest.Test(t, func(t *testing.T) {
			s := &oneSchedule{late: 2, busy: busy}
			r := resealing(t, s)
			all, err := r.all(t.Context(), []string{"nightly"})
			if err != nil || len(all) != 1 || all[0].State != want || want == stateFailed && !strings.Contains(all[0].Problem, "buffer is full") {
				t.Errorf("busy %d times before each answer: %+v, %v", busy, all, err)
			}
		})
	}
}

func TestAPlanChangesNoSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oneSchedule{late: 1}
		r := resealing(t, s)
		r.plan = true
		got, err := r.one(t.Context(), "nightly")
		if err != nil || got.State != stateToReseal || got.Payloads != 1 || s.updates != 0 || s.keyOf(t) == r.key {
			t.Errorf("%+v, %v, %d updates", got, err, s.updates)
		}
	})
}

func TestWhatStaysInAScheduleIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &oneSchedule{late: 1}
		r := resealing(t, s)
		action := s.now.GetAction().GetStartWorkflow()
		of := func(encoding, key string) *commonpb.Payload {
			return &commonpb.Payload{Metadata: map[string][]byte{wire.MetadataEncoding: []byte(encoding), wire.MetadataKeyID: []byte(key)}}
		}
		action.Header = &commonpb.Header{Fields: map[string]*commonpb.Payload{
			"signet-principal": of("binary/principal-v1", "principal/a/00000001"), "old": action.GetInput().GetPayloads()[0], "trace": of("json/plain", ""),
		}}
		foreign := of("binary/encrypted", "another codec's")
		action.Memo = &commonpb.Memo{Fields: map[string]*commonpb.Payload{"m": foreign}}
		header := proto.CloneOf(action.GetHeader())
		got, err := r.one(t.Context(), "nightly")
		if err != nil || got.Payloads != 1 || got.Left != 2 || got.Unsealed != 2 {
			t.Errorf("%+v, %v", got, err)
		}
		after := s.now.GetAction().GetStartWorkflow()
		if s.keyOf(t) != r.key || !proto.Equal(after.GetHeader(), header) || !proto.Equal(after.GetMemo().GetFields()["m"], foreign) {
			t.Errorf("the schedule is %v", s.now)
		}
	})
}
