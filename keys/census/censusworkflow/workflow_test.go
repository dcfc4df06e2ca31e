package censusworkflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/keys/census"
	"github.com/signet-temporal/signet/keys/census/censusworkflow"
)

// pages are activities that count pages made up by their number: page n has one open workflow with the id n.
type pages struct {
	last int // number of pages

	mu        sync.Mutex
	counted   map[string]int
	now, most int // pages that are being counted at once
}

func (p *pages) begin(context.Context, map[string]any) (*census.Result, error) {
	return &census.Result{Format: 1, Namespace: "payments", Began: time.Unix(1, 0).UTC(), Next: &census.Position{Stage: "0"}, Tally: census.Tally{Keys: map[string]*census.Key{}}}, nil
}

func (p *pages) list(_ context.Context, _ map[string]any, at census.Position) (census.Page, error) {
	var n int
	if _, err := fmt.Sscan(string(at.Stage), &n); err != nil {
		return census.Page{}, err
	}
	page := census.Page{Items: []census.Item{{Kind: census.Workflow, ID: fmt.Sprint(n)}}}
	if n+1 < p.last {
		page.Next = &census.Position{Stage: census.Stage(fmt.Sprint(n + 1))}
	}
	return page, nil
}

func (p *pages) count(_ context.Context, _ map[string]any, _ time.Time, items []census.Item) (census.Tally, error) {
	p.mu.Lock()
	p.counted[items[0].ID]++
	p.now++
	p.most = max(p.most, p.now)
	p.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	p.mu.Lock()
	p.now--
	p.mu.Unlock()
	key := &census.Key{Payloads: map[census.Place]int64{census.InHistory: 1}, Open: 1, WorkflowIDs: []string{items[0].ID}}
	return census.Tally{Open: 1, Keys: map[string]*census.Key{"ns/payments/00000001": key}}, nil
}

// run runs the workflow and all that it continues as, and returns the result of the last run.
func (p *pages) run(t *testing.T, in censusworkflow.Input) (result census.Result, runs int) {
	t.Helper()
	for runs = 1; ; runs++ {
		env := new(testsuite.WorkflowTestSuite).NewTestWorkflowEnvironment()
		env.RegisterWorkflowWithOptions(censusworkflow.Walk, workflow.RegisterOptions{Name: censusworkflow.Name})
		for name, do := range map[string]any{"signet.census.begin": p.begin, "signet.census.list": p.list, "signet.census.count": p.count} {
			env.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name})
		}
		env.ExecuteWorkflow(censusworkflow.Name, in)
		err := env.GetWorkflowError()
		var again *workflow.ContinueAsNewError
		if errors.As(err, &again) {
			in = censusworkflow.Input{}
			if err := converter.GetDefaultDataConverter().FromPayloads(again.Input, &in); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err == nil {
			err = env.GetWorkflowResult(&result)
		}
		if err != nil {
			t.Fatal(err)
		}
		return result, runs
	}
}

func TestPagesAreCountedSeveralAtOnceAndMergedInTheirOrder(t *testing.T) {
	p := &pages{last: 23, counted: map[string]int{}}
	result, runs := p.run(t, censusworkflow.Input{Namespace: "payments", Pages: 4, PagesPerRun: 5})
	key := result.Keys["ns/payments/00000001"]
	if !result.Complete() || result.Open != 23 || key.Open != 23 || fmt.Sprint(key.WorkflowIDs) != "[0 1 2 3 4]" {
		text, _ := json.Marshal(result)
		t.Errorf("the result is %s", text)
	}
	if runs != 5 {
		t.Errorf("%d runs for 23 pages, five a run", runs)
	}
	if p.most < 2 || p.most > 4 {
		t.Errorf("up to %d pages were counted at once, want more than one and at most four", p.most)
	}
	for id, n := range p.counted {
		if n != 1 {
			t.Errorf("page %s was counted %d times", id, n)
		}
	}
}
