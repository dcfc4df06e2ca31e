package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// waitUsable returns when every part of the server has answered for every namespace: the frontend, history
// (a workflow that does not exist is reported as such), matching and visibility. Starting a workflow
// would prove the same, but would leave its traces in a database that tests read in full.
func waitUsable(ctx context.Context, address string, namespaces []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, ns := range namespaces {
		err := probe(ctx, address, ns)
		for err != nil {
			select {
			case <-ctx.Done():
				return fmt.Errorf("namespace %q is not usable: %w", ns, err)
			case <-time.After(20 * time.Millisecond):
			}
			err = probe(ctx, address, ns)
		}
	}
	return nil
}

func probe(ctx context.Context, address, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := client.NewLazyClient(client.Options{HostPort: address, Namespace: namespace, Logger: silent{}})
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	defer c.Close()
	const missing = "testtemporal-readiness"
	_, err = c.DescribeWorkflowExecution(ctx, missing, "")
	var noNamespace *serviceerror.NamespaceNotFound
	var noWorkflow *serviceerror.NotFound
	if errors.As(err, &noNamespace) || !errors.As(err, &noWorkflow) {
		return fmt.Errorf("ask history: %w", err)
	}
	if _, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1}); err != nil {
		return fmt.Errorf("ask visibility: %w", err)
	}
	// A query of a workflow that does not exist stops at history, so matching is asked for a task queue.
	if _, err := c.DescribeTaskQueue(ctx, missing, 0); err != nil {
		return fmt.Errorf("ask matching: %w", err)
	}
	return nil
}

// silent drops the client's log: a refused connection is expected while the server starts.
type silent struct{}

var _ log.Logger = silent{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
