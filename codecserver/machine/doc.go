// Package machine says which program makes a request: by the client certificate of its connection ([Certificates]) or by
// a static token ([Tokens]). It is for workers, gateways and jobs that have no login of their own; people log in.
//
// A caller from here has Machine set, and one of two issuers that no OpenID provider can have, since theirs are URLs:
//
//	signet:certificate   the subject is the name in the certificate that the configuration chooses
//	signet:token         the subject is the name of the token in the configuration
//
// So a policy names them as it names people, and what one kind may do the other may not.
package machine

// The issuers of callers that this package vouches for.
const (
	CertificateIssuer = "signet:certificate"
	TokenIssuer       = "signet:token"
)

// Error is the refusal of a request of a program. Its text is for the log, and holds nothing of the token.
type Error struct {
	code, detail string
}

// Error returns one line.
func (e *Error) Error() string { return e.code + ": " + e.detail }

// Reason returns a code that is safe to show: "unknown-token", "expired-token", "bad-certificate".
func (e *Error) Reason() string { return e.code }

// Machine is true: who made the request is a program, so it must not be answered as a person is.
func (e *Error) Machine() bool { return true }
