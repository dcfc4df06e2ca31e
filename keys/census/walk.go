package census

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/signet-temporal/signet/keys"
)

// Options of a census. Only Namespace is required.
type Options struct {
	Namespace string
	// Rate bounds the requests to Temporal, in requests a second; 0 means 100.
	Rate float64
	// Parallel is how many workflows are looked at at once; 0 means 8.
	Parallel int
	// PageSize is how many items are listed at a time; 0 means 100. A census can be continued between pages.
	PageSize int
	// Patience is how long a request is tried again while Temporal is busy or away; 0 means two minutes.
	Patience time.Duration
	// MaxKeys is how many key ids are told apart; 0 means 20,000. A census that meets more says so, and proves nothing.
	MaxKeys int

	// From is what an earlier run of the census has saved; nil begins a new one. The walker goes on with it and changes it.
	From *Result
	// Save is called after every page with the census so far, to be kept as JSON. The value does not change until Save is
	// called again, nor after Run has returned. An error ends the census. Nil: nothing is saved.
	Save func(*Result) error
}

// DefaultMaxKeys is the default of Options.MaxKeys.
const DefaultMaxKeys = 20_000

const maxPageSize = 1000

// Walker walks one namespace. Its methods are safe for concurrent use.
type Walker struct {
	service Service
	o       Options
	limit   *rate.Limiter
}

// New makes a walker. It makes no call.
func New(s Service, o Options) (*Walker, error) {
	if o.Namespace == "" {
		return nil, errors.New("census: no namespace: name the one to walk")
	}
	if o.Rate < 0 || o.Parallel < 0 || o.PageSize < 0 || o.MaxKeys < 0 || o.Patience < 0 {
		return nil, errors.New("census: a negative option: leave it 0 for its default")
	}
	if o.PageSize > maxPageSize {
		return nil, fmt.Errorf("census: pages of %d: Temporal lists %d items at most", o.PageSize, maxPageSize)
	}
	if o.From != nil {
		if err := o.From.check(o.Namespace); err != nil {
			return nil, err
		}
	}
	o.Rate, o.Parallel, o.PageSize, o.MaxKeys = either(o.Rate, 100), either(o.Parallel, 8), either(o.PageSize, 100), either(o.MaxKeys, DefaultMaxKeys)
	o.Patience = either(o.Patience, 2*time.Minute)
	return &Walker{service: s, o: o, limit: rate.NewLimiter(rate.Limit(o.Rate), max(1, int(o.Rate)))}, nil
}

func either[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Run takes the census, or goes on with Options.From. When it is interrupted it returns nil and an error; what Save was
// given last is where the next run goes on, and no item is counted twice by that.
func Run(ctx context.Context, s Service, o Options) (*Result, error) {
	w, err := New(s, o)
	if err != nil {
		return nil, err
	}
	r, err := w.Begin(ctx)
	if err != nil {
		return nil, err
	}
	if from := o.From; from != nil {
		if from.NamespaceID != r.NamespaceID {
			return nil, fmt.Errorf("census: it was begun for another namespace %s, that of another cluster or one that was deleted: begin anew", r.Namespace)
		}
		r = from
	}
	for r.Next != nil {
		page, err := w.List(ctx, *r.Next)
		if err != nil {
			return nil, err
		}
		tally, err := w.Count(ctx, r.Began, page.Items)
		if err != nil {
			return nil, err
		}
		r.Add(tally, page.Next, w.o.MaxKeys, time.Now())
		if o.Save != nil {
			if err := o.Save(r); err != nil {
				return nil, fmt.Errorf("saving the census: %w", err)
			}
		}
	}
	return r, nil
}

// Begin returns an empty census that stands at its first page.
func (w *Walker) Begin(ctx context.Context) (*Result, error) {
	began := time.Now().UTC()
	d, err := call(ctx, w, w.service.DescribeNamespace, &workflowservice.DescribeNamespaceRequest{Namespace: w.o.Namespace})
	if err != nil {
		return nil, fmt.Errorf("asking for namespace %s: %w", w.o.Namespace, err)
	}
	return &Result{
		Format: format, Namespace: w.o.Namespace, NamespaceID: d.GetNamespaceInfo().GetId(),
		Retention: keys.Duration(d.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration()),
		Archived:  d.GetConfig().GetHistoryArchivalState() == enumspb.ARCHIVAL_STATE_ENABLED,
		Began:     began, Next: &Position{Stage: stages[0]}, Tally: Tally{Keys: map[string]*Key{}},
	}, nil
}

// Count looks at items of one page. began is when the census began.
func (w *Walker) Count(ctx context.Context, began time.Time, items []Item) (Tally, error) {
	found := make([]*Found, len(items))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(w.o.Parallel)
	for i, item := range items {
		group.Go(func() (err error) {
			found[i], err = w.look(ctx, item)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return Tally{}, err
	}
	t := Tally{Keys: map[string]*Key{}}
	for i, item := range items { // in the order of the page, so that a repeated page gives the same samples
		t.add(item, found[i], began, w.o.MaxKeys)
	}
	return t, nil
}
