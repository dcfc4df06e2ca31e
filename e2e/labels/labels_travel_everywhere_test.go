// Package labels_test shows that labels are where masks need them: in what a real Temporal server keeps.
package labels_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/proxy"
	querypb "go.temporal.io/api/query/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys/keystest"
	"github.com/signet-temporal/signet/labels"
	"github.com/signet-temporal/signet/labels/mask"
	"github.com/signet-temporal/signet/tools/parts"
)

// Patient says in both fields which place it was put into.
type Patient struct {
	SSN   string `json:"ssn" sensitive:"phi"`
	State string `json:"state"`
}

func at(place string) Patient { return Patient{"SECRET-" + place + ".", "public-" + place + "."} }

// places are all where Intake puts a patient.
var places = []string{
	"input", "memo", "activity-input", "activity-result", "local-result", "details", "side-effect", "child-input", "child-result",
	"signal", "update-input", "update-result", "query-input", "query-result", "upserted-memo", "result",
}

func Intake(ctx workflow.Context, _ Patient) (Patient, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1}})
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: time.Minute})
	if err := workflow.SetQueryHandler(ctx, "query", func(Patient) (Patient, error) { return at("query-result"), nil }); err != nil {
		return Patient{}, err
	}
	if err := workflow.SetUpdateHandler(ctx, "update", func(workflow.Context, Patient) (Patient, error) { return at("update-result"), nil }); err != nil {
		return Patient{}, err
	}
	if err := workflow.UpsertMemo(ctx, map[string]any{"upserted": at("upserted-memo")}); err != nil {
		return Patient{}, err
	}
	var p Patient
	if err := workflow.SideEffect(ctx, func(workflow.Context) any { return at("side-effect") }).Get(&p); err != nil {
		return Patient{}, err
	}
	if err := workflow.ExecuteActivity(ctx, Examine, at("activity-input")).Get(ctx, &p); err != nil {
		return Patient{}, err
	}
	if err := workflow.ExecuteLocalActivity(ctx, Look, 1).Get(ctx, &p); err != nil {
		return Patient{}, err
	}
	if workflow.ExecuteActivity(ctx, Fail, 1).Get(ctx, nil) == nil {
		return Patient{}, fmt.Errorf("an activity that fails did not")
	}
	if err := workflow.ExecuteChildWorkflow(ctx, Ward, at("child-input")).Get(ctx, &p); err != nil {
		return Patient{}, err
	}
	workflow.GetSignalChannel(ctx, "signal").Receive(ctx, &p)
	return at("result"), nil
}

func Ward(workflow.Context, Patient) (Patient, error) { return at("child-result"), nil }

func Examine(context.Context, Patient) (Patient, error) { return at("activity-result"), nil }

func Look(context.Context, int) (Patient, error) { return at("local-result"), nil }

func Fail(context.Context, int) error {
	return temporal.NewApplicationError("no", "refused", at("details"))
}

// TestLabelsTravelWithEveryPayload: wherever the workflow puts a patient, the server keeps a sealed payload that knows its
// labels, and what a person without them sees is the rest.
func TestLabelsTravelWithEveryPayload(t *testing.T) {
	types, err := labels.NewTypes(labels.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ring := keystest.NewRing(t, "ns/wards")
	codec, err := converter.NewCodec(ring, converter.CodecOptions{Keyset: "ns/wards", Scope: "wards"})
	if err != nil {
		t.Fatal(err)
	}
	kept := play(t, ring, types)
	seen := map[string]bool{}
	for _, p := range kept {
		opened, err := codec.Open(p)
		if err != nil {
			t.Errorf("a payload does not open: %v", err)
			continue
		}
		for _, place := range places {
			if !strings.Contains(string(opened.GetData()), "SECRET-"+place+".") {
				continue
			}
			seen[place] = true
			r := mask.Payload(opened, mask.View{})
			want := `{"ssn":"••• masked: phi","state":"public-` + place + `."}`
			if got := string(r.Payload.GetData()); got != want {
				t.Errorf("%s: labels %s, and shown is %s", place, opened.GetMetadata()[labels.Metadata], got)
			}
			if r := mask.Payload(opened, mask.View{Labels: []string{"phi"}}); r.Payload != opened || len(r.Shown) != 1 {
				t.Errorf("%s: who may see phi sees %v", place, r)
			}
		}
	}
	for _, place := range places {
		if !seen[place] {
			t.Errorf("%s: not among the %d payloads that the server keeps", place, len(kept))
		}
	}
}

// play runs the workflow and returns every payload, as it is in the server: of both histories, the memo, and a query.
func play(t *testing.T, held converter.Keys, types *labels.Types) (kept []*commonpb.Payload) {
	t.Helper()
	paths := stack.Ensure(t, parts.TemporalServer)
	s, err := parts.StartTemporal(t.Context(), parts.TemporalOptions{Program: paths.Temporal, DB: t.TempDir() + "/temporal.db", Namespaces: []string{"wards"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	plugin, err := signet.NewPlugin(held, signet.Options{Labels: types})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(client.Options{HostPort: s.Address, Namespace: "wards", Plugins: []client.Plugin{plugin}, Logger: stack.Quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := worker.New(c, "wards", worker.Options{})
	w.RegisterWorkflow(Intake)
	w.RegisterWorkflow(Ward)
	w.RegisterActivity(Examine)
	w.RegisterActivity(Look)
	w.RegisterActivity(Fail)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "intake", TaskQueue: "wards", Memo: map[string]any{"memo": at("memo")}}, Intake, at("input"))
	if err != nil {
		t.Fatal(err)
	}
	update, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: "intake", UpdateName: "update", Args: []any{at("update-input")}, WaitForStage: client.WorkflowUpdateStageCompleted})
	if err != nil {
		t.Fatal(err)
	}
	var p Patient
	if err := update.Get(ctx, &p); err != nil || p != at("update-result") {
		t.Fatalf("the update returns %v, %v", p, err)
	}
	// The data converter that the plugin has given the client: the query is asked below it, to see its answer sealed.
	options := client.Options{Namespace: "wards"}
	if err := plugin.ConfigureClient(ctx, client.PluginConfigureClientOptions{ClientOptions: &options}); err != nil {
		t.Fatal(err)
	}
	args, err := options.DataConverter.ToPayloads(at("query-input"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.WorkflowService().QueryWorkflow(ctx, &workflowservice.QueryWorkflowRequest{
		Namespace: "wards", Execution: &commonpb.WorkflowExecution{WorkflowId: "intake"}, Query: &querypb.WorkflowQuery{QueryType: "query", QueryArgs: args},
	})
	if err != nil {
		t.Fatal(err)
	}
	kept = append(args.GetPayloads(), answer.GetQueryResult().GetPayloads()...)
	if err := c.SignalWorkflow(ctx, "intake", "", "signal", at("signal")); err != nil {
		t.Fatal(err)
	}
	if err := run.Get(ctx, &p); err != nil || p != at("result") {
		t.Fatalf("the workflow returns %v, %v", p, err)
	}
	for events := c.GetWorkflowHistory(ctx, "intake", run.GetRunID(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, payloads(t, event)...)
	}
	return kept
}

// payloads are all sealed ones in a message.
func payloads(t *testing.T, m proto.Message) (found []*commonpb.Payload) {
	t.Helper()
	err := proxy.VisitPayloads(t.Context(), proto.Clone(m), proxy.VisitPayloadsOptions{SkipSearchAttributes: true,
		Visitor: func(_ *proxy.VisitPayloadsContext, ps []*commonpb.Payload) ([]*commonpb.Payload, error) {
			for _, p := range ps {
				if _, sealed := p.GetMetadata()["encryption-context"]; sealed {
					found = append(found, p)
				}
			}
			return ps, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
