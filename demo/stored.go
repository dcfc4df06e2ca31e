package main

import (
	"context"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/principal/propagate"
)

// stored is what Temporal's API gives to anybody who may read the namespace and has no keys.
type stored struct {
	events   []*historypb.HistoryEvent // of both workflows
	messages []proto.Message           // all there is: events, descriptions, the entries of the list
	memo     *commonpb.Payload
	header   *commonpb.Payload // for whom the workflow runs
}

// readStored asks as such a person would: with a client that knows nothing of Signet.
func (d *demo) readStored(ctx context.Context) (*stored, error) {
	c, err := client.DialContext(ctx, client.Options{HostPort: d.temporal.Address, Namespace: namespace})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	s := &stored{}
	for _, id := range []string{workflowID, workflowID + "-lab"} {
		history := c.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for history.HasNext() {
			event, err := history.Next()
			if err != nil {
				return nil, fmt.Errorf("read the history of %s: %w", id, err)
			}
			s.events, s.messages = append(s.events, event), append(s.messages, event)
			if a := event.GetWorkflowExecutionStartedEventAttributes(); a != nil && s.header == nil {
				s.header = a.GetHeader().GetFields()[propagate.Header]
			}
		}
		description, err := c.DescribeWorkflowExecution(ctx, id, "")
		if err != nil {
			return nil, fmt.Errorf("describe %s: %w", id, err)
		}
		s.messages = append(s.messages, description)
		if memo := description.GetWorkflowExecutionInfo().GetMemo().GetFields()["complaint"]; memo != nil {
			s.memo = memo
		}
	}
	list, err := listAll(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("list workflows: %w", err)
	}
	s.messages = append(s.messages, list)
	return s, nil
}

// listAll waits until the list, which Temporal keeps apart and a moment behind, has both workflows as completed.
func listAll(ctx context.Context, c client.Client) (proto.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		list, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: "ExecutionStatus = 'Completed'"})
		if err != nil || len(list.GetExecutions()) == 2 {
			return list, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// found is a payload and where it was.
type found struct {
	where   string
	payload *commonpb.Payload
}

// payloads returns every payload but search attributes, which Temporal itself must read; those of headers apart.
func (s *stored) payloads(ctx context.Context) (all, headers []found, err error) {
	for _, message := range s.messages {
		name := string(message.ProtoReflect().Descriptor().Name())
		if event, ok := message.(*historypb.HistoryEvent); ok {
			name = fmt.Sprintf("event %d %s", event.GetEventId(), event.GetEventType())
		}
		err := proxy.VisitPayloads(ctx, message, proxy.VisitPayloadsOptions{
			SkipSearchAttributes: true,
			Visitor: func(at *proxy.VisitPayloadsContext, payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
				where := fmt.Sprintf("%s, %s", name, at.Parent.ProtoReflect().Descriptor().Name())
				to := &all
				if _, ok := at.Parent.(*commonpb.Header); ok {
					to = &headers
				}
				for _, p := range payloads {
					*to = append(*to, found{where, p})
				}
				return payloads, nil
			},
		})
		if err != nil {
			return nil, nil, fmt.Errorf("look for payloads: %w", err)
		}
	}
	return all, headers, nil
}
