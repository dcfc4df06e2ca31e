// Package keyconfig says where the keysets are: the `keys:` section that the configuration of every command has, what is
// wrong with it in one line, and the store it names.
//
// A configuration never holds a secret: it names files and, for Vault's own settings, the environment. The comments of
// [Config] and of the types below it are the manual of the section.
package keyconfig

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/signet-temporal/signet/internal/loopback"
	"github.com/signet-temporal/signet/keys"
)

// Config is the `keys:` section. Exactly one of its members is set:
//
//	keys:
//	  vault:
//	    address: https://vault.example.com:8200
//	    transitKey: signet
//	    auth:
//	      method: kubernetes
//	      role: signet-server
type Config struct {
	File  *File  `yaml:"file"`  // a directory, for development
	Vault *Vault `yaml:"vault"` // HashiCorp Vault
}

// File keeps keysets and the key that wraps them in one directory of this machine: for development only, since whoever
// reads the directory has the keys.
type File struct {
	// Dir is the directory, readable by its owner only (mode 0700). Required.
	Dir string `yaml:"dir"`
}

// Vault keeps keysets in a KV version 2 mount of HashiCorp Vault, each key wrapped by a Transit key that never leaves
// Vault.
type Vault struct {
	// Address is the URL of Vault, or of a Vault Agent or Proxy (unix:///path is one, too). Default: the environment
	// variable VAULT_AGENT_ADDR, else VAULT_ADDR. A plain http:// address is accepted on the loopback interface only.
	Address string `yaml:"address"`
	// InsecureAllowHTTP accepts an http:// address of another machine: whoever can read the network then has the
	// Vault token, and with it the keys.
	InsecureAllowHTTP bool `yaml:"insecureAllowHTTP"`
	// Namespace is the Vault namespace (Vault Enterprise, HCP). Default: VAULT_NAMESPACE, else none.
	Namespace string `yaml:"namespace"`
	// CACert is a PEM file with the authorities that may have signed Vault's certificate. Default: VAULT_CACERT, else
	// VAULT_CACERT_BYTES, else VAULT_CAPATH, else those of the system.
	CACert string `yaml:"caCert"`
	// CAPath is a directory of such files, in place of caCert.
	CAPath string `yaml:"caPath"`
	// ClientCert and ClientKey are PEM files with the TLS certificate that this process shows to Vault, and its private
	// key. They are read again for every connection. Default: VAULT_CLIENT_CERT and VAULT_CLIENT_KEY, else none.
	ClientCert string `yaml:"clientCert"`
	ClientKey  string `yaml:"clientKey"` // see ClientCert
	// TLSServerName is the name in Vault's certificate, if it is not that of the address. Default:
	// VAULT_TLS_SERVER_NAME, else the name in the address.
	TLSServerName string `yaml:"tlsServerName"`
	// KVMount is where the KV version 2 engine is mounted. Default: [DefaultKVMount].
	KVMount string `yaml:"kvMount"`
	// Prefix is the path of the keysets inside the KV mount. Default: [DefaultPrefix].
	Prefix string `yaml:"prefix"`
	// TransitMount is where the Transit engine is mounted. Default: [DefaultTransitMount].
	TransitMount string `yaml:"transitMount"`
	// TransitKey is the name of the Transit key that wraps keys. It was created with derived=true. Default:
	// [DefaultTransitKey].
	TransitKey string `yaml:"transitKey"`
	// OwnKeysUnder is what the names of those keysets begin with, up to a slash, that have a Transit key of their own each:
	// [tenant/]. "signet shred" deletes it, and with it every copy of the keyset. Name the same in every program that uses
	// the keysets, before the first of them is created. The names of these Transit keys begin with transitKey. Default:
	// none, all keysets share transitKey.
	OwnKeysUnder []string `yaml:"ownKeysUnder"`
	// Auth is how this process logs in to Vault.
	Auth Auth `yaml:"auth"`
}

// Defaults of [Vault].
const (
	DefaultKVMount      = "secret"
	DefaultPrefix       = "signet/keysets"
	DefaultTransitMount = "transit"
	DefaultTransitKey   = "signet"
)

// Auth is how a process logs in to Vault. Each method has its own fields; a field of another method is refused.
type Auth struct {
	// Method is token, approle, jwt, kubernetes or cert, which shows vault.clientCert. Default: token.
	Method string `yaml:"method"`
	// Mount is where the auth method is mounted. Default: the method's name. Not for token.
	Mount string `yaml:"mount"`
	// TokenFile, for token: a file with a Vault token, such as Vault Agent's sink; a changed file is noticed within
	// seconds. Default: the environment variable VAULT_TOKEN.
	TokenFile string `yaml:"tokenFile"`
	// RoleID, for approle: the role's id, which is not a secret. Required.
	RoleID string `yaml:"roleID"`
	// SecretIDFile, for approle: a file with the secret id, read at every login. Required.
	SecretIDFile string `yaml:"secretIDFile"`
	// SecretIDWrapped, for approle: the file holds a response-wrapping token for the secret id instead. It is unwrapped
	// once, so that a process which starts anew needs another one.
	SecretIDWrapped bool `yaml:"secretIDWrapped"`
	// Role, for jwt, kubernetes (both required) and cert (default: any that the certificate matches): the name of the
	// Vault role.
	Role string `yaml:"role"`
	// JWTFile, for jwt (required) and kubernetes (default: the pod's own service account token): a file with the JWT,
	// read at every login.
	JWTFile string `yaml:"jwtFile"`
}

// FieldError says what is wrong with one field of a [Config].
type FieldError struct {
	Field   string // path below `keys`, such as "vault.auth.role"
	Problem string // the rest of the sentence, such as "is required with method jwt: …"
}

// Error returns the field and the problem in one line.
func (e *FieldError) Error() string { return "keys." + e.Field + " " + e.Problem }

func fieldErrorf(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// Check reports the first thing that is wrong with the section, as a [*FieldError] wherever one field is to blame.
// It reads the environment variables that stand in for fields, and no file.
func (c Config) Check() error {
	switch {
	case c.File == nil && c.Vault == nil:
		return fmt.Errorf("keys names no key store: set keys.vault, or keys.file for development")
	case c.File != nil && c.Vault != nil:
		return fmt.Errorf("keys names two key stores: remove keys.file or keys.vault")
	case c.File != nil:
		if c.File.Dir == "" {
			return fieldErrorf("file.dir", "is missing: name the directory of the key store")
		}
		return nil
	}
	return c.Vault.check()
}

func (v *Vault) check() error {
	if err := v.checkAddress(); err != nil {
		return err
	}
	for _, f := range []struct{ name, value string }{
		{"kvMount", v.KVMount}, {"prefix", v.Prefix}, {"transitMount", v.TransitMount},
		{"transitKey", v.TransitKey}, {"auth.mount", v.Auth.Mount},
	} {
		if f.value != "" && path.Clean("/"+f.value) != "/"+f.value {
			return fieldErrorf("vault."+f.name, "%q is not a path in Vault: no slash at either end, no doubled one, no dots", f.value)
		}
	}
	for _, under := range v.OwnKeysUnder {
		if !strings.HasSuffix(under, "/") || keys.CheckName(under+"x") != nil {
			return fieldErrorf("vault.ownKeysUnder", "%q is not the beginning of keysets' names up to a slash: write it like tenant/", under)
		}
	}
	if err := v.checkTLS(); err != nil {
		return err
	}
	return v.Auth.check()
}

func (v *Vault) checkTLS() error {
	cert, key := cmp.Or(v.ClientCert, os.Getenv("VAULT_CLIENT_CERT")), cmp.Or(v.ClientKey, os.Getenv("VAULT_CLIENT_KEY"))
	switch {
	case v.CACert != "" && v.CAPath != "":
		return fieldErrorf("vault.caPath", "is set beside caCert: remove one of them")
	case cert == "" && key != "":
		return fieldErrorf("vault.clientCert", "is missing: set it, or VAULT_CLIENT_CERT, to the certificate that belongs to the private key")
	case cert != "" && key == "":
		return fieldErrorf("vault.clientKey", "is missing: set it, or VAULT_CLIENT_KEY, to the private key of the certificate")
	case cert == "" && v.Auth.method() == methodCert:
		return fieldErrorf("vault.clientCert", "is missing: set it, or VAULT_CLIENT_CERT, since the auth method cert shows it to Vault")
	}
	return nil
}

func (v *Vault) address() string {
	return cmp.Or(v.Address, os.Getenv("VAULT_AGENT_ADDR"), os.Getenv("VAULT_ADDR"))
}

func (v *Vault) checkAddress() error {
	const field = "vault.address"
	address := v.address()
	if address == "" {
		return fieldErrorf(field, "is missing: set it, or VAULT_ADDR, to the URL of Vault such as https://vault.example.com:8200")
	}
	u, err := url.Parse(address)
	if err == nil && u.Scheme == "unix" && u.Path != "" {
		return nil
	}
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || u.RawQuery != "" {
		return fieldErrorf(field, "is not the URL of a Vault server: write it like https://vault.example.com:8200")
	}
	if u.Scheme == "http" && !v.InsecureAllowHTTP && !loopback.Is(strings.ToLower(u.Hostname())) {
		return fieldErrorf(field, "%s would send the Vault token unencrypted to another machine: use https, or accept that with keys.vault.insecureAllowHTTP", address)
	}
	return nil
}
