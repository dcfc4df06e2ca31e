package converter

import (
	"errors"
	"runtime"
	"strings"

	sdk "go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
)

// place is what a data converter has been told about where it runs. The zero value has been told nothing.
type place struct {
	said said
	run  *run // of a workflow, where the SDK has named one
}

type said int

const (
	unsaid     said = iota // neither WithContext nor WithWorkflowContext: markers, updates, results read by a client, …
	inWorkflow             // WithWorkflowContext: workflow code
	elsewhere              // WithContext: an activity or a client call
)

// run is one run of a workflow, as far as the SDK lets a data converter know it. It makes one converter for each run
// and derives the others from that, but hands the context of the workflow to some of them only.
type run struct{ ctx sdk.WorkflowContext }

// raise returns err where the SDK hands errors to somebody who can act on them, and panics where it does not: in a
// workflow task. There the SDK takes a returned error for the workflow's own failure, or swallows it
// (go.temporal.io/sdk internal: workflow input, signals, GetVersion and side effect markers), and only a panic
// fails the task, which is then retried until the key is there again.
func (at place) raise(err error) error {
	if err != nil && at.panics(err) {
		panic(err)
	}
	return err
}

// panics is asked only once something has gone wrong, so it may take its time: the SDK does not say everywhere whether
// it converts for a workflow or for a client, but the goroutine's stack does. A query's trouble goes to who asked; the
// SDK answers no query that panics. So does that of an update whose arguments will never open, when it is new: it is not
// in the history yet, so rejecting it loses nothing, and holding the workflow up would. When it is replayed it has been
// accepted once, and rejecting it would undo what it did. The handler of a Nexus operation is not in a workflow; there the
// SDK takes a returned error for a bad request, and has the operation tried again after a panic, which it recovers.
func (at place) panics(err error) bool {
	if at.said == elsewhere {
		return false
	}
	switch in := workflowFrames(); {
	case in.query, in.marker:
		return false
	case in.nexus:
		return errors.Is(err, ErrKeyUnavailable)
	case in.updateArgs && !errors.Is(err, ErrKeyUnavailable):
		return at.run == nil || at.run.ctx == nil || workflow.IsReplaying(at.run.ctx)
	default:
		return in.task || at.said == inWorkflow
	}
}

// frames is what a goroutine's stack says of the SDK.
type frames struct {
	task       bool // a workflow task
	query      bool // one of the workflow's queries, or of the SDK's own
	updateArgs bool // the arguments of an update
	nexus      bool // the input of a Nexus operation: an error fails the operation, a panic has it tried again
	marker     bool // the marker of a local activity that has just ended: an error fails the task, a panic leaves it unanswered
}

// workflowFrames reads the stack of this goroutine. The names are those of SDK v1.50.0; the tests in outcome_test.go and
// e2e fail when an SDK upgrade renames them.
func workflowFrames() (in frames) {
	decoding := false // a handler's arguments: of an update, if its handler comes next
	event := false    // inside an event, where a panic is caught
	pcs := make([]uintptr, 64)
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		for more, it := n > 0, runtime.CallersFrames(pcs[:n]); more; {
			var frame runtime.Frame
			frame, more = it.Next()
			name, ok := strings.CutPrefix(frame.Function, "go.temporal.io/sdk/internal.")
			if !ok {
				continue
			}
			switch {
			case name == "decodeArgsToRawValues":
				decoding = true
			case decoding && strings.HasPrefix(name, "defaultUpdateHandler."):
				in.updateArgs = true
			case name == "(*payloadSerializer).Deserialize":
				in.nexus = true
			case name == "(*workflowExecutionEventHandlerImpl).ProcessQuery":
				in.query = true
			case name == "(*workflowExecutionEventHandlerImpl).ProcessEvent":
				event = true
			case name == "(*workflowExecutionEventHandlerImpl).ProcessLocalActivityResult":
				in.marker = !event
			case strings.HasPrefix(name, "(*coroutineState)."), strings.HasPrefix(name, "(*workflowTaskHandlerImpl)."),
				strings.HasPrefix(name, "(*workflowTaskProcessor)."), strings.HasPrefix(name, "(*workflowExecutionContextImpl)."):
				in.task = true
			}
		}
		if n < len(pcs) {
			return in
		}
	}
}
