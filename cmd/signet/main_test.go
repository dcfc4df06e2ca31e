package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/census"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"signet": main})
}

// The scripts run signet as a process, in an environment without any variable of Vault or Signet.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=10") // the race detector's own second of sleep, for each of 100 processes
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":       exits,
			"refuses":     refuses,
			"savedcensus": savedCensusFile,
			"json":        checkJSON,
			"lines":       lines,
			"keyof":       keyOf,
			"goenv":       goEnv,
		},
	})
}

// exits runs a program and wants an exit code: exits CODE PROGRAM ARG…
// After any code but 0 it wants one line on stderr, and nothing on stdout but what "payload inspect" found.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
	stderr := ts.ReadFile("stderr")
	if code == "0" && stderr != "" {
		ts.Fatalf("success, and stderr says %q", stderr)
	}
	if code != "0" && (!strings.HasPrefix(stderr, "signet: ") || strings.Count(stderr, "\n") != 1 || !strings.HasSuffix(stderr, "\n")) {
		ts.Fatalf("stderr is not one line that begins with \"signet: \": %q", stderr)
	}
	if code != "0" && !slices.Contains(args, "payload") && ts.ReadFile("stdout") != "" {
		ts.Fatalf("failure, and stdout says %q", ts.ReadFile("stdout"))
	}
}

// refuses is exits for a command that prints why, and wants something on stdout: refuses CODE PROGRAM ARG…
func refuses(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	if err == nil || err.Error() != "exit status "+args[0] || neg {
		ts.Fatalf("%v, want exit code %s", err, args[0])
	}
	if stderr := ts.ReadFile("stderr"); !strings.HasPrefix(stderr, "signet: ") || strings.Count(stderr, "\n") != 1 {
		ts.Fatalf("stderr is not one line that begins with \"signet: \": %q", stderr)
	}
	if ts.ReadFile("stdout") == "" {
		ts.Fatalf("stdout is empty")
	}
}

// savedCensusFile writes what `signet census --output json` prints of three workflows: savedcensus FILE NAMESPACE AGE
// and then nothing, KEY open, KEY closed, references, or unsealed.
func savedCensusFile(ts *testscript.TestScript, neg bool, args []string) {
	age, err := time.ParseDuration(args[2])
	ts.Check(err)
	began := time.Now().Add(-age)
	r := &census.Result{Namespace: args[1], Retention: keys.Duration(72 * time.Hour), Began: began, Finished: began.Add(time.Second)}
	r.Tally = census.Tally{Open: 2, Closed: 1, Keys: map[string]*census.Key{}}
	switch what := args[3:]; {
	case len(what) == 1 && what[0] == "references":
		r.References = 1
	case len(what) == 1 && what[0] == "unsealed":
		r.Unsealed = 12
	case len(what) == 2 && what[1] == "closed":
		r.Keys[what[0]] = &census.Key{Payloads: map[census.Place]int64{census.InHistory: 7}, Closed: 1, LastClose: began, WorkflowIDs: []string{"order-1"}}
	case len(what) == 2 && what[1] == "open":
		r.Keys[what[0]] = &census.Key{Payloads: map[census.Place]int64{census.InHistory: 6, census.InSchedule: 1}, Open: 2, Closed: 1, Schedules: 1, WorkflowIDs: []string{"order-1"}, ScheduleIDs: []string{"nightly"}}
	case len(what) > 0 || neg:
		ts.Fatalf("unknown: %v", what)
	}
	text, err := json.Marshal(newCounted(r))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}

// checkJSON wants stdout to be one JSON value with exactly these members, and no other: json MEMBER…
// A member of the elements of a list is written list[].member, one that may be absent ?member.
func checkJSON(ts *testscript.TestScript, neg bool, args []string) {
	var value any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &value); err != nil {
		ts.Fatalf("stdout is not JSON: %v", err)
	}
	got := map[string]bool{}
	members("", value, got)
	args = slices.Clone(args)
	for i, name := range args {
		if optional, ok := strings.CutPrefix(name, "?"); ok {
			args[i] = optional
			got[optional] = true
		}
	}
	slices.Sort(args)
	if list := slices.Sorted(maps.Keys(got)); !slices.Equal(list, args) || neg {
		ts.Fatalf("members of the JSON\n got %s\nwant %s", strings.Join(list, " "), strings.Join(args, " "))
	}
}

func members(path string, value any, to map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			to[strings.TrimPrefix(path+"."+name, ".")] = true
			members(path+"."+name, inner, to)
		}
	case []any:
		for _, inner := range v {
			members(path+"[]", inner, to)
		}
	}
}

// lines wants a number of lines in a file: lines FILE NUMBER
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if got := fmt.Sprint(strings.Count(ts.ReadFile(args[0]), "\n")); got != args[1] || neg {
		ts.Fatalf("%s has %s lines, want %s", args[0], got, args[1])
	}
}

// keyOf puts the key of the JSON on stdout into an environment variable: keyof NAME
func keyOf(ts *testscript.TestScript, neg bool, args []string) {
	var value struct {
		Key  string
		Keys []struct{ ID string } // of an import
	}
	err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &value)
	if len(value.Keys) == 1 {
		value.Key = value.Keys[0].ID
	}
	if err != nil || value.Key == "" || neg {
		ts.Fatalf("stdout has no key: %v", err)
	}
	ts.Setenv(args[0], value.Key)
}
