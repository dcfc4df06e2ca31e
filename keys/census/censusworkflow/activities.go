package censusworkflow

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/keys/census"
)

const (
	beginName = "signet.census.begin"
	listName  = "signet.census.list"
	countName = "signet.census.count"

	heartbeatTimeout = 30 * time.Second
)

// WorkerOptions bound what one worker asks of Temporal. Zero values stand for the defaults of census.Options.
type WorkerOptions struct {
	Rate     float64 // requests a second, of all its activities together
	Parallel int     // workflows that one activity looks at at once
}

// Register makes a worker one that takes part in censuses. s is the service that is asked: that of the worker's own
// client, or of another cluster.
func Register(r worker.Registry, s census.Service, o WorkerOptions) {
	a := &activities{service: s, o: o, walkers: map[about]*census.Walker{}}
	r.RegisterWorkflowWithOptions(Walk, workflow.RegisterOptions{Name: Name})
	r.RegisterActivityWithOptions(a.begin, activity.RegisterOptions{Name: beginName})
	r.RegisterActivityWithOptions(a.list, activity.RegisterOptions{Name: listName})
	r.RegisterActivityWithOptions(a.count, activity.RegisterOptions{Name: countName})
}

// about is what an activity has to know of the census it works for.
type about struct {
	Namespace string `json:"namespace"`
	PageSize  int    `json:"pageSize,omitempty"`
	MaxKeys   int    `json:"maxKeys,omitempty"`
}

func (in Input) about() about {
	return about{Namespace: in.Namespace, PageSize: in.PageSize, MaxKeys: in.MaxKeys}
}

type activities struct {
	service census.Service
	o       WorkerOptions

	mu      sync.Mutex
	walkers map[about]*census.Walker // each has a bound of its own on its rate
}

func (a *activities) walker(of about) (*census.Walker, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.walkers[of]; w != nil {
		return w, nil
	}
	w, err := census.New(a.service, census.Options{
		Namespace: of.Namespace, PageSize: of.PageSize, MaxKeys: of.MaxKeys, Rate: a.o.Rate, Parallel: a.o.Parallel,
	})
	if err != nil {
		return nil, err
	}
	a.walkers[of] = w
	return w, nil
}

func (a *activities) begin(ctx context.Context, of about) (*census.Result, error) {
	w, err := a.walker(of)
	if err != nil {
		return nil, err
	}
	defer alive(ctx)()
	return w.Begin(ctx)
}

func (a *activities) list(ctx context.Context, of about, at census.Position) (census.Page, error) {
	w, err := a.walker(of)
	if err != nil {
		return census.Page{}, err
	}
	defer alive(ctx)()
	return w.List(ctx, at)
}

func (a *activities) count(ctx context.Context, of about, began time.Time, items []census.Item) (census.Tally, error) {
	w, err := a.walker(of)
	if err != nil {
		return census.Tally{}, err
	}
	defer alive(ctx)()
	return w.Count(ctx, began, items)
}

// alive tells Temporal that the activity goes on, until its result is called. When the worker is gone, another one counts
// the page; what this one has counted was not added to anything. A heartbeat also brings the news that nobody waits any
// more, and ends the context.
func alive(ctx context.Context) (done func()) {
	ctx, cancel := context.WithCancel(ctx)
	var over sync.WaitGroup
	over.Go(func() {
		ticker := time.NewTicker(heartbeatTimeout / 6)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	})
	return func() { cancel(); over.Wait() }
}
