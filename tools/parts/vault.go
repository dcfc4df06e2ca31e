package parts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// VaultOptions says which Vault to start.
type VaultOptions struct {
	// Program is [Paths].Vault. Required.
	Program string
	// Port on 127.0.0.1; 0 for a free one.
	Port int
	// Dir makes a Vault that keeps its data (integrated storage, "raft") in this folder, created when
	// missing: a restart has it again. It is initialised with one unseal key at its first start, and has no
	// secrets engine yet. Empty: a dev server, in memory, unsealed, with KV version 2 at secret/.
	Dir string
	// RootToken of a dev server; "root" when empty. A Vault with Dir makes its own.
	RootToken string
	// TLS serves HTTPS with a certificate for 127.0.0.1 and localhost, issued in CertDir.
	TLS bool
	// CertDir is the folder for certificates. Required with TLS.
	CertDir string
}

// Vault is a running Vault.
type Vault struct {
	*Proc
	// Address is the API's URL, without a trailing slash.
	Address string
	// Token is the root token.
	Token string
	// UnsealKey is the one key of a Vault with Dir, hex; of a dev server it is empty.
	UnsealKey string
	// CAFile is the PEM certificate to trust; empty without TLS.
	CAFile string

	api vaultAPI
}

// StartVault starts a Vault and returns when it is unsealed. In a Dir that holds data of an earlier start it
// uses the unseal key and root token that lie there, in the file signet-test-keys.json.
func StartVault(ctx context.Context, o VaultOptions) (*Vault, error) {
	port, err := portOr(o.Port)
	if err != nil {
		return nil, err
	}
	v := &Vault{Address: fmt.Sprintf("http://%s:%d", loopback, port), Token: o.RootToken}
	var cert Cert
	if o.TLS {
		if cert, err = WriteCert(o.CertDir, loopback, "localhost"); err != nil {
			return nil, fmt.Errorf("start Vault: %w", err)
		}
		v.Address = fmt.Sprintf("https://%s:%d", loopback, port)
		v.CAFile = cert.CAFile
	}
	if v.api, err = newVaultAPI(v.Address, v.CAFile); err != nil {
		return nil, fmt.Errorf("start Vault: %w", err)
	}
	args, err := v.args(o, cert, port)
	if err != nil {
		return nil, fmt.Errorf("start Vault: %w", err)
	}
	v.Proc, err = startProc(ctx, spec{
		name: "Vault",
		path: o.Program,
		args: args,
		// Variables that a user has set for a Vault of his own would change this one.
		env:    []string{"VAULT_ADDR=", "VAULT_TOKEN=", "VAULT_NAMESPACE=", "VAULT_CACERT="},
		usable: func(ctx context.Context) error { return v.open(ctx, o.Dir) },
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (v *Vault) args(o VaultOptions, cert Cert, port int) ([]string, error) {
	if o.Dir != "" {
		return v.raftArgs(o.Dir, cert, port)
	}
	if v.Token == "" {
		v.Token = "root"
	}
	args := []string{
		"-dev", "-dev-no-store-token", "-dev-root-token-id=" + v.Token,
		"-dev-listen-address=" + loopback + ":" + strconv.Itoa(port), "-log-level=error",
	}
	if cert.CertFile == "" {
		return args, nil
	}
	// The dev mode's own TLS writes a new CA at each start, and a client would have to read it again; so
	// the dev listener stays plain on a port nobody is told, and a second one speaks TLS.
	plain, err := FreePort()
	if err != nil {
		return nil, err
	}
	args[3] = "-dev-listen-address=" + loopback + ":" + strconv.Itoa(plain)
	config := filepath.Join(o.CertDir, "vault-dev.hcl")
	if err := os.WriteFile(config, []byte(listener(cert, port)), 0o600); err != nil {
		return nil, err
	}
	return append(args, "-config="+config), nil
}

func (v *Vault) raftArgs(dir string, cert Cert, port int) ([]string, error) {
	if err := os.MkdirAll(filepath.Join(dir, "raft"), 0o700); err != nil {
		return nil, err
	}
	cluster, err := FreePort()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`disable_mlock = true
ui            = false
log_level     = "error"
api_addr      = %q
cluster_addr  = "https://%s:%d"

storage "raft" {
  path                   = %q
  node_id                = "one"
  performance_multiplier = 1
}

%s`, v.Address, loopback, cluster, filepath.Join(dir, "raft"), listener(cert, port))
	file := filepath.Join(dir, "vault.hcl")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return []string{"-config=" + file}, nil
}

func listener(cert Cert, port int) string {
	if cert.CertFile == "" {
		return fmt.Sprintf("listener \"tcp\" {\n  address     = \"%s:%d\"\n  tls_disable = true\n}\n", loopback, port)
	}
	return fmt.Sprintf("listener \"tcp\" {\n  address       = \"%s:%d\"\n  tls_cert_file = %q\n  tls_key_file  = %q\n}\n",
		loopback, port, cert.CertFile, cert.KeyFile)
}
