package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflowservice/v1"
	sdk "go.temporal.io/sdk/converter"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/internal/wire"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/legacykeys"
)

// scheduleService is what it takes of Temporal.
type scheduleService interface {
	ListSchedules(context.Context, *workflowservice.ListSchedulesRequest, ...grpc.CallOption) (*workflowservice.ListSchedulesResponse, error)
	DescribeSchedule(context.Context, *workflowservice.DescribeScheduleRequest, ...grpc.CallOption) (*workflowservice.DescribeScheduleResponse, error)
	UpdateSchedule(context.Context, *workflowservice.UpdateScheduleRequest, ...grpc.CallOption) (*workflowservice.UpdateScheduleResponse, error)
}

// resealer seals schedules anew.
type resealer struct {
	service   scheduleService
	namespace string
	codec     *converter.Codec
	keyset    string
	key       uint32 // the primary key
	plan      bool

	legacy   *legacykeys.Decoder // what other codecs sealed, which codec opens then; nil: it stays
	workflow string              // that the schedule starts
}

// How often, and how long, a schedule that was saved is looked at again. Temporal takes an update as a signal to the
// workflow that is the schedule: it answers before the update is done, and says nothing of one that came too late.
const (
	resealTries   = 5
	resealLooks   = 50
	resealLookGap = 100 * time.Millisecond
)

// one seals one schedule anew, unless it is current. An update is one message: on an error the schedule is as it was, or
// sealed anew as a whole.
func (r resealer) one(ctx context.Context, id string) (resealSchedule, error) {
	first := resealSchedule{ID: id, From: []string{}}
	for try := range resealTries {
		d, err := r.describe(ctx, id)
		if err != nil {
			return first, err
		}
		found, err := r.reseal(d)
		found.ID = id
		if err != nil || found.Payloads == 0 {
			if try > 0 && err == nil { // a former try has done it
				found = first
				found.State = stateResealed
			}
			return found, err
		}
		if try == 0 {
			first = found
		}
		if first.State = stateToReseal; r.plan {
			return first, nil
		}
		if _, err := patiently(ctx, r.service.UpdateSchedule, &workflowservice.UpdateScheduleRequest{ // sent twice it is done once: the token is that of the schedule as it was
			Namespace: r.namespace, ScheduleId: id, Schedule: d.GetSchedule(), ConflictToken: d.GetConflictToken(), Identity: "signet",
		}); err != nil {
			return first, fmt.Errorf("saving it: %w", err)
		}
		if done, err := r.wait(ctx, id, d.GetConflictToken()); done || err != nil {
			first.State = stateResealed
			return first, err
		}
	}
	return first, errors.New("somebody else changes it all the time")
}

func (r resealer) describe(ctx context.Context, id string) (*workflowservice.DescribeScheduleResponse, error) {
	d, err := patiently(ctx, r.service.DescribeSchedule, &workflowservice.DescribeScheduleRequest{Namespace: r.namespace, ScheduleId: id})
	if err != nil {
		return nil, fmt.Errorf("reading it: %w", err)
	}
	return d, nil
}

// wait waits until a saved schedule holds nothing any more that is to be sealed anew. It gives up, for another try, when
// the schedule has changed and does, and when nothing happens at all.
func (r resealer) wait(ctx context.Context, id string, before []byte) (done bool, err error) {
	for range resealLooks {
		d, err := r.describe(ctx, id)
		if err != nil {
			return false, err
		}
		found, err := r.reseal(d)
		if err == nil && found.Payloads == 0 {
			return true, nil
		}
		if err != nil || string(d.GetConflictToken()) != string(before) {
			return false, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(resealLookGap):
		}
	}
	return false, nil
}

// reseal seals in d what is sealed under another key than the primary one, and counts the rest. On an error d is not to
// be saved.
func (r resealer) reseal(d *workflowservice.DescribeScheduleResponse) (resealSchedule, error) {
	found := resealSchedule{State: stateCurrent, From: []string{}}
	r.workflow = d.GetSchedule().GetAction().GetStartWorkflow().GetWorkflowId()
	stays := func(*proxy.VisitPayloadsContext) bool { return true }
	if err := r.visit(d.GetMemo(), stays, &found); err != nil {
		return found, err
	}
	inHeader := func(at *proxy.VisitPayloadsContext) bool {
		_, header := at.Parent.(*commonpb.Header)
		return header
	}
	return found, r.visit(d.GetSchedule(), inHeader, &found)
}

func (r resealer) visit(m proto.Message, stays func(*proxy.VisitPayloadsContext) bool, found *resealSchedule) error {
	return proxy.VisitPayloads(context.Background(), m, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(at *proxy.VisitPayloadsContext, payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
			out := slices.Clone(payloads)
			for i, p := range payloads {
				var err error
				if out[i], err = r.payload(p, stays(at), found); err != nil {
					return nil, err
				}
			}
			return out, nil
		},
	})
}

// payload returns p sealed under the primary key, or p itself where it is not to be changed.
func (r resealer) payload(p *commonpb.Payload, stays bool, found *resealSchedule) (*commonpb.Payload, error) {
	if !wire.Sealed(p.GetMetadata()) {
		key, legacy := "", false
		if r.legacy != nil {
			key, legacy = r.legacy.Takes(p)
		}
		switch {
		case legacy && !stays:
			return r.moved(p, wire.Outer{Workflow: r.workflow}, cmp.Or(key, "legacy keys"), found)
		case legacy:
			found.Left++
		case string(p.GetMetadata()[wire.MetadataEncoding]) == "binary/principal-v1": // sealed in a format of its own
			found.Left++
		case !wire.Exempt(p.GetMetadata()):
			found.Unsealed++
		}
		return p, nil
	}
	outer, err := wire.Parse(p.GetMetadata(), p.GetData())
	if err != nil {
		return nil, err
	}
	if outer.Keyset == r.keyset && outer.KeyID == r.key {
		return p, nil
	}
	if stays {
		found.Left++
		return p, nil
	}
	return r.moved(p, outer, outer.Keyset+"/"+keys.ID(outer.KeyID).String(), found)
}

// moved is again, and counts it.
func (r resealer) moved(p *commonpb.Payload, outer wire.Outer, from string, found *resealSchedule) (*commonpb.Payload, error) {
	again, err := r.again(p, outer)
	if err != nil {
		return nil, err
	}
	found.Payloads++
	if !slices.Contains(found.From, from) {
		found.From = append(found.From, from)
	}
	return again, nil
}

// again seals p under the primary key for the workflow that it was sealed for, whichever that is: what was moved here
// from another workflow stays bound to that one, and is of no more use than before.
func (r resealer) again(p *commonpb.Payload, outer wire.Outer) (*commonpb.Payload, error) {
	codec := r.codec.WithSerializationContext(sdk.WorkflowSerializationContext{Namespace: r.namespace, WorkflowID: outer.Workflow})
	opened, err := codec.Decode([]*commonpb.Payload{p})
	if err != nil {
		return nil, err
	}
	if wire.Sealed(opened[0].GetMetadata()) {
		return nil, errors.New("a payload is sealed twice: create the schedule anew")
	}
	out, err := codec.Encode(opened)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}
