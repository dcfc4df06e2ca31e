package main

import (
	"strings"
	"testing"

	"github.com/signet-temporal/signet/keys/census"
)

// TestWhatACensusCouldNotSeeIsInTheWayOfAShredding: a list of open workflows by their ids makes up for references alone,
// and only where somebody has said what the ids begin with.
func TestWhatACensusCouldNotSeeIsInTheWayOfAShredding(t *testing.T) {
	none := new(int64)
	for what, c := range map[string]struct {
		result census.Result
		begin  string
		listed *int64
		want   string
	}{
		"everything was seen":                           {},
		"references":                                    {result: census.Result{Tally: census.Tally{References: 1}}, want: "--workflows-beginning-with"},
		"references, and ids that were guessed":         {result: census.Result{Tally: census.Tally{References: 1}}, listed: none, want: "--workflows-beginning-with"},
		"references, and ids that somebody has named":   {result: census.Result{Tally: census.Tally{References: 1}}, listed: none, begin: "acme-"},
		"more keys than room, and ids":                  {result: census.Result{Tally: census.Tally{Overflow: 1}}, listed: none, begin: "acme-", want: "more keys than it had room for"},
		"payloads that it does not understand, and ids": {result: census.Result{Tally: census.Tally{Later: 1}}, listed: none, begin: "acme-", want: "upgrade signet"},
	} {
		shred := &shredCmd{Names: []string{"tenant/acme"}, WorkflowsBegin: c.begin}
		u := openUse{Namespace: "payments", Listed: c.listed}
		shred.count(&u, &c.result)
		err := shred.against([]openUse{u})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}
