package converter

import (
	sdk "go.temporal.io/sdk/converter"

	"github.com/signet-temporal/signet/internal/wire"
)

// replayNamespace is what the SDK's replayer reports when it does not know the workflow (sdk internal/worker.go,
// ReplayNamespace). The workflow id it then reports may be made up, so it binds nothing.
const replayNamespace = "ReplayNamespace"

// workflowOf returns the workflow id that a serialization context is sure of, or "".
func workflowOf(sc sdk.SerializationContext) string {
	var namespace, id string
	switch sc := sc.(type) {
	case sdk.WorkflowSerializationContext:
		namespace, id = sc.Namespace, sc.WorkflowID
	case sdk.ActivitySerializationContext:
		namespace, id = sc.Namespace, sc.WorkflowID
	}
	if namespace == replayNamespace {
		return ""
	}
	return id
}

// sameWorkflow reports whether a payload sealed for one workflow id belongs where it was found. A side that knows no
// workflow binds nothing: the codec server, the replayer, completions by task token.
//
// A schedule's arguments are sealed for the action's workflow id and read by the workflow that the server starts under
// that id, a dash and the time; the last result of one such run is read by the next. So ids that differ only in such a
// suffix are one workflow here.
func sameWorkflow(sealed, found string) bool {
	return sealed == "" || found == "" || sealed == found || wire.Unscheduled(sealed) == wire.Unscheduled(found)
}
