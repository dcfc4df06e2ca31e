package codec_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/signet-temporal/signet/e2e/stack"
)

const storedSecret = "planted-stored-3e7a"

// scan makes a large result of a large input, which crosses an activity.
func scan(ctx workflow.Context, image string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	var seen string
	err := workflow.ExecuteActivity(ctx, look, image).Get(ctx, &seen)
	return seen, err
}

func look(_ context.Context, image string) (string, error) { return image + "+seen", nil }

// image does not compress to less than the threshold.
func image() string {
	var b strings.Builder
	for i := range uint32(60_000) {
		b.WriteByte('a' + byte((i*2654435761)>>24)%26)
	}
	return storedSecret + b.String()
}

func grantsWith(s *stack.Stack, more ...stack.Grant) []stack.Grant {
	return append(s.Grants(), more...)
}

func TestWhatIsStoredOutsideIsDownloaded(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	folder := stack.Folder(t.TempDir())
	server := s.Server(t, stack.ServerOptions{Origins: []string{origin}, Storage: folder, Grants: grantsWith(s,
		stack.Grant{Name: "files", Issuer: s.OIDC.Issuer, Groups: []string{"payments-oncall"}, Namespaces: []string{"payments"}, Actions: []string{"download"}})})
	input := scanned(t, s, folder)
	reference := firstInput(t, s)
	if len(reference.GetExternalPayloads()) != 1 || string(reference.GetMetadata()["messageType"]) != "temporal.api.sdk.v1.ExternalStorageReference" {
		t.Fatalf("the history holds no reference but %v", reference.GetMetadata())
	}
	nothingStoredInClear(t, folder)
	alice, bob := s.Token(t, "alice"), s.Token(t, "bob")

	ask := func(action, token string, p *commonpb.Payload) stack.CodecAnswer {
		return server.Codec(t, stack.CodecRequest{Action: action + "?preserveStorageRefs=true", Token: token, Namespace: "payments", Origin: origin, Payloads: []*commonpb.Payload{p}})
	}
	// As the Web UI does: it asks for the payload decoded, sees a reference, and downloads on a click.
	if decoded := ask("/decode", alice, reference); decoded.Status != http.StatusOK || !proto.Equal(decoded.Payloads[0], reference) {
		t.Errorf("decode: status %d, %v", decoded.Status, decoded.Payloads)
	}
	got := ask("/download", alice, reference)
	if got.Status != http.StatusOK || got.Header.Get("Access-Control-Allow-Origin") != origin {
		t.Fatalf("download: status %d: %s", got.Status, got.Body)
	}
	shows(t, got.Payloads[0], input)
	records := server.AuditOf(t, got.RequestID)
	if len(records) != 1 || records[0].Action != "download" || records[0].Decision != "allow" || records[0].Rule != "files" || records[0].Namespace != "payments" || records[0].Workflow != "scan-1" || records[0].Subject != "u-alice" {
		t.Errorf("audit has %+v", records)
	}
	// Whoever may not, may not, and what leads elsewhere leads nowhere.
	if got := ask("/download", bob, reference); got.Status != http.StatusForbidden || strings.Contains(got.Body, "payloads") {
		t.Errorf("bob: status %d", got.Status)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(string(folder)), "outside"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for old, new := range map[string]string{`"acme"`: `"other"`, "v0/d/sha256/": "../", "aws.s3driver": "local"} {
		changed := proto.CloneOf(reference)
		changed.Data = []byte(strings.Replace(compact(t, reference), old, new, 1))
		if got := ask("/download", alice, changed); got.Status != http.StatusUnprocessableEntity || server.AuditOf(t, got.RequestID)[0].Reason != "reference-refused" {
			t.Errorf("%s: status %d", new, got.Status)
		}
	}
	// What somebody put there that is not sealed is not given away.
	if err := filepath.WalkDir(string(folder), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := proto.Marshal(plain("not sealed"))
		if err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o644)
	}); err != nil {
		t.Fatal(err)
	}
	if got := ask("/download", alice, withoutHash(t, reference)); got.Status != http.StatusUnprocessableEntity || server.AuditOf(t, got.RequestID)[0].Reason != "not-sealed" {
		t.Errorf("status %d: %s", got.Status, got.Body)
	}
	// A server without storage says so in the way that the Web UI understands.
	without := s.Server(t, stack.ServerOptions{Origins: []string{origin}})
	if got := without.Codec(t, stack.CodecRequest{Action: "/download", Token: alice, Namespace: "payments", Origin: origin, Payloads: []*commonpb.Payload{reference}}); got.Status != http.StatusNotFound {
		t.Errorf("status %d", got.Status)
	}
}

// scanned runs one workflow whose input and results are stored outside, and returns the input.
func scanned(t *testing.T, s *stack.Stack, folder stack.Folder) string {
	t.Helper()
	c := s.StoringClient(t, "payments", folder, 16<<10)
	w := worker.New(c, "scans", worker.Options{})
	w.RegisterWorkflow(scan)
	w.RegisterActivity(look)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	input := image()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "scan-1", TaskQueue: "scans"}, scan, input)
	if err != nil {
		t.Fatal(err)
	}
	var result string
	if err := run.Get(t.Context(), &result); err != nil || result != input+"+seen" {
		t.Fatalf("the workflow ended with %d bytes, %v", len(result), err)
	}
	return input
}

func firstInput(t *testing.T, s *stack.Stack) *commonpb.Payload {
	t.Helper()
	event, err := s.ClientWith(t, "payments").GetWorkflowHistory(t.Context(), "scan-1", "", false, 0).Next()
	if err != nil {
		t.Fatal(err)
	}
	return event.GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()[0]
}

// nothingStoredInClear: the plugin seals before the SDK stores.
func nothingStoredInClear(t *testing.T, folder stack.Folder) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(string(folder), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), storedSecret) || !strings.Contains(string(text), "binary/encrypted") {
			t.Errorf("%s is not sealed", path)
		}
		return err
	})
	if err != nil || files < 2 {
		t.Errorf("%d files are stored, %v", files, err)
	}
}

// compact is the JSON of a reference without spaces, which protojson adds at random.
func compact(t *testing.T, p *commonpb.Payload) string {
	t.Helper()
	return strings.NewReplacer(": ", ":", ", ", ",").Replace(string(p.GetData()))
}

func withoutHash(t *testing.T, p *commonpb.Payload) *commonpb.Payload {
	t.Helper()
	changed := proto.CloneOf(p)
	changed.Data = []byte(strings.NewReplacer("hash_algorithm", "was_algorithm", "hash_value", "was_value").Replace(compact(t, p)))
	return changed
}
