// Package downstream is the receiving side of package s2s: it finds out which service calls, and for whom.
//
// The headers X-Forwarded-User, -Issuer, -Tenant and -Txn can be written by anybody, so they are taken off every request
// first. They are believed only when the request carries the token of a service that is listed as a [Forwarder], for a
// tenant that it may forward; where the list says so, only if they are signed as well. A header that is there twice, or
// with underscores for hyphens, which some servers take for the same, is refused: two readers could see two users.
//
// [Gate.Handler] is the middleware for HTTP, package rpc has the interceptors for gRPC. Behind them principal.FromContext
// says for whom the call is, and [CallerFromContext] which service makes it. Decide by both: the token proves the service,
// and the service vouches for the user.
package downstream
