package codec_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/signet-temporal/signet/e2e/stack"
)

// TestAServerThatIsToldToStopEndsWhatItHasBegun: the request under way is answered, no new one is taken, and the
// program ends with code 0.
func TestAServerThatIsToldToStopEndsWhatItHasBegun(t *testing.T) {
	s := startStack(t)
	server := s.Server(t, stack.ServerOptions{})
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: []*commonpb.Payload{sealed(t, s, "payments", "order-4711", "4711 euros")}})
	if err != nil {
		t.Fatal(err)
	}
	reader, writer := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/decode", reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.Token(t, "alice"))
	type answer struct {
		status int
		text   string
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		res, err := server.HTTP.Do(req)
		if err != nil {
			answered <- answer{err: err}
			return
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		answered <- answer{res.StatusCode, string(text), err}
	}()
	if _, err := writer.Write(body[:10]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // the server reads the rest of the body by now
	if err := server.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(server.URL, "https://")
	stack.Eventually(t, 5*time.Second, func() error {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return nil
		}
		_ = c.Close()
		return errOpen
	})
	if _, err := io.Copy(writer, bytes.NewReader(body[10:])); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	got := <-answered
	var out commonpb.Payloads
	if got.err != nil || got.status != http.StatusOK || protojson.Unmarshal([]byte(got.text), &out) != nil {
		t.Fatalf("the request under way got %d %s, %v", got.status, got.text, got.err)
	}
	shows(t, out.GetPayloads()[0], "4711 euros")
	begun := time.Now()
	if code := server.Stop(); code != 0 {
		t.Errorf("the server ended with code %d", code)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the server needed %s to end with nothing to do", took)
	}
	if log := server.Log(); !strings.Contains(log, "msg=stopped") {
		t.Errorf("the log does not say that it stopped: %s", log)
	}
}

type textError string

func (e textError) Error() string { return string(e) }

const errOpen = textError("the server still takes connections")

// TestHealthSaysWhetherTheServerCanDecode: alive whatever happens, ready while a record can be written. Without a record
// nothing is decoded; with it everything is again.
func TestHealthSaysWhetherTheServerCanDecode(t *testing.T) {
	s := startStack(t)
	server := s.Server(t, stack.ServerOptions{Origins: []string{origin}})
	p := sealed(t, s, "payments", "order-4711", "4711 euros")
	alice := s.Token(t, "alice")
	healthy := func(ready int) {
		t.Helper()
		if status, body := server.Get(t, "/healthz"); status != http.StatusOK || strings.TrimSpace(body) != `{"alive":true}` {
			t.Errorf("healthz: %d %s", status, body)
		}
		status, body := server.Get(t, "/readyz")
		var state struct {
			Ready, Audit bool
			Keysets      int
		}
		if err := json.Unmarshal([]byte(body), &state); err != nil || status != ready || state.Ready != (ready == http.StatusOK) || state.Audit != state.Ready || state.Keysets != 2 {
			t.Errorf("readyz: %d %s, want %d", status, body, ready)
		}
	}
	healthy(http.StatusOK)
	decodes := func() {
		t.Helper()
		a := server.Decode(t, alice, "payments", p)
		if a.Status != http.StatusOK {
			t.Fatalf("decode: %d %s", a.Status, a.Body)
		}
		shows(t, a.Payloads[0], "4711 euros")
	}
	decodes()

	// The file was moved away, and something that cannot be written is in its place.
	if err := os.Rename(server.AuditFile, server.AuditFile+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(server.AuditFile, 0o700); err != nil {
		t.Fatal(err)
	}
	refused(t, server.Decode(t, alice, "payments", p), http.StatusServiceUnavailable, "unavailable")
	person := server.Codec(t, stack.CodecRequest{Token: alice, Origin: origin, Payloads: []*commonpb.Payload{p}})
	if said, ok := stack.ExplanationIn(person.Payloads[0]); !ok || said.Reason != "audit-unavailable" {
		t.Errorf("without a record alice sees %s", person.Body)
	}
	healthy(http.StatusServiceUnavailable)

	if err := os.Remove(server.AuditFile); err != nil {
		t.Fatal(err)
	}
	decodes()
	healthy(http.StatusOK)

	// Vault goes: the keys are in memory.
	if err := s.Vault.Stop(); err != nil {
		t.Fatal(err)
	}
	decodes()
	healthy(http.StatusOK)
}
