package codecserver

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/signet-temporal/signet/codecserver/policy"
	"github.com/signet-temporal/signet/internal/wire"
)

// reason is a code that says why a payload was not decoded or encoded. This file is the one table of what follows from it.
type reason string

const (
	none reason = "" // nothing is wrong

	// Who. An authenticator has codes of its own; those that are not in the table below are treated as this one.
	unauthenticated reason = "unauthenticated"
	idpUnavailable  reason = "identity-provider-unavailable"
	sessionsAway    reason = "sessions-unavailable"

	// May.
	notGranted        reason = policy.NotGranted
	deniedByRule      reason = policy.Denied
	breakGlassNeeded  reason = policy.BreakGlassNeeded
	unknownNamespace  reason = "unknown-namespace"
	namespaceMismatch reason = "namespace-mismatch"
	rateLimited       reason = "rate-limited"    // the caller has had too many payloads
	requestRefused    reason = "request-refused" // strict: another payload of the request was refused
	wouldBeMasked     reason = "would-be-masked" // the caller may not see all of it, and does not accept masks

	// Open and seal.
	notAuthentic   reason = "not-authentic"
	malformed      reason = "malformed"
	unknownVersion reason = "unknown-version"
	keyDestroyed   reason = "key-destroyed"
	keyUnavailable reason = "key-unavailable"
	internal       reason = "internal"
	tooLarge       reason = "too-large" // the request holds more plaintext than Limits.MaxOpened

	noSearchKeys reason = "no-search-keyset" // search: the namespace or tenant has none

	// Download.
	referenceRefused   reason = "reference-refused" // it leads to no place that is configured
	notStored          reason = "not-stored"        // there is nothing
	notSealed          reason = "not-sealed"        // what is there is not sealed
	storageUnavailable reason = "storage-unavailable"

	auditUnavailable reason = "audit-unavailable"
)

// outcome is what a machine gets: the status and the one generic word of the body. The rank decides between several in
// one request, the lowest counts: what a retry cannot mend before what it can.
type outcome struct {
	rank, status int
	code         string
}

func (r reason) outcome() outcome {
	switch r {
	case none:
		return outcome{6, http.StatusOK, ""}
	case auditUnavailable:
		return outcome{0, http.StatusServiceUnavailable, "unavailable"}
	case notGranted, deniedByRule, breakGlassNeeded, unknownNamespace, namespaceMismatch, requestRefused:
		return outcome{2, http.StatusForbidden, "denied"}
	case wouldBeMasked:
		return outcome{2, http.StatusForbidden, "masked"}
	case rateLimited:
		return outcome{2, http.StatusTooManyRequests, "rate-limited"}
	case notAuthentic, malformed, unknownVersion, keyDestroyed, tooLarge, referenceRefused, notStored, notSealed:
		return outcome{3, http.StatusUnprocessableEntity, "unreadable"}
	case noSearchKeys:
		return outcome{3, http.StatusNotFound, "not-found"}
	case internal:
		return outcome{4, http.StatusInternalServerError, "internal"}
	case keyUnavailable, idpUnavailable, storageUnavailable, sessionsAway:
		return outcome{5, http.StatusServiceUnavailable, "unavailable"}
	}
	return outcome{1, http.StatusUnauthorized, "unauthenticated"}
}

// refusesCaller: it is the caller who may not, not the payload that cannot.
func (r reason) refusesCaller() bool {
	s := r.outcome().status
	return s == http.StatusUnauthorized || s == http.StatusForbidden || s == http.StatusTooManyRequests || r == idpUnavailable || r == sessionsAway
}

// reasonOf classifies an error of a [Codec].
func reasonOf(err error) reason {
	var known interface{ Reason() string }
	switch {
	case err == nil:
		return none
	case errors.Is(err, wire.ErrVersion):
		return unknownVersion
	case errors.As(err, &known):
		switch r := reason(known.Reason()); r {
		case notAuthentic, malformed, keyDestroyed, keyUnavailable:
			return r
		}
	case errors.Is(err, wire.ErrMalformed):
		return malformed
	}
	return internal
}

// reasonOfDenial classifies a reason of a [Policy].
func reasonOfDenial(r string) reason {
	switch r := reason(r); r {
	case deniedByRule, breakGlassNeeded:
		return r
	}
	return notGranted
}

// reasonOfStranger classifies an error of an [Authenticator].
func reasonOfStranger(err error) reason {
	var known interface{ Reason() string }
	if errors.As(err, &known) && known.Reason() != "" {
		if r := reason(known.Reason()); r == idpUnavailable || r == sessionsAway || r.outcome().status == http.StatusUnauthorized {
			return r
		}
	}
	return unauthenticated
}

// problem is an error with the answer it gets. detail is for the log alone, and holds nothing of the body.
type problem struct {
	status       int
	code, detail string
}

func (p *problem) Error() string { return fmt.Sprintf("%s: %s", p.code, p.detail) }

func badRequest(detail string) *problem {
	return &problem{status: http.StatusBadRequest, code: "bad-request", detail: detail}
}
