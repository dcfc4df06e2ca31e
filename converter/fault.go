package converter

import (
	"errors"
	"runtime"
	"strings"
)

// place is what a data converter has been told about where it runs.
type place int

const (
	unsaid     place = iota // neither WithContext nor WithWorkflowContext: markers, updates, results read by a client, …
	inWorkflow              // WithWorkflowContext: workflow code
	elsewhere               // WithContext: an activity or a client call
)

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
// it converts for a workflow or for a client, but the goroutine's stack does. A query's trouble goes to who asked. So does
// that of an update whose arguments will never open: it is not in the history yet, so rejecting it loses nothing, and
// holding the workflow up would.
func (at place) panics(err error) bool {
	if at == elsewhere {
		return false
	}
	in := workflowFrames()
	if in.query || in.updateArgs && !errors.Is(err, ErrKeyUnavailable) {
		return false
	}
	return in.task || at == inWorkflow
}

// frames is what a goroutine's stack says of the SDK.
type frames struct{ task, query, updateArgs bool }

// workflowFrames reads the stack of this goroutine. The names are those of SDK v1.50.0; the tests in outcome_test.go and
// e2e fail when an SDK upgrade renames them.
func workflowFrames() (in frames) {
	decoding := false // a handler's arguments: of an update, if its handler comes next
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
			case strings.Contains(name, ").HandleQuery") || strings.HasPrefix(name, "(*queryHandler)."):
				in.query = true
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
