// Package history_test looks at what a real Temporal server stores of sealed workflows, and at what becomes of a
// workflow when a payload does not open.
package history_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// scenario is a worker's code that puts a secret into every place that Temporal has for one. A secret says its place, so
// that one which comes to light says where from.
type scenario struct {
	mark               string                 // begins every secret; random, so that no other bytes of a database can be it
	released, finished chan struct{}          // closed by the test: end of the first and the second attempt of Watch
	deferred           chan activity.Info     // activities that wait for their end
	nights             chan map[string]string // what the third run of Nightly has read
}

func newScenario() *scenario {
	return &scenario{
		mark:     "canary" + strings.ToLower(rand.Text()), // lower case, as the keys of Nexus headers become
		released: make(chan struct{}), finished: make(chan struct{}),
		deferred: make(chan activity.Info, len(deferred)), nights: make(chan map[string]string, 1),
	}
}

// secret ends with a digit, so that it is told from what stands behind it.
func (s *scenario) secret(place string) string { return s.mark + "-" + place + "0" }

// Record is what the workflows and activities pass around.
type Record struct {
	Value string
	Seen  map[string]string // by place, what the code read there
}

const (
	changeID  = "wording-of-the-diagnosis"
	taskQueue = "wards"
)

// Patient passes through everything that a workflow can do, waits for the signal "discharge" and continues as new once.
func (s *scenario) Patient(ctx workflow.Context, in Record) (Record, error) {
	if in.Seen["continued"] != "" {
		in.Value = s.secret("workflow-result")
		return in, nil
	}
	seen := map[string]string{"workflow-input": in.Value}
	if err := s.handlers(ctx, seen); err != nil {
		return Record{}, err
	}
	workflow.SetCurrentDetails(ctx, s.secret("current-details"))
	for _, part := range []func(workflow.Context, map[string]string) error{s.activities, s.failures, s.markers, s.children, s.watch} {
		if err := part(ctx, seen); err != nil {
			return Record{}, err
		}
	}
	var signal Record
	workflow.GetSignalChannel(ctx, "discharge").Receive(ctx, &signal)
	seen["signal"] = signal.Value
	seen["continued"] = s.secret("continue-as-new-input")
	return Record{}, workflow.NewContinueAsNewError(ctx, s.Patient, Record{Value: seen["continued"], Seen: seen})
}

func (s *scenario) handlers(ctx workflow.Context, seen map[string]string) error {
	err := workflow.SetQueryHandler(ctx, "chart", func(in Record) (Record, error) {
		if in.Value == "fail" {
			return Record{}, errors.New(s.secret("query-error"))
		}
		return Record{Value: s.secret("query-result"), Seen: map[string]string{"query-argument": in.Value}}, nil
	})
	if err != nil {
		return err
	}
	return workflow.SetUpdateHandlerWithOptions(ctx, "amend", func(_ workflow.Context, in Record) (Record, error) {
		if in.Value == s.secret("update-to-fail") {
			return Record{}, temporal.NewApplicationError(s.secret("update-failure"), "Failed", s.secret("update-failure-details"))
		}
		seen["update-argument"] = in.Value
		return Record{Value: s.secret("update-result")}, nil
	}, workflow.UpdateHandlerOptions{Validator: func(_ workflow.Context, in Record) error {
		if in.Value == s.secret("update-to-reject") {
			return temporal.NewApplicationError(s.secret("update-rejection"), "Rejected", in.Value)
		}
		return nil
	}})
}

func once(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, Summary: summary, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
}

func (s *scenario) activities(ctx workflow.Context, seen map[string]string) error {
	var out Record
	ctx = once(ctx, s.secret("activity-summary"))
	if err := workflow.ExecuteActivity(ctx, s.Examine, Record{Value: s.secret("activity-input")}).Get(ctx, &out); err != nil {
		return err
	}
	maps.Copy(seen, out.Seen)
	seen["activity-result"] = out.Value
	local := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: time.Minute, Summary: s.secret("local-activity-summary"), RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	if err := workflow.ExecuteLocalActivity(local, s.Measure).Get(ctx, &out); err != nil {
		return err
	}
	seen["local-activity-result"] = out.Value
	err := workflow.ExecuteLocalActivity(local, s.Mismeasure).Get(ctx, nil)
	seen["local-activity-failure"] = message(err)
	return nil
}

// Examine reads its argument and answers.
func (s *scenario) Examine(_ context.Context, in Record) (Record, error) {
	return Record{Value: s.secret("activity-result"), Seen: map[string]string{"activity-input": in.Value}}, nil
}

// Measure runs as a local activity, whose result is kept in a marker.
func (s *scenario) Measure(context.Context) (Record, error) {
	return Record{Value: s.secret("local-activity-result")}, nil
}

// Mismeasure fails as a local activity, whose failure is kept in a marker.
func (s *scenario) Mismeasure(context.Context) error {
	return temporal.NewApplicationError(s.secret("local-activity-failure"), "Mismeasured")
}

func (s *scenario) failures(ctx workflow.Context, seen map[string]string) error {
	err := workflow.ExecuteActivity(once(ctx, ""), s.Fail).Get(ctx, nil)
	var failed *temporal.ApplicationError
	if !errors.As(err, &failed) {
		return fmt.Errorf("Fail did not fail: %w", err)
	}
	seen["failure-message"] = failed.Message()
	var details string
	if err := failed.Details(&details); err != nil {
		return err
	}
	seen["failure-details"] = details
	seen["failure-cause"] = message(failed.Unwrap())

	err = workflow.ExecuteActivity(once(ctx, ""), s.Panic).Get(ctx, nil)
	var panicked *temporal.PanicError
	if !errors.As(err, &panicked) {
		return fmt.Errorf("Panic did not panic: %w", err)
	}
	seen["panic-message"] = panicked.Error()
	seen["panic-stack"] = panicked.StackTrace()
	return nil
}

// message returns the message of the application error in err, without the prefixes that Error adds.
func message(err error) string {
	var failed *temporal.ApplicationError
	if errors.As(err, &failed) {
		return failed.Message()
	}
	return fmt.Sprint(err)
}

// Fail fails with everything a failure can hold.
func (s *scenario) Fail(context.Context) error {
	cause := temporal.NewApplicationError(s.secret("failure-cause"), "Cause")
	return temporal.NewNonRetryableApplicationError(s.secret("failure-message"), "Sick", cause, s.secret("failure-details"))
}

// Panic leaves the name of a function in a stack trace.
func (s *scenario) Panic(context.Context) error { return canaryStackFrame(s.secret("panic-message")) }

func canaryStackFrame(text string) error { panic(text) }

func (s *scenario) markers(ctx workflow.Context, seen map[string]string) error {
	var value string
	effect := func(workflow.Context) any { return s.secret("side-effect") }
	if err := workflow.SideEffect(ctx, effect).Get(&value); err != nil {
		return err
	}
	seen["side-effect"] = value
	mutable := func(workflow.Context) any { return s.secret("mutable-side-effect") }
	equal := func(a, b any) bool { return a == b }
	if err := workflow.MutableSideEffect(ctx, "mutable", mutable, equal).Get(&value); err != nil {
		return err
	}
	seen["mutable-side-effect"] = value
	if got := workflow.GetVersion(ctx, changeID, workflow.DefaultVersion, 7); got != 7 {
		return fmt.Errorf("GetVersion is %d", got)
	}
	if err := workflow.UpsertMemo(ctx, map[string]any{"upserted": s.secret("memo-upserted")}); err != nil {
		return err
	}
	timer := workflow.NewTimerWithOptions(ctx, time.Millisecond, workflow.TimerOptions{Summary: s.secret("timer-summary")})
	return timer.Get(ctx, nil)
}

func (s *scenario) children(ctx workflow.Context, seen map[string]string) error {
	const id = "patient" // not from GetInfo: a replayer may not know it
	options := workflow.ChildWorkflowOptions{
		WorkflowID: id + "-sample", Memo: map[string]any{"child": s.secret("child-memo")},
		StaticSummary: s.secret("child-summary"), StaticDetails: s.secret("child-details"),
	}
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), s.Sample, Record{Value: s.secret("child-input")})
	if err := child.SignalChildWorkflow(ctx, "label", Record{Value: s.secret("child-signal")}).Get(ctx, nil); err != nil {
		return err
	}
	var out Record
	if err := child.Get(ctx, &out); err != nil {
		return err
	}
	maps.Copy(seen, out.Seen)
	seen["child-result"] = out.Value

	broken := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: id + "-broken"})
	err := workflow.ExecuteChildWorkflow(broken, s.Broken).Get(ctx, nil)
	seen["child-failure"] = message(err)
	return nil
}

// Sample waits for a label.
func (s *scenario) Sample(ctx workflow.Context, in Record) (Record, error) {
	var label Record
	workflow.GetSignalChannel(ctx, "label").Receive(ctx, &label)
	return Record{Value: s.secret("child-result"), Seen: map[string]string{"child-input": in.Value, "child-signal": label.Value}}, nil
}

// Broken fails as a workflow, with the failure of its activity: the parent reads what was sealed for somebody else.
func (s *scenario) Broken(ctx workflow.Context) error {
	return workflow.ExecuteActivity(once(ctx, ""), s.FailChild).Get(ctx, nil)
}

// FailChild is what breaks Broken.
func (s *scenario) FailChild(context.Context) error {
	return temporal.NewNonRetryableApplicationError(s.secret("child-failure"), "Sick", nil, s.secret("child-failure-details"))
}

func (s *scenario) watch(ctx workflow.Context, seen map[string]string) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, HeartbeatTimeout: 30 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond, MaximumAttempts: 2},
	})
	var out Record
	if err := workflow.ExecuteActivity(ctx, s.Watch).Get(ctx, &out); err != nil {
		return err
	}
	seen["heartbeat"] = out.Value
	return nil
}

// Watch heartbeats, fails, and reads in its second attempt what the first one left.
func (s *scenario) Watch(ctx context.Context) (Record, error) {
	if activity.GetInfo(ctx).Attempt == 1 {
		activity.RecordHeartbeat(ctx, s.secret("heartbeat"))
		<-s.released
		return Record{}, temporal.NewApplicationError(s.secret("last-failure"), "Again", s.secret("last-failure-details"))
	}
	var left string
	err := activity.GetHeartbeatDetails(ctx, &left)
	<-s.finished
	return Record{Value: left}, err
}

// Waits waits for the signal "go", or to be canceled, and says what it was given.
func (s *scenario) Waits(ctx workflow.Context, in Record) (Record, error) {
	seen := map[string]string{"input": in.Value}
	if err := s.handlers(ctx, seen); err != nil {
		return Record{}, err
	}
	var got Record
	wait := workflow.NewSelector(ctx)
	wait.AddReceive(workflow.GetSignalChannel(ctx, "go"), func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, &got) })
	wait.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {})
	wait.Select(ctx)
	if ctx.Err() != nil {
		return Record{}, temporal.NewCanceledError(s.secret("cancel-details"))
	}
	seen["go"] = got.Value
	return Record{Value: s.secret("waits-result"), Seen: seen}, nil
}
