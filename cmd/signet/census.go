package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/signet-temporal/signet/keys/census"
)

type censusCmd struct {
	temporalFlags
	walkFlags

	Checkpoint string `env:"SIGNET_CENSUS_CHECKPOINT" placeholder:"FILE" help:"Keep the census in this file while it is taken, and go on from it when the command is run again. It is removed at the end."`

	RunAsWorkflow     bool   `help:"Take the census as a Temporal workflow, in which every process with this flag takes part."`
	TaskQueue         string `default:"signet-census" env:"SIGNET_CENSUS_TASK_QUEUE" help:"Task queue of that workflow."`
	WorkflowNamespace string `env:"SIGNET_CENSUS_WORKFLOW_NAMESPACE" placeholder:"NAME" help:"Namespace in which that workflow runs, if not in the one that is counted."`
}

// walkFlags say how fast a namespace is walked.
type walkFlags struct {
	Rate     float64 `default:"100" env:"SIGNET_CENSUS_RATE" help:"Requests of a census to Temporal a second, at most."`
	Parallel int     `default:"8" env:"SIGNET_CENSUS_PARALLEL" help:"Workflows that a census looks at at once."`
}

func (f walkFlags) check() error {
	if f.Rate <= 0 || f.Parallel <= 0 {
		return codedf(exitUsage, "--rate and --parallel must be more than 0: leave them away for their defaults")
	}
	return nil
}

// Help is the long help of the command.
func (censusCmd) Help() string {
	return `Before a key is disabled or destroyed: which keys do schedules, open workflows, closed workflows within retention,
standalone activities and Nexus operations still carry? The command reads all of them through Temporal's API and counts.
It needs no key and no key store, and changes nothing.

Promote the new key first, wait until every process has it, and then take the census: of the time after it began it knows
nothing. A workflow needs a request or two, so 100,000 of them take half an hour at the default rate.

With --run-as-workflow the census is a Temporal workflow. Run the same command on as many machines as you like: the
first begins it, all work for it, and each prints the result. When none is left it waits for the next.

` + jsonHelp[counted]()
}

// Run takes the census.
func (c *censusCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return err
	}
	options, err := c.options()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.RunAsWorkflow {
		return c.runAsWorkflow(ctx, a, options)
	}
	return c.runHere(ctx, a, options)
}

// runHere takes the census in this process.
func (c *censusCmd) runHere(ctx context.Context, a *app, options client.Options) error {
	kept := &checkpoint{path: c.Checkpoint}
	from, err := kept.load()
	if err != nil {
		return err
	}
	temporal, err := dial(ctx, options)
	if err != nil {
		return err
	}
	defer temporal.Close()
	var before int64
	if from != nil {
		before = from.Open + from.Closed
	}
	bar := newCounting(options.Namespace, before, expected(ctx, temporal, options.Namespace))
	done := a.progress(bar.text)
	result, err := census.Run(ctx, temporal.WorkflowService(), census.Options{
		Namespace: options.Namespace, Rate: c.Rate, Parallel: c.Parallel, From: from,
		Save: func(r *census.Result) error {
			var next census.Stage
			if r.Next != nil {
				next = r.Next.Stage
			}
			bar.update(r.Open+r.Closed, next)
			return kept.keep(r)
		},
	})
	done()
	if err != nil {
		return c.interrupted(ctx, kept, err)
	}
	if err := a.printCensus(result); err != nil {
		return err
	}
	return kept.remove()
}

// interrupted saves what there is, and says how to go on.
func (c *censusCmd) interrupted(ctx context.Context, kept *checkpoint, err error) error {
	if failed := kept.flush(); failed != nil {
		return failed
	}
	what := err.Error()
	if ctx.Err() != nil {
		what = "interrupted"
	}
	if c.Checkpoint == "" || kept.last == nil {
		return fmt.Errorf("the census is not complete: %s: with --checkpoint FILE it can be gone on with", what)
	}
	return fmt.Errorf("the census is not complete: %s: go on with the same command, its state is in %s", what, c.Checkpoint)
}

// expected is how many workflows there are, for the progress bar; 0 if Temporal does not say.
func expected(ctx context.Context, temporal client.Client, namespace string) int64 {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	count, err := temporal.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace})
	if err != nil {
		return 0
	}
	return count.GetCount()
}

// counting is the progress bar of a census.
type counting struct {
	namespace string
	start     time.Time
	before    int64 // workflows that an earlier run of the census has counted
	total     int64 // as far as Temporal says

	mu    sync.Mutex
	done  int64
	stage census.Stage
}

func newCounting(namespace string, before, total int64) *counting {
	return &counting{namespace: namespace, start: time.Now(), before: before, total: total, done: before, stage: "beginning"}
}

// update shows that so many workflows were counted, and what comes next.
func (c *counting) update(workflows int64, next census.Stage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done, c.stage = workflows, cmp.Or(next, "last things")
}

// text is such as "payments, closed workflows: [#####     ] 5,000 of 10,000 workflows, 412/s, 12s left".
func (c *counting) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprintf("%s, %s: ", c.namespace, c.stage)
	if c.total > 0 {
		full := min(int(c.done*10/c.total), 10)
		text += fmt.Sprintf("[%-10s] %s of ", strings.Repeat("#", full), grouped(c.done))
		text += grouped(max(c.total, c.done)) + " workflows"
	} else {
		text += grouped(c.done) + " workflows"
	}
	speed := float64(c.done-c.before) / time.Since(c.start).Seconds()
	if speed > 0 {
		text += fmt.Sprintf(", %s/s", grouped(int64(speed)))
		if left := c.total - c.done; left > 0 {
			text += ", " + brief(time.Duration(float64(left)/speed*float64(time.Second))) + " left"
		}
	}
	return text
}

// grouped writes a number for people: 1,234,567.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
