package verify

import "fmt"

// Code says why a request was refused, in a word that is safe to show to the caller.
type Code string

// The codes of an [Error].
const (
	MissingToken   Code = "missing-token"
	MalformedToken Code = "malformed-token"
	UnknownIssuer  Code = "unknown-issuer"
	BadSignature   Code = "bad-signature" // also: an algorithm that is not allowed, a key that is not known
	ExpiredToken   Code = "expired-token" // also: a token without "exp"
	NotYetValid    Code = "token-not-yet-valid"
	WrongAudience  Code = "wrong-audience"
	TokenMismatch  Code = "token-mismatch" // the two tokens name different callers
	UnfitClaims    Code = "unfit-claims"   // an Edge alone: the token is good, but does not say for whom in a way that we can use
	// IssuerUnavailable is the one transient code: the issuer's keys could not be fetched.
	IssuerUnavailable Code = "identity-provider-unavailable"
)

// Error is the refusal of a request. Its text is for the log of the server.
type Error struct {
	Code   Code
	Issuer string // as configured; "" unless the token named a configured issuer
	detail string
}

// Error returns one line without anything of the token but issuer, audience, type and party.
func (e *Error) Error() string {
	if e.Issuer == "" {
		return fmt.Sprintf("%s: %s", e.Code, e.detail)
	}
	return fmt.Sprintf("%s: %s (issuer %s)", e.Code, e.detail, e.Issuer)
}

// Reason returns the code.
func (e *Error) Reason() string { return string(e.Code) }

func refuse(code Code, detail string) *Error { return &Error{Code: code, detail: detail} }
