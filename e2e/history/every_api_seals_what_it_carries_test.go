package history_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signet-temporal/signet/e2e/stack"
)

// TestEveryAPISealsWhatItCarries plays every feature of Temporal with a canary in each and then looks for the canaries in
// all that Temporal says, in all that it stored, and in all that passed between it and the application. The same is
// played in clear in another namespace: what is not found there would not be found here either, and proves nothing.
func TestEveryAPISealsWhatItCarries(t *testing.T) {
	ours, control := newScenario(), newScenario()
	s := stack.Start(t, stack.Options{WithoutOIDC: true, Namespaces: []string{ours.secret("namespace"), control.secret("namespace")},
		Keysets: []string{ours.secret("payload-keyset")}, Dynamic: map[string]string{"frontend.namespaceRPS.visibility": "1000", "nexusoperation.enableStandalone": "true"}})
	sealed, clear := newStage(t, s, ours, false), newStage(t, s, control, true)
	if !t.Run("play", func(t *testing.T) { playAll(t, sealed, clear) }) {
		return
	}
	t.Run("who holds the keys reads everything", sealed.readsEverything)
	t.Run("the replayer replays sealed histories", sealed.replays)

	files := s.Temporal.Files()
	running := &evidence{}
	running.addFiles(t, files...) // with the write-ahead log
	if err := s.Temporal.Stop(); err != nil {
		t.Fatal(err)
	}
	stored := &evidence{}
	stored.addFiles(t, s.Temporal.Files()...)
	rows := stored.addTables(t, s.Temporal.DB)
	t.Logf("%d answers with %d payloads of the sealed namespace, %d messages on the wire, %d rows of the database",
		len(sealed.evidence.exhibits), len(sealed.evidence.payloads), len(sealed.wire.messages()), rows)

	t.Run("the control shows every secret", func(t *testing.T) { clear.showsEverything(t, stored, running) })
	t.Run("what is in clear is listed", func(t *testing.T) { sealed.showsWhatIsListed(t, stored, running) })
	t.Run("every payload is sealed", sealed.holdsNothingUnsealed)
}

// playAll plays all acts in all namespaces at once, and then collects what Temporal says.
func playAll(t *testing.T, stages ...*stage) {
	var acts sync.WaitGroup
	for i, g := range stages {
		for name, act := range g.acts() {
			acts.Go(func() { t.Run([]string{"sealed", "clear"}[i]+" "+name, act) })
		}
	}
	acts.Wait()
	if !t.Failed() {
		for _, g := range stages {
			g.collect(t)
		}
	}
}

// showsEverything: in the control, all that is planted is on one of the lists and in clear on the wire, and most of it in
// answers and in the database as well.
func (g *stage) showsEverything(t *testing.T, stored, running *evidence) {
	wire, said, kept, inFiles := g.wire.evidence(t).secrets(g.scenario), g.evidence.secrets(g.scenario), stored.secrets(g.scenario), running.secrets(g.scenario)
	t.Logf("in clear, the wire shows %d places, the answers %d, the database %d, its files while the server runs %d", len(wire), len(said), len(kept), len(inFiles))
	for _, place := range slices.Concat(places, inClear) {
		if strings.HasPrefix(place, "payload-") {
			continue // of sealed payloads, which the control has none of
		}
		if len(wire[place]) == 0 && len(said[place]) == 0 {
			t.Errorf("the control does not show %s on the wire: the test would not see it leak", place)
		}
	}
	for _, place := range []string{"workflow-input", "activity-result", "signal", "memo-started", "memo-upserted", "failure-message", "schedule-argument", "side-effect", "update-result"} {
		if len(said[place]) == 0 || len(kept[place]) == 0 || len(inFiles[place]) == 0 {
			t.Errorf("the control does not show %s in answers or the database: the test would not see it leak", place)
		}
	}
	for _, found := range []map[string][]string{wire, said, kept} {
		for place := range found {
			if !slices.Contains(places, place) && !slices.Contains(inClear, place) {
				t.Errorf("%s is planted and on no list", place)
			}
		}
	}
}

// showsWhatIsListed compares three lists: what is found in clear of a sealed namespace, what the test expects, and what
// docs/threat-model.md tells its readers.
func (g *stage) showsWhatIsListed(t *testing.T, stored, running *evidence) {
	found := map[string][]string{}
	for name, e := range map[string]*evidence{"answers": g.evidence, "wire": g.wire.evidence(t), "database": stored, "files of the running server": running} {
		for place, where := range e.secrets(g.scenario) {
			if place != "panic-stack" || name == "answers" || name == "wire" { // that has no mark: the database has it from the control
				found[place] = append(found[place], where...)
			}
		}
	}
	listed := listedInClear(t)
	for place, where := range found {
		if !slices.Contains(inClear, place) {
			t.Errorf("a leak: %s is in clear in %q", place, where)
		}
	}
	for _, place := range inClear {
		if found[place] == nil {
			t.Errorf("%s is not in clear any more: take it from the list and from docs/threat-model.md", place)
		}
		if !slices.Contains(listed, place) {
			t.Errorf("docs/threat-model.md does not list %s", place)
		}
	}
	for _, place := range listed {
		if !slices.Contains(inClear, place) {
			t.Errorf("docs/threat-model.md lists %s, which no test exercises", place)
		}
	}
	if len(listed) != len(inClear) {
		t.Errorf("docs/threat-model.md lists %d names, the test %d: one is there twice", len(listed), len(inClear))
	}
}

// holdsNothingUnsealed: a header is not part of any converter's work. Until headers are sealed, what propagators write is
// in clear.
func (g *stage) holdsNothingUnsealed(t *testing.T) {
	inHeaders := 0
	for _, f := range slices.Concat(g.evidence.payloads, g.wire.evidence(t).payloads) {
		if f.inHeader {
			inHeaders++
		} else if why := notSealed(f.payload, g.keyset, g.scope); why != "" {
			t.Errorf("not sealed: %s: %s", f.where, why)
		}
	}
	if inHeaders == 0 {
		t.Error("no payload is in a header: this test would not notice that they are sealed")
	}
}

// places are where the scenario leaves secrets.
var places = []string{
	"workflow-input", "workflow-result", "static-summary", "static-details", "current-details",
	"memo-started", "memo-upserted",
	"activity-input", "activity-result", "activity-summary", "local-activity-result", "local-activity-summary", "local-activity-failure", "local-activity-type",
	"failure-message", "failure-details", "failure-cause", "panic-message", "panic-stack", "heartbeat", "last-failure", "last-failure-details",
	"side-effect", "mutable-side-effect", "mutable-side-effect-id", "timer-summary",
	"child-input", "child-result", "child-memo", "child-summary", "child-details", "child-signal", "child-failure", "child-failure-details",
	"signal", "query-argument", "query-result", "query-error",
	"update-argument", "update-result", "update-to-fail", "update-failure", "update-failure-details", "update-to-reject", "update-rejection",
	"continue-as-new-input", "terminated-input", "terminate-details", "cancel-details", "waits-result",
	"signal-with-start", "signal-with-start-input", "update-with-start", "update-with-start-input",
	"schedule-memo", "schedule-argument", "schedule-updated-argument", "schedule-action-memo", "schedule-action-summary", "scheduled-signal",
	"cron-input", "cron-result", "cron-failure", "cron-failure-details", "retry-input", "retry-failure", "retry-failure-details", "reset-input", "reset-signal",
	"async-by-token", "async-by-id", "async-by-token-options", "async-by-id-options", "async-failure", "async-failure-details", "async-heartbeat",
	"standalone-input", "standalone-result", "standalone-heartbeat", "standalone-last-failure", "standalone-summary", "standalone-details",
	"standalone-hopeless-input", "standalone-failure", "standalone-failure-details",
	"nexus-sync-input", "nexus-sync-result", "nexus-workflow-input", "nexus-workflow-result", "nexus-failing-input", "nexus-endless-input", "nexus-summary", "nexus-alone-summary", "deployment-metadata",
	"nexus-failure", "nexus-failure-details", "nexus-error", "nexus-handler-error", "nexus-handler-error-message", "nexus-handler-error-details",
}
