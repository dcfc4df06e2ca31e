package codecserver_test

import (
	"net/http"
	"testing"

	"github.com/signet-temporal/signet/codecserver"
)

func TestTheSummaryCountsWhatBecameOfThePayloads(t *testing.T) {
	w := labelWorld(t)
	elsewhere := w.sealed("elsewhere")
	public := w.labelled("json/plain", patient, "")
	for says, c := range map[string]struct {
		ask  ask
		want string
	}{
		"all four":          {fromUI("sam", "decode", body(t, public, w.patient(), elsewhere, plain("7"), public, plain("8"), plain("9"))), "opened=2, masked=1, explained=1, passed=3"},
		"a program":         {fromMachine("olga", "decode", body(t, w.patient(), plain("7"))), "opened=1, masked=0, explained=0, passed=1"},
		"somebody unknown":  {fromUI("", "decode", body(t, public, plain("7"))), "opened=0, masked=0, explained=1, passed=1"},
		"nothing":           {fromUI("sam", "decode", `{"payloads":[]}`), "opened=0, masked=0, explained=0, passed=0"},
		"sealed, and again": {fromUI("sam", "encode", body(t, plain("7"), public, plain("8"))), "sealed=2, passed=1"},
	} {
		r := w.send(c.ask).want(http.StatusOK)
		if got := r.Header.Get(codecserver.SummaryHeader); got != c.want {
			t.Errorf("%s: %q, want %q", says, got, c.want)
		}
	}
	refused := w.send(fromMachine("sam", "decode", body(t, elsewhere))).want(http.StatusForbidden)
	if got := refused.Header.Get(codecserver.SummaryHeader); got != "" {
		t.Errorf("an answer without payloads has a summary: %s", got)
	}
}
