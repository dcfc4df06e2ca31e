package codec_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/signet-temporal/signet/e2e/stack"
)

// verifyAudit runs "signet-server audit verify" over a server's log, the rotated files before the current one.
func verifyAudit(t *testing.T, server *stack.Server, more ...string) (string, error) {
	t.Helper()
	rotated, err := filepath.Glob(server.AuditFile + ".*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(rotated)
	args := append(append([]string{"audit", "verify"}, more...), append(rotated, server.AuditFile)...)
	out, err := exec.Command(stack.Program(t, "signet-server"), args...).CombinedOutput()
	return string(out), err
}

// TestTheAuditLogIsWholeAfterACrash: a server that is killed while many decode, three times, leaves a chain that is whole,
// through rotation; and whoever got plaintext is on record.
func TestTheAuditLogIsWholeAfterACrash(t *testing.T) {
	s := startStack(t)
	server := s.Server(t, stack.ServerOptions{MaxFileBytes: 20_000, PayloadBurst: 1_000_000})
	alice := s.Token(t, "alice")
	payload := sealed(t, s, "payments", "order-4711", "4711 euros")
	var answered atomic.Int64
	for range 3 {
		var wg sync.WaitGroup
		enough := make(chan struct{})
		var ready sync.Once
		stop := make(chan struct{})
		var got atomic.Int64
		for range 8 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if decodeAt(server.HTTP, server.URL, alice, payload) != `200 "4711 euros"` {
						continue // the server is gone
					}
					answered.Add(1)
					if got.Add(1) == 100 {
						ready.Do(func() { close(enough) })
					}
				}
			})
		}
		<-enough
		server.Kill(t)
		close(stop)
		wg.Wait()
		server.Restart(t)
	}
	if code := server.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	out, err := verifyAudit(t, server)
	if err != nil || !strings.Contains(out, "the chain is whole: records 1 to ") {
		t.Errorf("after three crashes: %v\n%s", err, out)
	}
	records := 0
	files, err := filepath.Glob(server.AuditFile + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		records += strings.Count(readFile(t, file), `"decision":"allow"`)
	}
	if int64(records) < answered.Load() || answered.Load() < 300 || len(files) < 3 {
		t.Errorf("%d answers with plaintext, and %d records of such in %d files", answered.Load(), records, len(files))
	}
	t.Logf("%d answers, %d records in %d files: %s", answered.Load(), records, len(files), out)
}
