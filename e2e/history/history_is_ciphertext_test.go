package history_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
)

// TestHistoryIsCiphertext plays every feature of Temporal with a secret in each and then looks for the secrets in all
// that Temporal says and all that it stored. The same is played in clear in another namespace: what is not found there
// would not be found here either, and proves nothing.
func TestHistoryIsCiphertext(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"payments", "clear"}, WithoutOIDC: true})
	sealed := newStage(t, s, "payments", s.Plugin(t, nil, signet.Options{}))
	sealed.play(t)
	clear := newStage(t, s, "clear")
	clear.play(t)

	files := s.Temporal.Files()
	running := &evidence{}
	running.addFiles(t, files...) // with the write-ahead log
	if err := s.Temporal.Stop(); err != nil {
		t.Fatal(err)
	}
	stored := &evidence{}
	stored.addFiles(t, s.Temporal.Files()...)
	rows := stored.addTables(t, s.Temporal.DB)

	said := clear.evidence.secrets(clear.scenario)
	kept := stored.secrets(clear.scenario)
	inFiles := running.secrets(clear.scenario)
	t.Logf("%d answers with %d payloads of the sealed namespace, %d rows of the database", len(sealed.evidence.exhibits), len(sealed.evidence.payloads), rows)
	t.Logf("in clear, the answers show %d of the secrets, the database %d, its files while the server runs %d", len(said), len(kept), len(inFiles))
	for _, place := range places {
		if len(said[place]) == 0 {
			t.Errorf("the control does not show %s in any answer: the test would not see it leak", place)
		}
	}
	for _, place := range []string{"workflow-input", "activity-result", "signal", "memo-started", "memo-upserted", "failure-message", "schedule-argument", "side-effect", "update-result"} {
		if len(kept[place]) == 0 || len(inFiles[place]) == 0 {
			t.Errorf("the control does not show %s in the database: the test would not see it leak", place)
		}
	}

	for name, e := range map[string]*evidence{"answers": sealed.evidence, "database": stored, "files of the running server": running} {
		for place, where := range e.secrets(sealed.scenario) {
			if place == "header" {
				continue // listed below
			}
			if place == "panic-stack" && name != "answers" {
				continue // the name of the function has no mark: it is there from the control
			}
			t.Errorf("%s is in clear in the %s: %q", place, name, where)
		}
	}
	headers := map[string]bool{}
	for _, f := range sealed.evidence.payloads {
		if f.inHeader {
			headers[regexp.MustCompile(`\[\d+\]`).ReplaceAllString(f.where, "[]")] = true
		} else if why := notSealed(f.payload, "payments"); why != "" {
			t.Errorf("not sealed: %s: %s", f.where, why)
		}
	}
	// A header is not part of any converter's work. Until headers are sealed, what propagators write is in clear.
	if len(headers) == 0 {
		t.Error("no payload is in a header: this test would not notice that they are sealed")
	}
	t.Logf("payloads in headers are not sealed yet: %s", strings.Join(slices.Sorted(maps.Keys(headers)), "\n\t"))
}

// places are where the scenario leaves secrets.
var places = []string{
	"workflow-input", "workflow-result", "static-summary", "static-details", "current-details",
	"memo-started", "memo-upserted",
	"activity-input", "activity-result", "activity-summary", "local-activity-result", "local-activity-summary", "local-activity-failure",
	"failure-message", "failure-details", "failure-cause", "panic-message", "panic-stack", "heartbeat", "last-failure", "last-failure-details",
	"side-effect", "mutable-side-effect", "timer-summary",
	"child-input", "child-result", "child-memo", "child-summary", "child-details", "child-signal", "child-failure", "child-failure-details",
	"signal", "query-argument", "query-result", "query-error",
	"update-argument", "update-result", "update-failure", "update-failure-details", "update-rejection",
	"continue-as-new-input", "terminated-input", "terminate-details", "cancel-details",
	"signal-with-start", "signal-with-start-input", "update-with-start", "update-with-start-input",
	"schedule-memo", "schedule-argument", "schedule-action-memo", "schedule-action-summary", "header",
}
