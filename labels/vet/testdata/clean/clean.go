// Package clean is what the check has nothing to say about, until it is told of types and names.
package clean

import (
	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/labels/vet/testdata/types"
)

type Order struct {
	Number string
	Note   types.Secretive
	Notes  []*types.Secretive
	Wobble string
	SSN    string
}

func Workflow(ctx workflow.Context, o Order, e *common.WorkflowExecution) error { return nil }

func Register(w worker.Worker) { w.RegisterWorkflow(Workflow) }
