package propagate

import (
	"errors"

	"github.com/signet-temporal/signet/principal"
)

// Types of the application errors that workflows and activities fail with. A client finds them in
// temporal.ApplicationError.Type, in clear; why exactly is in the message, which is sealed.
const (
	// TypeInvalid is never retried: the principal is missing, forged, moved, too old, or may not do this.
	TypeInvalid = "PrincipalInvalid"
	// TypeUnavailable is retried: whether the principal is good cannot be said now.
	TypeUnavailable = "PrincipalUnavailable"
)

// Reasons for which a header is refused: stable words for metrics, logs and alerts.
const (
	ReasonMissing      = "missing"          // there is no header, and one is required
	ReasonNotSealed    = "not-sealed"       // the header is not one that signet sealed
	ReasonMalformed    = "malformed"        // it claims to be and breaks the format
	ReasonNotAuthentic = "not-authentic"    // wrong key, wrong scope, or changed bytes
	ReasonUnavailable  = "key-unavailable"  // its key is not here now
	ReasonDestroyed    = "key-destroyed"    // its key is gone for good
	ReasonMisplaced    = "misplaced"        // sealed for another workflow, hop, type or message
	ReasonStale        = "stale"            // sealed too long before, or after, it was used
	ReasonCron         = "cron"             // a cron schedule was added or taken away
	ReasonReplayed     = "replayed"         // this very message was handled before
	ReasonExpired      = "expired"          // the principal is older than Options.MaxAge
	ReasonTenant       = "tenant"           // not the tenant this process is bound to
	ReasonMessages     = "message-policy"   // the sender may not send messages to this workflow
	ReasonSchedules    = "schedule-policy"  // a schedule may not run for a user
	ReasonNamespace    = "namespace-policy" // to or from a namespace that Options does not name
	ReasonRevoked      = "revoked"          // Options.Revalidate says so
	ReasonUnchecked    = "revalidation"     // Options.Revalidate could not say
)

// Error says why a principal was refused, or could not be sealed. Its text names no person and holds nothing that was sealed.
type Error struct {
	reason string
	detail string // what to do, or what was expected; may be ""
	cause  error  // may be nil
}

func refuse(reason, detail string) *Error { return &Error{reason: reason, detail: detail} }

// Error implements error.
func (e *Error) Error() string {
	text := "signet: principal refused (" + e.reason + ")"
	if e.detail != "" {
		text += ": " + e.detail
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Reason returns one of the Reason… words.
func (e *Error) Reason() string { return e.reason }

// Unwrap returns the cause. An error for a missing header matches [principal.ErrNone].
func (e *Error) Unwrap() error {
	if e.cause == nil && e.reason == ReasonMissing {
		return principal.ErrNone
	}
	return e.cause
}

// Permanent reports whether a retry is pointless.
func (e *Error) Permanent() bool {
	return e.reason != ReasonUnavailable && e.reason != ReasonUnchecked
}

// ErrRevoked is what [Options.Revalidate] returns, or wraps, when a principal may act no longer.
var ErrRevoked = errors.New("the principal may act no longer")

// reasonOf returns the word for a metric.
func reasonOf(err error) string {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.reason
	}
	return ReasonMissing
}

// keyError sorts what [Keys] said: an error with a method Permanent() that returns true will never go away.
func keyError(cause error) *Error {
	var p interface{ Permanent() bool }
	if errors.As(cause, &p) && p.Permanent() {
		return &Error{reason: ReasonDestroyed, cause: cause}
	}
	return &Error{reason: ReasonUnavailable, cause: cause}
}
