package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-temporal/signet/codecserver/audit"
)

func lines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func TestARecordIsOneLineOfTheDocumentedMembers(t *testing.T) {
	var out bytes.Buffer
	r := audit.Record{
		RequestID: "r1", Action: "decode", Decision: audit.Allow, Rule: "oncall",
		Issuer: "https://i", Subject: "u1", Email: "a@b", Payload: 1, Payloads: 2,
		Item:   audit.Item{Namespace: "payments", Workflow: "order\n17<&>", Key: "ns/payments/0000002a"},
		Client: "192.0.2.1", Agent: "browser",
	}
	if err := audit.New(&out).Write(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	line := out.String()
	if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
		t.Fatalf("not one line: %q", line)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339Nano, got["time"].(string))
	if err != nil || time.Since(at) > time.Minute || !strings.HasSuffix(got["time"].(string), "Z") {
		t.Errorf("time %v is not now in UTC", got["time"])
	}
	if got["seq"] != 1.0 || got["prev"] != strings.Repeat("0", 64) || len(got["hash"].(string)) != 64 {
		t.Errorf("seq %v, prev %v, hash %v; want those of a first record", got["seq"], got["prev"], got["hash"])
	}
	for _, member := range []string{"seq", "prev", "hash", "time"} {
		delete(got, member)
	}
	want := map[string]any{"requestId": "r1", "action": "decode", "decision": "allow", "rule": "oncall", "issuer": "https://i",
		"subject": "u1", "email": "a@b", "payload": 1.0, "payloads": 2.0, "namespace": "payments", "workflow": "order\n17<&>",
		"key": "ns/payments/0000002a", "client": "192.0.2.1", "agent": "browser"}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s = %v, want %v", k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("members %v, want %v", got, want)
	}
}

func TestWhatNobodyAuthenticatedStandsUnderClaimed(t *testing.T) {
	var out bytes.Buffer
	if err := audit.New(&out).Write(t.Context(), audit.Record{Decision: audit.Deny, Claimed: &audit.Item{Namespace: "n", Workflow: "w"}}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Namespace, Workflow string
		Claimed             audit.Item
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Namespace != "" || got.Workflow != "" || got.Claimed.Workflow != "w" {
		t.Errorf("got %s, want the claim under \"claimed\" only", out.String())
	}
}

func TestAFileIsPrivateAppendedToAndKeptOnReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for _, id := range []string{"r1", "r2"} {
		l, err := audit.OpenFile(path, audit.FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Write(t.Context(), audit.Record{RequestID: id}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Write(t.Context(), audit.Record{RequestID: "late"}); err == nil {
			t.Error("Write after Close succeeded")
		}
	}
	if got := lines(t, path); len(got) != 2 || !strings.Contains(got[0], "r1") || !strings.Contains(got[1], "r2") {
		t.Errorf("lines %q, want r1 and r2", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestALineThatACrashCutShortDoesNotSwallowTheNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(path, []byte(`{"requestId":"cu`), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := audit.OpenFile(path, audit.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Write(t.Context(), audit.Record{RequestID: "r1"}); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, path); len(got) != 2 || !strings.HasPrefix(got[1], `{"seq":1,`) {
		t.Errorf("lines %q, want the cut one and a whole one", got)
	}
}

// full is a disk that takes some bytes and then no more, until it is emptied.
type full struct {
	bytes.Buffer
	room int
}

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		n, _ := f.Buffer.Write(p[:f.room])
		return n, errors.New("no space left on device")
	}
	return f.Buffer.Write(p)
}

func TestALogThatCannotBeWrittenSaysSoUntilItCan(t *testing.T) {
	disk := &full{room: 10}
	l := audit.New(disk)
	if err := l.Write(t.Context(), audit.Record{RequestID: "lost"}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Fatalf("Write = %v, want the disk's error", err)
	}
	if err := l.Check(); err == nil {
		t.Error("Check = nil after a failed Write")
	}
	disk.room = 1 << 20
	if err := l.Write(t.Context(), audit.Record{RequestID: "r2"}); err != nil {
		t.Fatal(err)
	}
	if err := l.Check(); err != nil {
		t.Errorf("Check = %v after a Write that succeeded", err)
	}
	got := strings.Split(strings.TrimSuffix(disk.String(), "\n"), "\n")
	if len(got) != 2 || !json.Valid([]byte(got[1])) {
		t.Errorf("lines %q, want the torn one and a whole one", got)
	}
}

type short struct{ io.Writer }

func (short) Write(p []byte) (int, error) { return len(p) - 1, nil }

func TestAShortWriteIsAnError(t *testing.T) {
	if err := audit.New(short{}).Write(t.Context(), audit.Record{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Write = %v, want %v", err, io.ErrShortWrite)
	}
}

func TestARotatedFileIsFollowed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	l, err := audit.OpenFile(path, audit.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Write(t.Context(), audit.Record{RequestID: "r1"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Write(t.Context(), audit.Record{RequestID: "r2"}); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, path); len(got) != 1 || !strings.Contains(got[0], "r2") {
		t.Errorf("the new file holds %q, want r2", got)
	}
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil { // as logrotate's "create" does
		t.Fatal(err)
	}
	if err := l.Write(t.Context(), audit.Record{RequestID: "r3"}); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, path); len(got) != 1 || !strings.Contains(got[0], "r3") {
		t.Errorf("the file that rotation made holds %q, want r3", got)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := l.Write(t.Context(), audit.Record{RequestID: "r4"}); err == nil {
		t.Error("Write succeeded into a directory that is gone")
	}
	if err := l.Check(); err == nil {
		t.Error("Check = nil although the directory is gone")
	}
}

func TestRecordsOfConcurrentRequestsDoNotMix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l, err := audit.OpenFile(path, audit.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				id := fmt.Sprintf("%d.%d.", i, j) + strings.Repeat("x", 500/(1+j))
				if err := l.Write(t.Context(), audit.Record{RequestID: id, Payload: 1}, audit.Record{RequestID: id, Payload: 2}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := lines(t, path)
	there := map[string]int{}
	for i, line := range got {
		var r audit.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("broken line %q", line)
		}
		if r.Payload != 1+i%2 || i%2 == 1 && there[r.RequestID] != 1 {
			t.Errorf("line %d is record %d of %q: those of one request belong together", i, r.Payload, r.RequestID[:4])
		}
		there[r.RequestID]++
	}
	if len(got) != 160 || len(there) != 80 {
		t.Errorf("%d lines of %d requests, want 160 of 80", len(got), len(there))
	}
	var v audit.Verifier
	if err := v.Read(path, strings.NewReader(strings.Join(got, "\n"))); err != nil || !v.Finish() {
		t.Errorf("the chain is broken: %v, %v", err, v.Findings)
	}
}

func TestAnUnwritableFileIsAnErrorThatNamesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "such", "audit.jsonl")
	if l, err := audit.OpenFile(path, audit.FileOptions{}); err == nil || l != nil || !strings.Contains(err.Error(), path) {
		t.Errorf("OpenFile = %v, %v; want an error that names %s", l, err, path)
	}
}

// gate is a writer that holds each write until it is let through.
type gate struct {
	writes  int
	through chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.through
	g.writes++
	return len(p), nil
}

func TestRequestsThatWaitForTheDiskGoOutTogether(t *testing.T) {
	g := &gate{through: make(chan struct{})}
	l := audit.New(g)
	var wg sync.WaitGroup
	for range 21 {
		wg.Go(func() {
			if err := l.Write(t.Context(), audit.Record{}); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(200 * time.Millisecond) // one is held at the gate, and the others wait behind it
	close(g.through)
	wg.Wait()
	if g.writes > 5 || l.Head().Seq != 21 { // 2, unless the machine is very busy
		t.Errorf("%d writes for one request and 20 that waited behind it, %d records", g.writes, l.Head().Seq)
	}
}

// TestRecordsAreWrittenInMemoryOfEarlierOnes: a batch, and the hash that the head keeps; not something for each record.
func TestRecordsAreWrittenInMemoryOfEarlierOnes(t *testing.T) {
	l := audit.New(io.Discard)
	many := slices.Repeat([]audit.Record{record}, 50)
	if n := testing.AllocsPerRun(100, func() {
		if err := l.Write(t.Context(), many...); err != nil {
			t.Error(err)
		}
	}); n > 3 {
		t.Errorf("50 records make %v allocations, want 3 at most", n)
	}
}
