package keyconfig

import (
	"os"
	"slices"

	"github.com/signet-temporal/signet/keys/vaultstore"
)

// Methods of [Auth].
const (
	methodToken      = "token"
	methodAppRole    = "approle"
	methodJWT        = "jwt"
	methodKubernetes = "kubernetes"
	methodCert       = "cert"
)

const tokenEnv = "VAULT_TOKEN"

// fieldsOf returns the fields that a method takes beside "method", and whether there is such a method.
func fieldsOf(method string) (required, optional []string, ok bool) {
	switch method {
	case methodToken:
		return nil, []string{"tokenFile"}, true
	case methodAppRole:
		return []string{"roleID", "secretIDFile"}, []string{"mount", "secretIDWrapped"}, true
	case methodJWT:
		return []string{"role", "jwtFile"}, []string{"mount"}, true
	case methodKubernetes:
		return []string{"role"}, []string{"mount", "jwtFile"}, true
	case methodCert:
		return nil, []string{"mount", "role"}, true
	}
	return nil, nil, false
}

// fields in the order in which they are complained about.
func (a Auth) fields() []struct{ name, value string } {
	wrapped := ""
	if a.SecretIDWrapped {
		wrapped = "true"
	}
	return []struct{ name, value string }{
		{"secretIDWrapped", wrapped},
		{"mount", a.Mount}, {"tokenFile", a.TokenFile}, {"roleID", a.RoleID},
		{"secretIDFile", a.SecretIDFile}, {"role", a.Role}, {"jwtFile", a.JWTFile},
	}
}

func (a Auth) method() string {
	if a.Method == "" {
		return methodToken
	}
	return a.Method
}

func (a Auth) check() error {
	method := a.method()
	required, optional, ok := fieldsOf(method)
	if !ok {
		return fieldErrorf("vault.auth.method", "%q is unknown: use token, approle, jwt, kubernetes or cert", method)
	}
	for _, f := range a.fields() {
		switch {
		case f.value == "" && slices.Contains(required, f.name):
			return fieldErrorf("vault.auth."+f.name, "is missing: set it, the auth method %s needs it", method)
		case f.value != "" && !slices.Contains(required, f.name) && !slices.Contains(optional, f.name):
			return fieldErrorf("vault.auth."+f.name, "does not belong to the auth method %s: remove it or choose another method", method)
		}
	}
	if method == methodToken && a.TokenFile == "" && os.Getenv(tokenEnv) == "" {
		return fieldErrorf("vault.auth.tokenFile", "is missing, and %s is not set: set one of them, or choose another auth method", tokenEnv)
	}
	return nil
}

// vault returns the login that a, which was checked, describes.
func (a Auth) vault() vaultstore.Auth {
	switch a.method() {
	case methodAppRole:
		return vaultstore.Auth{AppRole: &vaultstore.AppRole{RoleID: a.RoleID, SecretIDFile: a.SecretIDFile, Wrapped: a.SecretIDWrapped, Mount: a.Mount}}
	case methodJWT:
		return vaultstore.Auth{JWT: &vaultstore.JWT{Role: a.Role, TokenFile: a.JWTFile, Mount: a.Mount}}
	case methodKubernetes:
		return vaultstore.Auth{Kubernetes: &vaultstore.Kubernetes{Role: a.Role, TokenFile: a.JWTFile, Mount: a.Mount}}
	case methodCert:
		return vaultstore.Auth{Cert: &vaultstore.Cert{Role: a.Role, Mount: a.Mount}}
	}
	if a.TokenFile != "" {
		return vaultstore.Auth{TokenFile: a.TokenFile}
	}
	return vaultstore.Auth{TokenEnv: tokenEnv}
}
