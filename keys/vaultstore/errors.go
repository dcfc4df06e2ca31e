package vaultstore

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"
)

// problem is a one-line error, often over a cause whose own text has several lines.
type problem struct {
	text    string
	cause   error
	passing bool // Vault or the network may recover by itself
}

func (p *problem) Error() string { return p.text }
func (p *problem) Unwrap() error { return p.cause }

// Misconfigured reports that somebody has to change something before a retry can help: a mount, a policy, a token. A
// keys.Ring that starts does not wait for that.
func (p *problem) Misconfigured() bool { return !p.passing }

// say makes an error of one line. cause is what errors.As finds behind it; nil for none.
func say(cause error, format string, args ...any) error {
	return &problem{text: oneLine(fmt.Sprintf(format, args...)), cause: cause}
}

// sayPassing is say for what may pass by itself.
func sayPassing(cause error, format string, args ...any) error {
	return &problem{text: oneLine(fmt.Sprintf(format, args...)), cause: cause, passing: true}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// isStatus reports whether err is an answer of Vault with that HTTP status.
func isStatus(err error, status int) bool {
	var answer *api.ResponseError
	return errors.As(err, &answer) && answer.StatusCode == status
}

// saysInAnswer reports whether one of the errors in Vault's answer contains text.
func saysInAnswer(err error, text string) bool {
	var answer *api.ResponseError
	return errors.As(err, &answer) && strings.Contains(strings.Join(answer.Errors, "\n"), text)
}

// namesNoError reports whether Vault's answer names no error: how an engine says that there is nothing at a path.
func namesNoError(err error) bool {
	var answer *api.ResponseError
	return errors.As(err, &answer) && len(answer.Errors) == 0
}

// invalidToken reports whether Vault refused the token itself and not what it wanted to do.
func invalidToken(err error) bool {
	return isStatus(err, http.StatusForbidden) && (saysInAnswer(err, "invalid token") || saysInAnswer(err, "bad token"))
}

// reasons is what Vault's answer names as errors, in one line.
func reasons(answer *api.ResponseError) string {
	text := oneLine(strings.Join(answer.Errors, "; "))
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	if text == "" {
		return http.StatusText(answer.StatusCode)
	}
	return text
}

// explain turns what vault/api returned for c into one line that says what to do.
func (s *Store) explain(c call, err error) error {
	if e := explainState(s.client.Address(), err); e != nil {
		return e
	}
	var answer *api.ResponseError
	var own *problem
	switch {
	case errors.As(err, &own):
		return err
	case !errors.As(err, &answer):
		return sayPassing(err, "calling Vault at %q: %v", c.path, err)
	case invalidToken(err):
		return say(err, "Vault refuses the token as invalid, expired or revoked: log in again or set a new token")
	case answer.StatusCode == http.StatusForbidden && s.client.Token() == "":
		return say(err, "Vault denied permission because no token was sent: log in first")
	case answer.StatusCode == http.StatusForbidden:
		return say(err, "Vault denied permission: the token's policy must grant %q on path %q", c.capability, c.path)
	case answer.StatusCode == http.StatusNotFound && saysInAnswer(err, "no handler for route"):
		return say(err, "Vault has no engine that serves %q: check the mount", c.path)
	}
	return say(err, "Vault answered %d at %q: %s", answer.StatusCode, c.path, reasons(answer))
}

// explainState explains errors that say how Vault is, whatever was asked of it: unreachable, slow, sealed, standby,
// throttled. It returns nil for every other error, and for none.
func explainState(address string, err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		if cause := networkError(err); cause != nil {
			return explainNetwork(address, cause)
		}
		return nil
	}
	switch {
	case answer.StatusCode == http.StatusServiceUnavailable && saysInAnswer(err, "Vault is sealed"):
		// A Vault that was never initialized says the same.
		return sayPassing(err, "Vault at %s is sealed (or new): unseal it with: vault operator unseal", address)
	case saysInAnswer(err, "HTTP request to an HTTPS server"):
		return say(err, "Vault at %s serves TLS: use https:// in its address", address)
	case answer.StatusCode == http.StatusTooManyRequests:
		return sayPassing(err, "Vault at %s throttles this client (%s): wait, or raise the rate limit quota", address, reasons(answer))
	case saysInAnswer(err, "local node not active"):
		return sayPassing(err, "Vault at %s is a standby that cannot reach an active node: check the cluster", address)
	case answer.StatusCode == http.StatusPreconditionFailed:
		return sayPassing(err, "Vault at %s is a standby that lags behind its active node: try again", address)
	case answer.StatusCode >= 500:
		return sayPassing(err, "Vault at %s fails (%d: %s): see its server log", address, answer.StatusCode, reasons(answer))
	}
	return nil
}

// networkError returns the error of the HTTP client in err, or nil when err is none of the network.
func networkError(err error) error {
	var request *url.Error
	switch {
	case errors.As(err, &request):
		return request
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return nil
}

func explainNetwork(address string, err error) error {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.Is(err, context.Canceled):
		return sayPassing(err, "the call to Vault was cancelled")
	case errors.Is(err, context.DeadlineExceeded):
		return sayPassing(err, "Vault at %s did not answer in time: check the address, the network and Vault's load", address)
	case errors.As(err, &authority):
		return say(err, "Vault at %s has a certificate of an unknown authority: set its CA certificate (caCert or VAULT_CACERT)", address)
	case errors.As(err, &host):
		return say(err, "Vault at %s has a certificate for another name (%v): correct the address or set VAULT_TLS_SERVER_NAME", address, host)
	}
	return sayPassing(err, "Vault at %s cannot be reached: %v: check the address and that Vault runs", address, err)
}
