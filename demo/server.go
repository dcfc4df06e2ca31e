package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/signet-temporal/signet/tools/parts"
)

// serverConfig is the configuration of signet-server: who vouches for people, who may read what, and where that is
// recorded. What the policy does not grant is denied.
func (d *demo) serverConfig() string {
	return fmt.Sprintf(`listen: 127.0.0.1:%d
issuers:
  - issuer: %q
    idTokenAudiences: [%s]
login:
  url: %q
  issuer: %q
  clientID: %s
  clientSecretFile: %q
  keyset: %s
  ended: %q
namespaces:
  - name: %s
keys: %s
cors:
  origins: [%q]
  allowCredentials: true
mode: explain
contact: Ask the privacy officer of the clinic, privacy@clinic.example.
audit:
  file: %q
policy:
  grants:
    - name: nurses-read-intakes
      issuer: %q
      groups: [%s]
      namespaces: [%s]
      actions: [decode]
`, d.options.server.number, d.issuer, codecClientID, d.codecURL, d.issuer, codecClientID, d.secretFile(), cookieKeys, filepath.Join(d.dir, "ended-sessions"),
		namespace, d.keys.server, d.uiURL(), d.auditFile, d.issuer, d.alice.group, namespace)
}

// secretFile is signet-server's at the OpenID provider.
func (d *demo) secretFile() string { return filepath.Join(d.dir, "codec-client-secret") }

// startServer writes the configuration, starts signet-server, and returns when it is ready.
func (d *demo) startServer(ctx context.Context) (string, error) {
	if err := os.WriteFile(d.secretFile(), []byte(codecSecret), 0o600); err != nil {
		return "", err
	}
	config := filepath.Join(d.dir, "signet-server.yaml")
	if err := os.WriteFile(config, []byte(d.serverConfig()), 0o600); err != nil {
		return "", err
	}
	logFile, err := os.Create(filepath.Join(d.dir, "signet-server.log"))
	if err != nil {
		return "", err
	}
	defer logFile.Close() // the process has it open on its own
	cmd := exec.Command(d.binary("signet-server"), "--config", config)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := d.options.server.release(); err != nil {
		return "", err
	}
	done := make(chan struct{})
	if err := parts.Start(cmd, func(error) { close(done) }); err != nil { // how it ended stands in cmd.ProcessState
		return "", err
	}
	d.onClose("stop signet-server", func() error { return stop(cmd, done) })
	d.running = append(d.running, program{"signet-server", done})
	return d.codecURL, d.awaitServer(ctx, done, logFile.Name())
}

func (d *demo) awaitServer(ctx context.Context, done <-chan struct{}, logFile string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if isReady(ctx, http.DefaultClient, d.codecURL+"/readyz") {
			return nil
		}
		select {
		case <-done:
			said, _ := os.ReadFile(logFile) // what it said is all there is to report
			return fmt.Errorf("it ended at once: %s", said)
		case <-ctx.Done():
			return fmt.Errorf("not ready in time: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func isReady(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusOK
}

// stop asks the program to end, and kills it when that takes too long.
func stop(cmd *exec.Cmd, done <-chan struct{}) error {
	if cmd.Process.Signal(os.Interrupt) != nil {
		_ = cmd.Process.Kill() // no such signal on this system, or it has ended
	}
	select {
	case <-done:
		return nil
	case <-time.After(15 * time.Second):
		_ = cmd.Process.Kill()
		<-done
		return errors.New("killed, for it did not end")
	}
}
