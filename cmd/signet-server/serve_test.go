package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/signet-temporal/signet/codecserver/audit"
	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/principal/verify"
)

type status []keys.KeysetStatus

func (s status) Status() []keys.KeysetStatus { return s }

func readyz(t *testing.T, f *front) (int, readiness) {
	t.Helper()
	rec := httptest.NewRecorder()
	f.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	var state readiness
	if err := json.Unmarshal(rec.Body.Bytes(), &state); err != nil {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	return rec.Code, state
}

func TestReadinessFollowsTheAuditLogAndTheStopAndReportsTheKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := audit.OpenFile(filepath.Join(dir, "audit.jsonl"), audit.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	now := time.Now()
	issuers := func() []verify.IssuerStatus {
		return []verify.IssuerStatus{
			{Issuer: "never needed"},
			{Issuer: "away for a while", Fetched: now.Add(-90 * time.Minute), Usable: now.Add(time.Minute), Error: "503"},
			{Issuer: "away for long", Fetched: now.Add(-3 * time.Hour), Usable: now.Add(-time.Hour), Error: "503"},
			{Issuer: "not needed for long", Fetched: now.Add(-2 * time.Hour), Usable: now.Add(-time.Hour)},
		}
	}
	f := &front{ring: status{{Fresh: now.Add(-time.Minute)}, {Fresh: now.Add(-time.Hour), Error: "store is away"}}, issuers: issuers, audit: log, log: slog.New(slog.DiscardHandler)}
	if code, got := readyz(t, f); code != http.StatusOK || !got.Ready || !got.Audit || got.Keysets != 2 || got.OldestRefreshSeconds < 3599 || got.OldestRefreshSeconds > 3660 {
		t.Errorf("with everything in order: %d %+v; an old refresh is no reason to stop decoding", code, got)
	} else if got.IssuersAway != 1 || got.OldestIssuerKeysSeconds < 3*3600 || got.OldestIssuerKeysSeconds > 3*3600+60 {
		t.Errorf("issuers: %+v", got)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if code, got := readyz(t, f); code != http.StatusServiceUnavailable || got.Ready || got.Audit {
		t.Errorf("without an audit log: %d %+v", code, got)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f.stopping.Store(true)
	if code, got := readyz(t, f); code != http.StatusServiceUnavailable || got.Ready || !got.Audit || !got.Stopping {
		t.Errorf("while stopping: %d %+v", code, got)
	}
}

func TestHealthChecksDoNotHideTheCodecBehindThem(t *testing.T) {
	var paths []string
	f := &front{codec: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { paths = append(paths, r.Method+r.URL.Path) })}
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodPost, "/readyz/decode", nil),
		httptest.NewRequest(http.MethodPost, "http://host//decode", nil),
		httptest.NewRequest(http.MethodPost, "/healthz", nil),
	} {
		f.ServeHTTP(httptest.NewRecorder(), r)
	}
	if len(paths) != 3 || paths[1] != "POST//decode" {
		t.Errorf("the codec got %q", paths)
	}
	rec := httptest.NewRecorder()
	f.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if rec.Code != http.StatusOK || len(paths) != 3 {
		t.Errorf("/healthz: %d %s", rec.Code, rec.Body)
	}
}

func TestAStopWaitsForRequestsUnderWayAndTakesNoNewOnes(t *testing.T) {
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	b := &built{metrics: newMetrics(), config: &loaded{config: config{Listen: addr}}, handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "decoded")
	}), audit: audit.New(io.Discard)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	logged := &watchedLog{listening: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, newLive("", b, slog.New(slog.DiscardHandler)), slog.New(slog.NewTextHandler(logged, nil)))
	}()
	<-logged.listening

	answer := make(chan string, 1)
	go func() {
		resp, err := http.Post("http://"+addr+"/decode", "application/json", nil)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			answer <- err.Error()
			return
		}
		answer <- string(text)
	}()
	<-entered
	stop()
	for { // until the listener is closed
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	select {
	case err := <-ended:
		t.Fatalf("serve ended with a request under way: %v", err)
	default:
	}
	close(release)
	if got := <-answer; got != "decoded" {
		t.Errorf("the request under way got %q", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("serve = %v, want nil after a stop", err)
	}
}

// watchedLog tells when the server says that it listens.
type watchedLog struct{ listening chan struct{} }

func (w *watchedLog) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("msg=listening")) {
		close(w.listening)
	}
	return len(p), nil
}
