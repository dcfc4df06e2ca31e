package parts

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// vaultAPI is the little of Vault's HTTP API that a start needs.
type vaultAPI struct {
	address string
	http    *http.Client
}

// vaultKeys is what initialising a Vault gives; it lies beside the data that it opens.
type vaultKeys struct {
	Token     string `json:"token"`
	UnsealKey string `json:"unseal_key"`
}

func newVaultAPI(address, caFile string) (vaultAPI, error) {
	client, err := HTTPClient(caFile)
	if err != nil {
		return vaultAPI{}, err
	}
	client.Timeout = time.Minute // initialising integrated storage takes seconds
	return vaultAPI{address: address, http: client}, nil
}

// call sends in as JSON and reads the answer into out; either may be nil. Any status but 2xx is an error.
func (a vaultAPI) call(ctx context.Context, method, path, token string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("vault %s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.address+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("vault %s: %w", path, err)
	}
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	res, err := a.http.Do(req)
	if err != nil {
		return fmt.Errorf("vault %s: %w", path, err)
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		var failure struct{ Errors []string }
		_ = json.NewDecoder(res.Body).Decode(&failure)
		return fmt.Errorf("vault %s: %s: %v", path, res.Status, failure.Errors)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("vault %s: read answer: %w", path, err)
	}
	return nil
}

// open makes a Vault that has just been started usable: initialised, unsealed, with an active node. It
// returns an error until that is so, and is called until it returns nil.
func (v *Vault) open(ctx context.Context, dir string) error {
	if dir != "" {
		if err := v.initialise(ctx, dir); err != nil {
			return err
		}
		if err := v.Unseal(ctx); err != nil {
			return err
		}
	}
	return v.api.call(ctx, http.MethodGet, "sys/health", "", nil, nil)
}

func (v *Vault) initialise(ctx context.Context, dir string) error {
	var status struct{ Initialized bool }
	if err := v.api.call(ctx, http.MethodGet, "sys/init", "", nil, &status); err != nil {
		return err
	}
	file := filepath.Join(dir, "signet-test-keys.json")
	if status.Initialized {
		return v.readKeys(file)
	}
	var keys struct {
		Keys      []string
		RootToken string `json:"root_token"`
	}
	in := map[string]int{"secret_shares": 1, "secret_threshold": 1}
	if err := v.api.call(ctx, http.MethodPut, "sys/init", "", in, &keys); err != nil {
		return err
	}
	if len(keys.Keys) != 1 {
		return errors.New("vault sys/init: no unseal key in the answer")
	}
	v.Token, v.UnsealKey = keys.RootToken, keys.Keys[0]
	b, err := json.Marshal(vaultKeys{Token: v.Token, UnsealKey: v.UnsealKey})
	if err != nil {
		return fmt.Errorf("keep Vault's keys: %w", err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return fmt.Errorf("keep Vault's keys: %w", err)
	}
	return nil
}

func (v *Vault) readKeys(file string) error {
	if v.UnsealKey != "" {
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("this Vault was initialised elsewhere, use an empty Dir: %w", err)
	}
	var keys vaultKeys
	if err := json.Unmarshal(b, &keys); err != nil {
		return fmt.Errorf("read Vault's keys in %s: %w", file, err)
	}
	v.Token, v.UnsealKey = keys.Token, keys.UnsealKey
	return nil
}

// Seal seals a Vault that has an unseal key: it then answers 503 until Unseal. A dev server refuses.
func (v *Vault) Seal(ctx context.Context) error {
	if v.UnsealKey == "" {
		return errors.New("seal Vault: this is a dev server, which nothing could unseal: set VaultOptions.Dir")
	}
	return v.api.call(ctx, http.MethodPut, "sys/seal", v.Token, nil, nil)
}

// Unseal unseals a Vault that has an unseal key; when it is unsealed already nothing happens.
func (v *Vault) Unseal(ctx context.Context) error {
	if v.UnsealKey == "" {
		return errors.New("unseal Vault: this is a dev server, which is never sealed")
	}
	var status struct{ Sealed bool }
	if err := v.api.call(ctx, http.MethodPut, "sys/unseal", "", map[string]string{"key": v.UnsealKey}, &status); err != nil {
		return err
	}
	if status.Sealed {
		return errors.New("unseal Vault: still sealed: the unseal key is not this Vault's")
	}
	return nil
}

// HTTPClient returns a client of its own that trusts the PEM certificates in caFile, or the system's when
// caFile is empty. It follows redirects and has neither cookies nor a timeout.
func HTTPClient(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if caFile == "" {
		return &http.Client{Transport: transport}, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read CA certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no PEM certificate in %s", caFile)
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}, nil
}
