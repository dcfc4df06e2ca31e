package cli_test

import (
	"errors"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/signet-temporal/signet/e2e/stack"
)

// reading are the commands that decode. "workflow result" is none of them where the server answers with an error: the
// command line waits for the end of the workflow without end then, and that is what [codecserver.AcceptHeader] is for.
func reading() map[string][]string {
	return map[string][]string{
		"show":     {"workflow", "show", "-w", workflowID, "-o", "json"},
		"describe": {"workflow", "describe", "-w", workflowID},
		"list":     {"workflow", "list", "-o", "json"},
	}
}

// TestAPersonWhoIsRefusedReadsWhy: with the header every command ends at once, "workflow result" too, and says in place of
// each payload why it stays closed.
func TestAPersonWhoIsRefusedReadsWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	brief, expired := w.expires(t)
	for _, c := range []struct {
		name, authorization, reason string
	}{
		{"not granted", "Bearer " + w.Token(t, "bob"), "not-granted"},
		{"no token", "", "missing-token"},
		{"a token for another service", "Bearer " + w.Login(t, w.OIDC, "alice", stack.OpsClient, "another-service").Access, "wrong-audience"},
		{"an expired token", brief, "expired-token"},
	} {
		if c.authorization == brief {
			time.Sleep(time.Until(expired))
		}
		commands := reading()
		commands["result"] = []string{"workflow", "result", "-w", workflowID}
		for name, args := range commands {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				out := w.temporal(t, c.authorization, append(args, "--codec-header", "Signet-Accept=explanations")...)
				out.prints(t, c.reason, "signet-explanation")
				out.holdsNothing(t)
			})
		}
	}
	// An explanation cannot be sent back as an input.
	alice := "Bearer " + w.Token(t, "alice")
	w.refuses(t, alice, "workflow", "start", "-w", "never-started", "--type", "intake", "--task-queue", taskQueue,
		"--input", `{"message":"You may not","signet-explanation":"v1"}`)
}

// TestARefusedCommandEnds: the command line takes every refusal for an outage and tries five times, which takes ten
// seconds; then it ends, prints nothing of the payloads, and says so with its exit code.
func TestARefusedCommandEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	brief, expired := w.expires(t)
	for _, c := range []struct {
		name, authorization, reason string
	}{
		{"403", "Bearer " + w.Token(t, "bob"), "not-granted"},
		{"401 without a token", "", "missing-token"},
		{"401 with a token for another service", "Bearer " + w.Login(t, w.OIDC, "alice", stack.OpsClient, "another-service").Access, "wrong-audience"},
		{"401 with an expired token", brief, "expired-token"},
	} {
		refused := func(t *testing.T, args ...string) {
			t.Helper()
			t.Parallel()
			if c.authorization == brief {
				time.Sleep(time.Until(expired))
			}
			w.refuses(t, c.authorization, args...)
		}
		for name, args := range reading() {
			t.Run(c.name+"/"+name, func(t *testing.T) { refused(t, args...) })
		}
		t.Run(c.name+"/start", func(t *testing.T) {
			id := "never-started-" + c.reason
			refused(t, "workflow", "start", "-w", id, "--type", "intake", "--task-queue", taskQueue, "--input", `"`+typedSecret+`"`)
			_, err := w.client.DescribeWorkflowExecution(t.Context(), id, "")
			var missing *serviceerror.NotFound
			if !errors.As(err, &missing) {
				t.Errorf("describe: %v, want that there is no such workflow", err)
			}
		})
	}
	t.Cleanup(func() {
		seen := map[string]bool{}
		for _, r := range w.server.Audit(t) {
			seen[r.Reason] = true
			if r.Decision != "deny" {
				t.Errorf("audit has %+v", r)
			}
		}
		for _, reason := range []string{"not-granted", "missing-token", "wrong-audience", "expired-token"} {
			if !seen[reason] {
				t.Errorf("audit has no %s", reason)
			}
		}
	})
}

// expires returns what goes into the Authorization header, and from when on it has expired: the token lives for a second,
// and the server grants another 30 for clocks that differ.
func (w *world) expires(t *testing.T) (authorization string, expired time.Time) {
	t.Helper()
	return "Bearer " + w.Login(t, w.OIDC, "alice", stack.BriefClient, stack.Audience).Access, time.Now().Add(33 * time.Second)
}

func (w *world) refuses(t *testing.T, authorization string, args ...string) {
	t.Helper()
	out := w.temporal(t, authorization, args...)
	t.Logf("exit code %d after %s: %s", out.Code, out.took, out.Stderr)
	if out.Code == 0 {
		t.Errorf("it succeeds: %s", out.Stdout)
	}
	out.holdsNothing(t)
}

func TestWithTheCodecServerDownEveryCommandEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := "Bearer " + w.Token(t, "alice")
	w.temporal(t, alice, "workflow", "result", "-w", workflowID).prints(t, resultSecret)
	w.server.Kill(t)
	t.Run("down", func(t *testing.T) {
		for name, args := range reading() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w.refuses(t, alice, args...)
			})
		}
	})
	w.server.Restart(t)
	w.temporal(t, alice, "workflow", "result", "-w", workflowID).prints(t, resultSecret)
}
