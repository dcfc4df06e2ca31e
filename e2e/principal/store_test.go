package principal_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"testing"

	"go.temporal.io/sdk/client"
	_ "modernc.org/sqlite"

	"github.com/signet-temporal/signet/e2e/stack"
	"github.com/signet-temporal/signet/principal"
	"github.com/signet-temporal/signet/principal/propagate"
)

// nobodyIsNamedInTheStore: neither subject nor tenant, issuer or transaction stands in any table of Temporal's database,
// in clear or in base64, after a principal went by every road.
func nobodyIsNamedInTheStore(t *testing.T, s *stack.Stack) {
	w := newWorld(t, s, propagate.Options{})
	const mark = "Canary7QzXw9LmPv2K4tR"
	p := principal.Principal{Kind: principal.KindUser, Issuer: "https://" + mark + "issuer", Subject: mark + "subject", Tenant: mark + "tenant", Txn: mark + "txn", IssuedAt: user("x", "y").IssuedAt}
	service := principal.Service(mark+"service", mark+"tenant")

	_, err := w.result(w.start(p, "Works"))
	must(t, err)
	w.schedule(w.client, service)
	h, err := w.client.ExecuteActivity(as(t, p), client.StartActivityOptions{ID: w.id, TaskQueue: w.queue, ScheduleToCloseTimeout: within}, "Who")
	must(t, err)
	must(t, h.Get(bounded(t), nil))
	w.id += "-messages"
	w.start(p, "Waits")
	u, err := w.client.UpdateWorkflow(as(t, p), client.UpdateWorkflowOptions{WorkflowID: w.id, UpdateName: "approve", WaitForStage: client.WorkflowUpdateStageCompleted})
	must(t, err)
	must(t, u.Get(bounded(t), nil))
	must(t, w.client.SignalWorkflow(as(t, user("mallory", mark+"other")), w.id, "", "note", "dropped"))
	must(t, w.client.SignalWorkflow(as(t, p), w.id, "", "end", nil))
	_, err = w.result(w.reading(w.id))
	must(t, err)

	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.Dir, "temporal.db")+"?mode=ro")
	must(t, err)
	defer db.Close()
	var needles [][]byte
	for skip := range 3 { // in base64 the mark stands at one of three alignments
		encoded := base64.StdEncoding.EncodeToString(append(make([]byte, skip), mark...))
		needles = append(needles, []byte(encoded[4:len(encoded)-4]))
	}
	values, control := 0, false
	for _, table := range rows(t, db, `SELECT name FROM sqlite_master WHERE type = 'table'`) {
		for _, row := range rows(t, db, `SELECT * FROM "`+fmt.Sprint(table[0])+`"`) {
			for _, value := range row {
				data, ok := value.([]byte)
				if !ok {
					data = []byte(fmt.Sprint(value))
				}
				values++
				control = control || bytes.Contains(data, []byte(w.id))
				for _, needle := range append(needles, []byte(mark)) {
					if bytes.Contains(data, needle) {
						t.Errorf("table %s holds %q", table[0], needle)
					}
				}
			}
		}
	}
	if values < 1000 || !control {
		t.Errorf("the search is no search: %d values, and the workflow's id is there: %t", values, control)
	}
}

func rows(t *testing.T, db *sql.DB, text string) (all [][]any) {
	t.Helper()
	found, err := db.QueryContext(t.Context(), text)
	must(t, err)
	defer found.Close()
	columns, err := found.Columns()
	must(t, err)
	for found.Next() {
		row, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		must(t, found.Scan(into...))
		all = append(all, row)
	}
	must(t, found.Err())
	return all
}
