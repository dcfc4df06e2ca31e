package census_test

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // clients of Temporal compress
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/e2e/stack"
)

// killer is a proxy in front of Temporal, for a process whose calls it names by method.
type killer struct {
	stack.Victim
	address string
	to      *grpc.ClientConn
}

func newKiller(t *testing.T, temporal string) *killer {
	t.Helper()
	k := &killer{}
	var err error
	if k.to, err = grpc.NewClient(temporal, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(frames{}))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.to.Close() })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(frames{}), grpc.UnknownServiceHandler(k.forward))
	go func() { _ = server.Serve(listener) }() // ends with Stop
	t.Cleanup(server.Stop)
	k.address = listener.Addr().String()
	return k
}

// frames hands messages on as they are.
type frames struct{}

func (frames) Name() string                  { return "proto" }
func (frames) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (frames) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = slices.Clone(data)
	return nil
}

// forward hands one call on.
func (k *killer) forward(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	var req, res []byte
	if err := stream.RecvMsg(&req); err != nil {
		return err
	}
	var err error
	alive := k.Pass(method[strings.LastIndexByte(method, '/')+1:], func() {
		in, _ := metadata.FromIncomingContext(stream.Context())
		err = k.to.Invoke(metadata.NewOutgoingContext(context.WithoutCancel(stream.Context()), in), method, &req, &res)
	})
	switch {
	case !alive:
		return status.Error(codes.Unavailable, "nobody is there to read it")
	case err != nil:
		return err
	}
	return stream.SendMsg(&res)
}

// run runs signet as a worker and kills it at a point; it reports whether that was reached.
func (k *killer) run(t *testing.T, w *world, point int, args ...string) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), stack.Program(t, "signet"), append(args, "--address="+k.address, "--namespace="+namespace, "--vault-addr="+w.Vault.Address)...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "VAULT_TOKEN=" + w.Roles.WorkerToken, "GORACE=atexit_sleep_ms=10"}
	return k.Run(t, cmd, point)
}

// TestResealingKilledAtEveryRequestAndRunAgain kills "schedules reseal" with SIGKILL at every request that it makes to
// Temporal, before it and after it. After each kill every schedule is whole, and after the second run all are under the
// new key and changed in nothing else. In the end two of it run at once.
func TestResealingKilledAtEveryRequestAndRunAgain(t *testing.T) {
	t.Parallel() // it waits most of its time
	w := newWorld(t)
	old := w.next(t)
	before := map[string]*workflowservice.DescribeScheduleResponse{}
	for i := range 2 {
		id := fmt.Sprintf("s%d", i)
		old.create(t, id)
		before[id] = w.describe(t, id)
		blank(before[id])
	}
	old.stop()
	listed := func() {
		stack.Eventually(t, patience, func() error {
			if got := len(w.reseal(t, 0, "--plan").Schedules); got != len(before) {
				return fmt.Errorf("%d schedules are listed", got)
			}
			return nil
		})
	}
	check := func(key string) (moved int) {
		t.Helper()
		for id, want := range before {
			d := w.describe(t, id)
			keys := blank(d)
			for _, key := range keys {
				if key != keys[0] {
					t.Errorf("%s has payloads under %s", id, keys)
				}
			}
			if keys[0] == key {
				moved++
			}
			if len(keys) != 4 || !proto.Equal(d, want) {
				t.Errorf("schedule %s has changed elsewhere: %v", id, d)
			}
		}
		return moved
	}
	rotated := func() string {
		t.Helper()
		id := w.Rotate(t, keyset)
		w.Promote(t, keyset, "--key="+id, "--force")
		return keyset + "/" + id
	}
	k := newKiller(t, w.Temporal.Address)
	var progress []int
	for point, killed := 0, true; killed; point++ {
		fresh := rotated()
		listed()
		killed = k.run(t, w, point, "schedules", "reseal")
		calls := k.Requests()
		progress = append(progress, check(fresh))
		if run := w.asWorker(t); run.Code != 0 {
			t.Errorf("killed at point %d (%v) and run again: exit code %d: %s", point, calls, run.Code, run.Stderr)
		}
		if moved := check(fresh); moved != len(before) {
			t.Errorf("killed at point %d (%v) and run again, %d of %d schedules have moved", point, calls, moved, len(before))
		}
		if !killed {
			t.Logf("killed at %d points of %v; schedules that had moved after each: %v", point, calls, progress)
			if updates := slices.DeleteFunc(calls, func(call string) bool { return call != "UpdateSchedule" }); len(updates) != len(before) {
				t.Errorf("the command saved %d schedules, want %d", len(updates), len(before))
			}
		}
	}
	last := rotated()
	done := make(chan stack.Run)
	for range 2 {
		go func() { done <- w.asWorker(t) }()
	}
	for range 2 {
		if run := <-done; run.Code != 0 {
			t.Errorf("two at once: exit code %d: %s%s", run.Code, run.Stdout, run.Stderr)
		}
	}
	if moved := check(last); moved != len(before) {
		t.Errorf("%d of %d schedules have moved", moved, len(before))
	}
}
