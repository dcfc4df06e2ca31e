package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/signet-temporal/signet/keys/census"
	"github.com/signet-temporal/signet/keys/census/censusworkflow"
)

// runAsWorkflow begins the workflow, or finds the one that runs already, works for it, and waits for its result.
func (c *censusCmd) runAsWorkflow(ctx context.Context, a *app, options client.Options) error {
	if c.Checkpoint != "" {
		return codedf(exitUsage, "--checkpoint does not go with --run-as-workflow: Temporal keeps the state")
	}
	counted := options.Namespace
	options.Namespace = cmp.Or(c.WorkflowNamespace, counted)
	temporal, err := dial(ctx, options)
	if err != nil {
		return err
	}
	defer temporal.Close()
	w := worker.New(temporal, c.TaskQueue, worker.Options{})
	censusworkflow.Register(w, temporal.WorkflowService(), censusworkflow.WorkerOptions{Rate: c.Rate, Parallel: c.Parallel})
	if err := w.Start(); err != nil {
		return fmt.Errorf("working on task queue %s in namespace %s: %w", c.TaskQueue, options.Namespace, err)
	}
	defer w.Stop()
	id := "signet-census-" + counted
	run, err := temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: c.TaskQueue, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, censusworkflow.Name, censusworkflow.Input{Namespace: counted})
	if err != nil {
		return fmt.Errorf("starting workflow %s in namespace %s: %w", id, options.Namespace, err)
	}
	bar := newCounting(counted, 0, expected(ctx, temporal, counted))
	watching, stop := context.WithCancel(ctx)
	done := a.progress(bar.text)
	go watch(watching, temporal, id, bar)
	var result census.Result
	err = run.Get(ctx, &result)
	stop()
	done()
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: workflow %s waits for workers, go on with the same command, or end it with \"temporal workflow cancel -w %[1]s -n %s\"", id, options.Namespace)
	}
	if err != nil {
		return fmt.Errorf("workflow %s: %w", id, cmp.Or(errors.Unwrap(err), err))
	}
	return a.printCensus(&result)
}

// watch asks the workflow now and then how far it is.
func watch(ctx context.Context, temporal client.Client, id string, bar *counting) {
	for ticker := time.NewTicker(2 * time.Second); ; {
		select {
		case <-ctx.Done():
			ticker.Stop()
			return
		case <-ticker.C:
			var p censusworkflow.Progress
			answer, err := temporal.QueryWorkflow(ctx, id, "", censusworkflow.ProgressQuery)
			if err == nil && answer.Get(&p) == nil { // it is only a progress bar
				bar.update(p.Workflows, p.Stage)
			}
		}
	}
}
