package principal_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	querypb "go.temporal.io/api/query/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/propagate"
)

// signalRaw, updateRaw and queryRaw send what somebody without keys can send.
func (w *world) signalRaw(name string, header *commonpb.Payload) {
	w.t.Helper()
	_, err := w.raw.WorkflowService().SignalWorkflowExecution(bounded(w.t), &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: w.namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: w.id}, SignalName: name, Header: fields(header)})
	must(w.t, err)
}

func (w *world) updateRaw(name string, header *commonpb.Payload) (*updatepb.Outcome, error) {
	answer, err := w.raw.WorkflowService().UpdateWorkflowExecution(bounded(w.t), &workflowservice.UpdateWorkflowExecutionRequest{
		Namespace: w.namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: w.id}, WaitPolicy: &updatepb.WaitPolicy{LifecycleStage: 3},
		Request: &updatepb.Request{Meta: &updatepb.Meta{UpdateId: fmt.Sprint(time.Now().UnixNano())}, Input: &updatepb.Input{Name: name, Header: fields(header)}}})
	return answer.GetOutcome(), err
}

func (w *world) queryRaw(name string, header *commonpb.Payload) error {
	_, err := w.raw.WorkflowService().QueryWorkflow(bounded(w.t), &workflowservice.QueryWorkflowRequest{
		Namespace: w.namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: w.id}, Query: &querypb.WorkflowQuery{QueryType: name, Header: fields(header)}})
	return err
}

// end lets ann end her workflow of type Waits, which must not have taken a note more than it should have.
func (w *world) end(notes string) {
	w.t.Helper()
	must(w.t, w.client.SignalWorkflow(as(w.t, user("ann", "acme")), w.id, "", "end", nil))
	w.wantResult(w.reading(w.id), Seen{"workflow": ann, "activity": ann, "notes": notes})
	w.noTaskFailed(w.id)
}

// aMessageThatIsNotGenuineReachesNothing: a signal is dropped, an update rejected, a query answered with an error, and the
// workflow goes on as if nothing had been.
func aMessageThatIsNotGenuineReachesNothing(t *testing.T, s *stack.Stack) {
	for name, attack := range map[string]struct {
		reason string
		header func(w *world, message string) *commonpb.Payload
	}{
		"no header":      {propagate.ReasonMissing, func(*world, string) *commonpb.Payload { return nil }},
		"a plain header": {propagate.ReasonNotSealed, func(*world, string) *commonpb.Payload { return forged() }},
		"garbage": {propagate.ReasonNotAuthentic, func(w *world, message string) *commonpb.Payload {
			return changed(w.genuine(message), func(data []byte) []byte { data[20] ^= 1; return data })
		}},
		"too long": {propagate.ReasonMalformed, func(w *world, message string) *commonpb.Payload {
			return changed(w.genuine(message), func(data []byte) []byte { return append(data, make([]byte, 100_000)...) })
		}},
		"a key that nobody has": {propagate.ReasonUnavailable, func(w *world, message string) *commonpb.Payload {
			header := changed(w.genuine(message), func(data []byte) []byte { copy(data[1:], []byte{0, 0, 0, 1}); return data })
			header.Metadata["encryption-key-id"] = []byte(keyset(namespace) + "/00000001")
			return header
		}},
		"the header of the start":       {propagate.ReasonMisplaced, func(w *world, _ string) *commonpb.Payload { return w.stolen(w.id) }},
		"the header of another message": {propagate.ReasonMisplaced, func(w *world, _ string) *commonpb.Payload { return w.genuine("other") }},
		"the header of the same message to another workflow": {propagate.ReasonMisplaced, func(w *world, message string) *commonpb.Payload {
			other := w.at(w.id + "-other")
			other.start(user("ann", "acme"), "Waits")
			return other.genuine(message)
		}},
		"a header of long ago": {propagate.ReasonStale, func(w *world, message string) *commonpb.Payload {
			header := w.genuine(message)
			must(w.t, w.raw.TerminateWorkflow(w.t.Context(), w.id, "", ""))
			time.Sleep(4 * time.Second)
			w.start(user("ann", "acme"), "Waits")
			return header
		}},
		"of another tenant": {propagate.ReasonMessages, func(w *world, message string) *commonpb.Payload { return w.genuineOf(user("bob", "globex"), message) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := propagate.Options{}
			if attack.reason == propagate.ReasonStale {
				o.StartSkew = 3 * time.Second
			}
			w := newWorld(t, s, o)
			w.start(user("ann", "acme"), "Waits")

			w.signalRaw("note", attack.header(w, "note"))
			w.wantRefused("note", attack.reason)
			header := attack.header(w, "touch")
			begin := time.Now()
			outcome, err := w.updateRaw("touch", header)
			must(t, err)
			if took := time.Since(begin); took > within {
				t.Errorf("the answer took %s", took)
			}
			if info := outcome.GetFailure().GetApplicationFailureInfo(); info.GetType() != propagate.TypeInvalid && info.GetType() != propagate.TypeUnavailable {
				t.Errorf("the update ends with %v", outcome)
			}
			w.wantRefused("touch", attack.reason)
			header = attack.header(w, "look")
			stack.Eventually(t, within, func() error { // a run that has just begun may not be ready for queries
				if err := w.queryRaw("look", header); err == nil || strings.Contains(err.Error(), "ann") {
					t.Fatalf("the query is answered: %v", err)
				}
				if got := w.refused("look"); len(got) != 1 || got[0] != attack.reason {
					return fmt.Errorf("the query is refused for %v, want %s", got, attack.reason)
				}
				return nil
			})
			w.end("0")
		})
	}

	t.Run("a genuine one once more", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, s, propagate.Options{})
		w.start(user("ann", "acme"), "Waits")
		header := w.genuine("note") // is no note: it has no text, and its workflow is this one
		w.signalRaw("note", header)
		stack.Eventually(t, within, func() error {
			if n := w.accepted("note"); n != 1 {
				return fmt.Errorf("%d notes were accepted", n)
			}
			return nil
		})
		w.signalRaw("note", header)
		w.wantRefused("note", propagate.ReasonReplayed)
		touch := w.genuine("touch")
		if outcome, err := w.updateRaw("touch", touch); err != nil || outcome.GetFailure() != nil {
			t.Errorf("the first update ends with %v, %v", outcome, err)
		}
		if outcome, err := w.updateRaw("touch", touch); err != nil || outcome.GetFailure() == nil {
			t.Errorf("the second update ends with %v, %v", outcome, err)
		}
		w.wantRefused("touch", propagate.ReasonReplayed)
		w.end("1")
	})
}

// accepted counts how often what has that name was accepted.
func (w *world) accepted(name string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Name == name && e.Reason == "" {
			n++
		}
	}
	return n
}

// genuine returns a header that ann has sealed for a message to the workflow, as she would send it.
func (w *world) genuine(message string) *commonpb.Payload {
	return w.genuineOf(user("ann", "acme"), message)
}

func (w *world) genuineOf(p principal.Principal, message string) *commonpb.Payload {
	w.t.Helper()
	sealer, err := propagate.NewSealer(w.ring(), keyset(w.namespace), w.namespace)
	must(w.t, err)
	header, err := sealer.Seal(propagate.Record{Principal: p, Kind: propagate.KindMessage, SealedAt: time.Now(), Place: propagate.PlaceOf(propagate.KindMessage, w.id, message)})
	must(w.t, err)
	return header
}

// anAnonymousMessageActsForNobody: a message that may come without a principal is handled, and the owner's identity is not
// lent to its handler.
func anAnonymousMessageActsForNobody(t *testing.T, s *stack.Stack) {
	w := newWorld(t, s, propagate.Options{AllowAnonymousMessages: []string{"touch", "look", "note"}})
	w.start(user("ann", "acme"), "Waits")
	begin := time.Now()
	h, err := w.client.UpdateWorkflow(bounded(t), client.UpdateWorkflowOptions{WorkflowID: w.id, UpdateName: "touch", WaitForStage: client.WorkflowUpdateStageCompleted})
	must(t, err)
	var seen Seen
	must(t, h.Get(bounded(t), &seen))
	for place, want := range (Seen{"owner": "nobody", "caller": "nobody", "activity": propagate.TypeInvalid}) {
		if seen[place] != want {
			t.Errorf("%s is %q, want %q", place, seen[place], want)
		}
	}
	must(t, w.queryRaw("look", nil))
	w.signalRaw("note", nil)
	if took := time.Since(begin); took > within {
		t.Errorf("it took %s", took)
	}
	w.end("1")
}

// policiesDecideWhoMaySendMessages: the three policies, and who is let through by each.
func policiesDecideWhoMaySendMessages(t *testing.T, s *stack.Stack) {
	elder := user("ann", "acme")
	elder.IssuedAt, elder.Txn = time.Now().Add(-time.Hour), "txn-earlier"
	senders := map[string]principal.Principal{"ann": elder, "bob": user("bob", "acme"), "the service": principal.Service("billing", "acme"), "carol": user("carol", "globex")}
	for name, c := range map[string]struct {
		policy propagate.MessagePolicy
		pass   []string
	}{
		"same tenant":    {propagate.MessagesSameTenant, []string{"ann", "bob", "the service"}},
		"same principal": {propagate.MessagesSamePrincipal, []string{"ann"}},
		"any":            {propagate.MessagesAny, []string{"ann", "bob", "the service", "carol"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, propagate.Options{Messages: c.policy})
			w.start(user("ann", "acme"), "Waits")
			var passed []string
			for _, sender := range []string{"ann", "bob", "the service", "carol"} {
				h, err := w.client.UpdateWorkflow(as(t, senders[sender]), client.UpdateWorkflowOptions{WorkflowID: w.id, UpdateName: "touch", WaitForStage: client.WorkflowUpdateStageCompleted})
				must(t, err)
				var seen Seen
				if err := h.Get(bounded(t), &seen); err == nil {
					passed = append(passed, sender)
					if seen["owner"] != ann || seen["caller"] != who(senders[sender], nil) {
						t.Errorf("the update of %s saw %v", sender, seen)
					}
					continue
				} else if app := new(temporal.ApplicationError); !errors.As(err, &app) || app.Type() != propagate.TypeInvalid {
					t.Errorf("the update of %s ends with %v", sender, err)
				}
				must(t, w.client.SignalWorkflow(as(t, senders[sender]), w.id, "", "note", "dropped"))
			}
			if strings.Join(passed, ",") != strings.Join(c.pass, ",") {
				t.Errorf("%v pass, want %v", passed, c.pass)
			}
			w.end("0")
		})
	}
	t.Run("a workflow of nobody takes messages from nobody", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, s, propagate.Options{AllowAnonymousStarts: []string{"Waits"}})
		w.startRaw("Waits", nil)
		must(t, w.client.SignalWorkflow(as(t, principal.Service("billing", "acme")), w.id, "", "note", "dropped"))
		w.wantRefused("note", propagate.ReasonMessages)
		must(t, w.raw.TerminateWorkflow(t.Context(), w.id, "", ""))
	})
}
