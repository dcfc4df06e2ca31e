package shred_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/converter"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/keys"
)

// Order waits for a signal and says what it was.
func Order(ctx workflow.Context, item string) (string, error) {
	var where string
	workflow.GetSignalChannel(ctx, "ship").Receive(ctx, &where)
	return item + " to " + where, nil
}

// Quick ends at once.
func Quick(_ workflow.Context, item string) (string, error) { return "packed " + item, nil }

// world is three tenants in one worker, and a codec server for all of them.
type world struct {
	*stack.Stack
	raw, client client.Client
	ring        *keys.Ring
	server      *stack.Server
	alice       string            // her token for the server
	shredder    string            // Vault's, for acme alone
	results     map[string]string // run ids of what ended, by tenant
}

const webUI = "https://ui.example.com"

var tenants = []string{"acme", "bravo", "coyote"}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Stack: stack.Start(t, stack.Options{Namespaces: []string{"payments"}, OwnKeysUnder: []string{under}, KeepVault: true, PropagationDelay: time.Millisecond}), results: map[string]string{}}
	for _, tenant := range tenants {
		w.CreateKeyset(t, under+tenant)
	}
	w.shredder = token(t, w.Stack, "shredder", under+"acme")
	w.ring = w.Ring(t, keys.RingOptions{RefreshInterval: time.Second, Tenants: keys.Tenants{Under: under}})
	for _, tenant := range tenants {
		if err := w.ring.Preload(t.Context(), under+tenant); err != nil {
			t.Fatal(err)
		}
	}
	w.raw = w.ClientWith(t, "payments")
	w.client = w.ClientWith(t, "payments", w.Plugin(t, w.ring, signet.Options{Keyset: "ns/payments", Tenants: converter.Tenants{Under: under}}))
	code := worker.New(w.client, "orders", worker.Options{})
	code.RegisterWorkflow(Order)
	code.RegisterWorkflow(Quick)
	if err := code.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(code.Stop)
	w.server = w.Server(t, stack.ServerOptions{TenantsUnder: under, RefreshInterval: time.Second, Origins: []string{webUI}})
	w.alice = w.Token(t, "alice")
	for _, tenant := range tenants {
		run := w.start(t, tenant+"/ended", Quick)
		w.results[tenant] = run.GetRunID()
		if out, err := w.result(t, run); err != nil || out != "packed tea" {
			t.Fatalf("%s: %q, %v", tenant, out, err)
		}
		w.start(t, tenant+"/order-1", Order)
	}
	return w
}

func (w *world) start(t *testing.T, id string, code any) client.WorkflowRun {
	t.Helper()
	run, err := w.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: "orders", WorkflowTaskTimeout: 2 * time.Second}, code, "tea")
	if err != nil {
		t.Fatalf("starting %s: %v", id, err)
	}
	return run
}

func (w *world) result(t *testing.T, run client.WorkflowRun) (out string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err = run.Get(ctx, &out)
	return out, err
}

// ended reads the result of a tenant's workflow that ended, as a client that has not read it before.
func (w *world) ended(t *testing.T, tenant string) (string, error) {
	t.Helper()
	return w.result(t, w.client.GetWorkflow(t.Context(), tenant+"/ended", w.results[tenant]))
}

// sealed is that result as Temporal has it.
func (w *world) sealed(t *testing.T, tenant string) *commonpb.Payload {
	t.Helper()
	events := w.raw.GetWorkflowHistory(t.Context(), tenant+"/ended", w.results[tenant], false, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		if done := event.GetWorkflowExecutionCompletedEventAttributes(); done != nil {
			return done.GetResult().GetPayloads()[0]
		}
	}
	t.Fatalf("%s has no result", tenant)
	return nil
}

// opens checks that a tenant's data opens for its client and in the codec server.
func (w *world) opens(t *testing.T, tenant string) {
	t.Helper()
	stack.Eventually(t, 30*time.Second, func() error {
		if out, err := w.ended(t, tenant); err != nil || out != "packed tea" {
			return fmt.Errorf("a client of %s reads %q, %w", tenant, out, err)
		}
		if got := w.server.Decode(t, w.alice, "payments", w.sealed(t, tenant)); got.Status != http.StatusOK || string(got.Payloads[0].GetData()) != `"packed tea"` {
			return fmt.Errorf("the codec server answers %d for %s: %s", got.Status, tenant, got.Body)
		}
		return nil
	})
}

// shred runs signet shred for acme.
func (w *world) shred(t *testing.T, token string, flags ...string) stack.Run {
	t.Helper()
	return w.SignetAs(t, token, append([]string{"shred", under + "acme", "--address=" + w.Temporal.Address}, flags...)...)
}

// TestOfThreeTenantsOneIsErased is the whole story: acme goes, the others stay.
func TestOfThreeTenantsOneIsErased(t *testing.T) {
	w := newWorld(t)
	for _, tenant := range tenants {
		w.opens(t, tenant)
	}
	file := filepath.Join(w.Dir, "keysets.json") // a backup of KV, and below one of all of Vault
	must(t, w.Stack, w.Roles.CustodianToken, "keyset", "backup", "--file="+file)
	var snapshot bytes.Buffer
	if err := vault(t, w.Stack).Sys().RaftSnapshotWithContext(t.Context(), &snapshot); err != nil {
		t.Fatal(err)
	}

	w.openIsListedAndInTheWay(t)
	w.scheduledItIsIdle(t)
	w.carriedOutItIsGone(t)
	w.nothingElseIsHeldUp(t, file)

	// A snapshot of Vault from before brings it back, as the receipt says, and it is shredded once more.
	if err := vault(t, w.Stack).Sys().RaftSnapshotRestoreWithContext(t.Context(), bytes.NewReader(snapshot.Bytes()), false); err != nil {
		t.Fatal(err)
	}
	w.opens(t, "acme")
	stack.Eventually(t, 30*time.Second, func() error {
		if got := w.shred(t, w.Roles.CustodianToken, "--schedule", "--wait=1s", "--namespace=payments"); got.Code != 0 {
			return errors.New(got.Stderr)
		}
		return nil
	})
	stack.Eventually(t, 30*time.Second, func() error {
		if got := w.shred(t, w.shredder, "--carry-out", "--namespace=payments"); got.Code != 0 {
			return errors.New(got.Stderr)
		}
		return nil
	})
	gone(t, w.Stack, "acme")
	w.closed(t)
	w.opens(t, "bravo")
	w.openOnesStayOpen(t)
}

// openOnesStayOpen: whoever insists shreds a keyset that an open workflow needs. Its tasks fail, it stays open, and the
// worker goes on with the others.
func (w *world) openOnesStayOpen(t *testing.T) {
	t.Helper()
	doom(t, w.Stack, under+"coyote")
	got := w.SignetAs(t, token(t, w.Stack, "shredder"), "shred", under+"coyote", "--address="+w.Temporal.Address, "--namespace=payments", "--carry-out", "--allow-open-workflows")
	if got.Code != 0 || !strings.Contains(got.Stdout, "payments  1 open workflow by id\n  coyote/order-1\n") || !strings.Contains(got.Stdout, "in 1 open and ") {
		t.Fatalf("exit code %d: %s%s", got.Code, got.Stdout, got.Stderr)
	}
	stack.Eventually(t, 30*time.Second, func() error {
		if _, err := w.ended(t, "coyote"); !errors.Is(err, keys.ErrShredded) {
			return fmt.Errorf("a client of coyote reads: %w", err)
		}
		return nil
	})
	if _, err := w.raw.WorkflowService().SignalWorkflowExecution(t.Context(), &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: "payments", WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: "coyote/order-1"}, SignalName: "ship",
	}); err != nil {
		t.Fatal(err)
	}
	w.taskFails(t, "coyote/order-1")
	if err := w.client.SignalWorkflow(t.Context(), "bravo/order-1", "", "ship", "Ulm"); err != nil {
		t.Fatal(err)
	}
	if out, err := w.result(t, w.client.GetWorkflow(t.Context(), "bravo/order-1", "")); err != nil || out != "tea to Ulm" {
		t.Errorf("bravo: %q, %v", out, err)
	}
	d, err := w.raw.DescribeWorkflowExecution(t.Context(), "coyote/order-1", "")
	if err != nil || d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		t.Errorf("coyote's workflow is %s, %v, want it open", d.GetWorkflowExecutionInfo().GetStatus(), err)
	}
}

// taskFails waits until a task of a workflow has failed.
func (w *world) taskFails(t *testing.T, id string) {
	t.Helper()
	stack.Eventually(t, 30*time.Second, func() error {
		events := w.raw.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			if err != nil {
				return err
			}
			if event.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED {
				return nil
			}
		}
		return fmt.Errorf("no task of %s has failed", id)
	})
}

// openIsListedAndInTheWay: an open workflow and then a schedule of acme's are what is asked about first.
func (w *world) openIsListedAndInTheWay(t *testing.T) {
	t.Helper()
	schedule, err := w.client.ScheduleClient().Create(t.Context(), client.ScheduleOptions{
		ID: "nightly", Paused: true, Action: &client.ScheduleWorkflowAction{ID: "acme/nightly", Workflow: Quick, Args: []any{"tea"}, TaskQueue: "orders"},
	})
	if err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, 30*time.Second, func() error { // visibility takes its time
		got := w.shred(t, w.Roles.CustodianToken, "--schedule", "--namespace=payments", "--output=json")
		if got.Code != 3 {
			return fmt.Errorf("exit code %d: %s", got.Code, got.Stderr)
		}
		r := read(t, got.Stdout)
		if len(r.Asked) != 1 || r.Asked[0].Listed != 1 || !slices.Equal(r.Asked[0].ListedIDs, []string{"acme/order-1"}) || r.Asked[0].Began != nil {
			return fmt.Errorf("listed %+v, want acme's order and no census", r.Asked)
		}
		if !strings.Contains(got.Stderr, "nothing was changed: namespace payments has 1 open workflow whose ids are the tenant's: let them end or terminate them") {
			return errors.New(got.Stderr)
		}
		return nil
	})
	// Where ids are made otherwise it is said what they begin with.
	got := w.shred(t, w.Roles.CustodianToken, "--schedule", "--namespace=payments", "--workflows-beginning-with=bra", "--output=json")
	if got.Code != 3 || !slices.Equal(read(t, got.Stdout).Asked[0].ListedIDs, []string{"bravo/order-1"}) {
		t.Errorf("by another beginning: exit code %d: %s", got.Code, got.Stdout)
	}
	if err := w.client.TerminateWorkflow(t.Context(), "acme/order-1", "", "erasure"); err != nil {
		t.Fatal(err)
	}
	stack.Eventually(t, 30*time.Second, func() error {
		got := w.shred(t, w.Roles.CustodianToken, "--schedule", "--namespace=payments")
		if got.Code != 3 || !strings.Contains(got.Stderr, "0 open workflows, 1 schedules and 0 standalone") || !strings.Contains(got.Stdout, "such as nightly") {
			return fmt.Errorf("exit code %d: %s%s", got.Code, got.Stdout, got.Stderr)
		}
		return nil
	})
	w.opens(t, "acme") // refused, nothing was changed
	if err := schedule.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// scheduledItIsIdle: in the waiting period nothing of acme opens, and calling it off brings everything back.
func (w *world) scheduledItIsIdle(t *testing.T) {
	t.Helper()
	schedule := func(wait string) {
		stack.Eventually(t, 30*time.Second, func() error {
			got := w.shred(t, w.Roles.CustodianToken, "--schedule", "--wait="+wait, "--namespace=payments")
			if got.Code != 0 || !strings.Contains(got.Stdout, "payments  0 open workflows by id") {
				return fmt.Errorf("exit code %d: %s%s", got.Code, got.Stdout, got.Stderr)
			}
			return nil
		})
	}
	schedule("1h")
	stack.Eventually(t, 30*time.Second, func() error {
		if _, err := w.ended(t, "acme"); !errors.Is(err, keys.ErrToBeShredded) || !errors.Is(err, converter.ErrKeyUnavailable) {
			return fmt.Errorf("a client of acme reads: %w", err)
		}
		if got := w.server.Decode(t, w.alice, "payments", w.sealed(t, "acme")); got.Status != http.StatusServiceUnavailable {
			return fmt.Errorf("the codec server answers %d: %s", got.Status, got.Body)
		}
		return nil
	})
	w.opens(t, "bravo")
	must(t, w.Stack, w.Roles.CustodianToken, "shred", under+"acme", "--cancel")
	w.opens(t, "acme")
	schedule("1s")
}

// carriedOutItIsGone: by the shredder alone, with a receipt, and nothing of acme opens anywhere.
func (w *world) carriedOutItIsGone(t *testing.T) {
	t.Helper()
	stack.Eventually(t, 30*time.Second, func() error { // the waiting period
		if got := w.shred(t, w.Roles.CustodianToken, "--carry-out", "--namespace=payments"); !strings.Contains(got.Stderr, "denied permission") {
			return fmt.Errorf("the custodian: exit code %d: %s", got.Code, got.Stderr)
		}
		return nil
	})
	got := w.shred(t, w.shredder, "--carry-out", "--namespace=payments", "--output=json")
	if got.Code != 0 {
		t.Fatalf("exit code %d: %s", got.Code, got.Stderr)
	}
	r := read(t, got.Stdout)
	if len(r.Keysets) != 1 || !r.Keysets[0].Own || r.Keysets[0].TransitKey != ownTransit+"acme" || r.Keysets[0].Shredded == nil || len(r.Keysets[0].Keys) != 1 || r.Asked[0].ClosedWorkflows < 1 {
		t.Fatalf("the receipt is %+v", r)
	}
	var open []string
	for _, left := range r.Keysets[0].Remains {
		if left.Opens {
			open = append(open, left.Where)
		}
		if left.Where == "" || left.What == "" || left.Do == "" {
			t.Errorf("the receipt says %+v", left)
		}
	}
	if len(open) != 3 || !strings.Contains(open[0], "raft snapshots among them") || !strings.Contains(open[1], ownTransit+"acme") || !strings.Contains(open[2], "did not read the keyset") {
		t.Errorf("the receipt says that these open: %q", open)
	}
	gone(t, w.Stack, "acme")
	w.closed(t)
	if again := w.shred(t, w.shredder, "--carry-out"); again.Code != 0 || !strings.Contains(again.Stdout, "is shredded, since") {
		t.Errorf("once more: exit code %d: %s%s", again.Code, again.Stdout, again.Stderr)
	}
}

// closed checks that nothing of acme opens: in a client, in the worker, in the codec server.
func (w *world) closed(t *testing.T) {
	t.Helper()
	stack.Eventually(t, 30*time.Second, func() error {
		if out, err := w.ended(t, "acme"); out != "" || !errors.Is(err, keys.ErrShredded) || !errors.Is(err, converter.ErrKeyDestroyed) || !strings.Contains(err.Error(), "was shredded on") {
			return fmt.Errorf("a client reads %q, %w", out, err)
		}
		got := w.server.Decode(t, w.alice, "payments", w.sealed(t, "acme"))
		if got.Status != http.StatusUnprocessableEntity || strings.Contains(got.Body, "tea") {
			return fmt.Errorf("the codec server answers %d: %s", got.Status, got.Body)
		}
		return nil
	})
	got := w.server.Codec(t, stack.CodecRequest{Token: w.alice, Namespace: "payments", Origin: webUI, Payloads: []*commonpb.Payload{w.sealed(t, "acme"), w.sealed(t, "bravo")}})
	if got.Status != http.StatusOK || string(got.Payloads[1].GetData()) != `"packed tea"` {
		t.Fatalf("in a browser the codec server answers %d: %s", got.Status, got.Body)
	}
	if e, ok := stack.ExplanationIn(got.Payloads[0]); !ok || e.Reason != "key-destroyed" || !strings.Contains(e.Message, "everything of its tenant was erased") {
		t.Errorf("a person is told %+v", e)
	}
	if err := w.client.SignalWorkflow(t.Context(), "acme/order-1", "", "ship", "Ulm"); !errors.Is(err, keys.ErrShredded) {
		t.Errorf("a signal to acme: %v", err)
	}
	if _, err := w.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "acme/new", TaskQueue: "orders"}, Quick, "tea"); !errors.Is(err, keys.ErrShredded) {
		t.Errorf("a new workflow of acme: %v", err)
	}
	// A worker that meets acme's payload fails that task, and goes on with everything else.
	id := fmt.Sprintf("acme/stray-%d", time.Now().UnixNano())
	if _, err := w.raw.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: "orders", WorkflowTaskTimeout: 2 * time.Second}, "Quick", w.sealed(t, "acme")); err == nil {
		w.taskFails(t, id)
		if err := w.raw.TerminateWorkflow(t.Context(), id, "", "erasure"); err != nil {
			t.Error(err)
		}
	} else {
		t.Error(err)
	}
}

// nothingElseIsHeldUp: the others go on, every command about all keysets succeeds, and no backup of KV opens.
func (w *world) nothingElseIsHeldUp(t *testing.T, file string) {
	t.Helper()
	for _, tenant := range []string{"bravo", "coyote"} {
		if err := w.client.SignalWorkflow(t.Context(), tenant+"/order-1", "", "ship", "Ulm"); err != nil {
			t.Fatal(err)
		}
		if out, err := w.result(t, w.client.GetWorkflow(t.Context(), tenant+"/order-1", "")); err != nil || out != "tea to Ulm" {
			t.Errorf("%s: %q, %v", tenant, out, err)
		}
		w.opens(t, tenant)
		w.start(t, tenant+"/order-1", Order) // open again, for the second time
	}
	if err := w.ring.Refresh(t.Context()); err != nil {
		t.Errorf("refreshing the ring: %v", err)
	}
	custodian := w.Roles.CustodianToken
	for _, args := range [][]string{{"list"}, {"status"}, {"rotate", "--auto"}, {"rewrap"}, {"backup", "--file=" + file + ".after"}} {
		must(t, w.Stack, custodian, append([]string{"keyset"}, args...)...)
	}
	if out := must(t, w.Stack, w.Vault.Token, "keyset", "verify"); !strings.Contains(out, under+"acme: shredded") {
		t.Errorf("verify says %s", out)
	}
	refused(t, w.Stack, custodian, 3, "and its name stays taken", "keyset", "create", under+"acme")
	if out := must(t, w.Stack, custodian, "keyset", "restore", "--file="+file); !strings.Contains(out, under+"acme: not restored, it was shredded") {
		t.Errorf("restore says %s", out)
	}
	got := w.SignetAs(t, w.Vault.Token, "keyset", "verify", "--file="+file, under+"acme")
	if got.Code != 1 || !strings.Contains(got.Stdout, "Transit key \""+ownTransit+"acme\" of keyset \""+under+"acme\" is gone from Vault") {
		t.Errorf("a backup of KV: exit code %d: %s%s", got.Code, got.Stdout, got.Stderr)
	}
}
