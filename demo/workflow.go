package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/principal/propagate"
)

const (
	namespace  = "clinic"
	keyset     = "ns/" + namespace        // signet's default: one keyset for each namespace
	principals = "principal/" + namespace // and one for whom its workflows run
	cookieKeys = "login/codec"            // and one for the cookies of those who log in to signet-server
	taskQueue  = "intake"
	workflowID = "intake-4711" // ids are not sealed: nothing personal belongs into one
)

// connect is what an application adds to be sealed, and to know in its activities who started a workflow: a ring of keys,
// and the plugin in the options of its client. The workers made from that client have both as well.
func connect(ctx context.Context, store keys.Fetcher, kek keys.Unwrapper, address string) (client.Client, *keys.Ring, error) {
	ring, err := keys.NewRing(ctx, store, kek, keys.RingOptions{Keysets: []string{keyset, principals}})
	if err != nil {
		return nil, nil, err
	}
	plugin, err := signet.NewPlugin(ring, signet.Options{Principal: &propagate.Options{}})
	if err != nil {
		return nil, nil, errors.Join(err, ring.Close())
	}
	c, err := client.DialContext(ctx, client.Options{
		HostPort: address, Namespace: namespace, Plugins: []client.Plugin{plugin},
		Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)), // the failing attempt below would be logged
	})
	if err != nil {
		return nil, nil, errors.Join(err, ring.Close())
	}
	return c, ring, nil
}

// Patient is what comes in at the desk. Nobody of this name exists, and no such number was ever given out.
type Patient struct {
	Name      string `json:"name"`
	SSN       string `json:"ssn"`
	Diagnosis string `json:"diagnosis"`
}

// Admission is what comes out.
type Admission struct {
	Patient string `json:"patient"`
	Policy  string `json:"policy"`
	Lab     string `json:"lab"`
	Consent string `json:"consent"`
}

var (
	patient   = Patient{Name: "Rosalind Achterberg", SSN: "987-65-4329", Diagnosis: "takotsubo cardiomyopathy"}
	complaint = "chest pain since Tuesday" // memo
	consent   = "Marguerite Delacroix-Oyelaran"
	policy    = "HZ-4471-8820"
	finding   = "troponin 0.94 ng/mL"
	refusal   = "the insurer has no record of this person" // text of the failing attempt
)

// secrets are texts of which Temporal must not hold one.
func secrets() []string {
	return []string{patient.Name, patient.SSN, patient.Diagnosis, complaint, consent, policy, finding, refusal}
}

// PatientIntake admits a patient: insurance, laboratory (a child workflow), consent (a signal).
func PatientIntake(ctx workflow.Context, p Patient) (Admission, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond},
		Summary:             "insurance of " + p.Name,
	})
	a := Admission{Patient: p.Name}
	var activities *Activities
	if err := workflow.ExecuteActivity(ctx, activities.VerifyInsurance, p).Get(ctx, &a.Policy); err != nil {
		return a, err
	}
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: workflowID + "-lab"})
	if err := workflow.ExecuteChildWorkflow(ctx, LabOrder, p).Get(ctx, &a.Lab); err != nil {
		return a, err
	}
	workflow.GetSignalChannel(ctx, "consent").Receive(ctx, &a.Consent)
	return a, nil
}

// LabOrder has blood examined.
func LabOrder(ctx workflow.Context, p Patient) (finding string, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	err = workflow.ExecuteActivity(ctx, ExamineBlood, p).Get(ctx, &finding)
	return finding, err
}

// Activities call other services.
type Activities struct {
	Insurer    *http.Client // calls on behalf of whoever the context says: see insurerClient
	InsurerURL string
}

// VerifyInsurance fails at the first attempt, with an error that says too much, as errors do. Then it asks the insurer, for
// whoever started the workflow; their token is long gone, and it needs none.
func (a *Activities) VerifyInsurance(ctx context.Context, p Patient) (string, error) {
	if activity.GetInfo(ctx).Attempt == 1 {
		return "", fmt.Errorf("%s: %s, SSN %s", refusal, p.Name, p.SSN)
	}
	body, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.InsurerURL+"/policies", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	res, err := a.Insurer.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the insurer answers %s", res.Status)
	}
	var answer struct{ Policy string }
	err = json.NewDecoder(res.Body).Decode(&answer)
	return answer.Policy, err
}

// ExamineBlood reports where it is with a heartbeat.
func ExamineBlood(ctx context.Context, p Patient) (string, error) {
	activity.RecordHeartbeat(ctx, "looking for "+p.Diagnosis)
	return finding, nil
}

// startWorker serves the task queue until the worker is stopped.
func startWorker(c client.Client, activities *Activities) (worker.Worker, error) {
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflow(PatientIntake)
	w.RegisterWorkflow(LabOrder)
	w.RegisterActivity(activities)
	w.RegisterActivity(ExamineBlood)
	return w, w.Start()
}

// intake runs the workflow for whoever ctx says and returns its run id.
func intake(ctx context.Context, c client.Client, p Patient) (runID string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflowID, TaskQueue: taskQueue,
		Memo:          map[string]any{"complaint": complaint},
		StaticSummary: "intake of " + p.Name,
	}, PatientIntake, p)
	if err != nil {
		return "", err
	}
	if err := c.SignalWorkflow(ctx, workflowID, "", "consent", consent); err != nil {
		return "", err
	}
	var got Admission
	if err := run.Get(ctx, &got); err != nil {
		return "", err
	}
	if want := (Admission{p.Name, policy, finding, consent}); got != want {
		return "", fmt.Errorf("the result is %+v and should be %+v", got, want)
	}
	return run.GetRunID(), nil
}
