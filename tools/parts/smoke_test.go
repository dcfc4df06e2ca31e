package parts

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// smoke returns the programs, or skips: the first build takes minutes, so it is asked for by PARTS_SMOKE=1.
func smoke(t *testing.T, names ...Name) (context.Context, Paths) {
	t.Helper()
	if os.Getenv("PARTS_SMOKE") == "" {
		t.Skip("set PARTS_SMOKE=1 to start the real programs")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	t.Cleanup(cancel)
	paths, err := Ensure(ctx, os.Stderr, names...)
	if err != nil {
		t.Fatal(err)
	}
	return ctx, paths
}

func stopAtEnd(t *testing.T, p *Proc) {
	t.Helper()
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	res, body, err := fetch(t.Context(), client, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

// startWorkflow starts a workflow through the UI's API, whose change requests want a CSRF token.
func startWorkflow(t *testing.T, ui *UI, namespace, id string) int {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	get(t, client, ui.URL+"/api/v1/settings")
	body := `{"workflowType":{"name":"Nothing"},"taskQueue":{"name":"nobody"},"requestId":"` + id + `"}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		ui.URL+"/api/v1/namespaces/"+namespace+"/workflows/"+id, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, cookie := range jar.Cookies(req.URL) {
		if cookie.Name == "_csrf" {
			req.Header.Set("X-Csrf-Token", cookie.Value)
		}
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("start in %s: %s: %s", namespace, res.Status, answer)
	return res.StatusCode
}

// TestSmokeTemporal: workflows start in each namespace as soon as the server is ready, and are still there
// after a kill and a restart; the database file holds them.
func TestSmokeTemporal(t *testing.T) {
	ctx, paths := smoke(t, TemporalServer, UI258)
	db := filepath.Join(t.TempDir(), "temporal.db")
	began := time.Now()
	server, err := StartTemporal(ctx, TemporalOptions{Program: paths.Temporal, DB: db, Namespaces: []string{"default", "payments"}})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, server.Proc)
	t.Logf("Temporal ready after %s", time.Since(began))
	ui, err := StartUI(ctx, UIOptions{Program: paths.Temporal, Config: UIConfig{
		Temporal: server.Address, Assets: paths.UI258, Codec: UICodec{Endpoint: "https://codec.example"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, ui.Proc)
	for _, namespace := range []string{"default", "payments"} {
		if status := startWorkflow(t, ui, namespace, "first-"+namespace); status != http.StatusOK {
			t.Fatalf("start in %s: status %d", namespace, status)
		}
	}
	if _, settings := get(t, http.DefaultClient, ui.URL+"/api/v1/settings"); !strings.Contains(settings, "https://codec.example") {
		t.Errorf("settings have no codec: %s", settings)
	}
	if status, page := get(t, http.DefaultClient, ui.URL+"/"); status != http.StatusOK || !strings.Contains(page, "<html") {
		t.Errorf("UI page: %d %.100s", status, page)
	}

	server.Kill()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	// The UI's own connection to the server comes back after a while of its own.
	began = time.Now()
	for startWorkflow(t, ui, "payments", "second") != http.StatusOK {
		if time.Since(began) > 10*time.Second {
			t.Fatal("no workflow starts after the restart")
		}
		time.Sleep(100 * time.Millisecond)
	}
	status, body := get(t, http.DefaultClient, ui.URL+"/api/v1/namespaces/payments/workflows/first-payments")
	if status != http.StatusOK || !strings.Contains(body, "Nothing") {
		t.Errorf("the workflow of before the kill: %d %.200s", status, body)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), "first-payments") {
		t.Error("the database file is not complete after Stop")
	}
}

// TestSmokePortTaken: a taken port is one line that names it.
func TestSmokePortTaken(t *testing.T) {
	ctx, paths := smoke(t, TemporalServer)
	options := TemporalOptions{Program: paths.Temporal, DB: filepath.Join(t.TempDir(), "temporal.db")}
	server, err := StartTemporal(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, server.Proc)
	_, port, _ := strings.Cut(server.Address, ":")
	if err := json.Unmarshal([]byte(port), &options.Port); err != nil {
		t.Fatal(err)
	}
	options.DB += "2"
	_, err = StartTemporal(ctx, options)
	if err == nil || !strings.Contains(err.Error(), "port "+port) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestSmokeVaultDev(t *testing.T) {
	ctx, paths := smoke(t, VaultServer)
	for _, useTLS := range []bool{false, true} {
		v, err := StartVault(ctx, VaultOptions{Program: paths.Vault, TLS: useTLS, CertDir: t.TempDir(), RootToken: "dev"})
		if err != nil {
			t.Fatal(err)
		}
		stopAtEnd(t, v.Proc)
		in := map[string]any{"data": map[string]string{"a": "b"}}
		if err := v.api.call(ctx, http.MethodPost, "secret/data/x", v.Token, in, nil); err != nil {
			t.Error(err)
		}
		if useTLS != strings.HasPrefix(v.Address, "https://") {
			t.Errorf("TLS %v, address %s", useTLS, v.Address)
		}
	}
}

// TestSmokeVaultPersistent: data, token and address outlive a stop, a kill and a whole new start.
func TestSmokeVaultPersistent(t *testing.T) {
	ctx, paths := smoke(t, VaultServer)
	options := VaultOptions{Program: paths.Vault, Dir: t.TempDir(), TLS: true, CertDir: t.TempDir()}
	v, err := StartVault(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	stopAtEnd(t, v.Proc)
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	read := func() error { return v.api.call(ctx, http.MethodGet, "kv/data/x", v.Token, nil, nil) }
	mount := map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}
	check("mount", v.api.call(ctx, http.MethodPost, "sys/mounts/kv", v.Token, mount, nil))
	for {
		// A new KV 2 mount refuses writes for a moment while it is upgraded.
		err = v.api.call(ctx, http.MethodPost, "kv/data/x", v.Token, map[string]any{"data": map[string]int{"a": 1}}, nil)
		if err == nil || !strings.Contains(err.Error(), "pgrad") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	check("write", err)
	check("seal", v.Seal(ctx))
	if read() == nil {
		t.Error("a sealed Vault answered")
	}
	check("unseal", v.Unseal(ctx))
	for began := time.Now(); read() != nil && time.Since(began) < 20*time.Second; {
		time.Sleep(50 * time.Millisecond)
	}
	check("read after unseal", read())
	check("restart", v.Restart(ctx))
	check("read after restart", read())
	v.Kill()
	began := time.Now()
	check("restart after kill", v.Restart(ctx))
	t.Logf("persistent Vault usable %s after a kill", time.Since(began))
	check("read after kill", read())
	check("stop", v.Stop())
	again, err := StartVault(ctx, options)
	check("new start", err)
	stopAtEnd(t, again.Proc)
	if again.Token != v.Token || again.UnsealKey != v.UnsealKey {
		t.Error("a new start in the same folder has other keys")
	}
}
