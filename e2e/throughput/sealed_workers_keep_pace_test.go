// Package throughput_test compares how much work sealing and plain workers get done on one real server.
package throughput_test

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"github.com/signet-temporal/signet"
	"github.com/signet-temporal/signet/e2e/stack"
)

var (
	rounds    = flag.Int("rounds", 3, "pairs of rounds, one sealed and one plain each")
	workflows = flag.Int("workflows", 60, "workflows in a round")
)

// payloadSize is that of every argument and result: 1 KiB of JSON.
const payloadSize = 1 << 10

// Turn sends 1 KiB through three activities and returns it: eight payloads a workflow.
func Turn(ctx workflow.Context, in string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	for range 3 {
		if err := workflow.ExecuteActivity(ctx, Same, in).Get(ctx, &in); err != nil {
			return "", err
		}
	}
	return in, nil
}

// Same returns its argument.
func Same(_ context.Context, in string) (string, error) { return in, nil }

// TestSealedWorkersKeepPace runs the same load sealed and in clear, in turn, on one server. The bound is loose, because
// both share the machine with the server and with whatever else runs there; the figure that counts is the one it prints:
//
//	go test -run Pace -v ./throughput -rounds 11 -workflows 300
func TestSealedWorkersKeepPace(t *testing.T) {
	s := stack.Start(t, stack.Options{Namespaces: []string{"sealed", "plain"}, WithoutOIDC: true})
	sealed := newSide(t, s.Client(t, "sealed", signet.Options{}))
	plain := newSide(t, s.ClientWith(t, "plain"))
	sealed.round(t, "warm-up")
	plain.round(t, "warm-up")

	var ratios []float64
	for n := range *rounds {
		id := fmt.Sprint("round-", n)
		first, second := sealed, plain
		if n%2 == 1 {
			first, second = plain, sealed
		}
		took := map[*side]time.Duration{first: first.round(t, id), second: second.round(t, id)}
		ratios = append(ratios, took[plain].Seconds()/took[sealed].Seconds())
		t.Logf("%s: sealed %.1f, plain %.1f workflows a second", id,
			float64(*workflows)/took[sealed].Seconds(), float64(*workflows)/took[plain].Seconds())
	}
	slices.Sort(ratios)
	median := ratios[len(ratios)/2]
	t.Logf("throughput sealed to plain: median %.3f of %d rounds, from %.3f to %.3f", median, len(ratios), ratios[0], ratios[len(ratios)-1])
	if median < 0.5 {
		t.Errorf("sealed workers do %.2f of the work of plain ones", median)
	}
}

// side is one namespace with its client and worker.
type side struct {
	client client.Client
	input  string
}

func newSide(t *testing.T, c client.Client) *side {
	t.Helper()
	w := worker.New(c, "turn", worker.Options{})
	w.RegisterWorkflow(Turn)
	w.RegisterActivity(Same)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	text := make([]byte, payloadSize/2)
	_, _ = rand.Read(text) // never fails
	return &side{client: c, input: fmt.Sprintf("%x", text)}
}

// round runs the workflows, 20 at a time, and returns how long they took together.
func (s *side) round(t *testing.T, name string) time.Duration {
	t.Helper()
	start := time.Now()
	load, ctx := errgroup.WithContext(t.Context())
	load.SetLimit(20)
	for n := range *workflows {
		load.Go(func() error {
			run, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: fmt.Sprint(name, "-", n), TaskQueue: "turn"}, Turn, s.input)
			if err != nil {
				return err
			}
			var out string
			if err := run.Get(ctx, &out); err != nil {
				return err
			}
			if out != s.input {
				return fmt.Errorf("%s returned something else than it was given", run.GetID())
			}
			return nil
		})
	}
	if err := load.Wait(); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}
