// Package clear puts labelled fields where Temporal stores them in clear, and others beside them.
package clear

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/converter"
)

type Patient struct {
	ID     string
	SSN    Number   `sensitive:"phi"`
	Person Person   `sensitive:"pii"`
	Tags   []string `sensitive:"phi"`
	Embedded
}

type Embedded struct {
	Mail string `sensitive:"pii"`
}

type Person struct{ First, Last string }

type Number string

func (n Number) Short() string { return string(n)[:3] }

var ssnKey = temporal.NewSearchAttributeKeyKeyword("SSN")

func Start(ctx context.Context, c client.Client, p *Patient, tokens *converter.SearchTokens) error {
	_ = client.StartWorkflowOptions{ID: "intake-" + string(p.SSN)}               // want `an id is built from the labelled field SSN, and Temporal stores it in clear: use an opaque one`
	_ = client.StartWorkflowOptions{ID: fmt.Sprintf("intake-%s", p.Person.Last)} // want `an id is built from the labelled field Person`
	_ = client.StartWorkflowOptions{ID: fmt.Sprint(p)}                           // want `an id is built from the labelled field Patient.SSN`
	_ = client.StartWorkflowOptions{ID: strings.ToLower(p.Mail)}                 // want `an id is built from the labelled field Mail`
	_ = client.StartWorkflowOptions{ID: p.SSN.Short()}                           // want `an id is built from the labelled field SSN`
	_ = client.StartWorkflowOptions{ID: p.ID, TaskQueue: "q-" + p.Tags[0]}       // want `a name or note is built from the labelled field Tags`
	_ = client.StartWorkflowOptions{ID: p.ID}
	_ = client.StartWorkflowOptions{ID: fmt.Sprint(p.ID)}
	_ = client.StartWorkflowOptions{ID: fmt.Sprint(sum(string(p.SSN)))} // whatever sum does
	_ = client.StartWorkflowOptions{
		SearchAttributes: map[string]any{"SSN": p.SSN}, // want `a search attribute is built from the labelled field SSN, and Temporal stores it in clear: set a token of converter.SearchTokens in its place`
	}

	var options client.StartWorkflowOptions
	id := "x"
	id += string(p.SSN)
	options.ID = id // want `an id is built from the labelled field SSN`
	for _, tag := range p.Tags {
		options.ID = tag // want `an id is built from the labelled field Tags`
	}
	loop := "x"
	loop = loop + "y"
	options.ID = loop

	token, err := tokens.SearchToken("SSN", string(p.SSN))
	if err != nil {
		return err
	}
	options.TypedSearchAttributes = temporal.NewSearchAttributes(ssnKey.ValueSet(token))
	options.TypedSearchAttributes = temporal.NewSearchAttributes(ssnKey.ValueSet(string(p.SSN))) // want `a search attribute is built from the labelled field SSN`
	return c.CancelWorkflow(ctx, "intake-"+p.Person.First, "")                                   // want `an id is built from the labelled field Person`
}

func sum(text string) [32]byte { return sha256.Sum256([]byte(text)) }

func Workflow(ctx workflow.Context, p Patient) error {
	child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: "c-" + p.Mail}) // want `an id is built from the labelled field Mail`
	if err := workflow.ExecuteChildWorkflow(child, "Child").Get(child, nil); err != nil {
		return temporal.NewApplicationError("no", string(p.SSN)) // want `a name or note is built from the labelled field SSN`
	}
	return workflow.UpsertTypedSearchAttributes(ctx, ssnKey.ValueSet(p.Mail)) // want `a search attribute is built from the labelled field Mail`
}
