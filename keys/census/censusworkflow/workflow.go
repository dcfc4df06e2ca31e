// Package censusworkflow takes the census of package census as a Temporal workflow, for namespaces that are too large for
// one process: Temporal hands the pages to as many workers as there are, and keeps the state of the walk.
//
// The workflow lists page after page, and counts several at once, each in an activity. It merges them in their order, so
// that the result is the one of a direct walk, and continues as new before its history grows long. Nothing in it is
// secret: key ids, counts, and ids of workflows, which Temporal shows anyway.
package censusworkflow

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/keys/census"
)

// Name is the type of the workflow. Its input is an [Input], its result a [census.Result].
const Name = "signet.census"

// ProgressQuery is the query that says how far the walk has come, with a [Progress].
const ProgressQuery = "progress"

// Progress is how far a walk has come.
type Progress struct {
	Workflows int64        `json:"workflows"` // that were counted
	Stage     census.Stage `json:"stage"`     // what is looked at
}

// Input says what to walk. Only Namespace is required. Zero values stand for the defaults of census.Options.
type Input struct {
	Namespace string `json:"namespace"`
	PageSize  int    `json:"pageSize,omitempty"`
	MaxKeys   int    `json:"maxKeys,omitempty"`
	// Pages is how many pages are counted at once; 0 means 8.
	Pages int `json:"pages,omitempty"`
	// PagesPerRun is after how many pages the workflow continues as new; 0 means 200.
	PagesPerRun int `json:"pagesPerRun,omitempty"`

	// From is where the run before this one has come to.
	From *census.Result `json:"from,omitempty"`
}

// Walk is the workflow.
func Walk(ctx workflow.Context, in Input) (*census.Result, error) {
	if in.Pages < 0 || in.PagesPerRun < 0 {
		return nil, temporal.NewNonRetryableApplicationError("a negative number of pages: leave it 0 for its default", "", nil)
	}
	w := walk{in: in, result: in.From}
	if err := workflow.SetQueryHandler(ctx, ProgressQuery, w.progress); err != nil {
		return nil, err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour, HeartbeatTimeout: heartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 10}, // an activity itself is patient with Temporal
	})
	if w.result == nil {
		if err := workflow.ExecuteActivity(ctx, beginName, in.about()).Get(ctx, &w.result); err != nil {
			return nil, err
		}
	}
	if err := w.run(ctx); err != nil {
		return nil, err
	}
	if w.result.Next != nil {
		in.From = w.result
		return nil, workflow.NewContinueAsNewError(ctx, Name, in)
	}
	return w.result, nil
}

// walk is one run of the workflow.
type walk struct {
	in     Input
	result *census.Result
	queue  []counting // pages that are being counted, in their order
}

// counting is one page on its way.
type counting struct {
	tally workflow.Future
	next  *census.Position
}

func (w *walk) progress() (p Progress, err error) {
	if w.result == nil {
		return p, nil
	}
	if p.Workflows = w.result.Open + w.result.Closed; w.result.Next != nil {
		p.Stage = w.result.Next.Stage
	}
	return p, nil
}

// run walks until the end, or until it is time to continue as new; then no page is on its way.
func (w *walk) run(ctx workflow.Context) error {
	pages, most := either(w.in.Pages, 8), either(w.in.PagesPerRun, 200)
	next := w.result.Next
	for n := 0; next != nil && n < most && !workflow.GetInfo(ctx).GetContinueAsNewSuggested(); n++ {
		var page census.Page
		if err := workflow.ExecuteActivity(ctx, listName, w.in.about(), *next).Get(ctx, &page); err != nil {
			return err
		}
		w.queue = append(w.queue, counting{workflow.ExecuteActivity(ctx, countName, w.in.about(), w.result.Began, page.Items), page.Next})
		next = page.Next
		for len(w.queue) >= pages {
			if err := w.merge(ctx); err != nil {
				return err
			}
		}
	}
	for len(w.queue) > 0 {
		if err := w.merge(ctx); err != nil {
			return err
		}
	}
	return nil
}

// merge waits for the first page in the queue and adds it.
func (w *walk) merge(ctx workflow.Context) error {
	first := w.queue[0]
	w.queue = w.queue[1:]
	var tally census.Tally
	if err := first.tally.Get(ctx, &tally); err != nil {
		return err
	}
	w.result.Add(tally, first.next, either(w.in.MaxKeys, census.DefaultMaxKeys), workflow.Now(ctx))
	return nil
}

func either(value, otherwise int) int {
	if value == 0 {
		return otherwise
	}
	return value
}
