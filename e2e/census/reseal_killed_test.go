package census_test

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/e2e/stack"
)

// TestResealingMayBeKilledAnywhere kills the command at ten moments, each a little later after its start, and then lets two
// of it run at once. After each kill every schedule is whole, and in the end all are under the new key.
func TestResealingMayBeKilledAnywhere(t *testing.T) {
	w := newWorld(t)
	old := w.next(t)
	const n = 8
	before := map[string]*workflowservice.DescribeScheduleResponse{}
	for i := range n {
		id := fmt.Sprintf("s%d", i)
		old.create(t, id)
		before[id] = w.describe(t, id)
		blank(before[id])
	}
	old.stop()
	fresh := w.next(t)
	stack.Eventually(t, patience, func() error {
		if got := len(w.reseal(t, 0, "--plan").Schedules); got != n {
			return fmt.Errorf("%d schedules are listed", got)
		}
		return nil
	})
	check := func() (moved int) {
		t.Helper()
		for id, want := range before {
			d := w.describe(t, id)
			keys := blank(d)
			for _, key := range keys {
				if key != keys[0] {
					t.Errorf("%s has payloads under %s", id, keys)
				}
			}
			if keys[0] == fresh.key {
				moved++
			}
			if len(keys) != 4 || !proto.Equal(d, want) {
				t.Errorf("schedule %s has changed elsewhere: %v", id, d)
			}
		}
		return moved
	}
	args := []string{"schedules", "reseal", "--address=" + w.Temporal.Address, "--namespace=" + namespace, "--vault-addr=" + w.Vault.Address}
	var progress []int
	for kill := range 10 {
		cmd := exec.CommandContext(t.Context(), stack.Program(t, "signet"), args...)
		cmd.Env = []string{"HOME=" + t.TempDir(), "VAULT_TOKEN=" + w.Roles.WorkerToken}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(150+40*kill) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		progress = append(progress, check())
	}
	t.Logf("moved after each kill: %v of %d", progress, n)
	done := make(chan stack.Run)
	for range 2 {
		go func() { done <- w.asWorker(t) }()
	}
	for range 2 {
		if run := <-done; run.Code != 0 {
			t.Errorf("exit code %d: %s", run.Code, run.Stderr)
		}
	}
	if moved := check(); moved != n {
		t.Errorf("%d of %d schedules have moved", moved, n)
	}
}
