package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// start runs the server command in this process until the test ends and returns the frontend's address.
func start(t *testing.T, args ...string) string {
	t.Helper()
	stdin, endStdin := io.Pipe()
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(append([]string{"server", "-exit-with-stdin"}, args...), stdin, stdout) }()
	t.Cleanup(func() {
		endStdin.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		lines <- line
	}()
	select {
	case line := <-lines:
		var ready struct{ Frontend string }
		if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "ready ")), &ready); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		return ready.Frontend
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return ""
}

func dial(t *testing.T, address, namespace string) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: address, Namespace: namespace, Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// echo waits for an update and returns its argument.
func echo(ctx workflow.Context) (string, error) {
	var got string
	err := workflow.SetUpdateHandler(ctx, "tell", func(_ workflow.Context, text string) (string, error) {
		got = text
		return text, nil
	})
	if err != nil {
		return "", err
	}
	return got, workflow.Await(ctx, func() bool { return got != "" })
}

// greet is a workflow that needs nobody.
func greet(workflow.Context) (string, error) { return "hello", nil }

// TestServer: as soon as the server is ready, a workflow, an update and a schedule work in a namespace, and
// another process can read every table of the file while it runs.
func TestServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "temporal.db")
	address := start(t, "-db", file, "-namespace", "default", "-namespace", "payments", "-retention", "72h",
		"-dynamic", "limit.maxIDLength=200")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := dial(t, address, "payments")
	w := worker.New(c, "tasks", worker.Options{})
	w.RegisterWorkflow(echo)
	w.RegisterWorkflow(greet)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	defer w.Stop()

	options := client.StartWorkflowOptions{ID: "marked-workflow", TaskQueue: "tasks"}
	if _, err := c.ExecuteWorkflow(ctx, options, echo); err != nil {
		t.Fatal(err)
	}
	update, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: options.ID, UpdateName: "tell", Args: []any{"marked-text"}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		t.Fatal(err)
	}
	var text string
	if err := update.Get(ctx, &text); err != nil || text != "marked-text" {
		t.Fatalf("update: %q, %v", text, err)
	}
	runSchedule(ctx, t, c)
	for _, want := range []string{"marked-workflow", "marked-text"} {
		if !contains(t, file, want) {
			t.Errorf("no %q in the tables of %s", want, file)
		}
	}
}

func runSchedule(ctx context.Context, t *testing.T, c client.Client) {
	t.Helper()
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID:                 "daily",
		TriggerImmediately: true,
		Action:             &client.ScheduleWorkflowAction{ID: "scheduled", Workflow: greet, TaskQueue: "tasks"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for ; ; time.Sleep(50 * time.Millisecond) {
		d, err := c.ScheduleClient().GetHandle(ctx, "daily").Describe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Info.RecentActions) > 0 {
			return
		}
	}
}

// contains reports whether any value of any table contains text.
func contains(t *testing.T, file, text string) bool {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var tables []string
	for _, row := range rows(t, db, "SELECT name FROM sqlite_master WHERE type = 'table'") {
		tables = append(tables, row...)
	}
	for _, table := range tables {
		for _, row := range rows(t, db, "SELECT * FROM \""+table+"\"") {
			if strings.Contains(strings.Join(row, "\n"), text) {
				t.Logf("%q is in table %s", text, table)
				return true
			}
		}
	}
	return false
}

func rows(t *testing.T, db *sql.DB, query string) [][]string {
	t.Helper()
	r, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	columns, err := r.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for r.Next() {
		values, targets := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := r.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(columns))
		for i, v := range values {
			row[i] = string(v)
		}
		all = append(all, row)
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestServerRefuses(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"", "no command"},
		{"serve", "unknown command"},
		{"server", "give a file with -db"},
		{"server -db x more", "unexpected argument"},
		{"ui", "give a file with -config"},
		{"ui -config nowhere.json", "nowhere.json"},
	} {
		err := run(strings.Fields(test.args), strings.NewReader(""), io.Discard)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", test.args, err)
		}
	}
	for _, text := range []string{`{"temporl": "x"}`, `{"temporal": "x", "auth": {"maxSessionDuration": "long"}}`, `{}`} {
		cfg, err := readUIConfig("-", strings.NewReader(text))
		if err == nil {
			_, err = cfg.server()
		}
		if err == nil {
			t.Errorf("taken: %s", text)
		}
	}
}
