package remote_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/signet-temporal/signet"
)

const queue = "orders"

// Order waits for a note, passes it through an activity, and fails if the amount says so.
func Order(ctx workflow.Context, amount string) (string, error) {
	if err := workflow.SetQueryHandler(ctx, "amount", func() (string, error) { return amount, nil }); err != nil {
		return "", err
	}
	var note, done string
	workflow.GetSignalChannel(ctx, "note").Receive(ctx, &note)
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	if err := workflow.ExecuteActivity(ctx, Book, amount, note).Get(ctx, &done); err != nil {
		return "", err
	}
	if strings.HasPrefix(amount, "refused") {
		return "", temporal.NewApplicationError("refused: "+done, "Refused", done)
	}
	return done, nil
}

// Book is an activity.
func Book(amount, note string) (string, error) { return amount + " booked for " + note, nil }

func work(t *testing.T, c client.Client) {
	t.Helper()
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(Order)
	w.RegisterActivity(Book)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
}

// order plays a workflow from start to end by a client: a signal with start, a query, and the result.
func order(t *testing.T, c client.Client, id, amount string) (string, error) {
	t.Helper()
	run, err := c.SignalWithStartWorkflow(t.Context(), id, "note", "Ann Smith", client.StartWorkflowOptions{TaskQueue: queue, WorkflowExecutionTimeout: time.Minute}, Order, amount)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	var result, asked string
	err = run.Get(t.Context(), &result)
	answer, queryErr := c.QueryWorkflow(t.Context(), id, "", "amount")
	if queryErr != nil || answer.Get(&asked) != nil || asked != amount {
		t.Errorf("%s: the query says %q, %v", id, asked, queryErr)
	}
	return result, err
}

// wantPlayed plays both ends of [Order] and looks at what Temporal holds of them.
func (w *world) wantPlayed(t *testing.T, c client.Client, name string) {
	t.Helper()
	if got, err := order(t, c, name+"-good", "4711 euros"); err != nil || got != "4711 euros booked for Ann Smith" {
		t.Errorf("%s: the result is %q, %v", name, got, err)
	}
	_, err := order(t, c, name+"-bad", "refused 4711 euros")
	var failed *temporal.ApplicationError
	var detail string
	if !errors.As(err, &failed) || failed.Type() != "Refused" || failed.Message() != "refused: refused 4711 euros booked for Ann Smith" || failed.Details(&detail) != nil || !strings.HasSuffix(detail, "Ann Smith") {
		t.Errorf("%s: the failure is %v, %q", name, err, detail)
	}
	w.nothingInClear(t, name+"-good", "4711 euros", "Ann Smith")
	w.nothingInClear(t, name+"-bad", "4711 euros", "Ann Smith")
}

// TestProgramsWithoutKeysAndWorkersWithThemUnderstandEachOther: a client that has only a certificate, or only a token,
// starts workflows of a worker that holds the keys, and reads results and failures; and a worker that has only a
// certificate runs workflows for a client that holds the keys.
func TestProgramsWithoutKeysAndWorkersWithThemUnderstandEachOther(t *testing.T) {
	w := newWorld(t)
	sealing := w.Client(t, namespace, signet.Options{})
	t.Run("clients", func(t *testing.T) {
		work(t, sealing)
		w.wantPlayed(t, w.dial(t, w.certified(t, w.authority, "worker")), "by-certificate")
		w.wantPlayed(t, w.dial(t, program{w.server.HTTP, w.token}), "by-token")
		w.wantPlayed(t, sealing, "with-keys")
	})
	t.Run("a worker", func(t *testing.T) {
		work(t, w.dial(t, w.certified(t, w.authority, "worker")))
		w.wantPlayed(t, sealing, "for-keys")
		w.wantPlayed(t, w.dial(t, program{w.server.HTTP, w.token}), "for-none")
	})
	for _, who := range [][2]string{{"signet:certificate", "worker.example.com"}, {"signet:token", "job"}} {
		counts := w.counts(t, who[0], who[1])
		if counts["allow encode"] < 4 || counts["allow decode"] < 4 || len(counts) != 2 {
			t.Errorf("the audit log has of %v: %v", who, counts)
		}
	}
	if strings.Contains(w.server.Log(), w.token) {
		t.Error("the log holds the token")
	}
}

// TestAProgramGetsWhatItsGrantSaysAndAnErrorForTheRest: without encode nothing is started, without decode nothing is read,
// and whoever is not known gets as far as the handshake.
func TestAProgramGetsWhatItsGrantSaysAndAnErrorForTheRest(t *testing.T) {
	w := newWorld(t)
	work(t, w.Client(t, namespace, signet.Options{}))
	start := func(p program, id string) error {
		_, err := w.dial(t, p).SignalWithStartWorkflow(t.Context(), id, "note", "Ann Smith", client.StartWorkflowOptions{TaskQueue: queue}, Order, "4711 euros")
		return err
	}
	for name, p := range map[string]program{
		"reader":          w.certified(t, w.authority, "reader"),
		"nobody":          w.certified(t, w.authority, "nobody"),
		"other-authority": w.certified(t, newAuthority(t), "worker"),
		"no-certificate":  {http: w.server.HTTP},
		"wrong-token":     {w.server.HTTP, w.token[:len(w.token)-2] + "xx"},
	} {
		err := start(p, name)
		if err == nil {
			t.Errorf("%s starts a workflow", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
		var missing *serviceerror.NotFound
		if _, err := w.ClientWith(t, namespace).DescribeWorkflowExecution(t.Context(), name, ""); !errors.As(err, &missing) {
			t.Errorf("%s: there is a workflow, or %v", name, err)
		}
	}

	writes := w.certified(t, w.authority, "writer")
	if err := start(writes, "written"); err != nil {
		t.Fatalf("writer: %v", err)
	}
	var result string
	if err := w.dial(t, writes).GetWorkflow(t.Context(), "written", "").Get(t.Context(), &result); err == nil || result != "" {
		t.Errorf("the writer reads %q, %v", result, err)
	} else {
		t.Logf("writer: %v", err)
	}
	if err := w.dial(t, w.certified(t, w.authority, "reader")).GetWorkflow(t.Context(), "written", "").Get(t.Context(), &result); err != nil || result != "4711 euros booked for Ann Smith" {
		t.Errorf("the reader reads %q, %v", result, err)
	}
	for subject, want := range map[string][2]string{"reader.example.com": {"deny encode", "allow decode"}, "writer.example.com": {"allow encode", "deny decode"}, "nobody.example.com": {"deny encode", "deny encode"}} {
		counts := w.counts(t, "signet:certificate", subject)
		if counts[want[0]] == 0 || counts[want[1]] == 0 || len(counts) > 2 {
			t.Errorf("the audit log has of %s: %v", subject, counts)
		}
	}
}
