package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/signet-temporal/signet/internal/keyconfig"
)

// storeFlags say where the keysets are. No secret is a flag: process lists and shell histories would keep it.
type storeFlags struct {
	Config    string `group:"store" env:"SIGNET_CONFIG" placeholder:"FILE" help:"YAML file with a keys: section, such as that of signet-server."`
	KeysFile  string `group:"store" env:"SIGNET_KEYS_FILE" placeholder:"DIR" help:"Directory with keysets, for development."`
	VaultAddr string `group:"store" env:"VAULT_ADDR" placeholder:"URL" help:"Address of Vault."`

	VaultNamespace         string   `group:"vault" env:"VAULT_NAMESPACE" placeholder:"NAME" help:"Vault namespace (Enterprise, HCP)."`
	VaultCACert            string   `group:"vault" name:"vault-ca-cert" env:"VAULT_CACERT" placeholder:"FILE" help:"PEM file with the authority of Vault's certificate."`
	VaultInsecureAllowHTTP bool     `group:"vault" name:"vault-insecure-allow-http" env:"SIGNET_VAULT_INSECURE_ALLOW_HTTP" help:"Send token and keys unencrypted to an http:// address of another machine."`
	VaultCAPath            string   `group:"vault" name:"vault-ca-path" env:"VAULT_CAPATH" placeholder:"DIR" help:"Directory with such files."`
	VaultClientCert        string   `group:"vault" env:"VAULT_CLIENT_CERT" placeholder:"FILE" help:"PEM file with the TLS certificate to show to Vault."`
	VaultClientKey         string   `group:"vault" env:"VAULT_CLIENT_KEY" placeholder:"FILE" help:"PEM file with its private key."`
	VaultTLSServerName     string   `group:"vault" name:"vault-tls-server-name" env:"VAULT_TLS_SERVER_NAME" placeholder:"NAME" help:"Name in Vault's certificate, if not that of the address."`
	KVMount                string   `group:"vault" env:"SIGNET_KV_MOUNT" placeholder:"${kv_mount}" help:"Mount of the KV version 2 engine."`
	KVPrefix               string   `group:"vault" env:"SIGNET_KV_PREFIX" placeholder:"${kv_prefix}" help:"Path of the keysets in it."`
	TransitMount           string   `group:"vault" env:"SIGNET_TRANSIT_MOUNT" placeholder:"${transit_mount}" help:"Mount of the Transit engine."`
	TransitKey             string   `group:"vault" env:"SIGNET_TRANSIT_KEY" placeholder:"${transit_key}" help:"Transit key that wraps keys, created with derived=true."`
	OwnKeysUnder           []string `group:"vault" name:"own-keys-under" env:"SIGNET_OWN_KEYS_UNDER" placeholder:"PREFIX" help:"Beginning of keysets' names, up to a slash, that have a Transit key of their own each, which \"signet shred\" deletes; such as tenant/. Repeat it, or separate several by commas."`

	VaultAuth            string `group:"vault" env:"SIGNET_VAULT_AUTH" placeholder:"token" help:"How to log in: token, approle, jwt, kubernetes or cert. For token: VAULT_TOKEN, or what vault login left."`
	VaultAuthMount       string `group:"vault" env:"SIGNET_VAULT_AUTH_MOUNT" placeholder:"PATH" help:"Mount of the auth method, if not its name."`
	VaultTokenFile       string `group:"vault" env:"SIGNET_VAULT_TOKEN_FILE" placeholder:"FILE" help:"For token: file with the token."`
	VaultRoleID          string `group:"vault" env:"SIGNET_VAULT_ROLE_ID" placeholder:"ID" help:"For approle: role id."`
	VaultSecretIDFile    string `group:"vault" env:"SIGNET_VAULT_SECRET_ID_FILE" placeholder:"FILE" help:"For approle: file with the secret id."`
	VaultSecretIDWrapped bool   `group:"vault" env:"SIGNET_VAULT_SECRET_ID_WRAPPED" help:"For approle: the file holds a response-wrapping token for the secret id, which is used up."`
	VaultRole            string `group:"vault" env:"SIGNET_VAULT_ROLE" placeholder:"NAME" help:"For jwt, kubernetes and cert: role."`
	VaultJWTFile         string `group:"vault" name:"vault-jwt-file" env:"SIGNET_VAULT_JWT_FILE" placeholder:"FILE" help:"For jwt and kubernetes: file with the JWT."`
}

// flagOf names the flag that sets a field of the configuration.
func flagOf(field string) string {
	switch field {
	case "file.dir":
		return "--keys-file"
	case "vault.address":
		return "--vault-addr"
	case "vault.insecureAllowHTTP":
		return "--vault-insecure-allow-http"
	case "vault.namespace":
		return "--vault-namespace"
	case "vault.caCert":
		return "--vault-ca-cert"
	case "vault.caPath":
		return "--vault-ca-path"
	case "vault.clientCert":
		return "--vault-client-cert"
	case "vault.clientKey":
		return "--vault-client-key"
	case "vault.tlsServerName":
		return "--vault-tls-server-name"
	case "vault.kvMount":
		return "--kv-mount"
	case "vault.prefix":
		return "--kv-prefix"
	case "vault.transitMount":
		return "--transit-mount"
	case "vault.transitKey":
		return "--transit-key"
	case "vault.ownKeysUnder":
		return "--own-keys-under"
	case "vault.auth.method":
		return "--vault-auth"
	case "vault.auth.mount":
		return "--vault-auth-mount"
	case "vault.auth.tokenFile":
		return "--vault-token-file"
	case "vault.auth.roleID":
		return "--vault-role-id"
	case "vault.auth.secretIDFile":
		return "--vault-secret-id-file"
	case "vault.auth.secretIDWrapped":
		return "--vault-secret-id-wrapped"
	case "vault.auth.role":
		return "--vault-role"
	case "vault.auth.jwtFile":
		return "--vault-jwt-file"
	}
	return "keys." + field
}

// config returns where the keysets are. A flag that was typed counts more than the environment; two places that count
// the same are refused, so that no key is ever added in the wrong one.
func (f storeFlags) config(parsed *kong.Context) (keyconfig.Config, error) {
	typed := typedStores(parsed)
	if len(typed) == 0 {
		vault := "VAULT_ADDR"
		if agent() != "" {
			vault = "VAULT_AGENT_ADDR"
		}
		for _, name := range []struct{ flag, value string }{{"SIGNET_CONFIG", f.Config}, {"SIGNET_KEYS_FILE", f.KeysFile}, {vault, f.VaultAddr + agent()}} {
			if name.value != "" {
				typed = append(typed, name.flag)
			}
		}
	}
	switch {
	case len(typed) == 0:
		return keyconfig.Config{}, codedf(exitUsage, "no key store was named: set --vault-addr (VAULT_ADDR), --config (SIGNET_CONFIG), or for development --keys-file (SIGNET_KEYS_FILE)")
	case len(typed) > 1:
		return keyconfig.Config{}, codedf(exitUsage, "several key stores were named, by %s: name one, with one flag", strings.Join(typed, " and "))
	}
	switch typed[0] {
	case "--config", "SIGNET_CONFIG":
		c, err := keyconfig.Load(f.Config)
		if err != nil {
			return keyconfig.Config{}, codedf(exitUsage, "%s", err)
		}
		return c, nil
	case "--keys-file", "SIGNET_KEYS_FILE":
		return f.checked(keyconfig.Config{File: &keyconfig.File{Dir: f.KeysFile}})
	}
	v := f.vault()
	if agent() != "" && !slices.ContainsFunc(parsed.Path, func(p *kong.Path) bool { return p.Flag != nil && p.Flag.Name == "vault-addr" && !p.Resolved }) {
		v.Address = "" // the agent goes before VAULT_ADDR, as for the vault command
	}
	return f.checked(keyconfig.Config{Vault: v})
}

// agent is the address of a Vault Agent or Proxy, if the environment names one.
func agent() string { return os.Getenv("VAULT_AGENT_ADDR") }

func (f storeFlags) vault() *keyconfig.Vault {
	v := &keyconfig.Vault{
		Address:           f.VaultAddr,
		InsecureAllowHTTP: f.VaultInsecureAllowHTTP,
		Namespace:         f.VaultNamespace,
		CACert:            f.VaultCACert,
		CAPath:            f.VaultCAPath,
		ClientCert:        f.VaultClientCert,
		ClientKey:         f.VaultClientKey,
		TLSServerName:     f.VaultTLSServerName,
		KVMount:           f.KVMount,
		Prefix:            f.KVPrefix,
		TransitMount:      f.TransitMount,
		TransitKey:        f.TransitKey,
		OwnKeysUnder:      f.OwnKeysUnder,
		Auth: keyconfig.Auth{
			Method:       f.VaultAuth,
			Mount:        f.VaultAuthMount,
			TokenFile:    f.VaultTokenFile,
			RoleID:       f.VaultRoleID,
			SecretIDFile: f.VaultSecretIDFile,
			Role:         f.VaultRole,
			JWTFile:      f.VaultJWTFile,

			SecretIDWrapped: f.VaultSecretIDWrapped,
		},
	}
	if (v.Auth.Method == "" || v.Auth.Method == "token") && v.Auth.TokenFile == "" && os.Getenv("VAULT_TOKEN") == "" {
		v.Auth.TokenFile = loginFile()
	}
	return v
}

// loginFile is where `vault login` leaves its token, or nothing if it did not.
func loginFile() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	file := filepath.Join(home, ".vault-token")
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

func (f storeFlags) checked(c keyconfig.Config) (keyconfig.Config, error) {
	err := c.Check()
	if field := (*keyconfig.FieldError)(nil); errors.As(err, &field) {
		return keyconfig.Config{}, codedf(exitUsage, "%s %s", flagOf(field.Field), strings.ReplaceAll(field.Problem, "keys.vault.insecureAllowHTTP", "--vault-insecure-allow-http"))
	}
	if err != nil {
		return keyconfig.Config{}, codedf(exitUsage, "%s", err)
	}
	return c, nil
}

// typedStores returns the flags on the command line that say where keysets are; all flags of Vault count as one.
func typedStores(parsed *kong.Context) []string {
	var typed []string
	vault := ""
	for _, element := range parsed.Path {
		flag := element.Flag
		if flag == nil || flag.Group == nil || flag.Group.Key == "temporal" || element.Resolved {
			continue
		}
		switch flag.Name {
		case "config", "keys-file":
			typed = append(typed, "--"+flag.Name)
		default:
			vault = "--" + flag.Name
		}
	}
	if vault != "" {
		typed = append(typed, vault)
	}
	return typed
}
