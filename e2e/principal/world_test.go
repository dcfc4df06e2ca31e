// Package principal_test plays, against a real Temporal and a real Vault, how principals travel through workflows, and
// every attack on them and accident with them that the documentation speaks of.
package principal_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/propagate"
)

const (
	namespace = "payments"
	elsewhere = "clinic"
	within    = 10 * time.Second // nothing takes longer, or it counts as wedged
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait for the server, they do not compute.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	worker.SetStickyWorkflowCacheSize(0) // every workflow task replays: what is judged is judged again
	os.Exit(m.Run())
}

// TestPrincipals plays all there is against one set of servers.
func TestPrincipals(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{namespace, elsewhere}, Keysets: []string{keyset(namespace), keyset(elsewhere), rotated},
		WithoutOIDC: true, Dynamic: map[string]string{"system.enableCrossNamespaceCommands": "true"}})
	s.DefaultRing(t) // ends with this test, and not with the first of those below
	for name, play := range map[string]func(*testing.T, *stack.Stack){
		"a principal reaches everything":                                aPrincipalReachesEverything,
		"cron runs for whoever started it":                              cronRunsForWhoeverStartedIt,
		"a start that is not genuine fails at once":                     aStartThatIsNotGenuineFailsAtOnce,
		"a start whose key is not there waits for it for a while":       aStartWhoseKeyIsNotThereWaitsForItForAWhile,
		"a client does not seal for whoever it may not":                 aClientDoesNotSealForWhoeverItMayNot,
		"anonymous starts are for the types that options name":          anonymousStartsAreForTheTypesThatOptionsName,
		"who may act no longer is stopped at the next activity":         whoMayActNoLongerIsStoppedAtTheNextActivity,
		"a message that is not genuine reaches nothing":                 aMessageThatIsNotGenuineReachesNothing,
		"an anonymous message acts for nobody":                          anAnonymousMessageActsForNobody,
		"policies decide who may send messages":                         policiesDecideWhoMaySendMessages,
		"a schedule runs for a service, and for whoever edited it last": aScheduleRunsForAServiceAndForWhoeverEditedItLast,
		"a schedule that was meddled with starts nothing":               aScheduleThatWasMeddledWithStartsNothing,
		"who resets a workflow does not become its owner":               whoResetsAWorkflowDoesNotBecomeItsOwner,
		"a key is rotated while workflows run":                          aKeyIsRotatedWhileWorkflowsRun,
		"other namespaces are closed unless both sides open them":       otherNamespacesAreClosedUnlessBothSidesOpenThem,
		"nexus operations carry no principal":                           nexusOperationsCarryNoPrincipal,
		"a policy that becomes stricter kills no workflow":              aPolicyThatBecomesStricterKillsNoWorkflow,
		"what a worker without keys commands is refused":                whatAWorkerWithoutKeysCommandsIsRefused,
		"an old cron start runs never":                                  anOldCronStartRunsNever,
		"a standalone activity that is not genuine is refused":          aStandaloneActivityThatIsNotGenuineIsRefused,
		"recorded histories replay":                                     recordedHistoriesReplay,
		"nobody is named in the store":                                  nobodyIsNamedInTheStore,
		"a principal outlives combinations":                             aPrincipalOutlivesCombinations,
		"what remains is what the threat model says":                    whatRemainsIsWhatTheThreatModelSays,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, s)
		})
	}
}

// rotated is a keyset of which one test adds a key.
const rotated = "principal/rotated"

func keyset(namespace string) string { return "principal/" + namespace }

// user is somebody whose token was verified at the edge a moment ago.
func user(name, tenant string) principal.Principal {
	return principal.Principal{Kind: principal.KindUser, Issuer: "https://idp.example", Subject: name, Tenant: tenant, Txn: "txn-" + name, IssuedAt: time.Now()}
}

// bounded is the context of a call that must not hang.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*within)
	t.Cleanup(cancel)
	return ctx
}

func as(t *testing.T, p principal.Principal) context.Context {
	return principal.NewContext(bounded(t), p)
}

// world is a worker of one namespace, and the clients that speak to it.
type world struct {
	*stack.Stack
	t         *testing.T
	namespace string
	queue     string
	id        string        // of the one workflow that most tests have
	client    client.Client // has the plugin
	raw       client.Client // seals nothing and carries nothing
	code      *code
	works     worker.Worker
	*log
}

// log is what the worker's propagator told.
type log struct {
	mu     sync.Mutex
	events []propagate.Event
}

// at returns the same world, for another workflow.
func (w *world) at(id string) *world {
	other := *w
	other.id = id
	return &other
}

// newWorld starts a worker. The id is made from the name of the test.
func newWorld(t *testing.T, s *stack.Stack, o propagate.Options) *world {
	t.Helper()
	return newWorldIn(t, s, namespace, o)
}

func newWorldIn(t *testing.T, s *stack.Stack, namespace string, o propagate.Options) *world {
	t.Helper()
	id := strings.NewReplacer("/", ":", "_", "-").Replace(strings.TrimPrefix(t.Name(), "TestPrincipals/"))
	w := &world{Stack: s, t: t, namespace: namespace, queue: id + "@" + namespace, id: id, raw: s.ClientWith(t, namespace), log: &log{}}
	o.Observe = w.observe
	// Arguments and results that cross namespaces stay sealed where they come from.
	w.client = s.Client(t, namespace, signet.Options{Principal: &o, AcceptScopes: []string{"payments", elsewhere},
		AcceptKeysets: []string{stack.Keyset("payments"), stack.Keyset(elsewhere)}})
	w.code = &code{world: w}
	w.works = w.work(w.client)
	return w
}

// work starts a worker of the world, until the test ends or it is stopped.
func (w *world) work(c client.Client) worker.Worker {
	w.t.Helper()
	works := worker.New(c, w.queue, worker.Options{})
	w.code.register(works)
	must(w.t, works.Start())
	w.t.Cleanup(works.Stop)
	return works
}

func (l *log) observe(e propagate.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// refused returns the reasons for which something of a workflow was refused, by the name of what it was.
func (l *log) refused(name string) (reasons []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Name == name && e.Reason != "" && !slices.Contains(reasons, e.Reason) {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons
}

// wantRefused waits until exactly one reason was given for refusing what has that name.
func (w *world) wantRefused(name, reason string) {
	w.t.Helper()
	stack.Eventually(w.t, within, func() error {
		if got := w.refused(name); !slices.Equal(got, []string{reason}) {
			return fmt.Errorf("%s is refused for %v, want %s", name, got, reason)
		}
		return nil
	})
}

func (w *world) options() client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: w.id, TaskQueue: w.queue}
}

// start starts a workflow for somebody.
func (w *world) start(p principal.Principal, workflowType string) client.WorkflowRun {
	w.t.Helper()
	run, err := w.client.ExecuteWorkflow(as(w.t, p), w.options(), workflowType)
	must(w.t, err)
	return run
}

// startRaw starts a workflow as somebody does who has no keys: with whatever header, and changed in any way.
func (w *world) startRaw(workflowType string, header *commonpb.Payload, change ...func(*workflowservice.StartWorkflowExecutionRequest)) string {
	w.t.Helper()
	req := &workflowservice.StartWorkflowExecutionRequest{
		Namespace: w.namespace, WorkflowId: w.id, WorkflowType: &commonpb.WorkflowType{Name: workflowType}, RequestId: fmt.Sprint(time.Now().UnixNano()),
		TaskQueue: &taskqueuepb.TaskQueue{Name: w.queue}, Header: fields(header),
	}
	for _, do := range change {
		do(req)
	}
	answer, err := w.raw.WorkflowService().StartWorkflowExecution(w.t.Context(), req)
	must(w.t, err)
	return answer.GetRunId()
}

func fields(header *commonpb.Payload) *commonpb.Header {
	if header == nil {
		return nil
	}
	return &commonpb.Header{Fields: map[string]*commonpb.Payload{propagate.Header: header}}
}

func (w *world) history(id, runID string) []*historypb.HistoryEvent {
	w.t.Helper()
	answer, err := w.raw.WorkflowService().GetWorkflowExecutionHistory(w.t.Context(), &workflowservice.GetWorkflowExecutionHistoryRequest{
		Namespace: w.namespace, MaximumPageSize: 1000, Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: runID}})
	must(w.t, err)
	return answer.GetHistory().GetEvents()
}

// stolen returns the header that a workflow was started with, as anybody can read it.
func (w *world) stolen(id string) *commonpb.Payload {
	w.t.Helper()
	payload := w.history(id, "")[0].GetWorkflowExecutionStartedEventAttributes().GetHeader().GetFields()[propagate.Header]
	if payload == nil {
		w.t.Fatalf("the start of %s has no header", id)
	}
	return payload
}

// stolenSignal returns the header of a signal in a workflow's history.
func (w *world) stolenSignal(id, name string) *commonpb.Payload {
	w.t.Helper()
	for _, e := range w.history(id, "") {
		if s := e.GetWorkflowExecutionSignaledEventAttributes(); s.GetSignalName() == name {
			return s.GetHeader().GetFields()[propagate.Header]
		}
	}
	w.t.Fatalf("%s has no signal %s", id, name)
	return nil
}

// wantStartRefused waits until a run has failed as it must: soon, for good, and before it did anything.
func (w *world) wantStartRefused(id, runID string) {
	w.t.Helper()
	stack.Eventually(w.t, within, func() error {
		for _, e := range w.history(id, runID) {
			if failed := e.GetWorkflowExecutionFailedEventAttributes(); failed != nil {
				info := failed.GetFailure().GetApplicationFailureInfo()
				if info.GetType() != propagate.TypeInvalid || !info.GetNonRetryable() || failed.GetRetryState() == enumspb.RETRY_STATE_IN_PROGRESS {
					w.t.Fatalf("the workflow failed otherwise than it should: %v", failed)
				}
				return nil
			}
			switch e.GetEventType() {
			case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED,
				enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
			default:
				w.t.Fatalf("a workflow that should be refused did something: %s", e)
			}
		}
		return fmt.Errorf("%s is still open", id)
	})
}

// result waits for the end of a workflow.
func (w *world) result(run client.WorkflowRun) (Seen, error) {
	w.t.Helper()
	var seen Seen
	err := run.Get(bounded(w.t), &seen)
	return seen, err
}

// wantResult waits for the end of a workflow, and compares what it saw.
func (w *world) wantResult(run client.WorkflowRun, want Seen) {
	w.t.Helper()
	seen, err := w.result(run)
	must(w.t, err)
	for place, who := range want {
		if seen[place] != who {
			w.t.Errorf("%s is %q, want %q", place, seen[place], who)
		}
	}
	if len(seen) != len(want) {
		w.t.Errorf("it saw %v, want %v", seen, want)
	}
}

// noTaskFailed: nothing was wedged, not even for one attempt.
func (w *world) noTaskFailed(id string) {
	w.t.Helper()
	for _, e := range w.history(id, "") {
		if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED || e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT {
			w.t.Errorf("a workflow task failed: %s", e)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
