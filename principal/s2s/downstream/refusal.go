package downstream

import (
	"errors"
	"fmt"
	"net/http"
)

// Refusal is why a call does not come in.
type Refusal struct {
	// Status is what an HTTP client is told: 400, 401, 403, or 503 when it cannot be found out who calls.
	Status int
	reason string
	anew   bool // a better token may help
}

// Error returns the reason in one line, for the log of this service. It holds neither tokens nor users.
func (r *Refusal) Error() string { return r.reason }

// Public returns what the caller may know: one line, the same for every reason of a status.
func (r *Refusal) Public() string {
	switch r.Status {
	case http.StatusBadRequest:
		return "malformed credentials"
	case http.StatusUnauthorized:
		return "a valid service token is required"
	case http.StatusForbidden:
		return "not allowed"
	}
	return "cannot verify service tokens now, try again"
}

// challenge is the WWW-Authenticate of a 401 (RFC 6750).
func (r *Refusal) challenge() string {
	if r.anew {
		return `Bearer error="invalid_token"`
	}
	return "Bearer"
}

func malformed(format string, args ...any) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, reason: fmt.Sprintf(format, args...)}
}

func noToken(reason string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, reason: reason}
}

func forbid(reason string) *Refusal {
	return &Refusal{Status: http.StatusForbidden, reason: reason}
}

// unavailable is the reason of an error of package verify when the issuer's keys could not be fetched.
const unavailable = "identity-provider-unavailable"

func badToken(err error) *Refusal {
	if err == nil {
		err = errors.New("the verifier names no caller")
	}
	r := &Refusal{Status: http.StatusUnauthorized, reason: "the service token is not good: " + err.Error(), anew: true}
	var why interface{ Reason() string }
	if errors.As(err, &why) && why.Reason() == unavailable {
		r.Status = http.StatusServiceUnavailable
	}
	return r
}
