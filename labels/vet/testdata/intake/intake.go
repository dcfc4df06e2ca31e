// Package intake has payload types with and without labels, in every place where the SDK takes one.
package intake

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet/labels/vet/testdata/types"
)

type Patient struct {
	Name       string
	SSN        string    // want `field SSN looks sensitive and has no label: add a tag such as sensitive:"pii", or sensitive:"-" if it is not`
	PatientDOB time.Time // want `field PatientDOB looks sensitive`
	Mail       string    `json:"emailAddress"` // want `field Mail looks sensitive`
	Passport   string    `sensitive:"pii"`
	Pin        int       `sensitive:"-"`
	Hidden     string    `json:"-"`
	Password   string    `json:"-" sensitive:"pii"`
	password   string
	Visits     []*Visit
	Contacts   map[string]Contact
	Covered    Covered `sensitive:"phi"`
	Ids        *struct {
		IBAN string // want `field IBAN looks sensitive`
	}
	Next *Patient
	Base
	Misspelled string `sensitive:"p h i"` // want `the tag sensitive:"p h i" of field Misspelled is malformed, and masks it as unknown`
	Nothing    string `sensitive:""`      // want `the tag sensitive:"" of field Nothing is malformed`
	Opinion    string
	Spinning   string
	CardNumber string // want `field CardNumber looks sensitive`
}

type Base struct {
	Phone string // want `field Phone looks sensitive`
}

type Visit struct {
	Diagnosis string // want `field Diagnosis looks sensitive`
}

type Contact struct {
	Email string // want `field Email looks sensitive`
}

type Covered struct{ SSN string }

type Result struct{ Salary int } // want `field Salary looks sensitive`

type Signal struct{ Secret string } // want `field Secret looks sensitive`

type Answer struct{ Income int } // want `field Income looks sensitive`

type Update struct{ ApiKey string } // want `field ApiKey looks sensitive`

type Detail struct{ APIKey string } // want `field APIKey looks sensitive`

type Memo struct{ PIN string } // want `field PIN looks sensitive`

type Beat struct{ AccessToken string } // want `field AccessToken looks sensitive`

type Method struct{ Surname string } // want `field Surname looks sensitive`

type Local struct{ FirstName string } // want `field FirstName looks sensitive`

type Read struct{ ZipCode string } // want `field ZipCode looks sensitive`

type Plain struct{ Password string } // nobody gives it to the SDK

type Activities struct{ Password string } // it is no payload

func (*Activities) Examine(_ context.Context, m Method) error { return nil }

func (*Activities) unexported(context.Context, Plain) error { return nil }

func Workflow(ctx workflow.Context, p Patient, ssn string) (*Result, error) { // want `parameter ssn looks sensitive and can have no label`
	var r Read
	workflow.GetSignalChannel(ctx, "s").Receive(ctx, &r)
	if err := workflow.SetQueryHandler(ctx, "q", func() (Answer, error) { return Answer{}, nil }); err != nil {
		return nil, err
	}
	if err := workflow.SetUpdateHandler(ctx, "u", func(ctx workflow.Context, u Update) error { return nil }); err != nil {
		return nil, err
	}
	workflow.GetLogger(ctx).Info("no payload", "x", Plain{})
	ctx = workflow.WithValue(ctx, "key", Plain{})
	err := workflow.ExecuteActivity(ctx, Act, types.Address{}).Get(ctx, nil) // want `in github.com/signet-temporal/signet/labels/vet/testdata/types: field Street looks sensitive`
	if err != nil {
		return nil, temporal.NewApplicationError("no", "type", &Detail{})
	}
	return nil, workflow.ExecuteLocalActivity(ctx, func(ctx context.Context, l Local) error { return nil }, Local{}).Get(ctx, nil)
}

func Act(ctx context.Context, a types.Address) error {
	activity.RecordHeartbeat(ctx, Beat{})
	return nil
}

func Register(w worker.Worker) {
	w.RegisterWorkflow(Workflow)
	w.RegisterActivity(&Activities{})
	w.RegisterActivityWithOptions(Act, activity.RegisterOptions{})
}

func Start(ctx context.Context, c client.Client) error {
	_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{Memo: map[string]any{"m": Memo{}}}, "Workflow", []Patient{})
	if err != nil {
		return err
	}
	return c.SignalWorkflow(ctx, "id", "", "s", Signal{})
}
