package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestAReloadJudgesTokensAnew: one that was taken a moment ago is refused from the first request on that is served with a
// configuration which does not take it.
func TestAReloadJudgesTokensAnew(t *testing.T) {
	a := newArena(t, `file: "$DIR/audit.jsonl"`, nil)
	token := a.idp.of("ann", nil)
	for range 3 {
		if got := a.fire(shot{token: token}); got.says != "200 payloads" {
			t.Fatalf("got %s", got.says)
		}
	}
	file := filepath.Join(a.dir, "config.yaml")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// Temporal Cloud, and who is let in by it, goes too: the server would look for it on the network.
	after := regexp.MustCompile(`(?m)^.*(temporalCloud|login\.tmprl\.cloud|permissions:).*\n`).ReplaceAllString(string(before), "")
	after = strings.Replace(after, "audiences: [codec]", "audiences: [another]", 1)
	if err := os.WriteFile(file, []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
	got := ""
	for deadline := time.Now().Add(20 * time.Second); got != "401 unauthenticated" && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		isNew := strings.Contains(a.log.String(), `msg="configuration reloaded"`)
		if got = a.fire(shot{token: token}).says; isNew && got != "401 unauthenticated" {
			t.Errorf("after the reload: %s", got)
		}
	}
	if got != "401 unauthenticated" || !strings.Contains(a.audit(), "wrong-audience") {
		t.Errorf("got %s; the log: %s", got, a.log.String())
	}
}

// TestWhatChangesWhileTheServerStartsIsTaken: starting takes a while where keys are fetched from Vault.
func TestWhatChangesWhileTheServerStartsIsTaken(t *testing.T) {
	file, c := configured(t)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log, stop := watched(t, file, c, retryEvery)
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(log.String(), "configuration not reloaded") && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
	}
	stop()
	if !strings.Contains(log.String(), `why="a file changed" error=`) {
		t.Errorf("the log is %q", log.String())
	}
}

// TestAChangeThatIsNotTakenIsTriedAgain: what it lacks, a keyset say, may come without a file changing.
func TestAChangeThatIsNotTakenIsTriedAgain(t *testing.T) {
	file, c := configured(t)
	log, stop := watched(t, file, c, 100*time.Millisecond)
	time.Sleep(300 * time.Millisecond)
	if calm := log.String(); calm != "" {
		t.Errorf("nothing is wrong, and the log is %q", calm)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); strings.Count(log.String(), `why="trying again" error=`) < 2 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
	}
	stop()
	if strings.Count(log.String(), `why="a file changed"`) != 1 || strings.Count(log.String(), `why="trying again" error=`) < 2 {
		t.Errorf("the log is %q", log.String())
	}
}

// configured is a configuration, and the file that it was read from.
func configured(t *testing.T) (string, *loaded) {
	t.Helper()
	file := filepath.Join(newArena(t, `file: "$DIR/audit.jsonl"`, nil).dir, "config.yaml")
	c, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	return file, c
}

// watched watches the file of a configuration that was read. stop waits until nobody does.
func watched(t *testing.T, file string, c *loaded, retry time.Duration) (log *syncBuffer, stop func()) {
	t.Helper()
	log = &syncBuffer{}
	l := newLive(file, &built{config: c, metrics: newMetrics()}, slog.New(slog.NewTextHandler(log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.watch(ctx, nil, retry)
	}()
	return log, func() { cancel(); <-ended }
}
