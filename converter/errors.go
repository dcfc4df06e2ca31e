package converter

import (
	"errors"

	"github.com/signet-temporal/signet/internal/wire"
)

// The kinds of trouble a payload can be in: match them with [errors.Is]. Each [Error] is of exactly one kind.
var (
	// ErrNotAuthentic: wrong key, wrong context or changed bytes, which cannot be told apart. Permanent.
	ErrNotAuthentic = errors.New("payload is not authentic")
	// ErrKeyUnavailable: the key is not in memory yet, or not usable now. The only kind worth a retry.
	ErrKeyUnavailable = errors.New("key is not available")
	// ErrKeyDestroyed: the key is gone for good, and the payload with it. Permanent.
	ErrKeyDestroyed = errors.New("key is destroyed")
	// ErrMalformed: a payload that claims to be sealed by signet and breaks the format. Permanent.
	ErrMalformed = wire.ErrMalformed
	// ErrNotSealed: a payload that is not sealed, where only sealed ones are accepted. Permanent.
	ErrNotSealed = errors.New("payload is not sealed")
	// ErrNoTenant: it is not known whose keyset has to seal, see [Tenants]. Permanent.
	ErrNoTenant = errors.New("payload has no tenant")
	// ErrTenantMismatch: what works for one tenant would seal into the workflow of another. Permanent.
	ErrTenantMismatch = errors.New("tenants disagree")
)

// Error is every error this package makes. Its text names keysets, key ids and scopes, never anything that was sealed.
type Error struct {
	kind   error  // one of the Err… variables
	detail string // what to do, or what was expected; may be ""
	cause  error  // may be nil
}

// Error implements error.
func (e *Error) Error() string {
	text := "signet: " + e.kind.Error()
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	if e.detail != "" {
		text += ": " + e.detail
	}
	return text
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.cause}
}

// Permanent reports whether a retry is pointless: true for every kind but [ErrKeyUnavailable].
func (e *Error) Permanent() bool { return e.kind != ErrKeyUnavailable }

// Reason returns the kind as a stable word: "not-authentic", "key-unavailable", "key-destroyed", "malformed",
// "not-sealed", "no-tenant" or "tenant-mismatch". Metrics, failure types and the codec server use it.
func (e *Error) Reason() string {
	switch e.kind {
	case ErrNotAuthentic:
		return "not-authentic"
	case ErrKeyUnavailable:
		return "key-unavailable"
	case ErrKeyDestroyed:
		return "key-destroyed"
	case ErrNotSealed:
		return "not-sealed"
	case ErrNoTenant:
		return "no-tenant"
	case ErrTenantMismatch:
		return "tenant-mismatch"
	}
	return "malformed"
}

// keyError sorts what [Keys] said: an error with a method Permanent() that returns true will never go away.
func keyError(cause error) *Error {
	var p interface{ Permanent() bool }
	if errors.As(cause, &p) && p.Permanent() {
		return &Error{kind: ErrKeyDestroyed, cause: cause}
	}
	return &Error{kind: ErrKeyUnavailable, cause: cause}
}
