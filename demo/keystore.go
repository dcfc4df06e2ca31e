package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/vault/api"

	"github.com/signet-temporal/signet/keys"
	"github.com/signet-temporal/signet/keys/filestore"
	"github.com/signet-temporal/signet/keys/vaultstore"
	"github.com/signet-temporal/signet/tools/parts"
)

// keyStore is where the keyset is, as the three who use it are told: each has rights and, in Vault, a token of its own.
type keyStore struct {
	place     string
	custodian []string // flags of the signet command
	server    string   // the keys: section of signet-server's configuration
	worker    func(ctx context.Context) (workerKeys, error)
}

// workerKeys reads keysets and unwraps their keys.
type workerKeys interface {
	keys.Fetcher
	keys.Unwrapper
}

// fileStore is a directory, which `signet keyset create` makes.
func fileStore(dir string) keyStore {
	return keyStore{
		place:     dir,
		custodian: []string{"--keys-file", dir},
		server:    fmt.Sprintf("{file: {dir: %q}}", dir),
		worker:    func(context.Context) (workerKeys, error) { return filestore.Open(dir) },
	}
}

// startVault starts a Vault and prepares it as its administrator does once: a Transit key that is derived, and for each
// of the three a token with the least that Signet needs. The KV engine at secret/ is there already. The root token is
// not used again.
func (d *demo) startVault(ctx context.Context) (keyStore, error) {
	v, err := parts.StartVault(ctx, parts.VaultOptions{Program: d.paths.Vault})
	if err != nil {
		return keyStore{}, err
	}
	d.onClose("stop Vault", v.Stop)
	d.running = append(d.running, program{"Vault", v.Done()})
	d.vaultAddress, d.vaultToken = v.Address, v.Token
	root, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: v.Address})
	if err != nil {
		return keyStore{}, err
	}
	root.SetToken(v.Token)
	if err := root.Sys().MountWithContext(ctx, "transit", &api.MountInput{Type: "transit"}); err != nil {
		return keyStore{}, fmt.Errorf("enable Transit: %w", err)
	}
	if _, err := root.Logical().WriteWithContext(ctx, "transit/keys/signet", map[string]any{"derived": true}); err != nil {
		return keyStore{}, fmt.Errorf("create the Transit key: %w", err)
	}
	workerPolicy, err := vaultstore.Options{}.WorkerPolicy()
	if err != nil {
		return keyStore{}, err
	}
	custodianPolicy, err := vaultstore.Options{}.CustodianPolicy()
	if err != nil {
		return keyStore{}, err
	}
	tokens := map[string]string{} // file by whom it is for
	for who, policy := range map[string]string{"custodian": custodianPolicy, "server": workerPolicy, "worker": workerPolicy} {
		if tokens[who], err = d.vaultTokenFile(ctx, root, "signet-"+who, policy); err != nil {
			return keyStore{}, fmt.Errorf("make a Vault token for the %s: %w", who, err)
		}
	}
	return keyStore{
		place:     "Vault at " + v.Address,
		custodian: []string{"--vault-addr", v.Address, "--vault-token-file", tokens["custodian"]},
		server:    fmt.Sprintf("{vault: {address: %q, auth: {method: token, tokenFile: %q}}}", v.Address, tokens["server"]),
		worker:    func(ctx context.Context) (workerKeys, error) { return d.openVault(ctx, v.Address, tokens["worker"]) },
	}, nil
}

// vaultTokenFile makes a policy and a token that has no other, and returns the file that holds the token.
func (d *demo) vaultTokenFile(ctx context.Context, root *api.Client, name, policy string) (string, error) {
	if err := root.Sys().PutPolicyWithContext(ctx, name, policy); err != nil {
		return "", err
	}
	made, err := root.Auth().Token().CreateOrphanWithContext(ctx, &api.TokenCreateRequest{
		Policies: []string{name}, DisplayName: name, TTL: "24h",
	})
	if err != nil {
		return "", err
	}
	file := filepath.Join(d.dir, name+".token")
	return file, os.WriteFile(file, []byte(made.Auth.ClientToken), 0o600)
}

// openVault logs in as a worker does.
func (d *demo) openVault(ctx context.Context, address, tokenFile string) (workerKeys, error) {
	c, err := vaultstore.NewClient(vaultstore.ClientOptions{Address: address})
	if err != nil {
		return nil, err
	}
	session, err := vaultstore.Login(ctx, c, vaultstore.Auth{TokenFile: tokenFile}, nil)
	if err != nil {
		return nil, err
	}
	d.onClose("leave Vault", func() error { session.Close(); return nil })
	return vaultstore.New(c, vaultstore.Options{Session: session})
}
